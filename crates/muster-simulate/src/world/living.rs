//! A world that begins in the middle of a daemon's life: a copy of its supervisor, whose processes follow scripts from now on.
//!
//! Whatever the shell owes the supervisor at that time happens at once: a spawn succeeds, a probe passes, a hook ends, the leftovers of
//! a run are gone, and a run that is being stopped reacts to its stop signal.

use std::sync::Arc;
use std::time::Duration;

use muster_core::{Input, Instance, ProbeOutcome, Supervisor, Time};
use muster_schedule::Agenda;
use muster_spec::{Hook, InstanceId, RunId, State};

use super::{Run, SimulationPlan, World, passes};
use crate::scenario::{Outcome, PlannedRun};
use crate::timeline::Timeline;

/// A daemon at one moment.
pub(crate) struct Living {
    /// Its supervisor, between two inputs.
    pub(crate) supervisor: Supervisor,
    /// The time.
    pub(crate) now: Time,
    /// Its schedules.
    pub(crate) agenda: Agenda<InstanceId>,
}

/// How a run is at the moment of the copy.
struct Present {
    run: RunId,
    has_main: bool,
    has_leftovers: bool,
    is_stopping: bool,
    hook: Option<Hook>,
}

impl Present {
    fn of(instance: &Instance) -> Option<(InstanceId, Present)> {
        let present = Present {
            run: instance.run()?,
            has_main: instance.run_began().is_some(),
            has_leftovers: instance.has_leftovers(),
            is_stopping: instance.state() == State::Stopping,
            hook: instance.phase(),
        };
        Some((instance.id(), present))
    }
}

/// Lets a daemon live on by a plan, in which `until` is the time since its start. Stops after this number of events, and when the
/// result is no longer wanted.
pub(crate) fn go_on(living: Living, plan: &SimulationPlan, most: usize, is_wanted: &dyn Fn() -> bool) -> Timeline {
    let Living { supervisor, now, agenda } = living;
    let mut world = World { begin: now, agenda, most, is_wanted, ..World::with(supervisor, plan) };
    let present: Vec<_> = world.supervisor.snapshot().iter().filter_map(Present::of).collect();
    for (instance, present) in present {
        world.take_over(now, instance, &present);
    }
    world.expect_wall_clock();
    world.play()
}

impl World<'_> {
    /// Goes on with a run that exists.
    fn take_over(&mut self, now: Time, instance: InstanceId, present: &Present) {
        let run = present.run;
        if present.has_main {
            self.go_on_with_main(now, instance, present);
        } else if present.has_leftovers {
            let planned = PlannedRun::default();
            self.runs.insert(run, Run { began: now, planned, is_over: true, is_leftover_asked: true });
            self.gone(run);
        }
        if let Some(hook) = present.hook {
            // The run of a `post_stop` has ended, so its script is for the next one.
            let is_over = hook == Hook::PostStop;
            let planned = if is_over { PlannedRun::default() } else { self.plan_of(run, instance) };
            self.begin_hook(now, run, hook, planned.hooks[hook as usize]);
        }
    }

    /// Its script counts from now on. A second report of its spawn or its readiness changes nothing, and neither does the result of a
    /// probe that is not under way.
    fn go_on_with_main(&mut self, now: Time, instance: InstanceId, present: &Present) {
        let Some(found) = self.supervisor.get(instance) else { return };
        let (run, spec) = (present.run, Arc::clone(found.spec()));
        let signal = found.program().stop.steps[0].signal;
        let planned = self.plan_of(run, instance);
        if let (Outcome::SpawnError(_), Some((_, latest))) = (planned.outcome, &mut self.latest[instance.0 as usize]) {
            // It has been spawned.
            latest.outcome = Outcome::Hangs;
        }
        self.spawn(now, run, instance, &spec);
        // The check of a readiness rule comes last.
        for probe in 0..=spec.probes.len() {
            let kind = spec.probes.get(probe).map(|probe| probe.kind);
            let success = passes(&planned, Duration::ZERO, kind);
            let detail = if success { "well" } else { "not well, as the script says" }.to_owned();
            let outcome = ProbeOutcome { success, detail };
            self.births.push_back(Input::ProbeFinished { run, probe, outcome });
        }
        if present.is_stopping {
            self.signal(now, run, signal);
        }
    }
}
