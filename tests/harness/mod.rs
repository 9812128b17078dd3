//! The base of the black-box tests: real daemons, each in its own place, observed from outside.
//!
//! A test describes a [`Setting`], starts a [`Daemon`] from it, and observes it through its socket, its log and /proc.
//! Where /proc has the answer, the daemon's word is not trusted. Everything waits for events with a timeout of
//! [`PATIENCE`], polling every few milliseconds; there are no fixed sleeps. Dropping a `Daemon` kills every process
//! that was ever started below it, even if the test failed.
//!
//! Next: `daemon.rs` (start and end), `place.rs` (as PID 1 or not), `puppet.rs` (processes that play a part).

// Every test binary compiles this whole module and uses a different part of it.
#![allow(dead_code, unused_imports, unreachable_pub)]

mod daemon;
mod events;
mod executables;
mod http;
mod in_time;
mod log;
mod place;
mod processes;
pub mod puppet;
mod server;
mod signals;
mod talk;
mod terminal;

use std::io::Write;
use std::time::{Duration, Instant};

pub use daemon::{Daemon, End, Output, Setting};
pub use events::Listener;
pub use executables::write_executable;
pub use http::{Answer, Client};
pub use in_time::in_time;
pub use log::{Line, Log};
pub use place::{Place, both_places, can_enclose, enclosed, is_root, own_uid};
pub use processes::{Process, below, everyone, exists, find};
pub use server::Server;
pub use signals::{heeding_all_signals, number_of, send, send_fast};
pub use talk::{Ended, ended};
pub use terminal::{Terminal, in_front_of};

/// Timeout for anything that is immediate on a quiet machine. Only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The polling interval.
const GLANCE: Duration = Duration::from_millis(3);

/// Polls until `look` returns something. On timeout panics with `what`.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "timed out after {PATIENCE:?}: {what}");
        std::thread::sleep(GLANCE);
    }
}

/// Polls until the condition holds.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

/// Reports that something could not be tested here, and why. Bypasses the test runner's capture, so it is never silent.
pub fn skip(why: &str) {
    let test = std::thread::current();
    // If stderr is closed there is no place to report to.
    let _ = writeln!(std::io::stderr(), "SKIPPED {}: {why}", test.name().unwrap_or("a test"));
}
