//! Programs that restart with one that rolls: once, after the last step, also where that is not the last one.

use crate::common::programs::{missing, ms, quick, restarted_with, s, several, with_command};
use crate::rolling::{at_a_time, did, rolling};
use crate::stage::Stage;

#[test]
fn what_restarts_with_it_is_restarted_once_after_the_last_step() {
    let follower = restarted_with(quick("proxy"), &["web"]);
    let mut stage = Stage::booted([follower, rolling(several(quick("web"), 2), at_a_time(1))]);
    stage.after(s(1));
    stage.restart("web:*");
    for name in ["web:0", "web:1"] {
        stage.after(ms(10));
        stage.exits(name, 0);
        stage.spawned(name);
    }
    did(&mut stage, "TERM web:0, spawn web:0, TERM web:1, spawn web:1, TERM proxy");
    stage.exits("proxy", 0);
    did(&mut stage, "spawn proxy");
}

#[test]
fn what_restarts_with_it_follows_also_when_a_roll_ends_early() {
    let follower = || restarted_with(quick("proxy"), &["web"]);
    let up = || {
        let mut stage = Stage::booted([follower(), rolling(several(quick("web"), 2), at_a_time(1))]);
        stage.after(s(1));
        stage.restart("web:*");
        stage.after(ms(10));
        stage.exits("web:0", 0);
        stage.spawned("web:0");
        stage
    };
    // The second one cannot be started.
    let mut stage = up();
    stage.exits("web:1", 0);
    stage.spawn_fails("web:1", missing());
    did(&mut stage, "TERM web:0, spawn web:0, TERM web:1, spawn web:1, TERM proxy");
    // A stop ends it.
    let mut stage = up();
    stage.stop("web:1");
    did(&mut stage, "TERM web:0, spawn web:0, TERM web:1, TERM proxy");
    // All that it has restarted is stopped.
    let mut stage = up();
    stage.stop("web:*");
    did(&mut stage, "TERM web:0, spawn web:0, TERM web:1, TERM web:0");
    // Nothing has been restarted.
    let mut stage = Stage::booted([follower(), rolling(several(quick("web"), 2), at_a_time(1))]);
    stage.after(s(1));
    stage.restart("web:*");
    stage.exits("web:0", 0);
    stage.spawn_fails("web:0", missing());
    did(&mut stage, "TERM web:0, spawn web:0");
}

#[test]
fn followers_of_a_reload_come_after_its_last_step() {
    let follower = || restarted_with(quick("proxy"), &["web"]);
    let web = || rolling(several(quick("web"), 2), at_a_time(1));
    let mut stage = Stage::booted([follower(), web()]);
    stage.after(s(1));
    let answer = stage.reload([follower(), with_command(web(), "another")]);
    stage.answered(answer, "restart proxy web:0 web:1, 0 as before");
    for name in ["web:0", "web:1"] {
        stage.after(ms(10));
        stage.exits(name, 0);
        stage.spawned(name);
    }
    did(&mut stage, "TERM web:0, spawn web:0, TERM web:1, spawn web:1, TERM proxy");
}
