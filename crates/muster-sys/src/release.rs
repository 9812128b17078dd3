//! Releases what other processes have sent to one of the daemon's sockets, without waiting for it.
//!
//! Closing the last reference to a file may block: a TCP socket with `SO_LINGER` and bytes that its peer does not
//! read blocks for as long as its creator chose (socket(7)). Descriptors that arrive on a Unix socket are closed by
//! the process that receives them, or that closes the socket before they are received: unix(7), `SCM_RIGHTS`. They may be Unix
//! sockets themselves, with more of the kind inside. So any process that may write to a socket could block the daemon.
//!
//! Such a wait is interrupted by a signal. [`without_waiting`] has a timer send one to the thread every half millisecond, and
//! the kernel closes the rest while the signal is pending. Descriptors are never received, so they
//! use no entry in the daemon's table and no file system is asked to flush.
//!
//! Since Linux 6.16 a socket can refuse descriptors ([`refuse_descriptors`]): then nothing can arrive, and no timer is set.

use std::cell::OnceCell;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Once;

use crate::fd::{check, uninterrupted};
use crate::signal::{blocked, set_blocked};

/// Sent by the timer. Blocked at all other times, so one sent by another process is read like any other signal.
const WAKING: libc::c_int = libc::SIGVTALRM;

const INTERVAL_NS: libc::c_long = 500_000;

/// From <linux/signal.h>; libc lacks it for musl.
const SIGEV_THREAD_ID: libc::c_int = 4;

/// From <asm-generic/socket.h>, since Linux 6.16.
const SO_PASSRIGHTS: libc::c_int = 83;

/// Runs an operation that may close what others have sent. It must tolerate calls that are interrupted by a signal.
pub fn without_waiting<R>(act: impl FnOnce() -> R) -> R {
    thread_local! {
        static TIMER: OnceCell<Option<Timer>> = const { OnceCell::new() };
    }
    // At the end of a thread, when its timer no longer exists, waiting is acceptable.
    let timer = TIMER.try_with(|timer| timer.get_or_init(|| Timer::new().ok()).as_ref().map(|timer| timer.id));
    let Some(id) = timer.ok().flatten() else { return act() };
    let before = blocked().and_then(|before| set_blocked(before.without(&[WAKING])));
    set_timer(id, INTERVAL_NS);
    let result = act();
    // Pending ones are delivered before this returns, so none is left to be read as a message.
    set_timer(id, 0);
    if let Ok(before) = before {
        let _ = set_blocked(before);
    }
    result
}

/// A timer of the thread that created it.
struct Timer {
    id: libc::c_int,
}

impl Timer {
    fn new() -> io::Result<Timer> {
        static HANDLED: Once = Once::new();
        HANDLED.call_once(handle);
        // SAFETY: all-zero bytes are a valid sigevent.
        let mut event: libc::sigevent = unsafe { zeroed() };
        event.sigev_notify = SIGEV_THREAD_ID;
        event.sigev_signo = WAKING;
        // SAFETY: gettid always succeeds and touches no memory.
        event.sigev_notify_thread_id = unsafe { libc::syscall(libc::SYS_gettid) } as libc::c_int;
        let mut id: libc::c_int = 0;
        // SAFETY: both pointers are to what timer_create(2) says of the kernel's own call, and live through it.
        let made = unsafe { libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &raw mut event, &raw mut id) };
        if made == -1 { Err(io::Error::last_os_error()) } else { Ok(Timer { id }) }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer is ours.
        unsafe { libc::syscall(libc::SYS_timer_delete, self.id) };
    }
}

/// Sets the interval; 0 stops the timer.
fn set_timer(id: libc::c_int, nanoseconds: libc::c_long) {
    // The kernel's itimerspec: the interval and the first time, in seconds and nanoseconds each.
    let times: [libc::c_long; 4] = [0, nanoseconds, 0, nanoseconds];
    let unwanted: *mut libc::c_long = std::ptr::null_mut();
    // SAFETY: `times` lives through the call; the old times are not asked for. Fails for no arguments that are given here.
    unsafe { libc::syscall(libc::SYS_timer_settime, id, 0, times.as_ptr(), unwanted) };
}

fn handle() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: all-zero bytes are a valid sigaction. The handler touches nothing; calls are not restarted after it.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        libc::sigaction(WAKING, &raw const action, std::ptr::null_mut());
    }
}

/// Forbids sending descriptors to this Unix socket or to those accepted from it. Does nothing on a kernel
/// older than Linux 6.16.
pub fn refuse_descriptors(socket: BorrowedFd<'_>) {
    let off: libc::c_int = 0;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads one number from `off`.
    let set =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_PASSRIGHTS, (&raw const off).cast(), size) };
    // On older kernels the readers of the socket handle descriptors.
    let _ = check(set);
}

/// Whether this socket has always refused descriptors: it inherits that from its listener when a client connects, and keeps it.
fn refuses_descriptors(socket: BorrowedFd<'_>) -> bool {
    let mut accepts: libc::c_int = 1;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    let (of, to) = (socket.as_raw_fd(), (&raw mut accepts).cast());
    // SAFETY: the kernel writes one number to `accepts`, and its size to `size`.
    let got = unsafe { libc::getsockopt(of, libc::SOL_SOCKET, SO_PASSRIGHTS, to, &raw mut size) };
    check(got).is_ok() && accepts == 0
}

/// Reads from a Unix socket, `WouldBlock` if it is empty. Descriptors that come with the bytes are an error.
pub fn read_without_descriptors(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero bytes are a valid msghdr.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &mut part;
    header.msg_iovlen = 1;
    // SAFETY: the header leads to `part` and `buffer`, which live through the call.
    let receive = || unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_DONTWAIT) };
    let count = without_waiting(|| uninterrupted(receive))?;
    if header.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors are not accepted"));
    }
    Ok(count)
}

/// A socket that may hold unreceived descriptors of others. Dropping it never waits for them.
#[derive(Debug)]
pub struct Exposed<T> {
    socket: Option<T>,
    is_bare: bool,
}

impl<T> Exposed<T> {
    /// Wrap the socket as soon as it exists.
    pub fn new(socket: T) -> Exposed<T> {
        Exposed { socket: Some(socket), is_bare: false }
    }
}

impl<T: AsFd> Exposed<T> {
    /// Wraps a socket that was accepted. If its listener refuses descriptors, none can be there. Those that a listener itself
    /// leads to can be older than its refusal.
    pub fn accepted(socket: T) -> Exposed<T> {
        let is_bare = refuses_descriptors(socket.as_fd());
        Exposed { socket: Some(socket), is_bare }
    }

    /// Whether it holds no descriptors and none can arrive, so that it can be read and closed like any other.
    pub fn is_bare(&self) -> bool {
        self.is_bare
    }
}

impl<T> std::ops::Deref for Exposed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.socket.as_ref().expect("only dropping takes it out")
    }
}

impl<T> std::ops::DerefMut for Exposed<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.socket.as_mut().expect("only dropping takes it out")
    }
}

impl<T: AsFd> AsFd for Exposed<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        (**self).as_fd()
    }
}

impl<T> Drop for Exposed<T> {
    fn drop(&mut self) {
        let socket = self.socket.take();
        if !self.is_bare {
            without_waiting(|| drop(socket));
        }
    }
}

#[cfg(test)]
mod tests;
