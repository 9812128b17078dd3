//! Parses the log of a rehearsed daemon, line by line, with its own timestamps.

use std::time::Duration;

use muster_api::Timestamp;
use serde_json::Value;

/// An event of a rehearsal or of its simulation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    /// The time since the daemon was up.
    pub(super) at: Duration,
    /// The instance.
    pub(super) name: String,
    /// The event itself.
    pub(super) what: Occurrence,
}

/// An event of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Occurrence {
    /// It reached this state.
    State(String),
    /// Its next run was decided: the number of this consecutive restart.
    Retry(u32),
    /// It waits for a dependency that cannot be met without intervention.
    WaitsInVain,
    /// Its run became ready, or is no longer ready.
    Ready(bool),
    /// Its run became healthy or unhealthy.
    Healthy(bool),
    /// A check failed; consecutive failures, including this one.
    CheckFailed(u32),
    /// Its run is stopped because of a failure.
    Failing,
    /// It did not stop in time.
    Killed,
}

impl std::fmt::Display for Occurrence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Occurrence::State(state) => f.write_str(state),
            Occurrence::Retry(attempt) => write!(f, "will be started again, attempt {attempt}"),
            Occurrence::WaitsInVain => f.write_str("waits in vain"),
            Occurrence::Ready(true) => f.write_str("ready"),
            Occurrence::Ready(false) => f.write_str("not ready"),
            Occurrence::Healthy(true) => f.write_str("healthy"),
            Occurrence::Healthy(false) => f.write_str("unhealthy"),
            Occurrence::CheckFailed(failures) => write!(f, "a check failed, {failures} in a row"),
            Occurrence::Failing => f.write_str("failing"),
            Occurrence::Killed => f.write_str("gets SIGKILL"),
        }
    }
}

/// One line of the daemon's log.
pub(super) enum Line {
    /// The daemon is up, and starts programs.
    Up(Duration),
    /// An event of an instance.
    Event(Event),
    /// Why the container exits.
    LastWords(String),
    /// Anything else.
    Other,
}

/// Parses a line; times are since 1970.
pub(super) fn read(line: &str) -> Option<Line> {
    let value: Value = serde_json::from_str(line).ok()?;
    let at = time(value["timestamp"].as_str()?)?;
    let message = value["message"].as_str()?;
    let name = || value["program"].as_str().unwrap_or_default().to_owned();
    let event = |what| Line::Event(Event { at, name: name(), what });
    let state = |state: &str| event(Occurrence::State(state.to_owned()));
    Some(match message {
        "musterd is up" => Line::Up(at),
        "running" => state("RUNNING"),
        "stopping" => state("STOPPING"),
        "stopped" => state("STOPPED"),
        "gave up" => state("FATAL"),
        "state" => state(value["to"].as_str()?),
        "will be started again" => event(Occurrence::Retry(u32::try_from(value["attempt"].as_u64()?).ok()?)),
        "waiting for a dependency that needs intervention" => event(Occurrence::WaitsInVain),
        "ready" | "not ready" => event(Occurrence::Ready(message == "ready")),
        "healthy" | "unhealthy" => event(Occurrence::Healthy(message == "healthy")),
        "a check failed" => event(Occurrence::CheckFailed(u32::try_from(value["failures"].as_u64()?).ok()?)),
        "failed, stopping it" => event(Occurrence::Failing),
        _ if value["signal"] == "SIGKILL" && !name().is_empty() => event(Occurrence::Killed),
        _ => match message.strip_prefix("exit: ") {
            Some(words) => Line::LastWords(words.to_owned()),
            None => Line::Other,
        },
    })
}

/// Since 1970. The log has microseconds, truncated to milliseconds.
fn time(text: &str) -> Option<Duration> {
    let stamp: Timestamp = format!("{}Z", text.get(..23)?).parse().ok()?;
    Some(Duration::from_millis(u64::try_from(stamp.unix_ms()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_are_events() {
        let event = |line: &str| match read(line) {
            Some(Line::Event(event)) => Some((event.name, event.what.to_string())),
            _ => None,
        };
        let line = |rest: &str| format!("{{\"timestamp\":\"2026-11-23T03:42:00.123456Z\",\"level\":\"INFO\",{rest}}}");
        let found = |name: &str, what: &str| Some((name.to_owned(), what.to_owned()));
        assert_eq!(event(&line("\"message\":\"running\",\"program\":\"web\"")), found("web", "RUNNING"));
        let state = line("\"message\":\"state\",\"program\":\"web:1\",\"from\":\"RUNNING\",\"to\":\"BACKOFF\"");
        assert_eq!(event(&state), found("web:1", "BACKOFF"));
        let retry = line("\"message\":\"will be started again\",\"program\":\"web\",\"attempt\":3");
        assert_eq!(event(&retry), found("web", "will be started again, attempt 3"));
        assert_eq!(event(&line("\"message\":\"ended\",\"program\":\"web\"")), None);
        assert!(matches!(read(&line("\"message\":\"exit: stopped by SIGTERM\"")), Some(Line::LastWords(_))));
        assert!(read("no object").is_none());
    }
}
