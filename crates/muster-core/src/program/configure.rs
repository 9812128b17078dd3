//! Applying a reload to one instance: a new configuration for the same run, and removal.

use std::sync::Arc;

use muster_spec::{InstanceSpec, ProgramSpec, Recycle};

use super::Instance;
use crate::effect::Effect;
use crate::event::Event;
use crate::health::{Checks, Health};
use crate::plan::{Difference, difference};
use crate::program::Turn;
use crate::timers::Slot;

impl Instance {
    /// Applies a new configuration. The run, its counters and its history stay; a caller that needs a new run restarts
    /// the instance.
    pub(crate) fn reconfigure(&mut self, turn: &mut Turn<'_>, program: Arc<ProgramSpec>, spec: Arc<InstanceSpec>) {
        let recycles_otherwise = self.program.recycle_after != program.recycle_after;
        let was_program = std::mem::replace(&mut self.program, program);
        self.is_leaving = false;
        if recycles_otherwise {
            self.arm_recycling(turn);
        }
        let was = std::mem::replace(&mut self.spec, spec);
        self.forget_other_command(&was);
        if was.probes != self.spec.probes {
            self.change_probes(turn, &was);
        }
        if was_program.max_runtime != self.program.max_runtime {
            self.limit_life(turn);
        }
        self.rearm(turn, &was_program);
    }

    /// The configuration its process was spawned with, as long as there is one; otherwise the current configuration.
    pub(crate) fn made_of(&self) -> &InstanceSpec {
        self.run.as_ref().filter(|run| run.main_lives()).map_or(&self.spec, |run| &run.spec)
    }

    /// Whether its process is of an earlier configuration, and a restart would make another one.
    pub fn has_old_process(&self) -> bool {
        let was = self.run.as_ref().filter(|run| run.main_lives()).map(|run| &run.spec);
        was.is_some_and(|was| {
            let is_another = || difference(&self.program, was, &self.program, &self.spec) == Difference::Process;
            !Arc::ptr_eq(was, &self.spec) && is_another()
        })
    }

    /// Notes when its run is to be recycled.
    pub(super) fn arm_recycling(&mut self, turn: &mut Turn<'_>) {
        self.timers.disarm(Slot::Recycle);
        let Some(run) = self.run.as_mut().filter(|run| run.is_executed && run.main_lives() && run.stop.is_none())
        else {
            return;
        };
        run.is_due = false;
        if let Some(Recycle { after, jitter }) = self.program.recycle_after {
            let late = if jitter.is_zero() { jitter } else { jitter.mul_f64(turn.random.next_unit()) };
            self.timers.arm(Slot::Recycle, run.began + after + late);
        }
    }

    /// Its run has lasted for `recycle_after`.
    pub(super) fn become_due(&mut self) {
        self.run.iter_mut().for_each(|run| run.is_due = true);
    }

    /// The configuration that its run was spawned with.
    pub(crate) fn run_spec(&self) -> Option<&Arc<InstanceSpec>> {
        self.run.as_ref().map(|run| &run.spec)
    }

    /// Gives an instance that was restored its configuration back; `None` if it has a run and that has none.
    pub(crate) fn put_together(
        &mut self,
        program: Arc<ProgramSpec>,
        spec: Arc<InstanceSpec>,
        of_run: Option<Arc<InstanceSpec>>,
    ) -> Option<()> {
        (self.program, self.spec) = (program, spec);
        if let Some(run) = &mut self.run {
            run.spec = of_run?;
        }
        Some(())
    }

    fn change_probes(&mut self, turn: &mut Turn<'_>, was: &InstanceSpec) {
        let is_watched = |run: &super::Run| run.is_executed && run.main_lives() && run.stop.is_none();
        let spec = self.spec_of_checks();
        let Some(run) = self.run.as_mut().filter(|run| is_watched(run)) else { return };
        let checks = Checks::adapt(run.checks.as_deref(), was, &spec, turn.now);
        if run.checks.is_some() {
            turn.effects.push_back(Effect::StopProbes { run: run.id });
        }
        let had_checks = std::mem::replace(&mut run.checks, checks).is_some();
        self.start_checks(turn);
        self.note_new_probes(turn, had_checks);
    }

    /// Publishes how the results that count under new probes differ from those before. A probe that failed may be gone.
    fn note_new_probes(&mut self, turn: &mut Turn<'_>, had_checks: bool) {
        let Some(run) = &mut self.run else { return };
        let health = run.checks.as_ref().map_or(Health::Unknown, |checks| checks.health(&self.spec));
        let was = std::mem::replace(&mut run.health, health);
        // That there is no result yet is no event.
        if was != health && health != Health::Unknown {
            let (run, probe, detail) = (run.id, 0, "the other probes are no longer configured".to_owned());
            turn.effects.push_back(Effect::Publish(Event::Health { instance: self.id, run, health, probe, detail }));
        }
        self.note_readiness_of(turn, had_checks);
        self.tell_change(turn);
    }

    /// Its program is no longer configured: it is kept until its last process is gone.
    pub(crate) fn leave_configuration(&mut self) {
        self.is_leaving = true;
    }

    /// Whether it is no longer configured and is only kept until its last process is gone.
    pub fn is_leaving(&self) -> bool {
        self.is_leaving
    }
}
