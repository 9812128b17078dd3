//! Why an instance is where it is: what happened, who brought it about, what was decided, what comes next.
//!
//! Pure reading. The core knows what it decided, why it ended a run and who asked for that; [`crate::exit_evidence`] knows
//! whether memory ran out; the logs know what a run wrote last. Where nobody can know, the words say so.

use muster_api as api;
use muster_core::{Instance, PastRun, StopCause, Supervisor, Time};
use muster_spec::{Exit, RunEnd, Signal, Span, State};

use super::runs::{FAULTS, cause_words, past_run};
use super::{date, program};
use crate::exit_evidence::OutOfMemory;
use crate::shared::Shared;

/// How many runs before the last one the story tells of.
const BEFORE: usize = 3;

/// The story of one instance.
pub(crate) fn why(shared: &Shared, instance: &Instance, now: Time) -> api::Why {
    let supervisor = shared.supervisor.borrow();
    let program = program(shared, instance, now);
    let next = next(&supervisor, instance, now);
    let mut ended = instance.past().rev();
    let last = ended.next();
    let mut story = Vec::new();
    if let Some(past) = last {
        story.extend(tell_end(shared, &supervisor, past));
        story.push(format!("decided: {}", past.explain(&instance.program().exit_codes)));
    }
    story.extend(tell_before(instance));
    story.push(format!("next: {next}"));
    api::Why {
        name: program.name,
        state: program.state,
        goal: program.goal,
        summary: format!("{} is {}: {}", instance.name(), instance.state(), program.description),
        story,
        next,
        next_start_at: program.next_start_at,
        waiting_for: program.waiting_for,
        run: last.map(|past| past_run(shared, instance, past)),
        earlier: ended.map(|past| past_run(shared, instance, past)).collect(),
    }
}

/// What happened to it, in sentences.
fn tell_end(shared: &Shared, supervisor: &Supervisor, past: &PastRun) -> Vec<String> {
    let began = date(shared, past.began);
    let up = Span::about(past.ended.since(past.began));
    let mut story = match &past.end {
        RunEnd::NotSpawned(error) => {
            let number = if error.errno == 0 { String::new() } else { format!(" (errno {})", error.errno) };
            let step = error.step.name();
            vec![format!("run {} of {began} never began: step {step:?} failed{number}: {error}", past.run)]
        }
        RunEnd::Exited(exit) => vec![format!("run {} began at {began} and ended after {up}: {exit}", past.run)],
        RunEnd::MainLost => vec![
            format!("run {} began at {began} and was given up after {up}: {}", past.run, past.end),
            "the process that it named by MAINPID went where musterd cannot tell any more that it is the run's, so \
             nobody would hear how it ends; musterd stopped what was left of the run"
                .to_owned(),
        ],
    };
    match &past.cause {
        Some(cause) => {
            story.push(format!("musterd ended it: {}", cause_words(cause)));
            story.extend(escalated(past, cause));
        }
        None => story.extend(tell_signal(shared, past)),
    }
    story.extend(past.left_behind.as_ref().map(|left| left.of_run(past.run).to_string()));
    if matches!(past.cause, Some(StopCause::Shutdown)) && supervisor.is_shutting_down() {
        story.push("the daemon is about to exit".to_owned());
    }
    if matches!(past.end, RunEnd::Exited(Exit::Signal { core_dumped: true, .. })) {
        story.push("the kernel says that it left a core dump (core_pattern tells where)".to_owned());
    }
    story
}

/// A polite end that took SIGKILL.
fn escalated(past: &PastRun, cause: &StopCause) -> Option<String> {
    let was_killed = matches!(past.end, RunEnd::Exited(Exit::Signal { signal: Signal::KILL, .. }));
    let is_polite = !matches!(cause, StopCause::ExecTimeout);
    (was_killed && is_polite).then(|| "it did not stop in time (stopwaitsecs), and got SIGKILL".to_owned())
}

/// Who sent the signal that ended it, where it was one and we did not end it.
fn tell_signal(shared: &Shared, past: &PastRun) -> Option<String> {
    let RunEnd::Exited(Exit::Signal { signal, .. }) = past.end else { return None };
    let deaths = shared.deaths.borrow();
    if let Some(by) = past.signalled_by(signal) {
        return Some(format!("{by} had musterd send {signal} to it"));
    }
    Some(match deaths.memory(past.run) {
        Some(OutOfMemory::Killed(1)) => {
            "out of memory: the kernel killed one process of this cgroup for want of memory \
                                         since musterd looked last; musterd did not send the SIGKILL"
                .to_owned()
        }
        Some(OutOfMemory::Killed(kills)) => format!(
            "out of memory, most likely: the kernel killed {kills} processes of this cgroup for want of memory since \
             musterd looked last; musterd did not send the SIGKILL"
        ),
        Some(OutOfMemory::No) => {
            "somebody else sent SIGKILL, not musterd; the kernel killed nobody in this cgroup for want of memory"
                .to_owned()
        }
        Some(OutOfMemory::Untold) => {
            "somebody else sent SIGKILL, not musterd; or memory ran out, which the kernel does \
                                      not tell here (no counter of a memory cgroup)"
                .to_owned()
        }
        None if FAULTS.contains(&signal.number()) => {
            format!("a fault of the program itself, as a rule; musterd did not send {signal}")
        }
        None => format!("somebody else sent {signal}, or the program to itself; musterd did not"),
    })
}

/// The ends before the last one, in short.
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

/// What comes next by itself, and when.
fn next(supervisor: &Supervisor, instance: &Instance, now: Time) -> String {
    match instance.state() {
        State::Backoff => match instance.next_start().filter(|&at| at > now) {
            Some(at) => format!("it starts again in {}", Span::about(at.since(now))),
            None => "it starts again as soon as the processes that its last run left behind are gone".to_owned(),
        },
        State::Waiting => {
            format!("it starts as soon as this holds: {}", supervisor.waiting_for(instance.id()).join(", and "))
        }
        State::Starting | State::Running if instance.is_failing() => "it is being stopped for its failure".to_owned(),
        State::Starting => {
            "it becomes RUNNING when it has been up for startsecs, and is ready where that is asked".to_owned()
        }
        State::Running => "it goes on".to_owned(),
        State::Stopping => "it is STOPPED as soon as nothing of it is left".to_owned(),
        State::Stopped => "nothing by itself: a start brings it up".to_owned(),
        State::Exited | State::Fatal => {
            "nothing by itself: a start brings it up again, with a fresh count of failures".to_owned()
        }
    }
}
