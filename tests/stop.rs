//! Stopping: which process gets which signal, when timeouts expire, and how a shutdown spends its budget.
//!
//! Durations are measured between lines of the daemon's own log, so that a slow test runner does not matter; an attempt
//! disturbed by another process on the same two processors is repeated.

mod harness;

use std::time::{Duration, Instant};

use harness::{Daemon, End, Line, Setting, both_places, in_time};

/// A shell that runs this on TERM and otherwise keeps running.
fn on_term(name: &str, action: &str, more: &str) -> String {
    format!(
        "[program.{name}]\ncommand = [\"sh\", \"-c\", '''trap \"{action}\" TERM; echo up; while :; do sleep 0.02; done''']\n\
         startsecs = 0\n{more}\n"
    )
}

/// Waits until a shell made by [`on_term`] has set its trap.
fn wait_until_up(daemon: &Daemon, name: &str) {
    harness::wait_until(&format!("{name} is up"), || said(daemon, &format!("{name} | up\n")));
}

fn said(daemon: &Daemon, line: &str) -> bool {
    String::from_utf8_lossy(&daemon.output()).contains(line)
}

fn first<'a>(lines: &'a [Line], what: &str) -> &'a Line {
    lines.iter().find(|line| line.message.starts_with(what)).unwrap_or_else(|| panic!("{what}: {lines:#?}"))
}

/// The time from the beginning of a shutdown to the last line of the log.
fn length_of_shutdown(daemon: &Daemon) -> Duration {
    let lines = daemon.log.lines();
    first(&lines, "exit: ").at - first(&lines, "stopping all programs").at
}

#[test]
fn a_program_that_ignores_term_is_killed_at_stopwaitsecs_and_at_most_50_ms_later() {
    in_time(|| {
        let daemon = Setting::supervising(on_term("deaf", "", "stopwaitsecs = 1")).start();
        wait_until_up(&daemon, "deaf");
        // Lines are written slightly after the event, so only an outside measurement shows that it was not early.
        let asked = Instant::now();
        assert_eq!(daemon.ctl_well(&["stop", "deaf"]), "deaf: stopped\n");
        let waited = asked.elapsed();
        assert!(waited >= Duration::from_secs(1), "too early: {waited:?}");
        let lines = daemon.settled_log();
        let kills: Vec<&Line> = lines.iter().filter(|line| line.says("deaf", "did not stop in time")).collect();
        assert_eq!(kills.len(), 1, "{}", daemon.story());
        assert_eq!(kills[0].field("signal").as_deref(), Some("SIGKILL"));
        let took = first(&lines, "stopped").at - first(&lines, "stopping").at;
        if took > Duration::from_millis(1050) { Err(format!("stopped after {took:?}")) } else { Ok(()) }
    });
}

#[test]
fn a_stopped_program_is_continued_and_takes_its_signal() {
    for place in both_places() {
        let daemon =
            Setting::supervising("[program.web]\ncommand = \"sleep 1000\"\nstopwaitsecs = 1000\n").at(place).start();
        let pid = daemon.pid_of("web");
        harness::send(pid, 19);
        harness::wait_until("it is stopped", || harness::find(pid).is_some_and(|process| process.state == 'T'));
        assert_eq!(daemon.ctl_well(&["stop", "web"]), "web: stopped\n");
        assert_eq!(daemon.program("web")["exit"]["signal"], "SIGTERM");
    }
}

#[test]
fn each_stop_signal_of_a_list_has_its_own_timeout() {
    let traps = |name: &str, last: &str| {
        format!(
            "[program.{name}]\nstopsignal = [\"INT\", \"USR1\", \"TERM\"]\nstopwaitsecs = 1\nstartsecs = 0\n\
             command = [\"sh\", \"-c\", '''trap \"echo INT\" INT; trap \"echo USR1\" USR1; trap \"echo TERM; {last}\" TERM; \
             echo up; while :; do sleep 0.02; done''']\n"
        )
    };
    let daemon = Setting::supervising(traps("yields", "exit 0") + &traps("never", ":")).start();
    for name in ["yields", "never"] {
        wait_until_up(&daemon, name);
    }
    assert_eq!(daemon.ctl_well(&["stop", "all"]), "never: stopped\nyields: stopped\n");
    let output = String::from_utf8_lossy(&daemon.output()).into_owned();
    for name in ["yields", "never"] {
        let told: Vec<&str> = output.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(" | ")).collect();
        assert_eq!(told, ["up", "INT", "USR1", "TERM"], "{name}");
    }
    assert_eq!(daemon.program("yields")["exit"]["code"], 0);
    assert_eq!(daemon.program("never")["exit"]["signal"], "SIGKILL");
    let waited = first(&daemon.settled_log(), "did not stop in time").field("waited").unwrap_or_default();
    assert!(waited.starts_with('3') && !waited.ends_with("ms"), "three times a second, not {waited}");
}

#[test]
fn a_stop_signal_may_be_any() {
    let program = |(number, signal): (usize, &str)| {
        format!("[program.p{number}]\ncommand = \"sleep 1000\"\nstopsignal = {signal:?}\nstopwaitsecs = 1000\n")
    };
    let signals = ["TERM", "SIGINT", "QUIT", "RTMIN+3", "RTMAX", "USR2", "40", "KILL"];
    let shown = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGRTMIN+3", "SIGRTMIN+30", "SIGUSR2", "SIGRTMIN+6", "SIGKILL"];
    let mut daemon = Setting::supervising(signals.into_iter().enumerate().map(program).collect::<String>()).start();
    for number in 0..signals.len() {
        daemon.wait_for_running(&format!("p{number}"));
    }
    daemon.ctl_well(&["stop", "all"]);
    for (number, shown) in shown.into_iter().enumerate() {
        assert_eq!(daemon.program(&format!("p{number}"))["exit"]["signal"], shown);
    }
    daemon.finish();
}

#[test]
fn the_scope_decides_which_processes_are_signalled_first() {
    // The leader waits for a member of its group that runs until it is signalled.
    let program = |name: &str, scope: &str, patience: &str| {
        format!(
            "[program.{name}]\nstop_scope = {scope:?}\nstopwaitsecs = {patience}\nstartsecs = 0\n\
             command = [\"sh\", \"-c\", '''trap \"echo leader\" TERM; sh -c \"trap \\\"echo member; exit\\\" TERM; echo up; \
             while :; do sleep 0.02; done\" & while kill -0 $! 2>/dev/null; do wait; done''']\n"
        )
    };
    let daemon = Setting::supervising(program("every", "group", "1000") + &program("one", "main", "0.5")).start();
    for name in ["every", "one"] {
        wait_until_up(&daemon, name);
    }
    daemon.ctl_well(&["stop", "every:*", "one"]);
    assert!(said(&daemon, "every | member\n") && said(&daemon, "every | leader\n"));
    assert!(!said(&daemon, "one | member\n"), "the member gets no signal while its leader is running");
    assert_eq!(daemon.program("every")["exit"]["signal"], serde_json::Value::Null);
    assert_eq!(daemon.program("one")["exit"]["signal"], "SIGKILL");
}

#[test]
fn programs_of_one_priority_stop_in_parallel() {
    // Three that need 4 s each are stopped in under 5 s; here all times are a quarter of that.
    for place in both_places() {
        in_time(|| {
            let slow: String = ["a", "b", "c"].iter().map(|name| on_term(name, "sleep 1; exit 0", "")).collect();
            let mut daemon = Setting::supervising(slow).at(place).start();
            ["a", "b", "c"].iter().for_each(|name| wait_until_up(&daemon, name));
            daemon.finish();
            let took = length_of_shutdown(&daemon);
            assert!(daemon.log.saying("had to be killed").is_empty(), "{}", daemon.story());
            if took < Duration::from_millis(1250) { Ok(()) } else { Err(format!("it took {took:?}")) }
        });
    }
}

#[test]
fn a_shutdown_that_cannot_fit_signals_every_program_and_keeps_its_budget() {
    let names: Vec<String> = (0..10).map(|number| format!("p{number}")).collect();
    in_time(|| {
        let program = |(priority, name): (usize, &String)| {
            on_term(name, "echo asked; sleep 2; exit 0", &format!("priority = {priority}"))
        };
        let programs: String = names.iter().enumerate().map(program).collect();
        let mut daemon = Setting::supervising(programs).musterd("shutdown_timeout = \"9s\"").start();
        names.iter().for_each(|name| wait_until_up(&daemon, name));
        daemon.finish();
        for name in &names {
            assert!(said(&daemon, &format!("{name} | asked\n")), "{name} got no stop signal\n{}", daemon.story());
        }
        let lines = daemon.log.lines();
        // Each is signalled 0.9 s after the one before and needs 2 s, so only the last two run out of time.
        assert_eq!(first(&lines, "had to be killed").field("programs").unwrap_or_default(), "p0,p1");
        if !daemon.log.saying("still alive at the end").is_empty() {
            return Err("the kernel took too long for a SIGKILL".to_owned());
        }
        assert!(first(&lines, "everything has stopped").field("slowest").is_some_and(|name| names.contains(&name)));
        let cut = daemon.log.saying("no time left in the shutdown timeout");
        assert_eq!(cut.len(), 2, "{}", daemon.story());
        let took = length_of_shutdown(&daemon);
        let (least, most) = (Duration::from_millis(8800), Duration::from_millis(9200));
        if least <= took && took <= most { Ok(()) } else { Err(format!("it took {took:?}")) }
    });
}

#[test]
fn a_shutdown_gives_later_steps_what_earlier_ones_left() {
    // The first step is allowed 1000 s and uses none of it, so the second one has nearly the whole budget.
    let programs = on_term("slow", "sleep 1; echo done; exit 0", "priority = 1\nstopwaitsecs = 6")
        + "[program.quick]\ncommand = \"sleep 1000\"\npriority = 2\nstopwaitsecs = 1000\nstartsecs = 0\n";
    let mut daemon = Setting::supervising(programs).musterd("shutdown_timeout = 9").start();
    wait_until_up(&daemon, "slow");
    daemon.wait_for_running("quick");
    daemon.finish();
    assert!(said(&daemon, "slow | done\n"), "{}", daemon.story());
}

#[test]
fn the_budget_can_be_given_with_the_command() {
    for timeout in ["0.5", "0"] {
        let mut daemon =
            Setting::supervising(on_term("deaf", "", "stopwaitsecs = 1000")).musterd("shutdown_timeout = 1000").start();
        wait_until_up(&daemon, "deaf");
        daemon.ctl_well(&["shutdown", "--timeout", timeout]);
        assert_eq!(daemon.wait(), End::Code(0));
        daemon.assert_nothing_is_left();
        assert_eq!(daemon.log.lines().last().expect("there is a log").message, "exit: stopped by musterctl");
    }
}

#[test]
fn a_running_shutdown_can_be_given_less_time() {
    let mut daemon = Setting::supervising(on_term("deaf", "", "stopwaitsecs = 1000")).start();
    wait_until_up(&daemon, "deaf");
    for timeout in ["1000s", "2000s", "200ms"] {
        daemon.ctl_well(&["shutdown", "--timeout", timeout]);
    }
    assert_eq!(daemon.wait(), End::Code(0));
    daemon.assert_nothing_is_left();
    let told = daemon.log.saying("stopping all programs, requested by a client");
    let budgets: Vec<_> = told.iter().filter_map(|line| line.field("timeout")).collect();
    assert_eq!(budgets, ["16m40s", "200ms"], "a timeout beyond the budget changes nothing");
}

#[test]
fn with_nothing_to_stop_a_shutdown_takes_no_time() {
    for place in both_places() {
        in_time(|| {
            let program = "[program.web]\ncommand = \"sleep 1000\"\nautostart = false\n";
            let mut daemon = Setting::supervising(program).at(place).start();
            daemon.finish();
            let took = length_of_shutdown(&daemon);
            if took < Duration::from_secs(1) { Ok(()) } else { Err(format!("it took {took:?}")) }
        });
    }
}

#[test]
fn a_wait_that_times_out_is_reported_and_the_stop_continues() {
    let until_it_may = "until [ -e {here}/go ]; do sleep 0.02; done; exit 0";
    let daemon = Setting::supervising(on_term("slow", until_it_may, "stopwaitsecs = 1000")).start();
    wait_until_up(&daemon, "slow");
    let ended = daemon.ctl(&["stop", "slow", "--timeout", "0.1"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(124), "slow: ERROR (not done: STOPPING)\n"));
    std::fs::write(daemon.path("go"), "").expect("the test directory is writable");
    daemon.wait_for_state("slow", "STOPPED");
}

#[test]
fn a_program_that_ends_by_itself_while_it_is_stopped_is_stopped() {
    let daemon = Setting::supervising(on_term("web", "", "stopwaitsecs = 1000")).start();
    wait_until_up(&daemon, "web");
    let pid = daemon.pid_of("web");
    daemon.ctl_well(&["stop", "--no-wait", "web"]);
    daemon.wait_for_state("web", "STOPPING");
    harness::send(pid, 9);
    daemon.wait_for_state("web", "STOPPED");
    assert_eq!(daemon.program("web")["goal"], "down");
    assert_eq!(daemon.processes(), []);
}
