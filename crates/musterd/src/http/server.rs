//! Accepting connections, with bounds on all of them.
//!
//! There are so many connections as the [`Budget`] has, and fewer where programs need the descriptors. When one more comes, the one
//! that has been idle for longest is closed, so a flood of connections that say nothing keeps nobody out. Those who follow
//! something are bounded by what they follow and not counted here. A client that is slow to send is closed by a timeout,
//! one that follows and goes away at once; a panic in one connection ends that connection.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use muster_api::Method;
use muster_sys::async_fd::Watched;
use muster_sys::release::Exposed;
use tokio::net::UnixListener;
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use super::client_stream::ClientStream;
use super::router;
use super::stream::Busy;
use super::tickets::Desk;
use crate::access::Access;
use crate::access::Rank;
use crate::budget::Budget;
use crate::limit::{DAEMON, Notice, unless_none};
use crate::shared::Shared;
use crate::turn_clock::beside;

/// How long a client may take to send a request's headers, and keep a connection open without a request.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);

/// How long to leave the listener alone when no descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// All open connections, by age.
#[derive(Clone)]
struct Connections {
    /// How many there may be: a reload may change it.
    budget: Rc<Cell<Budget>>,
    open: Rc<RefCell<BTreeMap<u64, Connection>>>,
    next: Rc<Cell<u64>>,
}

struct Connection {
    task: AbortHandle,
    since: Instant,
    is_busy: Rc<Cell<bool>>,
    is_following: Rc<Cell<bool>>,
    uid: u32,
    rank: Rank,
}

/// The server of the control socket.
pub(crate) struct Server {
    connections: Connections,
    accepting: AbortHandle,
}

impl Server {
    /// Accepts from now on. Must be called within a local runtime.
    pub(crate) fn start(listener: UnixListener, shared: Rc<Shared>) -> Server {
        let connections = Connections::within(Rc::clone(&shared.budget));
        let desk = Desk::of(&shared.budget);
        let accepting = tokio::task::spawn_local(beside(
            Rc::clone(&shared.loop_turns),
            accept_for_ever(Exposed::new(listener), shared, desk, connections.clone()),
        ));
        Server { connections, accepting: accepting.abort_handle() }
    }

    /// Accepts nobody any more, and gives answers that are on their way a moment to be sent.
    pub(crate) async fn finish(self, patience: Duration) {
        self.accepting.abort();
        let all_idle = async {
            while self.connections.open.borrow().values().any(|connection| connection.is_busy.get()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // Who does not take its answer in time goes without.
        let _ = tokio::time::timeout(patience, all_idle).await;
    }
}

async fn accept_for_ever(listener: Exposed<UnixListener>, shared: Rc<Shared>, desk: Desk, connections: Connections) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.divided.notified() => {
                connections.close_surplus();
                connections.close_barred(&shared.access.borrow());
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                serve(ClientStream::from(stream), &shared, &desk, &connections);
                // In a burst, those that were closed must go before the next one is taken: until their tasks have had
                // their turn their descriptors are open. And who has just come is heard before it can be closed. Where
                // there is room for more the next is taken at once, however much others make the loop do in a turn.
                if connections.is_nearly_full() {
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => {
                if let Some(suppressed) = shared.limits.pass(DAEMON, Notice::Accepting).map(unless_none) {
                    warn!(%error, suppressed, "cannot accept a connection on the control socket");
                }
                connections.close_idlest(is_no_newcomer);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Who has come only now is about to ask. If it does not, it can be closed after the next pause.
fn is_no_newcomer(connection: &Connection) -> bool {
    connection.since.elapsed() >= ACCEPT_PAUSE
}

fn serve(stream: ClientStream, shared: &Rc<Shared>, desk: &Desk, connections: &Connections) {
    let Ok(uid) = stream.uid() else { return };
    let rank = shared.access.borrow().rank(uid);
    if !connections.make_room(rank) {
        return;
    }
    let id = connections.new_id();
    let (is_busy, is_following) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let task = tokio::task::spawn_local(beside(Rc::clone(&shared.loop_turns), {
        let desk = desk.clone();
        let (shared, limits) = (Rc::clone(shared), shared.limits.clone());
        let closing = Closing { connections: connections.clone(), id };
        let (is_busy, is_following) = (Rc::clone(&is_busy), Rc::clone(&is_following));
        async move {
            let _closing = closing;
            let is_streaming = Cell::new(false);
            let hanging_up = hang_up(&stream, &is_streaming);
            let talking = talk(stream, (shared, desk), uid, is_busy, (&is_following, &is_streaming));
            // In this order: whether it follows is known when it has talked.
            tokio::select! {
                biased;
                ended = talking => if let Err(error) = ended
                    && let Some(suppressed) = limits.pass(DAEMON, Notice::Connection).map(unless_none)
                {
                    debug!(%error, uid, suppressed, "a connection to the control socket ended badly");
                },
                () = hanging_up => {}
            }
        }
    }));
    let connection = Connection { task: task.abort_handle(), since: Instant::now(), is_busy, is_following, uid, rank };
    connections.open.borrow_mut().insert(id, connection);
}

/// Ready when a client has gone away that gets its answer piece by piece: it follows, or its answer is still being looked
/// for. Nothing is sent to it while there is nothing, so it would not be noticed;
/// and a client that has only finished sending is still there. The end of both directions is told (`EPOLLHUP`, epoll_ctl(2))
/// to who asks for nothing else.
fn hang_up<'a>(stream: &ClientStream, is_streaming: &'a Cell<bool>) -> impl Future<Output = ()> + use<'a> {
    let copy = stream.as_fd().try_clone_to_owned().map(Exposed::new);
    async move {
        poll_fn(|_| if is_streaming.get() { Poll::Ready(()) } else { Poll::Pending }).await;
        // Where there is no descriptor for this it is noticed when something is sent.
        let Ok(watched) = copy.and_then(Watched::for_hanging_up) else {
            return std::future::pending().await;
        };
        if watched.hung_up().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn talk(
    stream: ClientStream,
    (shared, desk): (Rc<Shared>, Desk),
    uid: u32,
    is_busy: Rc<Cell<bool>>,
    (is_following, is_streaming): (&Cell<bool>, &Cell<bool>),
) -> Result<(), hyper::Error> {
    let service = service_fn(|request| {
        let answering = router::answer(Rc::clone(&shared), desk.clone(), uid, request);
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

    /// How many count, which are those that do not follow.
    fn counted(&self) -> usize {
        self.open.borrow().values().filter(|connection| !connection.is_following.get()).count()
    }

    fn is_nearly_full(&self) -> bool {
        self.counted() + 1 >= self.budget.get().connections
    }

    /// Closes a connection if there are too many. False where all that are open come before this one.
    fn make_room(&self, newcomer: Rank) -> bool {
        self.counted() < self.budget.get().connections || self.close_idlest(|connection| connection.rank <= newcomer)
    }

    /// Closes those that there is no room for any more.
    fn close_surplus(&self) {
        while self.counted() > self.budget.get().connections && self.close_idlest(|it| !it.is_following.get()) {}
    }

    /// Closes those that follow and are no longer allowed what they were when they came: a reload takes rights away at once.
    fn close_barred(&self, access: &Access) {
        self.open.borrow_mut().retain(|_, connection| {
            let is_barred = connection.is_following.get()
                && (access.rank(connection.uid) < connection.rank
                    || access.check(connection.uid, Method::Get).is_err());
            if is_barred {
                connection.task.abort();
            }
            !is_barred
        });
    }

    /// Of those that may be closed, closes one that does not follow, of the lowest rank there is: the oldest that waits for a
    /// request, or else the oldest of the user who has the most. Gives whether there was one.
    fn close_idlest(&self, may_be_closed: impl Fn(&Connection) -> bool) -> bool {
        let mut open = self.open.borrow_mut();
        let mut of_user: BTreeMap<u32, usize> = BTreeMap::new();
        open.values().for_each(|connection| *of_user.entry(connection.uid).or_default() += 1);
        let candidates = open.iter().filter(|(_, connection)| may_be_closed(connection));
        let chosen = candidates.min_by_key(|(id, connection)| {
            let is_busy = connection.is_busy.get();
            let share = if is_busy { usize::MAX - of_user[&connection.uid] } else { 0 };
            (connection.is_following.get(), connection.rank, is_busy, share, **id)
        });
        let Some(id) = chosen.map(|(&id, _)| id) else { return false };
        // It is off the list at once, so that a burst of connections closes as many others.
        if let Some(connection) = open.remove(&id) {
            connection.task.abort();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that says nothing, this old.
    fn silent(connections: &Connections, age: Duration) -> u64 {
        let task = tokio::task::spawn_local(std::future::pending::<()>()).abort_handle();
        let since = Instant::now().checked_sub(age).expect("this machine runs for longer");
        let (is_busy, is_following) = (Rc::default(), Rc::default());
        let id = connections.new_id();
        connections
            .open
            .borrow_mut()
            .insert(id, Connection { task, since, is_busy, is_following, uid: 0, rank: Rank::Root });
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
