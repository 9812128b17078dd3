//! A database, its migration, an application, workers and a web server in one container: each starts as soon as its
//! dependencies are ready, comes back after a crash, and stops in reverse order.

use std::time::{Duration, Instant};

use crate::container::{Container, Recipe};
use crate::engine::{alone, is_wanted, services, text, together};
use crate::services::visit;

const EVERYONE: [&str; 8] = ["app", "migrate", "nginx", "postgres", "worker:0", "worker:1", "worker:2", "worker:3"];

fn stack() -> Container {
    Recipe::of(services()).command(&["musterd", "-c", "/etc/muster/stack.toml"]).start()
}

/// The place in the log of this program's n-th line with this message, starting at 0.
fn place(log: &str, nth: usize, program: &str, message: &str) -> usize {
    let says = |line: &str| {
        let said =
            line.split_once(message).is_some_and(|(before, after)| before.ends_with(' ') && after.starts_with(' '));
        said && line.split_whitespace().any(|word| word == format!("program={program}"))
    };
    let mut found = log.lines().enumerate().filter(|(_, line)| says(line));
    found.nth(nth).unwrap_or_else(|| panic!("{program}: {message} does not occur {} times:\n{log}", nth + 1)).0
}

/// Checks that each message comes after the one before it.
fn assert_order(log: &str, told: &[(usize, &str, &str)]) {
    let places: Vec<usize> = told.iter().map(|&(nth, program, message)| place(log, nth, program, message)).collect();
    assert!(places.is_sorted(), "{told:?} at {places:?}:\n{log}");
}

#[test]
fn programs_start_once_their_dependencies_are_ready_and_stop_in_reverse_order() {
    if !is_wanted() {
        return;
    }
    let _quiet = alone();
    services();
    let begun = Instant::now();
    let container = stack();
    container.wait_ready();
    let took = begun.elapsed();
    println!("from docker run to all ready: {took:?}");
    // A client may send requests as soon as readiness is reported.
    assert_eq!(visit(&container).as_deref(), Ok("visit 1"));
    for program in EVERYONE {
        let state = container.program(program)["state"].clone();
        assert_eq!(state, if program == "migrate" { "EXITED" } else { "RUNNING" }, "{program}\n{}", container.story());
    }
    container.until("a worker has looked at the visit", || {
        (0..4).any(|n| container.program(&format!("worker:{n}"))["status"] == "looked at 1 visits").then_some(())
    });
    let stopped = container.stop();
    let log = &stopped.log;
    assert_eq!(stopped.code, 0, "{log}");
    let starts =
        [(0, "postgres", "starting"), (0, "postgres", "ready"), (0, "migrate", "starting"), (0, "migrate", "ended")];
    for dependent in ["app", "worker:0", "worker:1", "worker:2", "worker:3"] {
        let theirs = [(0, dependent, "starting"), (0, dependent, "ready")];
        assert_order(log, &[&starts[..], &theirs].concat());
    }
    assert_order(log, &[(0, "app", "ready"), (0, "nginx", "starting"), (0, "nginx", "ready")]);
    assert_order(
        log,
        &[(0, "nginx", "stopped"), (0, "app", "stopping"), (0, "app", "stopped"), (0, "postgres", "stopping")],
    );
    assert_order(log, &[(0, "worker:3", "stopped"), (0, "postgres", "stopping"), (0, "postgres", "stopped")]);
    for last_words in ["app: stopped gracefully", "database system is shut down"] {
        assert!(log.contains(last_words), "{last_words:?} is missing:\n{log}");
    }
    assert!(!log.contains("SIGKILL"), "a program had to be killed:\n{log}");
    assert!(stopped.shutdown() < Duration::from_secs(5), "it took {:?}:\n{log}", stopped.shutdown());
}

#[test]
fn a_killed_database_restarts_only_the_programs_configured_to_follow_it() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let container = stack();
    container.wait_ready();
    assert_eq!(visit(&container).as_deref(), Ok("visit 1"));
    let pids = || EVERYONE.map(|program| container.program(program)["pid"].clone());
    let before = pids();
    let postgres = &before[3];
    container.shell(&format!("kill -9 {postgres}"));
    container.until("the database, the application and the workers are new", || {
        let now = pids();
        let is_new = |at: usize| now[at].is_number() && now[at] != before[at];
        [0, 3, 4, 5, 6, 7].into_iter().all(is_new).then_some(())
    });
    container.wait_ready();
    assert_eq!(pids()[2], before[2], "nginx was none of those\n{}", container.story());
    let again = visit(&container).unwrap_or_else(|error| panic!("{error}\n{}", container.story()));
    assert!(again.starts_with("visit ") && again != "visit 1", "the database lost its data: {again}");
    let log = container.logs();
    for dependent in ["app", "worker:0", "worker:1", "worker:2", "worker:3"] {
        assert_order(&log, &[(1, "postgres", "ready"), (1, dependent, "starting")]);
    }
    let status = text(&container.ctl("status migrate"));
    assert!(status.contains("EXITED"), "a finished migration does not run again: {status}");
}
