//! `[musterd] user`: the daemon opens its sockets as root and is that user from then on, in every thread.

mod harness;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use harness::{Setting, ended, is_root, skip};

/// The user of these tests, and its group.
const USER: u32 = 65534;

/// A port that only root may listen on.
fn low_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (600..1000).rev().find(is_free).expect("one of them is free")
}

/// The four ids of every thread of a process.
fn ids(pid: i32, name: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let line = |status: String| status.lines().find(|line| line.starts_with(name)).map(str::to_owned);
    tasks.flatten().filter_map(|task| line(fs::read_to_string(task.path().join("status")).ok()?)).collect()
}

#[test]
fn the_daemon_and_its_programs_are_the_user_and_its_sockets_were_roots_to_open() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let (port, api) = (low_port(), low_port() - 1);
    let programs = format!(
        "[program.web]\ncommand = \"sleep 1000\"\nsockets = [\"tcp://127.0.0.1:{port}\"]\n\
         [program.same]\ncommand = [\"sh\", \"-c\", \"echo home=$HOME user=$USER; exec sleep 1000\"]\nuser = \"{USER}\"\n"
    );
    let secrets = tempfile::tempdir().expect("a temporary directory");
    let token = secrets.path().join("token");
    fs::write(&token, "a-token-of-more-than-thirty-two-characters").expect("it is ours");
    fs::set_permissions(secrets.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o400)).expect("it is ours");
    let http = format!("listen = [\"http://127.0.0.1:{api}\"]\ntoken_file = \"{}\"", token.display());
    let setting =
        Setting::supervising(&*programs).in_directory_of(USER).musterd(&format!("user = \"{USER}\"")).http(&http);
    let mut daemon = setting.start();
    let all = [USER; 4].map(|id| id.to_string()).join("\t");
    for name in ["web", "same"] {
        let pid = daemon.wait_for_running(name);
        assert_eq!(ids(pid, "Uid:"), [format!("Uid:\t{all}")], "{name}");
    }
    // More threads than one, and none of them root's.
    let threads = ids(daemon.pid(), "Uid:");
    assert!(threads.len() > 1 && threads.iter().all(|line| *line == format!("Uid:\t{all}")), "{threads:?}");
    assert!(ids(daemon.pid(), "Gid:").iter().all(|line| *line == format!("Gid:\t{all}")));
    for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
        let sets = ids(daemon.pid(), set);
        assert!(sets.iter().all(|line| line.ends_with("\t0000000000000000")), "{sets:?}");
    }
    let own = fs::metadata(daemon.socket()).expect("the socket exists");
    assert_eq!((own.uid(), own.mode() & 0o777), (USER, 0o600));
    TcpStream::connect(("127.0.0.1", port)).expect("the program's socket listens");
    TcpStream::connect(("127.0.0.1", api)).expect("the API listens");
    // Programs share the daemon's user, and still cannot look into its memory, which had root's secrets.
    let as_user = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "cat"];
    let environ = format!("/proc/{}/environ", daemon.pid());
    assert_ne!(ended(Command::new("setpriv").args(as_user).arg(environ)).code, Some(0));
    harness::wait_until("its variables are printed", || daemon.ctl_well(&["logs", "same"]).contains("user="));
    let printed = daemon.ctl_well(&["logs", "same"]);
    assert!(!printed.contains("home=/root"), "{printed}");

    // Another user, by a reload: refused, and nothing has changed.
    let before = daemon.pid_of("web");
    let more = format!("{programs}[program.root]\ncommand = \"true\"\nuser = \"root\"\n");
    let line = format!("user = \"{USER}\"");
    daemon.rewrite(&Setting::supervising(more).musterd(&line).http(&http));
    let refused = daemon.ctl(&["update"]);
    assert!(refused.err.contains("user cannot be root: the daemon becomes user 65534"), "{refused:?}");
    assert_eq!(daemon.pid_of("web"), before);
    daemon.finish();
}

/// The kernel lets only sockets of one user share a port: those of before the change of user and those of after it.
#[test]
fn further_instances_share_a_port_that_was_roots_to_open() {
    if !is_root() {
        return skip("only root can become another user");
    }
    for protocol in ["tcp", "udp"] {
        let port = harness::free_port();
        let program = format!(
            "[program.web]\ncommand = \"sleep 1000\"\nnumprocs = 2\nstartsecs = 0\n\
             [program.web.sockets.http]\nlisten = \"{protocol}://127.0.0.1:{port}\"\nreuse_port = true\n"
        );
        let setting = Setting::supervising(program).in_directory_of(USER).musterd(&format!("user = \"{USER}\""));
        let mut daemon = setting.start();
        for name in ["web:0", "web:1"] {
            daemon.wait_for_running(name);
        }
        daemon.ctl_well(&["scale", "web=3"]);
        let third = daemon.wait_for_running("web:2");
        let link = fs::read_link(format!("/proc/{third}/fd/3")).expect("it has a socket of its own");
        assert!(link.to_string_lossy().starts_with("socket:"), "{link:?}");
        // Also one that is opened again while the others are open.
        daemon.ctl_well(&["stop", "web:0"]);
        daemon.ctl_well(&["start", "web:0"]);
        daemon.finish();
    }
}

#[test]
fn a_log_that_the_user_cannot_write_fails_the_start() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    let log = place.path().join("muster.log");
    let lines = format!("user = \"{USER}\"\nlogfile = \"{}\"", log.display());
    let mut daemon = Setting::supervising("[program.web]\ncommand = \"sleep 1000\"\n").musterd(&lines).launch();
    let end = daemon.wait();
    assert_eq!(end, harness::End::Code(1), "{}", daemon.story());
    let said = daemon.log.text();
    assert!(said.contains("musterd: cannot start: [musterd] logfile:"), "{said}");
    assert!(!log.exists());
}

#[test]
fn what_cannot_be_become_is_said() {
    if !is_root() {
        return skip("only root can start as another user");
    }
    let programs = "[program.web]\ncommand = \"sleep 1000\"\n";
    for (line, owner, message) in [
        ("user = \"no-such-user\"", 0, "[musterd] user: no such user: \"no-such-user\""),
        (
            "user = \"4242:4242\"",
            USER,
            "[musterd] user: the daemon runs as uid 65534 and cannot become 4242: start it as root, or leave the key out",
        ),
    ] {
        let mut daemon = Setting::supervising(programs).owned_by(owner).musterd(line).launch();
        let end = daemon.wait();
        assert_eq!(end, harness::End::Code(2), "{line}: {}", daemon.story());
        assert_eq!(daemon.log.saying(message).len(), 1, "{}", daemon.log.text());
    }
    // Its own user needs no rights.
    let same = Setting::supervising(programs).owned_by(USER).musterd("user = \"65534\"");
    let mut daemon = same.start();
    daemon.wait_for_running("web");
    daemon.finish();
}
