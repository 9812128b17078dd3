//! The schemas of the configuration: the active one, its mistakes, its reload.

use serde_json::{Value, json};

use super::{boolean, count, list, number, object, or_null, reference, string, words};

/// All of them by name.
pub(super) fn all() -> Vec<(&'static str, Value)> {
    let keys = || json!({"type": "object"});
    let config = object(&[
        ("files", list(string())),
        ("musterd", keys()),
        ("http", keys()),
        ("notify", keys()),
        ("programs", keys()),
    ]);
    let report = object(&[
        ("files", list(string())),
        ("errors", count()),
        ("warnings", count()),
        ("diagnostics", list(reference("Diagnostic"))),
    ]);
    let diagnostic = object(&[
        ("severity", words(["error", "warning", "note"])),
        ("file", string()),
        ("line", count()),
        ("column", count()),
        ("message", string()),
        ("hint", or_null(string())),
        ("program", or_null(string())),
        ("text", string()),
    ]);
    let reload = object(&[
        ("dry_run", boolean()),
        ("files", list(string())),
        ("added", list(string())),
        ("removed", list(string())),
        ("restarted", list(string())),
        ("changed", list(string())),
        ("unchanged", count()),
        ("needs_restart", list(string())),
        ("notifiers", list(string())),
        ("keys", list(reference("ChangedKey"))),
        ("diagnostics", list(reference("Diagnostic"))),
    ]);
    let key = object(&[("name", string()), ("key", string()), ("before", json!({})), ("after", json!({}))]);
    let source = object(&[
        ("name", string()),
        ("url", string()),
        ("state", reference("SourceState")),
        ("revision", or_null(string())),
        ("texts", list(string())),
        ("active_for", or_null(number())),
        ("refused_for", or_null(number())),
        ("reason", or_null(string())),
        ("is_pending", boolean()),
        ("is_held", boolean()),
        ("is_up", boolean()),
        ("last_contact", or_null(number())),
    ]);
    let sources = list(reference("Source"));
    vec![
        ("Source", source),
        ("Sources", sources),
        ("Config", config),
        ("ConfigReport", report),
        ("Diagnostic", diagnostic),
        ("ReloadReport", reload),
        ("ChangedKey", key),
    ]
}
