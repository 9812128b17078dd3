//! The command line of supervisord: the executable under that name, side by side with the original.

#[path = "harness/mod.rs"]
mod harness;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{send, skip, wait_for, wait_until, write_executable};

/// The original, and the name that both are called by.
const ORIGINAL: &str = "/usr/bin/supervisord";

/// Command lines that start nothing. `@` is the test's directory.
const LINES: &[&str] = &[
    // Refused words.
    "foo",
    "foo -n",
    "-n foo bar",
    "-- -n",
    "-n -- it's",
    "-",
    "-x",
    "-nx",
    "-nsktx",
    "--nothing",
    "--x=1",
    // Values that are missing, or too many.
    "-c",
    "-l",
    "-nl",
    "--configuration",
    "--user",
    "--nodaemon=1",
    "--nod=",
    "--silent=yes",
    "--help=x",
    // Prefixes.
    "--n",
    "--no",
    "--s",
    "--m",
    "--u",
    "--umas",
    "--log",
    "--logfile",
    "--logfile_",
    "--logfile_m",
    "--mi",
    "--p",
    "--=x",
    // Twice.
    "-n -n",
    "-nn",
    "-n --nodaemon",
    "-s --si",
    "-k -k",
    "-t --strip",
    "-u root -u root",
    "-m 022 --umask=022",
    "-c a -c b",
    "-e info -e debug",
    "--profile_options=calls --profile_options=calls",
    "--minprocs 1 --minprocs 2",
    "-i a -i b",
    // Values that are refused.
    "-m 9",
    "-m it's",
    "--umask=",
    "-d /nowhere",
    "-q @/none",
    "-l /nowhere/log",
    "-j /nowhere/pid",
    "-y 5XB",
    "-y 1.5MB",
    "-y",
    "-z many",
    "-z 1_0 -z 2",
    "-e loud",
    "-e warning",
    "-a x",
    "-a 1.5",
    "--minprocs=few",
    "--minfds= -n",
    // The first mistake counts, and the words are read before the values.
    "-m 9 -x",
    "-m 9 foo",
    "-m 9 -v",
    "-v -m 9x foo",
    "-n -n -h",
    // Accepted options, and then a configuration that is refused.
    "-c @/none.conf",
    "-c@/none.conf",
    "--configuration=@/none.conf",
    "--conf @/none.conf -n",
    "-c @",
    "-c @/bad.conf",
    "-nskt -c @/bad.conf",
    "-n -u daemon -m 0 -d / -l x.log -y 1KB -z -1 -e TRACE -j ~/x.pid -i a -q /tmp -k -a 1 -t --minprocs 1 -s -c @/bad.conf",
    "--profile_options cumulative,callers -c @/bad.conf",
    "-c @/empty.conf",
    "-c @/headless.conf",
    // The user and the limits.
    "-u no_such_user -n -c @/good.conf",
    "-u 4123456 -n -c @/good.conf",
    "--user= -n -c @/good.conf",
    "-a 2000000001 -n -c @/good.conf",
];

const FILES: [(&str, &str); 4] = [
    ("bad.conf", "[supervisord]\nloglevel=loud\n[program:a]\ncommand=/bin/cat\npriority=high\n"),
    ("empty.conf", "[program:a]\ncommand=/bin/cat\n"),
    ("headless.conf", "nodaemon=true\n"),
    ("good.conf", "[supervisord]\nnodaemon=true\nsilent=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n"),
];

#[test]
fn every_command_line_is_answered_as_by_the_original() {
    if !Path::new(ORIGINAL).exists() {
        skip("supervisor is not installed (Debian's package supervisor)");
        return;
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    FILES.iter().for_each(|(name, text)| fs::write(place.path().join(name), text).expect("it is ours"));
    let next = AtomicUsize::new(0);
    let different: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let lines = std::iter::from_fn(|| LINES.get(next.fetch_add(1, Ordering::Relaxed)));
            lines.filter_map(|line| difference(line, place.path())).collect::<Vec<String>>()
        };
        let threads = [scope.spawn(work), scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect()
    });
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), LINES.len(), different.join("\n"));
}

fn difference(line: &str, place: &Path) -> Option<String> {
    let words: Vec<String> = line.split(' ').map(|word| word.replace('@', &place.to_string_lossy())).collect();
    let [real, ours] = [ORIGINAL, harness::musterd()].map(|program| {
        let mut command = Command::new(program);
        command.arg0(ORIGINAL).args(&words).current_dir(place).env("PYTHONWARNINGS", "ignore");
        answer(&command.output().expect("it can be executed"))
    });
    (real != ours).then(|| format!("{line}\n  {real:?}\n  {ours:?}"))
}

/// Exit code, stdout, and of stderr the message and the line about help: ours lists every mistake after these.
fn answer(output: &Output) -> (Option<i32>, String, String) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut end = false;
    let until_help = |line: &&str| !std::mem::replace(&mut end, line.starts_with("For help, use "));
    let is_ours = |line: &&str| !line.contains("UserWarning");
    let err: Vec<&str> = err.lines().filter(is_ours).take_while(until_help).collect();
    (output.status.code(), out.into_owned(), err.join("\n"))
}

fn ours(words: &[&str], place: &Path) -> Output {
    let mut command = Command::new(harness::musterd());
    command.arg0("supervisord").args(words).current_dir(place);
    command.output().expect("musterd can be executed")
}

#[test]
fn help_and_version_are_those_that_scripts_look_for() {
    let place = tempfile::tempdir().expect("a temporary directory");
    for words in [&["-v"][..], &["--version"], &["-nv"], &["-v", "-h"]] {
        let output = ours(words, place.path());
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"4.3.0\n"[..]), "{words:?}");
    }
    for words in [&["-h"][..], &["-?"], &["--help"], &["-n", "--he"]] {
        let output = ours(words, place.path());
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(text.starts_with("supervisord -- run a set of applications"), "{text}");
        assert!(text.contains("\n-l/--logfile FILENAME -- use FILENAME as"), "{text}");
    }
}

#[test]
fn every_mistake_of_a_configuration_follows_the_first() {
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::write(place.path().join("bad.conf"), FILES[0].1).expect("it is ours");
    let output = ours(&["-n", "-c", "bad.conf"], place.path());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.starts_with("Error: bad logging level name 'loud'\nFor help, use supervisord -h\n"), "{text}");
    assert!(text.contains("bad.conf:2:") && text.contains("bad.conf:5:"), "{text}");
}

#[test]
fn the_file_s_name_wins_over_the_first_argument() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let link = place.path().join("supervisord");
    std::os::unix::fs::symlink(harness::musterd(), &link).expect("it is ours");
    let version = |command: &mut Command| command.arg("-v").output().expect("it can be executed").stdout;
    assert_eq!(version(&mut Command::new(&link)), b"4.3.0\n");
    assert_eq!(version(Command::new(&link).arg0("-")), b"4.3.0\n");
    assert_eq!(version(Command::new(harness::muster()).arg("supervisord")), b"4.3.0\n");
}

#[test]
fn the_sample_has_no_mistakes() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let sample = Command::new(harness::muster()).arg0("/usr/bin/echo_supervisord_conf").output();
    let sample = sample.expect("it can be executed");
    let text = String::from_utf8_lossy(&sample.stdout).into_owned();
    assert!(text.lines().next().is_some_and(|line| line.contains("Sample supervisor config file")), "{text}");
    // With its programs, too.
    let all: String = text.replace(";[program:web]", "[program:web]").replace(";command=", "command=");
    for (name, text) in [("sample.conf", &text), ("all.conf", &all)] {
        fs::write(place.path().join(name), text).expect("it is ours");
        let mut check = Command::new(harness::musterd());
        let output = check.args(["check", "-c", name]).current_dir(place.path()).output().expect("it can be executed");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn pidproxy_forwards_signals_to_the_process_in_the_pid_file() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let daemon = place.path().join("daemon");
    // It leaves a process behind whose pid it writes down, and stays itself, as a program in the foreground would.
    let script = b"#!/bin/sh\ntrap 'echo got HUP >>got' HUP; trap 'echo got TERM >>got; exit 0' TERM\necho $$ >pid\n\
        while :; do sleep 0.05; done\n";
    write_executable(&daemon, script);
    let mut real = Command::new(&daemon);
    let mut real = real.current_dir(place.path()).spawn().expect("it can be executed");
    let file = place.path().join("pid");
    let pid = wait_for("the pid file", || fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n')));
    assert_eq!(pid.trim(), real.id().to_string());

    let mut proxy = Command::new(harness::musterd());
    let proxy =
        proxy.arg0("pidproxy").args(["pid", "/bin/sh", "-c", "echo up >up; while [ -e up ]; do sleep 0.05; done"]);
    let mut proxy = proxy.current_dir(place.path()).spawn().expect("it can be executed");
    let number = i32::try_from(proxy.id()).expect("a pid is small");
    wait_until("the command runs", || place.path().join("up").exists());
    let got = |text: &str| fs::read_to_string(place.path().join("got")).is_ok_and(|got| got.contains(text));
    send(number, 1);
    wait_until("HUP is forwarded", || got("HUP"));
    assert!(proxy.try_wait().expect("it is a child of this process").is_none(), "HUP ends it");
    send(number, 15);
    assert_eq!(proxy.wait().expect("it is a child of this process").code(), Some(0));
    wait_until("TERM is forwarded", || got("TERM"));
    // Its command outlives it, as with the original, and ends with the test's directory.
    real.wait().expect("it is a child of this process");
}

#[test]
fn pidproxy_ends_with_its_command_and_says_how_it_is_used() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let run = |words: &[&str]| {
        let mut proxy = Command::new(harness::musterd());
        proxy.arg0("pidproxy").args(words).current_dir(place.path()).output().expect("it can be executed")
    };
    assert_eq!(run(&["pid", "/bin/sh", "-c", "exit 3"]).status.code(), Some(0));
    for words in [&[][..], &["pid"]] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stdout).contains("Usage: pidproxy <pidfile name> <command>"));
    }
}
