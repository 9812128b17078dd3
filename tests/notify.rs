//! What programs tell by sd_notify beside their readiness: that they need more time to stop.

mod harness;

use std::time::Duration;

use harness::{Daemon, End, Setting, both_places, puppet};

/// A program that says these things on its socket.
fn teller(name: &str, texts: &[&str], more: &str) -> String {
    let part = format!("teller {}", serde_json::to_string(&texts).expect("it is a list of texts"));
    puppet::program(name, &part, &format!("ready = \"notify\"\nstartsecs = 0\n{more}"))
}

fn was_killed(daemon: &Daemon) -> bool {
    ["did not stop in time", "the shutdown left it no more time"].iter().any(|text| !daemon.log.saying(text).is_empty())
}

#[test]
fn a_program_that_asks_for_more_time_to_stop_gets_it() {
    for place in both_places() {
        let words = ["deaf", "READY=1", "await-term", "STOPPING=1\nEXTEND_TIMEOUT_USEC=60000000", "sleep 4", "exit 7"];
        let daemon = Setting::supervising(teller("web", &words, "stopwaitsecs = 3")).at(place).start();
        daemon.wait_for_running("web");
        assert_eq!(daemon.ctl_well(&["stop", "web"]), "web: stopped\n");
        assert_eq!(daemon.program("web")["exit"]["code"], 7);
        assert!(!was_killed(&daemon), "{}", daemon.story());
    }
}

#[test]
fn more_time_to_stop_ends_with_the_shutdowns_budget() {
    let words = ["deaf", "READY=1", "await-term", "EXTEND_TIMEOUT_USEC=60000000"];
    let budget = "exit_when_done = false\nshutdown_timeout = 4";
    let mut daemon = Setting::supervising(teller("web", &words, "stopwaitsecs = 2")).musterd(budget).start();
    daemon.wait_for_running("web");
    daemon.terminate();
    assert_eq!(daemon.wait(), End::Code(0));
    let told = daemon.log.saying("did not stop in time");
    assert_eq!(told.len(), 1, "{}", daemon.story());
    let waited = told[0].at - daemon.log.saying("stopping everything")[0].at;
    assert!(waited > Duration::from_secs(3), "SIGKILL after {waited:?}");
}
