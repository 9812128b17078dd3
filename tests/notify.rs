//! What programs report with sd_notify besides readiness: that they need more time to stop, and which of their
//! processes is the main one.

mod harness;

use std::time::Duration;

use harness::{Daemon, End, Setting, both_places, puppet, send, wait_for, wait_until};

/// A program that sends these messages on its socket.
fn teller(name: &str, texts: &[&str], more: &str) -> String {
    let more = format!("ready = \"notify\"\nstartsecs = 0\nbackoff = {{ delay = \"10ms\", factor = 1 }}\n{more}");
    puppet::program(name, &format!("teller {}", list(texts)), &more)
}

fn list(texts: &[&str]) -> String {
    serde_json::to_string(&texts).expect("it is a list of texts")
}

/// A process that starts another one, which sends these messages.
fn child(texts: &[&str]) -> String {
    format!("child {}", list(texts))
}

fn was_killed(daemon: &Daemon) -> bool {
    ["did not stop in time", "no time left in the shutdown timeout"]
        .iter()
        .any(|text| !daemon.log.saying(text).is_empty())
}

#[test]
fn a_program_that_asks_for_more_time_to_stop_gets_it() {
    for place in both_places() {
        let words = ["deaf", "READY=1", "await-term", "STOPPING=1\nEXTEND_TIMEOUT_USEC=60000000", "sleep 4", "exit 7"];
        let daemon = Setting::supervising(teller("web", &words, "stopwaitsecs = 3")).at(place).start();
        daemon.wait_for_running("web");
        assert_eq!(daemon.ctl_well(&["stop", "web"]), "web: stopped\n");
        assert_eq!(daemon.program("web")["exit"]["code"], 7);
        assert!(!was_killed(&daemon), "{}", daemon.story());
    }
}

#[test]
fn more_time_to_stop_ends_with_the_shutdowns_budget() {
    let words = ["deaf", "READY=1", "await-term", "EXTEND_TIMEOUT_USEC=60000000"];
    let budget = "exit_when_done = false\nshutdown_timeout = 4";
    let mut daemon = Setting::supervising(teller("web", &words, "stopwaitsecs = 2")).musterd(budget).start();
    daemon.wait_for_running("web");
    daemon.terminate();
    assert_eq!(daemon.wait(), End::Code(0));
    let told = daemon.log.saying("did not stop in time");
    assert_eq!(told.len(), 1, "{}", daemon.story());
    let waited = told[0].at - daemon.log.saying("stopping all programs")[0].at;
    assert!(waited > Duration::from_secs(3), "SIGKILL after {waited:?}");
}

/// Waits until the main process is the one that sent `STATUS=WORD PID`, and returns its pid as the test sees it.
fn main_that_says(daemon: &Daemon, word: &str) -> i32 {
    let inner = wait_for(&format!("the main process is the {word}"), || {
        let web = daemon.program("web");
        let pid: i64 = web["status"].as_str()?.strip_prefix(word)?.trim().parse().ok()?;
        (web["pid"] == pid).then_some(pid)
    });
    assert_eq!(daemon.ctl_well(&["pid", "web"]).trim(), inner.to_string());
    daemon.pid_of("web")
}

/// The process that the first run started with, as the test sees it.
fn first_process(daemon: &Daemon) -> i32 {
    let inner = daemon.log.wait_for_program("web", "starting").field("pid").and_then(|pid| pid.parse().ok());
    daemon.process(inner.expect("the status has a pid")).expect("it is still running").pid
}

const TERM: i32 = 15;
const GOES_ON: &str = "a process exited, the run goes on with its main process";

#[test]
fn a_program_that_daemonizes_is_the_process_that_it_names() {
    for place in both_places() {
        let server = child(&["STATUS=server %PID\nMAINPID=%PID\nREADY=1"]);
        let between = child(&[&server, "exit 0"]);
        let mut daemon = Setting::supervising(teller("web", &[&between], "")).at(place).start();
        let main = main_that_says(&daemon, "server");
        daemon.wait_for_state("web", "RUNNING");
        send(first_process(&daemon), TERM);
        daemon.log.wait_for_program("web", GOES_ON);
        assert_eq!((daemon.state("web").as_str(), main_that_says(&daemon, "server")), ("RUNNING", main));

        send(main, 6);
        daemon.log.wait_for_many(2, "web", "starting");
        assert_eq!(daemon.wait_for_state("web", "RUNNING")["exit"]["signal"], "SIGABRT");
        assert_ne!(main_that_says(&daemon, "server"), main);
        let why = daemon.ctl_well(&["why", "web"]);
        assert!(why.contains("SIGABRT") && why.contains("a fault of the program itself"), "{why}");
        daemon.finish();
        daemon.assert_nothing_is_left();
    }
}

#[test]
fn the_first_process_may_name_its_successor_as_it_exits() {
    for place in both_places() {
        let words = [&child(&[]), "MAINPID=%CHILD\nSTATUS=child %CHILD\nREADY=1", "exit 0"];
        let daemon = Setting::supervising(teller("web", &words, "stopwaitsecs = 1000")).at(place).start();
        daemon.log.wait_for_program("web", GOES_ON);
        main_that_says(&daemon, "child");
        assert_eq!(daemon.state("web"), "RUNNING");
        assert_eq!(daemon.ctl_well(&["stop", "web"]), "web: stopped\n");
        assert_eq!(daemon.program("web")["exit"]["signal"], "SIGTERM");
    }
}

#[test]
fn a_program_may_be_upgraded_again_and_again() {
    for place in both_places() {
        let third = child(&["STATUS=third %PID\nMAINPID=%PID"]);
        let second = child(&["deaf", "STATUS=second %PID\nMAINPID=%PID", "await-term", &third, "await-term", "exit 0"]);
        let first = ["deaf", "STATUS=first %PID\nREADY=1", "await-term", &second, "await-term", "exit 0"];
        let daemon = Setting::supervising(teller("web", &first, "")).at(place).start();
        let mut main = main_that_says(&daemon, "first");
        for (count, next) in [(1, "second"), (2, "third")] {
            daemon.ctl_well(&["signal", "TERM", "web"]);
            let before = std::mem::replace(&mut main, main_that_says(&daemon, next));
            send(before, TERM);
            daemon.log.wait_for_many(count, "web", GOES_ON);
            assert_eq!((daemon.state("web").as_str(), main_that_says(&daemon, next)), ("RUNNING", main));
        }
        assert_eq!(daemon.program("web")["run"], 1);
        send(main, 9);
        daemon.log.wait_for_many(2, "web", "starting");
        assert_eq!(daemon.wait_for_state("web", "RUNNING")["exit"]["signal"], "SIGKILL");
    }
}

#[test]
fn a_main_process_that_ends_below_another_leaves_the_run_to_it() {
    for place in both_places() {
        let short = child(&["deaf", "STATUS=child %PID\nMAINPID=%PID", "await-term", "exit 3"]);
        let words = [&short, "READY=1", "reap", "STATUS=first %PID"];
        let daemon = Setting::supervising(teller("web", &words, "")).at(place).start();
        main_that_says(&daemon, "child");
        daemon.ctl_well(&["signal", "TERM", "web"]);
        let first = main_that_says(&daemon, "first");
        assert_eq!((daemon.state("web").as_str(), first), ("RUNNING", first_process(&daemon)));
        send(first, 9);
        daemon.log.wait_for_many(2, "web", "starting");
        assert_eq!(daemon.program("web")["exit"]["signal"], "SIGKILL");
    }
}

#[test]
fn a_stop_signals_the_main_process_and_its_ancestors() {
    let words = [&child(&["STATUS=child %PID\nMAINPID=%PID"]), "READY=1"];
    let daemon = Setting::supervising(teller("web", &words, "stopwaitsecs = 1000")).start();
    let main = main_that_says(&daemon, "child");
    // A stopped process cannot receive its signal.
    send(main, 19);
    wait_until("it is stopped", || harness::find(main).is_some_and(|process| process.state == 'T'));
    assert_eq!(daemon.ctl_well(&["stop", "web"]), "web: stopped\n");
    assert_eq!(daemon.program("web")["exit"]["signal"], "SIGTERM");
}

#[test]
fn a_pid_that_is_no_living_process_of_the_program_is_refused() {
    for place in both_places() {
        let gone = [&child(&["exit 0"]), "reap", "MAINPID=%CHILD", "READY=1"];
        let program = |name, words: &[&str]| teller(name, words, "");
        let programs = program("gone", &gone) + &program("foreign", &["MAINPID=%PARENT", "MAINPID=1", "READY=1"]);
        let daemon = Setting::supervising(programs).at(place).start();
        for name in ["gone", "foreign"] {
            daemon.log.wait_for_program(name, "ignored a MAINPID that is not a live process of the program");
            let pid = daemon.wait_for_state(name, "RUNNING")["pid"].to_string();
            assert_eq!(daemon.log.wait_for_program(name, "starting").field("pid"), Some(pid));
        }
        // Of messages that arrive together, the last one counts.
        let told = daemon.settled_log().iter().filter(|line| line.message.contains("MAINPID")).count();
        assert!((2..=3).contains(&told), "{}", daemon.story());
    }
}

#[test]
fn a_main_process_that_has_lost_its_parent_is_the_run_although_the_first_lives() {
    for place in both_places() {
        let server = child(&["STATUS=server %PID\nMAINPID=%PID\nREADY=1"]);
        let daemon = Setting::supervising(teller("web", &[&child(&[&server])], "startretries = 0")).at(place).start();
        let main = main_that_says(&daemon, "server");
        let parent = || harness::find(main).expect("it is still running").ppid;
        send(parent(), 9);
        wait_until("it is the daemon's child", || parent() == daemon.pid());
        assert!(harness::exists(first_process(&daemon)));
        send(main, 6);
        let ended = daemon.wait_for_state("web", "FATAL");
        assert_eq!((&ended["exit"]["signal"], daemon.has_said(GOES_ON).len()), (&"SIGABRT".into(), 0));
        wait_until("nothing of it is left", || daemon.processes().is_empty());
    }
}

const LOST: &str = "the main process no longer belongs to the run, stopping what is left of it";

/// A program whose main process is below one that hides its ancestry: a new session, no marker, another limit.
fn escaping(name: &str, more: &str) -> String {
    let texts = list(&["STATUS=server %PID\nMAINPID=%PID\nREADY=1"]);
    let (words, [(variable, value)]) = puppet::command(&format!("teller {texts}"));
    let words = words.join(" ");
    let hide = "env -u MUSTER_RUN prlimit --locks=7:7 setsid sh -c \"$$SERVER; :\"";
    let script = format!("sh -c '{hide}; :' & exec sleep 1000");
    format!(
        "[program.{name}]\ncommand = [\"sh\", \"-c\", {script:?}]\nready = \"notify\"\nstartsecs = 0\n\
         environment = {{ SERVER = {words:?}, {variable} = {value:?} }}\n\
         backoff = {{ delay = \"10ms\", factor = 1 }}\n{more}\n\
         [program.tick]\ncommand = \"true\"\nautostart = false\nrestart = \"no\"\nstartsecs = 0\n"
    )
}

/// Kills the process above the hidden one, so that the main process is reparented to the daemon below an unknown
/// process.
fn escape(daemon: &Daemon) -> [i32; 2] {
    let (main, first) = (main_that_says(daemon, "server"), first_process(daemon));
    let parent = |pid| harness::find(pid).expect("it is still running").ppid;
    let hidden = parent(main);
    send(parent(hidden), 9);
    wait_until("it is the daemon's child", || parent(hidden) == daemon.pid());
    [first, main]
}

/// The run used to continue without its main process, and the main process without the run.
#[test]
fn a_run_whose_main_process_no_longer_belongs_to_it_is_swept_and_restarted() {
    for place in both_places() {
        let mut daemon = Setting::supervising(escaping("web", "")).musterd("exit_when_done = false").at(place).start();
        let left = escape(&daemon);
        assert_eq!(daemon.state("web"), "RUNNING");
        // Reparenting is not signalled: it is discovered when a process ends.
        daemon.ctl_well(&["start", "tick"]);
        daemon.log.wait_for_program("web", LOST);
        daemon.log.wait_for_many(2, "web", "starting");
        wait_until("nothing of the run is left", || !left.iter().any(|&pid| harness::exists(pid)));
        let web = daemon.wait_for_state("web", "RUNNING");
        assert_eq!(
            (&web["exit"]["reason"], &web["exit"]["success"]),
            (&"its main process no longer belongs to the run".into(), &false.into())
        );
        let why = daemon.ctl_well(&["why", "web"]);
        assert!(why.contains("was given up after") && why.contains("MAINPID"), "{why}");
        let lines = daemon.settled_log();
        let told = |message: &str| lines.iter().filter(|line| line.says("web", message)).count();
        assert_eq!((told(LOST), told("ended unexpectedly")), (1, 1), "{}", daemon.story());
        daemon.finish();
        daemon.assert_nothing_is_left();
    }
}

#[test]
fn a_run_whose_main_process_no_longer_belongs_to_it_stops_without_a_wait() {
    for place in both_places() {
        let mut daemon = Setting::supervising(escaping("web", "stopwaitsecs = 1000"))
            .musterd("exit_when_done = false\nshutdown_timeout = \"1000s\"")
            .at(place)
            .start();
        let left = escape(&daemon);
        daemon.terminate();
        assert_eq!(daemon.wait(), End::Code(0));
        // If it gets its TERM as a process of no program first, it has ended before the check.
        assert!(daemon.log.saying(LOST).len() <= 1, "{}", daemon.story());
        assert!(!was_killed(&daemon) && !left.iter().any(|&pid| harness::exists(pid)), "{}", daemon.story());
    }
}

#[test]
fn a_new_main_process_of_a_stopping_run_gets_the_stop_signal_too() {
    for place in both_places() {
        // The child inherits the blocked TERM.
        let late = child(&["await-term", "exit 5"]);
        let words = ["deaf", "READY=1", "await-term", &late, "MAINPID=%CHILD", "exit 0"];
        let daemon = Setting::supervising(teller("web", &words, "stopwaitsecs = 1000")).at(place).start();
        daemon.wait_for_running("web");
        assert_eq!(daemon.ctl_well(&["stop", "web"]), "web: stopped\n");
        assert_eq!(daemon.program("web")["exit"]["code"], 5);
    }
}
