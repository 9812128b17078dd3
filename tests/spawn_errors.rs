//! Programs that cannot be started: `status`, the API and the log report which step failed and why, the start is
//! retried as configured and given up, and the daemon and its other programs are unaffected.

mod harness;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use harness::{Daemon, Setting, is_root, write_executable};

/// A program that cannot be started, and the text that its reason must contain.
struct Case {
    name: &'static str,
    lines: String,
    reason: String,
}

fn case(name: &'static str, lines: impl Into<String>, reason: impl Into<String>) -> Case {
    Case { name, lines: lines.into(), reason: reason.into() }
}

/// Files that cannot be executed, each for a different reason.
fn make_files(directory: &Path) {
    let file = |name: &str, bytes: &[u8]| write_executable(&directory.join(name), bytes);
    file("plain", b"#!/bin/sh\n");
    fs::set_permissions(directory.join("plain"), fs::Permissions::from_mode(0o644)).expect("the test owns the file");
    file("garbage", b"this is neither a script nor a program\n");
    file("empty", b"");
    file("orphan", b"#!/no/such/interpreter\n");
    file("from-windows", b"#!/bin/sh\r\necho\r\n");
    file("foreign", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xff\x7f\x01\0\0\0");
    symlink("loop", directory.join("loop")).expect("the test directory is writable");
}

fn cases(directory: &Path) -> Vec<Case> {
    let here = directory.display();
    let command = |name: &str| format!("command = \"{here}/{name}\"");
    let sleep = "command = \"sleep 1000\"\n";
    vec![
        case("missing", command("missing"), format!("{here}/missing: no such file")),
        case("unfound", "command = \"no-such-program\"", "no-such-program: not found in PATH ("),
        case("directory", format!("command = \"{here}\""), format!("{here}: is a directory")),
        case("plain", command("plain"), "plain: permission denied: not executable (mode 0644)"),
        case("garbage", command("garbage"), "garbage: not an executable: no #! line"),
        case("empty", command("empty"), "empty: not an executable: the file is empty"),
        case("orphan", command("orphan"), "orphan: its interpreter /no/such/interpreter does not exist"),
        case("windows", command("from-windows"), "the #! line ends with a carriage return"),
        case("foreign", command("foreign"), "foreign: not an executable for this machine"),
        case("loop", command("loop"), "loop: too many symbolic links"),
        case("under-file", command("plain/under"), "plain/under: a part of the path is not a directory"),
        case("device", "command = \"/dev/null\"", "/dev/null: permission denied: not a regular file"),
        case("no-cwd", format!("{sleep}directory = \"/no/such/place\""), "directory /no/such/place: no such directory"),
        case("cwd-file", format!("{sleep}directory = \"{here}/plain\""), "plain: not a directory"),
        case("no-user", format!("{sleep}user = \"no-such-user\""), "\"no-such-user\""),
        case("no-group", format!("{sleep}user = \"root:no-such-group\""), "\"no-such-group\""),
        case(
            "too-long",
            format!("command = [\"true\", \"{}\"]", "x".repeat(132_000)),
            "argument list and environment too long: 13",
        ),
    ]
}

fn program(case: &Case) -> String {
    format!(
        "[program.{}]\n{}\nstartretries = 2\nbackoff = {{ delay = \"20ms\", max = \"20ms\" }}\n",
        case.name, case.lines
    )
}

const WITNESS: &str = "[program.witness]\ncommand = \"sleep 1000\"\nstartsecs = 0\n";

#[test]
fn each_reason_is_reported_everywhere_and_no_other_program_is_affected() {
    let files = tempfile::tempdir().expect("a temporary directory can be created");
    make_files(files.path());
    let cases = cases(files.path());
    let mut daemon = Setting::supervising(WITNESS.to_owned() + &cases.iter().map(program).collect::<String>()).start();
    let witness = daemon.wait_for_running("witness");
    for case in &cases {
        check(&daemon, case);
    }
    assert_eq!(daemon.pid_of("witness"), witness);
    assert_eq!(daemon.processes().len(), 1, "a failed start leaves no process");
    daemon.finish();
}

fn check(daemon: &Daemon, Case { name, reason, .. }: &Case) {
    let program = daemon.wait_for_state(name, "FATAL");
    let told = program["exit"]["reason"].as_str().unwrap_or_default();
    assert!(told.contains(reason), "{name}: {told}");
    assert!(!told.contains("os error"), "{name}: in words, not numbers: {told}");
    let description = program["description"].as_str().unwrap_or_default();
    assert!(description.contains(reason) && description.ends_with("; gave up after 2 restarts"), "{description}");
    let status = daemon.ctl(&["status", name]);
    assert!(status.out.contains(reason) && status.code == Some(3), "{name}: {status:?}");
    let lines = daemon.settled_log();
    let errors: Vec<_> = lines.iter().filter(|line| line.level == "ERROR" && line.message.contains(reason)).collect();
    assert_eq!(errors.len(), 3, "{name}: one line for each of the three tries");
    assert!(errors.iter().all(|line| line.says(name, &line.message) && line.message.starts_with("cannot spawn")));
    let started = daemon.ctl(&["start", name]);
    assert!(started.code == Some(1) && started.out.contains(reason), "{name}: {started:?}");
}

#[test]
fn a_command_that_fails_immediately_is_distinguished_from_one_that_cannot_be_started() {
    let daemon =
        Setting::supervising("[program.false]\ncommand = \"false\"\nstartretries = 1\nbackoff = { delay = 0 }\n")
            .start();
    let program = daemon.wait_for_state("false", "FATAL");
    assert_eq!(program["exit"]["reason"], "exit status 1");
    assert!(daemon.settled_log().iter().all(|line| !line.message.contains("cannot spawn")), "{}", daemon.story());
}

#[test]
fn a_user_whose_limit_of_processes_is_reached_cannot_start_another() {
    if !is_root() {
        return harness::skip("only root can start programs as another user");
    }
    // A user id that is unused on this machine: the limit counts by user.
    let uid = 3_000_000 + std::process::id();
    let program = |name: &str, more: &str| {
        format!(
            "[program.{name}]\ncommand = \"sleep 1000\"\nuser = \"{uid}:{uid}\"\nrlimits = {{ nproc = 1 }}\nstartsecs = 0\n{more}\n"
        )
    };
    // The kernel allows one more than the limit: it checks at setuid(2), before the new process is counted.
    let second = "autostart = false\nstartretries = 2\nbackoff = { delay = \"20ms\" }";
    let daemon = Setting::supervising(program("first", "numprocs = 2") + &program("second", second)).start();
    daemon.wait_for_running("first:0");
    daemon.wait_for_running("first:1");
    assert_eq!(daemon.ctl(&["start", "second"]).code, Some(1));
    let told = daemon.wait_for_state("second", "FATAL")["exit"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(told.contains("limit of processes") && told.contains("RLIMIT_NPROC"), "{told}");
    // It can be started as soon as the limit allows.
    daemon.ctl_well(&["stop", "first:0"]);
    assert_eq!(daemon.ctl_well(&["start", "second"]), "second: started\n");
}

#[test]
fn a_daemon_that_cannot_fork_keeps_running_and_starts_programs_once_it_can() {
    if !is_root() {
        return harness::skip("only root can run the daemon as a user of its own");
    }
    let uid = 3_500_000 + std::process::id();
    let program = |name: &str| {
        format!(
            "[program.{name}]\ncommand = \"sleep 1000\"\nstartsecs = 0\nbackoff = {{ delay = \"50ms\", max = \"50ms\" }}\nstartretries = \"unlimited\"\n"
        )
    };
    // The daemon's threads count, too: the limit allows some programs and not all.
    let names: Vec<String> = (0..30).map(|number| format!("p{number}")).collect();
    let programs: String = names.iter().map(|name| program(name)).collect();
    let limit = ["prlimit", "--nproc=20:20", "--"];
    let mut daemon = Setting::supervising(programs).owned_by(uid).within(&limit).start();
    let line = daemon.log.wait_for("no process can be made", |line| line.message.contains("the limit of processes"));
    assert_eq!(line.level, "ERROR");
    let count = |state: &str| names.iter().filter(|name| daemon.state(name) == state).count();
    harness::wait_until("some run", || count("RUNNING") > 0 && count("STARTING") == 0);
    assert!(count("RUNNING") < 20, "{}", daemon.story());
    let running: Vec<&String> = names.iter().filter(|name| daemon.state(name) == "RUNNING").collect();
    daemon.ctl_well(&["stop", running[0]]);
    let has_taken_its_place = |name: &String| !running.contains(&name) && daemon.state(name) == "RUNNING";
    harness::wait_until("another one takes its place", || names.iter().any(has_taken_its_place));
    daemon.finish();
}

#[test]
fn a_program_whose_file_appears_later_is_started_once_it_exists() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = directory.path().join("late");
    let program = format!(
        "[program.late]\ncommand = {path:?}\nstartsecs = 0\nstartretries = \"unlimited\"\n\
         backoff = {{ delay = \"20ms\", max = \"20ms\" }}\n"
    );
    let daemon = Setting::supervising(program).start();
    daemon.log.wait_for("it is missed", |line| line.message.contains("no such file"));
    let ready = directory.path().join("ready");
    write_executable(&ready, b"#!/bin/sh\nexec sleep 1000\n");
    fs::rename(ready, path).expect("the test directory is writable");
    daemon.wait_for_running("late");
}
