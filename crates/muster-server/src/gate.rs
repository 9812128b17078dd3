//! State that connections share with the rest of the daemon.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use hyper::Request;
use hyper::body::Incoming;
use muster_access::{Access, Client, Logins, Peer, Sessions};
use muster_listen::Bound;
use muster_logging::limit::Limits;
use muster_spec::{ListenAddress, ListenSpec};
use muster_sys::trusted::random_key;
use tokio::sync::Notify;

use crate::budget::Budget;
use crate::connections::{Connections, Described, Seat};
use crate::response::Answer;
use crate::secrets::Secrets;
use crate::tickets::Desk;
use crate::turn_clock::LoopTurns;
use crate::verifier::Verifier;

/// Answers the requests of all connections.
pub trait Daemon: 'static {
    /// The state that it shares with connections.
    fn gate(&self) -> &Gate;

    /// Certificates of listeners, and counters of what they serve.
    fn secrets(&self) -> &Secrets;

    /// The path of the control socket.
    fn control_address(&self) -> Option<ListenAddress>;

    /// The other listeners of the active configuration.
    fn listeners(&self) -> Vec<ListenSpec>;

    /// Answers a request of the client in this seat.
    fn answer(self: Rc<Self>, desk: Desk, seat: Seat, request: Request<Incoming>) -> impl Future<Output = Answer>;
}

/// State of connections, all on one thread. No borrow is ever held over an await.
pub struct Gate {
    /// The rules of all listeners.
    pub access: RefCell<Access>,
    /// Logins of clients, right and wrong.
    pub logins: RefCell<Logins>,
    /// Logins of browsers.
    pub sessions: RefCell<Sessions>,
    /// Compares passwords with their hashes.
    pub verifier: Verifier,
    /// Limits on what clients can make the daemon log.
    pub limits: Limits,
    /// The resources that clients may use: descriptors and requests.
    pub budget: Rc<Cell<Budget>>,
    /// Notified when the budget has changed.
    pub divided: Notify,
    /// Listeners that were opened for a configuration, before it became active.
    pub opened: RefCell<Vec<(ListenSpec, Vec<Bound>)>>,
    /// The listeners that cannot be opened, and why.
    pub not_listening: RefCell<BTreeMap<ListenAddress, String>>,
    /// Notified when the configuration of the listeners may have changed.
    pub listeners_changed: Notify,
    pub(crate) loop_turns: Rc<LoopTurns>,
    pub(crate) pools: Rc<RefCell<Vec<Connections>>>,
    failures: RefCell<BTreeMap<(ListenAddress, LoginFailure), u64>>,
}

/// Why a client did not log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoginFailure {
    /// It sent a wrong login.
    Wrong,
    /// Its login was not looked at, after too many wrong ones of its address.
    Throttled,
    /// It sent no request in time.
    Silent,
}

impl LoginFailure {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            LoginFailure::Wrong => "wrong",
            LoginFailure::Throttled => "throttled",
            LoginFailure::Silent => "silent",
        }
    }
}

impl Gate {
    /// The state at the start.
    pub fn new(access: Access, budget: Budget, limits: Limits, loop_turns: Rc<LoopTurns>) -> Gate {
        Gate {
            access: RefCell::new(access),
            logins: RefCell::new(Logins::new(random_key().ok())),
            sessions: RefCell::default(),
            verifier: Verifier::default(),
            limits,
            budget: Rc::new(Cell::new(budget)),
            divided: Notify::new(),
            opened: RefCell::default(),
            not_listening: RefCell::default(),
            listeners_changed: Notify::new(),
            loop_turns,
            pools: Rc::default(),
            failures: RefCell::default(),
        }
    }

    /// Replaces the rules. Logins and sessions that are no longer right end.
    pub fn put_access(&self, access: Access) {
        self.logins.borrow_mut().forget_right();
        self.sessions.borrow_mut().retain(|proof| access.knows(proof));
        *self.access.borrow_mut() = access;
    }

    /// Ready when the budget has changed, or a session has begun or ended. The timer runs only while there are sessions.
    pub(crate) async fn changed(&self) {
        let next = self.sessions.borrow().next_end();
        match next {
            None => self.divided.notified().await,
            Some(end) => {
                // Time over and a notification are the same here.
                let _ = tokio::time::timeout_at(end.into(), self.divided.notified()).await;
            }
        }
        self.sessions.borrow_mut().expire(Instant::now());
    }

    /// Whether a client that was let in has kept its rights, and its session if it has one.
    pub(crate) fn still_admits(&self, peer: &Peer, client: &Client) -> bool {
        client.session.is_none_or(|number| self.sessions.borrow().has(number))
            && self.access.borrow().still_admits(peer, client)
    }

    /// The open connections, for people.
    pub fn connections(&self) -> Vec<Described> {
        self.pools.borrow().iter().flat_map(Connections::describe).collect()
    }

    /// Counts a client of this listener that did not log in.
    pub fn count_failure(&self, listener: &ListenAddress, why: LoginFailure) {
        let mut failures = self.failures.borrow_mut();
        *failures.entry((listener.clone(), why)).or_default() += 1;
    }

    /// The number of clients that did not log in, by listener and reason.
    pub fn failures(&self) -> BTreeMap<(ListenAddress, LoginFailure), u64> {
        self.failures.borrow().clone()
    }

    /// Forgets what was counted of listeners that are gone.
    pub(crate) fn forget(&self, is_there: impl Fn(&ListenAddress) -> bool) {
        self.not_listening.borrow_mut().retain(|address, _| is_there(address));
        self.failures.borrow_mut().retain(|(address, _), _| is_there(address));
    }
}
