//! Reading a scenario takes time linear in its size, whatever it contains: half a megabyte of errors of one kind.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

#[path = "../../../tests/harness/linear.rs"]
mod linear;

use std::fs;

use linear::{check, lines, timed};
use muster_config::open_any;
use muster_simulate::scenario::load_scenario;

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
