//! One command in the foreground: the system calls of a minimal init.
//!
//! A supervisor gives its programs a clean environment; a minimal init does the opposite. Its command must find everything as
//! if the init did not exist: the same ignored and blocked signals, descriptors, environment and terminal. This module
//! holds the system calls for that: signals are blocked and taken one by one ([`BlockedSignals`]), the command is started
//! ([`launch`]), the terminal's foreground group changes ([`Terminal`]), stopped children are noticed. It decides nothing, and expects
//! a process with a single thread. Reaping is in [`crate::reap`]; the decisions are in `musterd run`.

mod blocked_signals;
pub(crate) mod inherited;
mod launch;
mod process;
mod terminal;

pub use blocked_signals::BlockedSignals;
pub use launch::{Dispositions, Launch, Onward, Placement, Step, launch, write_stderr};
pub use process::{
    close_stray_descriptors, descendants, has_children, is_subreaper, parent, send_to_all, set_parent_death_signal,
    stop_if_a_shell_waits, stop_this, stopped_by,
};
pub use terminal::{Terminal, leads_session, leave_terminal};

/// The error number of the system call that just failed.
fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
