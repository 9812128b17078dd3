//! The schemas of bodies that the page needs: sessions, resources, runs over time, simulations.

use serde_json::{Value, json};

use super::{boolean, count, list, number, object, or_null, reference, request, string, words};
use crate::simulation::{LONGEST_SCRIPT, LONGEST_SIMULATION, MOST_SCRIPTS};
use crate::why::EndedBy;

/// All of them by name.
pub(super) fn all() -> Vec<(&'static str, Value)> {
    let login =
        request(&[("token", or_null(string())), ("username", or_null(string())), ("password", or_null(string()))], &[]);
    let session = object(&[
        ("by", string()),
        ("role", or_null(words(["health", "metrics", "read", "control", "admin"]))),
        ("is_session", boolean()),
        ("may_log_in", boolean()),
        ("is_encrypted", boolean()),
        ("expires_at", or_null(reference("Time"))),
    ]);
    let of_instance = object(&[
        ("name", string()),
        ("run", or_null(count())),
        ("processes", count()),
        ("memory", count()),
        ("cpu_seconds", number()),
        ("restarts", count()),
    ]);
    let runs = object(&[
        ("name", string()),
        ("program", string()),
        ("state", reference("State")),
        ("runs", list(reference("RunSpan"))),
    ]);
    let span = object(&[
        ("run", count()),
        ("started_at", reference("Time")),
        ("ended_at", or_null(reference("Time"))),
        ("exit", or_null(reference("ExitInfo"))),
        ("ended_by", or_null(words(EndedBy::ALL.map(EndedBy::name)))),
        ("verdict", or_null(string())),
    ]);
    let mut all = vec![
        ("SessionBody", login),
        ("Session", session),
        ("Stats", object(&[("at", reference("Time")), ("programs", list(reference("InstanceStats")))])),
        ("InstanceStats", of_instance),
        ("Runs", list(reference("InstanceRuns"))),
        ("InstanceRuns", runs),
        ("RunSpan", span),
    ];
    all.extend(simulations());
    all
}

fn simulations() -> Vec<(&'static str, Value)> {
    let script = json!({"type": "string", "maxLength": LONGEST_SCRIPT});
    let scripts = json!({"type": "object", "maxProperties": MOST_SCRIPTS, "additionalProperties": script});
    let until = json!({"type": "number", "minimum": 0, "maximum": LONGEST_SIMULATION});
    let simulation = object(&[
        ("at", reference("Time")),
        ("timeline", list(reference("SimulatedMoment"))),
        ("programs", list(reference("SimulatedProgram"))),
        ("ended_at", number()),
        ("exit_code", or_null(count())),
        ("reason", or_null(string())),
        ("because_of", or_null(string())),
    ]);
    let moment = object(&[
        ("at", number()),
        ("program", or_null(string())),
        ("state", string()),
        ("happened", string()),
        ("decided", string()),
        ("from", or_null(string())),
        ("run", or_null(count())),
        ("end", or_null(string())),
        ("delay", or_null(number())),
    ]);
    let program = object(&[
        ("name", string()),
        ("state", string()),
        ("runs", count()),
        ("restarts", count()),
        ("essential", boolean()),
        ("last_end", or_null(string())),
        ("decided", or_null(string())),
    ]);
    vec![
        ("SimulateBody", request(&[("runs", scripts), ("until", or_null(until))], &[])),
        ("Simulation", simulation),
        ("SimulatedMoment", moment),
        ("SimulatedProgram", program),
    ]
}
