//! Signals in and out: a signalfd for signals to the daemon, kill(2) for those it sends.
//!
//! Nothing here installs a handler (only [`crate::release`] has one, which does nothing). Signals are blocked once, by
//! [`crate::boot::take_signals`], and then read like any other message, with their sender. `musterd` decides what they mean.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use muster_spec::Signal;

use crate::fd::check;

/// A process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub i32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Pid {
    /// The calling process.
    pub fn this() -> Pid {
        // SAFETY: getpid cannot fail and touches no memory.
        Pid(unsafe { libc::getpid() })
    }
}

/// A set of signals in the kernel's representation: signal n is bit n-1.
///
/// The C libraries exclude 32 to 34 from their own sets, so `sigset_t` could not block, empty or watch all 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignalSet(pub(crate) u64);

/// The kernel's `sigset_t` has 8 bytes on every architecture with 64 signals.
pub(crate) const KERNEL_SET_BYTES: usize = 8;

impl SignalSet {
    pub(crate) const NONE: SignalSet = SignalSet(0);
    pub(crate) const ALL: SignalSet = SignalSet(u64::MAX);

    pub(crate) fn of(signals: muster_spec::SignalSet) -> SignalSet {
        SignalSet(signals.iter().fold(0, |bits, signal| bits | 1 << (signal.number() - 1)))
    }

    pub(crate) const fn without(self, numbers: &[i32]) -> SignalSet {
        let (mut bits, mut at) = (self.0, 0);
        while at < numbers.len() {
            bits &= !(1 << (numbers[at] - 1));
            at += 1;
        }
        SignalSet(bits)
    }

    pub(crate) const fn contains(self, number: i32) -> bool {
        self.0 & (1 << (number - 1)) != 0
    }
}

/// Blocks exactly these signals in the calling thread and returns the previous set.
pub(crate) fn set_blocked(signals: SignalSet) -> io::Result<SignalSet> {
    let mut before = SignalSet::NONE;
    // SAFETY: both pointers are to 8 bytes that live through the call, as the last argument says.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &signals.0, &mut before.0, KERNEL_SET_BYTES)
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(before) }
}

/// The signals blocked in the calling thread.
pub(crate) fn blocked() -> io::Result<SignalSet> {
    let mut now = SignalSet::NONE;
    let unchanged: *const u64 = std::ptr::null();
    // SAFETY: a null pointer as the new set asks only; the other points to 8 bytes that live through the call.
    let result =
        unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, unchanged, &mut now.0, KERNEL_SET_BYTES) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(now) }
}

/// The signals with a disposition other than the default: handled or ignored.
pub(crate) fn not_default() -> SignalSet {
    let changed = (1..=64).filter(|&number| !is_default(number));
    SignalSet(changed.fold(0, |bits, number| bits | 1 << (number - 1)))
}

fn is_default(number: i32) -> bool {
    // The kernel's own structure begins with the handler; SIG_DFL is 0. The array is larger than any kernel's.
    let mut action = [0_u64; 8];
    let unchanged: *const u64 = std::ptr::null();
    // SAFETY: a null pointer as the new action asks only; `action` has room for the old one.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, number, unchanged, action.as_mut_ptr(), KERNEL_SET_BYTES) };
    action[0] == 0
}

/// A signal that was sent to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The signal.
    pub signal: Signal,
    /// The sender. `None`: the kernel itself (a terminal), or a process outside this pid namespace, such as
    /// `docker kill`.
    pub sender_pid: Option<Pid>,
    /// Whether a process outside this pid namespace sent it with kill(2), as container engines do.
    pub is_from_outside: bool,
    /// Whether the kernel itself recorded the sender, as for kill(2) and tgkill(2); a sender may choose what
    /// sigqueue(3) reports.
    pub is_sender_certain: bool,
    /// The sender's user id; 0 if the kernel sent it.
    pub sender_uid: u32,
}

/// The blocked signals, as a descriptor that is readable when one of them is pending.
///
/// Only one thread reads. Equal signals that arrive before they are read are merged, except real-time signals: signal(7). A
/// SIGCHLD therefore only says that there is something to reap, not how much.
#[derive(Debug)]
pub struct Signals {
    descriptor: OwnedFd,
    unread: RefCell<VecDeque<Received>>,
    /// Whether the last read was full, so that more may be pending.
    may_have_more: Cell<bool>,
}

/// Maximum number of signals per read.
const BATCH: usize = 16;

impl Signals {
    /// Watches every currently blocked signal.
    pub fn new() -> io::Result<Signals> {
        let watched = blocked()?;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set has the 8 bytes that the third argument says.
        let descriptor = unsafe { libc::syscall(libc::SYS_signalfd4, -1, &watched.0, KERNEL_SET_BYTES, flags) };
        let descriptor = check(descriptor as libc::c_int)?;
        // SAFETY: the descriptor was just created and has no other owner.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Signals {
            descriptor,
            unread: RefCell::new(VecDeque::with_capacity(BATCH)),
            may_have_more: Cell::new(false),
        })
    }

    /// The next signal, or `None` if none is pending.
    pub fn next(&self) -> io::Result<Option<Received>> {
        let mut unread = self.unread.borrow_mut();
        if unread.is_empty() {
            self.read_batch(&mut unread)?;
        }
        Ok(unread.pop_front())
    }

    /// The next of the signals that were pending when they were last read, as far as is known without looking again. A signal
    /// that came later makes the descriptor readable.
    pub fn next_of_those(&self) -> io::Result<Option<Received>> {
        match self.unread.borrow_mut().pop_front() {
            None if self.may_have_more.get() => {}
            known => return Ok(known),
        }
        self.next()
    }

    /// Whether this signal is pending, or was read and not returned yet. Takes none.
    pub fn is_pending(&self, signal: Signal) -> bool {
        if self.unread.borrow().iter().any(|received| received.signal == signal) {
            return true;
        }
        let mut pending = SignalSet::NONE;
        // SAFETY: the kernel writes the 8 bytes that the second argument says.
        unsafe { libc::syscall(libc::SYS_rt_sigpending, &mut pending.0, KERNEL_SET_BYTES) };
        pending.contains(signal.number())
    }

    fn read_batch(&self, unread: &mut VecDeque<Received>) -> io::Result<()> {
        // SAFETY: all-zero bytes are a valid signalfd_siginfo, which is made of numbers only.
        let mut batch: [libc::signalfd_siginfo; BATCH] = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes whole records into `batch`, at most as many bytes as it has.
        let bytes = unsafe { libc::read(self.descriptor.as_raw_fd(), batch.as_mut_ptr().cast(), size_of_val(&batch)) };
        self.may_have_more.set(usize::try_from(bytes).is_ok_and(|bytes| bytes == size_of_val(&batch)));
        match usize::try_from(bytes) {
            Ok(bytes) => {
                let count = bytes / size_of::<libc::signalfd_siginfo>();
                unread.extend(batch.iter().take(count).filter_map(received));
                Ok(())
            }
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                error => Err(error),
            },
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn received(record: &libc::signalfd_siginfo) -> Option<Received> {
    let signal = Signal::from_number(i32::try_from(record.ssi_signo).ok()?)?;
    let sender_pid = i32::try_from(record.ssi_pid).ok().filter(|&pid| pid > 0).map(Pid);
    let is_from_outside = record.ssi_code == libc::SI_USER && record.ssi_pid == 0;
    let is_sender_certain = [libc::SI_USER, libc::SI_TKILL].contains(&record.ssi_code);
    Some(Received { signal, sender_pid, is_from_outside, is_sender_certain, sender_uid: record.ssi_uid })
}

/// Sends a signal to one process. Fails with `ESRCH` if it does not exist, `EPERM` if we may not signal it.
pub fn send(pid: Pid, signal: Signal) -> io::Result<()> {
    if pid.0 <= 0 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: kill touches no memory of ours.
    check(unsafe { libc::kill(pid.0, signal.number()) }).map(drop)
}

/// Whether we may signal this process. True if it no longer exists.
pub fn may_signal(pid: Pid) -> bool {
    // SAFETY: signal 0 only checks for permission.
    pid.0 <= 0
        || check(unsafe { libc::kill(pid.0, 0) }).err().and_then(|error| error.raw_os_error()) != Some(libc::EPERM)
}

/// Sends a signal to every process of a group, named by its leader. Refuses 1 and less: -1 is every process.
pub fn send_group(leader: Pid, signal: Signal) -> io::Result<()> {
    if leader.0 <= 1 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: kill touches no memory of ours.
    check(unsafe { libc::kill(-leader.0, signal.number()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_leave_out_what_they_are_told_to() {
        let set = SignalSet::ALL.without(&[1, 64]);
        assert!(!set.contains(1) && !set.contains(64));
        assert!((2..=63).all(|number| set.contains(number)));
    }

    #[test]
    fn everybody_is_never_signalled() {
        for pid in [0, -1, -7] {
            assert_eq!(send(Pid(pid), Signal::CONT).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        }
        for leader in [1, 0, -1] {
            assert_eq!(send_group(Pid(leader), Signal::CONT).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        }
    }

    #[test]
    fn a_blocked_signal_is_read_with_its_sender_and_real_time_signals_queue() {
        // Sent only to this thread: the test harness has others that do not block.
        let before = set_blocked(SignalSet::ALL).unwrap();
        let signals = Signals::new().unwrap();
        assert_eq!(signals.next().unwrap(), None);
        for number in [15, 15, 40, 40, 33, 64] {
            // SAFETY: tgkill touches no memory of ours.
            let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), number) };
            assert_eq!(sent, 0);
        }
        let is_pending = |number| signals.is_pending(Signal::from_number(number).unwrap());
        assert!(is_pending(15) && is_pending(64) && !is_pending(16));
        let mut numbers = Vec::new();
        while let Some(received) = signals.next().unwrap() {
            assert_eq!(received.sender_pid, Some(Pid::this()));
            numbers.push(received.signal.number());
        }
        assert_eq!(numbers, [15, 33, 40, 40, 64]);
        set_blocked(before).unwrap();
    }
}
