//! The main log in supervisord's format, line by line beside that of the original.

#[path = "harness/mod.rs"]
mod harness;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use harness::{ORIGINAL, PATIENCE, ended, send, skip, wait_until};

/// 4.2.5 and 4.3.0.
const ORIGINALS: [&str; 2] =
    ["/usr/bin/supervisord", concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients/venv/bin/supervisord")];

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
        conf: "command=/bin/sh -c 'sleep 0.4'\nstartsecs=0\nautorestart=false\n",
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
    for executable in ORIGINALS {
        if !Path::new(executable).exists() {
            skip(&format!(
                "{executable} is not there: Debian's package supervisor, and supervisor 4.3.0 as in .ci/run"
            ));
            continue;
        }
        std::thread::scope(|scope| {
            SCENES.iter().for_each(|scene| {
                scope.spawn(move || {
                    let place = tempfile::tempdir().expect("a temporary directory");
                    assert_eq!(original(scene, place.path(), executable), scene.lines, "{executable}, {}", scene.conf);
                });
            });
        });
    }
}

fn ours(scene: &Scene, place: &Path) -> Vec<String> {
    let text = format!(
        "[musterd]\nlogformat = \"supervisord\"\nlogfile = \"main.log\"\nlog_to_stdout = true\nexit_when_done = false\n\
         [http]\nsocket = \"s.sock\"\n[program.a]\nbackoff = \"supervisord\"\nstart_failures = \"retry\"\n\
         logs.stdout = \"none\"\nlogs.stderr = \"none\"\n{}",
        scene.toml
    );
    fs::write(place.join("a.toml"), text).expect("it is ours");
    let mut command = Command::new(harness::musterd());
    command.args(["-c", "a.toml"]);
    // musterd also kills the rest of the tree, and says which programs had to be killed.
    let is_own = |line: &String| line.starts_with("INFO reaped unknown pid") || line.contains("had to be killed");
    played(scene, place, command).into_iter().filter(|line| !is_own(line)).collect()
}

fn original(scene: &Scene, place: &Path, executable: &str) -> Vec<String> {
    let text = format!(
        "[supervisord]\nnodaemon=true\nlogfile=main.log\npidfile=p.pid\nchildlogdir=.\n[program:a]\n\
         stdout_logfile=NONE\nstderr_logfile=NONE\n{}",
        scene.conf
    );
    fs::write(place.join("a.conf"), text).expect("it is ours");
    let mut command = Command::new(executable);
    command.args(["-c", "a.conf"]);
    played(scene, place, command)
}

/// The lines of a log at the level debug about the program `a` and its output, up to its end.
fn repeated(executable: &str, command: &str) -> Vec<String> {
    let place = tempfile::tempdir().expect("a temporary directory");
    let text = format!(
        "[supervisord]\nnodaemon=true\nloglevel=debug\nlogfile=main.log\npidfile=p.pid\nchildlogdir=.\n[program:a]\n\
         command={command}\nautorestart=false\nstartsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
    );
    fs::write(place.path().join("a.conf"), text).expect("it is ours");
    let mut daemon = Command::new(executable);
    daemon.arg0(ORIGINAL).args(["-c", "a.conf"]).current_dir(place.path());
    daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _daemon = Ended(daemon.spawn().expect("it can be executed"));
    let log = || fs::read_to_string(place.path().join("main.log")).unwrap_or_default();
    wait_until("it exits", || log().contains("exited: a") && log().contains("SIGCHLD"));
    let mut is_output = false;
    let mut lines = Vec::new();
    for line in log().lines() {
        let said = line.split_at_checked(23).filter(|(time, _)| time.starts_with("20") && time.contains(','));
        is_output = said.map_or(is_output, |(_, said)| said.contains(" output:"));
        let said = said.map_or(line, |(_, said)| said.trim_start());
        if is_output || said.contains("SIGCHLD") || said.contains("exited:") {
            lines.push(said.to_owned());
        }
    }
    lines
}

#[test]
fn at_the_level_debug_it_repeats_output_before_the_end_of_its_process() {
    let scenes: [(&str, &[&str]); 3] = [
        ("/bin/echo 100%% sure", &["DEBG 'a' stdout output:", "100% sure", ""]),
        ("/bin/sh -c \"printf 'one\\ntwo' >&2\"", &["DEBG 'a' stderr output:", "one", "two"]),
        ("/bin/sh -c \"printf '\\210\\n'\"", &["DEBG 'a' stdout output:", r"Undecodable: b'\x88\n'"]),
    ];
    let is_original_here = Path::new(ORIGINAL).exists();
    if !is_original_here {
        skip("supervisor is not installed (Debian's package supervisor)");
    }
    std::thread::scope(|scope| {
        for (command, output) in scenes {
            scope.spawn(move || {
                let end = ["DEBG received SIGCHLD indicating a child quit", "INFO exited: a (exit status 0; expected)"];
                // The original reaps now and then, and may log the signal last.
                let sorted = |mut lines: Vec<String>| {
                    lines[output.len()..].sort();
                    lines
                };
                let expected: Vec<String> = [output, &end].concat().into_iter().map(str::to_owned).collect();
                assert_eq!(sorted(repeated(harness::musterd(), command)), expected, "ours, {command}");
                if is_original_here {
                    assert_eq!(sorted(repeated(ORIGINAL, command)), expected, "the original, {command}");
                }
            });
        }
    });
}

#[test]
fn a_flood_of_output_in_the_log_delays_nothing_else() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let text = "[supervisord]\nnodaemon=true\nloglevel=debug\nlogfile=main.log\nlogfile_maxbytes=1MB\nlogfile_backups=1\npidfile=p.pid\nchildlogdir=.\n\
         [unix_http_server]\nfile=%(here)s/socket\n[supervisorctl]\nserverurl=unix://%(here)s/socket\n\
         [program:flood]\ncommand=/bin/sh -c \"exec timeout 100 yes $(printf '\\033[2J')\"\nstdout_logfile=NONE\n\
         [program:other]\ncommand=/bin/sleep 1000\nstartsecs=0\n";
    fs::write(place.path().join("a.conf"), text).expect("it is ours");
    let mut daemon = Command::new(harness::musterd());
    daemon.arg0(ORIGINAL).args(["-c", "a.conf"]).current_dir(place.path());
    daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let daemon = Ended(daemon.spawn().expect("it can be executed"));
    let log = || fs::read_to_string(place.path().join("main.log")).unwrap_or_default();
    wait_until("the flood is in the log", || log().contains("'flood' stdout output:\n\\x1b[2J\n"));
    for _ in 0..10 {
        let mut client = Command::new(harness::musterctl());
        client.arg0("supervisorctl").args(["-c", "a.conf", "restart", "other"]).current_dir(place.path());
        let began = Instant::now();
        assert_eq!(ended(&mut client).out, "other: stopped\nother: started\n");
        assert!(began.elapsed() < PATIENCE, "it took {:?}", began.elapsed());
    }
    assert!(!log().contains('\x1b'), "nothing controls a terminal");
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.0.id())).expect("it runs");
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    assert!(resident.is_some_and(|kilobytes: u64| kilobytes < 128 << 10), "{resident:?} kB");
    send(i32::try_from(daemon.0.id()).expect("a pid is small"), 15);
    wait_until("it stops", || log().contains("stopped: flood"));
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
