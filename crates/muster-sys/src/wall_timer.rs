//! A timer of the wall clock that also fires when the clock is set: timerfd_create(2) with `TFD_TIMER_CANCEL_ON_SET`.
//!
//! A timer of the monotonic clock would be late or early by as much as the clock is set, or the machine sleeps.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::fd::{check, read};

/// A timer of the wall clock.
#[derive(Debug)]
pub struct WallTimer {
    fd: OwnedFd,
    /// Whether the kernel has said that the clock was set, before the timer did.
    was_set: Cell<bool>,
}

/// Why a timer has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// Its time has come.
    InTime,
    /// The clock was set; its time may have come as well.
    ClockWasSet,
}

impl WallTimer {
    /// A timer that is not set.
    pub fn new() -> io::Result<WallTimer> {
        // SAFETY: it takes no pointers, and the result is checked.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        check(fd)?;
        // SAFETY: the kernel has just opened it for us alone.
        Ok(WallTimer { fd: unsafe { OwnedFd::from_raw_fd(fd) }, was_set: Cell::new(false) })
    }

    /// Has it fire at this second since 1970, or as soon as the clock is set; never with `None`.
    pub fn set(&self, at: Option<i64>) -> io::Result<()> {
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // A time of zero would switch it off.
        let set = |at: Option<i64>| {
            let value = at.map_or(never, |at| libc::timespec { tv_sec: at.max(1) as libc::time_t, tv_nsec: 0 });
            let setting = libc::itimerspec { it_interval: never, it_value: value };
            let flags = if at.is_some() { libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET } else { 0 };
            // SAFETY: the kernel reads `setting` during the call and writes nothing.
            check(unsafe {
                libc::timerfd_settime(self.fd.as_raw_fd(), flags, &raw const setting, std::ptr::null_mut())
            })
        };
        match set(at) {
            // The clock was set since the last look, and the kernel says so only once: now the timer has to say it.
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => {
                self.was_set.set(true);
                set(Some(1)).map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Takes note that it has fired, `WouldBlock` if it has not.
    pub fn take(&self) -> io::Result<Fired> {
        let mut buffer = [0; size_of::<u64>()];
        match read(self.fd.as_fd(), &mut buffer) {
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => Ok(Fired::ClockWasSet),
            Ok(_) if self.was_set.take() => Ok(Fired::ClockWasSet),
            other => other.map(|_| Fired::InTime),
        }
    }
}

impl AsFd for WallTimer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn it_fires_at_its_second_and_only_when_it_is_set() {
        let timer = WallTimer::new().expect("the kernel has such timers");
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let is_due = || timer.take().is_ok();
        assert!(!is_due());
        timer.set(Some(now().as_secs() as i64 - 5)).expect("it can be set");
        assert!(is_due() && !is_due(), "a time that is over fires once, at once");
        let at = now().as_secs() + 1;
        timer.set(Some(at as i64)).expect("it can be set");
        while !is_due() {
            assert!(now().as_secs() < at + 5, "it never fires");
            std::thread::yield_now();
        }
        assert!(now().as_secs() >= at, "it is early");
        timer.set(None).expect("it can be set");
        assert!(!is_due());
    }
}
