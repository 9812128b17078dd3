//! `musterctl --via 'docker exec -i …'`: the client on this machine, the daemon in a container.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use crate::container::{Container, Recipe};
use crate::engine::{Libc, is_wanted, scratch, text, together};

const PROGRAMS: &str = "
[program.web]
command = \"/musterd run -- /musterctl events\"
startsecs = 0
[program.idle]
command = \"/musterctl events\"
autostart = false
startsecs = 0
";

fn command(container: &Container, words: &[&str]) -> Command {
    let mut command = Command::new(crate::executables::musterctl());
    command.args(["--via", &format!("docker exec -i {}", container.name)]).args(words).stdin(Stdio::null());
    command.env_remove("MUSTER_SOCKET");
    command
}

fn ctl(container: &Container, words: &[&str]) -> Output {
    command(container, words).output().expect("musterctl is built")
}

/// Whether the other end of a command is still in the container.
fn has_far_end(container: &Container) -> bool {
    let processes = crate::engine::docker(["top", &container.name, "-eo", "pid,args"]);
    text(&processes).contains("dial-stdio")
}

#[test]
fn a_container_is_controlled_from_outside_without_a_port() {
    if !is_wanted() {
        return;
    }
    let _beside = together();
    let container = Recipe::of(scratch(Libc::Chosen)).config(PROGRAMS).start();
    container.wait_ready();
    for words in [&["status"][..], &["status", "wbe"], &["avail"], &["health"], &["version"], &["why", "idle"]] {
        let (direct, through) = (container.ctl(&words.join(" ")), ctl(&container, words));
        assert_eq!(through.status.code(), direct.status.code(), "{words:?}: {through:?}");
        assert_eq!(without_time(&through.stdout), without_time(&direct.stdout), "{words:?}");
        assert_eq!(text(&through).contains("hint: "), text(&direct).contains("hint: "), "{words:?}");
    }
    let started = ctl(&container, &["start", "idle"]);
    assert_eq!(String::from_utf8_lossy(&started.stdout), "idle: started\n", "{started:?}");

    let mut following = command(&container, &["logs", "-f", "web", "idle"]);
    let mut child = following.stdout(Stdio::piped()).spawn().expect("musterctl is built");
    let mut line = String::new();
    let mut lines = BufReader::new(child.stdout.take().expect("it was asked for"));
    lines.read_line(&mut line).expect("it is text");
    assert!(line.contains(" | "), "{line:?}");
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    container.until("the far end is gone", || (!has_far_end(&container)).then_some(()));

    let ended = ctl(&container, &["-s", "/x", "status"]);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    let name = format!("docker exec -i {}-gone", container.name);
    let ended = Command::new(crate::executables::musterctl()).args(["--via", &name, "status"]).output();
    let ended = ended.expect("musterctl is built");
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
    assert!(text(&ended).contains("No such container"), "{ended:?}");
    container.stop();
}

/// The lines without uptimes, which advance.
fn without_time(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(|line| line.split(", uptime").next().unwrap_or_default().to_owned()).collect()
}
