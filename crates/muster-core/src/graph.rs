//! The dependency graph, and whether dependencies hold.
//!
//! Built from a whole configuration and queried by an instance's place in the supervisor's table. It keeps counts: how
//! many instances of a program meet a condition, and how many of a program's dependencies do not hold. A change
//! therefore costs as much as there are dependents, and checking whether an instance may start is constant time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{Dependency, DependencyCondition, ProgramSpec};

/// The set of dependency conditions that an instance meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Met(u8);

impl Met {
    /// The conditions for which `holds` is true.
    pub(crate) fn where_holds(holds: impl Fn(DependencyCondition) -> bool) -> Met {
        let bit = |condition: DependencyCondition| u8::from(holds(condition)) << condition as u8;
        Met(DependencyCondition::ALL.into_iter().fold(0, |bits, (_, condition)| bits | bit(condition)))
    }

    fn has(self, condition: DependencyCondition) -> bool {
        self.0 & 1 << condition as u8 != 0
    }
}

/// A program, by its index in the configuration.
type Node = u32;

const NOBODY: Node = Node::MAX;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Program {
    /// The places of its instances: the first, and the number of them.
    first: u32,
    count: u32,
    needs: Vec<(Node, DependencyCondition)>,
    needed_by: Vec<(Node, DependencyCondition)>,
    /// The programs that are restarted with it.
    restarts: Vec<Node>,
    /// Number of its instances that meet each condition.
    meeting: [u32; DependencyCondition::ALL.len()],
    /// Number of its dependencies that do not hold.
    unmet: u32,
    /// Its priority or the highest of its dependencies: it starts after them and stops before.
    rank: i64,
}

/// All programs and their dependencies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Graph {
    programs: Vec<Program>,
    /// The program of the instance at each place, if the instance counts for conditions.
    of: Vec<Node>,
    /// The same, including instances that are no longer configured of programs that still are: they keep their place in
    /// the order.
    kin: Vec<Node>,
    met: Vec<Met>,
    /// All programs, each after its dependencies.
    order: Vec<Node>,
    has_needs: bool,
    has_restarts: bool,
    unblocked: Vec<Node>,
}

impl Graph {
    /// Builds the graph of a configuration whose instances take the places of the table in this order. They are
    /// followed by `others`, the instances that are no longer configured, each with the name of its program.
    pub(crate) fn new<'a>(specs: &[Arc<ProgramSpec>], others: impl IntoIterator<Item = &'a str>) -> Graph {
        let mut graph = Graph::default();
        let names: HashMap<&str, Node> = (0..).zip(specs).map(|(node, spec)| (spec.name.as_str(), node)).collect();
        let node = |name: &str| names.get(name).copied();
        graph.programs.reserve_exact(specs.len());
        for (number, spec) in (0..).zip(specs) {
            let (first, count) = (graph.of.len() as u32, spec.instances.len() as u32);
            let needs = |it: &Dependency| Some((node(&it.program)?, it.condition));
            let needs = spec.depends_on.iter().filter_map(needs).collect();
            graph.programs.push(Program { first, count, needs, rank: spec.rank(), ..Program::default() });
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

    /// Sorts every program after its dependencies, and raises its rank to theirs. Programs in a cycle, which the
    /// configuration rejects, come last.
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

    /// Records the conditions an instance meets now.
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

    /// The places of instances that may have become free to start since the last call.
    pub(crate) fn take_unblocked(&mut self) -> Vec<usize> {
        let nodes = std::mem::take(&mut self.unblocked);
        nodes.into_iter().flat_map(|node| self.places(node)).collect()
    }

    pub(crate) fn has_unblocked(&self) -> bool {
        !self.unblocked.is_empty()
    }

    /// Whether the instance has a dependency that does not hold.
    pub(crate) fn is_blocked(&self, place: usize) -> bool {
        self.has_needs && self.program(place).is_some_and(|program| program.unmet > 0)
    }

    /// Removes the instance at this place, which belongs to no configured program; all later places move up by one.
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

    /// The dependencies of an instance that do not hold: the instances that prevent it, and the condition.
    pub(crate) fn missing(&self, place: usize) -> impl Iterator<Item = (usize, DependencyCondition)> {
        let needs = self.program(place).map_or([].as_slice(), |program| program.needs.as_slice());
        let unmet = needs.iter().filter(|&&(node, condition)| !self.holds(node, condition));
        unmet.flat_map(move |&(node, condition)| {
            self.places(node).filter(move |&place| !self.met[place].has(condition)).map(move |place| (place, condition))
        })
    }

    /// The instances that depend on this instance's program.
    pub(crate) fn dependents(&self, place: usize) -> impl Iterator<Item = usize> {
        let dependents = self.program(place).map_or([].as_slice(), |program| program.needed_by.as_slice());
        dependents.iter().flat_map(|&(node, _)| self.places(node))
    }

    /// The instances that are restarted directly with this one.
    pub(crate) fn restarts(&self, place: usize) -> impl Iterator<Item = usize> {
        let restarts = self.program(place).map_or([].as_slice(), |program| program.restarts.as_slice());
        restarts.iter().flat_map(|&node| self.places(node))
    }

    /// The highest priority among the instance's own and those of its dependencies.
    pub(crate) fn rank(&self, place: usize) -> Option<i64> {
        self.node(place).map(|node| self.programs[node].rank)
    }

    /// A number shared by the instances of one program.
    pub(crate) fn node(&self, place: usize) -> Option<usize> {
        Some(self.kin[place]).filter(|&node| node != NOBODY).map(|node| node as usize)
    }

    /// The dependencies that a program must stop before within the same rank; other ranks are ordered anyway.
    pub(crate) fn outlived_by(&self, node: usize) -> impl Iterator<Item = usize> {
        let program = &self.programs[node];
        let same_rank = move |need: &usize| self.programs[*need].rank == program.rank && *need != node;
        program.needs.iter().map(|&(need, _)| need as usize).filter(same_rank)
    }

    /// Whether any program is restarted with another.
    pub(crate) fn has_restarts(&self) -> bool {
        self.has_restarts
    }

    pub(crate) fn has_needs(&self) -> bool {
        self.has_needs
    }

    /// For every program, how long stopping it and then, one after another, its dependencies within the same rank may
    /// take at most, if each takes the time given by `patience`.
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
