//! How long the loop runs without checking its signals, as it measures itself: `muster_loop_longest_turn_seconds`.
//!
//! Each test produces one kind of flood. Figures are printed: `cargo test --release --test security turns`.

use std::fs::OpenOptions;
use std::time::Duration;

use super::clients::onlookers;
use crate::harness::{self, Daemon, Setting, in_time, puppet, wait_until};

/// The loop's limit is 50 ms. The same work takes the debug build up to five times as long.
const PROMISED: Duration = Duration::from_millis(if cfg!(debug_assertions) { 250 } else { 50 });

fn many(count: usize, lines: &str) -> String {
    format!("[program.many]\nnumprocs = {count}\nstartsecs = 0\n{lines}\n")
}

/// A program with sleeping children; once all exist, so does the file `grown`.
fn family(children: usize, more: &str) -> String {
    let script = format!(
        "for (1..{children}) {{ defined(my $pid = fork) or die; $pid or exec qw(sleep 1000) }} open my $file, q(>), q(HERE/grown); \
         close $file; sleep 1000 while 1"
    );
    let script = script.replace('$', "$$").replace('{', "{{").replace('}', "}}").replace("HERE", "{here}");
    format!("[program.family]\ncommand = ['perl', '-e', '{script}']\nstartsecs = 0\n{more}\n")
}

/// The daemon gets priority over ordinary processes, its programs do not: this measures its own work, and not how long
/// thousands of others occupy the processors of this machine.
fn undisturbed(setting: Setting) -> Setting {
    let words = ["chrt", "--reset-on-fork", "--rr", "1"];
    let can = std::process::Command::new(words[0]).args(&words[1..]).arg("true").status().is_ok_and(|it| it.success());
    if can { setting.within(&words) } else { setting }
}

fn is_grown(daemon: &Daemon) {
    wait_until("the family is there", || daemon.path("grown").exists());
}

fn figure(daemon: &Daemon, name: &str) -> f64 {
    let text = daemon.client.get("/metrics").body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().expect("a number")
}

fn longest_turn(daemon: &Daemon) -> Duration {
    Duration::from_secs_f64(figure(daemon, "muster_loop_longest_turn_seconds"))
}

fn running(daemon: &Daemon) -> usize {
    daemon.client.get("/v1/programs").body.matches("\"state\":\"RUNNING\"").count()
}

fn check(what: &str, setting: impl Fn() -> Setting, play: impl Fn(&Daemon)) {
    in_time(|| {
        let daemon = undisturbed(setting()).start();
        let at_first = longest_turn(&daemon);
        play(&daemon);
        let longest = longest_turn(&daemon);
        println!("{what}: {longest:?} at most without a look ({at_first:?} when it first answered)");
        if longest < PROMISED { Ok(()) } else { Err(format!("{what}: {longest:?}")) }
    });
}

#[test]
fn many_programs_start_reload_and_stop() {
    let settings = |argument| Setting::supervising(many(500, &format!("command = \"sleep {argument}\"")));
    let all_run = |daemon: &Daemon| wait_until("all run", || running(daemon) == 500);
    check("start of 500", || settings(100_000), all_run);
    check(
        "reload of 500",
        || settings(100_000),
        |daemon| {
            all_run(daemon);
            daemon.rewrite(&settings(200_000));
            assert_eq!(daemon.client.post("/v1/config/reload").status, 200);
            wait_until("all are others", || {
                running(daemon) == 500 && !daemon.processes().iter().any(|it| it.command.contains("100000"))
            });
        },
    );
    check(
        "stop of 500",
        || settings(100_000),
        |daemon| {
            all_run(daemon);
            assert_eq!(daemon.client.post("/v1/programs/all/stop?wait=60").status, 200);
        },
    );
}

#[test]
fn many_programs_end_at_once() {
    // Each waits for the end of the same pipe.
    let waiting = "command = \"cat {here}/gate\"\nautostart = false\nrestart = \"no\"";
    let open_gate = |daemon: &Daemon| {
        let gate = daemon.path("gate");
        nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU)
            .or_else(|error| if error == nix::errno::Errno::EEXIST { Ok(()) } else { Err(error) })
            .expect("the test directory is writable");
        let _open = OpenOptions::new().read(true).write(true).open(&gate).expect("the test owns it");
        daemon.client.post("/v1/programs/all/start?wait=60");
        let waits = |it: &harness::Process| it.descriptors().values().any(|path| path.ends_with("/gate"));
        wait_until("all wait", || daemon.processes().iter().filter(|it| waits(it)).count() == 200);
    };
    check(
        "200 end at once",
        || Setting::supervising(many(200, waiting)),
        |daemon| {
            open_gate(daemon);
            wait_until("all have ended", || running(daemon) == 0);
        },
    );
    let again = "command = \"true\"\nstartretries = \"unlimited\"\nbackoff = { delay = \"0s\" }\nrestart = \"always\"";
    check(
        "200 that end again and again",
        || Setting::supervising(many(200, again)),
        |daemon| {
            wait_until("thousands have ended", || figure_sum(daemon, "muster_program_restarts_total") > 1000.0);
        },
    );
}

fn figure_sum(daemon: &Daemon, name: &str) -> f64 {
    let text = daemon.client.get("/metrics").body;
    text.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

const MANY: usize = 3000;

fn with_family(more: &str, play: impl Fn(&Daemon), what: &str) {
    check(
        what,
        || Setting::supervising(family(MANY, more)),
        |daemon| {
            is_grown(daemon);
            play(daemon);
        },
    );
}

#[test]
fn a_tree_of_thousands_is_looked_at_and_stopped() {
    let stop = |daemon: &Daemon| assert_eq!(daemon.client.post("/v1/programs/all/stop?wait=60").status, 200);
    with_family(
        "",
        |daemon| (0..3).for_each(|_| assert_eq!(daemon.client.get("/v1/processes").status, 200)),
        "ps of 3000",
    );
    with_family(
        "",
        |daemon| (0..3).for_each(|_| assert_eq!(daemon.client.get("/metrics").status, 200)),
        "metrics of 3000",
    );
    with_family("", stop, "stop of the head of 3000");
    with_family("stop_scope = \"group\"", stop, "stop of a group of 3000");
    with_family("stopsignal = \"KILL\"", stop, "kill of 3000");
    let signal = |scope: &'static str| {
        move |daemon: &Daemon| {
            let body = format!("{{\"signal\":\"WINCH\",\"scope\":\"{scope}\"}}");
            assert!(daemon.client.request("POST", "/v1/programs/family/signal", &body).status < 300);
        }
    };
    with_family("", signal("group"), "signal to a group of 3000");
    with_family("", signal("tree"), "signal to a tree of 3000");
}

#[test]
fn thousands_of_processes_that_belong_to_no_program_get_their_signals() {
    let setting = || Setting::supervising(family(MANY, "")).musterd("exit_when_done = false\nloglevel = \"debug\"");
    in_time(|| {
        let mut daemon = undisturbed(setting()).start();
        is_grown(&daemon);
        daemon.terminate();
        daemon.wait();
        let line = daemon
            .log
            .wait_for("it logs the longest turn at its end", |line| line.message == "the longest turn of the loop");
        let longest =
            Duration::from_millis(line.field("milliseconds").and_then(|text| text.parse().ok()).expect("a number"));
        println!("shutdown with 3000: {longest:?}");
        if longest < PROMISED { Ok(()) } else { Err(format!("{longest:?}")) }
    });
}

#[test]
fn floods_of_signals_messages_and_lines() {
    let nothing = "startsecs = 0\nstopwaitsecs = 1";
    let signals = format!(
        "[program.signals]\ncommand = ['sh', '-c', 'while :; do kill -40 $$PPID; done 2>/dev/null']\nnumprocs = 2\n{nothing}\n"
    );
    let a_while = |daemon: &Daemon| {
        for _ in 0..300 {
            assert_eq!(daemon.client.get("/livez").status, 200);
        }
    };
    check("real-time signals", || Setting::supervising(&signals), a_while);
    let teller = puppet::program("teller", "teller [\"READY=1\",\"flood 100000000\"]", "ready = \"notify\"");
    check("messages", || Setting::supervising(&teller), a_while);
    let orphans = format!(
        "[program.orphans]\nnumprocs = 4\ncommand = ['sh', '-c', 'while :; do for n in 1 2 3 4 5 6 7 8 9; do (setsid true &); done; done']\n{nothing}\n"
    );
    check("orphans", || Setting::supervising(&orphans), a_while);
    let lines =
        format!("[program.lines]\ncommand = 'yes'\nlogs = {{ stdout = '{{here}}/log' }}\nnumprocs = 2\n{nothing}\n");
    check("lines", || Setting::supervising(&lines), a_while);
}

#[test]
fn unread_answers() {
    check(
        "300 unread /metrics",
        || {
            Setting::supervising(many(1000, "command = \"sleep 1000\"\nautostart = false"))
                .http("mode = \"0666\"\nreadonly_users = [\"12346\"]")
        },
        |daemon| {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(daemon.path(""), open).expect("the test directory is writable");
            let _held = onlookers(daemon, 300, "/metrics");
            let mut longest = Duration::ZERO;
            for _ in 0..100 {
                let began = std::time::Instant::now();
                assert_eq!(daemon.client.get("/livez").status, 200);
                longest = longest.max(began.elapsed());
            }
            println!("300 unread /metrics: /livez answered within {longest:?}");
        },
    );
}
