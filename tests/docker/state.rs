//! `docker restart`: what `state_dir` keeps over it, and nothing else.

use serde_json::Value;

use crate::container::{Container, Recipe};
use crate::engine::{docker_ok, is_wanted, services, together};

const CONFIG: &str = r#"
[musterd]
state_dir = "/var/lib/muster"
[program.kept]
command = "sleep 1000"
startsecs = 0
restart = "unless-stopped"
[program.other]
command = "sleep 1000"
startsecs = 0
restart = "always"
[program.idle]
command = "sleep 1000"
startsecs = 0
autostart = false
[program.migrate]
type = "oneshot"
once = true
command = ["sh", "-c", "echo migrated >> /var/done"]
[program.web]
command = "sleep 1000"
startsecs = 0
[program.unsteady]
command = ["sh", "-c", "exit 7"]
startsecs = 0
startretries = 1
backoff = { delay = "10ms" }
"#;

fn is_up(container: &Container, name: &str) -> bool {
    container.program(name)["state"] == "RUNNING"
}

fn up(container: &Container) -> Vec<String> {
    let programs: Value = serde_json::from_slice(&container.ctl("status --json").stdout).unwrap_or_default();
    let programs = programs.as_array().cloned().unwrap_or_default();
    let is_running = |one: &&Value| one["state"] == "RUNNING";
    programs.iter().filter(is_running).filter_map(|one| Some(one["name"].as_str()?.to_owned())).collect()
}

#[test]
fn what_is_promised_outlasts_docker_restart_and_nothing_else() {
    if !is_wanted() {
        return;
    }
    let _crowd = together();
    let container = Recipe::of(services()).config(CONFIG).start();
    container.wait_state("web", "RUNNING");
    container.wait_state("unsteady", "FATAL");
    container.wait_state("migrate", "EXITED");
    for command in ["stop kept", "stop other", "start idle", "scale web=3"] {
        let output = container.ctl(command);
        assert!(output.status.success(), "{command}: {output:?}");
    }
    for how in [["restart", "--time", "20"], ["kill", "--signal", "KILL"]] {
        // A request is kept within a second, and at an orderly end at once.
        let kept = || container.shell("cat /var/lib/muster/stopped.json /var/lib/muster/scales.json");
        container.until("it is written", || {
            let text = kept();
            (text.contains("kept") && text.contains("web")).then_some(())
        });
        docker_ok(how.iter().copied().chain([container.name.as_str()]));
        if how[0] == "kill" {
            container.wait();
            docker_ok(["start", &container.name]);
        }
        container.until("the programs are up again", || {
            let names = ["other", "web:0", "web:1", "web:2"];
            names.iter().all(|name| is_up(&container, name)).then_some(())
        });
        // A start by hand, a counter and a stop of another policy are not kept.
        let failed = container.wait_state("unsteady", "FATAL");
        assert_eq!(up(&container), ["other", "web:0", "web:1", "web:2"], "{}", container.story());
        assert_eq!(container.program("kept")["state"], "STOPPED", "{}", container.story());
        assert_eq!(failed["failures"], 1, "as in its first life: {failed}");
        assert_eq!(container.shell("cat /var/done"), "migrated");
        // A daemon that was killed has written the runs of a second before.
        if how[0] == "restart" {
            let why = String::from_utf8_lossy(&container.ctl("why unsteady").stdout).into_owned();
            assert!(why.contains("previous life"), "{why}");
        }
    }
}
