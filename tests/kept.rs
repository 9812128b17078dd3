//! Processes that are kept when their run is over: `leftovers = "keep"` and `stop_kill`.

mod harness;

use harness::{Daemon, End, Place, Process, Setting, both_places, wait_until};

/// A program that leaves a daemon in a session of its own behind and fails, and stays up the second time.
const FIRST_LEAVES: &str = "command = [\"sh\", \"-c\", '''\
    if mkdir \"$0\" 2>/dev/null; then setsid sleep 1001 & exit 3; else exec sleep 1002; fi''', \"first\"]\n";

fn web(place: Place, keys: &str) -> Daemon {
    Setting::supervising(format!("[program.web]\nautostart = false\nstartsecs = 0\n{keys}")).at(place).start()
}

/// The processes below the daemon that sleep for this number of seconds.
fn sleepers(daemon: &Daemon, seconds: u32) -> Vec<Process> {
    let mut all = daemon.processes();
    all.retain(|process| sleeps(process, seconds));
    all
}

fn sleeps(process: &Process, seconds: u32) -> bool {
    !process.is_zombie() && process.command == format!("sleep {seconds}")
}

#[test]
fn kept_leftovers_delay_no_restart_and_a_later_stop_leaves_them_alone() {
    for place in both_places() {
        let program = FIRST_LEAVES.replace("\"first\"", "\"{here}/first\"");
        let mut daemon = web(place, &format!("{program}leftovers = \"keep\"\nbackoff = {{ delay = 0 }}\n"));
        daemon.ctl(&["start", "web"]);
        wait_until("the second run is up and the first one's daemon is kept", || {
            sleepers(&daemon, 1002).len() == 1 && sleepers(&daemon, 1001).len() == 1
        });
        let why = daemon.client.get("/v1/programs/web/why").json();
        assert!(!why.to_string().contains("left behind"), "{why:#}");
        daemon.ctl_well(&["stop", "web"]);
        daemon.wait_for_state("web", "STOPPED");
        let kept = sleepers(&daemon, 1001);
        assert_eq!((kept.len(), sleepers(&daemon, 1002).len()), (1, 0), "{}", daemon.story());
        daemon.terminate();
        assert_eq!(daemon.wait(), End::Code(0), "{}", daemon.story());
        let is_left = daemon.left_behind().iter().any(|process| sleeps(process, 1001));
        assert_eq!(is_left, place == Place::Plain, "only the end of a PID 1 ends them\n{}", daemon.story());
    }
}

#[test]
fn by_default_leftovers_are_stopped() {
    let program = FIRST_LEAVES.replace("\"first\"", "\"{here}/first\"");
    let daemon = web(Place::Plain, &format!("{program}backoff = {{ delay = 0 }}\n"));
    daemon.ctl(&["start", "web"]);
    wait_until("the second run is up", || sleepers(&daemon, 1002).len() == 1);
    assert_eq!(sleepers(&daemon, 1001).len(), 0, "{}", daemon.story());
}

#[test]
fn stop_kill_main_kills_the_main_process_alone() {
    let program = "command = [\"sh\", \"-c\", '''trap \"\" TERM; sleep 1001 & echo deaf; while :; do sleep 1; done''']\n\
                   ready = { log = \"deaf\" }\nstopwaitsecs = \"200ms\"\nstop_kill = \"main\"\n";
    for place in both_places() {
        let daemon = web(place, program);
        daemon.ctl_well(&["start", "web"]);
        daemon.ctl_well(&["stop", "web"]);
        assert_eq!(daemon.state("web"), "STOPPED");
        assert_eq!(sleepers(&daemon, 1001).len(), 1, "{}", daemon.story());
        // The next run has nothing to do with it.
        daemon.ctl_well(&["start", "web"]);
        daemon.ctl_well(&["stop", "web"]);
        assert_eq!(sleepers(&daemon, 1001).len(), 2, "{}", daemon.story());
    }
}

#[test]
fn stop_kill_group_ends_the_group_and_nothing_else() {
    let deaf = "trap \"\" TERM; echo deaf; while :; do sleep 1; done";
    let program = format!(
        "command = [\"sh\", \"-c\", '''setsid sleep 1001 & sh -c '{deaf}' & trap \"exit 0\" TERM; wait''']\n\
         ready = {{ log = \"deaf\" }}\nstopwaitsecs = \"200ms\"\nstop_kill = \"group\"\n"
    );
    for scope in ["main", "group"] {
        let daemon = web(Place::Plain, &format!("{program}stop_scope = \"{scope}\"\n"));
        daemon.ctl_well(&["start", "web"]);
        wait_until("its daemon has a session of its own", || sleepers(&daemon, 1001).len() == 1);
        daemon.ctl_well(&["stop", "web"]);
        let mut left = daemon.processes();
        left.retain(|process| !process.is_zombie());
        assert!(left.len() == 1 && sleeps(&left[0], 1001), "{left:?}\n{}", daemon.story());
    }
}
