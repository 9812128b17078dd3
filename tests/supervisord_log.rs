//! The main log in supervisord's format, line by line beside that of the original.

#[path = "harness/mod.rs"]
mod harness;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::{send, skip, wait_until};

const ORIGINAL: &str = "/usr/bin/supervisord";

/// A program in both languages, the line after which the daemon is asked to stop, and what its log says.
struct Scene {
    conf: &'static str,
    toml: &'static str,
    until: &'static str,
    lines: &'static [&'static str],
}

const SCENES: &[Scene] = &[
    Scene {
        conf: "command=/bin/cat\nstopsignal=INT\n",
        toml: "command = \"cat\"\nstdin = \"pipe\"\nstopsignal = \"INT\"\n",
        until: "success: a entered",
        lines: &[
            "INFO spawned: 'a' with pid N",
            "INFO success: a entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)",
            "WARN received SIGTERM indicating exit request",
            "INFO waiting for a to die",
            "WARN stopped: a (terminated by SIGINT)",
        ],
    },
    Scene {
        // The original notices an exit up to a second late, and then counts that second: five are never reached.
        conf: "command=/bin/sh -c 'exit 3'\nstartretries=1\nstartsecs=5\n",
        toml: "command = [\"sh\", \"-c\", \"exit 3\"]\nstartretries = 1\nstartsecs = 5\n",
        until: "gave up: a",
        lines: &[
            "INFO spawned: 'a' with pid N",
            "WARN exited: a (exit status 3; not expected)",
            "INFO spawned: 'a' with pid N",
            "WARN exited: a (exit status 3; not expected)",
            "INFO gave up: a entered FATAL state, too many start retries too quickly",
            "WARN received SIGTERM indicating exit request",
        ],
    },
    Scene {
        conf: "command=/no/such/program\nstartretries=1\n",
        toml: "command = \"/no/such/program\"\nstartretries = 1\n",
        until: "gave up: a",
        lines: &[
            "INFO spawnerr: can't find command '/no/such/program'",
            "INFO spawnerr: can't find command '/no/such/program'",
            "INFO gave up: a entered FATAL state, too many start retries too quickly",
            "WARN received SIGTERM indicating exit request",
        ],
    },
    Scene {
        conf: "command=/bin/sh -c 'exit 0'\nstartsecs=0\nautorestart=false\n",
        toml: "command = [\"sh\", \"-c\", \"exit 0\"]\nstartsecs = 0\nrestart = \"no\"\n",
        until: "exited: a",
        lines: &[
            "INFO spawned: 'a' with pid N",
            "INFO success: a entered RUNNING state, process has stayed up for > than 0 seconds (startsecs)",
            "INFO exited: a (exit status 0; expected)",
            "WARN received SIGTERM indicating exit request",
        ],
    },
    Scene {
        conf: "command=/bin/sh -c 'sleep 2; kill -USR1 $$'\nautorestart=false\n",
        toml: "command = [\"sh\", \"-c\", \"sleep 2; kill -USR1 $$$$\"]\nrestart = \"no\"\n",
        until: "exited: a",
        lines: &[
            "INFO spawned: 'a' with pid N",
            "INFO success: a entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)",
            "WARN exited: a (terminated by SIGUSR1; not expected)",
            "WARN received SIGTERM indicating exit request",
        ],
    },
    Scene {
        conf: "command=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\nstopwaitsecs=1\nkillasgroup=true\n",
        toml: "command = [\"sh\", \"-c\", \"trap '' TERM; while :; do sleep 1; done\"]\nstopwaitsecs = 1\n",
        until: "success: a entered",
        lines: &[
            "INFO spawned: 'a' with pid N",
            "INFO success: a entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)",
            "WARN received SIGTERM indicating exit request",
            "INFO waiting for a to die",
            "WARN killing 'a' (N) with SIGKILL",
            "WARN stopped: a (terminated by SIGKILL)",
        ],
    },
];

#[test]
fn each_scene_has_the_lines_of_the_original() {
    std::thread::scope(|scope| {
        SCENES.iter().for_each(|scene| {
            scope.spawn(|| {
                let place = tempfile::tempdir().expect("a temporary directory");
                assert_eq!(ours(scene, place.path()), scene.lines, "ours, {}", scene.conf);
            });
        });
    });
}

#[test]
fn the_original_has_them_too() {
    if !Path::new(ORIGINAL).exists() {
        skip("supervisor is not installed (Debian's package supervisor)");
        return;
    }
    std::thread::scope(|scope| {
        SCENES.iter().for_each(|scene| {
            scope.spawn(|| {
                let place = tempfile::tempdir().expect("a temporary directory");
                assert_eq!(original(scene, place.path()), scene.lines, "the original, {}", scene.conf);
            });
        });
    });
}

fn ours(scene: &Scene, place: &Path) -> Vec<String> {
    let text = format!(
        "[musterd]\nlogformat = \"supervisord\"\nlogfile = \"main.log\"\nlog_to_stdout = true\nexit_when_done = false\n\
         [http]\nsocket = \"s.sock\"\n[program.a]\nbackoff = \"supervisord\"\nstart_failures = \"retry\"\n\
         logs.stdout = \"none\"\nlogs.stderr = \"none\"\n{}",
        scene.toml
    );
    fs::write(place.join("a.toml"), text).expect("it is ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_musterd"));
    command.args(["-c", "a.toml"]);
    // musterd also kills the rest of the tree, and says which programs had to be killed.
    let is_own = |line: &String| line.starts_with("INFO reaped unknown pid") || line.contains("had to be killed");
    played(scene, place, command).into_iter().filter(|line| !is_own(line)).collect()
}

fn original(scene: &Scene, place: &Path) -> Vec<String> {
    let text = format!(
        "[supervisord]\nnodaemon=true\nlogfile=main.log\npidfile=p.pid\nchildlogdir=.\n[program:a]\n\
         stdout_logfile=NONE\nstderr_logfile=NONE\n{}",
        scene.conf
    );
    fs::write(place.join("a.conf"), text).expect("it is ours");
    let mut command = Command::new(ORIGINAL);
    command.args(["-c", "a.conf"]);
    played(scene, place, command)
}

/// Plays a scene; returns the lines after the one about the daemon's start, without times and pids.
fn played(scene: &Scene, place: &Path, mut command: Command) -> Vec<String> {
    let stdout = fs::File::create(place.join("stdout")).expect("it is ours");
    command.current_dir(place).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null());
    let mut daemon = Ended(command.spawn().expect("it can be executed"));
    let log = || fs::read_to_string(place.join("main.log")).unwrap_or_default();
    wait_until(scene.until, || log().contains(scene.until));
    send(i32::try_from(daemon.0.id()).expect("a pid is small"), 15);
    daemon.0.wait().expect("it is a child of this process");
    let (log, stdout) = (log(), fs::read_to_string(place.join("stdout")).expect("it was created"));
    assert_eq!(log, stdout, "the same on standard output");
    let lines = log.lines().skip_while(|line| !line.contains("supervisord started with pid")).skip(1);
    lines.map(normalized).collect()
}

/// A daemon that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The line without its time, and with `N` for a pid.
fn normalized(line: &str) -> String {
    let (time, text) = line.split_at_checked(23).unwrap_or(("", line));
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00 00:00:00,000", "{line}");
    let number = |text: &str, begin: &str, end: char| -> Option<String> {
        let at = text.find(begin)? + begin.len();
        let length = text[at..].find(end).unwrap_or(text.len() - at);
        Some(format!("{}N{}", &text[..at], &text[at + length..]))
    };
    let text = text.trim_start();
    match text {
        _ if text.contains("spawned:") => number(text, "with pid ", ' '),
        _ if text.contains("killing ") => number(text, "(", ')'),
        _ => None,
    }
    .unwrap_or_else(|| text.to_owned())
}
