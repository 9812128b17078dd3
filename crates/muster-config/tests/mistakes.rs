//! Every kind of error with its place, message and hint, from one table: `data/mistakes.txt`.
//!
//! A case is a configuration, then its diagnostics, each line beginning with `=>`; a line `---` ends it. With
//! `MUSTER_BLESS=1` in the environment the table is rewritten from the current diagnostics: review the difference.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop where it stands, and ask its environment"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use muster_config::{Diagnostic, Source, load};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mistakes.txt");

fn variable(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "8080",
        "WORKERS" => "3",
        "EMPTY" => "",
        "WORD" => "many",
        "DB_PASSWORD" => "hunter2",
        _ => return None,
    };
    Some(value.to_owned())
}

fn describe(diagnostic: &Diagnostic) -> String {
    let severity = diagnostic.severity.name();
    let mut text = format!("=> {}:{} {severity}: {}\n", diagnostic.line, diagnostic.column, diagnostic.message);
    if let Some(hint) = &diagnostic.hint {
        writeln!(text, "=>   hint: {hint}").unwrap();
    }
    text
}

fn said_about(directory: &Path, text: &str) -> String {
    let path = directory.join("c.toml");
    fs::write(&path, text.replace("\\0", "\0")).unwrap();
    let paths = [path];
    let loaded = load(&Source::unguarded(&paths, &variable, "box"));
    let rendered = loaded.render(false);
    for diagnostic in &loaded.diagnostics {
        let place = format!("{}:{}:{}:", diagnostic.file.display(), diagnostic.line, diagnostic.column);
        assert!(rendered.contains(&place), "{place} is not in\n{rendered}");
        assert!(!rendered.contains("hunter2"), "a secret is shown:\n{rendered}");
    }
    let said: String = loaded.diagnostics.iter().map(describe).collect();
    said.replace(&format!("{}/", directory.display()), "").replace(&directory.display().to_string(), "DIRECTORY")
}

#[test]
fn every_error_has_its_place_its_message_and_its_hint() {
    let directory = tempfile::tempdir().unwrap();
    let table = fs::read_to_string(TABLE).unwrap();
    let (mut now, mut count) = (String::new(), 0);
    for case in table.split_inclusive("---\n") {
        let text: String = case.split_inclusive('\n').filter(|l| !l.starts_with("=>") && *l != "---\n").collect();
        let said = said_about(directory.path(), &text);
        count += 1;
        writeln!(now, "{text}{said}---").unwrap();
    }
    assert!(count >= 60, "only {count} cases");
    if std::env::var_os("MUSTER_BLESS").is_some() {
        return fs::write(TABLE, &now).unwrap();
    }
    for (now, table) in now.split("---\n").zip(table.split("---\n")) {
        assert_eq!(now, table);
    }
}

#[test]
fn of_many_errors_the_first_are_reported_and_the_rest_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.toml");
    let programs =
        (0..10_000).map(|n| format!("[program.p{n}]\ncommand = \"x\"\nnonsense = 1\ndepends_on = [\"q{n}\"]\n"));
    fs::write(&path, programs.collect::<String>()).unwrap();
    let paths = [path];
    let loaded = load(&Source::unguarded(&paths, &variable, "box"));
    assert!(loaded.spec.is_none());
    assert_eq!(loaded.diagnostics.len(), 101);
    assert_eq!(loaded.diagnostics[100].message, "and 19900 more errors from here on");
    assert_eq!((loaded.diagnostics[0].line, loaded.diagnostics[100].line), (3, 203));
}

#[test]
fn a_missing_file_is_reported_with_its_name() {
    let paths = [PathBuf::from("/no/such/muster.toml")];
    let loaded = load(&Source::unguarded(&paths, &variable, "box"));
    assert!(loaded.spec.is_none() && loaded.files.is_empty());
    assert_eq!(
        loaded.render(false),
        "error: /no/such/muster.toml:1:1: cannot read /no/such/muster.toml: no such file\n\n"
    );
}

#[test]
fn the_line_is_underlined_and_the_hint_follows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.toml");
    fs::write(&path, "[program.web]\ncommand = \"x\"\nstopwaitsecs = -5\n").unwrap();
    let paths = [path.clone()];
    let loaded = load(&Source::unguarded(&paths, &variable, "box"));
    let expected = "error: shop.toml:3:16: program \"web\": stopwaitsecs must not be negative: -5
  |
3 | stopwaitsecs = -5
  |                ^^
  |
  = hint: leave it out for the default of 10 seconds

";
    assert_eq!(loaded.render(false).replace(&format!("{}/", directory.path().display()), ""), expected);
    assert!(loaded.render(true).contains("\u{1b}["));
}
