//! Which instances of a reload are restarted one after another.
//!
//! An instance that needs another process takes its turn if its program says so, has several instances that are up, and
//! restarts with no program whose instances are restarted together. Programs that follow only such
//! programs are restarted after their last turn.

use std::collections::HashSet;
use std::sync::Arc;

use muster_spec::{Goal, InstanceId, InstanceSpec, Kind, ProgramSpec, Rolling, State};

use super::Supervisor;
use crate::plan::{Difference, difference};
use crate::program::Instance;
use crate::rolling::Part;

/// An instance of the new configuration.
type Member = (InstanceId, Arc<ProgramSpec>, Arc<InstanceSpec>);

impl Supervisor {
    /// Takes those out of the instances to be restarted and started that take turns, or follow those that do.
    pub(super) fn take_turns(
        &self,
        programs: &[Arc<ProgramSpec>],
        members: &[Member],
        restarted: &mut Vec<InstanceId>,
        started: &mut Vec<InstanceId>,
    ) -> Vec<Part> {
        let (mut turns, mut together) = (Vec::new(), Vec::new());
        for program in programs {
            let own = || members.iter().filter(|(_, of, _)| of.name == program.name);
            let is_touched = |(id, ..): &&Member| restarted.contains(id) || started.contains(id);
            let changed: Vec<InstanceId> =
                own().filter(is_touched).filter(|it| self.needs_another(it)).map(|(id, ..)| *id).collect();
            let up = own().filter(|(id, ..)| self.get(*id).is_some_and(is_up)).count();
            match program.rolling.filter(|_| program.kind == Kind::Service && up > 1) {
                _ if changed.is_empty() => {}
                Some(rule) => turns.push((program, rule, changed)),
                None => together.push(program.name.as_str()),
            }
        }
        let together = with_followers(programs, together);
        turns.retain(|(program, ..)| !together.contains(program.name.as_str()));
        if turns.is_empty() {
            return Vec::new();
        }
        let rolled: HashSet<&str> = turns.iter().map(|(program, ..)| program.name.as_str()).collect();
        let follows = with_followers(programs, rolled.iter().copied().collect());
        let name_of = |id: InstanceId| self.instance(id).program().name.as_str();
        let is_later = |name: &str| follows.contains(name) && !rolled.contains(name) && !together.contains(name);
        restarted.retain(|&id| !is_later(name_of(id)));
        turns.sort_by_key(|(program, ..)| program.boot_order());
        let part = |(program, rule, mut ids): (&Arc<ProgramSpec>, Rolling, Vec<InstanceId>)| {
            ids.retain(|&id| is_up(self.instance(id)) && self.instance(id).state() != State::Waiting);
            restarted.retain(|id| !ids.contains(id));
            started.retain(|id| !ids.contains(id));
            // A process that fits the new configuration, which may be an earlier one, needs no restart.
            let fits =
                |id: &InstanceId| members.iter().any(|member| member.0 == *id && self.has_fitting_process(member));
            let before = |id: InstanceId| self.instance(id).last_run().filter(|_| !fits(&id));
            Part::of(&program.name, rule, ids.into_iter().map(|id| (id, before(id))).collect())
        };
        turns.into_iter().map(part).collect()
    }

    fn has_fitting_process(&self, (id, program, spec): &Member) -> bool {
        let is_of = |instance: &Instance| {
            let made_of = instance.made_of();
            difference(program, made_of, program, spec) != Difference::Process
        };
        self.get(*id).is_some_and(|instance| instance.run_began().is_some() && is_of(instance))
    }

    fn needs_another(&self, (id, program, spec): &Member) -> bool {
        let was = self.get(*id);
        was.is_some_and(|was| difference(was.program(), was.spec(), program, spec) == Difference::Process)
    }
}

fn is_up(instance: &Instance) -> bool {
    instance.goal() == Goal::Up
}

/// These programs, and those that are restarted with one of them.
fn with_followers<'a>(programs: &'a [Arc<ProgramSpec>], mut to_follow: Vec<&'a str>) -> HashSet<&'a str> {
    let mut all: HashSet<&str> = to_follow.iter().copied().collect();
    while let Some(name) = to_follow.pop() {
        for program in programs.iter().filter(|program| program.restart_with.iter().any(|with| with == name)) {
            if all.insert(&program.name) {
                to_follow.push(&program.name);
            }
        }
    }
    all
}
