//! A container with limits: a program that exhausts them must not take down the daemon or the other programs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::container::{Container, PATIENCE, Recipe};
use crate::engine::{alone, docker_ok, is_wanted, services, together};

/// Sends a request to the daemon from outside: where no process can be created, docker exec does not work.
fn ask(socket: &Path, method: &str, target: &str) -> String {
    let talk = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: muster\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    talk().unwrap_or_else(|error: std::io::Error| error.to_string())
}

/// How many processes are in the container, as the host sees them.
fn count_processes(container: &Container) -> usize {
    docker_ok(["top", &container.name, "-o", "pid"]).lines().count() - 1
}

#[test]
fn a_fork_bomb_under_a_pids_limit_is_seen_and_stopped_alone() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let config = "[program.bomb]\ncommand = ['perl', '-e', 'defined(fork) or sleep(1) while 1']\nstopwaitsecs = 1\n\
                  [program.calm]\ncommand = 'sleep 1000'\n";
    let run = tempfile::tempdir().expect("the temporary directory is writable");
    let socket = run.path().join("muster.sock");
    let recipe = Recipe::of(services()).options("--pids-limit 60").config(config);
    let container = recipe.option("--volume", format!("{}:/run", run.path().display())).start();
    container.until("the bomb has gone off", || (count_processes(&container) > 50).then_some(()));

    let is_running = || ask(&socket, "GET", "/v1/programs/calm").contains("\"state\":\"RUNNING\"");
    container.until("calm runs beside the bomb", || is_running().then_some(()));
    let stopped = ask(&socket, "POST", "/v1/programs/bomb/stop?wait=30");
    assert!(stopped.starts_with("HTTP/1.1 200") && stopped.contains("\"STOPPED\""), "{stopped}\n{}", container.logs());
    assert_eq!(count_processes(&container), 2, "musterd and calm:\n{}", container.logs());

    let stopped = container.stop();
    assert_eq!(stopped.code, 0, "{}", stopped.log);
    let ended_when_asked = |line: &str| line.contains("calm") && line.contains("stopped") && line.contains("SIGTERM");
    assert!(stopped.log.lines().any(ended_when_asked), "calm was affected:\n{}", stopped.log);
}

#[test]
fn a_fork_bomb_does_not_hold_up_docker_stop() {
    if !is_wanted() {
        return;
    }
    let _quiet = alone();
    let config = "[program.bomb]\ncommand = ['perl', '-e', '$$SIG{{TERM}} = \"IGNORE\"; defined(fork) or sleep(1) while 1']\nstopwaitsecs = 1\n";
    let container = Recipe::of(services()).options("--pids-limit 60").config(config).start();
    container.until("the bomb has gone off", || (count_processes(&container) > 50).then_some(()));
    let stopped = container.stop();
    assert_eq!(stopped.code, 0, "{}", stopped.log);
    assert!(stopped.shutdown() < Duration::from_secs(5), "the bomb delayed it: {stopped:?}");
}

#[test]
fn a_failed_fork_is_reported_with_its_reason_and_retried() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let config = "[program.crowd]\ncommand = ['perl', '-e', 'fork or sleep 3 for 1..60; sleep 3']\nrestart = 'no'\n\
                  [program.late]\ncommand = 'sh -c \"sleep 1; echo late was here\"'\nrestart = 'always'\nstartsecs = 0\n\
                  startretries = 'unlimited'\nbackoff = { delay = 0.3, factor = 1 }\n";
    let container = Recipe::of(services()).options("--pids-limit 40").config(config).start();
    container.until("late has run twice", || (container.logs().matches("late was here").count() >= 2).then_some(()));
    assert_eq!(container.stop().code, 0);
}

#[test]
fn a_program_that_exhausts_memory_is_restarted_and_no_other_is_affected() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let hog = "my @all; push @all, \"x\" x 1e6 while 1";
    let config = format!(
        "[program.calm]\ncommand = 'sleep 1000'\n[program.hog]\ncommand = ['perl', '-e', '{hog}']\ndepends_on = ['calm']\n\
         startretries = 2\nbackoff = {{ delay = 0.1 }}\n"
    );
    let container = Recipe::of(services()).options("--memory 48m --memory-swap 48m").config(&config).start();
    // Not by the API, whose client would run in the container: what allocates while the kernel has marked the dead hog's
    // memory as reaped, but not yet returned all of it, makes it choose a second victim.
    container.wait_log("gave up program=hog");
    let hog = container.program("hog");
    assert_eq!(hog["state"], "FATAL", "{hog}");
    assert!(hog["description"].to_string().contains("SIGKILL"), "{hog}");
    let calm = container.program("calm");
    assert_eq!((&calm["state"], &calm["run"]), (&json!("RUNNING"), &json!(1)), "{}", container.story());
    assert_eq!(container.stop().code, 0);
}
