//! Trees without /proc: process groups, queried from the kernel directly.
//!
//! A run's group has its main process's number, and that number is not reused while one of our unreaped children
//! is in the group. Processes that left the group are not visible here.

use std::io;

/// Whether any child of ours is in this group, including zombies.
pub(crate) fn has_children_in_group(group: i32) -> bool {
    let Ok(id) = libc::id_t::try_from(group) else { return false };
    // SAFETY: all-zero bytes are a valid siginfo_t.
    let mut about: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: `about` has room for the one record that waitid writes; WNOWAIT leaves the child to the reaper.
    let result = unsafe { libc::waitid(libc::P_PGID, id, &mut about, flags) };
    result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ECHILD)
}

/// Whether this child of ours is stopped, and the reaper has not taken that yet: see [`super::Trees::note_stopped`].
pub(crate) fn is_child_stopped(pid: i32) -> bool {
    libc::id_t::try_from(pid).is_ok_and(|id| a_stopped_child(libc::P_PID, id) == Some(pid))
}

/// The same for any child of ours: one query for all of them.
pub(crate) fn is_any_child_stopped() -> bool {
    a_stopped_child(libc::P_ALL, 0).is_some()
}

fn a_stopped_child(which: libc::idtype_t, id: libc::id_t) -> Option<i32> {
    // SAFETY: all-zero bytes are a valid siginfo_t; si_pid stays 0 when there is nothing to tell.
    let mut about: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: `about` has room for the one record that waitid writes.
    let result = unsafe { libc::waitid(which, id, &mut about, flags) };
    // SAFETY: waitid has filled the fields of a child's record, or left them zero.
    let pid = if result == 0 { unsafe { about.si_pid() } } else { 0 };
    (pid != 0).then_some(pid)
}
