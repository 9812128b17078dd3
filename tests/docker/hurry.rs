//! `docker stop` right after `docker run`, at any moment from the daemon's first instruction to its last spawn.
//!
//! A signal lost by PID 1 shows as a `docker stop` of ten seconds with code 137. One that arrives before PID 1 can block it is
//! discarded by the kernel, whatever the program is; so the first moment is the one where it is seen to be blocked.

use std::fs;
use std::time::{Duration, Instant};

use crate::container::{Container, PATIENCE, Recipe, Stopped};
use crate::engine::{alone, docker_ok, is_wanted, services};

const CONFIG: &str = r#"
[program.quick]
command = "sleep 1000"
[program.starting]
command = "sleep 1000"
startsecs = 60
[program.failing]
command = "false"
backoff = { delay = "100s", max = "100s" }
startretries = "unlimited"
"#;

/// Less than the ten seconds that show a lost signal, or the nine of a daemon that misses its programs' exits; and more
/// than an engine needs on a busy machine.
const LOST: Duration = Duration::from_secs(8);

/// How often each moment is tried; `MUSTER_DOCKER_ROUNDS` raises it.
fn rounds() -> u32 {
    std::env::var("MUSTER_DOCKER_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

fn stop_after(moment: Duration) -> Stopped {
    let container = Recipe::of(services()).config(CONFIG).start();
    wait_for_first_instruction(&container);
    std::thread::sleep(moment);
    container.stop()
}

/// Waits until the first process is the daemon and blocks SIGTERM. On a busy machine `docker run` can return before that.
fn wait_for_first_instruction(container: &Container) {
    let pid = docker_ok(["inspect", "--format", "{{.State.Pid}}", &container.name]);
    let begun = Instant::now();
    while !blocks_sigterm(&pid) {
        assert!(begun.elapsed() < PATIENCE, "{pid:?} does not block SIGTERM\n{}", container.story());
        std::thread::yield_now();
    }
}

fn blocks_sigterm(pid: &str) -> bool {
    let is_daemon = fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path.ends_with("muster"));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t"));
    let blocked = blocked.and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or_default();
    is_daemon && blocked & 1 << (libc::SIGTERM - 1) != 0
}

#[test]
fn a_stop_right_after_the_start_is_never_lost() {
    if !is_wanted() {
        return;
    }
    let _quiet = alone();
    for milliseconds in [0, 50, 500] {
        for round in 0..rounds() {
            let stopped = stop_after(Duration::from_millis(milliseconds));
            let story = format!("{milliseconds} ms, round {round}: {stopped:?}");
            assert_eq!(stopped.code, 0, "{story}");
            assert!(stopped.took < LOST, "{story}");
        }
    }
}
