//! A container with limits: one program that uses up what there is must not take the daemon or the others with it.

use std::time::{Duration, Instant};

use crate::container::Recipe;
use crate::engine::{is_wanted, services, text, together};

#[test]
fn a_fork_bomb_under_a_pids_limit_is_seen_and_stopped() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let bomb = "fork while 1";
    let config = format!(
        "[program.bomb]\ncommand = ['perl', '-e', '{bomb}']\nautostart = false\nstopwaitsecs = 1\n\
         [program.calm]\ncommand = 'sleep 1000'\n"
    );
    let container = Recipe::of(services()).options("--pids-limit 60").config(&config).start();
    let calm = container.wait_state("calm", "RUNNING");
    assert!(container.ctl("start bomb").status.success());

    // docker exec cannot start anything any more, so the daemon is asked to stop everything from outside.
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    let stopped = container.stop();
    assert_eq!(stopped.code, 0, "{}", stopped.log);
    assert!(begun.elapsed() < Duration::from_secs(8), "the bomb held it up: {stopped:?}");
    assert!(calm["pid"].is_number());
    let ended_by_asking = |line: &str| line.contains("calm") && line.contains("ended") && line.contains("SIGTERM");
    assert!(stopped.log.lines().any(ended_by_asking), "calm was not left in peace:\n{}", stopped.log);
}

#[test]
fn where_no_process_can_be_made_the_reason_is_told_and_it_is_tried_again() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let config = "[program.crowd]\ncommand = ['perl', '-e', 'fork or sleep 3 for 1..60; sleep 3']\nrestart = 'no'\n\
                  [program.late]\ncommand = 'sh -c \"sleep 1; echo late was here\"'\nrestart = 'always'\nstartsecs = 0\n\
                  startretries = 'unlimited'\nbackoff = { delay = 0.3, factor = 1 }\n";
    let container = Recipe::of(services()).options("--pids-limit 40").config(config).start();
    container.until("late lives again", || (container.logs().matches("late was here").count() >= 2).then_some(()));
    assert_eq!(container.stop().code, 0);
}

#[test]
fn a_program_that_eats_all_memory_is_started_again_and_nobody_else_suffers() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let hog = "my @all; push @all, \"x\" x 1e6 while 1";
    let config = format!(
        "[program.calm]\ncommand = 'sleep 1000'\n[program.hog]\ncommand = ['perl', '-e', '{hog}']\nautostart = false\n\
         startretries = 2\nbackoff = {{ delay = 0.1 }}\n"
    );
    let container = Recipe::of(services()).options("--memory 48m --memory-swap 48m").config(&config).start();
    let calm = container.wait_state("calm", "RUNNING");
    container.ctl("start hog --no-wait");
    let hog = container.wait_state("hog", "FATAL");
    assert!(hog["description"].to_string().contains("SIGKILL"), "{hog}");
    assert_eq!(container.program("calm")["pid"], calm["pid"], "{}", container.story());
    let info = container.ctl("status calm");
    assert!(info.status.success(), "{}", text(&info));
    assert_eq!(container.stop().code, 0);
}
