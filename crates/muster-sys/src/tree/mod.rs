//! Process trees: the processes that belong to a run, whatever they do to their parent, session or environment.
//!
//! The daemon is PID 1 or a child subreaper, so every process of a tree descends from one of its direct children: the
//! run's main process, or an adopted orphan. So a run whose main process is reaped is gone when no direct
//! child belongs to it, and that costs one read for any number of runs. `owner` attributes an orphan to its run, which is
//! cached until it is reaped, as long as its pid cannot be reused. `signal` signals them, `held` holds one of
//! them, `list` shows them. Never reaps and never decides when. The reasons are in docs/design/0003-trees.md.

mod cgroup;
mod errand;
mod freeze;
mod kept;
mod list;
mod no_proc;
mod owner;
mod pidfd;
mod proc;
mod process_handle;
mod share;
mod signal;
mod tag;
mod walk;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use cgroup::Cgroups;
use muster_spec::{ByRun, Rlimit, RunId, Signal};
use owner::Owner;
use proc::Proc;
use tag::Tags;

use crate::signal::Pid;

pub use errand::Errand;
pub use freeze::LastHunt;
pub use list::{Listing, Measuring, Names, Process, ProcessState, Refused, Usage};
pub use owner::Whose;
pub use process_handle::ProcessHandle;
pub use share::proportional_bytes;
pub use signal::Signalled;
pub(crate) use tag::counterpart;

/// The name of the variable in a program's environment that identifies its run.
pub const MARKER: &str = "MUSTER_RUN";

/// The features that this kernel, container and user provide. Everything works without, with restrictions: [`Abilities::lacks`].
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
    /// The cgroup v2 directory in which groups for runs can be created.
    pub cgroup: Option<std::path::PathBuf>,
}

impl Abilities {
    /// The missing features and their consequences, one line each. A missing cgroup is not one: no guarantee depends on it.
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

/// The trees of all live runs.
#[derive(Debug)]
pub struct Trees {
    proc: Proc,
    tags: Tags,
    with_pidfds: bool,
    cgroups: Cgroups,
    /// Boxed, as the map has room for up to twice as many.
    runs: ByRun<Box<Run>>,
    /// Those of them that are over, and of which processes are kept.
    disowned: Vec<RunId>,
    /// Runs by the pid of their main process, which stays their session's number after its exit.
    leaders: HashMap<i32, RunId>,
    markers: HashMap<Arc<str>, RunId>,
    tagged: HashMap<u64, RunId>,
    /// Our direct children that are not main processes, by pid, until they are reaped.
    adopted: HashMap<i32, Owner>,
    /// Our direct children that are stopped, as far as the reaper has noticed: the kernel reports each stop once.
    stopped: HashSet<i32>,
    /// Descendants that were seen while their ancestry was known, and their start times.
    observed: HashMap<i32, (u64, RunId)>,
    /// The processes of a run that got a signal with their group, and the last such signal, by pid and start time.
    signalled: HashMap<RunId, (Signal, HashSet<(i32, u64)>)>,
    /// At this many observed processes, those that have exited are removed: these are still to be checked.
    most_observed: usize,
    unverified: Vec<i32>,
    /// The targets of a SIGKILL that takes more than one call.
    hunt: Option<freeze::Hunt>,
    /// Scratch for the list of our children, kept for its capacity.
    children: Vec<i32>,
    /// Whether we have had no children since that was noted, and thus no descendants.
    is_childless: bool,
}

#[derive(Debug)]
struct Run {
    leader: i32,
    is_leader_alive: bool,
    /// Whether the leader's pid can only mean this run's session and group. False once it was reused.
    is_number_ours: bool,
    /// Whether the run is over, and its processes are kept.
    is_disowned: bool,
    marker: Arc<str>,
    /// Whether the main process was seen to have its tag; `None` until it was checked.
    is_tagged: Option<bool>,
    /// How many of [`Trees::adopted`] belong to it.
    adopted: usize,
    /// The users that its processes are known to have had.
    users: Vec<u32>,
}

impl Default for Trees {
    fn default() -> Trees {
        Trees::new()
    }
}

impl Trees {
    /// Detects the available features. Call it in the process that will be the parent of all runs.
    pub fn new() -> Trees {
        let mut proc = Proc::new();
        Trees {
            tags: Tags::new(&mut proc),
            proc,
            with_pidfds: pidfd::works(),
            cgroups: Cgroups::new(),
            runs: ByRun::default(),
            disowned: Vec::new(),
            leaders: HashMap::new(),
            markers: HashMap::new(),
            tagged: HashMap::new(),
            adopted: HashMap::new(),
            stopped: HashSet::new(),
            observed: HashMap::new(),
            signalled: HashMap::new(),
            most_observed: walk::LEAST_OBSERVED,
            unverified: Vec::new(),
            hunt: None,
            children: Vec::new(),
            is_childless: false,
        }
    }

    /// The features found by [`Trees::new`].
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

    /// Disables features that `allowed` does not have, as if the kernel lacked them, for tests. Call it
    /// before anything else.
    #[doc(hidden)]
    pub fn restrict(&mut self, allowed: &Abilities) {
        self.with_pidfds &= allowed.pidfds;
        self.proc.restrict(allowed.proc, allowed.children_lists);
        if !allowed.tags {
            self.tags = Tags::Off;
        }
    }

    /// The resource limit that a new process of this run must set on itself, before it changes user, to be permanently
    /// recognized: see docs/design/0003-trees.md. Omit it if the program limits `locks` itself.
    pub fn tag(&self, run: RunId) -> Option<Rlimit> {
        self.tags.limit(run)
    }

    /// Creates a cgroup for a run that is about to be spawned, and returns its `cgroup.procs`, open for writing: the new
    /// process writes `0` to it before exec. Joining costs a grace period of the kernel, up to 20 ms after a
    /// pause, so this is for programs that request exact tracking.
    pub fn enclose(&mut self, run: RunId) -> io::Result<BorrowedFd<'_>> {
        self.cgroups.make(run)
    }

    /// Registers a spawned run. `marker` is the value of [`MARKER`] in its environment. Call it before any other
    /// operation on trees: a child that belongs to no run is a stray.
    pub fn begin(&mut self, run: RunId, leader: Pid, marker: String) {
        self.is_childless = false;
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
            is_disowned: false,
            marker,
            is_tagged: None,
            adopted: 0,
            // SAFETY: getuid cannot fail.
            users: vec![unsafe { libc::getuid() }],
        };
        self.runs.insert(run, Box::new(begun));
    }

    /// Registers that there are no children, as the reaper has just found: until another run begins, nothing is left of any.
    pub fn note_childless(&mut self) {
        self.is_childless = true;
    }

    /// Registers that a child was reaped: from now on its pid may be reused. Constant time.
    pub fn reaped(&mut self, pid: Pid) {
        self.forget_adopted(pid.0);
        self.stopped.remove(&pid.0);
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

    /// Records the descendants of a run's main process while they are visible, for example before it is signalled. Does
    /// nothing for a run with its tag, which identifies them at any later time.
    pub fn observe(&mut self, run: RunId) {
        if self.wears_tag(run) {
            return;
        }
        let members = self.find(walk::Whom::Runs(&[run]));
        self.remember(&members);
    }

    /// Which of these runs have no process left. One read for all of them, so call it once for all that ended in the same
    /// wake-up, after everything was reaped. A run that was never begun, or was removed, has none.
    pub fn gone(&mut self, ended: &[RunId]) -> Vec<RunId> {
        self.gone_by(ended, None).unwrap_or_default()
    }

    /// The same with a time limit; `None` if new orphans could not be attributed in time: call it again.
    pub fn gone_by(&mut self, ended: &[RunId], until: Option<Instant>) -> Option<Vec<RunId>> {
        let has_none = self.is_childless && self.adopted.is_empty();
        if !ended.is_empty() && !has_none && !self.look_until(until) {
            return None;
        }
        Some(ended.iter().copied().filter(|&run| self.is_gone(run)).collect())
    }

    /// Attributes new orphans. Cheap, and useful whenever an orphan was
    /// reaped: others may have arrived at the same time, and the evidence may disappear.
    pub fn look(&mut self) {
        self.look_until(None);
    }

    /// The same with a time limit; returns whether all are attributed. The next call continues with the others.
    pub fn look_until(&mut self, until: Option<Instant>) -> bool {
        let mut children = std::mem::take(&mut self.children);
        let mut is_complete = true;
        if self.proc.own_children(&mut children).is_some() {
            let mut seen = 0;
            for &pid in &children {
                let is_known = self.is_known(pid);
                seen += usize::from(self.meet(pid));
                // The clock is checked after each lookup: known ones cost next to nothing.
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

    /// Removes a run that is over. Also after a failed spawn.
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

    /// Whether the run of this child of ours is known.
    fn is_known(&self, pid: i32) -> bool {
        self.by_child(pid).is_some() || self.adopted.get(&pid).is_some_and(|owner| !owner.is_worth_asking_again())
    }

    /// Registers one of our children; returns whether it is one of [`Trees::adopted`].
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

    /// In case the reaping of a child was not registered: it must not keep its run alive.
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

    /// Whether the main process of this run was seen to have its tag, so that its processes are always recognized.
    pub fn wears_tag(&mut self, run: RunId) -> bool {
        let Some(about) = self.runs.get_mut(&run) else { return false };
        if about.is_tagged.is_none() && about.is_leader_alive {
            let worn = self.tags.worn_by(about.leader, &mut self.proc);
            about.is_tagged = Some(worn.is_some_and(|worn| worn.is_proof && Some(worn.tag) == self.tags.of(run)));
        }
        about.is_tagged == Some(true)
    }
}
