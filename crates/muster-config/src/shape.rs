//! The JSON Schema of each key's value.
//!
//! For most keys the type in the registry ("duration", "list of paths") is enough; [`of`] translates it. A key that takes
//! one of several words or a number within bounds names its [`Shape`] in the registry as well. Any value may be given as a
//! template, so every shape accepts template text: the schema never rejects what a load accepts.

use muster_spec::{
    Exceeded, ExitAction, OnFailure, Overlap, RestartWhen, RollingWait, Securebits, Signal, TerminalSpec,
};
use serde_json::{Value, json};

use crate::keys::{Key, Table};

/// A more precise schema than the key's type gives.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// One of these.
    Words(&'static [&'static str]),
    /// A whole number between these two.
    Whole(i64, i64),
    /// A number between these two.
    Number(f64, f64),
    /// A schema built by a function.
    Special(fn() -> Value),
}

/// The schema of a key's value, without description; `None` if the key's type is unknown.
pub(crate) fn of(key: &Key) -> Option<Value> {
    match key.shape {
        Some(Shape::Words(words)) => Some(or_interpolated(json!({ "enum": words }))),
        Some(Shape::Whole(low, high)) => Some(or_interpolated(whole(low, high))),
        Some(Shape::Number(low, high)) => {
            Some(or_interpolated(json!({ "type": "number", "minimum": low, "maximum": high })))
        }
        Some(Shape::Special(special)) => Some(special()),
        None => of_word(key.value),
    }
}

fn of_word(word: &str) -> Option<Value> {
    Some(match word {
        "boolean" => or_interpolated(json!({ "type": "boolean" })),
        "text" | "path" | "name" | "address" | "host:port" => json!({ "type": "string" }),
        "duration" => reference("duration"),
        "size" => reference("size"),
        "octal text" => reference("octal"),
        "user" => reference("user"),
        "signal" => reference("signal"),
        "signal or list" | "list of signals" => one_or_several(&reference("signal")),
        "list of users" | "list of groups" => one_or_several(&reference("user")),
        "text or list" | "list of paths" | "list of names" | "word, path or list" => {
            one_or_several(&json!({ "type": "string" }))
        }
        "table of text" => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        _ => return None,
    })
}

/// `numprocs`.
pub(crate) fn numprocs() -> Value {
    json!({ "anyOf": [or_interpolated(whole(1, 1000)), { "const": "cpus" }] })
}

/// `ionice`.
pub(crate) fn ionice() -> Value {
    or_interpolated(json!({ "type": "string", "pattern": "^(|idle|(best-effort|realtime)(:[0-7])?)$" }))
}

/// `sched`.
pub(crate) fn sched() -> Value {
    or_interpolated(json!({ "type": "string", "pattern": "^(|other|batch|idle|(fifo|rr):[1-9][0-9]?)$" }))
}

/// `cpus`.
pub(crate) fn cpus() -> Value {
    or_interpolated(json!({ "type": "string", "pattern": "^(|[0-9]+(-[0-9]+)?(, *[0-9]+(-[0-9]+)?)*)$" }))
}

/// One of the words of `securebits`, or several.
pub(crate) fn securebits() -> Value {
    one_or_several(&json!({ "enum": Securebits::WORDS }))
}

/// A definition of the schema.
pub(crate) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// The name of a table's definition.
pub(crate) fn table_name(table: Table) -> String {
    table.header().trim_matches(['[', ']']).replace(".NAME", "").replace(".RESOURCE", "").replace('.', "_")
}

/// This schema, or template text.
pub(crate) fn or_interpolated(shape: Value) -> Value {
    json!({ "anyOf": [shape, reference("interpolated")] })
}

/// This schema, or a list of it.
pub(crate) fn one_or_several(shape: &Value) -> Value {
    json!({ "anyOf": [shape, { "type": "array", "items": shape }] })
}

/// A whole number; bounds equal to those of its type are left out.
pub(crate) fn whole(low: i64, high: i64) -> Value {
    let mut shape = json!({ "type": "integer" });
    if low != i64::MIN {
        shape["minimum"] = low.into();
    }
    if high != i64::MAX {
        shape["maximum"] = high.into();
    }
    shape
}

/// `restart`: a policy, or Docker's spelling with a number.
pub(crate) fn restart() -> Value {
    json!({ "anyOf": [
        { "enum": RestartWhen::WORDS },
        { "type": "string", "pattern": "^(on-failure|always):[0-9]+$" },
        reference("interpolated"),
    ]})
}

/// `startretries`: a number, or `unlimited`.
pub(crate) fn startretries() -> Value {
    json!({ "anyOf": [whole(0, i64::from(u32::MAX)), { "const": "unlimited" }, reference("interpolated")] })
}

/// `shutdown_timeout`: a duration, or `unlimited`.
pub(crate) fn shutdown_timeout() -> Value {
    json!({ "anyOf": [reference("duration"), { "const": "unlimited" }] })
}

/// `restart_limit`: a number of starts within a time.
pub(crate) fn restart_limit() -> Value {
    json!({
        "type": "object",
        "properties": {
            "starts": or_interpolated(whole(1, i64::from(u32::MAX))),
            "within": reference("duration"),
            "then": or_interpolated(json!({ "enum": Exceeded::WORDS })),
        },
        "required": ["starts", "within"],
        "additionalProperties": false,
    })
}

/// `essential`: a flag, or only after a failure.
pub(crate) fn essential() -> Value {
    json!({ "anyOf": [{ "type": "boolean" }, { "const": "on-failure" }, reference("interpolated")] })
}

/// `jitter` of `backoff`: a part of the delay, a span, or a way to choose the whole delay.
pub(crate) fn jitter() -> Value {
    json!({ "anyOf": [
        { "type": "number", "minimum": 0.0, "maximum": 1.0 },
        { "enum": ["full", "equal", "decorrelated"] },
        {
            "type": "object",
            "properties": { "up_to": reference("duration") },
            "required": ["up_to"],
            "additionalProperties": false,
        },
        reference("interpolated"),
    ]})
}

/// `exitcodes`.
pub(crate) fn exitcodes() -> Value {
    one_or_several(&or_interpolated(whole(0, 255)))
}

/// `on_exit`: an action for each kind of end.
pub(crate) fn on_exit() -> Value {
    json!({ "type": "object", "additionalProperties": or_interpolated(json!({ "enum": ExitAction::WORDS })) })
}

/// `reloadsignal`: empty for none.
pub(crate) fn reloadsignal() -> Value {
    json!({ "anyOf": [reference("signal"), { "const": "" }] })
}

/// A umask that may be left to the daemon.
pub(crate) fn optional_octal() -> Value {
    json!({ "anyOf": [reference("octal"), { "const": "" }] })
}

/// A user that may be left as it is.
pub(crate) fn optional_user() -> Value {
    json!({ "anyOf": [reference("user"), { "const": "" }] })
}

/// A limit of rlimits.
pub(crate) fn limit() -> Value {
    json!({ "anyOf": [reference("size"), { "enum": ["unlimited", "infinity"] }] })
}

/// `stdin`: a word, or a path behind one.
pub(crate) fn stdin() -> Value {
    json!({ "anyOf": [
        { "enum": ["none", "pipe", "events", "supervisor-events"] },
        { "type": "string", "pattern": "^(fifo|file):." },
        reference("interpolated"),
    ]})
}

/// `rlimits`: each resource by its name.
pub(crate) fn rlimits() -> Value {
    let both = reference(&table_name(Table::Rlimit));
    let mut resources = serde_json::Map::new();
    for resource in muster_spec::Resource::ALL {
        let name = resource.name().to_owned();
        resources.insert(name, json!({ "anyOf": [reference("size"), { "enum": ["unlimited", "infinity"] }, both] }));
    }
    json!({ "type": "object", "properties": resources, "additionalProperties": false })
}

/// `memory_max`: a size, or a table with one.
pub(crate) fn memory_max() -> Value {
    let table = json!({
        "type": "object",
        "properties": {
            "max": reference("size"),
            "for": reference("duration"),
            "period": reference("duration"),
            "action": or_interpolated(json!({ "enum": OnFailure::WORDS })),
            "count": or_interpolated(json!({ "enum": ["pss", "rss"] })),
        },
        "required": ["max"],
        "additionalProperties": false,
    });
    json!({ "anyOf": [reference("size"), table] })
}

/// `tty`: a boolean, or a table.
pub(crate) fn tty() -> Value {
    let length = or_interpolated(whole(1, TerminalSpec::MOST.into()));
    let table = json!({
        "type": "object",
        "properties": { "rows": length, "cols": length, "term": { "type": "string" } },
        "additionalProperties": false,
    });
    json!({ "anyOf": [or_interpolated(json!({ "type": "boolean" })), table] })
}

/// `rolling`: a number of instances, or a table.
pub(crate) fn rolling() -> Value {
    let table = json!({
        "type": "object",
        "properties": {
            "parallel": or_interpolated(whole(1, 1000)),
            "pause": reference("duration"),
            "wait": or_interpolated(json!({ "enum": RollingWait::WORDS })),
        },
        "additionalProperties": false,
    });
    json!({ "anyOf": [or_interpolated(whole(0, 1000)), table] })
}

/// `recycle_after`: a duration, or a table.
pub(crate) fn recycle_after() -> Value {
    let table = json!({
        "type": "object",
        "properties": { "after": reference("duration"), "jitter": reference("duration") },
        "required": ["after"],
        "additionalProperties": false,
    });
    json!({ "anyOf": [reference("duration"), table] })
}

/// `watch`: paths, or a table with them.
pub(crate) fn watch() -> Value {
    let texts = one_or_several(&json!({ "type": "string" }));
    let table = json!({
        "type": "object",
        "properties": {
            "paths": texts,
            "exclude": texts,
            "debounce": reference("duration"),
            "action": { "anyOf": [{ "type": "string" }, whole(1, 64)] },
            "at_most": { "type": "string" },
            "poll": reference("duration"),
        },
        "required": ["paths"],
        "additionalProperties": false,
    });
    json!({ "anyOf": [texts, table] })
}

/// `start_delay`: a duration, or a table.
pub(crate) fn start_delay() -> Value {
    let table = json!({
        "type": "object",
        "properties": { "delay": reference("duration"), "stagger": reference("duration") },
        "additionalProperties": false,
    });
    json!({ "anyOf": [reference("duration"), table] })
}

/// `schedule`: a text, several, or a table with them.
pub(crate) fn schedule() -> Value {
    let texts = one_or_several(&json!({ "type": "string" }));
    let table = json!({
        "type": "object",
        "properties": {
            "cron": texts,
            "timezone": { "type": "string" },
            "overlap": or_interpolated(json!({ "enum": Overlap::WORDS })),
            "jitter": reference("duration"),
            "missed": or_interpolated(json!({ "enum": ["skip", "once"] })),
            "run_on_start": or_interpolated(json!({ "type": "boolean" })),
        },
        "required": ["cron"],
        "additionalProperties": false,
    });
    json!({ "anyOf": [texts, table] })
}

/// `secrets`: the path of each variable.
pub(crate) fn secrets() -> Value {
    let name = json!({ "pattern": "^[^=]+$" });
    json!({ "type": "object", "propertyNames": name, "additionalProperties": { "type": "string" } })
}

/// `sockets`: addresses, or each under its name.
pub(crate) fn sockets() -> Value {
    let address = json!({ "type": "string" });
    let named = json!({ "anyOf": [address, reference(&table_name(Table::Socket))] });
    let name = json!({ "pattern": "^[A-Za-z0-9_.-]+$" });
    json!({ "anyOf": [
        { "type": "array", "items": address },
        { "type": "object", "propertyNames": name, "additionalProperties": named },
    ]})
}

/// `listen`: addresses, or tables with one.
pub(crate) fn listen() -> Value {
    json!({ "type": "array", "items": { "anyOf": [{ "type": "string" }, reference(&table_name(Table::Listen))] } })
}

/// `[http.user.NAME]`: each under its name.
pub(crate) fn http_users() -> Value {
    let name = json!({ "pattern": "^[A-Za-z0-9_.-]{1,32}$" });
    json!({ "type": "object", "propertyNames": name, "additionalProperties": reference(&table_name(Table::User)) })
}

/// A preset, or a table of delays.
pub(crate) fn backoff() -> Value {
    json!({ "anyOf": [{ "enum": muster_spec::Preset::WORDS }, reference(&table_name(Table::Backoff)), reference("interpolated")] })
}

/// `[program.NAME.logs]`.
pub(crate) fn logs() -> Value {
    reference(&table_name(Table::Logs))
}

/// `rate_limit`: lines per second, minute or hour; empty for none.
pub(crate) fn rate() -> Value {
    let rate = json!({ "type": "string", "pattern": "^ *[0-9]+ */ *(s|sec|second|m|min|minute|h|hour) *$" });
    json!({ "anyOf": [rate, { "const": "" }, reference("interpolated")] })
}

/// `syslog`: an address.
pub(crate) fn syslog() -> Value {
    json!({ "anyOf": [{ "type": "string", "pattern": "^(unix:///|udp://|tcp://)" }, reference("interpolated")] })
}

/// `syslog_facility`: one of the known ones.
pub(crate) fn syslog_facility() -> Value {
    let names = muster_spec::SyslogFacility::ALL.map(|(name, _)| name);
    or_interpolated(json!({ "enum": names }))
}

/// `url` of a source.
pub(crate) fn source() -> Value {
    let pattern = "^([Hh][Tt][Tt][Pp]|[Ee][Tt][Cc][Dd])[Ss]?://";
    json!({ "anyOf": [{ "type": "string", "pattern": pattern }, reference("interpolated")] })
}

/// `may` of a source.
pub(crate) fn source_tables() -> Value {
    one_or_several(&or_interpolated(json!({ "enum": muster_spec::SourceTable::WORDS })))
}

/// `on` of a notifier.
pub(crate) fn notify_on() -> Value {
    one_or_several(&or_interpolated(json!({ "enum": muster_spec::NotifyOn::WORDS })))
}

/// `webhook` of a notifier.
pub(crate) fn webhook() -> Value {
    json!({ "anyOf": [{ "type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://" }, reference("interpolated")] })
}

/// `ready`: a word, or a table with one way.
pub(crate) fn ready() -> Value {
    let table = json!({ "allOf": [reference(&table_name(Table::Ready)), { "minProperties": 1, "maxProperties": 1 }] });
    json!({ "anyOf": [{ "enum": ["notify", ""] }, table, reference("interpolated")] })
}

/// `depends_on`: names, or names with conditions.
pub(crate) fn depends_on() -> Value {
    let condition = or_interpolated(json!({ "enum": muster_spec::DependencyCondition::WORDS }));
    let names = one_or_several(&json!({ "type": "string" }));
    json!({ "anyOf": [names, { "type": "object", "additionalProperties": condition }] })
}

/// `probes`: each under its name.
pub(crate) fn probes() -> Value {
    let name = json!({ "pattern": "^[A-Za-z0-9_.-]+$" });
    json!({ "type": "object", "propertyNames": name, "additionalProperties": reference(&table_name(Table::Probe)) })
}

/// A hook: a command, or a table with one.
pub(crate) fn hook() -> Value {
    let command = one_or_several(&json!({ "type": "string" }));
    json!({ "anyOf": [command, reference(&table_name(Table::Hook))] })
}

/// `http`: an address, or a table with headers.
pub(crate) fn http_check() -> Value {
    let address = json!({ "type": "string", "pattern": "^[Hh][Tt][Tt][Pp]://" });
    let table = json!({ "allOf": [reference(&table_name(Table::HttpCheck)), { "required": ["url"] }] });
    json!({ "anyOf": [address, table, reference("interpolated")] })
}

/// The definitions that keys refer to.
pub(crate) fn definitions() -> [(&'static str, Value); 6] {
    [
        ("interpolated", described("template text: ${VAR}, {name}", json!({ "type": "string", "pattern": "[${}]" }))),
        ("duration", described("seconds, or text such as \"500ms\", \"2m\", \"1h30m\"", duration())),
        ("size", described("bytes, or text such as \"10MB\", \"1GiB\", 1024-based", size())),
        ("octal", described("an octal number in quotes, such as \"022\"", octal())),
        ("user", described("\"name\", \"name:group\", or numbers", user())),
        ("signal", described("\"TERM\", \"SIGTERM\", \"RTMIN+3\", or a number from 1 to 64", signal())),
    ]
}

fn described(what: &str, mut shape: Value) -> Value {
    shape["description"] = what.into();
    shape
}

/// Ten years in seconds: a longer duration is taken for a typo.
fn duration() -> Value {
    let longest = muster_spec::Span::LONGEST.as_secs();
    let unit = "([0-9]+(\\.[0-9]*)?(us|ms|sec|s|min|m|h|d) *)+";
    json!({ "anyOf": [
        { "type": "number", "minimum": 0, "maximum": longest },
        { "type": "string", "pattern": format!("^ *([0-9]+(\\.[0-9]*)? *|{unit})$") },
        reference("interpolated"),
    ]})
}

fn size() -> Value {
    json!({ "anyOf": [
        whole(0, i64::MAX),
        { "type": "string", "pattern": "^ *[0-9]+(\\.[0-9]+)? *([KMGTkmgt]?([Ii]?[Bb])?) *$" },
        reference("interpolated"),
    ]})
}

fn octal() -> Value {
    json!({ "anyOf": [
        { "type": "string", "pattern": "^ *(0o)?[0-7]{1,4} *$" },
        // TOML's 0o022 is an integer to a validator, which cannot see the digits.
        whole(0, 0o7777),
        reference("interpolated"),
    ]})
}

fn user() -> Value {
    json!({ "anyOf": [
        whole(0, 0xffff_fffe),
        { "type": "string", "pattern": "^[^\\s:,-][^\\s:,]*(:[^\\s:,-][^\\s:,]*)?$" },
        reference("interpolated"),
    ]})
}

/// Every signal by its name, in capital or in small letters, and the real-time ones.
fn signal() -> Value {
    let names = (1..=31).filter_map(Signal::from_number).map(|signal| signal.to_string());
    let names: Vec<String> = names.map(|name| name.trim_start_matches("SIG").to_owned()).collect();
    let capital = format!("{}|CLD|IOT|POLL|RTMIN(\\+[0-9]+)?|RTMAX(-[0-9]+)?", names.join("|"));
    let numbers = "[1-9]|[1-5][0-9]|6[0-4]";
    let pattern = format!("^((SIG)?({capital})|(sig)?({})|{numbers})$", capital.to_ascii_lowercase());
    json!({ "anyOf": [whole(1, 64), { "type": "string", "pattern": pattern }, reference("interpolated")] })
}
