//! Walks trees from their roots down.
//!
//! The roots are our own children, so they are certain. Below them a process is included only if its own entry names the
//! parent in whose list it was found: a pid that was recycled between two reads is a foreign process. A process that moves
//! during the walk is found by the next one, as an orphan. Sends no signals.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use muster_spec::RunId;

use super::Trees;
use super::owner::{self, Owner};
use super::proc::{Proc, Stat};

/// At this many remembered descendants, those that have exited are searched for.
pub(super) const LEAST_OBSERVED: usize = 4096;

/// How many of them are checked for each new one.
const VERIFIED_AT_ONCE: usize = 4;

/// The clock is checked after this many processes.
const CHUNK: usize = 8;

/// The processes to find.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whom<'a> {
    /// Those of these runs.
    Runs(&'a [RunId]),
    /// Those of no run: see [`Trees::strays`].
    Strays,
    /// All below the daemon, except those of disowned runs.
    Everyone,
}

/// The root of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) run: Option<RunId>,
}

/// A process of a tree, as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) stat: Stat,
    pub(crate) run: Option<RunId>,
    /// Whether it is our own child, so that its pid is not reused until we reap it.
    pub(crate) is_child: bool,
}

impl Trees {
    /// All processes in the trees, parents before their children.
    pub(super) fn find(&mut self, whom: Whom<'_>) -> Vec<Member> {
        self.look();
        let mut walk = self.walk_to(whom);
        walk.go_on(&mut self.proc, None);
        walk.members
    }

    /// The same as a walk that has not started.
    pub(super) fn walk_to(&mut self, whom: Whom<'_>) -> Walk {
        let roots = self.roots(whom);
        Walk::new(&mut self.proc, &roots, !matches!(whom, Whom::Runs(_)))
    }

    /// The roots of the trees, as of the last scan, except those that came from outside: see [`injected`].
    pub(super) fn roots(&mut self, whom: Whom<'_>) -> Vec<Root> {
        let parent = self.proc.this();
        match whom {
            Whom::Runs(runs) => {
                let mut roots: Vec<Root> = runs.iter().filter_map(|&run| self.leader_of(run)).collect();
                if runs.iter().any(|run| self.runs.get(run).is_some_and(|run| run.adopted > 0)) {
                    let wanted: HashSet<RunId> = runs.iter().copied().collect();
                    roots.extend(self.adopted.iter().filter_map(|(&pid, owner)| match owner {
                        Owner::Run(run) if wanted.contains(run) => Some(Root { pid, parent, run: Some(*run) }),
                        _ => None,
                    }));
                }
                roots
            }
            Whom::Strays => {
                let strays = self.adopted.iter().filter(|(_, owner)| matches!(owner, Owner::Nobody { .. }));
                strays.map(|(&pid, _)| Root { pid, parent, run: None }).collect()
            }
            Whom::Everyone => {
                let owned = self.runs.iter().filter(|(_, run)| !run.is_disowned);
                let runs: Vec<RunId> = owned.map(|(&run, _)| run).collect();
                let mut roots = self.roots(Whom::Runs(&runs));
                roots.extend(self.roots(Whom::Strays));
                roots
            }
        }
    }

    fn leader_of(&self, run: RunId) -> Option<Root> {
        let about = self.runs.get(&run).filter(|about| about.is_leader_alive)?;
        Some(Root { pid: about.leader, parent: self.proc.this(), run: Some(run) })
    }

    /// Records the members of each tree, in case they become orphans.
    pub(super) fn remember(&mut self, members: &[Member]) {
        for member in members.iter().filter(|member| !member.is_child) {
            if let Some(run) = member.run {
                self.note_descendant(member.stat.pid, member.stat.start, run);
            }
        }
    }

    /// Records one. When there are too many, those that have exited are removed, a few with each new one.
    pub(super) fn note_descendant(&mut self, pid: i32, start: u64, run: RunId) {
        if self.observed.len() >= self.most_observed && self.unverified.is_empty() {
            self.unverified.extend(self.observed.keys());
            self.most_observed = usize::MAX;
        }
        for pid in self.unverified.split_off(self.unverified.len().saturating_sub(VERIFIED_AT_ONCE)) {
            let proc = &mut self.proc;
            if self.observed.get(&pid).is_some_and(|&(start, _)| proc.stat(pid).is_none_or(|stat| stat.start != start))
            {
                self.observed.remove(&pid);
            }
            if self.unverified.is_empty() {
                // All that are left were alive recently, so the limit doubles before each is checked again.
                self.most_observed = (2 * self.observed.len()).max(LEAST_OBSERVED);
            }
        }
        self.observed.insert(pid, (start, run));
    }
}

/// Processes that entered our pid namespace from outside, as with `docker exec`: their parent has no pid here. Only PID 1
/// is responsible for those; another daemon may share the namespace with unrelated processes.
pub(super) fn injected(proc: &mut Proc) -> Vec<Root> {
    if proc.this() != 1 {
        return Vec::new();
    }
    let scan = proc.scan();
    scan.iter().filter(|stat| is_injected(stat, 1)).map(root_of_injected).collect()
}

fn is_injected(stat: &Stat, this: i32) -> bool {
    stat.parent == 0 && stat.pid != this && !stat.is_kernel_thread()
}

fn root_of_injected(stat: &Stat) -> Root {
    Root { pid: stat.pid, parent: 0, run: None }
}

/// A resumable walk through trees. Breadth first, so that parents come before their children. Processes that move
/// or exit meanwhile are found or missed as in any walk.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Processes still to be read before children can be assigned, or those from outside are known.
    unread: Vec<i32>,
    finds_injected: bool,
    families: Families,
    waiting: VecDeque<Root>,
    seen: HashSet<i32>,
    /// The processes found so far.
    pub(crate) members: Vec<Member>,
}

impl Walk {
    /// Below these roots, and with `finds_injected` also below processes that entered the pid namespace from outside.
    pub(crate) fn new(proc: &mut Proc, roots: &[Root], finds_injected: bool) -> Walk {
        let finds_injected = finds_injected && proc.this() == 1;
        let lists_children = proc.lists_children();
        Walk {
            unread: if finds_injected || !lists_children { proc.pids() } else { Vec::new() },
            finds_injected,
            families: if lists_children { Families::Listed } else { Families::Scanned(HashMap::new()) },
            waiting: roots.iter().copied().collect(),
            seen: HashSet::with_capacity(roots.len()),
            members: Vec::with_capacity(roots.len()),
        }
    }

    /// Continues until then. Returns true when all have been found.
    pub(crate) fn go_on(&mut self, proc: &mut Proc, until: Option<Instant>) -> bool {
        for count in 1.. {
            if !self.read_one(proc) && !self.find_one(proc) {
                return true;
            }
            if usize::is_multiple_of(count, CHUNK) && until.is_some_and(|until| Instant::now() >= until) {
                return false;
            }
        }
        true
    }

    /// Stops searching for processes of these runs.
    pub(crate) fn leave_out(&mut self, is_left_out: impl Fn(RunId) -> bool) {
        self.waiting.retain(|root| !root.run.is_some_and(&is_left_out));
    }

    fn read_one(&mut self, proc: &mut Proc) -> bool {
        let Some(pid) = self.unread.pop() else { return false };
        let Some(stat) = proc.stat(pid) else { return true };
        if self.finds_injected && is_injected(&stat, proc.this()) {
            self.waiting.push_back(root_of_injected(&stat));
        }
        self.families.note(&stat);
        true
    }

    fn find_one(&mut self, proc: &mut Proc) -> bool {
        let Some(next) = self.waiting.pop_front() else { return false };
        if self.seen.insert(next.pid)
            && let Some(member) = identify(proc, next)
        {
            let mut children = Vec::new();
            self.families.children(proc, &member.stat, &mut children);
            self.waiting.extend(children.into_iter().map(|pid| Root { pid, parent: next.pid, run: next.run }));
            self.members.push(member);
        }
        true
    }
}

/// The process with this pid, if it is still the child that was found. Our own child is, even if /proc does not show it.
pub(crate) fn identify(proc: &mut Proc, root: Root) -> Option<Member> {
    let is_child = root.parent == proc.this();
    let stat = match proc.stat(root.pid) {
        Some(stat) if stat.parent == root.parent => stat,
        None if is_child => Stat::hidden(root.pid, root.parent, owner::group_of(root.pid), owner::session_of(root.pid)),
        _ => return None,
    };
    Some(Member { stat, run: root.run, is_child })
}

/// The children of processes: read one by one if the kernel lists them, otherwise from one scan of all processes.
#[derive(Debug)]
pub(crate) enum Families {
    Listed,
    Scanned(HashMap<i32, Vec<i32>>),
}

impl Families {
    pub(crate) fn of(proc: &mut Proc) -> Families {
        if proc.lists_children() {
            return Families::Listed;
        }
        let mut families = Families::Scanned(HashMap::new());
        proc.scan().iter().for_each(|stat| families.note(stat));
        families
    }

    fn note(&mut self, stat: &Stat) {
        if let Families::Scanned(families) = self {
            families.entry(stat.parent).or_default().push(stat.pid);
        }
    }

    pub(crate) fn children(&mut self, proc: &mut Proc, of: &Stat, children: &mut Vec<i32>) {
        match self {
            Families::Listed => proc.children(of, children),
            Families::Scanned(families) => children.extend(families.get(&of.pid).into_iter().flatten()),
        }
    }
}
