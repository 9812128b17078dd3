//! Which program waits for which, and whether what it waits for holds.
//!
//! The graph is built of a whole configuration and asked by the place of an instance in the supervisor's table. It counts:
//! how many instances of a program meet a condition, and how many of a program's dependencies do not hold. So a change
//! costs as much as there are dependents, and finding out whether an instance may start costs nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use muster_spec::{Dependency, DependencyCondition, ProgramSpec};

/// Which of the five conditions an instance meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Met(u8);

impl Met {
    /// Those of the conditions that hold.
    pub(crate) fn where_holds(holds: impl Fn(DependencyCondition) -> bool) -> Met {
        let bit = |condition: DependencyCondition| u8::from(holds(condition)) << condition as u8;
        Met(DependencyCondition::ALL.into_iter().fold(0, |bits, (_, condition)| bits | bit(condition)))
    }

    fn has(self, condition: DependencyCondition) -> bool {
        self.0 & 1 << condition as u8 != 0
    }
}

/// A program, by its place among the configured ones.
type Node = u32;

const NOBODY: Node = Node::MAX;

#[derive(Clone, Debug, Default)]
struct Program {
    /// Its instances' places: the first, and how many.
    first: u32,
    count: u32,
    needs: Vec<(Node, DependencyCondition)>,
    needed_by: Vec<(Node, DependencyCondition)>,
    /// Who is restarted when it is.
    restarts: Vec<Node>,
    /// How many of its instances meet each condition.
    meeting: [u32; DependencyCondition::ALL.len()],
    /// How many of its dependencies do not hold.
    unmet: u32,
    /// Its priority or the highest of what it depends on: it starts after them and stops before.
    rank: i64,
}

/// All programs and their dependencies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    programs: Vec<Program>,
    /// Whose instance is at each place, as far as it counts.
    of: Vec<Node>,
    /// The same, and those that are not configured any more of programs that still are: they keep their place in the order.
    kin: Vec<Node>,
    met: Vec<Met>,
    /// Every program after what it depends on.
    order: Vec<Node>,
    has_needs: bool,
    has_restarts: bool,
    unblocked: Vec<Node>,
}

impl Graph {
    /// The graph of a configuration whose instances take the places of the table in this order. Those of `others` follow
    /// that are not configured any more, each with the name of its program.
    pub(crate) fn new<'a>(specs: &[Arc<ProgramSpec>], others: impl IntoIterator<Item = &'a str>) -> Graph {
        let mut graph = Graph::default();
        let names: HashMap<&str, Node> = (0..).zip(specs).map(|(node, spec)| (spec.name.as_str(), node)).collect();
        let node = |name: &str| names.get(name).copied();
        for (number, spec) in (0..).zip(specs) {
            let (first, count) = (graph.of.len() as u32, spec.instances.len() as u32);
            let needs = |it: &Dependency| Some((node(&it.program)?, it.condition));
            let needs = spec.depends_on.iter().filter_map(needs).collect();
            graph.programs.push(Program { first, count, needs, rank: spec.priority, ..Program::default() });
            graph.of.extend(spec.instances.iter().map(|_| number as Node));
        }
        for (number, spec) in (0..).zip(specs) {
            for (need, condition) in graph.programs[number as usize].needs.clone() {
                graph.programs[need as usize].needed_by.push((number, condition));
                graph.programs[number as usize].unmet += 1;
                graph.has_needs = true;
            }
            for with in spec.restart_with.iter().filter_map(|name| node(name)) {
                graph.programs[with as usize].restarts.push(number);
                graph.has_restarts = true;
            }
        }
        graph.kin = graph.of.clone();
        graph.kin.extend(others.into_iter().map(|name| node(name).unwrap_or(NOBODY)));
        graph.of.resize(graph.kin.len(), NOBODY);
        graph.met = vec![Met::default(); graph.of.len()];
        graph.sort();
        graph
    }

    /// Puts every program after what it depends on, and raises its rank to theirs. Those of a cycle, which the
    /// configuration refuses, come last.
    fn sort(&mut self) {
        let mut left: Vec<u32> = self.programs.iter().map(|program| program.needs.len() as u32).collect();
        self.order = (0..).zip(&left).filter(|(_, left)| **left == 0).map(|(node, _)| node).collect();
        let mut next = 0;
        while let Some(&node) = self.order.get(next) {
            next += 1;
            let rank = self.programs[node as usize].rank;
            for place in 0..self.programs[node as usize].needed_by.len() {
                let (dependent, _) = self.programs[node as usize].needed_by[place];
                let program = &mut self.programs[dependent as usize];
                program.rank = program.rank.max(rank);
                left[dependent as usize] -= 1;
                if left[dependent as usize] == 0 {
                    self.order.push(dependent);
                }
            }
        }
        self.order.extend((0..).zip(&left).filter(|(_, left)| **left > 0).map(|(node, _)| node));
    }

    /// Takes note of what an instance meets now.
    pub(crate) fn observe(&mut self, place: usize, met: Met) {
        let was = std::mem::replace(&mut self.met[place], met);
        if was == met || self.of[place] == NOBODY {
            return;
        }
        let node = self.of[place] as usize;
        for (number, &(_, condition)) in DependencyCondition::ALL.iter().enumerate() {
            let program = &mut self.programs[node];
            let held = program.meeting[number] == program.count;
            match (was.has(condition), met.has(condition)) {
                (false, true) => program.meeting[number] += 1,
                (true, false) => program.meeting[number] -= 1,
                _ => continue,
            }
            let holds = program.meeting[number] == program.count;
            if held != holds {
                self.tell_dependents(node, condition, holds);
            }
        }
    }

    fn tell_dependents(&mut self, node: usize, condition: DependencyCondition, holds: bool) {
        for place in 0..self.programs[node].needed_by.len() {
            let (dependent, wanted) = self.programs[node].needed_by[place];
            if wanted != condition {
                continue;
            }
            let program = &mut self.programs[dependent as usize];
            program.unmet = if holds { program.unmet - 1 } else { program.unmet + 1 };
            if program.unmet == 0 {
                self.unblocked.push(dependent);
            }
        }
    }

    /// The places of those that may have become free to start since this was asked.
    pub(crate) fn take_unblocked(&mut self) -> Vec<usize> {
        let nodes = std::mem::take(&mut self.unblocked);
        nodes.into_iter().flat_map(|node| self.places(node)).collect()
    }

    pub(crate) fn has_unblocked(&self) -> bool {
        !self.unblocked.is_empty()
    }

    /// Whether the instance depends on what does not hold.
    pub(crate) fn is_blocked(&self, place: usize) -> bool {
        self.has_needs && self.program(place).is_some_and(|program| program.unmet > 0)
    }

    /// The instance at this place, which belongs to no configured program, is gone; all behind it move up.
    pub(crate) fn remove(&mut self, place: usize) {
        self.of.remove(place);
        self.kin.remove(place);
        self.met.remove(place);
    }

    fn program(&self, place: usize) -> Option<&Program> {
        self.programs.get(self.of[place] as usize)
    }

    fn places(&self, node: Node) -> std::ops::Range<usize> {
        let program = &self.programs[node as usize];
        program.first as usize..(program.first + program.count) as usize
    }

    fn holds(&self, node: Node, condition: DependencyCondition) -> bool {
        let program = &self.programs[node as usize];
        program.meeting[condition as usize] == program.count
    }

    /// What of an instance's dependencies does not hold: which instances keep it from that, and which condition.
    pub(crate) fn missing(&self, place: usize) -> impl Iterator<Item = (usize, DependencyCondition)> {
        let needs = self.program(place).map_or([].as_slice(), |program| program.needs.as_slice());
        let unmet = needs.iter().filter(|&&(node, condition)| !self.holds(node, condition));
        unmet.flat_map(move |&(node, condition)| {
            self.places(node).filter(move |&place| !self.met[place].has(condition)).map(move |place| (place, condition))
        })
    }

    /// Who depends on this instance's program.
    pub(crate) fn dependents(&self, place: usize) -> impl Iterator<Item = usize> {
        let dependents = self.program(place).map_or([].as_slice(), |program| program.needed_by.as_slice());
        dependents.iter().flat_map(|&(node, _)| self.places(node))
    }

    /// Who is restarted when this instance is, directly.
    pub(crate) fn restarts(&self, place: usize) -> impl Iterator<Item = usize> {
        let restarts = self.program(place).map_or([].as_slice(), |program| program.restarts.as_slice());
        restarts.iter().flat_map(|&node| self.places(node))
    }

    /// The highest priority among an instance's own and those of what it depends on.
    pub(crate) fn rank(&self, place: usize) -> Option<i64> {
        self.node(place).map(|node| self.programs[node].rank)
    }

    /// A number that instances of one program share.
    pub(crate) fn node(&self, place: usize) -> Option<usize> {
        Some(self.kin[place]).filter(|&node| node != NOBODY).map(|node| node as usize)
    }

    /// What a program depends on and must outlive it within the same rank; with other ranks, that is so anyway.
    pub(crate) fn outlived_by(&self, node: usize) -> impl Iterator<Item = usize> {
        let program = &self.programs[node];
        let same_rank = move |need: &usize| self.programs[*need].rank == program.rank && *need != node;
        program.needs.iter().map(|&(need, _)| need as usize).filter(same_rank)
    }

    /// Whether anybody is restarted with anybody.
    pub(crate) fn has_restarts(&self) -> bool {
        self.has_restarts
    }

    pub(crate) fn has_needs(&self) -> bool {
        self.has_needs
    }

    /// For every program, how long stopping it and then, one after another, what it depends on within the same rank may
    /// take at most, when each takes as long as `patience` says.
    pub(crate) fn critical(&self, patience: impl Fn(usize) -> Duration) -> Vec<Duration> {
        let mut critical = vec![Duration::ZERO; self.programs.len()];
        for &node in &self.order {
            let below = self.outlived_by(node as usize).map(|need| critical[need]).max().unwrap_or_default();
            let own = self.places(node).map(&patience).max().unwrap_or_default();
            critical[node as usize] = own.saturating_add(below);
        }
        critical
    }
}
