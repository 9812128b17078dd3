//! `memory_max`: a run that has too much memory for too long has failed, and shared pages count once.

mod harness;

use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Daemon, End, Setting, skip, wait_until};

/// A process that gets 60 MB at once and keeps them.
const GREEDY: &str =
    "command = [\"sh\", \"-c\", \"(head -c 60000000 /dev/zero; sleep 1000) | tail; :\"]\nstartsecs = 0\n";

fn greedy(name: &str, limit: &str) -> String {
    format!("[program.{name}]\n{GREEDY}memory_max = {limit}\nbackoff = {{ delay = \"60s\" }}\n")
}

fn why(daemon: &Daemon, name: &str) -> String {
    daemon.ctl(&["why", name]).out
}

#[test]
fn a_run_with_too_much_memory_has_failed() {
    let limit = "{ max = \"30MB\", for = \"500ms\", period = \"500ms\" }";
    let rss = "{ max = \"30MB\", for = 0.5, period = 0.5, count = \"rss\" }";
    let programs = [
        greedy("leak", limit),
        greedy("resident", rss),
        greedy("roomy", "\"500MB\""),
        greedy("warned", "{ max = \"30MB\", for = 0.5, period = 0.5, action = \"none\" }"),
        greedy("stopped", "{ max = \"30MB\", for = 0.5, period = 0.5, action = \"stop\" }"),
    ];
    let mut daemon = Setting::supervising(programs.concat()).start();
    let began = Instant::now();
    daemon.wait_for_state("leak", "BACKOFF");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    daemon.wait_for_state("resident", "BACKOFF");
    let story = why(&daemon, "leak");
    assert!(story.contains("memory: ") && story.contains(" over 30 MB for 500ms; largest: tail (pid "), "{story}");
    assert!(why(&daemon, "resident").contains(" MB (RSS) over 30 MB"), "{}", why(&daemon, "resident"));
    let metrics = daemon.client.get("/metrics").body;
    let line = metrics.lines().find(|line| line.contains("\"leak\"") && line.contains("reason=\"memory\""));
    assert!(line.is_some_and(|line| line.ends_with(" 1")), "{line:?}");
    daemon.log.wait_for_program("warned", "has too much memory");
    assert_eq!(daemon.state("warned"), "RUNNING");
    daemon.wait_for_state("stopped", "STOPPED");
    assert_eq!(daemon.state("roomy"), "RUNNING");
    daemon.finish();
}

#[test]
fn a_reload_limits_a_run_that_is_there() {
    let setting = |limit: &str| Setting::supervising(greedy("web", limit));
    let mut daemon = setting("0").start();
    let pid = daemon.wait_for_running("web");
    daemon.rewrite(&setting("{ max = \"500MB\", for = 0.5, period = 0.5 }"));
    daemon.ctl_well(&["update"]);
    assert_eq!(daemon.pid_of("web"), pid, "it is a rule");
    daemon.rewrite(&setting("{ max = \"30MB\", for = 0.5, period = 0.5 }"));
    daemon.ctl_well(&["update"]);
    daemon.wait_for_state("web", "BACKOFF");
    daemon.finish();
}

#[test]
fn it_may_end_the_container() {
    let limit = "{ max = \"30MB\", for = 0.5, period = 0.5, action = \"shutdown\" }";
    let mut daemon = Setting::supervising(greedy("web", limit)).start();
    let end = daemon.wait();
    assert!(matches!(end, End::Code(code) if code != 0), "{end:?}");
    daemon.assert_nothing_is_left();
}

#[test]
fn workers_that_share_memory_are_not_too_many() {
    if Command::new("python3").arg("-c").arg("").status().is_ok_and(|status| status.success()) {
        let script = "import os, time\\narena = bytearray(60 << 20)\\nfor _ in range(8):\\n    if os.fork() == 0: break\\ntime.sleep(1000)";
        let program = |name: &str, count: &str| {
            format!(
                "[program.{name}]\ncommand = [\"python3\", \"-c\", \"{script}\"]\nstartsecs = 0\nbackoff = {{ delay = \"60s\" }}\n\
                 memory_max = {{ max = \"250MB\", for = 1, period = 0.5, count = \"{count}\" }}\n"
            )
        };
        let mut daemon = Setting::supervising(program("shared", "pss") + &program("each", "rss")).start();
        daemon.wait_for_state("each", "BACKOFF");
        // The other one had the same samples; two more are well after its own would have been.
        let since = Instant::now();
        wait_until("there was time for more samples", || since.elapsed() > Duration::from_secs(2));
        assert_eq!(daemon.state("shared"), "RUNNING", "{}", daemon.story());
        daemon.finish();
    } else {
        skip("needs python3");
    }
}
