//! `ignore_signals`: what a program ignores from the start.

mod harness;

use harness::{Setting, find};

fn ignored_by_web(keys: &str) -> u64 {
    let program = format!("[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n{keys}");
    let daemon = Setting::supervising(program).start();
    let process = find(daemon.wait_for_running("web")).expect("it runs");
    let mask = process.status("SigIgn").expect("/proc shows it");
    u64::from_str_radix(&mask, 16).expect("a mask")
}

#[test]
fn a_program_ignores_the_configured_signals_and_no_others() {
    assert_eq!(ignored_by_web(""), 0);
    let (pipe, xfsz, rtmin) = (13, 25, 34);
    let expected: u64 = [pipe, xfsz, rtmin].map(|number| 1_u64 << (number - 1)).into_iter().sum();
    assert_eq!(ignored_by_web("ignore_signals = [\"PIPE\", \"SIGXFSZ\", \"RTMIN\"]\n"), expected);
}
