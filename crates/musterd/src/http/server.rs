//! Connections of clients, with bounds on all of them, whichever listener accepted them.
//!
//! The [`Budget`] has the number of connections, which is lower where programs need the descriptors. Beyond that, a new one
//! closes the one that has been idle for longest, so a flood of silent connections keeps no client out. Connections that
//! follow something have limits of their own and do not count here. A client that is slow to send runs into a timeout, and one
//! that follows is closed as soon as it disconnects. A panic in one connection ends that connection.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use muster_api::Right;
use muster_core::Principal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tracing::debug;

use super::router;
use super::stream::Busy;
use crate::access::{Access, Rank};
use crate::budget::Budget;
use crate::shared::Shared;
use crate::tickets::Desk;
use crate::turn_clock::beside;
use muster_logging::limit::{DAEMON, Notice, unless_none};

/// How long a client may take to send a request's headers, and keep a connection open without a request.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);

/// How long to leave a listener alone when no descriptor is left.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// All open connections, by age.
#[derive(Clone)]
struct Connections {
    /// The most there may be, which a reload may change.
    budget: Rc<Cell<Budget>>,
    open: Rc<RefCell<BTreeMap<u64, Connection>>>,
    next: Rc<Cell<u64>>,
}

struct Connection {
    task: AbortHandle,
    since: Instant,
    is_busy: Rc<Cell<bool>>,
    is_following: Rc<Cell<bool>>,
    principal: Principal,
    rank: Rank,
}

/// Serves the clients of all listeners.
#[derive(Clone)]
pub(crate) struct Server {
    shared: Rc<Shared>,
    desk: Desk,
    connections: Connections,
}

/// A client that a listener has accepted.
pub(crate) struct Accepted<S, H> {
    pub(crate) stream: S,
    pub(crate) principal: Principal,
    /// Ready when the client has closed both directions. Polled only when nothing else would show it.
    pub(crate) hung_up: H,
}

impl Server {
    /// Starts serving. Must be called within a local runtime.
    pub(crate) fn start(shared: Rc<Shared>) -> Server {
        let connections = Connections::within(Rc::clone(&shared.budget));
        let server = Server { desk: Desk::of(&shared.budget), connections, shared };
        let adapting = server.clone().adapt_for_ever();
        tokio::task::spawn_local(beside(Rc::clone(&server.shared.loop_turns), adapting));
        server
    }

    /// After each reload, closes the connections that the new configuration has no room for, or takes rights from.
    async fn adapt_for_ever(self) {
        loop {
            self.shared.divided.notified().await;
            self.connections.close_surplus();
            self.connections.close_barred(&self.shared.access.borrow());
        }
    }

    /// Gives responses that are being sent a moment to complete. Listeners must have stopped.
    pub(crate) async fn finish(self, patience: Duration) {
        let all_idle = async {
            while self.connections.open.borrow().values().any(|connection| connection.is_busy.get()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // A client that does not read in time loses the rest of its response.
        let _ = tokio::time::timeout(patience, all_idle).await;
    }

    /// Whether another connection may have to close one.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.connections.counted() + 1 >= self.connections.budget.get().connections
    }

    /// Closes a connection, where there is no descriptor to accept another.
    pub(crate) fn make_descriptor_free(&self) {
        self.connections.close_idlest(is_no_newcomer);
    }

    /// Serves a client until it disconnects, in a task of its own.
    pub(crate) fn serve<S, H>(&self, accepted: Accepted<S, H>)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
        H: Future<Output = ()> + 'static,
    {
        let Accepted { stream, principal, hung_up } = accepted;
        let Server { shared, desk, connections } = self.clone();
        let rank = shared.access.borrow().client(principal).rank;
        if !connections.make_room(rank) {
            return;
        }
        let id = connections.new_id();
        let (is_busy, is_following) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let (limits, loop_turns) = (shared.limits.clone(), Rc::clone(&shared.loop_turns));
        let closing = Closing { connections: connections.clone(), id };
        let task = tokio::task::spawn_local(beside(loop_turns, {
            let (is_busy, is_following) = (Rc::clone(&is_busy), Rc::clone(&is_following));
            async move {
                let _closing = closing;
                let is_streaming = Cell::new(false);
                let hanging_up = hang_up(hung_up, &is_streaming);
                let talking = talk(stream, (shared, desk), principal, is_busy, (&is_following, &is_streaming));
                // In this order: only serving the connection shows whether it follows something.
                tokio::select! {
                    biased;
                    ended = talking => if let Err(error) = ended
                        && let Some(suppressed) = limits.pass(DAEMON, Notice::Connection).map(unless_none)
                    {
                        let uid = principal.uid;
                        debug!(%error, uid, suppressed, "a connection to the control socket failed");
                    },
                    () = hanging_up => {}
                }
            }
        }));
        let (task, since) = (task.abort_handle(), Instant::now());
        let connection = Connection { task, since, is_busy, is_following, principal, rank };
        connections.open.borrow_mut().insert(id, connection);
    }
}

/// A new client is about to send a request. If it does not, it can be closed after the next pause.
fn is_no_newcomer(connection: &Connection) -> bool {
    connection.since.elapsed() >= ACCEPT_PAUSE
}

/// Ready when a client with a streamed response has disconnected. While there is nothing to send, that would go
/// unnoticed otherwise. A client that has only shut down its sending side is still connected.
async fn hang_up(hung_up: impl Future<Output = ()>, is_streaming: &Cell<bool>) {
    poll_fn(|_| if is_streaming.get() { Poll::Ready(()) } else { Poll::Pending }).await;
    hung_up.await;
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    (shared, desk): (Rc<Shared>, Desk),
    principal: Principal,
    is_busy: Rc<Cell<bool>>,
    (is_following, is_streaming): (&Cell<bool>, &Cell<bool>),
) -> Result<(), hyper::Error> {
    let service = service_fn(|request| {
        let answering = router::answer(Rc::clone(&shared), desk.clone(), principal, request);
        let is_busy = Rc::clone(&is_busy);
        async move {
            let busy = Busy::mark(&is_busy);
            let answer = answering.await;
            is_streaming.set(answer.as_ref().is_ok_and(|answer| answer.body().is_stream()) || is_streaming.get());
            is_following.set(answer.as_ref().is_ok_and(|answer| answer.body().is_endless()));
            answer.map(|answer| answer.map(|body| body.holding(busy)))
        }
    });
    protocol().serve_connection(TokioIo::new(stream), service).await
}

/// HTTP/1.1 with its limits. Must be used within a runtime that has timers.
pub(crate) fn protocol() -> hyper::server::conn::http1::Builder {
    let mut protocol = hyper::server::conn::http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE).max_buf_size(MAX_HEAD).half_close(true);
    protocol
}

/// Takes a connection off the list, however its task ends.
struct Closing {
    connections: Connections,
    id: u64,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.connections.open.borrow_mut().remove(&self.id);
    }
}

impl Connections {
    fn within(budget: Rc<Cell<Budget>>) -> Connections {
        Connections { budget, open: Rc::default(), next: Rc::default() }
    }

    fn new_id(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    /// The number of connections that count: those that do not follow.
    fn counted(&self) -> usize {
        self.open.borrow().values().filter(|connection| !connection.is_following.get()).count()
    }

    /// Closes a connection if there are too many. False if all that are open have a higher rank.
    fn make_room(&self, newcomer: Rank) -> bool {
        self.counted() < self.budget.get().connections || self.close_idlest(|connection| connection.rank <= newcomer)
    }

    /// Closes connections down to the budget.
    fn close_surplus(&self) {
        while self.counted() > self.budget.get().connections && self.close_idlest(|it| !it.is_following.get()) {}
    }

    /// Closes connections that follow and have lost rights since they were accepted. A reload takes rights away at once.
    fn close_barred(&self, access: &Access) {
        self.open.borrow_mut().retain(|_, connection| {
            let is_barred = connection.is_following.get()
                && (access.client(connection.principal).rank < connection.rank
                    || access.check(connection.principal, Right::Look).is_err());
            if is_barred {
                connection.task.abort();
            }
            !is_barred
        });
    }

    /// Closes one of the connections that may be closed, preferring those that do not follow and the lowest rank: the oldest
    /// that waits for a request, otherwise the oldest of the client that has the most. Returns whether there was one.
    fn close_idlest(&self, may_be_closed: impl Fn(&Connection) -> bool) -> bool {
        let mut open = self.open.borrow_mut();
        let mut of_client: BTreeMap<Principal, usize> = BTreeMap::new();
        open.values().for_each(|connection| *of_client.entry(connection.principal).or_default() += 1);
        let candidates = open.iter().filter(|(_, connection)| may_be_closed(connection));
        let chosen = candidates.min_by_key(|(id, connection)| {
            let is_busy = connection.is_busy.get();
            let share = if is_busy { usize::MAX - of_client[&connection.principal] } else { 0 };
            (connection.is_following.get(), connection.rank, is_busy, share, **id)
        });
        let Some(id) = chosen.map(|(&id, _)| id) else { return false };
        // Removed at once, so that a burst of connections closes as many others.
        if let Some(connection) = open.remove(&id) {
            connection.task.abort();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An idle connection of this age.
    fn silent(connections: &Connections, age: Duration) -> u64 {
        let task = tokio::task::spawn_local(std::future::pending::<()>()).abort_handle();
        let since = Instant::now().checked_sub(age).expect("the machine has been up for longer");
        let (is_busy, is_following) = (Rc::default(), Rc::default());
        let id = connections.new_id();
        connections.open.borrow_mut().insert(
            id,
            Connection { task, since, is_busy, is_following, principal: Principal { uid: 0 }, rank: Rank::Root },
        );
        id
    }

    /// On a machine with nothing to spare, a client gets its processor back only some time after connect(2).
    #[test]
    fn who_has_come_only_now_is_not_closed_where_there_are_no_descriptors() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let connections = Connections::within(Rc::new(Cell::new(Budget::of(0, []))));
            silent(&connections, ACCEPT_PAUSE);
            let new = silent(&connections, Duration::ZERO);
            connections.close_idlest(is_no_newcomer);
            connections.close_idlest(is_no_newcomer);
            assert_eq!(connections.open.borrow().keys().collect::<Vec<_>>(), [&new]);
            connections.close_idlest(|_| true);
            assert!(connections.open.borrow().is_empty(), "for another connection it is");
        });
    }
}
