//! Programs and resource limits that would keep PID 1 from its work.

use std::time::{Duration, Instant};

use crate::harness::{End, Setting};

/// It used to make 459 098 attempts in 6 s, with no API, no reaping, and no effect of SIGTERM.
#[test]
fn starts_that_fail_without_delay_and_limit_do_not_keep_the_loop() {
    let programs = "[program.nobody]\ncommand = \"true\"\nuser = \"no-such-user-here\"\nstartretries = \"unlimited\"\n\
                    backoff = { delay = \"0s\" }\n";
    let mut daemon = Setting::supervising(programs).start();
    let began = Instant::now();
    let lines = daemon.log.wait_for_many(5, "nobody", "will be started again");
    assert!(began.elapsed() >= Duration::from_millis(200), "five attempts took {:?}", began.elapsed());
    assert!(lines[0].field("why").is_some_and(|why| why.contains("the minimum after a failed start")));
    assert_eq!(daemon.client.get("/livez").status, 200);
    daemon.terminate();
    assert_eq!(daemon.wait(), End::Code(0));
}

/// A descriptor shortage in the daemon is no failure of the program: with `restart = "no"` the start is still retried.
#[test]
fn the_daemons_own_shortages_are_not_program_failures() {
    let program = |n| format!("[program.p{n}]\ncommand = \"sleep 1000\"\nrestart = \"no\"\nstartsecs = 0\n");
    let programs: String = (0..60).map(program).collect();
    let daemon = Setting::supervising(programs).wrapped(&["prlimit", "--nofile=80:80", "--"]).launch();
    let again = daemon.log.wait_for("it is attempted again", |line| {
        line.message == "will be started again" && line.field("why").is_some_and(|why| why.contains("not counted"))
    });
    assert_eq!(again.field("attempt").as_deref(), Some("0"));
}

/// The whole daemon is stopped for longer than a stopping program's timeout, as `docker pause` does.
#[test]
fn time_that_the_daemon_was_stopped_counts_against_no_program() {
    let programs = "[program.slow]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; while :; do sleep 1; done\"]\n\
                    stopwaitsecs = 3\nstartsecs = 0\n";
    let mut daemon = Setting::supervising(programs).musterd("shutdown_timeout = \"20s\"").start();
    daemon.log.wait_for_program("slow", "running");
    daemon.terminate();
    daemon.log.wait_for("it gets the stop request", |line| line.message == "asked to stop");
    daemon.signal(19);
    let stopped = Instant::now();
    crate::harness::wait_until("the pause is longer than the timeout", || stopped.elapsed() > Duration::from_secs(4));
    daemon.signal(18);
    let resumed = Instant::now();
    daemon.log.wait_for("it is logged", |line| line.message.starts_with("the daemon was not running for a while"));
    daemon.wait();
    assert!(resumed.elapsed() > Duration::from_secs(2), "killed {:?} after the pause", resumed.elapsed());
}

/// Each run left a process behind that hid from the daemon and held its pipes: in the end no program could be started.
#[test]
fn hidden_processes_of_ended_runs_do_not_take_all_descriptors() {
    let directory = tempfile::tempdir().expect("a directory can be created");
    let hidden = directory.path().join("hidden");
    // Nothing links it to its run any longer: see docs/explanation/security.md.
    let script = format!(
        "prlimit --pid $$$$ --locks=9:9 --rss=9:9; (env -i setsid sh -c 'echo > {0}; exec sleep 1000' &); \
         while [ ! -s {0} ]; do sleep 0.01; done; rm {0}; exit 1",
        hidden.display()
    );
    let programs = format!(
        "[program.leaves]\ncommand = [\"sh\", \"-c\", {script:?}]\nstartsecs = 0\nstartretries = \"unlimited\"\n\
         backoff = {{ delay = \"0s\" }}\n[program.other]\ncommand = \"sleep 1000\"\nstartsecs = 0\n"
    );
    // At this level every run is logged.
    let setting = Setting::supervising(programs).musterd("loglevel = \"debug\"");
    let daemon = setting.wrapped(&["prlimit", "--nofile=64:64", "--"]).start();
    // One that the daemon sees while its parent lives is found and stopped. None is killed because its pipe was closed.
    crate::harness::wait_until("forty are left behind", || daemon.processes().len() >= 40);
    daemon.ctl_well(&["restart", "other"]);
    let log = daemon.log.text();
    assert!(!log.contains("oo many open files"), "{}", daemon.story());
}
