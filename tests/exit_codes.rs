//! The container's exit code: which program ended, how, and whether that means success.

mod harness;

use harness::{Daemon, End, Setting, both_places};

/// How a program ends, the resulting exit code, and whether that is a success.
const ENDS: [(&str, &str, i32); 9] = [
    ("exit-0", "[\"sh\", \"-c\", \"exit 0\"]", 0),
    ("exit-1", "[\"sh\", \"-c\", \"exit 1\"]", 1),
    ("exit-42", "[\"sh\", \"-c\", \"exit 42\"]", 42),
    ("exit-255", "[\"sh\", \"-c\", \"exit 255\"]", 255),
    ("signal-9", "[\"sh\", \"-c\", \"kill -9 $$$$\"]", 128 + 9),
    ("signal-11", "[\"sh\", \"-c\", \"kill -11 $$$$\"]", 128 + 11),
    ("signal-15", "[\"sh\", \"-c\", \"kill -15 $$$$\"]", 128 + 15),
    ("not-found", "\"/no/such/file\"", 127),
    ("not-executable", "\"/\"", 126),
];

/// All daemons of a table run at the same time; each has very little to do.
fn check_all(cases: Vec<(String, i32, Daemon)>) {
    for (what, code, mut daemon) in cases {
        assert_eq!(daemon.wait(), End::Code(code), "{what}\n{}", daemon.story());
        daemon.assert_nothing_is_left();
        let last = daemon.log.lines().pop().expect("there is a log");
        assert!(last.message.starts_with("exit: "), "{what}: the last line gives the reason: {}", last.message);
        assert_eq!(last.field("code").as_deref(), Some(code.to_string().as_str()), "{what}");
    }
}

#[test]
fn the_end_of_an_essential_program_is_the_daemons() {
    for place in both_places() {
        let start = |(name, command, code): (&str, &str, i32)| {
            let programs = format!(
                "[program.{name}]\ncommand = {command}\nrestart = \"no\"\nessential = true\n\
                 [program.other]\ncommand = \"sleep 1000\"\n"
            );
            (format!("{name} {place:?}"), code, Setting::supervising(programs).at(place).launch())
        };
        check_all(ENDS.map(start).into());
    }
}

#[test]
fn when_all_have_ended_the_first_failure_is_the_daemons() {
    for place in both_places() {
        let start = |(name, command, code): (&str, &str, i32)| {
            let programs = format!(
                "[program.{name}]\ncommand = {command}\nrestart = \"no\"\n\
                 [program.well]\ncommand = \"true\"\nrestart = \"no\"\n\
                 [program.idle]\ncommand = \"sleep 1000\"\nautostart = false\n"
            );
            let setting = Setting::supervising(programs).at(place).musterd("exit_when_done = true");
            (format!("{name} {place:?}"), code, setting.launch())
        };
        check_all(ENDS.map(start).into());
    }
}

#[test]
fn the_end_of_a_non_essential_program_ends_nothing() {
    let programs: String =
        ENDS.map(|(name, command, _)| format!("[program.{name}]\ncommand = {command}\nrestart = \"no\"\n")).concat();
    let mut daemon = Setting::supervising(programs).start();
    for (name, _, code) in ENDS {
        let state = if code == 126 || code == 127 { "FATAL" } else { "EXITED" };
        daemon.wait_for_state(name, state);
    }
    assert_eq!(daemon.ended(), None, "exit_when_done is off");
    daemon.finish();
}

/// Two programs that end one after another. The first one's process exists until the daemon has reaped it.
fn in_turn(first: i32, second: i32, more: &str) -> String {
    let tell = "echo $$$$ >{here}/told; mv {here}/told {here}/first";
    let wait = "until [ -e {here}/first ]; do sleep 0.02; done; \
                while kill -0 $(cat {here}/first) 2>/dev/null; do sleep 0.02; done";
    format!(
        "[program.first]\ncommand = [\"sh\", \"-c\", \"{tell}; exit {first}\"]\nrestart = \"no\"\n{more}\n\
         [program.second]\ncommand = [\"sh\", \"-c\", \"{wait}; exit {second}\"]\nrestart = \"no\"\n{more}\n"
    )
}

#[test]
fn of_two_failures_the_first_one_counts() {
    let start = |what: &str, programs: String, code| {
        let setting = Setting::supervising(programs).musterd("exit_when_done = true");
        (what.to_owned(), code, setting.launch())
    };
    check_all(vec![
        start("both fail", in_turn(3, 4, ""), 3),
        start("the second fails", in_turn(0, 4, ""), 4),
        start("the first fails", in_turn(3, 0, ""), 3),
        start("none fails", in_turn(0, 0, ""), 0),
        start("both are essential", in_turn(3, 4, "essential = true"), 3),
        start("the first is essential and well", in_turn(0, 4, "essential = true"), 0),
        start("an expected code is no failure", in_turn(3, 0, "exitcodes = [0, 3]"), 0),
    ]);
}

#[test]
fn an_essential_program_is_tried_as_configured_before_its_end_counts() {
    let programs = "[program.main]\ncommand = [\"sh\", \"-c\", \"exit 7\"]\nessential = true\nstartretries = 2\nbackoff = { delay = \"10ms\" }\n";
    let mut daemon = Setting::supervising(programs).launch();
    assert_eq!(daemon.wait(), End::Code(7));
    assert_eq!(daemon.log.saying("starting").len(), 3);
    let last = daemon.log.lines().pop().expect("there is a log");
    assert_eq!(last.message, "exit: the essential program \"main\" ended: exit status 7");
}

/// A container in which nothing can happen looks healthy from outside and does nothing.
#[test]
fn when_no_program_can_run_again_the_first_failure_is_the_exit_code() {
    let once = |name: &str, script: &str, more: &str| {
        format!(
            "[program.{name}]\ncommand = [\"sh\", \"-c\", {script:?}]\ntype = \"oneshot\"\nrestart = \"no\"\n{more}"
        )
    };
    let after = |name: &str, on: &str, condition: &str| {
        once(name, "exit 0", &format!("depends_on = {{ {on} = {condition:?} }}\n"))
    };
    let probe = "startsecs = 0\n[program.web.probes.live]\nexec = [\"false\"]\nfailure_threshold = 1\n\
                 period = \"20ms\"\non_failure = \"stop\"\n";
    let cases = [
        ("a failed migration", once("migrate", "exit 3", "") + &after("app", "migrate", "completed"), 3),
        (
            "and what waits for what waits",
            once("migrate", "exit 3", "") + &after("app", "migrate", "completed") + &after("web", "app", "completed"),
            3,
        ),
        (
            "a condition that a success excludes",
            "[program.setup]\ncommand = \"true\"\n".to_owned() + &after("app", "setup", "ready"),
            1,
        ),
        (
            "a migration that cannot be started",
            {
                let migrate = "[program.migrate]\ncommand = \"/no/such/file\"\nrestart = \"no\"\n";
                migrate.to_owned() + &after("app", "migrate", "completed")
            },
            127,
        ),
        ("a probe that stops it for good", format!("[program.web]\ncommand = \"sleep 1000\"\n{probe}"), 143),
        (
            "essential on failure",
            once("migrate", "exit 4", "essential = \"on-failure\"\n") + "[program.db]\ncommand = \"sleep 1000\"\n",
            4,
        ),
        (
            "essential on failure, and well",
            once("migrate", "exit 0", "essential = \"on-failure\"\n") + &after("app", "migrate", "completed"),
            0,
        ),
    ];
    let start = |(what, programs, code): (&str, String, i32)| {
        (what.to_owned(), code, Setting::supervising(programs).musterd("exit_when_done = true").launch())
    };
    check_all(cases.into_iter().map(start).collect());
}

#[test]
fn a_program_that_waits_for_one_stopped_by_hand_keeps_the_container() {
    let programs = "[program.db]\ncommand = \"sleep 1000\"\nready = { log = \"never\" }\n\
                    [program.app]\ncommand = \"true\"\ndepends_on = { db = \"ready\" }\nrestart = \"no\"\n";
    let mut daemon = Setting::supervising(programs).musterd("exit_when_done = true").start();
    daemon.wait_for_state("app", "WAITING");
    daemon.ctl_well(&["stop", "db"]);
    assert_eq!(daemon.state("app"), "WAITING");
    assert_eq!(daemon.ended(), None);
    daemon.terminate();
    assert_eq!(daemon.wait(), End::Code(0));
}

#[test]
fn on_a_stop_request_it_exits_with_0_whatever_the_programs_do() {
    let programs = r#"
        [program.bad]
        command = ["sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done"]
        essential = true
        [program.failed]
        command = "false"
        restart = "no"
    "#;
    for place in both_places() {
        // TERM, INT, QUIT, and the signals that LXC and systemd-nspawn send: SIGPWR and SIGRTMIN+3.
        for signal in [15, 2, 3, 30, 37] {
            let mut daemon = Setting::supervising(programs).at(place).start();
            daemon.wait_for_state("failed", "EXITED");
            daemon.signal(signal);
            assert_eq!(daemon.wait(), End::Code(0), "signal {signal}\n{}", daemon.story());
            daemon.assert_nothing_is_left();
        }
    }
    let mut daemon = Setting::supervising(programs).start();
    daemon.ctl_well(&["shutdown"]);
    assert_eq!(daemon.wait(), End::Code(0));
    daemon.assert_nothing_is_left();
}

#[test]
fn a_program_stopped_by_hand_does_not_count_as_ended() {
    let programs = "[program.a]\ncommand = \"sleep 1000\"\n[program.b]\ncommand = \"true\"\nrestart = \"no\"\n";
    let mut daemon = Setting::supervising(programs).musterd("exit_when_done = true").start();
    daemon.ctl_well(&["stop", "a"]);
    daemon.wait_for_state("b", "EXITED");
    assert_eq!(daemon.ended(), None, "the daemon stays, to start it again");
    daemon.finish();
}

#[test]
fn a_configuration_error_is_2_and_starts_nothing() {
    for (programs, message) in [
        ("[program.web]\n", "command"),
        ("[program.web]\ncommand = 5\n", "command"),
        ("[program.web]\ncomand = \"true\"\n", "comand"),
        ("[program.web]\ncommand = \"true\"\ntrack = \"cgroup\"\n", "not supported yet"),
        ("[program.web\n", "muster.toml:"),
    ] {
        for place in both_places() {
            let mut daemon = Setting::supervising(programs).at(place).launch();
            assert_eq!(daemon.wait(), End::Code(2), "{programs}");
            assert!(daemon.log.text().contains(message), "{programs}: {}", daemon.log.text());
            assert!(!daemon.socket().exists() && !daemon.log.text().contains("starting"));
        }
    }
}

#[test]
fn a_second_daemon_on_a_socket_is_3_and_starts_nothing() {
    let programs = "[program.web]\ncommand = \"sleep 1000\"\n";
    let first = Setting::supervising(programs).start();
    let web = first.pid_of("web");
    let config = first.path("second.toml");
    std::fs::write(&config, format!("[http]\nsocket = {:?}\n{programs}", first.socket()))
        .expect("the test directory is writable");
    let second = std::process::Command::new(harness::musterd()).arg("-c").arg(config).output();
    let second = second.expect("it can be executed");
    assert_eq!(second.status.code(), Some(3));
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains("another musterd serves this socket; nothing was started"), "{told}");
    assert_eq!(first.pid_of("web"), web);
    assert_eq!(first.processes().len(), 1);
}

#[test]
fn usage_errors_are_2_and_help_is_0() {
    let run = |words: &[&str]| harness::ended(std::process::Command::new(harness::musterd()).args(words));
    assert_eq!(run(&["--no-such-option"]).code, Some(2));
    assert_eq!(run(&["-c", "/no/such/file"]).code, Some(2));
    let help = run(&["--help"]);
    assert!(help.code == Some(0) && help.err.is_empty() && help.out.contains("Exit codes:"));
    assert!(run(&["--version"]).out.starts_with("musterd "));
}
