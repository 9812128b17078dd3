//! `docker pause`: time that the daemon was frozen counts against no program.

use std::time::Duration;

use crate::container::Recipe;
use crate::engine::{alone, docker_ok, is_wanted, services};

/// Sends these sd_notify messages one after another, each that many seconds after the one before; the last one repeats.
const SAYS: &str = r#"
import os, socket, sys, time
speaker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
address = os.environ["NOTIFY_SOCKET"]
address = "\0" + address[1:] if address[0] == "@" else address
words = [word.split(":") for word in sys.argv[1:]]
while True:
    after, word = words[0]
    words = words[1:] or words
    time.sleep(float(after))
    speaker.sendto((word + "=1").encode(), address)
    print("said", word, flush=True)
"#;

/// A pause of five seconds hits one program with a watchdog of two, one that becomes ready after two of three, and one
/// that needs two of four to stop. They were frozen with the daemon, and have as much time left afterwards as before.
#[test]
fn a_pause_of_five_seconds_ends_and_kills_no_program() {
    if !is_wanted() {
        return;
    }
    let _quiet = alone();
    let config = "
[program.watched]
command = [\"python3\", \"/says.py\", \"0:READY\", \"0.5:WATCHDOG\"]
ready = \"notify\"
watchdog = \"2s\"
startsecs = 0
[program.starting]
command = [\"python3\", \"/says.py\", \"2:READY\", \"1000:READY\"]
ready = \"notify\"
start_timeout = \"3s\"
startsecs = 0
autostart = false
[program.stopping]
command = [\"sh\", \"-c\", \"trap 'echo was asked; sleep 2; echo is done; exit 0' TERM; echo can stop; while :; do sleep 0.1; done\"]
stopwaitsecs = 4
startsecs = 0
";
    let container = Recipe::of(services()).file("says.py", "/says.py", SAYS).config(config).start();
    container.wait_log("said WATCHDOG");
    container.wait_log("can stop");
    assert!(container.ctl("start --no-wait starting").status.success());
    assert!(container.ctl("stop --no-wait stopping").status.success());
    container.wait_log("was asked");
    docker_ok(["pause", &container.name]);
    // A pause of that length while no deadline is pending.
    std::thread::sleep(Duration::from_secs(5));
    docker_ok(["unpause", &container.name]);
    container.wait_log("the daemon was not running for a while");
    let starting = container.wait_state("starting", "RUNNING");
    container.wait_state("stopping", "STOPPED");
    // It keeps running for longer than its watchdog allows.
    let pings = |log: &str| log.matches("said WATCHDOG").count();
    let before = pings(&container.logs());
    container.until("it keeps running", || (pings(&container.logs()) >= before + 6).then_some(()));
    let watched = container.wait_state("watched", "RUNNING");
    for program in [&watched, &starting] {
        assert_eq!((&program["failures"], &program["ready"]), (&0.into(), &true.into()), "{}", container.story());
    }
    let log = container.logs();
    assert!(log.contains("is done"), "it was not given the time to stop:\n{log}");
    for untold in ["SIGKILL", "failed, stopping it", "ended unexpectedly", "will be started again"] {
        assert!(!log.contains(untold), "{untold}:\n{log}");
    }
    assert_eq!(container.stop().code, 0, "{log}");
}
