//! `docker stop` right after `docker run`, at any moment from the daemon's first instruction to its last spawn.
//!
//! A signal lost by PID 1 shows as a `docker stop` of ten seconds with code 137.

use std::time::Duration;

use crate::container::{Recipe, Stopped};
use crate::engine::{alone, is_wanted, services};

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
    std::thread::sleep(moment);
    container.stop()
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
