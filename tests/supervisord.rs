//! `musterd check` of a supervisord.conf, with this machine's users and files.

#[path = "harness/mod.rs"]
mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use harness::{is_root, skip};

fn check(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_musterd"));
    command.arg("check").args(arguments).current_dir(directory).env("SECONDS_TO_SLEEP", "5");
    command.output().expect("musterd can be executed")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

const GOOD: &str = "[supervisord]\nnodaemon=true\n\n\
    [program:web]\ncommand=/bin/sleep %(ENV_SECONDS_TO_SLEEP)s ; a comment\nnumprocs=2\n\
    process_name=%(program_name)s_%(process_num)02d\nuser=root\nautorestrat=true\n\n\
    [include]\nfiles=conf.d/*.conf\n";

#[test]
fn a_good_file_is_read_with_what_it_includes_and_typos_are_warnings() {
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(place.path().join("conf.d")).expect("it is ours");
    fs::write(place.path().join("conf.d/db.conf"), "[program:db]\ncommand=/bin/cat\n").expect("it is ours");
    fs::write(place.path().join("s.conf"), GOOD).expect("it is ours");
    let checked = check(place.path(), &["-c", "s.conf"]);
    let (out, err) = (text(&checked.stdout), text(&checked.stderr));
    assert_eq!(checked.status.code(), Some(0), "{out}{err}");
    assert!(out.starts_with("2 files, 3 programs, 0 errors, 1 warning\n"), "{out}");
    assert!(err.contains("s.conf:9:1: [program:web] autorestrat is not a key that is read"), "{err}");
    assert!(err.contains("write autorestart"), "{err}");
    assert_eq!(check(place.path(), &["-c", "s.conf", "--strict"]).status.code(), Some(2));
}

#[test]
fn every_mistake_is_reported_with_its_place_and_nothing_is_run() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let bad = "[supervisord]\nloglevel=loud\n[program:web]\ncommand=/bin/sleep 1\npriority=high\n\
        [program:x]\ncommand=foo %(ENV_NOT_SET_ANYWHERE)s\nuser=no_such_user_here\nstopsignal=FOO\n";
    fs::write(place.path().join("s.conf"), bad).expect("it is ours");
    let checked = check(place.path(), &["-c", "s.conf", "--format", "json"]);
    assert_eq!(checked.status.code(), Some(2));
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("it is JSON");
    let found = report["diagnostics"].as_array().expect("it is a list");
    let lines: Vec<u64> = found.iter().filter_map(|one| one["line"].as_u64()).collect();
    assert_eq!(lines, [2, 5, 7, 8, 9], "{report:#}");
    let messages: Vec<&str> = found.iter().filter_map(|one| one["message"].as_str()).collect();
    for (message, words) in messages.iter().zip(["loud", "high", "NOT_SET_ANYWHERE", "no_such_user_here", "FOO"]) {
        assert!(message.contains(words), "{message}");
    }
    let run = Command::new(env!("CARGO_BIN_EXE_musterd")).args(["-c", "s.conf"]).current_dir(place.path()).output();
    let run = run.expect("musterd can be executed");
    assert_eq!(run.status.code(), Some(2));
    assert!(text(&run.stderr).contains("s.conf:2:10: "), "{}", text(&run.stderr));
}

/// A FIFO must not block the check, and a file that another user can replace has no authority.
#[test]
fn included_files_of_others_are_passed_over_and_a_fifo_blocks_nothing() {
    if !is_root() {
        return skip("only root can create files of another user");
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let parts = place.path().join("conf.d");
    fs::create_dir(&parts).expect("it is ours");
    nix::unistd::mkfifo(&parts.join("a.conf"), nix::sys::stat::Mode::S_IRWXU).expect("it is ours");
    fs::write(parts.join("b.conf"), "[program:theirs]\ncommand=/bin/cat\n").expect("it is ours");
    std::os::unix::fs::chown(parts.join("b.conf"), Some(12345), None).expect("root can");
    fs::write(place.path().join("s.conf"), GOOD).expect("it is ours");
    let checked = check(place.path(), &["-c", "s.conf"]);
    let (out, err) = (text(&checked.stdout), text(&checked.stderr));
    assert!(out.starts_with("1 file, 2 programs, "), "{out}{err}");
    for name in ["conf.d/a.conf", "conf.d/b.conf"] {
        assert!(err.contains(name), "{name} is reported: {err}");
    }
}

/// A configuration can name any variable and include any file of its owner or of root.
#[test]
fn mistakes_show_neither_variables_nor_lines_of_files() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let text = "[supervisord]\n[program:a]\ncommand=x\npriority=%(ENV_TOKEN)s\nenvironment=A=\"1\",\nhunter2\n\
        [rpcinterface:x]\nsupervisor.rpcinterface_factory=%(ENV_TOKEN)s\n[include]\nfiles=other\n";
    fs::write(place.path().join("s.conf"), text).expect("it is ours");
    fs::write(place.path().join("other"), "root:hunter2\n").expect("it is ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_musterd"));
    command.args(["check", "-c", "s.conf"]).current_dir(place.path()).env("TOKEN", "topsecret");
    let checked = command.output().expect("musterd can be executed");
    let shown = text_of(&checked);
    assert_eq!(checked.status.code(), Some(2), "{shown}");
    assert!(!shown.contains("topsecret") && !shown.contains("hunter2"), "{shown}");
    for expected in ["priority must be a whole number: '%(ENV_TOKEN)s'", "s.conf:6:1: ", "other:1:1: "] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

#[test]
fn a_main_file_is_known_by_its_section_also_after_a_byte_order_mark() {
    let place = tempfile::tempdir().expect("a temporary directory");
    for text in ["\u{feff}[supervisord]\n[include]\nfiles=none\n", "#\r[supervisord]\r[include]\rfiles=none\r"] {
        fs::write(place.path().join("s.conf"), text).expect("it is ours");
        let shown = text_of(&check(place.path(), &["-c", "s.conf"]));
        assert!(shown.contains("no file matches"), "{text:?}: {shown}");
    }
}

#[test]
fn an_included_file_s_name_stays_on_its_line_and_sends_nothing_to_the_terminal() {
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::write(place.path().join("a\x1b[31m\nerror: b.conf"), "[program:x]\ncommand=%(nope)s\n").expect("it is ours");
    fs::write(place.path().join("s.conf"), "[supervisord]\n[include]\nfiles=a*.conf\n").expect("it is ours");
    let shown = text_of(&check(place.path(), &["-c", "s.conf"]));
    assert!(shown.contains("[31m\\nerror: b.conf:2:9: [program:x] command: "), "{shown}");
    assert!(!shown.contains('\x1b'), "{shown}");
}

#[test]
fn a_section_written_as_in_toml_gets_a_hint() {
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::write(place.path().join("s.ini"), "[program.web]\ncommand = \"x\"\n").expect("it is ours");
    let shown = text_of(&check(place.path(), &["-c", "s.ini"]));
    assert!(shown.contains("hint: write [program:web]"), "{shown}");
}

#[test]
fn patterns_and_values_are_bounded() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let bomb = "[supervisord]\n[include]\nfiles=/proc/*/*/*/*/*/*/x\n";
    fs::write(place.path().join("bomb.conf"), bomb).expect("it is ours");
    let checked = check(place.path(), &["-c", "bomb.conf"]);
    assert_eq!(checked.status.code(), Some(2));
    assert!(text(&checked.stderr).contains("files looks at more than 100000 names"), "{}", text(&checked.stderr));
    let long = format!("[supervisord]\n[program:a]\ncommand=x\npriority={}\n", "x".repeat(1 << 20));
    fs::write(place.path().join("long.conf"), long).expect("it is ours");
    let checked = check(place.path(), &["-c", "long.conf"]);
    assert_eq!(checked.status.code(), Some(2));
    assert!(checked.stderr.len() < 10_000, "a message is {} bytes long", checked.stderr.len());
}

#[test]
fn a_main_file_may_be_a_pipe() {
    let place = tempfile::tempdir().expect("a temporary directory");
    std::os::unix::fs::symlink("/dev/stdin", place.path().join("s.conf")).expect("it is ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_musterd"));
    command.args(["check", "-c", "s.conf"]).current_dir(place.path());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut checking = command.spawn().expect("musterd can be executed");
    let mut input = checking.stdin.take().expect("it is a pipe");
    std::io::Write::write_all(&mut input, b"[supervisord]\n[program:a]\ncommand=/bin/cat\n").expect("it is read");
    drop(input);
    let checked = checking.wait_with_output().expect("it ends");
    assert!(text(&checked.stdout).starts_with("1 file, 1 program, 0 errors"), "{}", text(&checked.stdout));
}

/// Everything else that musterd does blocks signals first, since a supervisor handles them.
#[test]
fn a_check_can_be_terminated() {
    let place = tempfile::tempdir().expect("a temporary directory");
    nix::unistd::mkfifo(&place.path().join("s.conf"), nix::sys::stat::Mode::S_IRWXU).expect("it is ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_musterd"));
    let mut checking =
        command.args(["check", "-c", "s.conf"]).current_dir(place.path()).spawn().expect("musterd can be executed");
    let status = format!("/proc/{}/status", checking.id());
    harness::wait_until("it waits for a writer and takes signals", || {
        let status = fs::read_to_string(&status).unwrap_or_default();
        status.contains("SigBlk:\t0000000000000000") && status.contains("State:\tS")
    });
    harness::send(i32::try_from(checking.id()).expect("a pid"), 15);
    let ended = checking.wait().expect("it is our child");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(15));
}
