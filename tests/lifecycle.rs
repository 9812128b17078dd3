//! States and transitions as an operator sees them: through `musterctl`, the API, the log and /proc.

mod harness;

use std::time::Duration;

use harness::{Daemon, End, Setting, both_places};

/// Programs that come to rest in every state, except WAITING and STOPPING, which need a command.
const ONE_OF_EACH: &str = r#"
[program.stopped]
command = "sleep 1000"
autostart = false
[program.starting]
command = "sleep 1000"
startsecs = 1000
[program.running]
command = "sleep 1000"
startsecs = 0
[program.backoff]
command = "false"
backoff = { delay = 1000, max = 1000 }
[program.exited]
command = "true"
type = "oneshot"
[program.fatal]
command = "false"
restart = "on-failure:0"
[program.stopping]
command = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
stopwaitsecs = 1000
startsecs = 0
"#;

#[test]
fn every_state_is_shown_alike_by_status_and_api() {
    let mut daemon = Setting::supervising(ONE_OF_EACH).start();
    let running = daemon.wait_for_running("running");
    daemon.wait_for_running("stopping");
    assert_eq!(daemon.ctl_well(&["stop", "--no-wait", "stopping"]), "stopping: accepted\n");
    let expected = [
        ("backoff", "BACKOFF", 30),
        ("exited", "EXITED", 100),
        ("fatal", "FATAL", 200),
        ("running", "RUNNING", 20),
        ("starting", "STARTING", 10),
        ("stopped", "STOPPED", 0),
        ("stopping", "STOPPING", 40),
    ];
    for (name, state, code) in expected {
        assert_eq!(daemon.wait_for_state(name, state)["code"], code, "{name}");
    }
    let status = daemon.ctl(&["status"]);
    assert_eq!(status.code, Some(3), "not everything is RUNNING");
    assert_eq!(status.out.lines().count(), expected.len());
    for (line, (name, state, _)) in status.out.lines().zip(expected) {
        assert!(line.starts_with(&format!("{name:<33}{state:<10}")), "{line}");
    }
    for (name, words) in [
        ("backoff", "exit status 1; next start in "),
        ("backoff", "attempt 1 of 10"),
        ("exited", "exit status 0, 0:00:"),
        ("fatal", "exit status 1; gave up after 0 restarts"),
        ("running", ", uptime 0:00:"),
        ("stopped", "not started"),
        ("stopping", "stopping for "),
    ] {
        let description = daemon.program(name)["description"].as_str().unwrap_or_default().to_owned();
        assert!(description.contains(words), "{name}: {description}");
    }
    assert_eq!(daemon.program("stopped")["goal"], "down");
    assert_eq!(daemon.program("backoff")["goal"], "up");
    assert_eq!(harness::find(running).map(|process| process.command).as_deref(), Some("sleep 1000"));
    terminate_twice(&daemon);
    assert_eq!(daemon.wait(), End::Code(0));
    daemon.assert_nothing_is_left();
}

/// Equal signals that are pending together merge: the second is sent once the first has been received.
fn terminate_twice(daemon: &Daemon) {
    daemon.terminate();
    daemon.log.wait_for("the first TERM is handled", |line| line.message == "asked to stop");
    daemon.terminate();
}

#[test]
fn a_program_whose_leftovers_are_alive_is_waiting_and_reports_them() {
    let deaf = r#"trap "" TERM; while :; do sleep 1000; done"#;
    let program = format!(
        "[program.web]\ncommand = [\"sh\", \"-c\", '''setsid sh -c '{deaf}' & sleep 1000''']\n\
         stopwaitsecs = 1000\nleftover_wait = 1000\nstartsecs = 0\nbackoff = {{ delay = 0 }}\n"
    );
    let daemon = Setting::supervising(program).start();
    let main = daemon.wait_for_running("web");
    harness::wait_until("the deaf one is there", || daemon.processes().len() >= 4);
    harness::send(main, 9);
    daemon.log.wait_for_program("web", "ended unexpectedly");
    let backoff = daemon.wait_for_state("web", "BACKOFF");
    assert!(backoff["description"].as_str().unwrap_or_default().contains("left processes behind"), "{backoff}");
    assert_eq!(daemon.ctl_well(&["start", "--no-wait", "web"]), "web: accepted\n");
    let waiting = daemon.wait_for_state("web", "WAITING");
    assert_eq!(waiting["waiting_for"][0], "the processes that its last run left behind");
    for process in daemon.processes() {
        harness::send(process.pid, 9);
    }
    daemon.wait_for_running("web");
}

/// Situations in which the daemon can get its stop signal.
const MOMENTS: [(&str, &str); 5] = [
    ("STARTING", "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 1000\n"),
    ("RUNNING", "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n"),
    ("BACKOFF", "[program.web]\ncommand = \"false\"\nbackoff = { delay = 100, max = 100 }\n"),
    ("FATAL", "[program.web]\ncommand = \"/no/such/file\"\nstartretries = 0\n"),
    ("STOPPED", "[program.web]\ncommand = \"sleep 1000\"\nautostart = false\n"),
];

#[test]
fn term_ends_the_daemon_cleanly_in_every_state() {
    for place in both_places() {
        for (state, program) in MOMENTS {
            let mut daemon = Setting::supervising(program).at(place).start();
            daemon.wait_for_state("web", state);
            let took = daemon.finish();
            assert!(took < Duration::from_secs(5), "{state}: the stop should be immediate, it took {took:?}");
            let last = daemon.log.lines().pop().expect("there is a log");
            assert_eq!(last.message, "exit: stopped by SIGTERM", "{state}");
        }
    }
}

#[test]
fn term_before_the_first_spawn_ends_the_daemon_cleanly() {
    // Reading that many programs takes a while.
    let many: String = (0..300).map(|n| format!("[program.p{n}]\ncommand = \"sleep 1000\"\n")).collect();
    let mut daemon = Setting::supervising(many).launch();
    let pid = daemon.pid();
    // Blocking TERM is the first thing that main does.
    harness::wait_until("main has begun", || {
        harness::find(pid).is_some_and(|process| process.comm == "musterd" && process.blocks(15))
    });
    daemon.terminate();
    assert_eq!(daemon.wait(), End::Code(0));
    daemon.assert_nothing_is_left();
}

#[test]
fn a_second_term_kills_at_once() {
    for place in both_places() {
        let program = r#"
            [program.deaf]
            command = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
            stopwaitsecs = 1000
            startsecs = 0
        "#;
        let mut daemon = Setting::supervising(program).at(place).musterd("shutdown_timeout = 1000").start();
        let deaf = daemon.wait_for_running("deaf");
        daemon.terminate();
        daemon.wait_for_state("deaf", "STOPPING");
        assert!(harness::exists(deaf), "after one TERM it still has its stop timeout");
        daemon.terminate();
        assert_eq!(daemon.wait(), End::Code(0));
        daemon.assert_nothing_is_left();
        let (began, ended) =
            (daemon.log.saying("asked to stop again, sending SIGKILL to all programs"), daemon.log.lines());
        let took = ended.last().expect("there is a log").at - began.first().expect("the second TERM is logged").at;
        assert!(took < Duration::from_secs(2), "SIGKILL should be immediate; it took {took:?}");
    }
}

#[test]
fn stop_in_starting_and_backoff_is_immediate() {
    for (state, program) in [MOMENTS[0], MOMENTS[2]] {
        let daemon = Setting::supervising(program).start();
        daemon.wait_for_state("web", state);
        assert_eq!(daemon.ctl_well(&["stop", "web"]), "web: stopped\n");
        assert_eq!(daemon.state("web"), "STOPPED");
        assert_eq!(daemon.processes(), []);
        let lines = daemon.settled_log();
        assert!(!lines.iter().any(|line| line.says("web", "did not stop in time")), "{}", daemon.story());
    }
}

#[test]
fn commands_may_be_given_again_in_every_state() {
    let daemon = Setting::supervising("[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n").start();
    let first = daemon.wait_for_running("web");
    for (words, answer) in [
        (["start", "web"], "web: already started\n"),
        (["start", "web"], "web: already started\n"),
        (["stop", "web"], "web: stopped\n"),
        (["stop", "web"], "web: not running\n"),
        (["restart", "web"], "web: started\n"),
        (["restart", "web"], "web: restarted\n"),
        (["stop", "all"], "web: stopped\n"),
        (["start", "w*"], "web: started\n"),
    ] {
        assert_eq!(daemon.ctl_well(&words), answer, "{words:?}");
    }
    let last = daemon.wait_for_running("web");
    assert!(first != last && !harness::exists(first));
    assert_eq!(daemon.program("web")["failures"], 0, "a requested exit is no failure");
}

#[test]
fn a_start_given_while_stopping_waits_for_the_stop() {
    let program = r#"
        [program.slow]
        command = ["sh", "-c", "trap 'sleep 0.5; exit 0' TERM; while :; do sleep 0.05; done"]
        startsecs = 0
    "#;
    let daemon = Setting::supervising(program).start();
    let first = daemon.wait_for_running("slow");
    daemon.ctl_well(&["stop", "--no-wait", "slow"]);
    assert_eq!(daemon.ctl_well(&["start", "slow"]), "slow: started\n");
    let second = daemon.wait_for_running("slow");
    assert!(first != second && !harness::exists(first));
}

#[test]
fn a_killed_program_comes_back() {
    for place in both_places() {
        let program = "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\nbackoff = { delay = 0 }\n";
        let daemon = Setting::supervising(program).at(place).start();
        let first = daemon.wait_for_running("web");
        harness::send(first, 9);
        daemon.log.wait_for_many(2, "web", "running");
        let second = daemon.wait_for_running("web");
        assert!(first != second && !harness::exists(first));
        let web = daemon.program("web");
        assert_eq!(web["exit"]["signal"], "SIGKILL");
        assert_eq!(web["exit"]["reason"], "terminated by SIGKILL");
        assert_eq!(web["failures"], 1);
    }
}

#[test]
fn an_end_during_starting_is_a_failed_start_unless_it_is_a_success() {
    let daemon = Setting::supervising(
        r#"
        [program.bad]
        command = ["sh", "-c", "exit 3"]
        startsecs = 100
        backoff = { delay = 1000, max = 1000 }
        [program.good]
        command = "true"
        startsecs = 100
        "#,
    )
    .start();
    assert_eq!(daemon.wait_for_state("bad", "BACKOFF")["exit"]["code"], 3);
    let good = daemon.wait_for_state("good", "EXITED");
    assert_eq!((good["exit"]["code"].as_i64(), good["exit"]["success"].as_bool()), (Some(0), Some(true)));
    let ended = daemon.ctl(&["start", "bad"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), "bad: ERROR (exit status 3)\n"));
}

#[test]
fn instances_have_names_and_numbers_of_their_own() {
    let program = r#"
        [program.worker]
        command = ["sh", "-c", "echo {instance} of {numprocs} is $MUSTER_INSTANCE in $MUSTER_PROGRAM; exec sleep 1000"]
        numprocs = 3
        startsecs = 0
    "#;
    let daemon = Setting::supervising(program).start();
    let pids: Vec<i32> = (0..3).map(|n| daemon.wait_for_running(&format!("worker:{n}"))).collect();
    for n in 0..3 {
        let line = format!("worker:{n} | {n} of 3 is {n} in worker\n");
        harness::wait_until(&line, || String::from_utf8_lossy(&daemon.output()).contains(&line));
    }
    assert_eq!(daemon.ctl_well(&["stop", "worker:1"]), "worker:1: stopped\n");
    assert_eq!(pids.iter().map(|&pid| harness::exists(pid)).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(daemon.ctl_well(&["restart", "worker"]).lines().count(), 3);
    assert_eq!(daemon.ctl_well(&["stop", "worker:*"]).lines().count(), 3);
    assert_eq!(daemon.processes(), []);
}

#[test]
fn priorities_order_starts_and_stops() {
    let program = |name: &str, priority| {
        format!("[program.{name}]\ncommand = \"sleep 1000\"\nstartsecs = 0\npriority = {priority}\n")
    };
    let names = [("c", 1), ("a", 5), ("b", 30)];
    let programs: String = names.iter().map(|&(name, priority)| program(name, priority)).collect();
    let mut daemon = Setting::supervising(programs).start();
    for (name, _) in names {
        daemon.wait_for_running(name);
    }
    daemon.terminate();
    assert_eq!(daemon.wait(), End::Code(0));
    let order = |message: &str| -> Vec<String> {
        daemon.log.saying(message).iter().filter_map(|line| line.field("program")).collect()
    };
    assert_eq!(order("starting"), ["c", "a", "b"]);
    assert_eq!(order("stopped"), ["b", "a", "c"]);
    assert_eq!(order("stopping"), ["b", "a", "c"], "each is signalled once the one before it has stopped");
}

#[test]
fn a_oneshot_runs_until_it_has_succeeded() {
    let program = r#"
        [program.migrate]
        type = "oneshot"
        command = ["sh", "-c", "test -e done && exit 0; touch done; exit 1"]
        directory = "{here}"
        backoff = { delay = "10ms" }
    "#;
    let daemon = Setting::supervising(program).start();
    let migrate = daemon.wait_for_state("migrate", "EXITED");
    assert_eq!(migrate["exit"]["success"], true);
    assert_eq!(daemon.log.wait_for_many(2, "migrate", "starting").len(), 2);
    assert_eq!(daemon.ctl(&["status"]).code, Some(0), "EXITED with success does not count");
    assert_eq!(daemon.ctl_well(&["wait", "migrate", "--for", "exited"]), "migrate: EXITED\n");
}

#[test]
fn restart_policies_decide_after_success_and_failure() {
    let program = |name: &str, restart: &str, command: &str| {
        format!(
            "[program.{name}]\ncommand = {command:?}\nrestart = {restart:?}\nbackoff = {{ delay = 1000, max = 1000 }}\n"
        )
    };
    let programs: String = [
        program("no-well", "no", "true"),
        program("no-badly", "no", "false"),
        program("on-failure-well", "on-failure", "true"),
        program("on-failure-badly", "on-failure", "false"),
        program("always-well", "always", "true"),
        program("always-badly", "always", "false"),
        program("unless-stopped-well", "unless-stopped", "true"),
        program("unless-stopped-badly", "unless-stopped", "false"),
    ]
    .concat();
    let daemon = Setting::supervising(programs).start();
    for (name, state) in [
        ("no-well", "EXITED"),
        ("no-badly", "EXITED"),
        ("on-failure-well", "EXITED"),
        ("on-failure-badly", "BACKOFF"),
        ("always-well", "BACKOFF"),
        ("always-badly", "BACKOFF"),
        ("unless-stopped-well", "BACKOFF"),
        ("unless-stopped-badly", "BACKOFF"),
    ] {
        daemon.wait_for_state(name, state);
    }
}
