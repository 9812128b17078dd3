//! The end of a simulation in words: what each instance is, and why the daemon exits.

use std::fmt::Write;

use muster_core::ShutdownReason;
use muster_spec::{Exit, RunEnd, Span, State};

use crate::timeline::{Ending, Lane, Over, Timeline};

/// The summary: each program, and the container's exit with its reason.
pub(crate) fn account(timeline: &Timeline) -> String {
    let mut text = String::new();
    for lane in timeline.lanes() {
        let _ = writeln!(text, "{}", end_of(lane));
    }
    let after = Span(timeline.ended.since_origin());
    if let Some(words) = timeline.cut_short() {
        let _ = writeln!(text, "{words}");
        return text;
    }
    match &timeline.exit {
        Some(exit) => {
            let _ = writeln!(text, "the container exits with {} after {after}: {}", exit.code, exit.words);
            if let Some(lane) = exit.cause.map(|id| timeline.lane(id))
                && let Some((_, explained)) = &lane.last
            {
                let _ = writeln!(text, "  why {:?} was not started again: {explained}", lane.name);
            }
            let _ = writeln!(text, "  why {}: {}", exit.code, code_rule(timeline, exit));
        }
        None => {
            let _ = match timeline.over {
                Over::AtRest => {
                    writeln!(
                        text,
                        "nothing happens after {after}, and the container is still running: {}",
                        still(timeline)
                    )
                }
                _ => writeln!(text, "after {after} the container is still running: {}", still(timeline)),
            };
        }
    }
    text
}

fn end_of(lane: &Lane) -> String {
    let plural = |count: usize, thing: &str| format!("{count} {thing}{}", if count == 1 { "" } else { "s" });
    let runs = plural(lane.runs, "run");
    let restarts = plural(lane.runs.saturating_sub(1), "restart");
    let essential = if lane.is_essential { ", essential" } else { "" };
    let last = lane.last.as_ref().map(|(end, _)| format!(", the last end was {end}")).unwrap_or_default();
    format!("{}: {} after {runs}, {restarts}{last}{essential}", lane.name, lane.state)
}

/// The origin of the exit code.
fn code_rule(timeline: &Timeline, exit: &Ending) -> String {
    let end = exit.cause.and_then(|id| timeline.lane(id).last.as_ref()).map(|(end, _)| end);
    match end {
        _ if matches!(exit.reason, ShutdownReason::Probe(_)) => {
            "a probe with on_failure = \"shutdown\" failed".to_owned()
        }
        _ if matches!(exit.reason, ShutdownReason::Memory(_)) => "memory_max with action = \"shutdown\"".to_owned(),
        Some(end) if exit.code == 0 && end.shell_code() != 0 => "exit_status = \"zero\"".to_owned(),
        // It was given up, which is not a success.
        Some(RunEnd::Exited(Exit::Code(0))) if exit.code != 0 => {
            "given up is a failure, whatever the last status".to_owned()
        }
        Some(RunEnd::Exited(Exit::Code(_))) => "that run's own exit status".to_owned(),
        Some(RunEnd::Exited(Exit::Signal { signal, .. })) => format!("128 + {} for {signal}", signal.number()),
        Some(RunEnd::MainLost) => "1 where the run's own exit status is not known".to_owned(),
        Some(RunEnd::NotSpawned(_)) if exit.code == 127 => "the program was not found, as in a shell".to_owned(),
        Some(RunEnd::NotSpawned(_)) => "the program could not be executed, as in a shell".to_owned(),
        None if exit.reason == ShutdownReason::Done && exit.code == 0 => {
            "each program's last end was a success".to_owned()
        }
        None if exit.reason == ShutdownReason::Done => "nothing failed, and not everything could run".to_owned(),
        None => "it was asked to stop, whatever its programs' codes".to_owned(),
    }
}

fn still(timeline: &Timeline) -> String {
    let of = |state: State| timeline.lanes().filter(|lane| lane.state == state).count();
    let counted: Vec<String> =
        State::ALL.into_iter().filter(|&state| of(state) > 0).map(|state| format!("{} {state}", of(state))).collect();
    counted.join(", ")
}
