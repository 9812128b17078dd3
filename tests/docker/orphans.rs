//! Orphans: PID 1 reaps all of them, and leaves those that belong to no program alone until the end.

use crate::container::{Container, Recipe};
use crate::engine::{is_wanted, services, text, together};

const CONFIG: &str = r#"
[musterd]
exit_when_done = false
[program.web]
command = "sleep 1000"
"#;

/// The number of processes in this state, according to the kernel.
fn count_zombies(container: &Container) -> usize {
    let states = container.shell("for p in /proc/[0-9]*/stat; do sed 's/.*) //' $p 2>/dev/null; done | cut -c1");
    states.lines().filter(|state| *state == "Z").count()
}

#[test]
fn orphans_of_docker_exec_and_of_programs_leave_no_zombies() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let orphans =
        "$| = 1; for (1..2000) { if (!fork) { exit fork ? 0 : 7 } wait } print \"all are born\\n\"; sleep shift;";
    let config = format!("{CONFIG}[program.family]\ncommand = 'perl /orphans.pl 1000'\n");
    let container = Recipe::of(services()).config(&config).file("orphans.pl", "/orphans.pl", orphans).start();
    container.wait_log("all are born");
    let born = container.exec(&["perl", "/orphans.pl", "0"]);
    assert!(born.status.success(), "{}", text(&born));
    container.until("no zombie is left", || (count_zombies(&container) == 0).then_some(()));
    // And none of them was taken for the end of a program.
    assert_eq!(container.program("family")["state"], "RUNNING", "{}", container.story());
    assert_eq!(container.program("web")["state"], "RUNNING", "{}", container.story());
}

#[test]
fn strays_of_docker_exec_outlive_programs_and_are_ended_at_the_end() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    // Strays have as long as the last programs take.
    let slow =
        "[program.slow]\ncommand = [\"sh\", \"-c\", \"trap 'sleep 3; exit' TERM; while :; do sleep 0.1; done\"]\n";
    let container = Recipe::of(services()).config(&format!("{CONFIG}{slow}")).start();
    container.wait_ready();
    // Their output goes to PID 1's own console, since their pipes are no longer read.
    let stray = "exec >/proc/1/fd/1 2>&1; trap 'echo stray was asked; exit' TERM; echo stray is up; while :; do sleep 0.1; done";
    container.exec(&[
        "sh",
        "-c",
        &format!("setsid sh -c \"{stray}\" & setsid sh -c \"trap '' TERM; exec sleep 4242\" &"),
    ]);
    container.wait_log("stray is up");
    let strays = || container.with_argument("4242");
    let before = container.until("the deaf stray is there", || Some(strays()).filter(|pids| !pids.is_empty()));
    assert!(container.ctl("restart all").status.success());
    assert!(container.ctl("stop all").status.success());
    assert_eq!(strays(), before, "a stray was affected by a stop of programs");
    assert!(!container.logs().contains("stray was asked"), "a stray was signalled by a stop of programs");

    assert!(container.ctl("start slow").status.success());
    let stopped = container.stop();
    assert_eq!(stopped.code, 0, "{}", stopped.log);
    assert!(stopped.log.contains("stray was asked"), "strays get TERM at the end:\n{}", stopped.log);
}
