//! Counters of each instance since the daemon started, for the metrics: restarts, and exits by reason.
//!
//! Updated as events are published, a few additions each. Independent of the output format.

use std::collections::HashMap;

use muster_core::{Event, Skipped, StopCause};
use muster_spec::{Exit, Hook, InstanceId, RunEnd, RunId, SpawnStep, State};

use crate::exit_evidence::{ExitEvidence, OutOfMemory};

/// The reasons for the end of a run, as in `muster_program_exits_total`.
pub(crate) const REASONS: [&str; 15] = [
    "success",
    "failure",
    "signal",
    "out_of_memory",
    "stopped",
    "probe",
    "watchdog",
    "memory",
    "start_timeout",
    "unserved",
    "exec_timeout",
    "max_runtime",
    "hook",
    "main_lost",
    "spawn_error",
];

/// The outcomes of a turn in a rolling restart, as in `muster_program_rolling_steps_total`.
pub(crate) const OUTCOMES: [&str; 3] = ["done", "failed", "cancelled"];

/// The counters of one instance.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    /// Runs that the restart policy started after the end of an earlier one.
    pub(crate) restarts: u64,
    /// Ended runs, in the order of [`REASONS`].
    pub(crate) exits: [u64; REASONS.len()],
    /// Hooks that failed, in the order of a run.
    pub(crate) hook_failures: [u64; Hook::EVERY.len()],
    /// Scheduled times that started nothing: skipped, and missed.
    pub(crate) skipped: u64,
    pub(crate) missed: u64,
    /// Turns in rolling restarts, in the order of [`OUTCOMES`].
    pub(crate) rolling_steps: [u64; OUTCOMES.len()],
}

/// The counters of all instances.
#[derive(Debug, Default)]
pub(crate) struct ProgramCounters(HashMap<InstanceId, Counters>);

impl ProgramCounters {
    pub(crate) fn count(&mut self, event: &Event, exit_evidence: &ExitEvidence) {
        match event {
            Event::State { instance, from: State::Backoff, to: State::Starting, .. } => {
                self.of_mut(*instance).restarts += 1
            }
            Event::Ended(ended) => {
                let reason = reason(ended.run, &ended.end, ended.expected, ended.cause.as_ref(), exit_evidence);
                let place = REASONS.iter().position(|known| *known == reason);
                self.of_mut(ended.instance).exits[place.expect("a test counts every reason")] += 1;
            }
            Event::Hook(ended) if ended.failure.is_some() => {
                self.of_mut(ended.instance).hook_failures[ended.hook as usize] += 1;
            }
            Event::Skipped { instance, why: Skipped::Missed { times } } => {
                self.of_mut(*instance).missed += u64::from(*times);
            }
            Event::Skipped { instance, .. } => self.of_mut(*instance).skipped += 1,
            Event::Rolling(step) => {
                let place = OUTCOMES.iter().position(|known| *known == step.outcome.word());
                place.into_iter().for_each(|place| self.of_mut(step.instance).rolling_steps[place] += 1);
            }
            _ => {}
        }
    }

    fn of_mut(&mut self, instance: InstanceId) -> &mut Counters {
        self.0.entry(instance).or_default()
    }

    pub(crate) fn of(&self, instance: InstanceId) -> Counters {
        self.0.get(&instance).copied().unwrap_or_default()
    }

    /// Forgets instances that no longer exist.
    pub(crate) fn retain(&mut self, is_there: impl Fn(InstanceId) -> bool) {
        self.0.retain(|&instance, _| is_there(instance));
    }
}

fn reason(
    run: RunId,
    end: &RunEnd,
    expected: bool,
    cause: Option<&StopCause>,
    exit_evidence: &ExitEvidence,
) -> &'static str {
    match (cause, end) {
        (Some(StopCause::Probe { .. }), _) => "probe",
        (Some(StopCause::Watchdog { .. }), _) => "watchdog",
        (Some(StopCause::Memory { .. }), _) => "memory",
        (Some(StopCause::StartTimeout), _) => "start_timeout",
        (Some(StopCause::Unserved), _) => "unserved",
        (Some(StopCause::ExecTimeout), _) => "exec_timeout",
        (Some(StopCause::MaxRuntime { .. }), _) => "max_runtime",
        (Some(StopCause::Hook { .. }), _) => "hook",
        (None, RunEnd::NotSpawned(error)) if error.step == SpawnStep::PreStart => "hook",
        (Some(StopCause::Asked(_) | StopCause::Shutdown), _) => "stopped",
        (None, RunEnd::NotSpawned(_)) => "spawn_error",
        (None, RunEnd::MainLost) => "main_lost",
        (None, RunEnd::Exited(Exit::Code(_))) => {
            if expected {
                "success"
            } else {
                "failure"
            }
        }
        (None, RunEnd::Exited(Exit::Signal { .. })) => match exit_evidence.memory(run) {
            Some(OutOfMemory::Killed(_)) => "out_of_memory",
            _ => "signal",
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_core::{Asker, EndedRun, Principal};
    use muster_spec::{Signal, SpawnError};

    use super::*;

    #[test]
    fn every_end_has_a_reason_and_is_counted_once() {
        let signal = || RunEnd::Exited(Exit::Signal { signal: Signal::KILL, core_dumped: false });
        let code = |code| RunEnd::Exited(Exit::Code(code));
        let error = SpawnError { step: SpawnStep::Exec, errno: 2, message: String::new() };
        let unprepared = SpawnError { step: SpawnStep::PreStart, ..error.clone() };
        let probe = StopCause::Probe { name: "live".into(), detail: "refused".into() };
        let ends = [
            (code(0), true, None, "success"),
            (code(1), false, None, "failure"),
            (signal(), false, None, "signal"),
            (signal(), true, Some(StopCause::Asked(Asker::Stop(Principal::Uid(0)))), "stopped"),
            (code(0), true, Some(StopCause::Shutdown), "stopped"),
            (code(0), false, Some(probe), "probe"),
            (signal(), false, Some(StopCause::Watchdog { silent: None }), "watchdog"),
            (signal(), false, Some(StopCause::Memory { detail: "2 MB over 1 MB".into() }), "memory"),
            (signal(), false, Some(StopCause::StartTimeout), "start_timeout"),
            (signal(), false, Some(StopCause::ExecTimeout), "exec_timeout"),
            (signal(), false, Some(StopCause::MaxRuntime { max: Duration::from_secs(1) }), "max_runtime"),
            (signal(), false, Some(StopCause::Hook { hook: Hook::PostStart, detail: "no".into() }), "hook"),
            (RunEnd::NotSpawned(unprepared), false, None, "hook"),
            (RunEnd::MainLost, false, None, "main_lost"),
            (RunEnd::NotSpawned(error), false, None, "spawn_error"),
        ];
        let (mut program_counters, exit_evidence) = (ProgramCounters::default(), ExitEvidence::new());
        for (end, expected, cause, reason) in ends {
            let before = program_counters.of(InstanceId(1)).exits;
            let uptime = Duration::ZERO;
            let ended = EndedRun { instance: InstanceId(1), run: RunId(1), end, uptime, expected, cause };
            let event = Event::Ended(Box::new(ended));
            program_counters.count(&event, &exit_evidence);
            let after = program_counters.of(InstanceId(1)).exits;
            let grown: Vec<&str> = REASONS
                .iter()
                .enumerate()
                .filter(|(place, _)| after[*place] > before[*place])
                .map(|(_, it)| *it)
                .collect();
            assert_eq!(grown, [reason], "{event:?}");
        }
    }

    #[test]
    fn only_what_comes_out_of_backoff_is_a_restart() {
        let (mut program_counters, exit_evidence) = (ProgramCounters::default(), ExitEvidence::new());
        for from in [State::Stopped, State::Backoff, State::Waiting, State::Fatal] {
            program_counters
                .count(&Event::State { instance: InstanceId(1), from, to: State::Starting, run: None }, &exit_evidence);
        }
        assert_eq!(program_counters.of(InstanceId(1)).restarts, 1);
        program_counters.retain(|_| false);
        assert_eq!(program_counters.of(InstanceId(1)).restarts, 0);
    }
}
