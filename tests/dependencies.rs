//! Dependencies: the order of starts and stops, and what a waiting program reports.

mod harness;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use harness::{Daemon, Setting};

const MANY: usize = 1000;

/// For each program the earlier ones that it depends on, at most three.
fn random_graph() -> Vec<BTreeSet<usize>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % bound as u64).expect("less than the bound")
    };
    let needs = |number: usize| {
        let count = if number == 0 { 0 } else { next(4) };
        (0..count).map(|_| next(number)).collect::<BTreeSet<usize>>()
    };
    (0..MANY).map(needs).collect()
}

/// When each program first logged this message.
fn moments(daemon: &Daemon, message: &str) -> HashMap<String, Duration> {
    let mut moments = HashMap::new();
    for line in daemon.log.saying(message) {
        moments.entry(line.field("program").expect("it is about a program")).or_insert(line.at);
    }
    moments
}

#[test]
fn a_thousand_programs_in_a_random_graph_start_and_stop_in_a_valid_order() {
    let graph = random_graph();
    let mut text = "[defaults]\nstartsecs = 0\nlogs = { stdout = \"none\", stderr = \"none\" }\n".to_owned();
    for (number, needs) in graph.iter().enumerate() {
        let needs: Vec<String> = needs.iter().map(|need| format!("p{need}")).collect();
        text.push_str(&format!("[program.p{number}]\ncommand = \"sleep 100000\"\ndepends_on = {needs:?}\n"));
    }
    let mut daemon = Setting::supervising(text).start();
    daemon.ctl_well(&["wait", "all", "--for", "running", "--timeout", "60s"]);
    daemon.finish();
    let (starting, running) = (moments(&daemon, "starting"), moments(&daemon, "running"));
    let (stopping, stopped) = (moments(&daemon, "stopping"), moments(&daemon, "stopped"));
    assert_eq!([starting.len(), running.len(), stopping.len(), stopped.len()], [MANY; 4]);
    let edges = graph.iter().enumerate().flat_map(|(number, needs)| needs.iter().map(move |need| (number, *need)));
    let mut seen = 0;
    for (dependent, dependency) in edges {
        let (dependent, dependency) = (format!("p{dependent}"), format!("p{dependency}"));
        assert!(running[&dependency] <= starting[&dependent], "{dependent} started before {dependency} was running");
        assert!(stopped[&dependent] <= stopping[&dependency], "{dependency} was stopped before {dependent} was gone");
        seen += 1;
    }
    assert!(seen > MANY, "only {seen} edges");
}

#[test]
fn a_failed_migration_keeps_its_dependents_waiting_and_status_says_why() {
    let text = "[program.migrate]\ncommand = \"false\"\ntype = \"oneshot\"\nrestart = \"no\"\n\
                [program.app]\ncommand = \"sleep 100000\"\nstartsecs = 0\ndepends_on = { migrate = \"completed\" }\n\
                [program.web]\ncommand = \"sleep 100000\"\nstartsecs = 0\ndepends_on = [\"app\"]\n";
    let mut daemon = Setting::supervising(text).musterd("exit_when_done = false").start();
    daemon.wait_for_state("migrate", "EXITED");
    for (name, of) in [("app", "migrate"), ("web", "app")] {
        let waiting = daemon.wait_for_state(name, "WAITING");
        let words = waiting["description"].as_str().expect("it is text").to_owned();
        assert!(words.contains(of), "{name}: {words}");
    }
    let lines = daemon.settled_log();
    let started: Vec<_> = lines.iter().filter(|line| line.message == "starting").collect();
    assert!(started.len() == 1 && started[0].says("migrate", "starting"), "{started:?}");
    daemon.finish();
}

#[test]
fn restarts_with_restarts_after_a_crash_and_other_dependents_stay() {
    let text = "[program.db]\ncommand = \"sleep 100000\"\nstartsecs = 0\nbackoff = { delay = 0 }\n\
                [program.app]\ncommand = \"sleep 100000\"\nstartsecs = 0\ndepends_on = [\"db\"]\nrestart_with = [\"db\"]\n\
                [program.web]\ncommand = \"sleep 100000\"\nstartsecs = 0\ndepends_on = [\"db\"]\n";
    let mut daemon = Setting::supervising(text).start();
    let (db, app, web) =
        (daemon.wait_for_running("db"), daemon.wait_for_running("app"), daemon.wait_for_running("web"));
    assert!(daemon.ctl(&["signal", "KILL", "db"]).code == Some(0));
    harness::wait_until("db and app have other processes", || {
        daemon.state("db") == "RUNNING"
            && daemon.state("app") == "RUNNING"
            && daemon.pid_of("db") != db
            && daemon.pid_of("app") != app
    });
    assert_eq!(daemon.pid_of("web"), web);
    daemon.finish();
}

#[test]
fn starting_a_program_starts_its_dependencies() {
    let text = "[defaults]\nautostart = false\nstartsecs = 0\n\
                [program.db]\ncommand = \"sleep 100000\"\n\
                [program.app]\ncommand = \"sleep 100000\"\ndepends_on = [\"db\"]\n\
                [program.other]\ncommand = \"sleep 100000\"\n";
    let mut daemon = Setting::supervising(text).start();
    assert_eq!(daemon.ctl_well(&["start", "app"]), "app: started\n");
    assert_eq!(daemon.state("db"), "RUNNING");
    assert_eq!(daemon.state("other"), "STOPPED");
    daemon.finish();
}
