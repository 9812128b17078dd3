//! A process of a run that is known by more than its number: the one that says it is the main one.
//!
//! It need not be our child, so its parent may reap it and the kernel give its number to a stranger. It is held by a pidfd
//! where the kernel has them, and by its start time. Nobody is told when it ends, except who watches its descriptor: ask
//! before it is used.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use muster_spec::{RunId, Signal};

use super::owner::{MOST_ANCESTORS, Whose};
use super::{Trees, pidfd};
use crate::signal::Pid;

/// Who moves up the tree while it is looked at is looked at again, so often.
const MOST_LOOKS: usize = 3;

/// A process of a run, wherever in its tree.
#[derive(Debug)]
pub struct ProcessHandle {
    pid: i32,
    start: u64,
    descriptor: Option<OwnedFd>,
}

impl ProcessHandle {
    /// Its number.
    pub fn pid(&self) -> Pid {
        Pid(self.pid)
    }

    /// Readable when it has ended. `None` without pidfds.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    /// Whether it has ended. Without pidfds: whether nobody has its number any more.
    pub fn has_ended(&self) -> bool {
        match &self.descriptor {
            Some(descriptor) => pidfd::has_ended(descriptor),
            None => !is_there(self.pid),
        }
    }
}

fn is_there(pid: i32) -> bool {
    // SAFETY: signal 0 is sent to nobody.
    unsafe { libc::kill(pid, 0) == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH) }
}

impl Trees {
    /// Holds a process, if it lives and is one of this run. `None` without /proc, where that cannot be seen.
    pub fn hold(&mut self, run: RunId, pid: Pid) -> Option<ProcessHandle> {
        let descriptor = if self.with_pidfds { Some(pidfd::open(pid.0).ok()?) } else { None };
        let start = self.proc.stat(pid.0)?.start;
        let is_of_run = self.whose(pid) == Whose::Run(run);
        // Who lives and began then has had the number all the while.
        let lives = self.proc.stat(pid.0).is_some_and(|stat| stat.is_alive() && stat.start == start);
        let held = ProcessHandle { pid: pid.0, start, descriptor };
        let is_held = is_of_run && lives && !held.has_ended();
        if is_held {
            // Later, as an orphan, it is still the run's, whatever it says of itself.
            self.note_descendant(pid.0, start, run);
        }
        is_held.then_some(held)
    }

    /// The child of ours that it hangs below, or itself if it is one. `None` when it has ended, unless we are to reap it.
    pub fn child_above(&mut self, held: &ProcessHandle) -> Option<Pid> {
        (0..MOST_LOOKS).find_map(|_| self.climb(held))
    }

    /// Whether this child of ours is one of this run.
    pub fn is_child_of(&mut self, run: RunId, child: Pid) -> bool {
        self.whose(child) == Whose::Run(run)
    }

    fn climb(&mut self, held: &ProcessHandle) -> Option<Pid> {
        let this = self.proc.this();
        let mut at = self.proc.stat(held.pid).filter(|stat| stat.start == held.start)?;
        if at.parent != this && !at.is_alive() {
            return None;
        }
        for _ in 0..MOST_ANCESTORS {
            if at.parent == this {
                return Some(Pid(at.pid));
            }
            at = self.proc.stat(at.parent)?;
        }
        None
    }

    /// Signals it, if it is still there; whether it was.
    pub fn send(&mut self, held: &ProcessHandle, signal: Signal) -> io::Result<bool> {
        match &held.descriptor {
            Some(descriptor) => pidfd::send_through(descriptor, signal),
            None => pidfd::send_to(&mut self.proc, false, held.pid, held.start, signal),
        }
    }

    /// Continues it if it is stopped.
    pub fn wake(&mut self, held: &ProcessHandle) {
        if self.proc.stat(held.pid).is_some_and(|stat| stat.is_stopped()) {
            let _ = self.send(held, Signal::CONT);
        }
    }
}
