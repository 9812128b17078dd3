//! Ended runs in the API's types.

use muster_api as api;
use muster_api::EndedBy;
use muster_core::{Asker, Instance, PastRun, StopCause, Supervisor};
use muster_logs::{LastLine, Source};
use muster_spec::{Exit, Hook, RunEnd, RunId};

use super::{date, exit, left_behind};
use crate::exit_evidence::OutOfMemory;
use crate::shared::Shared;

/// Signals that usually result from a fault of the process itself: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV,
/// and SIGSYS from a seccomp filter. These numbers are the same on every architecture that musterd is built for.
pub(super) const FAULTS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];

/// An ended run with all details.
pub(super) fn past_run(shared: &Shared, instance: &Instance, past: &PastRun) -> api::Run {
    let memory = shared.exit_evidence.borrow().memory(past.run);
    let (core_dumped, spawn_error) = match &past.end {
        RunEnd::Exited(Exit::Signal { core_dumped, .. }) => (*core_dumped, None),
        RunEnd::Exited(Exit::Code(_)) | RunEnd::MainLost => (false, None),
        RunEnd::NotSpawned(error) => (false, Some(error)),
    };
    let failed = |(hook, reason): &(Hook, Box<str>)| api::HookFailure {
        hook: hook.name().to_owned(),
        reason: reason.to_string(),
        last_lines: last_lines(shared, instance, hook.output_of(past.run)),
    };
    api::Run {
        run: past.run.0,
        pid: shared.children.borrow().pid_of(past.run),
        started_at: date(shared, past.began),
        ended_at: Some(date(shared, past.ended)),
        uptime: past.ended.since(past.began).as_secs_f64(),
        exit: Some(exit(past)),
        ended_by: Some(ended_by(shared, past)),
        cause: past.cause.as_ref().map(|cause| cause_words(&shared.supervisor.borrow(), cause)),
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
        left_behind: past.left_behind.as_ref().map(|left| left_behind(left, past.run)),
        last_lines: last_lines(shared, instance, past.run),
        hooks: past.failed_hooks.iter().map(failed).collect(),
    }
}

/// An ended run without its output.
pub(in crate::http) fn span(shared: &Shared, instance: &Instance, past: &PastRun) -> api::RunSpan {
    api::RunSpan {
        run: past.run.0,
        started_at: date(shared, past.began),
        ended_at: Some(date(shared, past.ended)),
        exit: Some(exit(past)),
        ended_by: Some(ended_by(shared, past)),
        verdict: Some(past.explain(&instance.program().exit_codes)),
    }
}

fn last_lines(shared: &Shared, instance: &Instance, run: RunId) -> Vec<api::OutputLine> {
    let lines = shared.children.borrow().logs().last_lines(instance.name(), run);
    let line = |line: LastLine| api::OutputLine {
        time: api::Timestamp::from_unix_ms(i64::try_from(line.at / 1000).unwrap_or(i64::MAX)),
        stream: if line.source == Source::Stdout { "stdout" } else { "stderr" }.to_owned(),
        text: String::from_utf8_lossy(&line.text).into_owned(),
        is_cut: line.is_cut,
    };
    lines.into_iter().map(line).collect()
}

fn ended_by(shared: &Shared, past: &PastRun) -> EndedBy {
    let exit_evidence = shared.exit_evidence.borrow();
    match &past.end {
        RunEnd::NotSpawned(_) => EndedBy::NotSpawned,
        _ if past.cause.is_some() => EndedBy::Musterd,
        RunEnd::MainLost => EndedBy::Musterd,
        RunEnd::Exited(Exit::Code(_)) => EndedBy::Itself,
        RunEnd::Exited(Exit::Signal { signal, .. }) => match exit_evidence.memory(past.run) {
            Some(OutOfMemory::Killed(_)) => EndedBy::OutOfMemory,
            _ if past.signalled_by(*signal).is_some() => EndedBy::Musterd,
            _ if FAULTS.contains(&signal.number()) => EndedBy::Itself,
            _ => EndedBy::SomebodyElse,
        },
    }
}

/// Why musterd ended a run; names the client that requested it.
pub(super) fn cause_words(supervisor: &Supervisor, cause: &StopCause) -> String {
    match cause {
        StopCause::Asked(Asker::RestartAll(id)) => match supervisor.get(*id) {
            Some(instance) => format!("on_exit of {} restarted all", instance.name()),
            None => cause.to_string(),
        },
        StopCause::Asked(Asker::Stop(by)) => format!("{by} asked for a stop"),
        StopCause::Asked(Asker::Restart(by)) => format!("{by} asked for a restart"),
        StopCause::Asked(Asker::Reload(Some(by))) => format!("{cause}, and {by} asked for a reload"),
        _ => cause.to_string(),
    }
}
