//! The first steps of the daemon, before its arguments are parsed: signals, inherited descriptors, adoption.
//!
//! The kernel discards a signal to PID 1 that arrives before it is blocked. So PID 1 blocks them before `main`
//! (`foreground/inherited.rs`), and [`take_signals`] is the first statement of every other daemon's, before any thread. Next: [`crate::signal`]
//! reads the signals blocked here.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_spec::Signal;

use crate::fd::check;
pub use crate::limits::raise_descriptor_limit;
use crate::signal::{Pid, SignalSet, set_blocked};

/// The signals that the daemon blocks: all but one, see [`take_signals`].
pub(crate) const TAKEN: SignalSet = SignalSet::ALL.without(&[libc::SIGPIPE]);

/// Blocks every signal, so that none is lost and none can kill, and resets the inherited dispositions of SIGCHLD
/// and SIGPIPE.
///
/// - Including those of faulty instructions (SIGSEGV and similar): one that was sent by a process is a message like any other. A real
///   fault still kills (signal(7)); only std's message for a stack overflow is lost.
/// - If SIGCHLD were ignored, the kernel would reap in our place, and every exit status would be lost.
/// - SIGPIPE is ignored rather than blocked: a blocked one is queued at every write into a closed pipe and would wake
///   the daemon needlessly.
/// - TTOU, TTIN and TSTP are blocked like the rest: a terminal with `tostop` cannot stop the daemon for logging
///   (a blocked SIGTTOU counts as ignored there), and Ctrl-Z becomes a message like any other.
///
/// The mask is set absolutely, whatever was inherited. Calling it again has no effect.
pub fn take_signals() {
    // Fails only for arguments that are wrong for every process.
    set_blocked(TAKEN).expect("the kernel takes any set of 64 signals");
    // SAFETY: neither installs a handler.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}

/// Blocks what was blocked when this process started: for a program that is not an init, but was started as PID 1.
pub fn restore_blocked_signals() {
    // Fails only for arguments that are wrong for every process.
    set_blocked(crate::foreground::inherited::inherited().blocked).expect("the kernel takes back the set that it gave");
}

/// Undoes [`take_signals`] for commands that are not a daemon: a long-running command must exit on Ctrl-C.
pub fn give_signals_back() {
    // Fails only for arguments that are wrong for every process.
    set_blocked(SignalSet::NONE).expect("the kernel takes the empty set");
    // SAFETY: installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// The path by which the kernel executed this process, whatever its first argument says: getauxval(3), `AT_EXECFN`.
pub fn executed_as() -> Option<OsString> {
    // SAFETY: asks only.
    let path = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const std::ffi::c_char;
    // SAFETY: the kernel put this text on the stack at the exec; nothing changes or moves it.
    let path = (!path.is_null()).then(|| unsafe { CStr::from_ptr(path) })?;
    Some(OsStr::from_bytes(path.to_bytes()).to_owned())
}

/// Ends this process with a signal's default action. Returns if that action does not end a process.
pub fn die_of(signal: Signal) {
    // SAFETY: it installs no handler; SIGKILL and SIGSTOP, which cannot be changed, are refused.
    unsafe { libc::signal(signal.number(), libc::SIG_DFL) };
    // The kernel delivers pending signals before it returns from either call.
    let _ = crate::signal::send(Pid::this(), signal);
    let _ = set_blocked(SignalSet::ALL.without(&[signal.number()]));
}

/// The descriptors from 3 to 63 that were inherited, a bit each.
static INHERITED: AtomicU64 = AtomicU64::new(0);

/// A copy of an inherited descriptor. Those that the daemon opened itself are refused, whatever their number.
pub fn inherited_descriptor(number: u32) -> io::Result<OwnedFd> {
    let is_known = (3..u64::BITS).contains(&number) && INHERITED.load(Ordering::Relaxed) >> number & 1 == 1;
    if !is_known {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: F_DUPFD_CLOEXEC touches no memory of ours, and the new descriptor has no other owner.
    unsafe {
        let copy = check(libc::fcntl(number as RawFd, libc::F_DUPFD_CLOEXEC, 3))?;
        Ok(OwnedFd::from_raw_fd(copy))
    }
}

/// Marks every inherited descriptor except 0, 1 and 2 close-on-exec, so that programs do not inherit descriptors that the starter
/// left open (the lock of a build tool, the log pipe of a shell).
pub fn seal_inherited_descriptors() {
    // SAFETY: F_GETFD touches no memory; a number that is not open is refused.
    let is_open = |number: &u32| unsafe { libc::fcntl(*number as RawFd, libc::F_GETFD) } != -1;
    let open = (3..u64::BITS).filter(is_open).fold(0, |open, number| open | 1_u64 << number);
    INHERITED.store(open, Ordering::Relaxed);
    // SAFETY: close_range touches no memory; with CLOSE_RANGE_CLOEXEC it closes nothing.
    let sealed = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, CLOSE_RANGE_CLOEXEC) } == 0;
    // Older than Linux 5.11, or a seccomp profile that does not know the call.
    if !sealed && !seal_listed() {
        seal_up_to_limit();
    }
}

/// From <linux/close_range.h>. Defined here, since libc has them for only some of its targets.
pub(crate) const CLOSE_RANGE_UNSHARE: libc::c_uint = 2;
pub(crate) const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;

fn seal_listed() -> bool {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return false };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).for_each(seal);
    true
}

/// Neither the call nor /proc is available: the soft limit bounds the open descriptors, unless it was lowered meanwhile.
fn seal_up_to_limit() {
    let soft = crate::limits::OriginalLimits::current().map_or(1024, |limits| limits.nofile_soft);
    let last = RawFd::try_from(soft.min(1 << 20)).unwrap_or(1024);
    (3..last).for_each(seal);
}

fn seal(descriptor: RawFd) {
    if descriptor >= 3 {
        // SAFETY: F_SETFD touches no memory; a number that is not open is refused.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Makes orphaned descendants children of the daemon where it is not PID 1: prctl(2),
/// `PR_SET_CHILD_SUBREAPER`.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: this prctl takes a number and touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}
