//! A container with a memory limit: a program killed by the OOM killer is reported as such, and no other.

use serde_json::Value;

use crate::container::{Container, Recipe};
use crate::engine::{is_wanted, services, text, together};

/// Allocates memory until there is none; and a program that sleeps.
const CONFIG: &str = "\
[musterd]
exit_when_done = false
[program.hungry]
command = ['perl', '-e', 'my @all; push @all, chr(65 + @all % 26) x 1048576 while 1']
on_exit = { oom = 'fatal', signal = 'stop' }
startsecs = 0
[program.calm]
command = 'sleep 1000'
startsecs = 0
startretries = 0
";

fn why(container: &Container, name: &str) -> (Value, String) {
    let json = container.ctl(&format!("why {name} --json"));
    let json = serde_json::from_slice(&json.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&json)));
    (json, text(&container.ctl(&format!("why {name}"))))
}

#[test]
fn only_oom_killed_programs_are_reported_as_such() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let container = Recipe::of(services()).options("--memory 64m --memory-swap 64m").config(CONFIG).start();
    // Not by a client in the container, see `limits.rs`.
    container.wait_log("gave up program=hungry");
    let (data, words) = why(&container, "hungry");
    assert_eq!(data["run"]["exit"]["signal"], "SIGKILL", "{data:#}");
    assert_eq!((&data["run"]["ended_by"], &data["run"]["out_of_memory"]), (&"out_of_memory".into(), &true.into()));
    assert!(words.contains("out of memory"), "{words}");
    assert!(words.contains("decided: on_exit oom: given up"), "{words}");
    assert!(container.logs().contains("ended unexpectedly, out of memory"), "{}", container.story());

    // The same signal from another process, with memory to spare: the counter shows that.
    container.wait_state("calm", "RUNNING");
    container.shell("kill -9 $(musterctl pid calm)");
    container.wait_state("calm", "FATAL");
    let (data, words) = why(&container, "calm");
    assert_eq!((&data["run"]["ended_by"], &data["run"]["out_of_memory"]), (&"somebody_else".into(), &false.into()));
    assert!(words.contains("OOM-killed no process of this cgroup"), "{words}");
}
