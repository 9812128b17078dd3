//! Reads the log of a rehearsal's daemon, line by line, with the daemon's own times.

use std::time::Duration;

use muster_api::Timestamp;
use serde_json::Value;

/// An event of a rehearsal or of its simulation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    /// When, counted from the time the daemon was up.
    pub(super) at: Duration,
    /// The instance.
    pub(super) name: String,
    /// The fact itself.
    pub(super) what: Occurrence,
}

/// The content of an event of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Occurrence {
    /// It entered this state.
    State(String),
    /// A restart was decided on: its number in a row.
    Retry(u32),
    /// It waits for a dependency that cannot be met without intervention.
    WaitsInVain,
    /// Its run became ready, or is no longer.
    Ready(bool),
    /// Its run became healthy or unhealthy.
    Healthy(bool),
    /// A check failed; the number of consecutive failures.
    CheckFailed(u32),
    /// Its run failed and is being stopped.
    Failing,
    /// It did not stop in time and gets SIGKILL.
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
    /// Something happened to an instance.
    Event(Event),
    /// Why the container exits.
    LastWords(String),
    /// Anything else.
    Other,
}

/// Parses a line; times are since the Unix epoch.
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
        "waits for what will not come by itself" => event(Occurrence::WaitsInVain),
        "ready" | "not ready" => event(Occurrence::Ready(message == "ready")),
        "healthy" | "unhealthy" => event(Occurrence::Healthy(message == "healthy")),
        "a check failed" => event(Occurrence::CheckFailed(u32::try_from(value["failures"].as_u64()?).ok()?)),
        "failed, and is stopped for it" => event(Occurrence::Failing),
        _ if value["signal"] == "SIGKILL" && !name().is_empty() => event(Occurrence::Killed),
        _ => match message.strip_prefix("exit: ") {
            Some(words) => Line::LastWords(words.to_owned()),
            None => Line::Other,
        },
    })
}

/// Time since the Unix epoch. The log has microseconds, of which milliseconds are used.
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
