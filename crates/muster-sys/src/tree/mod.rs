//! Process trees: which processes belong to a run, whatever they did to their parent, session or environment.
//!
//! The daemon is PID 1 or a child subreaper, so every process of a tree hangs below one of its direct children: the
//! run's main process, or an orphan that came to it. So a run whose main process is reaped is gone when no direct
//! child belongs to it, and that costs one read for any number of runs. Whose an orphan is is found in `owner` and
//! remembered until it is reaped, as long as its pid cannot be anyone else's. `signal` reaches them, `held` one of
//! them, `list` shows them. Never reaps and never decides when. The reasons are in docs/design/0003-trees.md.

mod cgroup;
mod errand;
mod freeze;
mod list;
mod no_proc;
mod owner;
mod pidfd;
mod proc;
mod process_handle;
mod signal;
mod tag;
mod walk;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use cgroup::Cgroups;
use muster_spec::{Rlimit, RunId, Signal};
use owner::Owner;
use proc::Proc;
use tag::Tags;

use crate::signal::Pid;

pub use errand::Errand;
pub use freeze::LastHunt;
pub use list::{Listing, Measuring, Names, Process, ProcessState, Refused, Usage};
pub use owner::Whose;
pub use process_handle::ProcessHandle;
pub use signal::Signalled;
pub(crate) use tag::counterpart;

/// The name of the variable in a program's environment that says which run it is of.
pub const MARKER: &str = "MUSTER_RUN";

/// What this kernel, container and user allow. Everything works without, less well: [`Abilities::lacks`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Whether the daemon is PID 1 of its pid namespace.
    pub is_pid_1: bool,
    /// Whether there is a /proc of this pid namespace.
    pub proc: bool,
    /// Whether /proc lists the children of a process (`CONFIG_PROC_CHILDREN`).
    pub children_lists: bool,
    /// Whether processes can be held and signalled by descriptor (Linux 5.3).
    pub pidfds: bool,
    /// Whether runs can be tagged by a resource limit.
    pub tags: bool,
    /// The cgroup v2 directory in which groups for runs could be made.
    pub cgroup: Option<std::path::PathBuf>,
}

impl Abilities {
    /// What is missing and what that means, one line each. A missing cgroup is not: nothing promised depends on it.
    pub fn lacks(&self) -> Vec<&'static str> {
        let missing = [
            (
                !self.proc,
                "no /proc of this pid namespace: processes that left their program's process group are only found at shutdown, and only by PID 1",
            ),
            (
                self.proc && !self.children_lists,
                "no children lists in /proc: finding a program's processes takes longer",
            ),
            (
                !self.pidfds,
                "no pidfds: a process that is not the daemon's child is signalled by its pid, right after a check of its start time",
            ),
            (
                self.proc && !self.tags,
                "resource limits leave no room for tags: a daemonized process that cleaned its environment may not be found",
            ),
        ];
        missing.into_iter().filter(|(is_missing, _)| *is_missing).map(|(_, line)| line).collect()
    }
}

/// Every live run's tree.
#[derive(Debug)]
pub struct Trees {
    proc: Proc,
    tags: Tags,
    with_pidfds: bool,
    cgroups: Cgroups,
    runs: HashMap<RunId, Run>,
    /// Runs by the pid of their main process, which stays their session's number when it is dead.
    leaders: HashMap<i32, RunId>,
    markers: HashMap<Arc<str>, RunId>,
    tagged: HashMap<u64, RunId>,
    /// Our direct children that are no main process, by pid, until they are reaped.
    adopted: HashMap<i32, Owner>,
    /// Descendants that were seen while their ancestry was, and their start times.
    observed: HashMap<i32, (u64, RunId)>,
    /// Who of a run got which signal with its group last, by pid and start time.
    signalled: HashMap<RunId, (Signal, HashSet<(i32, u64)>)>,
    /// When so many are observed, those that have ended are forgotten: these are still to be looked at.
    most_observed: usize,
    unverified: Vec<i32>,
    /// Whom SIGKILL is on its way to, where that takes more than one call.
    hunt: Option<freeze::Hunt>,
    /// Scratch for the list of our children, kept for its capacity.
    children: Vec<i32>,
}

#[derive(Debug)]
struct Run {
    leader: i32,
    is_leader_alive: bool,
    /// Whether the leader's number can still only mean this run's session and group. Not so once it was given away.
    is_number_ours: bool,
    marker: Arc<str>,
    /// Whether the main process was seen to wear its tag; `None` until someone looked.
    is_tagged: Option<bool>,
    /// How many of [`Trees::adopted`] are its own.
    adopted: usize,
    /// The users that processes of it are known to have been.
    users: Vec<u32>,
}

impl Default for Trees {
    fn default() -> Trees {
        Trees::new()
    }
}

impl Trees {
    /// Looks at what there is to work with. Call it in the process that will be the parent of all runs.
    pub fn new() -> Trees {
        let mut proc = Proc::new();
        Trees {
            tags: Tags::new(&mut proc),
            proc,
            with_pidfds: pidfd::works(),
            cgroups: Cgroups::new(),
            runs: HashMap::new(),
            leaders: HashMap::new(),
            markers: HashMap::new(),
            tagged: HashMap::new(),
            adopted: HashMap::new(),
            observed: HashMap::new(),
            signalled: HashMap::new(),
            most_observed: walk::LEAST_OBSERVED,
            unverified: Vec::new(),
            hunt: None,
            children: Vec::new(),
        }
    }

    /// What was found by [`Trees::new`].
    pub fn abilities(&self) -> Abilities {
        Abilities {
            is_pid_1: self.proc.this() == 1,
            proc: self.proc.is_usable(),
            children_lists: self.proc.lists_children(),
            pidfds: self.with_pidfds,
            tags: self.tags != Tags::Off,
            cgroup: self.cgroups.home(),
        }
    }

    /// Does without what `allowed` does not have, as if the kernel had less: for tests of what happens then. To be
    /// called before anything else.
    #[doc(hidden)]
    pub fn restrict(&mut self, allowed: &Abilities) {
        self.with_pidfds &= allowed.pidfds;
        self.proc.restrict(allowed.proc, allowed.children_lists);
        if !allowed.tags {
            self.tags = Tags::Off;
        }
    }

    /// The resource limit that a new process of this run must set on itself, before it changes user, to be known as
    /// the run's for ever: see docs/design/0003-trees.md. Leave it out where the program limits `locks` itself.
    pub fn tag(&self, run: RunId) -> Option<Rlimit> {
        self.tags.limit(run)
    }

    /// Makes a cgroup for a run that is about to be spawned, and returns its `cgroup.procs`, open for writing: the new
    /// process writes `0` to it before exec. Joining costs a grace period of the kernel, up to 20 ms after a while of
    /// quiet, so this is for programs that asked for exact tracking.
    pub fn enclose(&mut self, run: RunId) -> io::Result<BorrowedFd<'_>> {
        self.cgroups.make(run)
    }

    /// A run was spawned. `marker` is the value of [`MARKER`] in its environment. Call it before anything else looks
    /// at trees: a child that belongs to no run is a stray.
    pub fn begin(&mut self, run: RunId, leader: Pid, marker: String) {
        self.forget_adopted(leader.0);
        if let Some(earlier) = self.leaders.insert(leader.0, run) {
            self.give_up_number(earlier);
        }
        let marker = Arc::<str>::from(marker);
        self.markers.insert(Arc::clone(&marker), run);
        self.tagged.extend(self.tags.of(run).map(|tag| (tag, run)));
        let begun = Run {
            leader: leader.0,
            is_leader_alive: true,
            is_number_ours: true,
            marker,
            is_tagged: None,
            adopted: 0,
            // SAFETY: getuid cannot fail.
            users: vec![unsafe { libc::getuid() }],
        };
        self.runs.insert(run, begun);
    }

    /// A child was reaped, whoever it was: from now on its pid may be anyone's. Constant time.
    pub fn reaped(&mut self, pid: Pid) {
        self.forget_adopted(pid.0);
        if let Some(hunt) = &mut self.hunt {
            hunt.forget(pid.0);
        }
        if !self.observed.is_empty() {
            self.observed.remove(&pid.0);
        }
        if let Some(run) = self.leaders.get(&pid.0).and_then(|run| self.runs.get_mut(run)) {
            run.is_leader_alive = false;
        }
    }

    /// Remembers who descends from a run's main process while that can be seen: before it is signalled, for one. Does
    /// nothing for a run that wears its tag, which says the same at any later time.
    pub fn observe(&mut self, run: RunId) {
        if self.wears_tag(run) {
            return;
        }
        let members = self.find(walk::Whom::Runs(&[run]));
        self.remember(&members);
    }

    /// Which of these runs have no process left. One read for all of them, so ask once for all that ended in the same
    /// wake-up, after everything was reaped. A run that was never begun, or is forgotten, has none.
    pub fn gone(&mut self, ended: &[RunId]) -> Vec<RunId> {
        self.gone_by(ended, None).unwrap_or_default()
    }

    /// The same, looking until then; `None` where orphans have come of which it is not yet known whose they are: ask again.
    pub fn gone_by(&mut self, ended: &[RunId], until: Option<Instant>) -> Option<Vec<RunId>> {
        if !ended.is_empty() && !self.look_until(until) {
            return None;
        }
        Some(ended.iter().copied().filter(|&run| self.is_gone(run)).collect())
    }

    /// Finds out whose the orphans are that have come since the last look. Cheap, and worth it whenever an orphan was
    /// reaped: others may have come at the same time, and what tells whose they are may not be there for ever.
    pub fn look(&mut self) {
        self.look_until(None);
    }

    /// The same until then; whether it is known of all. The next look goes on with the others.
    pub fn look_until(&mut self, until: Option<Instant>) -> bool {
        let mut children = std::mem::take(&mut self.children);
        let mut is_complete = true;
        if self.proc.own_children(&mut children).is_some() {
            let mut seen = 0;
            for &pid in &children {
                let is_known = self.is_known(pid);
                seen += usize::from(self.meet(pid));
                // The time is looked at after each that was asked: those that are known cost next to nothing.
                if !is_known && until.is_some_and(|until| Instant::now() >= until) {
                    is_complete = false;
                    break;
                }
            }
            if is_complete && seen < self.adopted.len() {
                self.drop_vanished(&children);
            }
        }
        self.children = children;
        is_complete
    }

    /// A run is over and done with: forgets it. Also after a spawn that failed.
    pub fn end(&mut self, run: RunId) {
        self.cgroups.remove(run);
        let Some(ended) = self.runs.remove(&run) else { return };
        if self.leaders.get(&ended.leader) == Some(&run) {
            self.leaders.remove(&ended.leader);
        }
        if self.markers.get(&ended.marker) == Some(&run) {
            self.markers.remove(&ended.marker);
        }
        if let Some(tag) = self.tags.of(run) {
            self.tagged.remove(&tag);
        }
        self.observed.retain(|_, (_, of)| *of != run);
        self.signalled.remove(&run);
        if ended.adopted > 0 {
            self.adopted.retain(|_, owner| *owner != Owner::Run(run));
        }
    }

    fn is_gone(&mut self, run: RunId) -> bool {
        let Some(about) = self.runs.get(&run) else { return true };
        let is_hidden = !self.proc.is_usable() && about.is_number_ours && no_proc::has_children_in_group(about.leader);
        !about.is_leader_alive && about.adopted == 0 && !is_hidden && !self.cgroups.is_populated(run)
    }

    /// Whether it is known whose this child of ours is.
    fn is_known(&self, pid: i32) -> bool {
        self.by_child(pid).is_some() || self.adopted.get(&pid).is_some_and(|owner| !owner.is_worth_asking_again())
    }

    /// Takes note of one of our children; whether it is one of [`Trees::adopted`].
    fn meet(&mut self, pid: i32) -> bool {
        match self.adopted.get(&pid) {
            Some(owner) if !owner.is_worth_asking_again() => return true,
            Some(_) => {}
            None => match self.leaders.get(&pid).copied() {
                Some(run) if self.runs.get(&run).is_some_and(|run| run.is_leader_alive) => return false,
                Some(run) => self.give_up_number(run),
                None => {}
            },
        }
        let before = self.adopted.get(&pid).copied();
        let owner = self.owner_of(pid, before);
        if let Owner::Run(run) = owner
            && let Some(run) = self.runs.get_mut(&run)
        {
            run.adopted += 1;
        }
        self.adopted.insert(pid, owner);
        true
    }

    fn forget_adopted(&mut self, pid: i32) {
        if let Some(Owner::Run(run)) = self.adopted.remove(&pid)
            && let Some(run) = self.runs.get_mut(&run)
        {
            run.adopted -= 1;
        }
    }

    /// Should a reaped child not have been reported: it must not keep its run alive for ever.
    fn drop_vanished(&mut self, children: &[i32]) {
        let present: HashSet<i32> = children.iter().copied().collect();
        let vanished: Vec<i32> = self.adopted.keys().copied().filter(|pid| !present.contains(pid)).collect();
        for pid in vanished {
            self.forget_adopted(pid);
        }
    }

    fn give_up_number(&mut self, run: RunId) {
        if let Some(run) = self.runs.get_mut(&run) {
            run.is_number_ours = false;
        }
    }

    /// Whether the main process of this run was seen to wear its tag, so that its processes are known as its own for ever.
    pub fn wears_tag(&mut self, run: RunId) -> bool {
        let Some(about) = self.runs.get_mut(&run) else { return false };
        if about.is_tagged.is_none() && about.is_leader_alive {
            let worn = self.tags.worn_by(about.leader, &mut self.proc);
            about.is_tagged = Some(worn.is_some_and(|worn| worn.is_proof && Some(worn.tag) == self.tags.of(run)));
        }
        about.is_tagged == Some(true)
    }
}
