//! `config/muster.schema.json` agrees with the registry of keys, accepts valid configurations, and refuses errors.
//!
//! `MUSTER_BLESS=1` rewrites the file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test may stop where it stands, and ask its environment"
)]

mod validator;

use std::fs;
use std::path::{Path, PathBuf};

use muster_config::keys::{self, Table};
use muster_config::{Severity, Source, json_schema, load};
use serde_json::Value;
use validator::Validator;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn schema() -> Value {
    serde_json::from_str(&json_schema()).unwrap()
}

/// TOML converted for the validator.
fn as_json(text: &str) -> Value {
    let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    serde_json::to_value(table).unwrap()
}

fn errors_of_load(text: &str) -> Vec<String> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    fs::write(file.path(), text).unwrap();
    let paths = [file.path().to_owned()];
    let loaded = load(&Source::unguarded(&paths, &|_| None, "box"));
    let errors = loaded.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    errors.map(|found| found.message.clone()).collect()
}

#[test]
fn the_schema_in_the_repository_is_made_from_the_list_of_keys() {
    let path = repository("config/muster.schema.json");
    if std::env::var_os("MUSTER_BLESS").is_some() {
        return fs::write(&path, json_schema()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    for (line, expected) in committed.lines().zip(json_schema().lines()) {
        assert_eq!(line, expected, "MUSTER_BLESS=1 rewrites it");
    }
    assert_eq!(committed.len(), json_schema().len());
}

#[test]
fn every_configuration_of_the_repository_conforms() {
    let schema = schema();
    let mut paths = vec![repository("config/muster.toml")];
    paths.extend(fs::read_dir(repository("config/examples")).unwrap().map(|entry| entry.unwrap().path()));
    assert!(paths.len() >= 6);
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(Validator::new(&schema).mistakes(&as_json(&text)), [""; 0], "{}", path.display());
    }
}

/// The configurations of the error table that are TOML, each with whether it has an error.
fn cases() -> Vec<(String, bool)> {
    let table = include_str!("../data/mistakes.txt");
    let case = |case: &str| {
        let text: String = case.split_inclusive('\n').filter(|line| !line.starts_with("=>")).collect();
        let has_error = case.lines().any(|line| line.starts_with("=> ") && line.contains(" error: "));
        (text, has_error)
    };
    table.split("---\n").map(case).filter(|(text, _)| text.parse::<toml::Table>().is_ok()).collect()
}

#[test]
fn every_accepted_configuration_conforms() {
    let schema = schema();
    let accepted: Vec<String> = cases().into_iter().filter(|(_, has_error)| !has_error).map(|(text, _)| text).collect();
    assert!(accepted.len() >= 10, "{} cases", accepted.len());
    for text in accepted {
        assert_eq!(Validator::new(&schema).mistakes(&as_json(&text)), [""; 0], "{text}");
    }
}

#[test]
fn most_errors_are_noticed_by_an_editor_too() {
    let schema = schema();
    let wrong: Vec<String> = cases().into_iter().filter(|(_, has_error)| *has_error).map(|(text, _)| text).collect();
    let is_noticed = |text: &&String| !Validator::new(&schema).mistakes(&as_json(text)).is_empty();
    let noticed = wrong.iter().filter(is_noticed).count();
    assert!(noticed * 10 >= wrong.len() * 6, "{noticed} of {}", wrong.len());
}

#[test]
fn wrong_files_are_refused() {
    let schema = schema();
    for keys in [
        "commnd = \"x\"",
        "command = 5",
        "type = \"servise\"",
        "restart = \"unexpected\"",
        "restart = true",
        "startsecs = -1",
        "startsecs = \"soon\"",
        "stopwaitsecs = \"5 parsecs\"",
        "stopsignal = \"TREM\"",
        "stopsignal = 65",
        "numprocs = 0",
        "numprocs = \"2\"",
        "exitcodes = [256]",
        "umask = \"9\"",
        "nice = 20",
        "user = \"two words\"",
        "rlimits = { nofiles = 1 }",
        "rlimits = { nofile = \"many\" }",
        "backoff = \"dokcer\"",
        "backoff = { dely = 1 }",
        "backoff = { jitter = 2 }",
        "environment = { A = 1 }",
        "environment = [\"A=1\"]",
        "autostart = \"yes\"",
        "logs = \"console\"",
        "ready = \"notfy\"",
        "ready = { fd = 2 }",
        "ready = { log = \"a\", fd = 3 }",
        "start_timeout = \"soon\"",
        "depends_on = { db = \"redy\" }",
        "depends_on = 5",
        "probes = { live = \"http://a/\" }",
        "probes.live = { http = \"https://a/\" }",
        "probes.live = { http = { headers = {} } }",
        "probes.live = { tcp = 5432 }",
        "probes.live = { exec = [], period = \"x\" }",
        "probes.live = { tcp = \"a:1\", kind = \"live\" }",
        "probes.live = { tcp = \"a:1\", failure_threshold = 0 }",
    ] {
        let program = as_json(&format!("[program.web]\n{keys}"));
        assert_ne!(Validator::new(&schema).mistakes(&program), [""; 0], "{keys}");
        let wrapped =
            format!("[program.web]\n{}{keys}", if keys.starts_with("command") { "" } else { "command = \"x\"\n" });
        assert_ne!(errors_of_load(&wrapped), [""; 0], "{keys}");
    }
    for text in
        ["[program.\"a b\"]", "[program.all]", "[programs.a]", "[[program]]", "musterd = 5", "http.mode = \"999\""]
    {
        assert_ne!(Validator::new(&schema).mistakes(&as_json(text)), [""; 0], "{text}");
        assert_ne!(errors_of_load(text), [""; 0], "{text}");
    }
}

/// The definition of a table, and the text of a configuration with only one key of it.
fn place(table: Table) -> Option<(&'static str, &'static str)> {
    Some(match table {
        Table::Musterd => ("musterd", "[program.web]\ncommand = \"x\"\n[musterd]\n"),
        Table::Http => ("http", "[program.web]\ncommand = \"x\"\n[http]\n"),
        Table::Program => ("program", "[program.web]\ncommand = \"x\"\n"),
        Table::Logs => ("program_logs", "[program.web]\ncommand = \"x\"\n[program.web.logs]\n"),
        Table::Probe => ("program_probes", "[program.web]\ncommand = \"x\"\n[program.web.probes.a]\ntcp = \"a:1\"\n"),
        Table::Backoff => ("program_backoff", "[program.web]\ncommand = \"x\"\n[program.web.backoff]\n"),
        _ => return None,
    })
}

#[test]
fn every_key_is_described_and_its_default_and_its_words_are_what_a_load_accepts() {
    let schema = schema();
    let mut words = 0;
    for key in keys::KEYS.iter().filter(|key| key.is_supported()) {
        let Some((definition, before)) = place(key.table) else { continue };
        let property = &schema["$defs"][definition]["properties"][key.name];
        assert!(property["description"].as_str().is_some_and(|text| text.starts_with(key.doc)), "{}", key.name);
        if let Some(default) = property.get("default") {
            assert!(Validator::new(&schema).conforms(property, default), "{}: {default}", key.name);
        }
        // A listener needs events besides, and a client sockets.
        let is_alone = |choice: &&Value| !["supervisor-events", "connection"].contains(&choice.as_str().unwrap_or(""));
        for choice in choices(property).into_iter().filter(is_alone) {
            assert_eq!(errors_of_load(&format!("{before}{} = {choice}", key.name)), [""; 0], "{} = {choice}", key.name);
            words += 1;
        }
    }
    assert!(words >= 20, "{words} words");
}

/// The words that a property accepts.
fn choices(property: &Value) -> Vec<&Value> {
    let own = property.get("enum").and_then(Value::as_array).into_iter().flatten();
    let alternatives = property.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    own.chain(alternatives.flat_map(|one| one.get("enum").and_then(Value::as_array).into_iter().flatten())).collect()
}
