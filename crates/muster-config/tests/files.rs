//! The configurations and the reference page of this repository: each parses, and each agrees with the registry of
//! keys.
//!
//! The tables of the reference page are generated from the registry; `MUSTER_BLESS=1` rewrites them.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop where it stands, and ask its environment"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use muster_config::keys::{self, Table};
use muster_config::{Loaded, Source, load};
use muster_spec::{InstanceSpec, ProbeSpec, ProgramSpec, SocketSpec, Spec};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn load_file(path: PathBuf) -> Loaded {
    load(&Source::unguarded(&[path], &|_| None, "box"))
}

fn clean_spec(path: PathBuf) -> Spec {
    let loaded = load_file(path);
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.render(false));
    loaded.spec.unwrap()
}

#[test]
fn every_example_is_free_of_errors() {
    let mut count = 0;
    for entry in fs::read_dir(repository("config/examples")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().unwrap(), "toml");
        assert!(!clean_spec(path).programs.is_empty());
        count += 1;
    }
    assert!(count >= 5);
}

#[test]
fn the_annotated_configuration_is_free_of_errors_with_its_examples_too() {
    clean_spec(repository("config/muster.toml"));
    let text = fs::read_to_string(repository("config/muster.toml")).unwrap();
    let uncommented: String = text.lines().map(|line| format!("{}\n", uncomment(line))).collect();
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    fs::write(file.path(), uncommented).unwrap();
    let loaded = load_file(file.path().to_owned());
    assert!(loaded.spec.is_some(), "{}", loaded.render(false));
}

/// A line `# key = value` without its comment mark; other lines unchanged.
fn uncomment(line: &str) -> &str {
    let bare = line.strip_prefix("# ").unwrap_or(line);
    let key = bare.split(" = ").next().unwrap_or_default();
    let is_key = !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && bare.contains(" = ");
    // A source would be asked, and a notifier has no default, so their tables are comments.
    if is_key || bare.starts_with("[source.") || bare.starts_with("[notify.") { bare } else { line }
}

#[test]
fn the_annotated_configuration_has_every_supported_key_and_no_other() {
    let text = fs::read_to_string(repository("config/muster.toml")).unwrap();
    let mut table = Table::Root;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if let Some(header) = uncomment(line).strip_prefix('[') {
            table = table_of(header.split(']').next().unwrap());
        } else if let Some((key, _)) = uncomment(line).split_once(" = ").filter(|_| !uncomment(line).starts_with('#')) {
            found.insert((table.header(), key.to_owned()));
        }
    }
    found.remove(&("[program.NAME.rlimits]", "nofile".to_owned()));
    // These are written as tables of their own, and there is no key for a resource.
    let tables = ["backoff", "rlimits", "sockets", "logs", "probes"];
    // These are part of another key's line.
    for table in [Table::Ready, Table::HttpCheck, Table::Hook, Table::Listen, Table::User] {
        let named = |key: &&keys::Key| text.contains(&format!(" {} = ", key.name));
        found.extend(keys::of(table).filter(named).map(|key| (table.header(), key.name.to_owned())));
    }
    let expected: BTreeSet<_> = keys::KEYS
        .iter()
        .filter(|key| key.is_supported() && (key.table != Table::Root || key.name == "include"))
        .filter(|key| key.table != Table::Program || !tables.contains(&key.name))
        .map(|key| (key.table.header(), key.name.to_owned()))
        .collect();
    let found: BTreeSet<_> = found.into_iter().filter(|(_, key)| key != "nofile").collect();
    assert_eq!(found, expected);
}

fn table_of(header: &str) -> Table {
    match header {
        "musterd" => Table::Musterd,
        "http" => Table::Http,
        "defaults" | "program.web" => Table::Program,
        "program.web.logs" => Table::Logs,
        "program.web.probes.live" | "program.web.probes.cache" | "program.web.probes.up" => Table::Probe,
        "program.web.backoff" => Table::Backoff,
        "program.web.rlimits" | "program.web.rlimits.core" => Table::Rlimit,
        "program.web.sockets.http" | "program.web.sockets.status" => Table::Socket,
        "group.front" => Table::Group,
        "source.fleet" => Table::Source,
        "notify.ops" | "notify.mail" => Table::Notifier,
        other => panic!("a table that this test does not know: {other}"),
    }
}

#[test]
fn the_annotated_values_are_the_defaults() {
    let annotated = clean_spec(repository("config/muster.toml"));
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    fs::write(file.path(), "[program.web]\ncommand = \"gunicorn app:wsgi --bind 0.0.0.0:8000\"").unwrap();
    let plain = clean_spec(file.path().to_owned());
    assert_eq!((&annotated.daemon, &annotated.control), (&plain.daemon, &plain.control));
    let program = annotated.programs[0].as_ref();
    let mut instance: InstanceSpec = program.instances[0].as_ref().clone();
    // Groups, limits, sockets and probes have no defaults, so their values are examples. A probe's own keys have defaults.
    std::sync::Arc::make_mut(&mut instance.process).rlimits.clear();
    let socket = instance.process.sockets[0].clone();
    assert_eq!((socket.backlog, socket.mode, socket.is_stdin), (SocketSpec::BACKLOG, SocketSpec::MODE, false));
    std::sync::Arc::make_mut(&mut instance.process).sockets = std::sync::Arc::default();
    for probe in std::mem::take(&mut instance.probes) {
        assert_eq!(probe, ProbeSpec::new(probe.name.clone(), probe.kind, probe.check.clone()));
    }
    let expected = ProgramSpec { groups: program.groups.clone(), ..plain.programs[0].as_ref().clone() };
    assert_eq!(ProgramSpec { instances: vec![instance.into()], ..program.clone() }, expected);
}

const BEGIN: &str = "<!-- keys: begin -->\n";
const END: &str = "<!-- keys: end -->\n";

fn reference() -> String {
    let mut text = String::new();
    for table in Table::ALL {
        writeln!(text, "\n### `{}`\n\n| key | takes | default | meaning |\n|---|---|---|---|", table.header()).unwrap();
        for key in keys::of(table).filter(|key| key.is_supported()) {
            let default = if key.default.is_empty() { "none".to_owned() } else { format!("`{}`", key.default) };
            let why = if key.why.is_empty() { String::new() } else { format!(" ({})", key.why) };
            writeln!(text, "| `{}` | {} | {default} | {}{why} |", key.name, key.value, key.doc).unwrap();
        }
    }
    let later: Vec<String> = keys::KEYS
        .iter()
        .filter(|key| !key.is_supported())
        .map(|key| format!("`{}` {}", key.table.header(), key.name))
        .collect();
    writeln!(
        text,
        "\n### Known and refused\n\nThese are not supported yet, and an error rather than ignored: {}.\n",
        later.join(", ")
    )
    .unwrap();
    text
}

#[test]
fn the_reference_page_has_every_key_with_its_default_and_meaning() {
    let path = repository("docs/reference/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (tables, after) = rest.split_once(END).unwrap();
    if std::env::var_os("MUSTER_BLESS").is_some() {
        return fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", reference())).unwrap();
    }
    for (line, expected) in tables.lines().zip(reference().lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(tables.len(), reference().len());
}

#[test]
fn the_defaults_of_the_list_can_be_written_into_a_file() {
    for (header, table) in [("musterd", Table::Musterd), ("http", Table::Http), ("program.web", Table::Program)] {
        let mut text = format!("[{header}]\n");
        for key in keys::of(table).filter(|key| key.is_supported() && !key.default.is_empty()) {
            // An explicit timeout is compared with the budget, which its default exceeds by design.
            if key.name != "stopwaitsecs" {
                writeln!(text, "{} = {}", key.name, key.default).unwrap();
            }
        }
        let program = if header == "program.web" { "command = \"x\"\n" } else { "[program.web]\ncommand = \"x\"\n" };
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        fs::write(file.path(), text + program).unwrap();
        let written = clean_spec(file.path().to_owned());
        fs::write(file.path(), "[program.web]\ncommand = \"x\"\n").unwrap();
        assert_eq!(written, clean_spec(file.path().to_owned()), "[{header}]");
    }
}
