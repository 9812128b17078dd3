//! Why an instance is where it is: what happened, who brought it about, what was decided, what comes next.
//!
//! Pure reading. The core knows what it decided and why it ended a run; [`crate::exit_evidence`] knows who asked and whether memory
//! ran out; the logs know what a run wrote last. Where nobody can know, the words say so.

use muster_api as api;
use muster_api::EndedBy;
use muster_core::{Asker, Instance, PastRun, StopCause, Supervisor, Time};
use muster_logs::{LastLine, Source};
use muster_spec::{Exit, RunEnd, Signal, Span, State};

use crate::exit_evidence::{OutOfMemory, Request};
use crate::shared::Shared;
use crate::view::{self, date};

/// Signals that a process gets for what it did itself, as a rule: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, and
/// SIGSYS from a seccomp filter. These numbers are the same on every architecture that musterd is built for.
const FAULTS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];

/// How many runs before the last one the story tells of.
const BEFORE: usize = 3;

/// The story of one instance.
pub(crate) fn why(shared: &Shared, instance: &Instance, now: Time) -> api::Why {
    let supervisor = shared.supervisor.borrow();
    let program = view::program(shared, instance, now);
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

/// A run that has ended, with everything that is known of it.
pub(crate) fn past_run(shared: &Shared, instance: &Instance, past: &PastRun) -> api::Run {
    let memory = shared.deaths.borrow().memory(past.run);
    let (core_dumped, spawn_error) = match &past.end {
        RunEnd::Exited(Exit::Signal { core_dumped, .. }) => (*core_dumped, None),
        RunEnd::Exited(Exit::Code(_)) | RunEnd::MainLost => (false, None),
        RunEnd::NotSpawned(error) => (false, Some(error)),
    };
    api::Run {
        run: past.run.0,
        pid: shared.children.borrow().pid_of(past.run),
        started_at: date(shared, past.began),
        ended_at: Some(date(shared, past.ended)),
        uptime: past.ended.since(past.began).as_secs_f64(),
        exit: Some(view::exit(past)),
        ended_by: Some(ended_by(shared, past)),
        cause: past.cause.as_ref().map(|cause| cause_words(shared, past, cause)),
        core_dumped,
        out_of_memory: match memory {
            Some(OutOfMemory::Killed(_)) => Some(true),
            Some(OutOfMemory::No) => Some(false),
            Some(OutOfMemory::Untold) | None => None,
        },
        spawn_error: spawn_error.map(|error| api::SpawnFailure {
            step: error.step.name().to_owned(),
            errno: error.errno,
            message: error.message.clone(),
        }),
        verdict: Some(past.explain(&instance.program().exit_codes)),
        left_behind: past.left_behind.as_ref().map(|left| view::left_behind(left, past.run)),
        last_lines: last_lines(shared, instance, past),
    }
}

fn last_lines(shared: &Shared, instance: &Instance, past: &PastRun) -> Vec<api::OutputLine> {
    let lines = shared.children.borrow().logs().last_lines(instance.name(), past.run);
    let line = |line: LastLine| api::OutputLine {
        time: api::Timestamp::from_unix_ms(i64::try_from(line.at / 1000).unwrap_or(i64::MAX)),
        stream: if line.source == Source::Stdout { "stdout" } else { "stderr" }.to_owned(),
        text: String::from_utf8_lossy(&line.text).into_owned(),
        is_cut: line.is_cut,
    };
    lines.into_iter().map(line).collect()
}

fn ended_by(shared: &Shared, past: &PastRun) -> EndedBy {
    let deaths = shared.deaths.borrow();
    match &past.end {
        RunEnd::NotSpawned(_) => EndedBy::NotSpawned,
        _ if past.cause.is_some() => EndedBy::Musterd,
        RunEnd::MainLost => EndedBy::Musterd,
        RunEnd::Exited(Exit::Code(_)) => EndedBy::Itself,
        RunEnd::Exited(Exit::Signal { signal, .. }) => match deaths.memory(past.run) {
            Some(OutOfMemory::Killed(_)) => EndedBy::OutOfMemory,
            _ if deaths.asked(past.run).is_some_and(|asked| asked.what == Request::Signal(*signal)) => EndedBy::Musterd,
            _ if FAULTS.contains(&signal.number()) => EndedBy::Itself,
            _ => EndedBy::SomebodyElse,
        },
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
            story.push(format!("musterd ended it: {}", cause_words(shared, past, cause)));
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

fn cause_words(shared: &Shared, past: &PastRun, cause: &StopCause) -> String {
    let asked = shared.deaths.borrow().asked(past.run);
    match (cause, asked) {
        (StopCause::Asked(Asker::Command), Some(asked)) => match asked.what {
            Request::Stop => format!("user id {} asked for a stop", asked.uid),
            Request::Restart => format!("user id {} asked for a restart", asked.uid),
            Request::Signal(_) => "somebody asked for a stop".to_owned(),
        },
        (StopCause::Asked(Asker::Command), None) => "somebody asked for a stop".to_owned(),
        _ => cause.to_string(),
    }
}

/// Who sent the signal that ended it, where it was one and we did not end it.
fn tell_signal(shared: &Shared, past: &PastRun) -> Option<String> {
    let RunEnd::Exited(Exit::Signal { signal, .. }) = past.end else { return None };
    let deaths = shared.deaths.borrow();
    let asked = deaths.asked(past.run).filter(|asked| asked.what == Request::Signal(signal));
    if let Some(asked) = asked {
        return Some(format!("user id {} had musterd send {signal} to it", asked.uid));
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
