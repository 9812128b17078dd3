//! One command in the foreground: what a minimal init asks of Linux.
//!
//! A supervisor gives its programs a clean slate; a minimal init does the opposite. Its command must find everything as
//! if the init were not there: the same ignored and blocked signals, descriptors, environment and terminal. This module
//! holds the system calls for that: signals are held back and taken one by one ([`BlockedSignals`]), the command is started
//! ([`launch`]), the terminal changes hands ([`Terminal`]), stopped children are seen. It decides nothing, and expects
//! a process with a single thread. Reaping is [`crate::reap`]'s; the decisions are in `musterd`'s `run`.

mod blocked_signals;
mod inherited;
mod launch;
mod process;
mod terminal;

pub use blocked_signals::BlockedSignals;
pub use launch::{Dispositions, Launch, Onward, Place, Step, launch, write_stderr};
pub use process::{
    close_stray_descriptors, descendants, has_children, is_subreaper, parent, send_to_all, set_parent_death_signal,
    stop_if_a_shell_waits, stop_this, stopped_by,
};
pub use terminal::{Terminal, leads_session, leave_terminal};

/// The error number of the system call that just failed.
fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
