//! What `GET /v1/events` tells, one event after another.
//!
//! An event is a fact with a number and a time. The first is a snapshot; whatever follows changes what it said. A kind that
//! a client does not know is to be passed over: later versions may add some.

use serde::{Deserialize, Serialize};

use crate::program::{ExitInfo, LeftBehind, Program};
use crate::state::State;
use crate::timestamp::Timestamp;

/// The media type of the stream (server-sent events).
pub const EVENT_STREAM: &str = "text/event-stream";

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number. Numbers ascend, also from one life of the daemon to the next, and need not be without holes.
    pub id: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// Everything as it is now. Comes first, and again after a gap.
    Snapshot {
        /// Every instance.
        programs: Vec<Program>,
    },
    /// An instance changed its state.
    State {
        /// Which.
        name: String,
        /// From.
        from: State,
        /// To.
        to: State,
        /// Its run, current or last.
        run: Option<u64>,
        /// The main process of that run.
        pid: Option<u32>,
    },
    /// A run ended, or never began.
    Ended {
        /// Of which instance.
        name: String,
        /// Which run.
        run: u64,
        /// Its main process; `null` if it could not be spawned.
        pid: Option<u32>,
        /// How.
        exit: ExitInfo,
        /// For how long it had been up, in seconds.
        uptime: f64,
        /// Why, if musterd ended it; `null` if it ended by itself or somebody else ended it.
        cause: Option<String>,
    },
    /// The policy decided to start again.
    Retry {
        /// Which instance.
        name: String,
        /// After how many seconds.
        delay: f64,
        /// Which restart in a row this is, from 1.
        attempt: u32,
        /// How many there may be; `null` is without limit or not counted so.
        limit: Option<u32>,
        /// The rule behind it, in words.
        why: String,
    },
    /// The policy decided that an end is final.
    Final {
        /// Of which instance.
        name: String,
        /// Which run it was.
        run: u64,
        /// The rule behind it, in words.
        why: String,
    },
    /// A run became ready, or is no longer.
    Ready {
        /// Of which instance.
        name: String,
        /// Which run.
        run: u64,
        /// What it is now.
        ready: bool,
    },
    /// A run turned out to be well, or not.
    Health {
        /// Of which instance.
        name: String,
        /// Which run.
        run: u64,
        /// What it is now: `healthy` or `unhealthy`.
        health: String,
        /// Which probe found it.
        probe: String,
        /// What it found.
        detail: String,
    },
    /// A run has failed by musterd's own judgement, and is being stopped for it.
    Failing {
        /// Of which instance.
        name: String,
        /// Which run.
        run: u64,
        /// Why, in words.
        cause: String,
    },
    /// An instance waits for what will not come by itself.
    Waiting {
        /// Which instance.
        name: String,
        /// For what, in words.
        waiting_for: Vec<String>,
    },
    /// Another configuration is in force.
    Configured {
        /// New instances.
        added: Vec<String>,
        /// Those that stop and are forgotten.
        removed: Vec<String>,
        /// Those that stop and start anew.
        restarted: Vec<String>,
        /// Those whose rules changed and whose process did not.
        changed: Vec<String>,
        /// How many are as they were.
        unchanged: u64,
    },
    /// A run did not stop in time and got SIGKILL.
    Killed {
        /// Of which instance.
        name: String,
        /// Which run.
        run: u64,
        /// How many seconds it had.
        waited: f64,
        /// Whether that was less than it is configured to have.
        cut_short: bool,
    },
    /// Processes outlived the main process of their run, and got the stop signal or SIGKILL.
    LeftBehind {
        /// Of which instance.
        name: String,
        /// Which run.
        run: u64,
        /// Which processes.
        left: LeftBehind,
    },
    /// SIGKILL has been sent before and there are still processes: said after one, two, four seconds and so on.
    Stuck {
        /// Of which instance.
        name: String,
        /// Which run.
        run: u64,
        /// For how many seconds it has been stopping.
        stopping: f64,
    },
    /// Everything is being stopped, and the daemon with it.
    Shutdown {
        /// Why, in words.
        reason: String,
        /// How many seconds all of it may take.
        timeout: f64,
    },
    /// Asked to stop again: SIGKILL to everything.
    ShutdownHurried,
    /// The daemon exits. The last event.
    Exiting {
        /// Why, in words.
        reason: String,
        /// The container's exit code.
        code: u8,
    },
    /// Events are missing here: the client was too slow or away for too long, or programs caused too many. A snapshot
    /// follows.
    Gap {
        /// How many; `null` where the client's last one is of another life of the daemon.
        missed: Option<u64>,
    },
    /// A kind of a later version.
    #[serde(other)]
    Unknown,
}

impl Happening {
    /// The word on the wire.
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
            Happening::Waiting { .. } => "waiting",
            Happening::Configured { .. } => "configured",
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
    /// The event as a server-sent event: its number, its kind, and itself as JSON on a line.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("id: {}\nevent: {}\ndata: ", self.id, self.what.kind()).as_bytes());
        serde_json::to_writer(&mut *out, self).expect("strings and numbers always make JSON, and memory takes it");
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
