//! `musterd config`: the effective configuration of any dialect, without a running daemon.
//!
//! Shows exactly what `GET /v1/config` would show to a client with full control: secrets from variables and files are
//! masked.

use muster_spec::arrange::Gather;
use std::path::PathBuf;

use clap::ValueEnum;
use muster_api::Config;
use muster_config::{Disguises, Loaded, is_address, toml_string};
use muster_core::{Settings, Supervisor};
use muster_spec::Spec;
use muster_sys::say::{complain, say};
use serde_json::{Map, Value};

use crate::check;
use crate::config_files;
use crate::effective_config;
use crate::in_force::InForce;
use crate::secrets::Reader;

/// The format of the effective configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// A table per program
    Toml,
    /// The response of GET /v1/config
    Json,
}

/// Prints the effective configuration; returns the exit code.
pub fn config(paths: &[PathBuf], format: ConfigFormat) -> u8 {
    let paths = match check::find(paths) {
        Ok(paths) => paths,
        Err(message) => {
            complain(&message);
            return 2;
        }
    };
    let loaded = check::load(&paths, &config_files::open);
    check::write_diagnostics(&loaded.diagnostics);
    let Loaded { spec: Some(spec), files, disguises, .. } = loaded else { return 2 };
    let config = effective(spec, files, disguises);
    match format {
        ConfigFormat::Toml => say(as_toml(&config).trim_end()),
        ConfigFormat::Json => say(&serde_json::to_string_pretty(&config).unwrap_or_default()),
    }
    0
}

/// The response of `GET /v1/config` of a daemon with this configuration.
pub fn effective(spec: Spec, files: Vec<PathBuf>, disguises: Disguises) -> Config {
    let supervisor = Supervisor::new(Settings::from(&spec.daemon), &spec.programs, 0);
    let absolute = |path: PathBuf| match std::path::absolute(&path) {
        Ok(absolute) if !is_address(&path) => absolute,
        _ => path,
    };
    let files = files.into_iter().map(absolute).collect();
    let mut in_force = InForce::new(spec.daemon, spec.control, files, disguises);
    in_force.notifiers = spec.notifiers;
    let program = |instance| effective_config::with_origin(instance, &in_force, Reader::Control);
    let programs = supervisor.snapshot().iter().map(|instance| (instance.name().to_owned(), program(instance)));
    Config {
        files: in_force.files.iter().map(|path| path.display().to_string()).collect(),
        musterd: effective_config::daemon(&in_force, Reader::Control),
        http: effective_config::control(&in_force, Reader::Control),
        notify: effective_config::notifiers(&in_force, Reader::Control),
        programs: Value::Object(programs.gather()),
    }
}

/// The same as TOML: a table per program, and no key where the value is `null`, which TOML does not have.
fn as_toml(config: &Config) -> String {
    let mut text: String = config.files.iter().map(|file| format!("# {}\n", file.escape_debug())).collect();
    put_table(&mut text, "musterd", &config.musterd);
    put_table(&mut text, "http", &config.http);
    for (name, notifier) in config.notify.as_object().into_iter().flatten() {
        put_table(&mut text, &format!("notify.{}", key(name)), notifier);
    }
    for (name, program) in config.programs.as_object().into_iter().flatten() {
        put_table(&mut text, &format!("program.{}", key(name)), program);
    }
    text
}

fn put_table(text: &mut String, name: &str, table: &Value) {
    text.push_str(&format!("\n[{name}]\n"));
    // Where a key came from is no key.
    let is_key = |(name, value): &(&String, &Value)| !value.is_null() && *name != "origin";
    for (name, value) in table.as_object().into_iter().flatten().filter(is_key) {
        text.push_str(&format!("{} = {}\n", key(name), inline(value)));
    }
}

/// A bare key where the characters allow it.
fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { toml_string(name) }
}

fn inline(value: &Value) -> String {
    match value {
        // Only a list can have one: a span without an end.
        Value::Null => toml_string("unlimited"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => toml_string(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(keys) => inline_table(keys),
    }
}

fn inline_table(keys: &Map<String, Value>) -> String {
    let pairs = keys.iter().filter(|(_, value)| !value.is_null());
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{} = {}", key(name), inline(value))).collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_value_has_its_toml() {
        for (value, expected) in [
            (json!("a\"b\\\n\u{1b}\u{e9}"), "\"a\\\"b\\\\\\n\\u001B\u{e9}\""),
            (json!([1, 2.5, null, true]), "[1, 2.5, \"unlimited\", true]"),
            (json!({"a b": null, "c": {}, "d.e": [], "f": -1}), "{ c = {}, \"d.e\" = [], f = -1 }"),
        ] {
            assert_eq!(inline(&value), expected);
        }
    }

    #[test]
    fn each_program_is_a_table() {
        let config = Config {
            files: vec!["/etc/a.conf".to_owned()],
            musterd: json!({"watch": false, "pidfile": null}),
            http: json!({}),
            notify: json!({"ops": {"on": ["fatal"]}}),
            programs: json!({"web:0": {"command": ["x"], "origin": {"command": ["/etc/a.conf"]}}, "": {}}),
        };
        let expected = "# /etc/a.conf\n\n[musterd]\nwatch = false\n\n[http]\n\n[notify.ops]\non = [\"fatal\"]\n\n[program.\"\"]\n\n[program.\"web:0\"]\n\
                        command = [\"x\"]\n";
        assert_eq!(as_toml(&config), expected);
    }
}
