//! The manual pages: complete, and clean by the rules of mandoc(1).

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use harness::skip;

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().expect("it can be executed")
}

/// Writes the pages of both programs to a directory.
fn write_all(directory: &Path) {
    let directory = directory.to_str().expect("a temporary directory has a plain name");
    for program in [harness::musterd(), harness::musterctl()] {
        let done = run(program, &["man", "--output", directory]);
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn every_page_is_there_and_without_fault() {
    let place = tempfile::tempdir().expect("a temporary directory");
    write_all(place.path());
    let pages: BTreeSet<String> = fs::read_dir(place.path())
        .expect("it was written")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    for page in
        ["musterd.8", "musterctl.1", "muster.toml.5", "muster-run.1", "musterd-simulate.1", "musterctl-status.1"]
    {
        assert!(pages.contains(page), "{page} is missing: {pages:?}");
    }
    if Command::new("mandoc").arg("-T").arg("lint").arg("/dev/null").output().is_err() {
        return skip("mandoc is not installed, so the pages are not checked");
    }
    for page in &pages {
        // Its style messages also ask for a date in words, and for lines of less than 80 characters.
        let done = run("mandoc", &["-T", "lint", "-W", "warning", &place.path().join(page).to_string_lossy()]);
        assert!(done.status.success(), "{page}:\n{}", String::from_utf8_lossy(&done.stdout));
    }
}

#[test]
fn a_page_that_does_not_exist_is_an_error_and_names_those_that_do() {
    let done = run(harness::musterd(), &["man", "nosuch"]);
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{told}");
    assert!(told.contains("no such page: \"nosuch\"") && told.contains("muster.toml"), "{told}");
    let done = run(harness::musterd(), &["man", "--output", "/dev/null/man"]);
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{told}");
    assert!(told.contains("cannot write /dev/null/man"), "{told}");
}

#[test]
fn a_page_can_be_named_without_the_program() {
    let whole = run(harness::musterd(), &["man", "musterd-check"]);
    let short = run(harness::musterd(), &["man", "check"]);
    assert!(whole.status.success() && whole.stdout == short.stdout);
    assert!(String::from_utf8_lossy(&short.stdout).contains(".TH MUSTERD-CHECK 1"));
}
