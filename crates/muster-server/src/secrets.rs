//! Secrets of the API that are active: the certificates of listeners, and what is counted of them.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use muster_listen::tls::Servers;
use tokio::sync::Notify;

/// The certificates of listeners, and counters.
#[derive(Debug, Default)]
pub struct Secrets {
    servers: RefCell<Arc<Servers>>,
    handshakes: RefCell<Counts>,
    failures: Cell<u64>,
    /// Notified when a reload may have changed which files there are.
    pub reloaded: Notify,
}

impl Secrets {
    /// Those of a configuration.
    pub fn new(servers: Arc<Servers>) -> Secrets {
        Secrets { servers: RefCell::new(servers), ..Secrets::default() }
    }

    /// The TLS of all listeners.
    pub fn servers(&self) -> Arc<Servers> {
        Arc::clone(&self.servers.borrow())
    }

    /// Uses this TLS for new handshakes.
    pub fn put(&self, servers: Arc<Servers>) {
        *self.servers.borrow_mut() = servers;
    }

    /// Counts a handshake.
    pub fn count(&self, outcome: Outcome) {
        self.handshakes.borrow_mut().add(outcome);
    }

    /// The number of handshakes by their outcome.
    pub fn handshakes(&self) -> Counts {
        *self.handshakes.borrow()
    }

    /// Counts secrets that could not be read again.
    pub fn failed(&self) {
        self.failures.set(self.failures.get() + 1);
    }

    /// How often secrets could not be read again.
    pub fn failures(&self) -> u64 {
        self.failures.get()
    }
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The connection is secure.
    Done,
    /// The client's certificate was refused.
    Refused,
    /// The client was too slow.
    Slow,
    /// There were too many.
    Limited,
    /// The client does not speak TLS, or not a version of it that is allowed, or it disconnected.
    Failed,
}

impl Outcome {
    /// All of them, with their names in metrics.
    pub const ALL: [(&'static str, Outcome); 5] = [
        ("ok", Outcome::Done),
        ("certificate", Outcome::Refused),
        ("timeout", Outcome::Slow),
        ("limited", Outcome::Limited),
        ("failed", Outcome::Failed),
    ];
}

/// The number of handshakes by their outcome.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts([u64; Outcome::ALL.len()]);

impl Counts {
    /// Counts one.
    pub fn add(&mut self, outcome: Outcome) {
        let all = Outcome::ALL.iter().zip(&mut self.0);
        all.filter(|((_, other), _)| *other == outcome).for_each(|(_, count)| *count += 1);
    }

    /// Each name with its number.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Outcome::ALL.iter().zip(&self.0).map(|((name, _), count)| (*name, *count))
    }
}
