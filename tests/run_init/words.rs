//! The inits' own texts: wording, streams and exit codes of help, version and error messages.

use std::process::Command;

use crate::harness::write_executable;
use crate::inits::{Init, Outcome, link, outcome, without_heeded};

const TINI_HELP: &str = include_str!("expected/tini-help.txt");
const DUMB_INIT_HELP: &str = include_str!("expected/dumb-init-help.txt");

fn says(init: Init, options: &[&str]) -> Outcome {
    outcome(&mut init.with(options))
}

fn expected(end: &str, stdout: &str, stderr: &str) -> Outcome {
    Outcome { end: end.to_owned(), stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

/// Our dumb-init is called by a path, and prints it where the original would.
fn dumb_init_help() -> String {
    DUMB_INIT_HELP.replace("Usage: dumb-init", &format!("Usage: {}", link("dumb-init").display()))
}

#[test]
fn tini_answers_as_tini() {
    assert_eq!(says(Init::Tini, &["--version"]), expected("exit 0", "tini version 0.19.0\n", ""));
    assert_eq!(says(Init::Tini, &["-h"]), expected("exit 0", TINI_HELP, ""));
    assert_eq!(says(Init::Tini, &[]), expected("exit 1", "", TINI_HELP));
    let path = link("tini");
    let mistake = format!("{}: invalid option -- 'z'\n{TINI_HELP}", path.display());
    assert_eq!(says(Init::Tini, &["-z"]), expected("exit 1", "", &mistake));
}

#[test]
fn tinis_version_is_printed_only_for_the_single_argument() {
    let path = link("tini");
    let mistake = format!("{}: invalid option -- '-'\n{TINI_HELP}", path.display());
    assert_eq!(says(Init::Tini, &["--version", "true"]), expected("exit 1", "", &mistake));
}

#[test]
fn tini_refuses_values_it_does_not_know() {
    for (option, value) in [("-e", "256"), ("-e", "-1"), ("-e", "x"), ("-p", "SIGFOO"), ("-p", "15"), ("-p", "TERM")] {
        let outcome = says(Init::Tini, &[option, value, "--", "true"]);
        assert_eq!((outcome.end.as_str(), outcome.stdout.as_str()), ("exit 1", ""));
        assert!(outcome.stderr.starts_with("[FATAL tini ("), "{}", outcome.stderr);
        assert!(
            outcome.stderr.ends_with(&format!(")] Not a valid option for {option}: {value}\n")),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn tinis_licence_is_shown_and_is_ours() {
    let outcome = says(Init::Tini, &["-l"]);
    assert_eq!(outcome.end, "exit 0");
    assert!(outcome.stdout.starts_with("This is musterd"), "{}", outcome.stdout);
}

#[test]
fn tini_is_known_by_each_of_its_names() {
    for name in ["tini", "tini-static", "docker-init"] {
        let mut command = Command::new(link(name));
        assert_eq!(outcome(command.arg("--version")).stdout, "tini version 0.19.0\n", "{name}");
        let mut command = Command::new(link(name));
        assert_eq!(
            outcome(command.arg("-h")).stdout.lines().next(),
            Some(format!("{name} (tini version 0.19.0)").as_str())
        );
    }
}

#[test]
fn dumb_init_answers_as_dumb_init_on_standard_error() {
    for option in ["-h", "--help", "--he"] {
        assert_eq!(says(Init::Dumb, &[option]), expected("exit 0", "", &dumb_init_help()));
    }
    for option in ["-V", "--version"] {
        assert_eq!(says(Init::Dumb, &[option]), expected("exit 0", "", "dumb-init v1.2.5\n"));
    }
    let path = link("dumb-init");
    let path = path.display();
    let usage = format!("Usage: {path} [option] program [args]\nTry {path} --help for full usage.\n");
    assert_eq!(says(Init::Dumb, &[]), expected("exit 1", "", &usage));
    let mistake = format!("{path}: unrecognized option '--nope'\n");
    assert_eq!(says(Init::Dumb, &["--nope", "true"]), expected("exit 1", "", &mistake));
}

#[test]
fn dumb_init_refuses_rewrites_of_non_signals() {
    let usage = "Usage: -r option takes <signum>:<signum>, where <signum> is between 1 and 31.\n\
                 This option can be specified multiple times.\nUse --help for full usage.\n";
    for option in ["-r", "--rewrite"] {
        for value in ["", "x", "TERM:INT", "0:1", "1:32", "32:1", "1:-1", "1", ":1"] {
            assert_eq!(says(Init::Dumb, &[option, value, "true"]), expected("exit 1", "", usage), "{value}");
        }
    }
}

#[test]
fn compat_is_the_same_as_the_name() {
    assert_eq!(says(Init::Own, &["--compat=tini", "-h"]), expected("exit 0", TINI_HELP, ""));
    assert_eq!(says(Init::Own, &["--compat", "dumb-init", "-h"]), expected("exit 0", "", DUMB_INIT_HELP));
    assert_eq!(says(Init::Own, &["--compat=tini", "--", "sh", "-c", "exit 7"]).end, "exit 7");
}

#[test]
fn muster_takes_the_name_as_its_first_argument_too() {
    let mut command = Command::new(crate::harness::muster());
    without_heeded(&mut command);
    assert_eq!(outcome(command.args(["tini", "--version"])).stdout, "tini version 0.19.0\n");
}

#[test]
fn run_answers_on_standard_output_and_complains_on_standard_error() {
    let version = format!("musterd {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(says(Init::Own, &["--version"]), expected("exit 0", &version, ""));
    let help = says(Init::Own, &["-h"]);
    assert_eq!((help.end.as_str(), help.stderr.as_str()), ("exit 0", ""));
    assert!(help.stdout.starts_with("Usage: musterd run "), "{}", help.stdout);
    let hint = "hint: musterd run --help shows how it goes\n";
    let complaint = format!("musterd run: no command to run\n{hint}");
    assert_eq!(says(Init::Own, &[]), expected("exit 2", "", &complaint));
    let complaint = format!("musterd run: -e takes 0 to 255: \"x\"\n{hint}");
    assert_eq!(says(Init::Own, &["-e", "x", "true"]), expected("exit 2", "", &complaint));
}

#[test]
fn a_script_without_its_interpreter_is_named() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    for (name, line, interpreter) in [
        (
            "windows",
            "#!/bin/sh\r",
            "/bin/sh does not exist: the #! line ends with a carriage return, as files from Windows do",
        ),
        ("missing", "#! /no/such -x", "/no/such does not exist"),
    ] {
        let script = directory.path().join(name);
        write_executable(&script, format!("{line}\necho never\n").as_bytes());
        let script = script.display().to_string();
        let complaint = format!("musterd run: cannot run {script}: its interpreter {interpreter}\n");
        assert_eq!(says(Init::Own, &["--", &script]), expected("exit 127", "", &complaint));
    }
    let complaint = "musterd run: cannot run /no/such: no such file or directory\n";
    assert_eq!(says(Init::Own, &["--", "/no/such"]), expected("exit 127", "", complaint));
}

#[test]
fn a_command_in_place_of_a_subcommand_gets_a_hint() {
    let musterd = |words: &[&str]| outcome(Command::new(crate::harness::musterd()).args(words));
    let told = musterd(&["bash", "-l"]);
    assert_eq!((told.end.as_str(), told.stdout.as_str()), ("exit 2", ""));
    assert!(
        told.stderr.contains("--entrypoint bash") && told.stderr.contains("musterd run -- bash"),
        "{}",
        told.stderr
    );
    assert!(musterd(&["chek"]).stderr.contains("check"), "a misspelt command is none");
    let help = musterd(&["--help"]).stdout;
    assert!(help.starts_with("The supervisor for containers"), "{help}");
}
