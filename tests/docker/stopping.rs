//! `docker stop` and its ten seconds: programs stop in parallel, within the budget, and are never killed by the engine.

use std::time::Duration;

use crate::container::{Recipe, between};
use crate::engine::{alone, is_wanted, services, together};

/// A program that prints when it gets its stop signal, and takes a while.
fn slow(name: &str, seconds: u32, more: &str) -> String {
    format!(
        "[program.{name}]\n\
         command = [\"sh\", \"-c\", \"trap 'echo {name} was asked; sleep {seconds}; echo {name} is done; exit 0' TERM; \
         echo {name} is up; while :; do sleep 0.1; done\"]\n{more}\n"
    )
}

/// A program that ignores its stop signal.
fn deaf(name: &str, more: &str) -> String {
    format!(
        "[program.{name}]\ncommand = [\"sh\", \"-c\", \"trap 'echo {name} was asked' TERM; echo {name} is up; \
         while :; do sleep 0.1; done\"]\n{more}\n"
    )
}

#[test]
fn three_programs_of_four_seconds_are_stopped_in_less_than_five() {
    if !is_wanted() {
        return;
    }
    let _quiet = alone();
    let names = ["one", "two", "three"];
    let config: String = names.iter().map(|name| slow(name, 4, "")).collect();
    let container = Recipe::of(services()).config(&config).start();
    names.iter().for_each(|name| container.wait_log(&format!("{name} is up")));
    let stopped = container.stop();
    assert_eq!(stopped.code, 0, "{}", stopped.log);
    for name in names {
        assert!(stopped.log.contains(&format!("{name} was asked")), "{name} got no stop signal:\n{}", stopped.log);
        assert!(stopped.log.contains(&format!("{name} is done")), "{name} was cut off:\n{}", stopped.log);
    }
    let took = stopped.shutdown();
    assert!(took >= Duration::from_secs(4), "it waited for no program: {took:?}\n{}", stopped.log);
    assert!(took < Duration::from_secs(5), "one after the other: {took:?}\n{}", stopped.log);
}

#[test]
fn a_program_that_ignores_its_signal_is_killed_before_the_engines_timeout() {
    if !is_wanted() {
        return;
    }
    let _quiet = alone();
    // Docker kills after ten seconds, with code 137; the default budget is nine. Waves share it.
    let config = [deaf("first", "priority = 3"), deaf("second", "priority = 2"), slow("last", 0, "priority = 1")];
    let container = Recipe::of(services()).config(&config.concat()).start();
    ["first", "second", "last"].iter().for_each(|name| container.wait_log(&format!("{name} is up")));
    let stopped = container.stop();
    assert_eq!(stopped.code, 0, "{}", stopped.log);
    assert!(stopped.shutdown() < Duration::from_secs(10), "{stopped:?}");
    for told in ["first was asked", "second was asked", "last was asked", "last is done"] {
        assert!(stopped.log.contains(told), "{told:?} is missing:\n{}", stopped.log);
    }
    let killed = stopped.log.lines().find(|line| line.contains("had to be killed"));
    assert!(killed.is_some_and(|line| line.contains("first,second")), "which were killed?\n{}", stopped.log);
}

#[test]
fn every_way_to_ask_the_daemon_to_stop_ends_it_with_0() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    for way in ["TERM", "INT", "QUIT", "PWR", "RTMIN+3", "musterctl shutdown"] {
        let container = Recipe::of(services()).config(&slow("web", 0, "")).start();
        container.wait_log("web is up");
        match way.strip_prefix("musterctl ") {
            Some(line) => drop(container.ctl(line)),
            None => container.kill(way),
        }
        let code = container.wait();
        assert_eq!(code, 0, "{way}: {}", container.story());
        assert!(container.logs().contains("web is done"), "{way}: {}", container.story());
    }
}

#[test]
fn signals_other_than_stop_requests_end_nothing() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let container = Recipe::of(services()).config(&slow("web", 0, "")).start();
    container.wait_log("web is up");
    let before = container.wait_state("web", "RUNNING");
    for signal in ["HUP", "USR1", "USR2", "PIPE", "CONT", "URG", "TTIN", "TTOU", "TSTP"] {
        container.kill(signal);
    }
    assert_eq!(container.wait_state("web", "RUNNING")["pid"], before["pid"]);
    assert_eq!(container.stop().code, 0);
}

#[test]
fn a_second_signal_skips_the_waiting() {
    if !is_wanted() {
        return;
    }
    let _quiet = alone();
    let container = Recipe::of(services()).config(&deaf("deaf", "")).start();
    container.wait_log("deaf is up");
    container.kill("TERM");
    container.wait_log("deaf was asked");
    container.kill("TERM");
    assert_eq!(container.wait(), 0, "{}", container.story());
    let took = between(&container.logs(), "asked to stop again", "exit: ");
    assert!(took < Duration::from_secs(2), "it waited {took:?}:\n{}", container.logs());
}
