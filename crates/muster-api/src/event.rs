//! The events of `GET /v1/events`.
//!
//! An event is a fact with a number and a time. The first is a snapshot; the following events update it. Clients must
//! ignore unknown kinds: later versions may add some.

use serde::{Deserialize, Serialize};

use crate::program::{ExitInfo, LeftBehind, Program};
use crate::source::SourceState;
use crate::state::State;
use crate::timestamp::Timestamp;

/// The media type of the stream (server-sent events).
pub const EVENT_STREAM: &str = "text/event-stream";

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number. Numbers ascend, also across restarts of the daemon, and may have gaps.
    pub id: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The fact itself.
    #[serde(flatten)]
    pub what: Happening,
}

/// The content of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// The state of all instances. Sent first, and again after a gap.
    Snapshot {
        /// All instances.
        programs: Vec<Program>,
    },
    /// An instance changed its state.
    State {
        /// The instance.
        name: String,
        /// Previous state.
        from: State,
        /// New state.
        to: State,
        /// Its run, current or last.
        run: Option<u64>,
        /// PID of the main process of that run.
        pid: Option<u32>,
    },
    /// A run ended, or could not be started.
    Ended {
        /// The instance.
        name: String,
        /// The run.
        run: u64,
        /// PID of its main process; `null` if it could not be spawned.
        pid: Option<u32>,
        /// How it ended.
        exit: ExitInfo,
        /// How long it had been up, in seconds.
        uptime: f64,
        /// Why musterd ended it; `null` if it ended by itself or was killed from outside.
        cause: Option<String>,
    },
    /// The restart policy decided to restart.
    Retry {
        /// The instance.
        name: String,
        /// Delay before the restart, in seconds.
        delay: f64,
        /// Number of this restart in a row, from 1.
        attempt: u32,
        /// Maximum number of restarts; `null` if unlimited or counted differently.
        limit: Option<u32>,
        /// The rule applied, in words.
        why: String,
    },
    /// The restart policy decided that an end is final.
    Final {
        /// The instance.
        name: String,
        /// The run that ended.
        run: u64,
        /// The rule applied, in words.
        why: String,
    },
    /// A run became ready, or is no longer.
    Ready {
        /// The instance.
        name: String,
        /// The run.
        run: u64,
        /// Whether it is ready now.
        ready: bool,
    },
    /// A run became healthy or unhealthy.
    Health {
        /// The instance.
        name: String,
        /// The run.
        run: u64,
        /// Its health now: `healthy` or `unhealthy`.
        health: String,
        /// The probe that decided.
        probe: String,
        /// The result of its last check, in words.
        detail: String,
    },
    /// musterd considers a run failed and is stopping it.
    Failing {
        /// The instance.
        name: String,
        /// The run.
        run: u64,
        /// The reason, in words.
        cause: String,
    },
    /// A hook has ended.
    Hook {
        /// The instance.
        name: String,
        /// The run.
        run: u64,
        /// `pre_start`, `post_start`, `pre_stop` or `post_stop`.
        hook: String,
        /// How it ended. The reason of a failure has the last line of its output.
        exit: ExitInfo,
        /// How long it took, in seconds.
        took: f64,
    },
    /// A rolling restart begins with an instance or is done with it, or has ended early.
    Rolling {
        /// The instance.
        name: String,
        /// Its number among the instances of its program that are restarted, from 1.
        step: u32,
        /// The number of them.
        of: u32,
        /// `began`, `done`, `failed` or `cancelled`. After the last two, the rest keeps its processes.
        outcome: String,
        /// Why it has failed.
        error: Option<String>,
    },
    /// An instance waits for a dependency that cannot be met without intervention.
    Waiting {
        /// The instance.
        name: String,
        /// The unmet conditions, in words.
        waiting_for: Vec<String>,
    },
    /// A time of a program's schedule started nothing.
    Skipped {
        /// The instance.
        name: String,
        /// `running`, `queued` if another run follows already, `waiting` if a dependency did not hold, or `missed` if the clock
        /// was set past these times or the daemon did not run then.
        reason: String,
        /// The number of times.
        times: u64,
    },
    /// A new configuration is active.
    Configured {
        /// New instances.
        added: Vec<String>,
        /// Instances that stop and are removed.
        removed: Vec<String>,
        /// Instances that are restarted.
        restarted: Vec<String>,
        /// Instances whose rules changed and whose process stays.
        changed: Vec<String>,
        /// Number of instances that did not change.
        unchanged: u64,
    },
    /// A source of the configuration changed its state, or the reason for it, or its active version.
    Source {
        /// The source.
        name: String,
        /// Its state now.
        state: SourceState,
        /// The server's name for the active version.
        revision: Option<String>,
        /// Why a version was refused, or why the server cannot be read.
        reason: Option<String>,
    },
    /// The files with secrets and certificates of listeners were read again.
    Listener {
        /// Why they cannot be used, so that those before stay in use; `null` if they are used from now on.
        reason: Option<String>,
    },
    /// A run did not stop in time and got SIGKILL.
    Killed {
        /// The instance.
        name: String,
        /// The run.
        run: u64,
        /// How long it had been given, in seconds.
        waited: f64,
        /// Whether that was less than configured.
        cut_short: bool,
    },
    /// Processes outlived the main process of their run, and got the stop signal or SIGKILL.
    LeftBehind {
        /// The instance.
        name: String,
        /// The run.
        run: u64,
        /// The processes.
        left: LeftBehind,
    },
    /// Processes are left although SIGKILL was sent. Published after one, two, four seconds and so on.
    Stuck {
        /// The instance.
        name: String,
        /// The run.
        run: u64,
        /// How long it has been stopping, in seconds.
        stopping: f64,
    },
    /// The daemon is shutting down.
    Shutdown {
        /// The reason, in words.
        reason: String,
        /// The budget for the whole shutdown, in seconds; `null` is unlimited.
        timeout: Option<f64>,
    },
    /// A second signal: SIGKILL to all programs.
    ShutdownHurried,
    /// The daemon exits. The last event.
    Exiting {
        /// The reason, in words.
        reason: String,
        /// The container's exit code.
        code: u8,
    },
    /// Events are missing here: the client was too slow or disconnected for too long, or programs caused too many. A
    /// snapshot follows.
    Gap {
        /// Number of missing events; `null` if the client's last event is from an earlier start of the daemon.
        missed: Option<u64>,
    },
    /// A kind added in a later version.
    #[serde(other)]
    Unknown,
}

/// A notification: what a command or a web server of `[notify.NAME]` gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The event.
    #[serde(flatten)]
    pub event: Event,
    /// The kind of event, as `on` has it.
    pub on: String,
    /// How many events of this kind and program were held back since the last notification.
    pub held_back: u64,
    /// The name of the daemon's host.
    pub host: String,
}

impl Happening {
    /// Its name in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Happening::Snapshot { .. } => "snapshot",
            Happening::State { .. } => "state",
            Happening::Ended { .. } => "ended",
            Happening::Retry { .. } => "retry",
            Happening::Final { .. } => "final",
            Happening::Ready { .. } => "ready",
            Happening::Health { .. } => "health",
            Happening::Failing { .. } => "failing",
            Happening::Hook { .. } => "hook",
            Happening::Rolling { .. } => "rolling",
            Happening::Waiting { .. } => "waiting",
            Happening::Skipped { .. } => "skipped",
            Happening::Configured { .. } => "configured",
            Happening::Source { .. } => "source",
            Happening::Listener { .. } => "listener",
            Happening::Killed { .. } => "killed",
            Happening::LeftBehind { .. } => "left_behind",
            Happening::Stuck { .. } => "stuck",
            Happening::Shutdown { .. } => "shutdown",
            Happening::ShutdownHurried => "shutdown_hurried",
            Happening::Exiting { .. } => "exiting",
            Happening::Gap { .. } => "gap",
            Happening::Unknown => "unknown",
        }
    }
}

impl Event {
    /// Appends the event in the format of server-sent events: its number, its kind, and itself as JSON on one line.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("id: {}\nevent: {}\ndata: ", self.id, self.what.kind()).as_bytes());
        serde_json::to_writer(&mut *out, self)
            .expect("strings and numbers serialize, and writing to memory cannot fail");
        out.extend_from_slice(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn every_kind_is_read_back_from_its_json_and_named_in_it() {
        for event in example::events() {
            let json = serde_json::to_value(&event).unwrap();
            assert_eq!(json["kind"], event.what.kind());
            assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
        }
    }

    #[test]
    fn a_kind_of_a_later_version_is_still_an_event() {
        let text = r#"{"id":7,"at":"2026-11-23T00:34:05.120Z","kind":"on_fire","name":"web"}"#;
        let event: Event = serde_json::from_str(text).unwrap();
        assert_eq!((event.id, event.what), (7, Happening::Unknown));
    }

    #[test]
    fn on_the_wire_it_is_three_lines_and_an_empty_one() {
        let mut out = Vec::new();
        let event = Event { id: 7, at: Timestamp::from_unix_ms(0), what: Happening::Gap { missed: Some(3) } };
        event.write_to(&mut out);
        let expected = "id: 7\nevent: gap\ndata: {\"id\":7,\"at\":\"1970-01-01T00:00:00.000Z\",\"kind\":\"gap\",\
                        \"missed\":3}\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
