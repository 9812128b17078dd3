//! The JSON schemas of all bodies and parameters, as used in the OpenAPI document.
//!
//! Written by hand beside the structs, because a generator would be larger than the structs; a test compares both using
//! `example.rs`.

mod config;
mod events;
mod page;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use crate::action::{Outcome, SignalScope};
use crate::daemon::Phase;
use crate::debug::DebugPart;
use crate::log::{EntryKind, LogFormat, LogStream};
use crate::problem::ProblemKind;
use crate::process::ProcessState;
use crate::program_field::ProgramField;
use crate::route::{MAX_WAIT, WaitFor};
use crate::source::SourceState;
use crate::state::{Goal, State};
use crate::why::EndedBy;

/// All schemas by name.
pub(crate) fn all() -> Vec<(&'static str, Value)> {
    let mut schemas = values();
    schemas.extend(daemon());
    schemas.extend(programs());
    schemas.extend(actions());
    schemas.extend(processes());
    schemas.extend(logs());
    schemas.extend(stories());
    schemas.push(("Event", events::event()));
    schemas.extend(config::all());
    schemas.extend(page::all());
    schemas.push(("Problem", problem()));
    schemas
}

fn values() -> Vec<(&'static str, Value)> {
    let fields = ProgramField::ALL.iter().map(|field| field.name()).collect::<Vec<_>>().join("|");
    vec![
        ("Goal", words([Goal::Up, Goal::Down].map(Goal::name))),
        ("State", words(State::ALL.map(State::name))),
        ("SourceState", words(SourceState::ALL.map(SourceState::name))),
        ("Phase", words(Phase::ALL.map(Phase::name))),
        ("Outcome", words(Outcome::ALL.map(Outcome::name))),
        ("SignalScope", words(SignalScope::ALL.map(SignalScope::name))),
        ("WaitFor", words(WaitFor::ALL.map(WaitFor::name))),
        ("ProcessState", words(ProcessState::LETTERS.map(|(_, state)| state.name()))),
        ("Seconds", json!({"type": "number", "minimum": 0, "maximum": MAX_WAIT.as_secs()})),
        ("Time", json!({"type": "string", "format": "date-time", "description": "RFC 3339, UTC, milliseconds"})),
        (
            "FieldNames",
            json!({
                "type": "string",
                "pattern": format!("^({fields})(,({fields}))*$"),
                "description": "Names of fields of Program, separated by commas",
                "examples": ["name,state,pid", "name"],
            }),
        ),
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
        ("LogStream", words(LogStream::ALL.map(LogStream::name))),
        ("LogFormat", words(LogFormat::ALL.map(LogFormat::name))),
        ("Count", count()),
        ("Positive", json!({"type": "integer", "minimum": 1, "maximum": u32::MAX})),
        ("Flag", json!({"type": "string", "enum": ["true", "false", "1", "0", ""]})),
        (
            "Since",
            json!({
                "type": "string",
                "description": "A time as RFC 3339 has it, or how long ago: `90` (seconds), `5m`, `1h30m`, `250ms`, `2d`",
                "examples": ["5m", "2026-11-23T00:34:05Z"],
            }),
        ),
        ("OpenApi", json!({"type": "object"})),
        ("Debugging", json!({"type": "object", "description": "for people; its fields may change"})),
        ("DebugPart", words(DebugPart::ALL.map(DebugPart::name))),
        ("Text", string()),
        ("Metrics", json!({"type": "string", "description": "the text format of Prometheus, version 0.0.4"})),
    ]
}

fn daemon() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Info",
            object(&[
                ("version", string()),
                ("api", string()),
                ("pid", count()),
                ("is_pid1", boolean()),
                ("state", reference("Phase")),
                ("started_at", reference("Time")),
                ("uptime", number()),
                ("config_files", list(string())),
                ("listeners", list(reference("Listener"))),
                ("goals", object(&[("up", count()), ("down", count())])),
            ]),
        ),
        (
            "Listener",
            object(&[
                ("address", string()),
                ("is_listening", boolean()),
                ("error", or_null(string())),
                ("not_after", or_null(reference("Time"))),
            ]),
        ),
        ("Alive", object(&[("alive", boolean())])),
        (
            "Ready",
            object(&[("ready", boolean()), ("missing", list(reference("Missing"))), ("sources", list(string()))]),
        ),
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
        ("health", or_null(json!({"type": "string", "enum": ["healthy", "unhealthy", "unknown"]}))),
        ("status", or_null(string())),
        ("pid", or_null(count())),
        ("run", or_null(count())),
        ("started_at", or_null(reference("Time"))),
        ("uptime", or_null(number())),
        ("failures", count()),
        ("startretries", or_null(count())),
        ("next_start_at", or_null(reference("Time"))),
        ("exit", or_null(reference("ExitInfo"))),
        ("waiting_for", list(string())),
        ("waits_in_vain", boolean()),
        ("awaits_client", boolean()),
        ("autostart", boolean()),
        ("priority", json!({"type": "integer"})),
        ("description", string()),
        ("phase", or_null(words(events::HOOKS))),
        ("rolling", or_null(reference("RollingProgress"))),
        ("old_process", boolean()),
        ("next_due", or_null(reference("Time"))),
        ("stopped_by", or_null(string())),
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
        ("ended_by", or_null(words(EndedBy::ALL.map(EndedBy::name)))),
        ("cause", or_null(string())),
        ("core_dumped", boolean()),
        ("out_of_memory", or_null(boolean())),
        ("spawn_error", or_null(reference("SpawnFailure"))),
        ("verdict", or_null(string())),
        ("left_behind", or_null(reference("LeftBehind"))),
        ("last_lines", list(reference("OutputLine"))),
        ("hooks", list(reference("HookFailure"))),
    ]);
    let hook =
        object(&[("hook", words(events::HOOKS)), ("reason", string()), ("last_lines", list(reference("OutputLine")))]);
    let more = object(&[("configuration", json!({"type": "object"})), ("runs", list(reference("Run")))]);
    let job = object(&[
        ("name", string()),
        ("armed", boolean()),
        ("cron", list(string())),
        ("overlap", words(["skip", "queue", "replace"])),
        ("jitter", number()),
        ("times", list(reference("ScheduledTime"))),
    ]);
    // With `fields`.
    let part = json!({"type": "object", "properties": program["properties"], "additionalProperties": false});
    vec![
        ("Schedule", list(reference("ScheduledProgram"))),
        ("ScheduledProgram", job),
        ("ScheduledTime", object(&[("at", reference("Time")), ("local", string())])),
        ("Program", program),
        ("Programs", json!({"anyOf": [list(reference("Program")), list(part)]})),
        ("ProgramDetail", json!({"allOf": [reference("Program"), more]})),
        ("RollingProgress", object(&[("step", count()), ("of", count()), ("queued", boolean())])),
        ("ExitInfo", exit),
        ("Run", run),
        ("HookFailure", hook),
    ]
}

fn actions() -> Vec<(&'static str, Value)> {
    let result = object(&[
        ("name", string()),
        ("outcome", reference("Outcome")),
        ("state", reference("State")),
        ("pid", or_null(count())),
        ("error", or_null(string())),
        ("note", or_null(string())),
    ]);
    let signal = request(&[("signal", string()), ("scope", reference("SignalScope"))], &["signal"]);
    let scale = object(&[
        ("name", string()),
        ("numprocs", count()),
        ("configured", count()),
        ("added", list(string())),
        ("removed", list(string())),
    ]);
    let mut exec = request(
        &[
            ("command", list(string())),
            ("terminal", or_null(reference("TerminalSize"))),
            ("stdin", boolean()),
            ("user", or_null(string())),
            ("environment", json!({"type": "object", "additionalProperties": {"type": "string"}})),
        ],
        &["command"],
    );
    exec["properties"]["command"]["minItems"] = json!(1);
    vec![
        ("ExecBody", exec),
        ("TerminalSize", request(&[("rows", count()), ("columns", count())], &["rows", "columns"])),
        ("ActionReport", object(&[("results", list(reference("ActionResult")))])),
        ("ActionResult", result),
        ("ScaleBody", request(&[("numprocs", count())], &["numprocs"])),
        ("ScaleReport", scale),
        ("SignalBody", signal),
        ("ShutdownBody", request(&[("timeout", or_null(reference("Seconds"))), ("unlimited", boolean())], &[])),
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
    let trees = [
        ("programs", list(reference("InstanceProcesses"))),
        ("execs", list(reference("ExecProcesses"))),
        ("strays", list(reference("ProcessInfo"))),
        ("omitted", count()),
    ];
    let exec = object(&[
        ("name", string()),
        ("by", string()),
        ("command", string()),
        ("processes", list(reference("ProcessInfo"))),
    ]);
    vec![("Processes", object(&trees)), ("InstanceProcesses", tree), ("ExecProcesses", exec), ("ProcessInfo", process)]
}

fn stories() -> Vec<(&'static str, Value)> {
    let why = object(&[
        ("name", string()),
        ("state", reference("State")),
        ("goal", reference("Goal")),
        ("summary", string()),
        ("story", list(string())),
        ("next", string()),
        ("next_start_at", or_null(reference("Time"))),
        ("waiting_for", list(string())),
        ("run", or_null(reference("Run"))),
        ("earlier", list(reference("Run"))),
    ]);
    let failure = object(&[("step", string()), ("errno", count()), ("message", string())]);
    let line = object(&[
        ("time", reference("Time")),
        ("stream", words(["stdout", "stderr"])),
        ("text", string()),
        ("is_cut", boolean()),
    ]);
    let left = object(&[
        ("killed", boolean()),
        ("count", count()),
        ("processes", list(reference("LeftProcess"))),
        ("words", string()),
    ]);
    let process = object(&[("name", string()), ("pid", count())]);
    vec![("Why", why), ("SpawnFailure", failure), ("OutputLine", line), ("LeftBehind", left), ("LeftProcess", process)]
}

fn logs() -> Vec<(&'static str, Value)> {
    let entry = object(&[
        ("kind", words(EntryKind::ALL.map(EntryKind::name))),
        ("time", or_null(reference("Time"))),
        ("program", string()),
        ("stream", or_null(words(["stdout", "stderr"]))),
        ("run", or_null(count())),
        ("hook", or_null(words(events::HOOKS))),
        ("line", or_null(string())),
        ("bytes", or_null(json!({"type": "string", "contentEncoding": "base64"}))),
        ("ended", boolean()),
        ("missed", or_null(count())),
    ]);
    vec![("LogEntry", entry), ("StdinReport", object(&[("written", count())]))]
}

/// The mandatory fields of RFC 9457, and the optional fields of musterd.
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
        ("diagnostics", list(reference("Diagnostic"))),
        ("written", count()),
        ("supported", list(string())),
        ("api", string()),
    ]);
    schema["required"] = json!(["type", "title", "status", "detail"]);
    schema
}

/// An object in an answer: all properties are always present. Later versions may add more.
fn object(properties: &[(&str, Value)]) -> Value {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    json!({"type": "object", "properties": to_map(properties), "required": required})
}

/// An object in a request: no properties besides these.
fn request(properties: &[(&str, Value)], required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": to_map(properties),
        "required": required,
        "additionalProperties": false,
    })
}

fn to_map(properties: &[(&str, Value)]) -> Map<String, Value> {
    let mut map = Map::new();
    map.extend(properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())));
    map
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
