//! What the black-box tests stand on: real daemons in places of their own, seen from outside.
//!
//! A test describes a [`Setting`], starts a [`Daemon`] from it, and watches it through its socket, its log and /proc.
//! Nothing is believed because the daemon says so where /proc can be asked. Everything waits for events with
//! [`PATIENCE`] and polls in milliseconds; nothing sleeps for luck. When a `Daemon` is dropped, everything that was ever
//! started below it is killed, whatever became of the test.
//!
//! Next: `daemon.rs` (start and end), `place.rs` (PID 1 and not), `puppet.rs` (processes that play a part).

// Every test binary compiles this whole module and each uses another part of it.
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

/// How long anything may take that happens at once on a quiet machine. Nothing waits for so long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// How often to look.
const GLANCE: Duration = Duration::from_millis(3);

/// Waits until `look` finds something, or fails with what was waited for.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(GLANCE);
    }
}

/// Waits until it is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

/// Says that something could not be tested here, and why. Written past the test runner's capture: never silently.
pub fn skip(why: &str) {
    let test = std::thread::current();
    // Nobody reads the tests' stderr: then there is nobody to tell either.
    let _ = writeln!(std::io::stderr(), "SKIPPED {}: {why}", test.name().unwrap_or("a test"));
}
