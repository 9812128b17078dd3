//! A run's output is delivered before its end is reported.

use std::fs;

use super::harness::{Daemon, Setting};

fn wait_for_end(daemon: &Daemon, program: &str) {
    let answer = daemon.client.request("GET", &format!("/v1/programs/{program}/wait?for=exited&timeout=30"), "");
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn once_an_exit_is_reported_the_file_is_complete() {
    let words = "x".repeat(50);
    let script = format!("i=0; while [ $i -lt 500 ]; do echo {words}; i=$((i+1)); done; printf 'last words'");
    let program = format!(
        "[program.web]\ntype = \"oneshot\"\nautostart = false\ncommand = [\"sh\", \"-c\", '''{script}''']\n\
         logs = {{ stdout = \"{{here}}/web.log\" }}\n"
    );
    let mut daemon = Setting::supervising(program).start();
    for round in 1..=15 {
        let started = daemon.client.request("POST", "/v1/programs/web/start", "");
        assert_eq!(started.status / 100, 2, "{started:?}");
        wait_for_end(&daemon, "web");
        let log = fs::read_to_string(daemon.path("web.log")).expect("it exists");
        assert_eq!((log.matches("last words").count(), log.matches('\n').count()), (round, round * 500));
    }
    daemon.finish();
}

#[test]
fn a_grandchild_that_holds_the_pipe_delays_nothing() {
    let program = "[program.web]\ntype = \"oneshot\"\nrestart = \"no\"\nautostart = false\n\
                   command = [\"sh\", \"-c\", \"(setsid sleep 1000; echo never) & printf 'last words'; exit 3\"]\n\
                   logs = { stdout = \"{here}/web.log\" }\n";
    let mut daemon = Setting::supervising(program).start();
    daemon.client.request("POST", "/v1/programs/web/start", "");
    wait_for_end(&daemon, "web");
    assert_eq!(fs::read_to_string(daemon.path("web.log")).expect("it exists"), "last words");
    daemon.finish();
}

#[test]
fn the_last_line_of_a_run_precedes_the_report_of_its_exit() {
    let programs: String = (0..5)
        .map(|number| {
            format!(
                "[program.p{number}]\nstartsecs = 0\nrestart = \"always\"\nstartretries = 4\n\
                 backoff = {{ delay = 0, jitter = 0, reset_after = \"1h\" }}\n\
                 command = [\"sh\", \"-c\", \"i=0; while [ $i -lt 300 ]; do echo line; i=$((i+1)); done; printf 'last words'; exit 1\"]\n\
                 logs = {{ stderr = \"stdout\" }}\n"
            )
        })
        .collect();
    let place = tempfile::tempdir().expect("a temporary directory can be created");
    let both = place.path().join("both");
    fs::write(&both, "").expect("the test directory is writable");
    let mut daemon = Setting::supervising(programs).stdout(&both).stderr(&both).launch();
    super::harness::wait_until("all have given up", || {
        let text = fs::read_to_string(&both).unwrap_or_default();
        text.lines().filter(|line| line.contains("\"gave up\"")).count() == 5
    });
    daemon.terminate();
    daemon.wait();
    let text = fs::read_to_string(&both).expect("it exists");
    for number in 0..5 {
        let name = format!("p{number}");
        let mut words = 0;
        for line in text.lines() {
            if line == format!("{name} | last words") {
                words += 1;
            } else if line.contains("ended unexpectedly") && line.contains(&format!("\"{name}\"")) {
                assert_eq!(words, 1, "the end of {name} is reported before its last words:\n{text}");
                words = 0;
            }
        }
        assert_eq!(text.matches(&format!("{name} | line\n")).count() % 300, 0, "a run of {name} lost a line");
    }
}

#[test]
fn everything_is_written_before_the_daemon_ends() {
    let script = "trap 'i=0; while [ $i -lt 2000 ]; do echo goodbye $i; i=$((i+1)); done; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let program = format!("[program.web]\nstartsecs = 0\ncommand = [\"sh\", \"-c\", '''{script}''']\n");
    let mut daemon = Setting::supervising(program).start();
    super::wait_for_output(&daemon, "it is ready", |output| output == b"web | ready\n");
    daemon.finish();
    let output = String::from_utf8(daemon.output()).expect("it is text");
    assert_eq!(output.lines().count(), 2001);
    assert!(output.ends_with("web | goodbye 1999\n"));
}

#[test]
fn messages_about_many_programs_are_written_together() {
    const MANY: usize = 300;
    let programs: String = (0..MANY)
        .map(|number| format!("[program.p{number}]\ncommand = \"sleep 1000\"\nlogs = {{ stdout = \"none\" }}\n"))
        .collect();
    let mut daemon = Setting::supervising(format!("[defaults]\nstartsecs = 0\n{programs}")).start();
    daemon.wait_until_it_answers();
    // Of its threads: the kernel adds those of reaped children to the whole process.
    let writes = || {
        let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("it is our own").flatten();
        let of_thread = |thread: fs::DirEntry| {
            let io = fs::read_to_string(thread.path().join("io")).ok()?;
            io.lines().find_map(|line| line.strip_prefix("syscw: "))?.parse::<usize>().ok()
        };
        threads.filter_map(of_thread).sum::<usize>()
    };
    let before = writes();
    let stopped = daemon.client.request("POST", "/v1/programs/all/stop?wait=30", "");
    assert_eq!(stopped.status / 100, 2, "{stopped:?}");
    let (made, messages) = (writes() - before, daemon.has_said("stopped").len());
    assert!(messages >= MANY, "{messages}");
    // Each turn of the loop, at most 10 ms, writes once; a slow machine takes more turns.
    assert!(made < MANY, "{made} writes for {messages} programs");
    daemon.finish();
}
