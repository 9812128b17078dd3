//! Listeners: each accepts clients in its own way and hands them to its [`Pool`] of connections.
//!
//! The control socket is opened first and kept to the end. The others follow the configuration: a reload compares them by
//! address. One that keeps its host and port and changes between http and https takes the socket over, so that no other
//! process can bind the port in between. One that cannot be opened is tried again, and supervision goes on.

#[cfg(feature = "tls")]
mod handshakes;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
mod unix;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use muster_listen::unix::{BoundPath, Socket};
use muster_listen::{Bound, NotOpened};
use muster_logging::limit::{DAEMON, Notice, unless_none};
use muster_spec::{HostPort, ListenAddress, ListenSpec};
use muster_sys::user::Accounts;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::connections::{ACCEPT_PAUSE, Pool, Server};
use crate::gate::{Daemon, Gate};
use crate::turn_clock::spawn_beside;

/// How long to wait before an address is tried again, at first and at most.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// A listener while it accepts clients. Dropping it stops that, and removes the name of a Unix socket.
struct Listening<D> {
    accepting: Vec<JoinHandle<()>>,
    pool: Pool<D>,
    /// Whether its connections on TCP are encrypted.
    has_tls: bool,
    /// Its socket on TCP, which another listener can take over.
    socket: Option<Rc<TcpListener>>,
    _place: Option<BoundPath>,
}

impl<D> Listening<D> {
    fn stop_accepting(&self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }

    /// Stops accepting. Returns the socket on TCP, which is closed unless it is kept.
    async fn close(mut self) -> Option<Rc<TcpListener>> {
        self.stop_accepting();
        for accepting in std::mem::take(&mut self.accepting) {
            // A task has its socket until it has noticed that it was aborted.
            let _ = accepting.await;
        }
        self.socket.take()
    }
}

impl<D> Drop for Listening<D> {
    fn drop(&mut self) {
        self.stop_accepting();
    }
}

/// All listeners.
pub struct Listeners<D> {
    control: Option<Listening<D>>,
    server: Server<D>,
    others: Rc<RefCell<BTreeMap<ListenAddress, Listening<D>>>>,
}

impl<D: Daemon> Listeners<D> {
    /// Starts to accept at the control socket and the listeners that were opened. Must be called within a local runtime.
    pub fn start(shared: &Rc<D>, control: Option<Socket>, opened: Vec<(ListenSpec, Vec<Bound>)>) -> Listeners<D> {
        let server = Server::start(Rc::clone(shared));
        let address = shared.control_address();
        let control = control.zip(address).map(|(socket, address)| {
            let pool = server.pool(ListenSpec::UNIX_CONNECTIONS, false);
            start(shared, pool, &address, vec![Bound::Unix(socket)])
        });
        *shared.gate().opened.borrow_mut() = opened;
        let listeners = Listeners { control, server, others: Rc::default() };
        let following = follow(Rc::clone(shared), listeners.server.clone(), Rc::clone(&listeners.others));
        run(shared, following);
        listeners
    }

    /// Stops accepting, gives responses that are being sent a moment to complete, and removes the names of the sockets.
    pub async fn stop(self, patience: Duration) {
        self.control.iter().for_each(Listening::stop_accepting);
        self.others.borrow().values().for_each(Listening::stop_accepting);
        self.server.finish(patience).await;
        self.others.borrow_mut().clear();
    }
}

/// Has the listeners follow the configuration. Never returns.
async fn follow<D: Daemon>(
    shared: Rc<D>,
    server: Server<D>,
    running: Rc<RefCell<BTreeMap<ListenAddress, Listening<D>>>>,
) {
    let mut pause = RETRY;
    loop {
        let wanted = shared.listeners();
        // An inherited socket that gets a certificate must serve no client in clear text from then on.
        let is_wanted = |address: &ListenAddress, has_tls: bool| {
            wanted.iter().any(|listener| listener.address == *address && listener.tls.is_some() == has_tls)
        };
        let removed: Vec<_> =
            running.borrow_mut().extract_if(.., |address, it| !is_wanted(address, it.has_tls)).collect();
        removed.iter().for_each(|(_, listening)| server.retire(&listening.pool));
        let mut handed_over = BTreeMap::new();
        for (address, listening) in removed {
            let socket = listening.close().await;
            let place = address.place().filter(|place| wanted.iter().any(|it| it.address.place() == Some(place)));
            handed_over.extend(place.cloned().zip(socket));
        }
        let control = shared.control_address();
        let is_named = |address: &ListenAddress| wanted.iter().any(|listener| listener.address == *address);
        shared.gate().forget(|address| is_named(address) || control.as_ref() == Some(address));
        for listener in wanted {
            if let Some(listening) = running.borrow().get(&listener.address) {
                listening.pool.resize(listener.connections);
            }
            if !running.borrow().contains_key(&listener.address)
                && let Some(listening) = open(&shared, &server, &listener, &mut handed_over)
            {
                running.borrow_mut().insert(listener.address.clone(), listening);
            }
        }
        // Sockets opened for a configuration that never became active.
        shared.gate().opened.borrow_mut().clear();
        let is_complete = shared.gate().not_listening.borrow().is_empty();
        tokio::select! {
            () = shared.gate().listeners_changed.notified() => pause = RETRY,
            () = tokio::time::sleep(pause), if !is_complete => pause = (2 * pause).min(LONGEST_RETRY),
        }
    }
}

/// Starts a listener, unless its address cannot be opened now. `handed_over` are sockets of listeners that were removed.
fn open<D: Daemon>(
    shared: &Rc<D>,
    server: &Server<D>,
    listener: &ListenSpec,
    handed_over: &mut BTreeMap<HostPort, Rc<TcpListener>>,
) -> Option<Listening<D>> {
    let address = &listener.address;
    let prepared = {
        let mut opened = shared.gate().opened.borrow_mut();
        let at = opened.iter().position(|(spec, _)| spec.address == *address);
        at.map(|at| opened.swap_remove(at).1)
    };
    let taken_over = address.place().and_then(|place| handed_over.remove(place));
    let prepared = taken_over.map(|socket| vec![Bound::Tcp(socket)]).or(prepared);
    let bound = prepared.map_or_else(|| muster_listen::open(listener, &mut Accounts::default()), Ok);
    match bound {
        Ok(bound) => {
            if shared.gate().not_listening.borrow_mut().remove(address).is_some() {
                info!(listener = %address, "accepting connections now");
            }
            let is_remote = bound.iter().any(|socket| matches!(socket, Bound::Tcp(_)));
            let pool = server.pool(listener.connections, is_remote);
            Some(start(shared, pool, address, bound))
        }
        Err(error) => {
            note(shared.gate(), address, &error);
            None
        }
    }
}

/// Accepts at all sockets of a listener.
fn start<D: Daemon>(shared: &Rc<D>, pool: Pool<D>, address: &ListenAddress, bound: Vec<Bound>) -> Listening<D> {
    let address = Arc::new(address.clone());
    let has_tls = shared.secrets().servers().not_after(&address).is_some();
    let mut listening = Listening { accepting: Vec::new(), pool, has_tls, socket: None, _place: None };
    for socket in bound {
        if let (Some(_), Bound::Tcp(socket)) = (address.place(), &socket) {
            listening.socket = Some(Rc::clone(socket));
        }
        let (address, pool) = (Arc::clone(&address), listening.pool.clone());
        let again = Rc::clone(shared);
        listening.accepting.push(match socket {
            #[cfg(feature = "tls")]
            Bound::Tcp(socket) if has_tls => run(shared, tls::accept_for_ever(socket, address, again, pool)),
            Bound::Tcp(socket) => run(shared, tcp::accept_for_ever(socket, address, again, pool)),
            Bound::InheritedUnix(socket) => run(shared, unix::accept_for_ever(socket, address, again, pool)),
            Bound::Unix(socket) => {
                let (socket, place) = socket.into_parts();
                listening._place = Some(place);
                run(shared, unix::accept_for_ever(socket, address, again, pool))
            }
        });
    }
    listening
}

/// Runs a task beside the event loop. Must be called within a local runtime.
fn run<D: Daemon>(shared: &Rc<D>, task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    spawn_beside(&shared.gate().loop_turns, task)
}

/// Keeps the reason why an address cannot be opened, and logs a new one.
fn note(gate: &Gate, address: &ListenAddress, error: &NotOpened) {
    let reason = error.to_string();
    let before = gate.not_listening.borrow_mut().insert(address.clone(), reason.clone());
    if before.as_ref() != Some(&reason)
        && let Some(suppressed) = gate.limits.pass(DAEMON, Notice::Accepting).map(unless_none)
    {
        warn!(listener = %address, error = reason, suppressed, "cannot listen, trying again until it works");
    }
}

/// Makes room after a failed accept(2), and waits.
async fn recover<D: Daemon>(error: io::Error, shared: &Rc<D>, pool: &Pool<D>, listener: &dyn Display) {
    if let Some(suppressed) = shared.gate().limits.pass(DAEMON, Notice::Accepting).map(unless_none) {
        warn!(%error, %listener, suppressed, "cannot accept a connection");
    }
    pool.make_descriptor_free();
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Lets connections that were closed end. In a burst, they must be gone before the next one is accepted: their descriptors
/// stay open until their tasks have run. And a new client must be served before it can be closed. If there is room for
/// more, the next client is accepted at once, however much work the loop does per turn.
async fn let_close<D: Daemon>(pool: &Pool<D>) {
    if pool.is_nearly_full() {
        tokio::task::yield_now().await;
    }
}
