//! The originals and ours, run with the same arguments and environment, print and do the same.

use std::process::Command;

use crate::harness::skip;
use crate::inits::{Init, Outcome, installed, link, outcome, without_heeded};

/// Command lines of tini, with `|` between the words. Each one ends at the same point of every race.
const TINI: &[&str] = &[
    "",
    "-h",
    "-z",
    "--version",
    "--version|x",
    "-e",
    "-p",
    "-e|x|--|true",
    "-e|256|--|true",
    "-e||--|true",
    "-e| +7|--|true",
    "-p|SIGFOO|--|true",
    "-p|15|--|true",
    "-p|SIGPWR|--|true",
    "--foo",
    "--",
    "--|true",
    "true",
    "-s|true",
    "-vvv|--|true",
    "-vvvv|-s|--|true",
    "-s|--|sh|-c|exit 3",
    "-s|-e|3|--|sh|-c|exit 3",
    "-s|-e3|-e4|--|sh|-c|exit 4",
    "-s|-e|143|--|sh|-c|kill $$",
    "-s|sh|-c|exit 3",
    "ls|-z",
    "-s|echo|-v|--|-v",
    "-s|echo|a|-e|0|b",
    "-sgw|true",
    "-s|-vvv|--|sh|-c|kill -TERM $$",
    "-s|-vvv|--|sh|-c|ulimit -c 0; kill -SEGV $$",
    "-s|-vvv|--|bash|-c|kill -40 $$",
    "-s|-p|SIGKILL|true",
];

/// More of tini, for commands that cannot be executed. With higher verbosity it prints everything twice there, since
/// its buffered standard output is duplicated by fork.
const TINI_IN_VAIN: &[&str] = &[
    "--|--",
    "-",
    "-s|-e|127|surely-not-installed",
    "-s|surely-not-installed",
    "-s|/etc/passwd",
    "-s|/etc",
    "-v|/no/such",
];

/// Command lines of dumb-init, in the same way.
const DUMB_INIT: &[&str] = &[
    "",
    "-h",
    "--help",
    "-V",
    "--version",
    "-z",
    "-cz",
    "--ver",
    "--vers",
    "--verb",
    "--rewrite",
    "--rew|1:2|true",
    "--help=3",
    "-r",
    "-r|x|true",
    "-r|1:2x|true",
    "-r| 1: +0|true",
    "-r|0:1|true",
    "-r|1:-1|true",
    "-r|32:1|true",
    "-r|TERM:INT|true",
    "-v|true",
    "-c|-v|true",
    "-v|-r|15:2|true",
    "-v|-r|15:0|true",
    "-v|sh|-c|exit 4",
    "-v|sh|-c|kill $$",
    "-v|bash|-c|kill -40 $$",
    "surely-not-installed",
    "-v|/etc/passwd",
    "-c|/etc",
    "--|sh|-c|exit 7",
    "sh|-c|exit 7",
    "-v|--|true|-z",
    "-vc|true",
    "-v|sh|-c|kill -USR1 $PPID; exec sleep 100",
    "-v|-c|sh|-c|kill -SEGV $PPID; exec sleep 100",
    "-v|-r|10:15|sh|-c|kill -USR1 $PPID; exec sleep 100",
    "-v|-r|10:0|sh|-c|kill -USR1 $PPID; exit 5",
];

const ENVIRONMENTS: &[&[(&str, &str)]] = &[
    &[],
    &[("TINI_VERBOSITY", "3"), ("DUMB_INIT_DEBUG", "1")],
    &[("TINI_VERBOSITY", "abc"), ("DUMB_INIT_DEBUG", "0")],
    &[("TINI_VERBOSITY", "-1"), ("DUMB_INIT_SETSID", "0"), ("DUMB_INIT_DEBUG", "1")],
    &[("TINI_SUBREAPER", ""), ("DUMB_INIT_SETSID", "1")],
    &[("TINI_KILL_PROCESS_GROUP", ""), ("POSIXLY_CORRECT", "1"), ("DUMB_INIT_DEBUG", "")],
];

fn words(line: &str) -> Vec<&str> {
    if line.is_empty() { Vec::new() } else { line.split('|').collect() }
}

/// Equality except for pids, the path it was called by, and the order of lines, which parent and child share.
fn comparable(outcome: Outcome, name: &str) -> Outcome {
    let path = link(name);
    let path = path.to_str().expect("UTF-8");
    let plain = |text: &str| {
        let mut lines: Vec<String> = text.replace(path, name).lines().map(without_pids).collect();
        lines.sort();
        lines.join("\n")
    };
    Outcome { end: outcome.end, stdout: plain(&outcome.stdout), stderr: plain(&outcome.stderr) }
}

/// Replaces the number after each word that introduces a process.
fn without_pids(line: &str) -> String {
    let mut line = line.to_owned();
    for before in ["tini (", "pid '", "pid: '", "pid=", "PID "] {
        if let Some(at) = line.find(before).map(|at| at + before.len()) {
            let digits = line[at..].bytes().take_while(u8::is_ascii_digit).count();
            line.replace_range(at..at + digits, "N");
        }
    }
    line
}

fn compare(name: &str, init: Init, lines: &[&str], environments: &[&[(&str, &str)]]) {
    let Some(original) = installed(name) else { return skip(&format!("{name} is not installed")) };
    for environment in environments {
        for line in lines {
            let mut theirs = Command::new(name);
            without_heeded(&mut theirs);
            let theirs = outcome(theirs.args(words(line)).envs(environment.iter().copied()));
            let ours = outcome(init.with(&words(line)).envs(environment.iter().copied()));
            assert_eq!(
                comparable(ours, name),
                comparable(theirs, name),
                "{} {line:?} {environment:?}",
                original.display()
            );
        }
    }
}

#[test]
fn tini_and_we_do_the_same() {
    compare("tini", Init::Tini, TINI, ENVIRONMENTS);
    compare("tini", Init::Tini, TINI_IN_VAIN, &[&[], &[("TINI_VERBOSITY", "0")], &[("TINI_SUBREAPER", "")]]);
}

#[test]
fn dumb_init_and_we_do_the_same() {
    compare("dumb-init", Init::Dumb, DUMB_INIT, ENVIRONMENTS);
}
