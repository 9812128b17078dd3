//! Connections of clients, in a pool for each listener, with bounds on each: a flood at one listener closes no client of
//! another.
//!
//! The [`Budget`] has the number of connections, which is lower where programs need the descriptors. Beyond that, a new one
//! closes the one that has been idle for longest, so a flood of silent connections keeps no client out. On TCP, clients that
//! have not logged in share a quarter of the connections, and only take each other's. Connections that
//! follow something have limits of their own and do not count here. A client that is slow runs into a timeout
//! ([`crate::pace`]), and one that follows is closed as soon as it disconnects. A panic in one connection ends that connection.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use muster_access::{Client, Peer, Rank, Source};
use muster_logging::limit::{DAEMON, Notice, unless_none};
use muster_spec::Principal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tracing::debug;

use crate::body::Busy;
use crate::budget::Budget;
use crate::gate::{Daemon, Gate, LoginFailure};
use crate::pace::{Pace, Paced, Patience};
use crate::request_head;
use crate::take_over::{self, TakeOver};
use crate::tickets::Desk;
use crate::turn_clock::spawn_beside;

/// The most requests of a connection. The last answer closes it, so that every client is accepted again now and then.
const MOST_REQUESTS: u32 = 1000;

/// The part of a listener's connections that clients on TCP have until they log in.
const UNKNOWN: usize = 4;

/// How long answers of a listener that is removed may take.
const PARTING: Duration = Duration::from_secs(1);

/// How long to leave a listener alone when no descriptor is left.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// All open connections of a listener, by age.
#[derive(Clone)]
pub(crate) struct Connections {
    /// The most there may be, which a reload may change.
    budget: Rc<Cell<Budget>>,
    /// The most there may be of this listener, which a reload may change as well.
    most: Rc<Cell<usize>>,
    open: Rc<RefCell<BTreeMap<u64, Connection>>>,
    next: Rc<Cell<u64>>,
}

struct Connection {
    task: AbortHandle,
    since: Instant,
    pace: Rc<Pace>,
    seat: Seat,
}

/// The client of a connection, as the kernel describes it and as its last request did.
#[derive(Clone)]
pub struct Seat {
    /// As the kernel describes it.
    pub peer: Rc<Peer>,
    /// The client that made its last request.
    pub client: Rc<Cell<Client>>,
    /// The function that takes over the connection after the response, if that is an upgrade.
    pub take_over: Rc<RefCell<Option<TakeOver>>>,
}

/// Serves the clients of all listeners.
pub(crate) struct Server<D> {
    shared: Rc<D>,
    desk: Desk,
    pools: Rc<RefCell<Vec<Connections>>>,
}

/// The connections of one listener.
pub(crate) struct Pool<D> {
    shared: Rc<D>,
    desk: Desk,
    connections: Connections,
}

/// A client that a listener has accepted.
pub(crate) struct Accepted<S, H> {
    pub(crate) stream: S,
    pub(crate) peer: Peer,
    /// Ready when the client has closed both directions. Polled only when nothing else would show it.
    pub(crate) hung_up: H,
}

impl<D> Clone for Server<D> {
    fn clone(&self) -> Server<D> {
        Server { shared: Rc::clone(&self.shared), desk: self.desk.clone(), pools: Rc::clone(&self.pools) }
    }
}

impl<D> Clone for Pool<D> {
    fn clone(&self) -> Pool<D> {
        let connections = self.connections.clone();
        Pool { shared: Rc::clone(&self.shared), desk: self.desk.clone(), connections }
    }
}

impl<D: Daemon> Server<D> {
    /// Starts serving. Must be called within a local runtime.
    pub(crate) fn start(shared: Rc<D>) -> Server<D> {
        let server = Server { desk: Desk::of(&shared.gate().budget), pools: Rc::clone(&shared.gate().pools), shared };
        let adapting = server.clone().adapt_for_ever();
        spawn_beside(&server.shared.gate().loop_turns, adapting);
        server
    }

    /// A pool for another listener, with this many connections at most.
    pub(crate) fn pool(&self, most: usize, is_remote: bool) -> Pool<D> {
        let budget = &self.shared.gate().budget;
        let connections = Connections::within(Rc::clone(budget), most);
        self.pools.borrow_mut().push(connections.clone());
        let desk = if is_remote { self.desk.of_remote(budget) } else { self.desk.clone() };
        Pool { shared: Rc::clone(&self.shared), desk, connections }
    }

    /// Closes the connections of a listener that was removed. Answers that are being sent get a moment to complete.
    pub(crate) fn retire(&self, pool: &Pool<D>) {
        let (connections, pools) = (pool.connections.clone(), Rc::clone(&self.pools));
        let retiring = async move {
            connections.close(|connection| !connection.pace.is_busy.get());
            // A client that does not read in time loses the rest of its response.
            let _ = tokio::time::timeout(PARTING, connections.idle()).await;
            connections.close(|_| true);
            pools.borrow_mut().retain(|other| !Rc::ptr_eq(&other.open, &connections.open));
        };
        spawn_beside(&self.shared.gate().loop_turns, retiring);
    }

    /// Closes connections that a reload has no room for or takes rights from, and those of sessions that have ended.
    async fn adapt_for_ever(self) {
        loop {
            self.shared.gate().changed().await;
            for connections in &*self.pools.borrow() {
                connections.close_surplus();
                connections.close_barred(self.shared.gate());
            }
        }
    }

    /// Gives responses that are being sent a moment to complete. Listeners must have stopped.
    pub(crate) async fn finish(self, patience: Duration) {
        let pools = self.pools.borrow().clone();
        let all_idle = async {
            for connections in &pools {
                connections.idle().await;
            }
        };
        // A client that does not read in time loses the rest of its response.
        let _ = tokio::time::timeout(patience, all_idle).await;
    }
}

impl<D: Daemon> Pool<D> {
    /// Whether another connection may have to close one.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.connections.counted() + 1 >= self.connections.most()
            || self.connections.unknown() + 1 >= self.connections.most_unknown()
    }

    /// Changes the most connections of this listener.
    pub(crate) fn resize(&self, most: usize) {
        self.connections.most.set(most);
        self.connections.close_surplus();
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
        let Accepted { stream, peer, hung_up } = accepted;
        let Pool { shared, desk, connections } = self.clone();
        let newcomer = shared.gate().access.borrow().newcomer(&peer);
        if !connections.make_room(newcomer) {
            return;
        }
        let seat = Seat { peer: Rc::new(peer), client: Rc::new(Cell::new(newcomer)), take_over: Rc::default() };
        let id = connections.new_id();
        // Only on a Unix socket has the client a user id.
        let pace = Rc::new(Pace::new(Patience::USUAL, seat.peer.uid.is_some()));
        let (limits, loop_turns) = (shared.gate().limits.clone(), Rc::clone(&shared.gate().loop_turns));
        let closing = Closing { connections: connections.clone(), id };
        let task = spawn_beside(&loop_turns, {
            let (seat, pace) = (seat.clone(), Rc::clone(&pace));
            async move {
                let _closing = closing;
                let is_streaming = Cell::new(false);
                let hanging_up = hang_up(hung_up, &is_streaming);
                let talking = talk(stream, (shared, desk), &seat, (&pace, &is_streaming));
                // In this order: only serving the connection shows whether it follows something.
                tokio::select! {
                    biased;
                    ended = talking => if let Err(error) = ended
                        && let Some(suppressed) = limits.pass(DAEMON, Notice::Connection).map(unless_none)
                    {
                        let client = seat.client.get().principal;
                        debug!(%error, %client, suppressed, "a connection of the API failed");
                    },
                    () = hanging_up => {}
                }
            }
        });
        let (task, since) = (task.abort_handle(), Instant::now());
        let connection = Connection { task, since, pace, seat };
        connections.open.borrow_mut().insert(id, connection);
    }
}

/// A connection as `GET /v1/debug/connections` shows it.
#[derive(Debug, serde::Serialize)]
pub struct Described {
    listener: String,
    client: String,
    role: Option<&'static str>,
    age: f64,
    is_busy: bool,
    is_following: bool,
    may_log_in: bool,
}

impl Connection {
    fn describe(&self) -> Described {
        let client = self.seat.client.get();
        let from = self.seat.peer.address.map(|address| format!(" at {address}")).unwrap_or_default();
        Described {
            listener: self.seat.peer.listener.to_string(),
            client: format!("{}{from}", client.principal),
            role: client.role.map(|role| role.name()),
            age: self.since.elapsed().as_secs_f64(),
            is_busy: self.pace.is_busy.get(),
            is_following: self.pace.is_following.get(),
            may_log_in: client.may_log_in(),
        }
    }

    fn principal(&self) -> Principal {
        self.seat.client.get().principal
    }

    fn rank(&self) -> Rank {
        self.seat.client.get().rank
    }

    /// Whether it is for a client to log in that has not.
    fn is_unknown(&self) -> bool {
        self.seat.client.get().may_log_in()
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

async fn talk<D: Daemon>(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    (shared, desk): (Rc<D>, Desk),
    seat: &Seat,
    (pace, is_streaming): (&Rc<Pace>, &Cell<bool>),
) -> Result<(), hyper::Error> {
    let served = Cell::new(0);
    let service = service_fn(|request| {
        let is_too_large = request_head::is_too_large(&request);
        let answering = Rc::clone(&shared).answer(desk.clone(), seat.clone(), request);
        served.set(served.get() + 1);
        let is_last = served.get() >= MOST_REQUESTS;
        async move {
            pace.begin();
            let busy = Busy::mark(&pace.is_busy);
            let mut answer = if is_too_large { request_head::refusal() } else { answering.await };
            if !seat.client.get().may_log_in() {
                pace.knows();
            }
            is_streaming.set(answer.body().is_stream() || is_streaming.get());
            pace.is_following.set(answer.body().is_endless());
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                pace.hand_over();
            } else if is_last || pace.is_overdue() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer.map(|body| body.holding(busy)))
        }
    });
    let stream = TokioIo::new(Paced::new(stream, Rc::clone(pace)));
    // Only on a Unix socket do clients close one direction and go on reading.
    let serving = protocol().half_close(pace.is_local).serve_connection(stream, service);
    let ended = serving.without_shutdown().await;
    if served.get() == 0 && pace.is_overdue() {
        shared.gate().count_failure(&seat.peer.listener, LoginFailure::Silent);
    }
    let left = ended?;
    let is_upgraded = seat.take_over.borrow().is_some();
    if is_upgraded {
        // From here on it is like any other connection that follows something.
        pace.is_following.set(true);
        is_streaming.set(true);
    }
    take_over::finish(seat, left.io.into_inner(), left.read_buf.into()).await;
    Ok(())
}

/// HTTP/1.1 with its limits on size; [`Paced`] has those on time.
pub(crate) fn protocol() -> hyper::server::conn::http1::Builder {
    let mut protocol = hyper::server::conn::http1::Builder::new();
    protocol.header_read_timeout(None::<Duration>).max_buf_size(request_head::MOST).half_close(true);
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
    fn within(budget: Rc<Cell<Budget>>, most: usize) -> Connections {
        Connections { budget, most: Rc::new(Cell::new(most)), open: Rc::default(), next: Rc::default() }
    }

    fn new_id(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    /// All of them, for people.
    pub(crate) fn describe(&self) -> Vec<Described> {
        self.open.borrow().values().map(Connection::describe).collect()
    }

    /// The most there may be.
    fn most(&self) -> usize {
        self.budget.get().connections.min(self.most.get())
    }

    /// The most there may be of clients that have not logged in.
    fn most_unknown(&self) -> usize {
        // Two that come at the same time must not close each other.
        (self.most() / UNKNOWN).max(2)
    }

    /// Waits until nothing is being answered.
    async fn idle(&self) {
        while self.open.borrow().values().any(|connection| connection.pace.is_busy.get()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The number of connections that count: those that do not follow.
    fn counted(&self) -> usize {
        self.open.borrow().values().filter(|connection| !connection.pace.is_following.get()).count()
    }

    /// The number of clients that have not logged in.
    fn unknown(&self) -> usize {
        self.open.borrow().values().filter(|connection| connection.is_unknown()).count()
    }

    /// Closes a connection if there are too many. False if all that are open have a higher rank.
    fn make_room(&self, newcomer: Client) -> bool {
        if newcomer.may_log_in() && self.unknown() >= self.most_unknown() {
            self.close_unknown();
        }
        self.counted() < self.most() || self.close_idlest(|connection| connection.rank() <= newcomer.rank)
    }

    /// Closes one of the clients that have not logged in: the oldest that waits, otherwise the oldest, of the network that
    /// has the most. So a flood from one network closes no connection of another.
    fn close_unknown(&self) {
        let network = |connection: &Connection| connection.seat.peer.address.map(Source::from);
        let mut open = self.open.borrow_mut();
        let mut of_network: BTreeMap<Option<Source>, usize> = BTreeMap::new();
        let unknown = || open.iter().filter(|(_, connection)| connection.is_unknown());
        unknown().for_each(|(_, connection)| *of_network.entry(network(connection)).or_default() += 1);
        let chosen = unknown().min_by_key(|(id, connection)| {
            (usize::MAX - of_network[&network(connection)], connection.pace.is_busy.get(), **id)
        });
        let chosen = chosen.map(|(&id, _)| id);
        if let Some(connection) = chosen.and_then(|id| open.remove(&id)) {
            connection.task.abort();
        }
    }

    /// Closes the connections of which this is true.
    fn close(&self, is_wanted: impl Fn(&Connection) -> bool) {
        for (_, connection) in self.open.borrow_mut().extract_if(.., |_, connection| is_wanted(connection)) {
            connection.task.abort();
        }
    }

    /// Closes connections down to the budget.
    fn close_surplus(&self) {
        while self.counted() > self.most() && self.close_idlest(|it| !it.pace.is_following.get()) {}
    }

    /// Closes connections that follow and have lost rights since they were accepted. A reload takes rights away at once.
    fn close_barred(&self, gate: &Gate) {
        self.close(|Connection { pace, seat, .. }| {
            pace.is_following.get() && !gate.still_admits(&seat.peer, &seat.client.get())
        });
    }

    /// Closes one of the connections that may be closed, preferring those that do not follow and the lowest rank: the oldest
    /// that waits for a request, otherwise the oldest of the client that has the most. Returns whether there was one.
    fn close_idlest(&self, may_be_closed: impl Fn(&Connection) -> bool) -> bool {
        let mut open = self.open.borrow_mut();
        let mut of_client: BTreeMap<Principal, usize> = BTreeMap::new();
        open.values().for_each(|connection| *of_client.entry(connection.principal()).or_default() += 1);
        let candidates = open.iter().filter(|(_, connection)| may_be_closed(connection));
        let chosen = candidates.min_by_key(|(id, connection)| {
            let is_busy = connection.pace.is_busy.get();
            let share = if is_busy { usize::MAX - of_client[&connection.principal()] } else { 0 };
            let (follows, is_known) = (connection.pace.is_following.get(), !connection.is_unknown());
            (follows, connection.rank(), is_known, is_busy, share, **id)
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
    use std::sync::Arc;

    use muster_access::Access;
    use muster_spec::ListenAddress;

    use super::*;

    fn seat() -> Seat {
        let listener = Arc::new(ListenAddress::Unix("/s".into()));
        let peer = Peer { listener, uid: Some(0), pid: None, address: None, security: muster_access::Security::Clear };
        let client = Access::default().newcomer(&peer);
        Seat { peer: Rc::new(peer), client: Rc::new(Cell::new(client)), take_over: Rc::default() }
    }

    /// An idle connection of this age.
    fn silent(connections: &Connections, age: Duration) -> u64 {
        let task = tokio::task::spawn_local(std::future::pending::<()>()).abort_handle();
        let since = Instant::now().checked_sub(age).expect("the machine has been up for longer");
        let pace = Rc::new(Pace::new(Patience::USUAL, true));
        let id = connections.new_id();
        connections.open.borrow_mut().insert(id, Connection { task, since, pace, seat: seat() });
        id
    }

    /// On a machine with nothing to spare, a client gets its processor back only some time after connect(2).
    #[test]
    fn who_has_come_only_now_is_not_closed_where_there_are_no_descriptors() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let connections = Connections::within(Rc::new(Cell::new(Budget::of(0, [], 0))), 8);
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
