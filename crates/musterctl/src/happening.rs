//! Events in words, a line for each.

use std::fmt;
use std::time::Duration;

use muster_api::{Happening, State};
use muster_spec::Span;

/// An event in words. Text that comes from a program may contain control characters; the caller escapes them.
pub(crate) struct InWords<'a>(pub(crate) &'a Happening);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Happening::Snapshot { programs } => {
                let running = programs.iter().filter(|program| program.state == State::Running).count();
                write!(f, "{running} of {} running", programs.len())
            }
            Happening::State { name, to, pid: Some(pid), .. } if matches!(to, State::Starting | State::Running) => {
                write!(f, "{name}: {to} (pid {pid})")
            }
            Happening::State { name, to, .. } => write!(f, "{name}: {to}"),
            Happening::Ended { name, exit, uptime, cause, .. } => {
                write!(f, "{name}: {} after {}", exit.reason, span(*uptime))?;
                cause.as_ref().map_or(Ok(()), |cause| write!(f, " ({cause})"))
            }
            Happening::Retry { name, why, .. } | Happening::Final { name, why, .. } => write!(f, "{name}: {why}"),
            Happening::Ready { name, ready: true, .. } => write!(f, "{name}: ready"),
            Happening::Ready { name, ready: false, .. } => write!(f, "{name}: not ready"),
            Happening::Health { name, health, probe, detail, .. } => {
                write!(f, "{name}: {health} (probe {probe:?}: {detail})")
            }
            Happening::Failing { name, cause, .. } => write!(f, "{name}: failed, stopping it: {cause}"),
            Happening::Hook { name, hook, exit, took, .. } => {
                write!(f, "{name}: {hook}: {} after {}", exit.reason, span(*took))
            }
            Happening::Rolling { name, step, of, outcome, error } => {
                let why = error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
                write!(f, "{name}: rolling restart {step} of {of}: {outcome}{why}")
            }
            Happening::Waiting { name, waiting_for } => write!(f, "{name}: waiting for {}", waiting_for.join(" and ")),
            Happening::Skipped { name, reason, times } if reason == "missed" => {
                write!(f, "{name}: missed {times} of its times")
            }
            Happening::Skipped { name, reason, .. } => write!(f, "{name}: skipped a time of its schedule ({reason})"),
            Happening::Configured { added, removed, restarted, changed, unchanged } => {
                f.write_str("the active configuration changed:")?;
                for (what, names) in
                    [("added", added), ("removed", removed), ("restarted", restarted), ("changed", changed)]
                {
                    if !names.is_empty() {
                        write!(f, " {what} {};", names.join(", "))?;
                    }
                }
                write!(f, " {unchanged} unchanged")
            }
            Happening::Source { name, state, reason: Some(reason), .. } => {
                write!(f, "source {name}: {}: {reason}", state.name())
            }
            Happening::Source { name, state, revision, .. } => match revision {
                Some(revision) => write!(f, "source {name}: {}, {revision}", state.name()),
                None => write!(f, "source {name}: {}", state.name()),
            },
            Happening::Listener { reason: Some(reason) } => {
                write!(f, "secrets of the API have changed, but {reason}; those before are used")
            }
            Happening::Listener { reason: None } => {
                f.write_str("secrets of the API have changed and are used from now on")
            }
            Happening::Killed { name, waited, cut_short, .. } => {
                let why = if *cut_short { "no more time was left" } else { "it did not stop in time" };
                write!(f, "{name}: SIGKILL after {}, {why}", span(*waited))
            }
            Happening::LeftBehind { name, left, .. } => write!(f, "{name}: {}", left.words),
            Happening::Stuck { name, stopping, .. } => {
                write!(f, "{name}: still there, stopping for {}", span(*stopping))
            }
            Happening::Shutdown { reason, timeout: Some(timeout) } => {
                write!(f, "stopping all programs within {}: {reason}", span(*timeout))
            }
            Happening::Shutdown { reason, timeout: None } => {
                write!(f, "stopping all programs, without a time limit: {reason}")
            }
            Happening::ShutdownHurried => f.write_str("asked to stop again, sending SIGKILL to all programs"),
            Happening::Exiting { reason, code } => write!(f, "the daemon exits with code {code}: {reason}"),
            Happening::Gap { missed: Some(missed) } => write!(f, "{missed} events are missing here"),
            Happening::Gap { missed: None } => f.write_str("events are missing here"),
            Happening::Unknown => f.write_str("an event of a kind that a later version of musterd knows"),
        }
    }
}

/// A measured duration, which the API sends in seconds.
fn span(seconds: f64) -> Span {
    Span::about(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_short_and_say_what_matters() {
        let name = || "web".to_owned();
        for (what, text) in [
            (
                Happening::State {
                    name: name(),
                    from: State::Starting,
                    to: State::Running,
                    run: Some(1),
                    pid: Some(12),
                },
                "web: RUNNING (pid 12)",
            ),
            (
                Happening::State { name: name(), from: State::Running, to: State::Exited, run: Some(1), pid: Some(12) },
                "web: EXITED",
            ),
            (
                Happening::Configured {
                    added: vec!["a".to_owned(), "b".to_owned()],
                    removed: vec![],
                    restarted: vec![],
                    changed: vec!["c".to_owned()],
                    unchanged: 4,
                },
                "the active configuration changed: added a, b; changed c; 4 unchanged",
            ),
            (
                Happening::Killed { name: name(), run: 1, waited: 10.0, cut_short: false },
                "web: SIGKILL after 10s, it did not stop in time",
            ),
            (Happening::Gap { missed: None }, "events are missing here"),
        ] {
            assert_eq!(InWords(&what).to_string(), text);
        }
    }
}
