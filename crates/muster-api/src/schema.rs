//! The JSON schemas of all bodies and parameters, as the OpenAPI document carries them.
//!
//! Written by hand beside the structs, because a generator would cost more than the structs do; a test holds both
//! together by means of `example.rs`.

use serde_json::{Map, Value, json};

use crate::action::{Outcome, SignalScope};
use crate::daemon::Phase;
use crate::problem::ProblemKind;
use crate::process::ProcessState;
use crate::route::{MAX_WAIT, WaitFor};
use crate::state::{Goal, State};

/// Every schema with its name.
pub(crate) fn all() -> Vec<(&'static str, Value)> {
    let mut schemas = values();
    schemas.extend(daemon());
    schemas.extend(programs());
    schemas.extend(actions());
    schemas.extend(processes());
    schemas.push(("Problem", problem()));
    schemas
}

fn values() -> Vec<(&'static str, Value)> {
    vec![
        ("Goal", words([Goal::Up, Goal::Down].map(Goal::name))),
        ("State", words(State::ALL.map(State::name))),
        ("Phase", words(Phase::ALL.map(Phase::name))),
        ("Outcome", words(Outcome::ALL.map(Outcome::name))),
        ("SignalScope", words(SignalScope::ALL.map(SignalScope::name))),
        ("WaitFor", words(WaitFor::ALL.map(WaitFor::name))),
        ("ProcessState", words(ProcessState::LETTERS.map(|(_, state)| state.name()))),
        ("Seconds", json!({"type": "number", "minimum": 0, "maximum": MAX_WAIT.as_secs()})),
        ("Time", json!({"type": "string", "format": "date-time", "description": "RFC 3339, UTC, milliseconds"})),
        (
            "Selector",
            json!({
                "type": "string",
                "pattern": "^[A-Za-z0-9_.:*?-]+(,[A-Za-z0-9_.:*?-]+)*$",
                "description": "An instance, a program (all its instances), `web:*`, `group:*`, `all`, \
                                a glob with `*` and `?`, or several of these with commas",
                "examples": ["web", "web:0", "web:*", "db,cache", "all"],
            }),
        ),
        (
            "Name",
            json!({
                "type": "string",
                "pattern": "^[A-Za-z0-9_.:-]+$",
                "description": "An instance as `GET /v1/programs` names it",
            }),
        ),
        ("OpenApi", json!({"type": "object"})),
    ]
}

fn daemon() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Info",
            object(&[
                ("version", string()),
                ("pid", count()),
                ("is_pid1", boolean()),
                ("state", reference("Phase")),
                ("started_at", reference("Time")),
                ("uptime", number()),
                ("config_files", list(string())),
                ("goals", object(&[("up", count()), ("down", count())])),
            ]),
        ),
        ("Alive", object(&[("alive", boolean())])),
        ("Ready", object(&[("ready", boolean()), ("missing", list(reference("Missing")))])),
        ("Missing", object(&[("name", string()), ("state", reference("State")), ("reason", string())])),
    ]
}

fn programs() -> Vec<(&'static str, Value)> {
    let program = object(&[
        ("name", string()),
        ("program", string()),
        ("group", string()),
        ("goal", reference("Goal")),
        ("state", reference("State")),
        ("code", json!({"type": "integer", "enum": State::ALL.map(State::code)})),
        ("ready", or_null(boolean())),
        ("health", or_null(string())),
        ("pid", or_null(count())),
        ("run", or_null(count())),
        ("started_at", or_null(reference("Time"))),
        ("uptime", or_null(number())),
        ("failures", count()),
        ("startretries", or_null(count())),
        ("next_start_at", or_null(reference("Time"))),
        ("exit", or_null(reference("ExitInfo"))),
        ("waiting_for", list(string())),
        ("autostart", boolean()),
        ("priority", json!({"type": "integer"})),
        ("description", string()),
    ]);
    let exit = object(&[
        ("code", or_null(count())),
        ("signal", or_null(string())),
        ("success", boolean()),
        ("reason", string()),
    ]);
    let run = object(&[
        ("run", count()),
        ("pid", or_null(count())),
        ("started_at", reference("Time")),
        ("ended_at", or_null(reference("Time"))),
        ("uptime", number()),
        ("exit", or_null(reference("ExitInfo"))),
    ]);
    let more = object(&[("configuration", json!({"type": "object"})), ("runs", list(reference("Run")))]);
    vec![
        ("Program", program),
        ("Programs", list(reference("Program"))),
        ("ProgramDetail", json!({"allOf": [reference("Program"), more]})),
        ("ExitInfo", exit),
        ("Run", run),
    ]
}

fn actions() -> Vec<(&'static str, Value)> {
    let result = object(&[
        ("name", string()),
        ("outcome", reference("Outcome")),
        ("state", reference("State")),
        ("pid", or_null(count())),
        ("error", or_null(string())),
    ]);
    let signal = request(&[("signal", string()), ("scope", reference("SignalScope"))], &["signal"]);
    vec![
        ("ActionReport", object(&[("results", list(reference("ActionResult")))])),
        ("ActionResult", result),
        ("SignalBody", signal),
        ("ShutdownBody", request(&[("timeout", or_null(reference("Seconds")))], &[])),
    ]
}

fn processes() -> Vec<(&'static str, Value)> {
    let tree = object(&[
        ("name", string()),
        ("state", reference("State")),
        ("run", or_null(count())),
        ("processes", list(reference("ProcessInfo"))),
    ]);
    let process = object(&[
        ("pid", count()),
        ("ppid", count()),
        ("command", string()),
        ("state", reference("ProcessState")),
        ("memory", count()),
        ("cpu", number()),
    ]);
    let trees = [("programs", list(reference("InstanceProcesses"))), ("strays", list(reference("ProcessInfo")))];
    vec![("Processes", object(&trees)), ("InstanceProcesses", tree), ("ProcessInfo", process)]
}

/// The fields of RFC 9457 that are always there, and ours that are there when they say something.
fn problem() -> Value {
    let kinds: Vec<&str> = ProblemKind::ALL.iter().map(|kind| kind.uri()).collect();
    let mut schema = object(&[
        ("type", words(kinds)),
        ("title", string()),
        ("status", count()),
        ("detail", string()),
        ("hint", string()),
        ("names", list(string())),
        ("results", list(reference("ActionResult"))),
    ]);
    schema["required"] = json!(["type", "title", "status", "detail"]);
    schema
}

/// An answer's object: every property is always there. Later versions may add more.
fn object(properties: &[(&str, Value)]) -> Value {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    json!({"type": "object", "properties": to_map(properties), "required": required})
}

/// A request's object: nothing but these properties.
fn request(properties: &[(&str, Value)], required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": to_map(properties),
        "required": required,
        "additionalProperties": false,
    })
}

fn to_map(properties: &[(&str, Value)]) -> Map<String, Value> {
    properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect()
}

/// A reference to the schema with this name.
pub(crate) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn or_null(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Value {
    json!({"type": "string", "enum": words.into_iter().collect::<Vec<_>>()})
}

fn string() -> Value {
    json!({"type": "string"})
}

fn boolean() -> Value {
    json!({"type": "boolean"})
}

fn number() -> Value {
    json!({"type": "number", "minimum": 0})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::example;

    fn named(name: &str) -> Value {
        let found = all().into_iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("no schema is called {name}")).1
    }

    /// Every difference between a value and its schema, as far as our schemas go; for objects also unlisted properties.
    fn differences(at: &str, schema: &Value, value: &Value) -> Vec<String> {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.strip_prefix("#/components/schemas/").expect("references are local");
            return differences(at, &named(name), value);
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            let fits = choices.iter().any(|choice| differences(at, choice, value).is_empty());
            return if fits { vec![] } else { vec![format!("{at}: {value} is none of {schema}")] };
        }
        if let Some(parts) = schema["allOf"].as_array() {
            return differences(at, &merged(parts), value);
        }
        let mut found = Vec::new();
        if !has_type(schema["type"].as_str().unwrap_or_default(), value) {
            found.push(format!("{at}: {value} is not of type {}", schema["type"]));
        }
        if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
            found.push(format!("{at}: {value} is not one of {}", schema["enum"]));
        }
        for (place, item) in value.as_array().into_iter().flatten().enumerate() {
            found.extend(differences(&format!("{at}[{place}]"), &schema["items"], item));
        }
        if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
            let keys = |map: &Map<String, Value>| map.keys().cloned().collect::<BTreeSet<String>>();
            for key in keys(properties).symmetric_difference(&keys(fields)) {
                found.push(format!("{at}.{key} is only in the schema or only in the struct"));
            }
            for (key, field) in fields {
                let of_key = properties.get(key).map(|schema| differences(&format!("{at}.{key}"), schema, field));
                found.extend(of_key.into_iter().flatten());
            }
        }
        found
    }

    fn merged(parts: &[Value]) -> Value {
        let mut properties = Map::new();
        for part in parts {
            let part = match part["$ref"].as_str() {
                Some(name) => named(name.rsplit('/').next().unwrap_or_default()),
                None => part.clone(),
            };
            properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
        }
        json!({"type": "object", "properties": properties})
    }

    fn has_type(name: &str, value: &Value) -> bool {
        match name {
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "null" => value.is_null(),
            _ => false,
        }
    }

    #[test]
    fn structs_and_schemas_have_the_same_fields() {
        let mut compared = 0;
        for (name, schema) in all() {
            let Some(example) = example::of(name) else { continue };
            assert_eq!(differences(name, &schema, &example), Vec::<String>::new());
            compared += 1;
        }
        assert_eq!(compared, 17);
    }

    #[test]
    fn every_object_has_an_example_to_compare_it_with() {
        for (name, schema) in all() {
            if schema["properties"].is_object() {
                assert!(example::of(name).is_some(), "{name} has no example");
            }
        }
    }

    /// The comparison above is worth nothing if it cannot see a difference.
    #[test]
    fn the_comparison_sees_differences() {
        let schema = named("Missing");
        for value in [
            json!({"name": "web", "state": "BACKOFF"}),
            json!({"name": "web", "state": "BACKOFF", "reason": "x", "more": 1}),
            json!({"name": "web", "state": "FLYING", "reason": "x"}),
            json!({"name": 7, "state": "BACKOFF", "reason": "x"}),
            json!([]),
        ] {
            assert!(!differences("Missing", &schema, &value).is_empty(), "{value}");
        }
    }
}
