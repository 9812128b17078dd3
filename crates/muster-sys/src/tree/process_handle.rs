//! A process of a run that is identified by more than its pid: the one that is named as the main process.
//!
//! It need not be our child, so its parent may reap it and the kernel may reuse its pid. It is held by a pidfd
//! if the kernel supports that, and by its start time. Its exit is reported only through that descriptor, so check
//! before using it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use muster_spec::{RunId, Signal};

use super::owner::{MOST_ANCESTORS, Whose};
use super::{Trees, pidfd};
use crate::signal::Pid;

/// How often a process that moves up the tree during the lookup is looked up again.
const MOST_LOOKS: usize = 3;

/// A process of a run, anywhere in its tree.
#[derive(Debug)]
pub struct ProcessHandle {
    pid: i32,
    start: u64,
    descriptor: Option<OwnedFd>,
}

impl ProcessHandle {
    /// Its pid.
    pub fn pid(&self) -> Pid {
        Pid(self.pid)
    }

    /// Readable once it has exited. `None` without pidfds.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    /// Whether it has exited. Without pidfds: whether its pid is unused.
    pub fn has_ended(&self) -> bool {
        match &self.descriptor {
            Some(descriptor) => pidfd::has_ended(descriptor),
            None => !is_there(self.pid),
        }
    }
}

fn is_there(pid: i32) -> bool {
    // SAFETY: signal 0 is never delivered.
    unsafe { libc::kill(pid, 0) == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH) }
}

impl Trees {
    /// Holds a process, if it is alive and belongs to this run. `None` without /proc, where that cannot be determined.
    pub fn hold(&mut self, run: RunId, pid: Pid) -> Option<ProcessHandle> {
        let descriptor = if self.with_pidfds { Some(pidfd::open(pid.0).ok()?) } else { None };
        let start = self.proc.stat(pid.0)?.start;
        let is_of_run = self.whose(pid) == Whose::Run(run);
        // A live process with that start time has had the pid all the while.
        let lives = self.proc.stat(pid.0).is_some_and(|stat| stat.is_alive() && stat.start == start);
        let held = ProcessHandle { pid: pid.0, start, descriptor };
        let is_held = is_of_run && lives && !held.has_ended();
        if is_held {
            // Later, as an orphan, it still belongs to the run, whatever it claims.
            self.note_descendant(pid.0, start, run);
        }
        is_held.then_some(held)
    }

    /// The child of ours that it descends from, or itself if it is one. `None` if it has exited, unless it is still ours to reap.
    pub fn child_above(&mut self, held: &ProcessHandle) -> Option<Pid> {
        (0..MOST_LOOKS).find_map(|_| self.climb(held))
    }

    /// Whether this child of ours belongs to this run.
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

    /// Signals it, if it still exists; returns whether it did.
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
