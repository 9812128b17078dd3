//! `musterd check` of a supervisord.conf, with this machine's users and files.

#[path = "harness/mod.rs"]
mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use harness::{is_root, skip};

fn check(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(harness::musterd());
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

/// Differences on purpose are noted once, where the file meets them, and count as nothing; a key that restores
/// the original's way ends its note.
#[test]
fn differences_on_purpose_are_noted_where_the_file_meets_them() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let programs = "[unix_http_server]\nfile=/tmp/x\nusername=u\npassword=p\nchmod=0600\n[program:a]\ncommand=/bin/cat\n\
        stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n[program:b]\ncommand=/bin/cat\nstartsecs=0\n\
        stderr_capture_maxbytes=1KB\n[eventlistener:l]\ncommand=/bin/cat\nevents=TICK_5\n\
        [fcgi-program:f]\ncommand=/bin/cat\nsocket=unix:///tmp/f\n";
    let notes = |main: &str| {
        fs::write(place.path().join("s.conf"), format!("[supervisord]\nnodaemon=true\n{programs}{main}"))
            .expect("it is ours");
        let checked = check(place.path(), &["-c", "s.conf", "--format", "json"]);
        assert_eq!(checked.status.code(), Some(0), "{}", text_of(&checked));
        let report: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("it is JSON");
        let all = report["diagnostics"].as_array().expect("it is a list").clone();
        let notes = all.iter().filter(|one| one["severity"] == "note");
        notes
            .map(|one| (one["line"].as_u64().unwrap_or(0), one["message"].as_str().unwrap_or_default().to_owned()))
            .collect::<Vec<_>>()
    };
    let all = notes("");
    let met = |line: u64, words: &str| all.iter().any(|(at, message)| *at == line && message.contains(words));
    for (line, words) in [
        (3, "XML-RPC"),
        (8, "ends all processes"),
        (8, "SIGPIPE"),
        (10, "never rotated"),
        (12, "docker logs"),
        (14, "failed start"),
        (15, "captured stream"),
        (16, "1024 events"),
        (16, "exit code"),
        (21, "stays open"),
    ] {
        assert!(met(line, words), "{line} {words} {all:#?}");
    }
    assert!(all.iter().any(|(_, message)| message.contains("equal priority")), "{all:#?}");
    assert_eq!(all.len(), 11, "each once: {all:#?}");
    let exact = notes("[musterd]\ncompat=exact\n");
    let kept = ["docker logs", "never rotated", "failed start", "captured stream", "stays open"];
    assert!(exact.iter().all(|(_, message)| kept.iter().any(|words| message.contains(words))), "{exact:#?}");
    assert_eq!(exact.len(), kept.len(), "{exact:#?}");
    let checked = check(place.path(), &["-c", "s.conf"]);
    assert!(text(&checked.stderr).contains("note: s.conf:10:16: "), "{}", text(&checked.stderr));
}

#[test]
fn limits_that_cannot_be_had_are_found_by_the_check() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let text_of_file = "[supervisord]\nnodaemon=true\nminfds=4611686018427387904\n[program:a]\ncommand=/bin/cat\n";
    fs::write(place.path().join("s.conf"), text_of_file).expect("it is ours");
    let checked = check(place.path(), &["-c", "s.conf"]);
    let err = text(&checked.stderr);
    assert!(err.contains("s.conf:3:8: minfds=4611686018427387904 is more than the "), "{err}");
    assert!(err.contains("it will not start"), "{err}");
    // And it does not.
    let run = Command::new(harness::musterd()).args(["-c", "s.conf"]).current_dir(place.path()).output();
    assert_eq!(run.expect("musterd can be executed").status.code(), Some(2));
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
    let run = Command::new(harness::musterd()).args(["-c", "s.conf"]).current_dir(place.path()).output();
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
    let mut command = Command::new(harness::musterd());
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
    let mut command = Command::new(harness::musterd());
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
    let mut command = Command::new(harness::musterd());
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
