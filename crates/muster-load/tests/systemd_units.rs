//! The three lists of systemd about exit statuses (SuccessExitStatus, RestartPreventExitStatus, RestartForceExitStatus) can all be
//! written here: twelve units and their twelve programs, which decide the same about every end and with every `restart`.
//!
//! systemd's decisions are those of `service_shall_restart()` and `is_clean_exit()`: first the statuses that prevent a restart, then
//! those that force one, then `Restart=`.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::sync::Arc;

use muster_config::{Source, load};
use muster_core::{Input, Settings, Supervisor, Time};
use muster_spec::{Exit, Kind, ProgramSpec, Signal, State};

/// A unit's `[Service]`, and the program's keys.
const UNITS: [(&str, &str, &str); 12] = [
    ("no list", "", ""),
    ("a virtual machine of Java", "SuccessExitStatus=143", "exitcodes = [0, 143]"),
    (
        "an updater that exits to be restarted",
        "SuccessExitStatus=3 4\nRestartForceExitStatus=3 4",
        "exitcodes = [0, 3, 4]\non_exit = { \"3,4\" = \"restart\" }",
    ),
    ("a server with a broken configuration", "RestartPreventExitStatus=255", "on_exit = { 255 = \"stop\" }"),
    ("a home automation", "RestartForceExitStatus=100", "on_exit = { 100 = \"restart\" }"),
    ("a broker without its service", "SuccessExitStatus=69", "exitcodes = [0, 69]"),
    ("an audit daemon", "RestartPreventExitStatus=2 4 6", "on_exit = { \"2,4,6\" = \"stop\" }"),
    ("a collector whose reader went away", "RestartForceExitStatus=SIGPIPE", "on_exit = { PIPE = \"restart\" }"),
    (
        "the example of systemd.service(5) for success",
        "SuccessExitStatus=TEMPFAIL 250 SIGKILL",
        "exitcodes = [0, 75, 250]\non_exit = { KILL = \"success\" }",
    ),
    (
        "the example of systemd.service(5) for prevention",
        "RestartPreventExitStatus=1 6 SIGABRT",
        "on_exit = { \"1,6,ABRT\" = \"stop\" }",
    ),
    (
        "all three, and a job",
        "Type=oneshot\nSuccessExitStatus=10 SIGUSR1\nRestartPreventExitStatus=CONFIG SIGSEGV\nRestartForceExitStatus=20 SIGHUP",
        "type = \"oneshot\"\nexitcodes = [0, 10]\non_exit = { USR1 = \"success\", 78 = \"stop\", SEGV = \"stop\", 20 = \"restart\", HUP = \"restart\" }",
    ),
    (
        "the same statuses in two lists",
        "SuccessExitStatus=5 SIGTERM\nRestartPreventExitStatus=0 7\nRestartForceExitStatus=7 SIGTERM",
        "exitcodes = [0, 5]\non_exit = { \"0,7\" = \"stop\", TERM = \"restart\" }",
    ),
];

/// `Restart=` and `restart`.
const RESTARTS: [(&str, &str); 3] = [("no", "no"), ("on-failure", "on-failure"), ("always", "always")];

/// The ends in a list of a unit.
#[derive(Debug, Default)]
struct Ends(Vec<Exit>);

impl Ends {
    fn of(unit: &str, key: &str) -> Ends {
        let values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        Ends(values.flat_map(str::split_whitespace).map(end).collect())
    }

    fn have(&self, exit: Exit) -> bool {
        self.0.contains(&exit)
    }
}

fn end(word: &str) -> Exit {
    match word {
        "TEMPFAIL" => Exit::Code(75),
        "CONFIG" => Exit::Code(78),
        word if word.starts_with("SIG") => killed(word.parse().unwrap()),
        number => Exit::Code(number.parse().unwrap()),
    }
}

fn killed(signal: Signal) -> Exit {
    Exit::Signal { signal, core_dumped: false }
}

/// Whether systemd restarts the unit after this end, and whether it takes it for a success.
fn systemd(unit: &str, restart: &str, exit: Exit) -> (bool, bool) {
    let is_oneshot = unit.contains("Type=oneshot");
    let is_clean = match exit {
        Exit::Code(0) => true,
        Exit::Code(_) => false,
        Exit::Signal { signal, .. } => {
            !is_oneshot && [Signal::HUP, Signal::INT, Signal::TERM, Signal::PIPE].contains(&signal)
        }
    };
    let success = is_clean || Ends::of(unit, "SuccessExitStatus").have(exit);
    let restarts = if Ends::of(unit, "RestartPreventExitStatus").have(exit) {
        false
    } else if Ends::of(unit, "RestartForceExitStatus").have(exit) {
        true
    } else {
        match restart {
            "no" => false,
            "on-failure" => !success,
            _ => true,
        }
    };
    (restarts, success)
}

/// The same of a program.
fn program(program: &Arc<ProgramSpec>, exit: Exit) -> (bool, bool) {
    let settings = Settings { exit_when_done: false, ..Settings::DEFAULT };
    let mut core = Supervisor::new(settings, std::slice::from_ref(program), 1);
    core.handle_input(Time::ZERO, Input::Booted);
    let run = core.snapshot()[0].run().unwrap();
    for input in [Input::Spawned { run }, Input::Exited { run, exit }, Input::TreeGone { run }] {
        core.handle_input(Time::ZERO, input);
        while core.poll_effect().is_some() {}
    }
    let instance = &core.snapshot()[0];
    let restarts = matches!(instance.state(), State::Backoff | State::Starting);
    (restarts, instance.past().next_back().unwrap().success)
}

#[test]
fn twelve_units_and_their_programs_decide_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let exits: Vec<Exit> =
        (0..=255).map(Exit::Code).chain((1..=31).filter_map(Signal::from_number).map(killed)).collect();
    let mut decided = 0;
    for (name, unit, keys) in UNITS {
        for (theirs, ours) in RESTARTS {
            let text = format!(
                "[program.web]\ncommand = \"x\"\nstartsecs = 0\nrestart = \"{ours}\"\nbackoff = \"systemd\"\n{keys}\n"
            );
            let path = directory.path().join("muster.toml");
            std::fs::write(&path, text).unwrap();
            let loaded = load(&Source::unguarded(&[path], &|_| None, "host"));
            let spec = loaded.spec.as_ref().unwrap_or_else(|| panic!("{name}: {}", loaded.render(false)));
            assert_eq!(spec.programs[0].kind == Kind::Oneshot, unit.contains("oneshot"));
            for &exit in &exits {
                let (expected, observed) = (systemd(unit, theirs, exit), program(&spec.programs[0], exit));
                assert_eq!(observed, expected, "{name}, Restart={theirs}, {exit}");
                decided += 1;
            }
        }
    }
    assert_eq!(decided, 12 * 3 * 287);
}
