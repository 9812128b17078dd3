//! Floods of processes, exits, messages, signals and commands. None keeps the daemon from handling its signals.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{self, Daemon, End, Place, Setting, in_time, number_of, puppet, send_fast, skip, wait_until};
use nix::sys::signal::Signal;

/// How many times each flood is measured.
const MEASURED: usize = 8;

/// How long a signal may take until its effect, a line in the log: for the debug build, on a busy machine.
const PROMISED: Duration = Duration::from_secs(1);

/// Each process leaves its session, and there are as many as the user's limit allows. TERM is ignored.
const BOMB: &str = "use POSIX; $SIG{TERM} = 'IGNORE'; \
    while (1) { if (defined fork) { POSIX::setsid() } else { select(undef, undef, undef, 0.5) } }";

const MOST: usize = 3000;

fn is_there(tool: &str) -> bool {
    let mut command = Command::new(tool);
    command.arg("-v").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

/// A shutdown took 34 s of a budget of 20 s and left 2 996 processes.
#[test]
fn a_fork_bomb_is_gone_soon_after_the_budget() {
    if !harness::is_root() || !is_there("perl") {
        return skip("a fork bomb needs perl and a user of its own, and only root can become one");
    }
    // With time for SIGKILL within the budget, and without.
    for (number, stopwaitsecs) in [(0, 1), (1, 30)] {
        let uid = 4_500_000 + std::process::id() * 2 + number;
        let program = format!(
            "[program.bomb]\ncommand = [\"perl\", \"-e\", {BOMB:?}]\nuser = \"{uid}:{uid}\"\n\
             rlimits = {{ nproc = {MOST} }}\nstartsecs = 0\nstopwaitsecs = {stopwaitsecs}\n"
        );
        let mut daemon = Setting::supervising(program.replace("$SIG", "$$SIG").replace("{TERM}", "{{TERM}}"))
            .musterd("shutdown_timeout = \"2s\"\nloglevel = \"debug\"")
            .start();
        wait_until("the bomb has gone off", || {
            assert_eq!(daemon.ended(), None, "{}", daemon.story());
            daemon.processes().len() >= MOST
        });
        let began = Instant::now();
        daemon.terminate();
        let end = daemon.wait();
        let took = began.elapsed();
        println!("{MOST} processes, stopwaitsecs {stopwaitsecs}: the shutdown took {took:?} of 2 s");
        assert_eq!(end, End::Code(0));
        // Processes killed at the last moment die without the daemon.
        wait_until("no process is left", || daemon.left_behind().is_empty());
        // The budget, 1.5 s for the remaining processes, and the time that a busy machine needs: every process of the
        // bomb competes for it.
        assert!(took < Duration::from_millis(2000 + 1500 + 2500), "{took:?}\n{}", daemon.story());
    }
}

/// The longest time from USR1 to its effect.
fn longest_answer(daemon: &Daemon) -> Duration {
    let pid = daemon.pid();
    let dumps = || daemon.log.text().matches("\"message\":\"status\",\"program\":\"witness\"").count();
    let measure = |_| {
        let (before, began) = (dumps(), Instant::now());
        assert!(send_fast(pid, Signal::SIGUSR1));
        wait_until("the state of the programs is in the log", || dumps() > before);
        began.elapsed()
    };
    (0..MEASURED).map(measure).max().unwrap_or_default()
}

fn the_loop_hears_signals_beside(flood: &str, programs: &str, has_begun: impl Fn(&Daemon)) {
    let witness = "[program.witness]\ncommand = \"sleep 100000\"\nstartsecs = 0\nstopwaitsecs = 1\n";
    // Each on its own daemon, in a pid namespace or below a keeper, so that no process outlives the test.
    in_time(|| {
        let mut daemon = Setting::supervising(format!("{witness}{programs}"))
            .musterd("exit_when_done = false\nshutdown_timeout = \"5s\"")
            .start();
        daemon.wait_for_running("witness");
        has_begun(&daemon);
        let longest = longest_answer(&daemon);
        println!("{flood}: a signal had its effect after {longest:?} at the latest");
        daemon.terminate();
        let end = daemon.wait();
        assert_eq!(end, End::Code(0), "{flood}");
        if longest < PROMISED { Ok(()) } else { Err(format!("{flood}: {longest:?}")) }
    });
}

fn many(count: usize, name: &str, lines: &str) -> String {
    (0..count).map(|number| format!("[program.{name}{number}]\n{lines}\n")).collect()
}

#[test]
fn no_flood_keeps_the_loop_from_its_signals() {
    const AT_ONCE: &str =
        "startsecs = 0\nstartretries = \"unlimited\"\nbackoff = { delay = \"0s\" }\nrestart = \"always\"";
    let nothing = |_: &Daemon| ();

    let fails = |how: &str| many(40, "fails", &format!("{how}\n{AT_ONCE}"));
    the_loop_hears_signals_beside("no such file", &fails("command = \"/no/such/file\""), nothing);
    the_loop_hears_signals_beside("no such user", &fails("command = \"true\"\nuser = \"no-such-user-here\""), nothing);
    the_loop_hears_signals_beside("no such directory", &fails("command = \"true\"\ndirectory = \"/no/such\""), nothing);

    the_loop_hears_signals_beside(
        "ends at once",
        &many(200, "ends", &format!("command = \"true\"\n{AT_ONCE}")),
        nothing,
    );

    let teller = puppet::program("teller", "teller [\"READY=1\",\"flood 100000000\"]", "ready = \"notify\"");
    the_loop_hears_signals_beside("messages", &teller, |daemon| {
        daemon.wait_for_running("teller");
    });

    let orphans = "command = [\"sh\", \"-c\", \"while :; do for n in 1 2 3 4 5 6 7 8 9; do (setsid true &); done; done\"]\n\
                   startsecs = 0\nstopwaitsecs = 1";
    the_loop_hears_signals_beside("orphans", &many(4, "orphans", orphans), nothing);

    // Sent from below: from outside the pid namespace it would be a stop.
    let signals = "command = [\"sh\", \"-c\", \"while :; do kill -40 $$PPID; done 2>/dev/null\"]\nstartsecs = 0\nstopwaitsecs = 1";
    the_loop_hears_signals_beside("real-time signals", &many(2, "signals", signals), nothing);
}

/// Two hundred programs that exited at once used to delay commands, start results and deadlines by 9 to 45 s.
#[test]
fn no_flood_of_ends_keeps_orders_and_deadlines_waiting() {
    let flood = many(
        200,
        "ends",
        "command = \"true\"\nstartsecs = 0\nstartretries = \"unlimited\"\nbackoff = { delay = \"0s\" }\nrestart = \"always\"",
    );
    let deaf = "[program.deaf]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; while :; do sleep 0.1; done\"]\nstartsecs = 0\n\
                stopwaitsecs = 1\nautostart = false\n";
    let daemon = Setting::supervising(deaf.to_owned() + &flood).start();
    for verb in ["start", "stop"] {
        let began = std::time::Instant::now();
        let answer = daemon.client.request("POST", &format!("/v1/programs/deaf/{verb}?wait=30"), "");
        let took = began.elapsed();
        assert_eq!(answer.status, 200, "{verb}: {answer:?}");
        eprintln!("{verb} took {took:?}");
        assert!(took < Duration::from_secs(6), "{verb} took {took:?}");
    }
}

#[test]
fn orders_without_end_do_not_keep_the_loop_from_its_signals() {
    let programs = many(50, "web", "command = \"sleep 1000\"\nstartsecs = 0\nautostart = false");
    let daemon =
        Setting::supervising(format!("[program.witness]\ncommand = \"sleep 100000\"\nstartsecs = 0\n{programs}"));
    let mut daemon = daemon.start();
    let is_over = AtomicBool::new(false);
    let longest = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = daemon.client.try_request("POST", "/v1/programs/all/restart", "");
                }
            });
        }
        let longest = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| longest_answer(&daemon)));
        is_over.store(true, Ordering::Relaxed);
        longest
    });
    println!("orders: a signal had its effect after {longest:?} at the latest");
    assert!(longest.is_ok_and(|longest| longest < PROMISED));
    daemon.finish();
}

/// The kernel signals a process whose write exceeds its file size limit, and logging that was the next such write.
#[test]
fn a_log_file_at_its_limit_does_not_keep_the_daemon_busy() {
    let directory = tempfile::tempdir().expect("a directory can be created");
    let log = directory.path().join("musterd.log");
    let mut daemon = Setting::supervising("[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n")
        .musterd(&format!("exit_when_done = false\nloglevel = \"debug\"\nlogfile = {log:?}"))
        .wrapped(&["prlimit", "--fsize=8192:8192", "--"])
        .start();
    let length = || std::fs::metadata(&log).map_or(0, |about| about.len());
    wait_until("the file is full", || {
        daemon.signal(number_of(Signal::SIGUSR1));
        length() == 8192
    });
    daemon.wait_for_running("web");
    let said = daemon.ctl_well(&["maintail"]);
    assert!(!said.contains("ignored a signal"), "{said}");
    daemon.terminate();
    assert_eq!(daemon.wait(), End::Code(0));
}

/// An engine sends the image's `STOPSIGNAL` from outside the pid namespace: WINCH for httpd and php:apache.
#[test]
fn a_stop_signal_from_outside_is_a_stop_and_the_same_from_inside_is_not() {
    if !harness::can_enclose() {
        return skip("a signal from outside needs a pid namespace");
    }
    for (number, name) in [(28, "SIGWINCH"), (37, "SIGRTMIN+3"), (30, "SIGPWR"), (14, "SIGALRM")] {
        let directory = tempfile::tempdir().expect("a directory can be created");
        let done = directory.path().join("done");
        let script = format!("kill -WINCH 1; kill -ALRM 1; echo > '{}'; exec sleep 1000", done.display());
        let program = format!("[program.web]\ncommand = [\"sh\", \"-c\", {script:?}]\nstartsecs = 0\n");
        let mut daemon = Setting::supervising(program).at(Place::Pid1).start();
        wait_until("the program has signalled the daemon", || done.exists());
        assert_eq!(daemon.client.get("/livez").status, 200);
        assert!(daemon.log.saying("asked to stop").is_empty(), "{}", daemon.story());
        daemon.signal(number);
        assert_eq!(daemon.wait(), End::Code(0), "{name}");
        let asked = daemon.log.saying("asked to stop");
        assert_eq!(asked.len(), 1, "{name}: {}", daemon.story());
        assert_eq!(asked[0].field("signal").as_deref(), Some(name));
    }
}
