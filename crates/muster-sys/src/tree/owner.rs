//! Whose an orphan is: the evidence, the strongest first.
//!
//! An orphan is a direct child of the daemon that it did not spawn. Its ancestry is lost, so it is known by what it
//! inherited: see [`super::tag`] for the best of it. Asked once for each orphan; [`super::Trees`] remembers the answer.

use std::io;

use muster_core::RunId;

use super::proc::Variable;
use super::{MARKER, Trees};
use crate::signal::Pid;

/// Whose an orphan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It belongs to this run.
    Run(RunId),
    /// It belongs to none, as far as was seen in so many looks.
    Nobody {
        /// How often it was asked while it did not show its environment.
        looks: u8,
    },
}

/// A process shows an empty environment in the middle of an exec, and for ever if it is not ours to read.
const MOST_LOOKS: u8 = 4;

const FOREIGN: Owner = Owner::Nobody { looks: MOST_LOOKS };

impl Owner {
    pub(crate) fn is_worth_asking_again(self) -> bool {
        matches!(self, Owner::Nobody { looks } if looks < MOST_LOOKS)
    }
}

/// How far up a process is followed to a child of ours.
pub(super) const MOST_ANCESTORS: usize = 64;

/// Whose a process is, as far as that can be seen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// It is in the tree of this run.
    Run(RunId),
    /// It is in none.
    Nobody,
    /// It has ended, and whose it was cannot be seen any more.
    Gone,
}

impl Trees {
    /// Whose this process is that has just said something, wherever in a tree it may be. The usual answers cost one
    /// system call or none.
    pub fn whose(&mut self, pid: Pid) -> Whose {
        let pid = pid.0;
        if let Some(run) = self.by_child(pid) {
            return Whose::Run(run);
        }
        if let Some(tag) = self.tags.worn_by(pid, &mut self.proc) {
            return self.tagged.get(&tag).map_or(Whose::Nobody, |&run| Whose::Run(run));
        }
        // SAFETY: signal 0 is sent to nobody.
        let is_gone =
            unsafe { libc::kill(pid, 0) } == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
        if is_gone {
            return Whose::Gone;
        }
        match self.by_ancestor(pid).map_or_else(|| self.owner_of(pid, None), Owner::Run) {
            Owner::Run(run) => Whose::Run(run),
            Owner::Nobody { .. } => Whose::Nobody,
        }
    }

    fn by_child(&self, pid: i32) -> Option<RunId> {
        let led = self.leaders.get(&pid).filter(|run| self.runs.get(run).is_some_and(|run| run.is_leader_alive));
        match (led, self.adopted.get(&pid)) {
            (Some(&run), _) | (None, Some(&Owner::Run(run))) => Some(run),
            _ => None,
        }
    }

    fn by_ancestor(&mut self, pid: i32) -> Option<RunId> {
        let mut at = pid;
        for _ in 0..MOST_ANCESTORS {
            at = self.proc.stat(at)?.parent;
            if at <= 1 || at == self.proc.this() {
                return None;
            }
            if let Some(run) = self.by_child(at) {
                return Some(run);
            }
        }
        None
    }

    /// `before` is what an earlier look had found.
    pub(super) fn owner_of(&mut self, pid: i32, before: Option<Owner>) -> Owner {
        if let Some(run) = self.observed_as(pid) {
            return Owner::Run(run);
        }
        // A tag of ours is never inherited from outside: whoever wears that of a forgotten run is nobody's.
        if let Some(tag) = self.tags.worn_by(pid, &mut self.proc) {
            return self.tagged.get(&tag).map_or(FOREIGN, |&run| Owner::Run(run));
        }
        if let Some(run) = self.by_number(session_of(pid)).or_else(|| self.by_number(group_of(pid))) {
            return Owner::Run(run);
        }
        if let Some(run) = self.cgroups.run_of(pid, &mut self.proc) {
            return Owner::Run(run);
        }
        match self.proc.variable(pid, MARKER) {
            // A marker of no run of ours is that of a musterd inside of a program. Its daemon's tag, session or
            // ancestry would have told whose it is.
            Variable::Set(marker) => self.markers.get(marker.as_str()).map_or(FOREIGN, |&run| Owner::Run(run)),
            Variable::Unset => FOREIGN,
            Variable::Unknown => match before {
                Some(Owner::Nobody { looks }) => Owner::Nobody { looks: looks + 1 },
                _ => Owner::Nobody { looks: 0 },
            },
        }
    }

    /// By its ancestry, if that was seen earlier.
    fn observed_as(&mut self, pid: i32) -> Option<RunId> {
        let &(start, run) = self.observed.get(&pid)?;
        if self.proc.stat(pid).is_some_and(|stat| stat.start == start) {
            return Some(run);
        }
        self.observed.remove(&pid);
        None
    }

    /// By the number of its session or group. The kernel gives a number to no new process as long as a session or a
    /// group bears it, so it is our leader's until someone else is seen with it.
    fn by_number(&self, number: i32) -> Option<RunId> {
        let run = self.leaders.get(&number)?;
        self.runs.get(run).is_some_and(|about| about.is_number_ours).then_some(*run)
    }
}

pub(super) fn session_of(pid: i32) -> i32 {
    // SAFETY: getsid takes a number; -1, the answer for a process that is gone, is nobody's session.
    unsafe { libc::getsid(pid) }
}

pub(super) fn group_of(pid: i32) -> i32 {
    // SAFETY: getpgid takes a number; -1, the answer for a process that is gone, is nobody's group.
    unsafe { libc::getpgid(pid) }
}
