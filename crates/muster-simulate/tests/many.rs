//! Reading a scenario takes time linear in its size, whatever it contains: half a megabyte of errors of one kind.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::fmt::Write;
use std::fs;

use muster_config::{Diagnostic, open_any};
use muster_simulate::scenario::load_scenario;

/// The limit in processor seconds, without optimisation. Quadratic code takes half a minute and more.
const ENOUGH: f64 = 5.0;

const SIZE: usize = 1 << 19;

/// [`SIZE`] bytes of lines.
fn lines(line: impl Fn(usize) -> String) -> String {
    let mut text = String::with_capacity(SIZE + 100);
    for number in 0.. {
        if text.len() >= SIZE {
            break;
        }
        writeln!(text, "{}", line(number)).unwrap();
    }
    text
}

/// The processor time of this thread, independent of the machine's load.
fn processor_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let before = processor_seconds();
    let answer = work();
    let spent = processor_seconds() - before;
    assert!(spent < ENOUGH, "{name}: {spent:.2} s of processor time");
    answer
}

/// Checks that the mistakes are reported, and few enough of them to be read.
fn check(name: &str, diagnostics: &[Diagnostic], message: &str) {
    let first = diagnostics.first().unwrap_or_else(|| panic!("{name}: no mistake"));
    assert!(first.message.contains(message), "{name}: {}", first.message);
    assert!((2..=300).contains(&diagnostics.len()), "{name}: {}", diagnostics.len());
    assert!(diagnostics.iter().any(|found| found.message.contains(" more ")), "{name}: the rest is not counted");
    assert!(diagnostics.iter().all(|found| found.text().len() < 10_000), "{name}: a message is too long");
}

#[test]
fn a_scenario_full_of_errors_is_read_in_linear_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scenario.toml");
    let program = "[program.web]\ncommand = \"x\"\n";
    type Line = fn(usize) -> String;
    let kinds: [(&str, &str, Line, &str); 4] = [
        ("runs of unknown programs", "[runs]\n", |n| format!("a{n} = \"0@1s\""), "there is no program"),
        ("runs that are none", "[runs]\n", |n| format!("a{n} = \"x\""), "runs.a0"),
        (
            "many programs",
            "[runs]\nx1 = \"0@1s\"\nx2 = \"0@1s\"\n",
            |n| format!("[program.a{n}]"),
            "there is no program",
        ),
        (
            "expectations of unknown programs",
            "",
            |n| format!("[[expect]]\nprogram = \"a{n}\"\nstate = \"RUNNING\""),
            "there is no program",
        ),
    ];
    for (name, head, line, message) in kinds {
        fs::write(&path, format!("{head}{}{program}", lines(line))).unwrap();
        let scenario = timed(name, || load_scenario(&path, &|_| None, "host", &open_any));
        if name == "many programs" {
            let told: usize = scenario.loaded.diagnostics.iter().map(|found| found.text().len()).sum();
            assert!(told < 10_000, "{told}");
        } else {
            check(name, &scenario.loaded.diagnostics, message);
        }
    }
}
