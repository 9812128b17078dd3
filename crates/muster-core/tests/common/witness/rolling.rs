//! Rolling restarts: who takes turns, and that one waits for another.

use muster_core::{RollingStep, StepOutcome};

use super::*;

impl Witness {
    /// The instances of a restart that do not take turns.
    pub(super) fn those_restarted_together(&mut self, verb: Verb, ids: &[usize]) -> Vec<usize> {
        let is_asked = matches!(verb, Verb::Roll { .. });
        if let Verb::Roll { parallel } = verb {
            self.most_at_a_time = self.most_at_a_time.max(parallel.get() as usize);
        }
        let up = |name: &str| -> Vec<usize> {
            let is_up = |&&id: &&usize| self.watched[id].program.name == name && self.watched[id].is_wanted;
            ids.iter().filter(is_up).copied().collect()
        };
        let takes_turns = |id: usize| {
            let program = &self.watched[id].program;
            program.kind == Kind::Service && (is_asked || program.rolling.is_some()) && up(&program.name).len() > 1
        };
        let (turns, mut together): (Vec<usize>, Vec<usize>) = ids.iter().partition(|&&id| takes_turns(id));
        let all = self.with_those_that_restart_with(&together);
        let is_restarted_anyway = |id: usize| {
            let name = &self.watched[id].program.name;
            all.iter().any(|&other| self.watched[other].program.name == *name)
        };
        together.extend(turns.into_iter().filter(|&id| self.watched[id].is_wanted && is_restarted_anyway(id)));
        together
    }

    pub(super) fn sees_rolling(&mut self, step: &RollingStep) -> Result<(), Broken> {
        let id = step.instance.0 as usize;
        if step.outcome != StepOutcome::Began {
            // An early end is one of all that are under way.
            let is_end = step.outcome != StepOutcome::Done;
            let name = self.watched[id].program.name.clone();
            self.rolling.retain(|&other| other != id && !(is_end && self.watched[other].program.name == name));
            // One that fails ends the roll, and has had another process, too.
            self.rolled.extend((step.outcome != StepOutcome::Cancelled).then_some(id));
            return Ok(());
        }
        let one = &self.watched[id];
        let turns = self.rolling.iter().filter(|&&other| self.watched[other].program.name == one.program.name).count();
        let configured = one.program.rolling.map_or(1, |rolling| rolling.parallel.get() as usize);
        promise!(turns < self.most_at_a_time.max(configured), "instance {id} takes its turn while {turns} others do");
        promise!(one.is_wanted && self.closing.is_none(), "instance {id} takes its turn and is not wanted: {one:?}");
        self.rolling.insert(id);
        match one.run {
            None => self.is_started(&[id]),
            Some(_) => {
                self.watched[id].was_stopped_by_hand = false;
                self.begin_batch(&[id], true);
                self.needs_are_wanted(&[id]);
            }
        }
        Ok(())
    }

    /// Whether it is restarted with a program whose instances have taken turns.
    pub(super) fn may_follow_a_roll(&self, id: usize) -> bool {
        let rolled: Vec<usize> = self.rolled.iter().copied().collect();
        !self.rolled.contains(&id) && self.with_followers(&rolled, &|_| true).contains(&id)
    }

    /// Programs that restart with one whose instances take turns are stopped after the last turn.
    pub(super) fn joins_followers_of_a_roll(&mut self, run: RunId) {
        let is_it = |one: &Watched| one.run.as_ref().is_some_and(|it| it.id == run);
        let Some(id) = self.watched.iter().position(is_it) else { return };
        if self.watched[id].batch.is_none() && self.may_follow_a_roll(id) {
            self.begin_batch(&[id], true);
        }
    }

    /// Takes those out of the instances that a reload restarts and starts that take turns, or follow those that do.
    pub(super) fn lets_take_turns(
        &self,
        changed: &BTreeSet<usize>,
        restarted: &mut Vec<usize>,
        started: &mut Vec<usize>,
    ) {
        let name = |id: usize| self.watched[id].program.name.clone();
        let takes_turns = |id: usize| {
            let program = &self.watched[id].program;
            let up = self.ids_of(&program.name).into_iter().filter(|&id| self.watched[id].is_wanted).count();
            program.rolling.is_some() && program.kind == Kind::Service && up > 1
        };
        let touched = restarted.iter().chain(&*started).copied().filter(|id| changed.contains(id));
        let (turns, together): (Vec<usize>, Vec<usize>) = touched.partition(|&id| takes_turns(id));
        let names = |ids: Vec<usize>| -> BTreeSet<String> { ids.into_iter().map(name).collect() };
        let together = names(self.with_followers(&together, &|_| true));
        let rolled: Vec<usize> = turns.into_iter().filter(|&id| !together.contains(&name(id))).collect();
        let later = names(self.with_followers(&rolled, &|_| true));
        let rolled_names = names(rolled.clone());
        restarted.retain(|&id| {
            let name = name(id);
            !later.contains(&name) || rolled_names.contains(&name) || together.contains(&name)
        });
        let takes_it =
            |id: usize| rolled.contains(&id) && self.watched[id].is_wanted && self.watched[id].state != State::Waiting;
        restarted.retain(|&id| !takes_it(id));
        started.retain(|&id| !takes_it(id));
    }
}
