//! The schemas of the events, one per kind. A test in `schema.rs` compares them with the enum.

use serde_json::{Value, json};

use super::{boolean, count, list, number, object, or_null, reference, string, words};

/// The hooks of a program.
pub(super) const HOOKS: [&str; 4] = ["pre_start", "post_start", "pre_stop", "post_stop"];

/// One object per kind, identified by `kind`.
pub(super) fn event() -> Value {
    let kinds = [
        kind("snapshot", &[("programs", list(reference("Program")))]),
        kind(
            "state",
            &[
                ("name", string()),
                ("from", reference("State")),
                ("to", reference("State")),
                ("run", or_null(count())),
                ("pid", or_null(count())),
            ],
        ),
        kind(
            "ended",
            &[
                ("name", string()),
                ("run", count()),
                ("pid", or_null(count())),
                ("exit", reference("ExitInfo")),
                ("uptime", number()),
                ("cause", or_null(string())),
            ],
        ),
        kind(
            "retry",
            &[
                ("name", string()),
                ("delay", number()),
                ("attempt", count()),
                ("limit", or_null(count())),
                ("why", string()),
            ],
        ),
        kind("final", &[("name", string()), ("run", count()), ("why", string())]),
        kind("ready", &[("name", string()), ("run", count()), ("ready", boolean())]),
        kind(
            "health",
            &[
                ("name", string()),
                ("run", count()),
                ("health", words(["healthy", "unhealthy"])),
                ("probe", string()),
                ("detail", string()),
            ],
        ),
        kind("failing", &[("name", string()), ("run", count()), ("cause", string())]),
        kind(
            "hook",
            &[
                ("name", string()),
                ("run", count()),
                ("hook", words(HOOKS)),
                ("exit", reference("ExitInfo")),
                ("took", number()),
            ],
        ),
        kind(
            "rolling",
            &[
                ("name", string()),
                ("step", count()),
                ("of", count()),
                ("outcome", words(["began", "done", "failed", "cancelled"])),
                ("error", or_null(string())),
            ],
        ),
        kind("waiting", &[("name", string()), ("waiting_for", list(string()))]),
        kind(
            "skipped",
            &[("name", string()), ("reason", words(["running", "queued", "waiting", "missed"])), ("times", count())],
        ),
        kind(
            "configured",
            &[
                ("added", list(string())),
                ("removed", list(string())),
                ("restarted", list(string())),
                ("changed", list(string())),
                ("unchanged", count()),
            ],
        ),
        kind(
            "source",
            &[
                ("name", string()),
                ("state", reference("SourceState")),
                ("revision", or_null(string())),
                ("reason", or_null(string())),
            ],
        ),
        kind("listener", &[("reason", or_null(string()))]),
        kind("killed", &[("name", string()), ("run", count()), ("waited", number()), ("cut_short", boolean())]),
        kind("left_behind", &[("name", string()), ("run", count()), ("left", reference("LeftBehind"))]),
        kind("stuck", &[("name", string()), ("run", count()), ("stopping", number())]),
        kind("shutdown", &[("reason", string()), ("timeout", or_null(number()))]),
        kind("shutdown_hurried", &[]),
        kind("exiting", &[("reason", string()), ("code", count())]),
        kind("gap", &[("missed", or_null(count()))]),
    ];
    json!({"anyOf": kinds})
}

fn kind(name: &str, properties: &[(&str, Value)]) -> Value {
    let common = [("id", count()), ("at", reference("Time")), ("kind", words([name]))];
    object(&common.into_iter().chain(properties.iter().cloned()).collect::<Vec<_>>())
}
