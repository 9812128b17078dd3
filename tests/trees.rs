//! No process of a program survives it, whatever its processes did to their parent, session and environment; and no
//! other process is ever signalled.
//!
//! The battery is several programs of one daemon, each of which escapes in a different way. Survivors are counted in
//! /proc, and witnesses record every signal they get.

mod harness;

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use harness::{Daemon, Process, Setting, both_places, can_enclose, is_root, puppet};

/// Two processes that ignore TERM.
const DEAF: &str = r#"trap "" TERM; while :; do sleep 1000; done"#;

/// Programs that cannot be stopped by signalling their leader or its group: the script, and its number of processes.
fn battery() -> Vec<(&'static str, String, usize)> {
    let forks = r#"trap "setsid sleep 1000 & setsid sleep 1000 &" TERM; while :; do sleep 1000 & wait; done"#;
    let three = "sleep 1000 & setsid sleep 1000 & wait";
    vec![
        ("three-ways", format!("sh -c '{DEAF}' & setsid sh -c '{DEAF}' & (setsid sh -c '{DEAF}' &); wait"), 7),
        ("leader-too", format!("trap '' TERM; setsid sh -c '{DEAF}' & while :; do sleep 1000; done"), 4),
        ("cleaned", format!("env -i setsid sh -c '{DEAF}' & wait"), 3),
        ("double-clean", format!("(env -i setsid sh -c '{DEAF}' &); sleep 1000"), 4),
        ("forks-on-term", format!("setsid sh -c '{forks}' & {forks}"), 4),
        ("pipeline", "sleep 1000 | cat | cat | cat".to_owned(), 5),
        ("many", format!("i=0; while [ $i -lt 66 ]; do (trap '' TERM; {three}) & i=$((i+1)); done; wait"), 199),
    ]
}

fn program((name, script, _): &(&str, String, usize)) -> String {
    let script = script.replace('"', "\\\"");
    format!(
        "[program.{name}]\ncommand = [\"sh\", \"-c\", \"{script}\"]\nstartsecs = 0\nstopwaitsecs = 0.3\n\
         backoff = {{ delay = 0 }}\n"
    )
}

/// A process that is not the daemon's descendant and records every signal it gets.
struct Outsider(Child);

impl Outsider {
    fn new(prefix: &[&str]) -> Outsider {
        let (words, variables) = puppet::command("witness");
        // It ends with the test, whatever happens to the keeper.
        let words = ["setpriv", "--pdeathsig", "KILL", "--"]
            .iter()
            .chain(prefix)
            .copied()
            .chain(words.iter().map(String::as_str));
        let words: Vec<&str> = words.collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).envs(variables).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Outsider(command.spawn().expect("a witness can be executed"))
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon with the battery, a program that is a witness, and witnesses that are part of no program.
struct Scene {
    daemon: Daemon,
    witnesses: Vec<(&'static str, i32)>,
    _outsiders: Vec<Outsider>,
}

impl Scene {
    fn new(setting: Setting) -> Scene {
        let daemon = setting.start();
        let mut outsiders = vec![Outsider::new(&[])];
        let mut witnesses = vec![("outside", outsiders[0].0.id() as i32)];
        if can_enclose() && is_root() {
            let target = daemon.pid().to_string();
            outsiders.push(Outsider::new(&["nsenter", "-t", &target, "--pid", "--mount"]));
            // nsenter stays outside; the witness is its child.
            let nsenter = outsiders[1].0.id() as i32;
            let stray = harness::wait_for("the stray is there", || {
                harness::everyone().into_values().find(|process| process.ppid == nsenter)
            });
            witnesses.push(("the stray", stray.pid));
        } else {
            harness::skip("entering the daemon's pid namespace takes root: no stray as a witness");
        }
        witnesses.push(("another program", daemon.wait_for_running("witness")));
        for &(who, pid) in &witnesses {
            harness::wait_until(&format!("{who} blocks signals"), || {
                harness::find(pid).is_some_and(|process| process.blocks(15))
            });
        }
        Scene { daemon, witnesses, _outsiders: outsiders }
    }

    /// All processes below the daemon except its witness.
    fn members(&self) -> Vec<Process> {
        let mut members = self.daemon.processes();
        members.retain(|process| self.witnesses.iter().all(|&(_, pid)| pid != process.pid));
        members
    }

    fn wait_for_members(&self, count: usize) {
        let alive = || self.members().iter().filter(|process| !process.is_zombie()).count();
        harness::wait_until(&format!("{count} processes are there"), || alive() == count);
    }

    /// Checks that no witness was ended, stopped or sent a signal.
    fn check_witnesses(&self) {
        for &(who, pid) in &self.witnesses {
            let process = harness::find(pid).unwrap_or_else(|| panic!("{who} was killed"));
            assert!(['S', 'R'].contains(&process.state), "{who} is {}", process.state);
            for pending in ["SigPnd", "ShdPnd"] {
                let signals = process.status(pending).unwrap_or_default();
                assert_eq!(signals, "0".repeat(16), "{who} got a signal");
            }
        }
    }
}

fn setting() -> (Setting, usize) {
    let battery = battery();
    let programs: String = battery.iter().map(program).collect();
    let witness = puppet::program("witness", "witness", "startsecs = 0\nstopwaitsecs = 0.1");
    (Setting::supervising(programs + &witness), battery.iter().map(|(.., count)| count).sum())
}

#[test]
fn after_a_stop_no_process_is_left() {
    for place in both_places() {
        let (setting, count) = setting();
        let mut scene = Scene::new(setting.at(place));
        scene.wait_for_members(count);
        let names: Vec<&str> = battery().iter().map(|&(name, ..)| name).collect();
        let mut words = vec!["stop"];
        words.extend(&names);
        scene.daemon.ctl_well(&words);
        assert_eq!(scene.members(), [], "{}", scene.daemon.story());
        scene.check_witnesses();
        scene.daemon.finish();
    }
}

#[test]
fn after_a_crash_no_process_is_left_when_the_next_run_starts() {
    for place in both_places() {
        let (setting, count) = setting();
        let mut scene = Scene::new(setting.at(place));
        scene.wait_for_members(count);
        let first: BTreeSet<i32> = scene.members().iter().map(|process| process.pid).collect();
        for (name, ..) in battery() {
            harness::send(scene.daemon.pid_of(name), 9);
        }
        for (name, ..) in battery() {
            scene.daemon.log.wait_for_many(2, name, "starting");
        }
        scene.wait_for_members(count);
        let left: Vec<Process> = scene.members().into_iter().filter(|process| first.contains(&process.pid)).collect();
        assert_eq!(left, [], "of the first runs\n{}", scene.daemon.story());
        scene.check_witnesses();
        scene.daemon.finish();
    }
}

#[test]
fn after_the_daemons_own_end_no_process_is_left() {
    for place in both_places() {
        let (setting, count) = setting();
        let mut scene = Scene::new(setting.at(place));
        scene.wait_for_members(count);
        // The other program and, as PID 1, the stray end with the daemon; the outsider does not.
        scene.witnesses.truncate(1);
        scene.daemon.finish();
        scene.check_witnesses();
    }
}

#[test]
fn stopped_members_take_their_signal() {
    let script = "sleep 1000 & setsid sleep 1000 & (setsid sleep 1000 &) ; wait".to_owned();
    let witness = puppet::program("witness", "witness", "startsecs = 0\nstopwaitsecs = 0.1");
    for scope in ["main", "group"] {
        // Without SIGCONT it would be killed only after a thousand seconds.
        let program = program(&("stopped", script.clone(), 4)).replace("stopwaitsecs = 0.3", "stopwaitsecs = 1000");
        let setting = Setting::supervising(format!("{program}stop_scope = {scope:?}\n{witness}"));
        let mut scene = Scene::new(setting);
        scene.wait_for_members(4);
        let members = scene.members();
        members.iter().for_each(|process| harness::send(process.pid, 19));
        harness::wait_until("they are stopped", || {
            members.iter().all(|process| harness::find(process.pid).is_some_and(|process| process.state == 'T'))
        });
        scene.daemon.ctl_well(&["stop", "stopped"]);
        assert_eq!(scene.members(), [], "{}", scene.daemon.story());
        scene.check_witnesses();
        scene.daemon.finish();
    }
}

#[test]
fn leftovers_of_a_start_script_end_with_the_script() {
    // Like `service x start`: a double fork, a new session, an empty environment, and the script exits.
    let script = format!("(cd /; env -i setsid sh -c '{DEAF}' </dev/null >/dev/null 2>&1 &); sleep 0.2; exit 0");
    for place in both_places() {
        let witness = puppet::program("witness", "witness", "startsecs = 0\nstopwaitsecs = 0.1");
        let mut scene = Scene::new(Setting::supervising(program(&("service", script.clone(), 2)) + &witness).at(place));
        scene.daemon.wait_for_state("service", "EXITED");
        harness::wait_until("no process is left", || scene.members().is_empty());
        scene.check_witnesses();
        scene.daemon.finish();
    }
}

#[test]
fn a_fork_bomb_under_a_limit_of_processes_loses() {
    if !is_root() {
        return harness::skip("a fork bomb needs a limit of processes of its own, and that needs another user");
    }
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    // A failed fork ends a shell, but not within `command eval`.
    for (number, fork) in [r#"sh "$0" &"#, r#"setsid sh "$0" &"#].into_iter().enumerate() {
        let bomb = directory.path().join(number.to_string());
        let script = format!("trap '' TERM\nwhile :; do command eval '{fork}'; done 2>/dev/null\n");
        std::fs::write(&bomb, script).expect("the test directory is writable");
        let uid = 4_000_000 + std::process::id() * 2 + number as u32;
        let program = format!(
            "[program.bomb]\ncommand = [\"sh\", {bomb:?}]\nuser = \"{uid}:{uid}\"\nrlimits = {{ nproc = 60 }}\n\
             startsecs = 0\nstopwaitsecs = 0.2\nrestart = \"no\"\nlogs = {{ stdout = \"none\", stderr = \"none\" }}\n"
        );
        let witness = puppet::program("witness", "witness", "startsecs = 0\nstopwaitsecs = 0.1");
        let mut scene = Scene::new(Setting::supervising(program + &witness));
        harness::wait_until("the bomb has gone off", || scene.members().len() > 50);
        scene.daemon.ctl_well(&["stop", "bomb"]);
        assert_eq!(scene.members(), [], "{}", scene.daemon.story());
        scene.check_witnesses();
        scene.daemon.finish();
    }
}

#[test]
fn trees_are_shown() {
    let script = "sleep 1001 & setsid sleep 1002 & (setsid sleep 1003 &) ; wait".to_owned();
    let daemon = Setting::supervising(program(&("web", script, 4))).start();
    daemon.wait_for_running("web");
    harness::wait_until("all are there", || daemon.processes().iter().filter(|it| it.comm == "sleep").count() == 3);
    let shown = daemon.client.get("/v1/programs/web/processes").json();
    let shown: BTreeSet<String> = shown["programs"][0]["processes"]
        .as_array()
        .map(|processes| {
            processes.iter().map(|process| process["command"].as_str().unwrap_or_default().to_owned()).collect()
        })
        .unwrap_or_default();
    for command in ["sleep 1001", "sleep 1002", "sleep 1003"] {
        assert!(shown.contains(command), "{shown:?}");
    }
    let ps = daemon.ctl_well(&["ps", "web"]);
    assert!(ps.contains("sleep 1001") && ps.contains("sleep 1003"), "{ps}");
}

/// Checks the witnesses themselves: with a blind witness every test here would pass.
#[test]
fn the_watchers_see_what_they_watch_for() {
    let mut scene = Scene::new(Setting::supervising(puppet::program("witness", "witness", "startsecs = 0")));
    for (who, pid) in scene.witnesses.clone() {
        harness::send(pid, 15);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scene.check_witnesses()));
        assert!(caught.is_err(), "{who} got TERM and the check missed it");
        scene.witnesses.retain(|&(_, other)| other != pid);
    }
    scene.daemon.signal(9);
    scene.daemon.wait();
    assert_eq!(scene.daemon.left_behind().len(), 1, "the program");
    assert!(scene.daemon.socket().exists());
}
