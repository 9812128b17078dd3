//! `on_exit` and `max_runtime`: every way to write them.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may stop where it stands")]
#![allow(unreachable_pub)]

#[allow(dead_code, reason = "each test binary uses another part of it")]
mod common;

use std::time::Duration;

use common::{only, program, spec};
use muster_spec::{ExitAction, ExitMatch, ExitRule, Signal};

fn rules(keys: &str) -> Vec<(ExitMatch, ExitAction)> {
    only(keys).on_exit.iter().map(|ExitRule { on, then }| (on, then)).collect()
}

#[test]
fn every_kind_of_end_is_read_in_the_order_of_precedence() {
    let table = "[program.web.on_exit]\nspawn-error = \"fatal\"\nfailure = \"failure\"\nsignal = \"restart\"\n\"78,100-109\" = \"stop\"\n\
                 oom = \"exit\"\n\"HUP, SIGRTMIN+3\" = \"success\"\n75 = \"restart-now\"\n90 = \"restart-all\"";
    let spec = spec(&format!("[program.web]\ncommand = \"x\"\n{table}"));
    let rules: Vec<_> = program(&spec, "web").on_exit.iter().map(|rule| (rule.on, rule.then)).collect();
    let real_time = "RTMIN+3".parse().unwrap();
    assert_eq!(
        rules,
        [
            (ExitMatch::Status(75), ExitAction::RestartNow),
            (ExitMatch::Status(78), ExitAction::Stop),
            (ExitMatch::Status(90), ExitAction::RestartAll),
            (ExitMatch::Signal(Signal::HUP), ExitAction::Success),
            (ExitMatch::Signal(real_time), ExitAction::Success),
            (ExitMatch::OutOfMemory, ExitAction::Exit),
            (ExitMatch::Range { first: 100, last: 109 }, ExitAction::Stop),
            (ExitMatch::AnySignal, ExitAction::Restart),
            (ExitMatch::Failure, ExitAction::Failure),
            (ExitMatch::SpawnError, ExitAction::Fatal),
        ]
    );
}

#[test]
fn dotted_keys_and_templates_work_as_everywhere() {
    assert_eq!(rules("on_exit.75 = \"fatal\""), [(ExitMatch::Status(75), ExitAction::Fatal)]);
    assert_eq!(rules("on_exit = { 0 = \"${NOT_SET:-restart}\" }"), [(ExitMatch::Status(0), ExitAction::Restart)]);
    assert_eq!(rules("on_exit = {}"), []);
}

#[test]
fn a_program_replaces_the_rules_of_all() {
    let text = "[defaults]\non_exit = { 1 = \"stop\", 2 = \"stop\" }\n[program.web]\ncommand = \"x\"\non_exit = { 3 = \"fatal\" }\n\
                [program.plain]\ncommand = \"x\"\n[program.bare]\ncommand = \"x\"\non_exit = {}";
    let spec = spec(text);
    let count = |name: &str| program(&spec, name).on_exit.iter().count();
    assert_eq!((count("web"), count("plain"), count("bare")), (1, 2, 0));
}

#[test]
fn the_longest_life_of_a_run_is_a_duration_and_zero_is_none() {
    let max = |keys: &str| only(keys).max_runtime;
    assert_eq!(max("max_runtime = \"1h\""), Some(Duration::from_secs(3600)));
    assert_eq!(max("max_runtime = 90"), Some(Duration::from_secs(90)));
    assert_eq!(max("max_runtime = \"500ms\"\ntype = \"oneshot\""), Some(Duration::from_millis(500)));
    assert_eq!(max("max_runtime = 0"), None);
    assert_eq!(max(""), None);
}
