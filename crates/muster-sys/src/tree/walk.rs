//! Everyone in a tree, from its roots down.
//!
//! The roots are our own children, so they are certain. Below them a process is taken only if it says itself that its
//! parent is the one in whose list it stood: a pid that was recycled between two reads is a stranger's. Who moves
//! while he is looked for is found by the next walk, as an orphan. Signals nobody.

use std::collections::{HashMap, HashSet, VecDeque};

use muster_spec::RunId;

use super::Trees;
use super::owner::{self, Owner};
use super::proc::{Proc, Stat};

/// So many descendants are remembered before those that have ended are looked for.
pub(super) const LEAST_OBSERVED: usize = 4096;

/// Whose processes are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whom<'a> {
    /// Those of these runs.
    Runs(&'a [RunId]),
    /// Those of nobody: see [`Trees::strays`].
    Strays,
    /// All below the daemon.
    Everyone,
}

/// Where a tree begins.
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
    /// Whether it is our own child, so that its pid is its own until we reap it.
    pub(crate) is_child: bool,
}

impl Trees {
    /// Everyone in the trees, parents before their children.
    pub(super) fn find(&mut self, whom: Whom<'_>) -> Vec<Member> {
        self.look();
        let roots = self.roots(whom);
        walk(&mut self.proc, &roots)
    }

    /// The tops of the trees, as of the last look.
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
                let mut roots: Vec<Root> = strays.map(|(&pid, _)| Root { pid, parent, run: None }).collect();
                roots.extend(injected(&mut self.proc));
                roots
            }
            Whom::Everyone => {
                let runs: Vec<RunId> = self.runs.keys().copied().collect();
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

    /// Keeps in mind who was seen in which tree, until it comes to us as an orphan.
    pub(super) fn remember(&mut self, members: &[Member]) {
        for member in members.iter().filter(|member| !member.is_child) {
            if let Some(run) = member.run {
                self.note_descendant(member.stat.pid, member.stat.start, run);
            }
        }
    }

    /// Keeps one in mind. When too many are, those that have ended are forgotten.
    pub(super) fn note_descendant(&mut self, pid: i32, start: u64, run: RunId) {
        if self.observed.len() >= self.most_observed {
            let proc = &mut self.proc;
            self.observed.retain(|&pid, &mut (start, _)| proc.stat(pid).is_some_and(|stat| stat.start == start));
            // All that are left live, so there is room for as many again before the next look at each.
            self.most_observed = (2 * self.observed.len()).max(LEAST_OBSERVED);
        }
        self.observed.insert(pid, (start, run));
    }
}

/// What came into our pid namespace from outside, as `docker exec` does: its parent has no number here. Only PID 1
/// answers for those; anyone else may share the namespace with strangers.
pub(super) fn injected(proc: &mut Proc) -> Vec<Root> {
    let this = proc.this();
    if this != 1 {
        return Vec::new();
    }
    let scan = proc.scan();
    let injected = scan.iter().filter(|stat| stat.parent == 0 && stat.pid != this && !stat.is_kernel_thread());
    injected.map(|stat| Root { pid: stat.pid, parent: 0, run: None }).collect()
}

/// Breadth first, so that parents come before their children.
pub(crate) fn walk(proc: &mut Proc, roots: &[Root]) -> Vec<Member> {
    let mut families = Families::of(proc);
    let mut members = Vec::with_capacity(roots.len());
    let mut seen: HashSet<i32> = HashSet::with_capacity(roots.len());
    let mut waiting: VecDeque<Root> = roots.iter().copied().collect();
    let mut children = Vec::new();
    while let Some(next) = waiting.pop_front() {
        if !seen.insert(next.pid) {
            continue;
        }
        let Some(member) = identify(proc, next) else { continue };
        families.children(proc, &member.stat, &mut children);
        waiting.extend(children.drain(..).map(|pid| Root { pid, parent: next.pid, run: next.run }));
        members.push(member);
    }
    members
}

/// Who this pid is, if it is still the child that it was found as. Our own is, even where /proc does not show it.
pub(crate) fn identify(proc: &mut Proc, root: Root) -> Option<Member> {
    let is_child = root.parent == proc.this();
    let stat = match proc.stat(root.pid) {
        Some(stat) if stat.parent == root.parent => stat,
        None if is_child => Stat::hidden(root.pid, root.parent, owner::group_of(root.pid), owner::session_of(root.pid)),
        _ => return None,
    };
    Some(Member { stat, run: root.run, is_child })
}

/// Who has which children: asked one by one where the kernel lists them, from one scan of everyone otherwise.
pub(crate) enum Families {
    Listed,
    Scanned(HashMap<i32, Vec<i32>>),
}

impl Families {
    pub(crate) fn of(proc: &mut Proc) -> Families {
        if proc.lists_children() {
            return Families::Listed;
        }
        let mut families: HashMap<i32, Vec<i32>> = HashMap::new();
        for stat in proc.scan() {
            families.entry(stat.parent).or_default().push(stat.pid);
        }
        Families::Scanned(families)
    }

    pub(crate) fn children(&mut self, proc: &mut Proc, of: &Stat, children: &mut Vec<i32>) {
        match self {
            Families::Listed => proc.children(of, children),
            Families::Scanned(families) => children.extend(families.get(&of.pid).into_iter().flatten()),
        }
    }
}
