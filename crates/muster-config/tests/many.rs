//! Loading takes time linear in the size of the files, whatever they contain: half a megabyte of errors of one kind,
//! for each kind of file.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

#[path = "../../../tests/harness/linear.rs"]
mod linear;

use std::fs;
use std::path::{Path, PathBuf};

use linear::{check, lines, timed};
use muster_config::{Loaded, Machine, Severity, Source, Unfit, load};

fn loaded(directory: &Path) -> Loaded {
    let paths: [PathBuf; 1] = [directory.join("muster.toml")];
    load(&Source::unguarded(&paths, &|_| None, "host"))
}

#[test]
fn a_configuration_full_of_errors_is_read_in_linear_time() {
    let directory = tempfile::tempdir().unwrap();
    type Line = fn(usize) -> String;
    let kinds: [(&str, &str, Line, &str); 7] = [
        ("values", "", |n| format!("[program.a{n}]\ncommand = \"x\"\nnumprocs = -1"), "numprocs must be from"),
        ("unknown keys", "[program.a]\ncommand = \"x\"\n", |n| format!("key{n} = 1"), "key0"),
        ("unknown tables", "", |n| format!("[table{n}]"), "table0"),
        ("syntax", "[program.a]\n", |n| format!("key{n} = = 1"), "not TOML"),
        ("torn headers", "", |n| format!("[program a{n}]\ncommand = \"x\""), "not TOML"),
        ("unknown programs", "", |n| format!("[program.a{n}]\ncommand = \"x\"\ndepends_on = [\"b{n}\"]"), "depends_on"),
        ("twice", "[program.a]\n", |_| "command = \"x\"".to_owned(), "defined twice"),
    ];
    for (name, head, line, message) in kinds {
        fs::write(directory.path().join("muster.toml"), format!("{head}{}", lines(line))).unwrap();
        let loaded = timed(name, || loaded(directory.path()));
        check(name, &loaded.diagnostics, message);
    }
}

#[test]
fn an_environment_file_full_of_errors_is_read_in_linear_time() {
    let directory = tempfile::tempdir().unwrap();
    let program = "[program.web]\ncommand = \"x\"\nenv_file = \"app.env\"\n";
    fs::write(directory.path().join("muster.toml"), program).unwrap();
    type Line = fn(usize) -> String;
    let kinds: [(&str, Line, &str); 4] = [
        ("no variables", |_| "x".to_owned(), "not a variable"),
        ("no names", |n| format!("{n} x=1"), "not a valid variable name"),
        ("open quotes", |n| format!("A{n}='x' 'y"), "text after the closing quote"),
        ("variables", |n| format!("A{n}=1"), ""),
    ];
    for (name, line, message) in kinds {
        fs::write(directory.path().join("app.env"), lines(line)).unwrap();
        let loaded = timed(name, || loaded(directory.path()));
        if message.is_empty() {
            assert!(loaded.spec.is_some(), "{name}");
        } else {
            check(name, &loaded.diagnostics, message);
        }
    }
}

#[test]
fn many_secrets_with_many_errors_take_linear_time() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("app.env"), lines(|n| format!("TOKEN_{n}=secret-{n}"))).unwrap();
    let programs = lines(|n| format!("[program.a{n}]\ncommand = \"x\"\nnumprocs = -1"));
    let reader = "[program.first]\ncommand = \"x\"\nenv_file = \"app.env\"\n";
    fs::write(directory.path().join("muster.toml"), format!("{reader}{programs}")).unwrap();
    let loaded = timed("secrets", || loaded(directory.path()));
    check("secrets", &loaded.diagnostics, "numprocs");
}

#[test]
fn unknown_users_are_looked_up_and_reported_in_linear_time() {
    let directory = tempfile::tempdir().unwrap();
    let programs = lines(|n| format!("[program.a{n}]\ncommand = \"/bin/true\"\nuser = \"u{n}\""));
    fs::write(directory.path().join("muster.toml"), programs).unwrap();
    let unfit = |_: muster_config::Who<'_>| {
        Some(Unfit { severity: Severity::Warning, message: "no such user".to_owned(), hint: "make it".to_owned() })
    };
    let loaded = timed("users", || {
        let mut loaded = loaded(directory.path());
        loaded.lint(&mut Machine { variables: &|_| None, look_up: &mut { unfit } });
        loaded
    });
    check("users", &loaded.diagnostics, "no such user");
}
