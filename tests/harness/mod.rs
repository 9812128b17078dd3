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

mod certificates;
mod clients;
mod daemon;
mod events;
mod executables;
mod flood;
mod http;
mod in_time;
mod log;
mod place;
mod processes;
pub mod puppet;
mod server;
mod signals;
mod supervisord;
mod talk;
mod terminal;

use std::io::Write;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

pub use certificates::Authority;
pub use clients::clients;
pub use daemon::{Daemon, End, Output, Setting};
pub use events::Listener;
pub use executables::{muster, musterctl, musterd, write_executable};
pub use flood::{Flood, room_for, times};
pub use http::{Answer, Client};
pub use in_time::in_time;
pub use log::{Line, Log};
pub use place::{Place, both_places, can_enclose, enclosed, is_root, own_uid};
pub use processes::{Process, below, everyone, exists, find};
pub use server::Server;
pub use signals::{heeding_all_signals, number_of, send, send_fast};
pub use supervisord::{ORIGINAL, Supervisord};
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

/// The programs of what `musterd convert --strict` makes of these sections of a supervisord.conf.
pub fn converted(sections: &str) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let source = directory.path().join("s.conf");
    std::fs::write(&source, sections).expect("the test directory is writable");
    let mut command = std::process::Command::new(executables::musterd());
    let done = command.args(["convert", "--strict"]).arg(&source).output().expect("musterd can be executed");
    let toml = String::from_utf8_lossy(&done.stdout).into_owned();
    let start = toml.find("[defaults]").unwrap_or_else(|| panic!("it was not converted: {done:?}"));
    assert!(done.status.success(), "something is lost: {done:?}");
    toml[start..].to_owned()
}

/// Reports that something could not be tested here, and why. Bypasses the test runner's capture, so it is never silent.
pub fn skip(why: &str) {
    let test = std::thread::current();
    // If stderr is closed there is no place to report to.
    let _ = writeln!(std::io::stderr(), "SKIPPED {}: {why}", test.name().unwrap_or("a test"));
}

/// A port of this machine on which nothing listens, at least a moment ago. The kernel gives those from 32768 to clients, so no
/// client takes it meanwhile, and each call has another one.
pub fn free_port() -> u16 {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    let of_process = (std::process::id().wrapping_mul(61) % u32::from(COUNT)) as u16;
    let is_free = |port: &u16| {
        let place = (std::net::Ipv4Addr::LOCALHOST, *port);
        std::net::TcpListener::bind(place).is_ok() && std::net::UdpSocket::bind(place).is_ok()
    };
    let next = || FIRST + (of_process + CALLS.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
    std::iter::repeat_with(next).take(usize::from(COUNT)).find(is_free).expect("there is a free port")
}

/// Whether a test that takes minutes and prints figures is wanted. That it did not run is no fault of the machine.
pub fn is_acceptance() -> bool {
    let is_wanted = std::env::var_os("MUSTER_ACCEPTANCE").is_some();
    if !is_wanted {
        let test = std::thread::current();
        let _ =
            writeln!(std::io::stderr(), "NOT RUN {}: MUSTER_ACCEPTANCE=1 has it run", test.name().unwrap_or("a test"));
    }
    is_wanted
}
