//! The exit code: the command's, or the one that a shell would return.

use crate::harness::{heeding_all_signals, write_executable};
use crate::inits::{Init, outcome};

const ALL: [Init; 3] = [Init::Own, Init::Tini, Init::Dumb];

fn end(init: Init, options: &[&str], command: &[&str]) -> String {
    let mut with = options.to_vec();
    with.push("--");
    with.extend(command);
    outcome(&mut heeding_all_signals(&init.with(&with))).end
}

fn shell(init: Init, options: &[&str], script: &str) -> String {
    end(init, options, &["sh", "-c", script])
}

#[test]
fn every_exit_code_is_passed_on() {
    for code in (0..=255).step_by(15).chain([1, 2, 126, 127, 128, 254]) {
        for init in ALL {
            assert_eq!(shell(init, &[], &format!("exit {code}")), format!("exit {code}"), "{init:?}");
        }
    }
}

#[test]
fn death_by_a_signal_is_128_and_its_number_for_real_time_signals_too() {
    for signal in [1, 2, 6, 9, 11, 13, 15, 34, 40, 64] {
        let script = format!("ulimit -c 0; kill -{signal} $$; sleep 1");
        for init in ALL {
            assert_eq!(shell(init, &[], &script), format!("exit {}", 128 + signal), "{init:?}");
        }
    }
}

#[test]
fn only_the_codes_that_count_as_success_become_0() {
    for code in [0, 1, 42, 126, 127, 143, 255] {
        let others: Vec<String> =
            (0..256).filter(|&other| other != code).flat_map(|other| ["-e".to_owned(), other.to_string()]).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let text = code.to_string();
        for init in [Init::Own, Init::Tini] {
            assert_eq!(shell(init, &["-e", &text], &format!("exit {code}")), "exit 0", "{init:?}");
            assert_eq!(shell(init, &others, &format!("exit {code}")), format!("exit {code}"), "{init:?}");
        }
    }
    for init in [Init::Own, Init::Tini] {
        assert_eq!(shell(init, &["-e", "143"], "kill $$"), "exit 0", "{init:?}");
        assert_eq!(shell(init, &["-e", "15"], "kill $$"), "exit 143", "{init:?}");
    }
    assert_eq!(shell(Init::Own, &["--success-exit-code=7"], "exit 7"), "exit 0");
}

#[test]
fn a_command_that_cannot_be_executed_has_its_reason_reported() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "echo never").expect("it can be written");
    let plain = plain.to_str().expect("UTF-8");
    let (missing, denied) = ("No such file or directory", "Permission denied");
    for (command, why, shells, dumbs) in [
        ("/does/not/exist", missing, 127, 2),
        ("surely-not-installed", missing, 127, 2),
        ("", missing, 127, 2),
        (plain, denied, 126, 2),
        ("/", denied, 126, 2),
    ] {
        // A directory in PATH without search permission would be another reason.
        let path = "/usr/bin:/bin";
        let own = outcome(Init::Own.with(&[command]).env("PATH", path));
        assert_eq!(own.end, format!("exit {shells}"), "{command}");
        let small = format!("{}{}", why[..1].to_lowercase(), &why[1..]);
        assert_eq!(own.stderr, format!("musterd run: cannot run {command}: {small}\n"));
        let tini = outcome(Init::Tini.with(&["-s", command]).env("PATH", path));
        assert_eq!(tini.end, format!("exit {shells}"), "{command}");
        assert!(tini.stderr.ends_with(&format!(")] exec {command} failed: {why}\n")), "{}", tini.stderr);
        let dumb = outcome(Init::Dumb.with(&[command]).env("PATH", path));
        assert_eq!(dumb.end, format!("exit {dumbs}"), "{command}");
        assert_eq!(dumb.stderr, format!("[dumb-init] {command}: {why}\n"));
    }
}

#[test]
fn a_text_without_an_interpreter_is_a_shell_script() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let script = directory.path().join("script");
    write_executable(&script, b"exit $1\n");
    let script = script.to_str().expect("UTF-8");
    for init in ALL {
        assert_eq!(end(init, &[], &[script, "33"]), "exit 33", "{init:?}");
    }
}
