//! Attributes a process to its run: by ancestry, and for orphans by evidence, the strongest first.
//!
//! A process below one of our children belongs to that child's run, whatever it claims. An orphan is a direct child of
//! the daemon that it did not spawn. Its ancestry is lost, so it is identified by earlier observations and by inherited
//! properties. Its session, its tag with the counterpart and its cgroup cannot be chosen by a program, so they are proof. A
//! tag alone and the marker in its environment can be, so they are hints: they count only for a process of a user that
//! the run has had. Done once for each orphan; [`super::Trees`] caches the result.

use std::io;

use muster_spec::RunId;

use super::proc::Variable;
use super::{MARKER, Trees};
use crate::signal::Pid;

/// The attribution of an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It belongs to this run.
    Run(RunId),
    /// It belongs to none, according to this many lookups.
    Nobody {
        /// The number of lookups at which its environment was not readable.
        looks: u8,
    },
}

/// A process has an empty environment in the middle of an exec, and permanently if we may not read it.
const MOST_LOOKS: u8 = 4;

const FOREIGN: Owner = Owner::Nobody { looks: MOST_LOOKS };

impl Owner {
    pub(crate) fn is_worth_asking_again(self) -> bool {
        matches!(self, Owner::Nobody { looks } if looks < MOST_LOOKS)
    }
}

/// The maximum depth of a process below a child of ours.
pub(super) const MOST_ANCESTORS: usize = 64;

/// How often a process that moves up the tree during the lookup is looked up again.
const MOST_LOOKS_UP: usize = 3;

/// Maximum number of users remembered per run.
const MOST_USERS: usize = 16;

/// Maximum number of processes of a run whose user is read.
const MOST_LOOKED_AT: usize = 64;

/// The ancestor of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// This child of ours, or it is that child.
    Child(i32),
    /// None of ours.
    Nobody,
    /// Not visible: it has exited, is hidden, or is too deep.
    Unknown,
}

/// The current attribution of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// It is in the tree of this run.
    Run(RunId),
    /// It is in none.
    Nobody,
    /// It has exited, and its run can no longer be determined.
    Gone,
}

impl Trees {
    /// The run of this process, which has just sent a message, anywhere in a tree.
    pub fn whose(&mut self, pid: Pid) -> Whose {
        let pid = pid.0;
        if let Some(run) = self.by_child(pid) {
            return Whose::Run(run);
        }
        let whose = match self.child_over(pid) {
            Over::Child(child) => {
                self.meet(child);
                self.by_child(child)
            }
            Over::Nobody => None,
            // Without its ancestry, properties that it could have chosen do not count.
            Over::Unknown if is_gone(pid) => return Whose::Gone,
            Over::Unknown => match self.by_proof(pid) {
                Some(Owner::Run(run)) => Some(run),
                _ => None,
            },
        };
        whose.map_or(Whose::Nobody, Whose::Run)
    }

    /// Whether a process of this run has had this user, so that an exited one may have had it, too.
    pub fn has_had_user(&mut self, run: RunId, user: u32) -> bool {
        self.note_users(run);
        self.runs.get(&run).is_some_and(|about| about.users.contains(&user))
    }

    /// Records that a process of this run will have this user.
    pub fn note_user(&mut self, run: RunId, user: u32) {
        if let Some(about) = self.runs.get_mut(&run)
            && about.users.len() < MOST_USERS
            && !about.users.contains(&user)
        {
            about.users.push(user);
        }
    }

    /// Records the users of the first processes of its tree.
    fn note_users(&mut self, run: RunId) {
        let Some(about) = self.runs.get(&run) else { return };
        let mut waiting: Vec<i32> = about.is_leader_alive.then_some(about.leader).into_iter().collect();
        waiting.extend(self.adopted.iter().filter(|(_, owner)| **owner == Owner::Run(run)).map(|(&pid, _)| pid));
        let mut next = 0;
        while next < waiting.len().min(MOST_LOOKED_AT) {
            let pid = waiting[next];
            next += 1;
            if let Some(stat) = self.proc.stat(pid) {
                self.proc.children(&stat, &mut waiting);
            }
            if let Some(user) = self.proc.user(pid) {
                self.note_user(run, user);
            }
        }
    }

    /// The run of the process that sent the daemon a signal. One that has exited, perhaps before it could be looked up,
    /// is known if it was a run's main process.
    pub fn run_of_sender(&mut self, pid: Pid) -> Option<RunId> {
        match self.whose(pid) {
            Whose::Run(run) => Some(run),
            Whose::Nobody => None,
            Whose::Gone => self.by_number(pid.0),
        }
    }

    pub(super) fn by_child(&self, pid: i32) -> Option<RunId> {
        let led = self.leaders.get(&pid).filter(|run| self.runs.get(run).is_some_and(|run| run.is_leader_alive));
        match (led, self.adopted.get(&pid)) {
            (Some(&run), _) | (None, Some(&Owner::Run(run))) => Some(run),
            _ => None,
        }
    }

    /// The child of ours that a process descends from, or itself if it is one.
    fn child_over(&mut self, pid: i32) -> Over {
        let this = self.proc.this();
        for _ in 0..MOST_LOOKS_UP {
            if let over @ (Over::Child(_) | Over::Nobody) = self.climb_from(pid, this) {
                return over;
            }
        }
        Over::Unknown
    }

    fn climb_from(&mut self, pid: i32, this: i32) -> Over {
        let mut at = pid;
        for _ in 0..MOST_ANCESTORS {
            match self.proc.stat(at).map(|stat| stat.parent) {
                Some(parent) if parent == this => return Over::Child(at),
                Some(parent) if parent <= 1 => return Over::Nobody,
                Some(parent) => at = parent,
                None => return Over::Unknown,
            }
        }
        Over::Unknown
    }

    /// `before` is the result of an earlier lookup.
    pub(super) fn owner_of(&mut self, pid: i32, before: Option<Owner>) -> Owner {
        if let Some(owner) = self.by_proof(pid) {
            return owner;
        }
        // A tag of ours is never inherited from outside: a process with that of a removed run belongs to none.
        if let Some(worn) = self.tags.worn_by(pid, &mut self.proc) {
            return self.tagged.get(&worn.tag).copied().map_or(FOREIGN, |run| self.if_it_may_be(pid, run));
        }
        match self.proc.variable(pid, MARKER) {
            // A marker of no run of ours comes from a musterd inside a program. Its daemon's tag, session or
            // ancestry would have identified the run.
            Variable::Set(marker) => {
                self.markers.get(marker.as_str()).copied().map_or(FOREIGN, |run| self.if_it_may_be(pid, run))
            }
            Variable::Unset => FOREIGN,
            Variable::Unknown => match before {
                Some(Owner::Nobody { looks }) => Owner::Nobody { looks: looks + 1 },
                _ => Owner::Nobody { looks: 0 },
            },
        }
    }

    /// By properties that a program cannot choose.
    fn by_proof(&mut self, pid: i32) -> Option<Owner> {
        if let Some(run) = self.observed_as(pid) {
            return Some(Owner::Run(run));
        }
        if let Some(run) = self.by_number(session_of(pid)).or_else(|| self.by_number(group_of(pid))) {
            return Some(Owner::Run(run));
        }
        if let Some(worn) = self.tags.worn_by(pid, &mut self.proc).filter(|worn| worn.is_proof) {
            return Some(self.tagged.get(&worn.tag).map_or(FOREIGN, |&run| Owner::Run(run)));
        }
        self.cgroups.run_of(pid, &mut self.proc).map(Owner::Run)
    }

    /// A hint counts only if the run has had the process's user, since any process can forge it.
    fn if_it_may_be(&mut self, pid: i32, run: RunId) -> Owner {
        match self.proc.user(pid) {
            Some(user) if self.has_had_user(run, user) => Owner::Run(run),
            _ => FOREIGN,
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

    /// By the number of its session or group. The kernel does not reuse a number as long as a session or a
    /// group has it, so it is our leader's until another process is seen with it.
    fn by_number(&self, number: i32) -> Option<RunId> {
        let run = self.leaders.get(&number)?;
        self.runs.get(run).is_some_and(|about| about.is_number_ours).then_some(*run)
    }
}

fn is_gone(pid: i32) -> bool {
    // SAFETY: signal 0 is never delivered.
    unsafe { libc::kill(pid, 0) == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH) }
}

pub(super) fn session_of(pid: i32) -> i32 {
    // SAFETY: getsid takes a number; -1, the answer for a process that is gone, is not a session.
    unsafe { libc::getsid(pid) }
}

pub(super) fn group_of(pid: i32) -> i32 {
    // SAFETY: getpgid takes a number; -1, the answer for a process that is gone, is not a group.
    unsafe { libc::getpgid(pid) }
}
