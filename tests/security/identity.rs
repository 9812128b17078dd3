//! Messages and processes that claim to belong to another program.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use crate::descriptors::notify_address;
use crate::harness::{self, Setting, puppet, skip, wait_until};

const NOT_ITS_OWN: &str = "ignored a notification from a process outside the program";

/// Waits for the facts it needs, takes on as much of the victim's tag as it can, notifies in its name, and leaves
/// orphans with its marker.
const ATTACK: &str = r#"
cd DIRECTORY
while [ ! -e go ]; do sleep 0.02; done
. ./go
# Kept for the end: its own main process must not be stopped by what it does.
for limit in locks=$LOCKS:$LOCKS rss=$RSS:$RSS; do prlimit --pid $$ --$limit; done
for text in READY=1 WATCHDOG=trigger MAINPID=$$ WATCHDOG_USEC=1; do systemd-notify $text; done
setsid sh -c 'systemd-notify MAINPID=$$ READY=1; exit 0'
(MUSTER_RUN=$VICTIM setsid sh -c 'systemd-notify READY=1 MAINPID=$$; echo $$ > orphan; exec sleep 1000' &)
(env -i setsid sh -c 'exec sleep 1000' &)
while [ ! -s orphan ]; do sleep 0.02; done
: > done
exec sleep 1000
"#;

fn shared_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory can be created");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("the test owns it");
    directory
}

fn variable(pid: i32, name: &str) -> String {
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("root reads every environment");
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let value = environment.split('\0').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
    value.expect("the daemon has set it").to_owned()
}

fn hard_limit(pid: i32, name: &str) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("every user may read limits");
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel lists it");
    line.split_whitespace().nth(1).expect("a soft and a hard one").to_owned()
}

fn attack(directory: &Path, user: &str) -> String {
    let script = directory.join("attack.sh");
    fs::write(&script, ATTACK.replace("DIRECTORY", &directory.display().to_string())).expect("the test owns it");
    format!("[program.attacker]\ncommand = [\"/bin/sh\", \"{}\"]\nuser = \"{user}\"\nstartsecs = 0\n", script.display())
}

#[test]
fn no_process_notifies_for_a_program_of_another_user() {
    if !harness::is_root() {
        return skip("programs of two users need root");
    }
    // The tag of the victim is lower than that of the attacker, or higher.
    [1, 1000].into_iter().for_each(speak_for_a_victim_with_this_priority);
}

fn speak_for_a_victim_with_this_priority(priority: u32) {
    let directory = shared_directory();
    let victim = format!(
        "[program.victim]\ncommand = \"sleep 1000\"\nuser = \"daemon\"\nready = \"notify\"\nwatchdog = \"10m\"\n\
         startsecs = 0\nstart_timeout = \"10m\"\npriority = {priority}\n"
    );
    let mut daemon = Setting::supervising(format!("{victim}{}", attack(directory.path(), "nobody"))).start();
    daemon.wait_for_running("attacker");
    let pid = daemon.pid_of("victim");
    wait_until("the victim is executed", || {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    let go = format!(
        "export NOTIFY_SOCKET='{}' LOCKS={} RSS={} VICTIM='{}'\n",
        variable(pid, "NOTIFY_SOCKET"),
        hard_limit(pid, "Max file locks"),
        hard_limit(pid, "Max resident set"),
        variable(pid, "MUSTER_RUN"),
    );
    fs::write(directory.path().join("go.unfinished"), go).expect("the test owns it");
    fs::rename(directory.path().join("go.unfinished"), directory.path().join("go")).expect("the test owns it");
    wait_until("the attack is over", || directory.path().join("done").exists());
    // systemd-notify waits until its message has been received.
    assert!(!daemon.has_said(NOT_ITS_OWN).is_empty(), "{}", daemon.story());
    assert_eq!(daemon.state("victim"), "STARTING", "{}", daemon.story());
    assert_eq!(daemon.pid_of("victim"), pid, "{}", daemon.story());
    let processes = daemon.ctl_well(&["--json", "ps", "victim"]);
    assert_eq!(processes.matches("\"pid\"").count(), 1, "{processes}");
    // The daemon waits for no orphan of the attacker.
    daemon.ctl_well(&["stop", "victim"]);
    assert!(daemon.has_said("did not stop in time").is_empty(), "{}", daemon.story());
    daemon.finish();
}

#[test]
fn messages_that_a_program_provokes_are_rate_limited() {
    for text in ["ERRNO=2", "BUSERROR=org.example.Broken", "FDSTORE=1", "MAINPID=1"] {
        let mut texts = vec![text; 300];
        texts.extend(["READY=1", "STATUS=all is said"]);
        let texts = serde_json::to_string(&texts).expect("it is a list of texts");
        let more = "ready = \"notify\"\nstartsecs = 0\n";
        let daemon = Setting::supervising(puppet::program("web", &format!("teller {texts}"), more)).start();
        wait_until("all messages were sent", || daemon.program("web")["status"] == "all is said");
        let said = daemon.settled_log().iter().filter(|line| line.field("suppressed").is_some()).count();
        assert_eq!(said, 5, "{text}: {}", daemon.story());
    }
}

#[test]
fn a_program_that_reports_stopping_is_no_longer_watched() {
    let texts =
        serde_json::to_string(&["READY=1", "STOPPING=1\nWATCHDOG_USEC=100000", "sleep 2", "exit 7"]).expect("texts");
    let more = "ready = \"notify\"\nwatchdog = \"500ms\"\nstartsecs = 0\nrestart = \"no\"\n";
    let daemon = Setting::supervising(puppet::program("web", &format!("teller {texts}"), more))
        .musterd("exit_when_done = false")
        .start();
    let web = daemon.wait_for_state("web", "EXITED");
    assert_eq!(web["exit"]["code"], 7, "{}", daemon.story());
}

/// Sockets used to be named by the run's number, so a program that knew its own could take those of later runs, which
/// then failed.
#[test]
fn the_sockets_of_later_runs_cannot_be_taken() {
    // Where other users have no access to the control socket's directory, sockets are files rather than abstract names.
    let web = "[program.web]\ncommand = \"sleep 1000\"\nready = \"notify\"\nstartsecs = 0\n";
    let close = "chmod 700 \"$(dirname \"$3\")\"; exec \"$@\"";
    let daemon = Setting::supervising(web).wrapped(&["sh", "-c", close, "sh"]).start();
    let first = daemon.wait_for_state("web", "STARTING")["pid"].clone();
    let address = notify_address(&daemon, "web");
    let Some((names, _)) = address.strip_prefix('@').and_then(|name| name.rsplit_once('/')) else {
        return skip("the sockets have files where the daemon is not root");
    };
    let take =
        |run| SocketAddr::from_abstract_name(format!("{names}/{run}")).and_then(|name| UnixDatagram::bind_addr(&name));
    let _taken: Vec<_> = (0..100).map(take).collect();
    daemon.client.post("/v1/programs/web/restart?wait=0");
    wait_until("it is restarted", || {
        let web = daemon.program("web");
        web["pid"].is_number() && web["pid"] != first
    });
    assert!(daemon.log.saying("cannot spawn").is_empty(), "{}", daemon.story());
}
