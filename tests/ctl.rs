//! `musterctl` in scripts: exit codes, stdout and stderr, and daemons that do not answer.

mod harness;

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Daemon, Setting, ended, is_root, write_executable};
use serde_json::Value;

const PROGRAMS: &str = r#"
[program.web]
command = "sleep 1000"
startsecs = 0
[program.idle]
command = "sleep 1000"
autostart = false
startsecs = 0
[program.bad]
command = "/no/such/file"
autostart = false
startretries = 0
[program.slow]
command = ["sh", "-c", "trap 'sleep 1; exit' TERM; echo up; while :; do sleep 0.02; done"]
startsecs = 0
"#;

fn daemon() -> Daemon {
    let daemon = Setting::supervising(PROGRAMS).start();
    daemon.wait_for_running("web");
    harness::wait_until("slow is up", || daemon.output().ends_with(b"slow | up\n"));
    daemon
}

#[test]
fn exit_codes_are_the_promised_ones() {
    let daemon = daemon();
    for (words, code) in [
        (vec!["status", "web"], 0),
        (vec!["status"], 3),
        (vec!["status", "idle"], 3),
        (vec!["status", "wbe"], 4),
        (vec!["start", "web"], 0),
        (vec!["start", "bad"], 1),
        (vec!["start", "wbe"], 4),
        (vec!["stop", "idle"], 0),
        (vec!["restart", "wbe"], 4),
        (vec!["stop", "slow", "--timeout", "0.05"], 124),
        (vec!["wait", "slow", "--for", "stopped"], 0),
        (vec!["wait", "idle", "--for", "running", "--timeout", "0.05"], 124),
        (vec!["wait", "bad", "--for", "running"], 1),
        (vec!["wait", "bad", "--for", "exited"], 0),
        (vec!["signal", "USR2", "idle"], 0),
        (vec!["signal", "HOP", "web"], 2),
        (vec!["signal", "HUP", "wbe"], 4),
        (vec!["pid"], 0),
        (vec!["pid", "web"], 0),
        (vec!["pid", "idle"], 1),
        (vec!["version"], 0),
        (vec!["avail"], 0),
        (vec!["ps"], 0),
        (vec!["health"], 1),
        (vec!["completions", "bash"], 0),
        (vec!["--help"], 0),
        (vec!["--version"], 0),
        (vec!["no-such-command"], 2),
        (vec!["start"], 2),
        (vec!["wait"], 2),
        (vec!["wait", "web"], 0),
        (vec!["wait", "web", "idle", "bad"], 1),
        (vec!["stop", "web", "--timeout", "soon"], 2),
    ] {
        let ended = daemon.ctl(&words);
        assert_eq!(ended.code, Some(code), "musterctl {words:?}: {ended:?}");
        // If the request fails, the error goes to stderr and stdout holds only data; a program's failure is data.
        let speaks_on_stderr = [2, 4].contains(&code);
        assert!(!speaks_on_stderr || (ended.out.is_empty() && !ended.err.is_empty()), "{words:?}: {ended:?}");
    }
}

#[test]
fn everything_that_prints_data_prints_json() {
    let daemon = daemon();
    for words in [
        vec!["status"],
        vec!["status", "web"],
        vec!["start", "web"],
        vec!["restart", "idle"],
        vec!["stop", "idle"],
        vec!["signal", "CONT", "web"],
        vec!["wait", "web", "--for", "running"],
        vec!["pid"],
        vec!["pid", "all"],
        vec!["ps"],
        vec!["avail"],
        vec!["version"],
        vec!["health"],
    ] {
        let mut with_json = words.clone();
        with_json.push("--json");
        let ended = daemon.ctl(&with_json);
        let parsed: Result<Value, _> = serde_json::from_str(&ended.out);
        assert!(parsed.is_ok(), "musterctl {with_json:?}: {ended:?}");
        assert!(!ended.out.contains('\u{1b}'), "no colours away from a terminal");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let many: String =
        (0..200).map(|n| format!("[program.p{n}]\ncommand = \"sleep 1000\"\nautostart = false\n")).collect();
    let daemon = Setting::supervising(many).start();
    let ctl = harness::musterctl();
    let socket = daemon.socket();
    for words in ["status", "status --json", "ps --json", "--help", "completions bash", "avail"] {
        let script = format!("{{ '{ctl}' -s {} {words}; echo $? >&2; }} | head -1 >/dev/null", socket.display());
        let ended = ended(Command::new("sh").args(["-c", &script]));
        assert!(!ended.err.contains("panicked"), "{words}: {}", ended.err);
        let code: i32 = ended.err.trim().parse().unwrap_or_else(|_| panic!("{words} printed more: {}", ended.err));
        assert!([0, 3, 141].contains(&code), "{words}: {code}");
    }
    let mut child =
        daemon.ctl_command(&["status"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut err));
    let _ = child.wait();
    assert_eq!(err, "");
}

#[test]
fn without_a_daemon_it_says_where_it_looked() {
    let mut daemon = daemon();
    daemon.signal(9);
    daemon.wait();
    let ended = daemon.ctl(&["status"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(7), ""));
    assert!(ended.err.contains("stale socket") && ended.err.contains("\nhint: "), "{}", ended.err);
    std::fs::remove_file(daemon.socket()).expect("it is left behind");
    let ended = daemon.ctl(&["status"]);
    assert_eq!(ended.code, Some(7));
    assert!(ended.err.contains("there is no such socket") && ended.err.contains("sock"), "{}", ended.err);
}

#[test]
fn a_daemon_that_exits_during_a_request_is_reported() {
    let mut daemon = daemon();
    let waiting = daemon
        .ctl_command(&["wait", "slow", "--for", "exited", "--timeout", "1000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    harness::wait_until("it waits", || {
        let open = harness::find(daemon.pid()).map(|process| process.descriptors()).unwrap_or_default();
        open.values().filter(|target| target.starts_with("socket:")).count() >= 2
    });
    daemon.signal(9);
    daemon.wait();
    let output = waiting.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("closed the connection"), "{said}");
}

#[test]
fn a_daemon_that_is_stopped_is_given_up_with_a_hint() {
    let daemon = daemon();
    daemon.signal(19);
    let asked = Instant::now();
    let ended = daemon.ctl(&["status"]);
    let took = asked.elapsed();
    daemon.signal(18);
    assert_eq!(ended.code, Some(124), "{ended:?}");
    assert!(ended.err.contains("does not respond") && ended.err.contains("SIGSTOP"), "{}", ended.err);
    assert!(took < Duration::from_secs(30), "{took:?}");
    daemon.ctl_well(&["status", "web"]);
}

#[test]
fn the_environment_names_the_socket_too() {
    let daemon = daemon();
    let mut command = Command::new(harness::musterctl());
    command.args(["status", "web"]).env("MUSTER_SOCKET", daemon.socket()).stdin(Stdio::null());
    assert_eq!(ended(&mut command).code, Some(0));
    command.env("MUSTER_SOCKET", "/no/such/socket");
    assert_eq!(ended(&mut command).code, Some(7));
}

/// A copy that every user can execute.
fn copy_of_musterctl(daemon: &Daemon) -> PathBuf {
    let copy = daemon.path("musterctl");
    write_executable(&copy, &std::fs::read(harness::musterctl()).expect("it was built"));
    copy
}

#[test]
fn the_kernel_identifies_the_client_and_the_configuration_authorizes_it() {
    if !is_root() {
        return harness::skip("only root can ask as another user");
    }
    // Every user may connect, so access depends on the user alone.
    let users = "mode = \"0666\"\nallow_users = [\"12345\"]\nreadonly_users = [\"12346\"]";
    let daemon = Setting::supervising(PROGRAMS).http(users).start();
    daemon.wait_for_running("web");
    let copy = copy_of_musterctl(&daemon);
    let ask = |uid: u32, words: &[&str]| {
        let (uid, mut command) = (uid.to_string(), Command::new("setpriv"));
        command.args(["--clear-groups", "--reuid", &uid, "--regid", &uid, "--"]).arg(&copy);
        ended(command.arg("--socket").arg(daemon.socket()).args(words).stdin(Stdio::null()))
    };
    for (uid, looks, controls) in [(0, 0, 0), (12345, 0, 0), (12346, 0, 5), (65534, 5, 5)] {
        let looked = ask(uid, &["status", "web"]);
        assert_eq!(looked.code, Some(looks), "{uid} looks: {looked:?}");
        for words in [vec!["start", "web"], vec!["signal", "CONT", "web"]] {
            let controlled = ask(uid, &words);
            assert_eq!(controlled.code, Some(controls), "{uid} {words:?}: {controlled:?}");
            assert_eq!(controlled.err.contains("may not"), controls == 5, "{controlled:?}");
        }
    }
    assert_eq!(ask(65534, &["shutdown"]).code, Some(5));
    assert_eq!(ask(12346, &["shutdown"]).code, Some(5));
    assert_eq!(daemon.client.get("/livez").status, 200);
}

#[test]
fn an_inaccessible_socket_is_distinguished_from_a_missing_one() {
    if !is_root() {
        return harness::skip("only root can ask as another user");
    }
    let daemon = Setting::supervising(PROGRAMS).start();
    let copy = copy_of_musterctl(&daemon);
    let mut command = Command::new("setpriv");
    command.args(["--clear-groups", "--reuid", "65534", "--regid", "65534", "--"]).arg(&copy);
    let ended = ended(command.arg("--socket").arg(daemon.socket()).arg("status").stdin(Stdio::null()));
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.err.contains("permission denied connecting"), "{}", ended.err);
}

#[test]
fn killing_a_client_affects_nothing_else() {
    let daemon = daemon();
    let mut stop = daemon.ctl_command(&["stop", "slow"]).stdout(Stdio::null()).spawn().expect("it runs");
    daemon.wait_for_state("slow", "STOPPING");
    stop.kill().expect("it still waits");
    let _ = stop.wait();
    daemon.wait_for_state("slow", "STOPPED");
    daemon.ctl_well(&["start", "slow"]);
}

#[test]
fn another_server_on_the_socket_is_an_error() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = directory.path().join("sock");
    let listener = UnixListener::bind(&path).expect("the test directory is writable");
    let serving = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept()?;
        stream.write_all(b"220 smtp ready\r\n")
    });
    let mut command = Command::new(harness::musterctl());
    let ended = ended(command.arg("--socket").arg(&path).arg("status").stdin(Stdio::null()));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let _ = serving.join();
}

#[test]
fn the_one_file_of_images_is_either_by_its_name() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let muster = harness::muster();
    for name in ["musterd", "musterctl"] {
        let link = directory.path().join(name);
        std::os::unix::fs::symlink(muster, &link).expect("the test directory is writable");
        let version = ended(Command::new(&link).arg("--version"));
        assert!(version.out.starts_with(name), "{name}: {version:?}");
        let by_argument = ended(Command::new(muster).args([name, "--version"]));
        assert_eq!(by_argument.out, version.out);
    }
    assert_eq!(ended(&mut Command::new(muster)).code, Some(2));
}

/// No wait may run into its timeout; one that does exits with 124.
const LONG: &str = "1000";

#[test]
fn one_that_gave_up_ends_the_wait_for_all() {
    let programs = "
[program.slow]
command = \"sleep 1000\"
startsecs = 900
[program.bad]
command = [\"sh\", \"-c\", \"sleep 0.3; exit 3\"]
startsecs = 60
startretries = 0
";
    let daemon = Setting::supervising(programs).start();
    for awaited in ["running", "ready", "healthy"] {
        let ended = daemon.ctl(&["wait", "all", "--for", awaited, "--timeout", LONG]);
        assert_eq!(ended.code, Some(1), "{awaited}: {ended:?}");
        assert_eq!(ended.out, "bad: ERROR (exit status 3)\nslow: ERROR (not done: STARTING)\n", "{awaited}");
    }
    // The wait for the program that exited is over, and the other may still exit.
    let ended = daemon.ctl(&["wait", "all", "--for", "exited", "--timeout", "0.2"]);
    assert_eq!(ended.code, Some(124), "{ended:?}");
}

#[test]
fn a_completed_program_satisfies_a_wait() {
    let programs = "
[program.migrate]
command = \"true\"
type = \"oneshot\"
[program.batch]
command = \"true\"
startsecs = 0
restart = \"no\"
[program.web]
command = \"sleep 1000\"
startsecs = 0
depends_on = { migrate = \"completed\" }
";
    let daemon = Setting::supervising(programs).start();
    let printed = daemon.ctl_well(&["wait", "all", "--for", "running", "--timeout", LONG]);
    assert_eq!(printed, "batch: EXITED\nmigrate: EXITED\nweb: RUNNING\n");
    for awaited in [&["--for", "ready"][..], &["--for", "healthy"], &[]] {
        let printed = daemon.ctl_well(&[&["wait", "migrate", "web", "--timeout", LONG][..], awaited].concat());
        assert_eq!(printed, "migrate: EXITED\nweb: RUNNING\n", "{awaited:?}");
        // It serves no clients now.
        assert_eq!(daemon.ctl(&[&["wait", "batch", "--timeout", LONG][..], awaited].concat()).code, Some(1));
    }
}

#[test]
fn a_hopeless_wait_fails_immediately_with_the_reason() {
    let programs = "
[program.db]
command = \"false\"
startretries = 0
autostart = false
[program.mid]
command = \"sleep 1000\"
startsecs = 0
autostart = false
depends_on = { db = \"started\" }
[program.app]
command = \"sleep 1000\"
startsecs = 0
autostart = false
depends_on = { mid = \"started\" }
";
    let daemon = Setting::supervising(programs).start();
    let fatal = "waiting for db to run, which is FATAL";
    let through_mid = "waiting for mid to run, which waits for db to run, which is FATAL";
    for (words, line) in [
        (["start", "mid"], format!("mid: ERROR ({fatal})\n")),
        (["start", "app"], format!("app: ERROR ({through_mid})\n")),
        (["restart", "app"], format!("app: ERROR ({through_mid})\n")),
        (["wait", "mid"], format!("mid: ERROR ({fatal})\n")),
        (["wait", "app"], format!("app: ERROR ({through_mid})\n")),
    ] {
        let ended = daemon.ctl(&[&words[..], &["--timeout", LONG]].concat());
        assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (Some(1), line.as_str(), ""), "{words:?}");
    }
    // It keeps waiting, and on timeout it reports the unmet condition.
    assert_eq!(daemon.state("app"), "WAITING");
    daemon.ctl_well(&["stop", "all"]);
    let slow = "command = [\"sh\", \"-c\", \"exec sleep 1000\"]\nstartsecs = 900\nautostart = false";
    daemon.rewrite(&Setting::supervising(
        programs.replace("command = \"false\"\nstartretries = 0\nautostart = false", slow),
    ));
    daemon.ctl_well(&["update"]);
    let ended = daemon.ctl(&["start", "mid", "--timeout", "0.2"]);
    assert_eq!(ended.out, "mid: ERROR (not done: WAITING, waiting for db to run)\n");
    assert!(ended.err.starts_with("error: timed out after 200ms: 1 of 1 not done\n"), "{}", ended.err);
    assert_eq!(ended.code, Some(124));
}
