//! Explains an instance's state: what happened, what caused it, what was decided, and what comes next.
//!
//! Read-only. The core knows its decisions, why it ended a run and which client requested that;
//! [`crate::exit_evidence`] knows whether memory ran out; the logs know a run's last output. If something cannot be
//! known, the text says so.

use muster_api as api;
use muster_core::program::HISTORY;
use muster_core::{Instance, PastRun, Progress, StopCause, Supervisor, Time};
use muster_spec::{Exit, Hook, RunEnd, RunId, Signal, Span, SpawnStep, State};

use super::runs::{FAULTS, cause_words, past_run};
use super::{date, goal, next_start, state, suspended_by};
use crate::describe::describe;
use crate::exit_evidence::OutOfMemory;
use crate::operations::schedule::next_due_in_words;
use crate::shared::Shared;

/// How many runs before the last one are included.
const BEFORE: usize = 3;

/// The explanation of one instance. `core` says what became of the core of a run that crashed.
pub(crate) fn why(shared: &Shared, instance: &Instance, core: Option<(RunId, String)>, now: Time) -> api::Why {
    let supervisor = shared.supervisor.borrow();
    let description = describe(shared, instance, now);
    let due = next_due_in_words(shared, instance, now);
    let next = due
        .filter(|_| waits(instance))
        .map_or_else(|| next(&supervisor, instance, now), |due| format!("it starts at its time, {due}"));
    let mut ended = instance.past().rev();
    let last = ended.next();
    // Later, there is enough to say of this life.
    let is_young = instance.past().count() < HISTORY;
    let mut story = Vec::from_iter(shared.state.previous_life(instance.name()).filter(|_| is_young));
    if let Some(past) = last {
        story.extend(tell_end(shared, &supervisor, past));
        story.extend(core.filter(|(run, _)| *run == past.run).map(|(_, words)| words));
        story.push(format!("decided: {}", past.explain(&instance.program().exit_codes)));
    }
    story.extend(tell_before(instance));
    if instance.has_old_process() {
        story.push("its process is of an earlier configuration, until it is restarted".to_owned());
    }
    story.extend(suspended_by(shared, instance).map(|signal| {
        let name = instance.name();
        format!("its main process is stopped by {signal}; this continues it: musterctl signal CONT {name}")
    }));
    story.push(format!("next: {next}"));
    api::Why {
        name: instance.name().to_owned(),
        state: state(instance.state()),
        goal: goal(instance.goal()),
        summary: format!("{} is {}: {description}", instance.name(), instance.state()),
        story,
        next,
        next_start_at: next_start(shared, instance, shared.clock.read()),
        waiting_for: supervisor.waiting_for(instance.id(), now),
        run: last.map(|past| past_run(shared, instance, past)),
        earlier: ended.map(|past| past_run(shared, instance, past)).collect(),
    }
}

/// Whether it waits for the next time of its schedule.
fn waits(instance: &Instance) -> bool {
    instance.awaits_time() || instance.is_armed() && matches!(instance.state(), State::Exited | State::Fatal)
}

/// How a run ended, in sentences.
fn tell_end(shared: &Shared, supervisor: &Supervisor, past: &PastRun) -> Vec<String> {
    let began = date(shared, past.began);
    let up = Span::about(past.ended.since(past.began));
    let mut story = match &past.end {
        RunEnd::NotSpawned(error) if error.step == SpawnStep::PreStart => {
            vec![format!("run {} at {began} was not started: {error}", past.run)]
        }
        RunEnd::NotSpawned(error) => {
            let number = if error.errno == 0 { String::new() } else { format!(" (errno {})", error.errno) };
            let step = error.step.name();
            vec![format!("run {} at {began} could not start: step {step:?} failed{number}: {error}", past.run)]
        }
        RunEnd::Exited(exit) => vec![format!("run {} began at {began} and ended after {up}: {exit}", past.run)],
        RunEnd::MainLost => vec![
            format!("run {} began at {began} and was given up after {up}: {}", past.run, past.end),
            "the process that it named by MAINPID moved to where musterd cannot know that it belongs to the run, and \
             would not learn how it exits; musterd stopped what was left of the run"
                .to_owned(),
        ],
    };
    match &past.cause {
        Some(StopCause::Unserved) => story.push(StopCause::Unserved.to_string()),
        Some(cause) => {
            story.push(format!("musterd ended it: {}", cause_words(&shared.supervisor.borrow(), cause)));
            story.extend(escalated(past, cause));
        }
        None => story.extend(tell_signal(shared, past)),
    }
    let hooks = past.failed_hooks.iter().filter(|(hook, _)| !hook.may_fail() || past.cause.is_none());
    let hooks = hooks.filter(|(hook, _)| *hook != Hook::PreStart || !matches!(past.end, RunEnd::NotSpawned(_)));
    story.extend(hooks.map(|(hook, how)| format!("its {} failed: {how}", hook.name())));
    story.extend(past.left_behind.as_ref().map(|left| left.of_run(past.run).to_string()));
    if matches!(past.cause, Some(StopCause::Shutdown)) && supervisor.is_shutting_down() {
        story.push("the daemon is about to exit".to_owned());
    }
    story
}

/// Says that a graceful stop escalated to SIGKILL.
fn escalated(past: &PastRun, cause: &StopCause) -> Option<String> {
    let was_killed = matches!(past.end, RunEnd::Exited(Exit::Signal { signal: Signal::KILL, .. }));
    let is_polite = !matches!(cause, StopCause::ExecTimeout);
    (was_killed && is_polite).then(|| "it did not stop in time (stopwaitsecs), and got SIGKILL".to_owned())
}

/// The sender of the signal that ended a run, unless musterd ended it.
fn tell_signal(shared: &Shared, past: &PastRun) -> Option<String> {
    let RunEnd::Exited(Exit::Signal { signal, .. }) = past.end else { return None };
    let exit_evidence = shared.exit_evidence.borrow();
    if let Some(by) = past.signalled_by(signal) {
        return Some(format!("{by} had musterd send {signal} to it"));
    }
    Some(match exit_evidence.memory(past.run) {
        Some(OutOfMemory::Killed(1)) => "out of memory: the kernel OOM-killed one process of this cgroup since \
             musterd last checked; musterd did not send the SIGKILL"
            .to_owned(),
        Some(OutOfMemory::Killed(kills)) => format!(
            "probably out of memory: the kernel OOM-killed {kills} processes of this cgroup since \
             musterd last checked; musterd did not send the SIGKILL"
        ),
        Some(OutOfMemory::No) => {
            "another process sent SIGKILL, not musterd; the kernel OOM-killed no process of this cgroup".to_owned()
        }
        Some(OutOfMemory::Untold) => {
            "another process sent SIGKILL, not musterd; or memory ran out, which the kernel does \
             not report here (no counter of a memory cgroup)"
                .to_owned()
        }
        None if FAULTS.contains(&signal.number()) => {
            format!("usually a fault of the program itself; musterd did not send {signal}")
        }
        None => format!("another process sent {signal}, or the program itself; musterd did not"),
    })
}

/// A summary of the runs before the last one.
fn tell_before(instance: &Instance) -> Option<String> {
    let before: Vec<String> = instance
        .past()
        .rev()
        .skip(1)
        .take(BEFORE)
        .map(|past| format!("run {}: {} after {}", past.run, past.reason(), Span::about(past.ended.since(past.began))))
        .collect();
    (!before.is_empty()).then(|| format!("before that: {}", before.join("; ")))
}

/// The next step without intervention, and its time.
fn next(supervisor: &Supervisor, instance: &Instance, now: Time) -> String {
    match instance.state() {
        State::Starting if instance.phase() == Some(Hook::PreStart) => {
            "it starts once its pre_start has succeeded".to_owned()
        }
        State::Starting if instance.phase() == Some(Hook::PostStart) => {
            "it becomes RUNNING once its post_start has succeeded".to_owned()
        }
        State::Backoff if instance.phase().is_some() && instance.next_start().is_none_or(|at| at <= now) => {
            "it starts again as soon as its post_stop has ended".to_owned()
        }
        State::Backoff => match instance.next_start().filter(|&at| at > now) {
            Some(at) => format!("it starts again in {}", Span::about(at.since(now))),
            None => "it starts again as soon as the processes that its last run left behind have exited".to_owned(),
        },
        State::Waiting if instance.awaits_contact() => {
            format!("it starts with {}", supervisor.waiting_for(instance.id(), now).join(", "))
        }
        State::Waiting => {
            format!("it starts as soon as this holds: {}", supervisor.waiting_for(instance.id(), now).join(", and "))
        }
        State::Starting | State::Running if instance.is_failing() => {
            "it is being stopped because of a failure".to_owned()
        }
        State::Starting => "it becomes RUNNING after startsecs, once it is ready if ready is configured".to_owned(),
        State::Running => match (supervisor.rolling(instance.id()), instance.must_end_by().filter(|&at| at > now)) {
            (Some(Progress { is_queued: true, .. }), _) => {
                "it is restarted after another rolling restart of its program".to_owned()
            }
            (Some(Progress { step, of, .. }), _) => {
                format!("it keeps running, unless its turn comes: a rolling restart is at {step} of {of}")
            }
            (None, Some(at)) => format!("it keeps running, for {} at most (max_runtime)", Span::about(at.since(now))),
            (None, None) => "it keeps running".to_owned(),
        },
        State::Stopping => "it becomes STOPPED once all its processes have exited".to_owned(),
        State::Stopped => "nothing until it is started".to_owned(),
        State::Exited | State::Fatal => "nothing until it is started, which resets its count of failures".to_owned(),
    }
}
