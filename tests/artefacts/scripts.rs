//! The rules of the scripts, the manifests and the workflows, checked in the source. These always run.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::engine::repository;
use crate::{VERSION, Wanted, is_wanted, run};

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files directly in a directory.
fn listed(directory: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(repository().join(directory)).expect("it is there").flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

#[test]
fn every_step_of_a_workflow_is_an_action_or_a_script_of_ours() {
    let mut scripts = 0;
    for path in listed(".github/workflows") {
        let text = fs::read_to_string(&path).expect("it can be read");
        for line in text.lines() {
            let step = line.trim_start().trim_start_matches("- ");
            let Some(command) = step.strip_prefix("run: ") else { continue };
            let script = command.split_whitespace().next().unwrap_or_default();
            assert!(repository().join(script).is_file(), "{}: not a script: {command}", path.display());
            scripts += 1;
        }
        // Only the last job may write, and only to the release.
        assert!(text.contains("permissions:\n  contents: read\n"), "{}: the default must be to read", path.display());
    }
    assert!(scripts >= 8, "only {scripts} steps were found");
}

#[test]
fn every_script_can_be_executed_says_what_it_is_for_and_parses() {
    for path in listed("packaging").into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "sh")) {
        let text = fs::read_to_string(&path).expect("it can be read");
        let is_sourced = path.ends_with("common.sh");
        let comment = text.lines().find(|line| !line.starts_with("#!"));
        assert!(comment.is_some_and(|line| line.starts_with("# ")), "{} has no comment", path.display());
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("it is there").permissions());
        assert_eq!(mode & 0o111 != 0, !is_sourced, "{}: mode {mode:o}", path.display());
        assert!(is_sourced || text.contains("\nset -eu\n"), "{} goes on after an error", path.display());
        let parsed = Command::new("sh").arg("-n").arg(&path).status().expect("sh is installed");
        assert!(parsed.success(), "{}", path.display());
    }
}

#[test]
fn a_version_is_the_same_everywhere_and_has_notes() {
    let notes = Command::new(repository().join("packaging/notes.sh")).env("SOURCE_DATE_EPOCH", "0").output();
    let notes = notes.expect("it can be executed");
    assert!(notes.status.success() && notes.stdout.len() > 100, "{notes:?}");
    // The pages name files of the release.
    let readme = read("README.md");
    for name in [
        format!("muster_{VERSION}-1_amd64.deb"),
        format!("muster-{VERSION}-x86_64-linux.tar.gz"),
        format!("muster:{VERSION}"),
    ] {
        assert!(readme.contains(&name), "README.md names files of another version than {VERSION}");
    }
    let manifest = read("Cargo.toml");
    for line in manifest.lines().filter(|line| line.contains("path = \"crates/")) {
        assert!(line.contains(&format!("version = \"{VERSION}\"")), "a package of it could not be published: {line}");
    }
}

/// The script must not publish a commit as a version that it is not.
#[test]
fn a_commit_without_the_tag_of_its_version_is_not_published() {
    let place = tempfile::tempdir().expect("a temporary directory can be created");
    let gh = place.path().join("gh");
    let called = place.path().join("called");
    fs::write(&gh, format!("#!/bin/sh\ntouch '{}'\n", called.display())).expect("the test directory is writable");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&gh, mode).expect("it is ours");
    // A repository of its own with one commit and a misleading tag.
    let repository_of_its_own = place.path().join("repository");
    fs::create_dir_all(repository_of_its_own.join("target/release-artifacts")).expect("the test directory is writable");
    let script = format!(
        "cp -r '{0}/packaging' '{0}/Cargo.toml' '{0}/CHANGELOG.md' . && git init -q && git add packaging Cargo.toml CHANGELOG.md && \
         git -c user.name=x -c user.email=x@example.org commit -qm x && git tag v99.0.0 && packaging/publish.sh",
        repository().display()
    );
    let path = format!("{}:/usr/bin:/bin", place.path().display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(&repository_of_its_own).env("PATH", path).env_remove("SOURCE_DATE_EPOCH");
    let output = command.output().expect("sh is installed");
    let text = crate::engine::text(&output);
    assert!(!output.status.success() && text.contains(&format!("not tagged v{VERSION}")), "{text}");
    assert!(!called.exists(), "it was published");
}

#[test]
fn the_crates_that_are_published_need_no_other() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(repository())
        .output()
        .expect("cargo can be executed");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    let is_published = |package: &serde_json::Value| package["publish"].is_null();
    let published: BTreeSet<&str> = packages
        .iter()
        .filter(|package| is_published(package))
        .filter_map(|package| package["name"].as_str())
        .collect();
    assert!(published.contains("muster"), "{published:?}");
    for package in packages.iter().filter(|package| is_published(package)) {
        let name = &package["name"];
        assert!(
            package["description"].is_string() && package["license"].is_string(),
            "{name} lacks what a registry wants"
        );
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let is_ours = dependency["path"].is_string();
            let needs = dependency["name"].as_str().unwrap_or_default();
            assert!(!is_ours || published.contains(needs), "{name} needs {needs}, which is not published");
        }
    }
}

/// The suite must test what it says it tests: `MUSTER_BIN_DIR` names the executables for every test.
#[test]
fn tests_find_the_executables_in_one_place() {
    let mut directories = vec![repository().join("tests")];
    let (mut found, this) = (Vec::new(), PathBuf::from(file!()));
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(&directory).expect("it is there").flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with(&this) {
                let text = fs::read_to_string(&path).expect("it can be read");
                if text.contains("CARGO_BIN_EXE_") {
                    found.push(path.strip_prefix(repository()).expect("it is below").display().to_string());
                }
            }
        }
    }
    found.sort();
    // A package of its own has to say where the executables are.
    let places = ["tests/harness/executables.rs", "tests/web/build.rs"];
    assert_eq!(found, places, "use harness::musterd() and its like instead of env!");
}

#[test]
fn two_builds_of_one_commit_give_the_same_bytes() {
    if !is_wanted(Wanted::All) {
        return;
    }
    if std::env::var_os("MUSTER_REPRODUCIBLE").is_none() {
        println!("NOT TESTED: MUSTER_REPRODUCIBLE=1 builds everything twice, as packaging/reproducible.sh does");
        return;
    }
    let output = Command::new(repository().join("packaging/reproducible.sh")).output().expect("it can be executed");
    assert!(output.status.success(), "{}", crate::engine::text(&output));
}

#[test]
fn functions_are_found_without_their_hashes_unless_they_are_many() {
    let place = tempfile::tempdir().expect("a temporary directory can be created");
    let path = |name: &str| place.path().join(name);
    let hashed = |name: &str, hash: u64| format!("_ZN{}{name}17h{hash:016x}E", name.len());
    let mut there = vec![("exact", 1), ("exact", 2), ("other", 3), ("twins", 4), ("twins", 5), ("unnamed", 6)];
    there.extend((7..30).map(|hash| ("many", hash)));
    let source: String =
        there.iter().map(|&(name, hash)| format!("void {}(void) {{}}\n", hashed(name, hash))).collect();
    fs::write(path("a.c"), source).expect("the test directory is writable");
    let compiled = Command::new("cc").arg("-c").arg(path("a.c")).arg("-o").arg(path("a.o")).status();
    if !compiled.is_ok_and(|status| status.success()) {
        crate::engine::skipped("needs a C compiler");
        return;
    }
    let names = [
        "# a comment".to_owned(),
        hashed("twins", 0xa),
        hashed("gone", 0xb),
        hashed("exact", 2),
        hashed("many", 0xc0),
        hashed("other", 0xd),
        "memcpy".to_owned(),
        hashed("many", 7),
    ];
    fs::write(path("functions.txt"), names.join("\n")).expect("the test directory is writable");
    fs::copy(repository().join("packaging/link-gcc.sh"), path("link-gcc.sh")).expect("the test directory is writable");
    // The linker asks the tool of the same name.
    let nm = "#!/bin/sh\nexec nm \"$@\"\n";
    let compiler =
        "#!/bin/sh\nfor word in \"$@\"; do case $word in *ordering-file=*) cat \"${word#*file=}\" ;; esac; done\n";
    for (name, text) in [("my-nm", nm), ("my-gcc", compiler)] {
        fs::write(path(name), text).expect("the test directory is writable");
        run(Command::new("chmod").arg("+x").arg(path(name)));
    }
    let mut link = Command::new("sh");
    let linked = run(link.arg(path("link-gcc.sh")).arg(path("a.o")).env("MUSTER_COMPILER", path("my-gcc")));
    let expected = [
        hashed("twins", 4),
        hashed("twins", 5),
        hashed("exact", 2),
        hashed("other", 3),
        "memcpy".to_owned(),
        hashed("many", 7),
    ];
    assert_eq!(linked.split_whitespace().collect::<Vec<_>>(), expected);
}
