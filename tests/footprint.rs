//! The memory of a daemon at rest: what starts and reloads leave behind.

mod harness;

use harness::{Daemon, Setting, wait_until};

/// Programs with environments of their own, and one whose name differs.
fn many(round: usize) -> Setting {
    Setting::supervising(programs(round))
}

fn programs(round: usize) -> String {
    const MANY: usize = 400;
    let program = |number: usize| {
        let environment = format!("{{ NUMBER = \"{number}\", PATTERN = \"a longer value of {number}\" }}");
        format!("[program.p{number}]\ncommand = \"sleep 1000\"\nautostart = false\nenvironment = {environment}\n")
    };
    let programs: String = (0..MANY).map(program).collect();
    format!("{programs}[program.round{round}]\ncommand = \"sleep 1000\"\n")
}

fn reload(daemon: &Daemon, round: usize) {
    daemon.rewrite(&many(round));
    daemon.ctl_well(&["update"]);
    daemon.wait_for_running(&format!("round{round}"));
}

/// Text, tables and drafts of a configuration are freed, and what stays of it is not scattered among them: otherwise no
/// page of theirs could be given back.
#[test]
fn a_configuration_that_was_read_leaves_no_holes() {
    let mut daemon = many(0).start();
    reload(&daemon, 1);
    let before = daemon.memory("RssAnon");
    (2..7).for_each(|round| reload(&daemon, round));
    let now = daemon.memory("RssAnon");
    eprintln!("RssAnon: {before} kB, after five more reloads {now} kB");
    assert!(now < before + 700, "{before} kB, then {now} kB");
    daemon.finish();
}

#[test]
fn a_configuration_with_a_mistake_leaves_as_little() {
    let mut daemon = many(0).start();
    reload(&daemon, 1);
    let before = daemon.memory("RssAnon");
    for round in 2..5 {
        daemon.rewrite(&Setting::supervising(programs(round) + "comand = \"true\"\n"));
        let failed = daemon.ctl(&["update"]);
        assert!(failed.err.contains("comand"), "{failed:?}");
    }
    wait_until("it has little more than before", || daemon.memory("RssAnon") < before + 700);
    daemon.finish();
}

/// The main thread releases the executable's pages first; the threads of the logs and the last steps of the reload bring some back.
/// The daemon is not asked anything, since an answer would, too.
#[test]
fn pages_that_only_a_start_or_a_reload_needed_are_released() {
    const SMALL: u64 = 3 << 10;
    let mut daemon = many(0).launch();
    daemon.log.wait_for_program("round0", "running");
    wait_until("what the start needed is released", || daemon.memory("RssFile") < SMALL);
    daemon.rewrite(&many(1));
    daemon.signal(1);
    wait_until("the reload needs more", || daemon.memory("RssFile") > SMALL);
    daemon.log.wait_for_program("round1", "running");
    wait_until("what the reload needed is released", || daemon.memory("RssFile") < SMALL);
    daemon.finish();
}

/// How much of the main thread's stack is mapped and how much is resident, in kB. A start of the debug build has used all of it.
fn stack(daemon: &Daemon) -> (u64, u64) {
    let path = format!("/proc/{}/smaps", daemon.pid());
    let smaps = std::fs::read_to_string(path).expect("the daemon is running");
    let of_stack = smaps.split_once("[stack]").map(|(_, rest)| rest).unwrap_or_default();
    let number = |key: &str| {
        let line = of_stack.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    };
    (number("Size:"), number("Rss:"))
}

#[test]
fn the_stack_that_only_a_start_needed_is_released() {
    let mut daemon = many(0).launch();
    daemon.log.wait_for_program("round0", "running");
    wait_until("much less is resident than is mapped", || {
        let (mapped, resident) = stack(&daemon);
        resident > 0 && resident + 64 < mapped
    });
    daemon.finish();
}
