//! The same configuration with every time shortened, so that minutes can be rehearsed in seconds.

use std::time::Duration;

use muster_spec::{
    HookSpec, Hooks, InstanceSpec, Jitter, Limit, ProbeSpec, ProgramSpec, Recycle, Reset, RestartPolicy, Rolling,
    ScheduleSpec, ScheduleTimes, ShutdownBudget, Spec, StartDelay, StopSpec, StopStep,
};

use crate::scenario::{Connect, Pause};
use crate::world::SimulationPlan;

/// Every time of a configuration multiplied.
pub(super) fn scaled(spec: &Spec, factor: f64) -> Spec {
    let mut scaled = spec.clone();
    if let ShutdownBudget::Within(timeout) = spec.daemon.shutdown_timeout {
        scaled.daemon.shutdown_timeout = ShutdownBudget::Within(span(timeout, factor));
    }
    scaled.programs = spec.programs.iter().map(|program| program_scaled(program, factor).into()).collect();
    scaled
}

/// Every time of a plan multiplied.
pub(super) fn plan_scaled(plan: &SimulationPlan, factor: f64) -> SimulationPlan {
    SimulationPlan {
        scripts: plan.scripts.iter().map(|(name, script)| (name.clone(), script.scaled(factor))).collect(),
        stop_at: plan.stop_at.map(|at| span(at, factor)),
        until: span(plan.until, factor),
        pauses: plan.pauses.iter().map(|it| Pause { at: span(it.at, factor), span: span(it.span, factor) }).collect(),
        connects: plan.connects.iter().map(|it| Connect { at: span(it.at, factor), to: it.to.clone() }).collect(),
        ..*plan
    }
}

fn program_scaled(program: &ProgramSpec, factor: f64) -> ProgramSpec {
    let steps = program.stop.steps.iter();
    let steps = steps.map(|step| StopStep { patience: span(step.patience, factor), ..*step }).collect();
    ProgramSpec {
        restart: policy_scaled(program.restart, factor),
        schedule: program.schedule.as_deref().map(|schedule| schedule_scaled(schedule, factor).into()),
        start_delay: StartDelay {
            delay: span(program.start_delay.delay, factor),
            stagger: span(program.start_delay.stagger, factor),
        },
        startsecs: span(program.startsecs, factor),
        max_runtime: program.max_runtime.map(|max| span(max, factor)),
        stop: StopSpec { steps, leftover_wait: span(program.stop.leftover_wait, factor), ..program.stop.clone() },
        rolling: program.rolling.map(|rolling| Rolling { pause: span(rolling.pause, factor), ..rolling }),
        recycle_after: program
            .recycle_after
            .map(|recycle| Recycle { after: span(recycle.after, factor), jitter: span(recycle.jitter, factor) }),
        instances: program.instances.iter().map(|instance| instance_scaled(instance, factor).into()).collect(),
        ..program.clone()
    }
}

/// Only intervals are rehearsed: times of the wall clock are not scaled.
fn schedule_scaled(schedule: &ScheduleSpec, factor: f64) -> ScheduleSpec {
    let times = schedule.times.iter().map(|times| match times {
        ScheduleTimes::Every(interval) => ScheduleTimes::Every(span(*interval, factor)),
        cron @ ScheduleTimes::Cron { .. } => cron.clone(),
    });
    ScheduleSpec { times: times.collect(), jitter: span(schedule.jitter, factor), ..schedule.clone() }
}

/// The timeout of a check is not scaled: a real check takes as long as it takes.
fn instance_scaled(instance: &InstanceSpec, factor: f64) -> InstanceSpec {
    let probe_scaled = |probe: &ProbeSpec| ProbeSpec {
        period: span(probe.period, factor),
        initial_delay: span(probe.initial_delay, factor),
        ..probe.clone()
    };
    InstanceSpec {
        start_timeout: span(instance.start_timeout, factor),
        watchdog: instance.watchdog.map(|interval| span(interval, factor)),
        probes: instance.probes.iter().map(probe_scaled).collect(),
        hooks: hooks_scaled(&instance.hooks, factor),
        ..instance.clone()
    }
}

fn hooks_scaled(hooks: &Hooks, factor: f64) -> Hooks {
    let mut scaled = Hooks::default();
    for (hook, spec) in hooks.iter() {
        let timeout = span(spec.timeout, factor);
        *scaled.get_mut(hook) = Some(HookSpec { timeout, ..HookSpec::clone(spec) }.into());
    }
    scaled
}

fn policy_scaled(policy: RestartPolicy, factor: f64) -> RestartPolicy {
    let mut scaled = policy;
    scaled.backoff.delay = span(policy.backoff.delay, factor);
    scaled.backoff.max = span(policy.backoff.max, factor);
    scaled.backoff.min_interval = span(policy.backoff.min_interval, factor);
    match &mut scaled.backoff.reset {
        Reset::AfterUp(up) | Reset::SinceStart { over: up, .. } => *up = span(*up, factor),
        Reset::OnRunning | Reset::Never => {}
    }
    if let Jitter::UpTo(most) = &mut scaled.backoff.jitter {
        *most = span(*most, factor);
    }
    if let Limit::Rate { within, .. } = &mut scaled.limit {
        *within = span(*within, factor);
    }
    scaled
}

/// An unlimited span stays unlimited.
fn span(span: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(span.as_secs_f64() * factor).ok().filter(|_| span != Duration::MAX).unwrap_or(span)
}
