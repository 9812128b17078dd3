//! Shutdowns without a budget or in series, repeated signals, and a shutdown that a program asked for.

mod harness;

use std::time::Duration;

use harness::{Daemon, End, Setting, both_places};

/// A shell that runs this on TERM and otherwise keeps running.
fn on_term(name: &str, action: &str, more: &str) -> String {
    format!(
        "[program.{name}]\ncommand = [\"sh\", \"-c\", '''trap \"{action}\" TERM; echo up; while :; do sleep 0.02; done''']\n\
         startsecs = 0\n{more}\n"
    )
}

fn wait_until_said(daemon: &Daemon, line: &str) {
    let said = || String::from_utf8_lossy(&daemon.output()).contains(line);
    harness::wait_until(line, said);
}

/// When the log first said this.
fn at(daemon: &Daemon, name: &str, what: &str) -> Duration {
    let lines = daemon.log.lines();
    let found = lines.iter().find(|line| line.says(name, what));
    found.unwrap_or_else(|| panic!("{name}: {what}\n{}", daemon.story())).at
}

#[test]
fn without_a_budget_a_program_has_its_full_time() {
    let until_it_may = "until [ -e {here}/go ]; do sleep 0.02; done; exit 0";
    for (musterd, words) in [
        ("shutdown_timeout = \"unlimited\"", &["shutdown"][..]),
        ("shutdown_timeout = \"50ms\"", &["shutdown", "--timeout", "unlimited"][..]),
    ] {
        let programs = on_term("slow", until_it_may, "stopwaitsecs = 3600");
        let mut daemon = Setting::supervising(programs).musterd(musterd).start();
        wait_until_said(&daemon, "slow | up\n");
        daemon.ctl_well(words);
        let words = "stopping all programs, requested by a client";
        let line = daemon.log.wait_for(words, |line| line.message == words);
        assert_eq!(line.field("timeout").as_deref(), Some("unlimited"), "{}", daemon.story());
        daemon.wait_for_state("slow", "STOPPING");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(daemon.ended(), None, "300 ms are more than the budget that is not used");
        std::fs::write(daemon.path("go"), "").expect("the test directory is writable");
        assert_eq!(daemon.wait(), End::Code(0));
        assert!(daemon.log.saying("did not stop in time").is_empty(), "{}", daemon.story());
        daemon.assert_nothing_is_left();
    }
}

#[test]
fn without_a_budget_a_second_signal_kills_everything() {
    for place in both_places() {
        let programs = on_term("deaf", "", "stopwaitsecs = 3600");
        let mut daemon = Setting::supervising(programs).at(place).musterd("shutdown_timeout = \"unlimited\"").start();
        wait_until_said(&daemon, "deaf | up\n");
        daemon.terminate();
        daemon.wait_for_state("deaf", "STOPPING");
        daemon.terminate();
        assert_eq!(daemon.wait(), End::Code(0));
        daemon.assert_nothing_is_left();
    }
}

#[test]
fn in_series_one_program_stops_after_another() {
    let programs: String = ["a", "b", "c"].map(|name| on_term(name, "sleep 0.1; exit 0", "")).concat();
    let mut daemon = Setting::supervising(programs).musterd("shutdown = \"serial\"").start();
    ["a", "b", "c"].iter().for_each(|name| wait_until_said(&daemon, &format!("{name} | up\n")));
    daemon.finish();
    for (first, second) in [("c", "b"), ("b", "a")] {
        assert!(at(&daemon, first, "stopped") <= at(&daemon, second, "stopping"), "{}", daemon.story());
    }
}

#[test]
fn a_repeated_signal_does_what_is_configured() {
    let (term, int, quit) = (15, 2, 3);
    for (effect, ignored, hurries) in
        [("interrupt", &[term, quit][..], Some(int)), ("ignore", &[term, int, quit][..], None)]
    {
        let programs = on_term("deaf", "", "stopwaitsecs = 3600");
        let musterd = format!("shutdown_timeout = \"unlimited\"\nsecond_signal = {effect:?}");
        let mut daemon = Setting::supervising(programs).musterd(&musterd).start();
        wait_until_said(&daemon, "deaf | up\n");
        daemon.signal(term);
        daemon.wait_for_state("deaf", "STOPPING");
        for (count, &signal) in (1..).zip(ignored) {
            daemon.signal(signal);
            let said = || daemon.log.saying("asked to stop again, ignored").len() == count;
            harness::wait_until("the ignored signal is logged", said);
        }
        assert_eq!((daemon.state("deaf"), daemon.ended()), ("STOPPING".to_owned(), None));
        match hurries {
            Some(signal) => daemon.signal(signal),
            None => drop(daemon.ctl_well(&["shutdown", "--timeout", "0"])),
        }
        assert_eq!(daemon.wait(), End::Code(0));
        daemon.assert_nothing_is_left();
    }
}

/// A program that stops the daemon once this file exists, and lives on or not.
fn listener(kill: &str) -> String {
    format!(
        "[program.listener]\ncommand = [\"sh\", \"-c\", '''until [ -e {{here}}/go ]; do sleep 0.02; done; {kill}''']\n\
         restart = \"no\"\n"
    )
}

#[test]
fn a_program_that_stops_the_daemon_makes_it_exit_with_the_last_failure() {
    let direct = "kill -TERM $PPID; sleep 1000";
    let at_its_end = "kill -TERM $PPID";
    let nested = "(sh -c \"kill -TERM $PPID; sleep 1000\" & wait)";
    for (kill, rule, failing, code) in [
        (direct, "failures", "exit 3", 3),
        (at_its_end, "failures", "exit 3", 3),
        (nested, "failures", "kill -KILL $$$$", 128 + 9),
        (direct, "failures", "exit 0", 0),
        (direct, "cause", "exit 3", 0),
        (direct, "zero", "exit 3", 0),
    ] {
        for place in both_places() {
            let web = format!("[program.web]\ncommand = [\"sh\", \"-c\", \"{failing}\"]\nrestart = \"no\"\n");
            let musterd = format!("exit_when_done = false\nexit_status = {rule:?}");
            let mut daemon = Setting::supervising(listener(kill) + &web).at(place).musterd(&musterd).start();
            daemon.wait_for_state("web", "EXITED");
            std::fs::write(daemon.path("go"), "").expect("the test directory is writable");
            assert_eq!(daemon.wait(), End::Code(code), "{kill}, {rule}, {failing}\n{}", daemon.story());
            let last = daemon.log.lines().pop().expect("there is a log").message;
            let failed = if code == 0 { "" } else { "; \"web\" failed last" };
            assert_eq!(last, format!("exit: stopped by SIGTERM from \"listener\"{failed}"));
            daemon.assert_nothing_is_left();
        }
    }
}

#[test]
fn a_signal_from_elsewhere_is_no_failure_even_with_a_forged_marker() {
    let web = "[program.web]\ncommand = [\"sh\", \"-c\", \"echo $MUSTER_RUN >{here}/marker; exit 3\"]\nrestart = \"no\"\n\
               [program.other]\ncommand = \"sleep 1000\"\n";
    let musterd = "exit_when_done = false\nexit_status = \"failures\"";
    let mut daemon = Setting::supervising(web).musterd(musterd).start();
    daemon.wait_for_state("web", "EXITED");
    let other = daemon.pid_of("other");
    let environment = std::fs::read(format!("/proc/{other}/environ")).expect("it is running");
    let marker = environment.split(|&byte| byte == 0).find_map(|it| it.strip_prefix(b"MUSTER_RUN="));
    let marker = String::from_utf8_lossy(marker.expect("every program has one")).into_owned();
    let kill = format!("kill -TERM {}", daemon.pid());
    let killed = std::process::Command::new("sh").args(["-c", &kill]).env("MUSTER_RUN", marker).status();
    assert!(killed.expect("there is a shell").success());
    assert_eq!(daemon.wait(), End::Code(0), "{}", daemon.story());
}

#[test]
fn an_essential_program_that_fails_is_0_if_so_configured() {
    let web = "[program.web]\ncommand = [\"sh\", \"-c\", \"exit 3\"]\nrestart = \"no\"\nessential = true\n";
    let mut daemon = Setting::supervising(web).musterd("exit_status = \"zero\"").launch();
    assert_eq!(daemon.wait(), End::Code(0), "{}", daemon.story());
}

#[test]
fn the_daemons_login_environment_can_be_kept() {
    if !harness::is_root() {
        return harness::skip("only root can start programs as another user");
    }
    let show = |name: &str, keys: &str| {
        let script = format!("echo {name} has $HOME,$USER,$LOGNAME,$SHELL; sleep 1000");
        format!("[program.{name}]\ncommand = [\"sh\", \"-c\", '{script}']\nuser = \"65534\"\n{keys}\n")
    };
    let programs = show("kept", "login_environment = false") + &show("own", "");
    let mut setting = Setting::supervising(programs);
    for (name, value) in [("HOME", "/h"), ("USER", "u"), ("LOGNAME", "l"), ("SHELL", "/s")] {
        setting = setting.env(name, value);
    }
    let daemon = setting.start();
    wait_until_said(&daemon, "kept has /h,u,l,/s\n");
    wait_until_said(&daemon, "own has ");
    assert!(!String::from_utf8_lossy(&daemon.output()).contains("own has /h,"), "{}", daemon.story());
}
