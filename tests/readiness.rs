//! Readiness and the watchdog: how a run reports that it is ready, whose messages count, and what happens without any.

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use harness::{Daemon, Server, Setting, both_places, is_root, puppet, skip, wait_for, wait_until};

/// A program that sends these messages on its socket.
fn teller(name: &str, texts: &[&str], more: &str) -> String {
    let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
    let part = format!("teller {}", serde_json::to_string(&texts).expect("it is a list of texts"));
    puppet::program(name, &part, &format!("startsecs = 0\nbackoff = {{ delay = \"10ms\", factor = 1 }}\n{more}"))
}

fn sleeper(name: &str, more: &str) -> String {
    format!("[program.{name}]\ncommand = \"sleep 1000\"\nstartsecs = 0\n{more}\n")
}

fn shell(name: &str, script: &str, more: &str) -> String {
    format!("[program.{name}]\ncommand = ['sh', '-c', '{}']\nstartsecs = 0\n{more}\n", script.replace('$', "$$"))
}

/// Checks that it has started and is not ready.
fn assert_not_ready(daemon: &Daemon, name: &str) {
    let program = daemon.program(name);
    assert_eq!((&program["state"], &program["ready"]), (&"STARTING".into(), &false.into()), "{program}");
}

fn has_systemd_notify() -> bool {
    let found = std::process::Command::new("systemd-notify").arg("--version").output().is_ok();
    if !found {
        skip("there is no systemd-notify here");
    }
    found
}

#[test]
fn a_run_is_running_once_it_reports_readiness_and_not_before() {
    for place in both_places() {
        let texts = ["STATUS=warming up", "until {here}/warm", "READY=1\nSTATUS=serving"];
        let daemon = Setting::supervising(teller("web", &texts, "ready = \"notify\"")).at(place).start();
        wait_until("its status is known", || daemon.program("web")["status"] == "warming up");
        assert_not_ready(&daemon, "web");
        let description = daemon.program("web")["description"].to_string();
        assert!(description.contains("not ready, warming up"), "{description}");
        fs::write(daemon.path("warm"), "").expect("the test directory is writable");
        let ready = daemon.wait_for_state("web", "RUNNING");
        assert_eq!(ready["ready"], true);
        wait_until("its status is shown", || daemon.program("web")["status"] == "serving");
        let line = daemon.ctl_well(&["status", "web"]);
        assert!(line.contains("RUNNING   pid ") && line.trim_end().ends_with(", serving"), "{line}");
        daemon.log.wait_for_program("web", "ready");
    }
}

#[test]
fn a_prompt_without_a_newline_is_matched_beside_a_busy_program() {
    let programs = shell("repl", "printf \"starting\\nready> \"; sleep 1000", "ready = { log = \"^ready> $\" }")
        + &shell("busy", "while :; do echo busy; sleep 0.02; done", "");
    let daemon = Setting::supervising(programs).start();
    assert_eq!(daemon.wait_for_state("repl", "RUNNING")["ready"], true);
}

#[test]
fn systemd_notify_is_understood() {
    if !has_systemd_notify() {
        return;
    }
    for place in both_places() {
        // Without --no-block it waits until the daemon has received the message (BARRIER=1).
        let script = "systemd-notify --ready --status=\"up and away\"; echo notified $?; exec sleep 1000";
        let daemon = Setting::supervising(shell("web", script, "ready = \"notify\"")).at(place).start();
        let web = daemon.wait_for_state("web", "RUNNING");
        assert_eq!(web["status"], "up and away");
        wait_until("systemd-notify has ended", || {
            String::from_utf8_lossy(&daemon.output()).contains("web | notified 0")
        });
        let complaint = "ignored a notification from a process outside the program";
        assert!(daemon.settled_log().iter().all(|line| line.message != complaint), "{}", daemon.story());
    }
}

#[test]
fn a_sender_that_has_ended_is_believed_as_the_programs_user() {
    if !has_systemd_notify() {
        return;
    }
    // The sender exits before its program can be looked up.
    let web = teller("web", &["fork READY=1"], "ready = \"notify\"");
    let daemon = Setting::supervising(web).start();
    daemon.wait_for_state("web", "RUNNING");
}

#[test]
fn programs_of_other_users_can_tell_by_path_and_without_a_path() {
    if !is_root() {
        return skip("only root can run programs as others");
    }
    if !has_systemd_notify() {
        return;
    }
    let script = "echo $NOTIFY_SOCKET; systemd-notify --ready; exec sleep 1000";
    let web = shell("web", script, "ready = \"notify\"\nuser = \"65534:65534\"");
    let told = |daemon: &Daemon| {
        daemon.log.wait_for_program("web", "ready");
        wait_for("it printed its NOTIFY_SOCKET", || {
            Some(String::from_utf8_lossy(&daemon.output()).into_owned()).filter(|said| !said.is_empty())
        })
    };
    // Without a control socket there is no directory of the daemon's own.
    let mut daemon = Setting::supervising(&web).http("socket = \"\"").launch();
    let said = told(&daemon);
    assert!(said.contains("web | @muster-notify/"), "{said}");
    daemon.terminate();
    daemon.wait();

    let open = tempfile::tempdir().expect("a directory can be created");
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).expect("the test owns it");
    let socket = open.path().join("muster.sock");
    let mut daemon = Setting::supervising(&web).http(&format!("socket = {socket:?}")).launch();
    let said = told(&daemon);
    assert!(said.contains("/muster.sock.notify/"), "{said}");
    daemon.finish();
    assert_eq!(fs::read_dir(open.path()).expect("it exists").count(), 0, "a file was left beside the socket");
}

#[test]
fn a_program_cannot_notify_for_another() {
    let address = tempfile::NamedTempFile::new().expect("a file can be made");
    let path = address.path().display();
    if !has_systemd_notify() {
        return;
    }
    let web = shell(
        "web",
        &format!("echo $NOTIFY_SOCKET > {path}.new; mv {path}.new {path}; exec sleep 1000"),
        "ready = \"notify\"",
    );
    let script = format!(
        "until test -s {path}; do sleep 0.01; done; export NOTIFY_SOCKET=$(cat {path}); \
                          systemd-notify --ready; systemd-notify --ready; exec sleep 1000"
    );
    let daemon = Setting::supervising(format!("{web}{}", shell("liar", &script, ""))).start();
    let told = daemon.log.wait_for_program("web", "ignored a notification from a process outside the program");
    assert_eq!(told.level, "WARN");
    wait_until("the liar has sent it twice", || daemon.processes().iter().all(|process| process.comm == "sleep"));
    assert_not_ready(&daemon, "web");
    let complaints = daemon.settled_log();
    let complaints = complaints.iter().filter(|line| line.message.starts_with("ignored a notification")).count();
    // systemd-notify sends two messages each time: a burst is logged, and then one line a minute.
    assert!((1..=5).contains(&complaints), "{complaints} complaints");
}

#[test]
fn a_newline_on_a_descriptor_makes_ready() {
    for place in both_places() {
        let web = shell("web", "printf half >&7; sleep 0.2; echo >&7; exec sleep 1000", "ready = { fd = 7 }");
        let daemon = Setting::supervising(web).at(place).start();
        daemon.wait_for_state("web", "RUNNING");
        daemon.log.wait_for_program("web", "ready");
    }
    let never = shell("web", "exec 7>&-; exec sleep 1000", "ready = { fd = 7 }\nstart_timeout = \"300ms\"");
    let daemon = Setting::supervising(never).start();
    daemon.log.wait_for_program("web", "failed, stopping it");
}

#[test]
fn a_line_of_output_makes_ready_on_either_stream() {
    for stream in ["1", "2"] {
        let script = format!(
            "echo not ready for anything >&{stream}; sleep 0.2; printf \"server read\" >&{stream}; \
                              echo y >&{stream}; exec sleep 1000"
        );
        let web = shell("web", &script, "ready = { log = '^server ready$' }");
        let daemon = Setting::supervising(web).start();
        daemon.wait_for_state("web", "RUNNING");
    }
}

#[test]
fn a_check_makes_ready() {
    let server = Server::answering(503);
    let directory = tempfile::tempdir().expect("a directory can be created");
    let flag = directory.path().join("up");
    let programs = [
        sleeper("http", &format!("ready = {{ http = \"{}\" }}", server.url("/"))),
        sleeper("tcp", &format!("ready = {{ tcp = \"127.0.0.1:{}\" }}", server.port)),
        sleeper("exec", &format!("ready = {{ exec = [\"test\", \"-e\", {:?}] }}", flag.display().to_string())),
    ];
    let daemon = Setting::supervising(programs.concat()).start();
    daemon.wait_for_state("tcp", "RUNNING");
    wait_until("it was probed", || server.hits() > 3);
    assert_not_ready(&daemon, "http");
    assert_not_ready(&daemon, "exec");
    server.answer(200);
    daemon.wait_for_state("http", "RUNNING");
    fs::write(&flag, "").expect("it can be written");
    daemon.wait_for_state("exec", "RUNNING");
}

#[test]
fn a_run_that_does_not_get_ready_in_time_has_failed_unless_it_asks_for_more_time() {
    let late = teller("late", &[], "ready = \"notify\"\nstart_timeout = \"300ms\"\nstartretries = 0");
    // Becomes ready long after the configured time.
    let slow = teller(
        "slow",
        &["EXTEND_TIMEOUT_USEC=40000000", "sleep 5", "READY=1"],
        "ready = \"notify\"\nstart_timeout = \"4s\"\nstartretries = 0",
    );
    let daemon = Setting::supervising(format!("{late}{slow}")).start();
    let fatal = daemon.wait_for_state("late", "FATAL");
    assert_eq!(fatal["exit"]["success"], false);
    let told = daemon.log.wait_for_program("late", "failed, stopping it");
    assert!(told.field("cause").is_some_and(|cause| cause.contains("ready in time")), "{told:?}");
    daemon.wait_for_state("slow", "RUNNING");
}

#[test]
fn a_watchdog_ends_a_run_that_is_silent_and_no_other() {
    let lively = teller("lively", &["READY=1", "watchdog 50"], "ready = \"notify\"\nwatchdog = \"3s\"");
    let silent =
        teller("silent", &["READY=1", "WATCHDOG=1"], "ready = \"notify\"\nwatchdog = \"200ms\"\nstartretries = 0");
    let sick =
        teller("sick", &["READY=1", "WATCHDOG=trigger"], "ready = \"notify\"\nwatchdog = \"1h\"\nstartretries = 0");
    let changed = teller(
        "changed",
        &["READY=1", "WATCHDOG_USEC=100000", "WATCHDOG=1"],
        "ready = \"notify\"\nwatchdog = \"1h\"\nstartretries = 0",
    );
    let daemon = Setting::supervising([lively, silent, sick, changed].concat()).start();
    let pid = daemon.wait_for_running("lively");
    for (program, reason) in
        [("silent", "no sign of life"), ("sick", "triggered by the program"), ("changed", "no sign of life")]
    {
        daemon.wait_for_state(program, "FATAL");
        let told = daemon.log.wait_for_program(program, "failed, stopping it");
        assert!(told.field("cause").is_some_and(|cause| cause.contains(reason)), "{program}: {told:?}");
    }
    assert_eq!(daemon.pid_of("lively"), pid);
}

#[test]
fn messages_sent_before_the_end_count() {
    let once = teller("once", &["READY=1", "exit 0"], "ready = \"notify\"\ntype = \"oneshot\"");
    let after = sleeper("after", "depends_on = { once = \"completed\" }");
    let daemon = Setting::supervising(format!("{once}{after}")).start();
    daemon.wait_for_running("after");
    assert_eq!(daemon.program("once")["state"], "EXITED");
    daemon.log.wait_for_program("once", "ready");
}

#[test]
fn unsupported_messages_are_logged_and_garbage_does_no_harm() {
    let web = teller(
        "web",
        &["long 65000", "long 3000", "\u{1}\u{2}=\n\n=x", "FDSTORE=1\nFDNAME=x", "MAINPID=1", "BARRIER=1", "READY=1"],
        "ready = \"notify\"",
    );
    let daemon = Setting::supervising(web).start();
    daemon.wait_for_state("web", "RUNNING");
    let lines = daemon.settled_log();
    for (said, times) in [
        ("ignored a notification that is too long or not in sd_notify format", 1),
        ("FDSTORE=1 is not supported, descriptors are closed", 1),
        ("ignored a MAINPID that is not a live process of the program", 1),
    ] {
        let found = lines.iter().filter(|line| line.says("web", said)).count();
        assert_eq!(found, times, "{said}\n{}", daemon.story());
    }
}

#[test]
fn a_flood_of_messages_delays_no_request() {
    let flood = teller("flood", &["READY=1", "flood 100000000"], "ready = \"notify\"");
    let mut daemon = Setting::supervising(format!("{flood}{}", sleeper("web", ""))).start();
    daemon.wait_for_running("flood");
    let slowest = (0..50).map(|_| {
        let began = Instant::now();
        assert_eq!(daemon.client.get("/v1/programs/web").status, 200);
        began.elapsed()
    });
    let slowest = slowest.max().unwrap_or_default();
    assert!(slowest < Duration::from_secs(2), "an answer took {slowest:?}");
    daemon.ctl_well(&["restart", "web"]);
    daemon.finish();
}

#[test]
fn only_programs_that_notify_get_a_socket() {
    let print = |name: &str, more: &str| {
        shell(name, "env | grep -E \"NOTIFY|WATCHDOG\" | sort; echo done; exec sleep 1000", more)
    };
    let programs = [
        print("plain", ""),
        print("dog", "watchdog = \"2s\""),
        print("both", "ready = \"notify\"\nwatchdog = \"1500ms\""),
    ];
    let daemon = Setting::supervising(programs.concat())
        .env("NOTIFY_SOCKET", "/run/somebody/else")
        .env("WATCHDOG_USEC", "1")
        .env("WATCHDOG_PID", "1")
        .start();
    let said = wait_for("all three are done", || {
        let said = String::from_utf8_lossy(&daemon.output()).into_owned();
        (said.matches("done").count() == 3).then_some(said)
    });
    let of = |name: &str| -> Vec<&str> {
        let prefix = format!("{name} | ");
        said.lines().filter_map(|line| line.strip_prefix(prefix.as_str())).filter(|line| *line != "done").collect()
    };
    assert_eq!(of("plain"), [] as [&str; 0]);
    for (name, interval) in [("dog", "WATCHDOG_USEC=2000000"), ("both", "WATCHDOG_USEC=1500000")] {
        let told = of(name);
        assert!(told.len() == 3 && told[0].starts_with("NOTIFY_SOCKET=") && told[2] == interval, "{name}: {told:?}");
        let pid = daemon.program(name)["pid"].to_string();
        assert_eq!(told[1], format!("WATCHDOG_PID={pid}"));
        assert!(!told[0].contains("somebody"), "{told:?}");
    }
}

#[test]
fn reloading_and_stopping_are_shown() {
    let web = teller(
        "web",
        &[
            "READY=1",
            "RELOADING=1\nMONOTONIC_USEC=1",
            "until {here}/reloaded",
            "READY=1",
            "until {here}/over",
            "STOPPING=1",
        ],
        "ready = \"notify\"",
    );
    let daemon = Setting::supervising(web).start();
    let description = || daemon.program("web")["description"].to_string();
    let goes_on = |name: &str| fs::write(daemon.path(name), "").expect("the test directory is writable");
    wait_until("it reloads", || description().contains(", reloading"));
    goes_on("reloaded");
    wait_until("it has reloaded", || !description().contains(", reloading"));
    goes_on("over");
    wait_until("it stops", || description().contains(", stopping"));
    assert_eq!(daemon.state("web"), "RUNNING");
}

#[test]
fn wait_knows_ready_and_healthy() {
    let server = Server::answering(503);
    let web = teller("web", &["sleep 0.3", "READY=1"], "ready = \"notify\"");
    let db = sleeper(
        "db",
        &format!(
            "[program.db.probes.live]\nhttp = \"{}\"\nperiod = \"20ms\"\nfailure_threshold = 9999",
            server.url("/")
        ),
    );
    let daemon = Setting::supervising(format!("{web}{db}")).start();
    assert_eq!(daemon.ctl_well(&["wait", "web", "--for", "ready"]), "web: RUNNING\n");
    let late = daemon.ctl(&["wait", "db", "--for", "healthy", "--timeout", "200ms"]);
    assert_eq!(late.code, Some(124), "{late:?}");
    server.answer(200);
    assert_eq!(daemon.ctl_well(&["wait", "db", "--for", "healthy"]), "db: RUNNING\n");
}

#[test]
fn a_program_of_another_user_gets_the_descriptor_too() {
    if !is_root() {
        return skip("only root can run programs as others");
    }
    let web = shell("web", "echo >&9; exec sleep 1000", "ready = { fd = 9 }\nuser = \"65534:65534\"");
    Setting::supervising(web).start().wait_for_state("web", "RUNNING");
}

#[test]
fn runs_that_are_over_leave_no_descriptor_and_no_socket() {
    let again = "restart = \"always\"\nstartretries = \"unlimited\"\nready = \"notify\"\nwatchdog = \"1h\"";
    let daemon = Setting::supervising(teller("web", &["READY=1", "exit 0"], again));
    let daemon = daemon.musterd("loglevel = \"debug\"").start();
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", daemon.pid())).map_or(0, Iterator::count);
    daemon.log.wait_for_many(10, "web", "ready");
    let early = descriptors();
    daemon.log.wait_for_many(40, "web", "ready");
    // A run that ends while another starts briefly has descriptors of its own; leaked ones would stay.
    wait_until("descriptors are given back", || descriptors() <= early + 4);
    wait_until("sockets are removed", || fs::read_dir(daemon.path("sock.notify")).map_or(0, Iterator::count) <= 2);
}
