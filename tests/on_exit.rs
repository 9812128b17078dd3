//! `on_exit` and `max_runtime` with real processes: what certain ends mean, and how long a run may last.

mod harness;

use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Daemon, End, Setting, both_places, ended, in_time};

fn exits(name: &str, script: &str, keys: &str) -> String {
    format!("[program.{name}]\ncommand = [\"sh\", \"-c\", {script:?}]\nstartsecs = 0\n{keys}\n")
}

fn verdict(daemon: &Daemon, name: &str) -> String {
    let why = daemon.client.get(&format!("/v1/programs/{name}/why")).json();
    why["run"]["verdict"].as_str().unwrap_or_default().to_owned()
}

/// How often a program was started so far.
fn starts(daemon: &Daemon, name: &str) -> usize {
    daemon.log.lines().iter().filter(|line| line.says(name, "starting")).count()
}

#[test]
fn each_kind_of_end_has_its_rule() {
    let programs = [
        exits("status", "exit 78", "on_exit = { 78 = \"fatal\" }"),
        exits("range", "exit 105", "restart = \"always\"\non_exit = { \"78,100-109\" = \"stop\" }"),
        exits("signal", "kill -HUP $$$$; sleep 9", "on_exit = { HUP = \"success\" }"),
        exits("any", "kill -KILL $$$$; sleep 9", "on_exit = { signal = \"stop\", oom = \"restart\" }"),
        exits("failure", "exit 9", "exitcodes = [0, 3]\non_exit = { failure = \"stop\" }"),
        exits("expected", "exit 3", "exitcodes = [0, 3]\non_exit = { failure = \"fatal\" }"),
        "[program.absent]\ncommand = \"/no/such/file\"\non_exit = { spawn-error = \"fatal\" }\n".to_owned(),
        "[program.optional]\ncommand = \"/no/such/file\"\non_exit = { spawn-error = \"stop\" }\n".to_owned(),
    ];
    let mut daemon = Setting::supervising(programs.concat()).start();
    for (name, state, told) in [
        ("status", "FATAL", "on_exit 78: given up"),
        ("range", "EXITED", "on_exit 100-109: not restarted"),
        (
            "signal",
            "EXITED",
            "on_exit HUP: success; not restarted: a success, and restart = \"on-failure\" restarts failures only",
        ),
        ("any", "EXITED", "on_exit signal: not restarted"),
        ("failure", "EXITED", "on_exit failure: not restarted"),
        (
            "expected",
            "EXITED",
            "exit status 3 is in exitcodes [0, 3]: not restarted: a success, and restart = \"on-failure\" restarts failures only",
        ),
        ("absent", "FATAL", "on_exit spawn-error: given up"),
        ("optional", "EXITED", "on_exit spawn-error: not restarted"),
    ] {
        daemon.wait_for_state(name, state);
        assert_eq!(verdict(&daemon, name), told, "{name}");
        assert_eq!(starts(&daemon, name), 1, "{name}");
    }
    let status = daemon.ctl(&["status"]).out;
    assert!(status.contains("gave up, because of on_exit 78"), "{status}");
    let shown = daemon.client.get("/v1/config").json();
    let shown = shown["programs"]["range"]["on_exit"].clone();
    assert_eq!(shown, serde_json::json!({ "78": "stop", "100-109": "stop" }));
    daemon.finish();
}

#[test]
fn a_restart_at_once_is_bounded() {
    let keys = "backoff = { delay = \"60s\" }\non_exit = { 75 = \"restart-now\" }";
    let mut daemon = Setting::supervising(exits("web", "exit 75", keys)).start();
    daemon.wait_for_state("web", "BACKOFF");
    assert_eq!(starts(&daemon, "web"), 6, "{}", daemon.story());
    let told = verdict(&daemon, "web");
    let bounded = "on_exit 75: restart, since it was restarted at once 5 times in 10s; attempt 1 of 10, next delay 60s × 2^0 = 60s";
    assert_eq!(told, bounded);
    daemon.finish();
}

#[test]
fn a_success_is_restarted_although_restart_is_no() {
    let keys = "restart = \"no\"\nbackoff = { delay = \"10ms\" }\nstartretries = 2\non_exit = { 0 = \"restart\" }";
    let mut daemon = Setting::supervising(exits("web", "exit 0", keys)).start();
    daemon.wait_for_state("web", "FATAL");
    assert_eq!(starts(&daemon, "web"), 3);
    assert_eq!(verdict(&daemon, "web"), "on_exit 0: restart; given up: all 2 retries used up");
    daemon.finish();
}

#[test]
fn the_container_exits_with_the_code_of_an_end() {
    for place in both_places() {
        for (script, rule, code) in [
            ("exit 3", "3 = \"exit\"", 3),
            ("exit 0", "0 = \"exit\"", 0),
            ("kill -TERM $$$$; sleep 9", "signal = \"exit\"", 128 + 15),
        ] {
            let log = "[program.log]\ncommand = \"sleep 1000\"\n";
            let programs = exits("web", script, &format!("restart = \"always\"\non_exit = {{ {rule} }}")) + log;
            let mut daemon = Setting::supervising(programs).at(place).launch();
            assert_eq!(daemon.wait(), End::Code(code), "{script}\n{}", daemon.story());
            daemon.assert_nothing_is_left();
            let last = daemon.log.lines().pop().expect("there is a log");
            assert!(last.message.starts_with("exit: \"web\" ended, and on_exit "), "{}", last.message);
        }
    }
}

/// The program ends once, and runs after that.
#[test]
fn all_programs_are_restarted_in_order() {
    let script = "[ -e {here}/done ] && exec sleep 1000; until [ -e {here}/go ]; do sleep 0.02; done; touch {here}/done; exit 90";
    let sleeps =
        |name: &str, keys: &str| format!("[program.{name}]\ncommand = \"sleep 1000\"\nstartsecs = 0\n{keys}\n");
    let programs = exits("db", script, "priority = 1\non_exit = { 90 = \"restart-all\" }")
        + &sleeps("app", "priority = 2")
        + &sleeps("off", "priority = 3")
        + &sleeps("web", "priority = 4");
    let mut daemon = Setting::supervising(programs).start();
    for name in ["db", "app", "off", "web"] {
        daemon.wait_for_running(name);
    }
    let pids = [daemon.pid_of("app"), daemon.pid_of("web")];
    daemon.ctl_well(&["stop", "off"]);
    std::fs::write(daemon.path("go"), "").expect("the directory is writable");
    daemon.log.wait_for_many(2, "web", "starting");
    for name in ["db", "app", "web"] {
        daemon.wait_for_running(name);
        assert_eq!(starts(&daemon, name), 2, "{name}");
    }
    assert!(daemon.pid_of("app") != pids[0] && daemon.pid_of("web") != pids[1]);
    assert_eq!(daemon.state("off"), "STOPPED");
    let lines = daemon.log.lines();
    let again: Vec<String> = lines
        .iter()
        .filter(|line| line.message == "starting")
        .filter_map(|line| line.field("program"))
        .skip(4)
        .collect();
    assert_eq!(again, ["db", "app", "web"], "in the order of a start");
    let why = daemon.client.get("/v1/programs/app/why").json();
    assert_eq!(why["run"]["cause"], "on_exit of db restarted all", "{why:#}");
    assert_eq!(verdict(&daemon, "db"), "on_exit 90: restart all; attempt 1 of 10");
    daemon.finish();
}

#[test]
fn a_requested_stop_has_no_rule() {
    let keys = "on_exit = { signal = \"exit\", 0 = \"exit\" }";
    let mut daemon = Setting::supervising(exits("web", "exec sleep 1000", keys)).start();
    let pid = daemon.wait_for_running("web");
    daemon.ctl_well(&["restart", "web"]);
    assert_ne!(daemon.wait_for_running("web"), pid);
    daemon.ctl_well(&["stop", "web"]);
    assert_eq!(daemon.ended(), None);
    daemon.finish();
}

#[test]
fn a_reload_changes_the_rules_of_a_run_that_is_there() {
    let setting =
        |rule: &str| Setting::supervising(exits("web", "exec sleep 1000", &format!("on_exit = {{ {rule} }}")));
    let mut daemon = setting("").start();
    let pid = daemon.wait_for_running("web");
    daemon.rewrite(&setting("KILL = \"stop\""));
    daemon.ctl_well(&["update"]);
    assert_eq!(daemon.pid_of("web"), pid, "it is a rule");
    daemon.ctl_well(&["signal", "KILL", "web"]);
    daemon.wait_for_state("web", "EXITED");
    assert_eq!(verdict(&daemon, "web"), "on_exit KILL: not restarted");
    daemon.finish();
}

#[test]
fn a_run_that_lasts_too_long_has_failed() {
    let keys =
        "type = \"oneshot\"\nmax_runtime = \"600ms\"\nbackoff = { delay = \"60s\" }\non_exit = { signal = \"exit\" }";
    let mut daemon = Setting::supervising(exits("report", "exec sleep 1000", keys)).start();
    daemon.wait_for_state("report", "BACKOFF");
    let why = daemon.ctl(&["why", "report"]).out;
    assert!(why.contains("it was still running after max_runtime = 600ms"), "{why}");
    let metrics = daemon.client.get("/metrics").body;
    let counted = metrics.lines().find(|line| line.contains("\"report\"") && line.contains("reason=\"max_runtime\""));
    assert!(counted.is_some_and(|line| line.ends_with(" 1")), "{counted:?}");
    daemon.finish();
}

#[test]
fn the_longest_life_is_kept_to_within_twenty_milliseconds() {
    in_time(|| {
        let keys = "max_runtime = \"1s\"\nbackoff = { delay = \"60s\" }";
        let mut daemon = Setting::supervising(exits("web", "exec sleep 1000", keys)).start();
        daemon.wait_for_state("web", "BACKOFF");
        let why = daemon.client.get("/v1/programs/web/why").json();
        let uptime = why["run"]["uptime"].as_f64().unwrap_or_default();
        daemon.finish();
        // From the order to spawn it until its end: execution and the end are within it.
        if (1.0..1.02).contains(&uptime) { Ok(()) } else { Err(format!("it lasted {uptime} s")) }
    });
}

#[test]
fn a_reload_limits_the_life_of_a_run_that_is_there() {
    let setting = |max: &str| {
        let keys = format!("max_runtime = {max}\nbackoff = {{ delay = \"60s\" }}");
        Setting::supervising(exits("web", "exec sleep 1000", &keys))
    };
    let mut daemon = setting("0").start();
    let pid = daemon.wait_for_running("web");
    daemon.rewrite(&setting("\"1h\""));
    daemon.ctl_well(&["update"]);
    assert_eq!(daemon.pid_of("web"), pid, "it is a rule");
    let why = daemon.ctl(&["why", "web"]).out;
    assert!(why.contains("it keeps running, for ") && why.contains(" at most (max_runtime)"), "{why}");
    let since = Instant::now();
    daemon.rewrite(&setting("\"100ms\""));
    daemon.ctl_well(&["update"]);
    daemon.wait_for_state("web", "BACKOFF");
    assert!(since.elapsed() < Duration::from_secs(5), "it had lasted longer already: {:?}", since.elapsed());
    daemon.finish();
}

/// They are the program's, and hold with the policy of another system too.
#[test]
fn a_comparison_with_other_systems_keeps_the_rules() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = directory.path().join("muster.toml");
    let program = "[program.web]\ncommand = \"web\"\nstartsecs = 0\non_exit = { 78 = \"fatal\" }\n";
    std::fs::write(&path, program).expect("the directory is writable");
    let words = ["web", "--runs", "1@1s, 78@1s", "--compare", "kubernetes"];
    let compared = ended(Command::new(harness::musterd()).args(["simulate", "-c"]).arg(&path).args(words));
    assert_eq!((compared.code, compared.err.as_str()), (Some(0), ""), "{}", compared.out);
    let states = compared.out.lines().find(|line| line.starts_with("state")).unwrap_or_default();
    assert_eq!(states.matches("FATAL at ").count(), 2, "{}", compared.out);
}
