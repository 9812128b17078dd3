//! `schedule` in every form, and what it means for other keys.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop where it stands, and ask its environment"
)]

#[allow(dead_code, reason = "each test binary uses another part of it")]
mod common;

use common::{only, program, seconds, spec};
use muster_spec::{Kind, Missed, Overlap, RestartWhen, ScheduleSpec, ScheduleTimes};

fn cron(expression: &str, timezone: &str) -> ScheduleTimes {
    ScheduleTimes::Cron { expression: expression.to_owned(), timezone: timezone.to_owned() }
}

fn read(keys: &str) -> ScheduleSpec {
    *only(keys).schedule.unwrap()
}

#[test]
fn a_text_is_a_schedule_with_defaults() {
    assert_eq!(read("schedule = \"*/5 * * * *\""), ScheduleSpec::of(vec![cron("*/5 * * * *", "UTC")]));
    assert_eq!(read("schedule = \"@every 90s\""), ScheduleSpec::of(vec![ScheduleTimes::Every(seconds(90))]));
    assert_eq!(only("").schedule, None);
}

#[test]
fn a_table_has_the_rest() {
    let table = "{ cron = [\"0 3 * * *\", \"TZ=UTC 0 4 * * *\", \"@every 1h\"], timezone = \"Europe/Berlin\", overlap = \"queue\", \
                 jitter = \"5m\", missed = \"skip\", run_on_start = true }";
    let times = vec![cron("0 3 * * *", "Europe/Berlin"), cron("0 4 * * *", "UTC"), ScheduleTimes::Every(seconds(3600))];
    let expected =
        ScheduleSpec { overlap: Overlap::Queue, jitter: seconds(300), run_on_start: true, ..ScheduleSpec::of(times) };
    assert_eq!(read(&format!("schedule = {table}")), expected);
}

#[test]
fn the_time_zone_of_the_daemon_is_the_default() {
    let zones = |schedule: &str| {
        let text = format!("[program.web]\ncommand = \"x\"\nschedule = {schedule}\n[musterd]\ntimezone = \"+02:00\"\n");
        let spec = spec(&text);
        let times = program(&spec, "web").schedule.clone().unwrap().times;
        times
            .into_iter()
            .map(|times| if let ScheduleTimes::Cron { timezone, .. } = times { timezone } else { String::new() })
            .collect::<Vec<_>>()
    };
    assert_eq!(zones("[\"@daily\", \"CRON_TZ=UTC @daily\", \"@every 1h\"]"), ["+02:00", "UTC", ""]);
    assert_eq!(zones("{ cron = \"@daily\", timezone = \"Asia/Tokyo\" }"), ["Asia/Tokyo"]);
}

#[test]
fn a_program_with_a_schedule_is_a_job_unless_it_says_otherwise() {
    let of = |keys: &str| {
        let program = only(&format!("schedule = \"@daily\"\n{keys}"));
        (program.kind, program.restart.when)
    };
    assert_eq!(of(""), (Kind::Oneshot, RestartWhen::Never));
    assert_eq!(of("restart = \"on-failure\"\nstartretries = 3"), (Kind::Oneshot, RestartWhen::OnFailure));
    assert_eq!(of("type = \"service\""), (Kind::Service, RestartWhen::Never));
}

#[test]
fn a_daemon_that_remembers_may_catch_up_and_do_things_once() {
    let text = "[musterd]\nstate_dir = \"/var/lib/muster\"\n\
                [program.backup]\ncommand = \"x\"\nschedule = { cron = \"@daily\", missed = \"once\" }\n\
                [program.migrate]\ncommand = \"x\"\ntype = \"oneshot\"\nonce = true\n";
    let spec = spec(text);
    assert_eq!(program(&spec, "backup").schedule.as_ref().unwrap().missed, Missed::Once);
    assert!(program(&spec, "migrate").once && !program(&spec, "backup").once);
}
