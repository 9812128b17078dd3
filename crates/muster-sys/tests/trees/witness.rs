//! Processes that must never get a signal, and record any that they get.

use muster_sys::signal::Pid;

use crate::processes::{fork, sleep_indefinitely};

/// A process that keeps every signal it gets pending.
pub(crate) struct Witness {
    pub(crate) pid: Pid,
    who: &'static str,
}

impl Witness {
    /// A child of the caller, in its own session.
    pub(crate) fn new(who: &'static str) -> Witness {
        // Blocked before the fork, so that no signal can take effect at any moment.
        let before = block_everything();
        let pid = fork(|| {
            // SAFETY: takes nothing.
            unsafe { libc::setsid() };
            sleep_indefinitely();
        });
        restore(before);
        Witness { pid, who }
    }

    /// Fails if it got any signal, or was ever stopped, continued or killed.
    pub(crate) fn check(&self) {
        let (pid, who) = (self.pid, self.who);
        // SAFETY: all-zero bytes are a valid siginfo_t.
        let mut about: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `about` has room for the record that is written.
        let result = unsafe { libc::waitid(libc::P_PID, pid.0 as libc::id_t, &mut about, flags) };
        // SAFETY: the record is that of a child, or zero.
        assert_eq!((result, unsafe { about.si_pid() }), (0, 0), "the witness {who} was stopped, continued or killed");
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return };
        for pending in status.lines().filter(|line| line.starts_with("SigPnd") || line.starts_with("ShdPnd")) {
            assert!(pending.ends_with("\t0000000000000000"), "the witness {who} got a signal: {pending}");
        }
    }

    pub(crate) fn dismiss(self) {
        // SAFETY: kill and waitpid take numbers and a null pointer; the witness is our unreaped child.
        unsafe {
            libc::kill(self.pid.0, libc::SIGKILL);
            libc::waitpid(self.pid.0, std::ptr::null_mut(), 0);
        }
    }
}

fn block_everything() -> libc::sigset_t {
    // SAFETY: the sets live through the calls.
    unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, &mut before);
        before
    }
}

fn restore(mask: libc::sigset_t) {
    // SAFETY: the set lives through the call.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut()) };
}

#[test]
fn a_witness_that_got_a_signal_reports_it() {
    let witness = Witness::new("of this test");
    witness.check();
    // SAFETY: kill takes numbers, and the witness is our child.
    unsafe { libc::kill(witness.pid.0, libc::SIGTERM) };
    let outcome = std::panic::catch_unwind(|| witness.check());
    witness.dismiss();
    assert!(outcome.is_err());
}
