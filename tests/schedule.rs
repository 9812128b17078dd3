//! `schedule`: programs that start at times of the clock.

mod harness;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::{Daemon, Listener, Setting, ended, in_time, is_root, skip, wait_for, wait_until};
use serde_json::Value;

/// Due each second, and long enough between two times for everything else.
const EACH_SECOND: &str = "schedule = \"* * * * * *\"\n";

/// Not due while a test runs.
const MUCH_LATER: &str = "schedule = \"@yearly\"\n";

fn job(name: &str, command: &str, keys: &str) -> String {
    format!("[program.{name}]\ncommand = [\"sh\", \"-c\", \"{command}\"]\n{keys}")
}

/// The runs of a program that have ended, the newest first.
fn runs(daemon: &Daemon, name: &str) -> Vec<Value> {
    daemon.program(name)["runs"].as_array().cloned().unwrap_or_default()
}

/// Milliseconds since the last full second, of a time such as `2026-11-23T00:24:05.120Z`.
fn after_the_second(at: &Value) -> u64 {
    let text = at.as_str().expect("it is a time");
    let (_, fraction) = text.trim_end_matches('Z').split_once('.').expect("it has milliseconds");
    fraction.parse().expect("it is a number")
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

#[test]
fn it_starts_at_the_second_and_once() {
    in_time(|| {
        let mut daemon = Setting::supervising(job("tick", "exit 0", EACH_SECOND)).start();
        let began = seconds_now();
        wait_until("it has run four times", || runs(&daemon, "tick").len() >= 4);
        let elapsed = usize::try_from(seconds_now() - began).expect("it is short");
        let runs = runs(&daemon, "tick");
        let late: Vec<u64> = runs.iter().map(|run| after_the_second(&run["started_at"])).collect();
        daemon.finish();
        assert!(runs.len() <= elapsed + 1, "{} runs in {elapsed} s", runs.len());
        println!("started {late:?} ms after the second");
        if late.iter().all(|late| *late <= 30) { Ok(()) } else { Err(format!("{late:?} ms after the second")) }
    });
}

#[test]
fn it_waits_for_its_time_and_commands_do_not_wait() {
    let programs = [
        job("backup", "echo done; exit 0", MUCH_LATER),
        job("broken", "exit 3", "schedule = \"TZ=Europe/Berlin 30 2 1 1 *\"\n"),
    ];
    let mut daemon = Setting::supervising(programs.concat()).start();
    let backup = daemon.wait_for_state("backup", "WAITING");
    assert_eq!((&backup["goal"], &backup["waiting_for"]), (&"up".into(), &serde_json::json!(["its time"])));
    assert!(backup["next_due"].as_str().is_some_and(|at| at.ends_with("-01-01T00:00:00.000Z")), "{backup}");
    assert_eq!(backup["next_due"], backup["next_start_at"]);
    let description = backup["description"].as_str().expect("it is text");
    assert!(description.starts_with("waiting for its time, "), "{description}");
    assert!(description.contains("-01-01 00:00 UTC (in "), "{description}");
    assert_eq!(backup["configuration"]["type"], "oneshot");
    assert_eq!(backup["configuration"]["restart"], "no");
    assert_eq!(backup["configuration"]["schedule"]["cron"], serde_json::json!(["TZ=UTC @yearly"]));
    // Nothing waits for it, and nothing is wrong.
    assert_eq!(daemon.client.get("/readyz").status, 200);
    assert_eq!(daemon.client.get("/v1/info").json()["state"], "running");
    let status = daemon.ctl(&["status"]);
    assert_eq!(status.code, Some(0), "{status:?}");

    assert_eq!(daemon.ctl_well(&["start", "backup"]), "backup: started\n");
    let ended = daemon.wait_for_state("backup", "EXITED");
    let description = ended["description"].as_str().expect("it is text");
    assert!(description.starts_with("exit status 0, ") && description.contains(" ago; next "), "{description}");
    let why = daemon.ctl_well(&["why", "backup"]);
    assert!(why.contains("it starts at its time, "), "{why}");
    assert_eq!(daemon.ctl(&["status"]).code, Some(0));

    daemon.ctl(&["start", "broken"]);
    daemon.wait_for_state("broken", "EXITED");
    assert_eq!(daemon.ctl(&["status", "broken"]).code, Some(3), "its last run failed");
    assert_eq!(daemon.client.get("/readyz").status, 200);

    let list = daemon.ctl_well(&["schedule", "-n", "2"]);
    let first = list.lines().nth(1).unwrap_or_default();
    assert!(first.starts_with("backup  ") && first.ends_with("TZ=UTC @yearly"), "{list}");
    assert!(list.contains("-01-01T02:30:00+01:00"), "{list}");
    assert_eq!(list.lines().count(), 5, "{list}");

    daemon.ctl(&["stop", "backup"]);
    let stopped = daemon.program("backup");
    assert_eq!((&stopped["goal"], &stopped["next_due"]), (&"down".into(), &Value::Null));
    assert!(daemon.ctl_well(&["schedule"]).contains("backup  stopped"));
    assert_eq!(daemon.ctl_well(&["start", "--later", "backup"]), "backup: armed\n");
    assert!(daemon.program("backup")["next_due"].is_string());
    daemon.finish();
}

#[test]
fn only_a_program_with_a_schedule_starts_later() {
    let mut daemon = Setting::supervising(job("web", "sleep 1000", "autostart = false\n")).start();
    let later = daemon.ctl(&["start", "--later", "web"]);
    assert_eq!((later.code, later.out.as_str()), (Some(1), "web: ERROR (it has no schedule)\n"));
    assert_eq!(daemon.state("web"), "STOPPED");
    assert_eq!(daemon.ctl_well(&["schedule"]), "no programs with a schedule\n");
    daemon.finish();
}

#[test]
fn times_during_a_run_are_skipped_queued_or_replace_it() {
    let table = |overlap: &str| format!("schedule = {{ cron = \"* * * * * *\", overlap = \"{overlap}\" }}\n");
    let programs = [
        job("skips", "sleep 2.5", &table("skip")),
        job("queues", "sleep 1.5", &table("queue")),
        job("replaces", "sleep 1000", &table("replace")),
    ];
    let mut daemon = Setting::supervising(programs.concat()).start();
    let mut listener = Listener::of(&daemon, None);
    let skipped = |name: &'static str| {
        move |event: &Value| event["kind"] == "skipped" && event["name"] == name && event["reason"] == "running"
    };
    listener.until(skipped("skips"));
    wait_until("each has run three times", || {
        ["skips", "queues", "replaces"].iter().all(|name| runs(&daemon, name).len() >= 3)
    });
    let causes = |name: &str| -> BTreeSet<String> {
        let of_ended = runs(&daemon, name).into_iter().filter(|run| run["ended_at"].is_string());
        of_ended.map(|run| run["cause"].as_str().unwrap_or("itself").to_owned()).collect()
    };
    assert_eq!(causes("skips"), BTreeSet::from(["itself".to_owned()]));
    assert_eq!(causes("queues"), BTreeSet::from(["itself".to_owned()]));
    assert_eq!(causes("replaces"), BTreeSet::from(["its next run was due".to_owned()]));
    // A queued run begins as soon as the other one has ended, at any part of a second.
    let queued = runs(&daemon, "queues");
    assert!(queued.iter().any(|run| after_the_second(&run["started_at"]) > 300), "{queued:?}");
    let metrics = daemon.client.get("/metrics").body;
    let value = |name: &str, program: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name) && line.contains(&format!("\"{program}\"")));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name} of {program}"))
    };
    assert!(value("muster_program_schedule_skipped_total", "skips") >= 1.0);
    assert_eq!(value("muster_program_schedule_missed_total", "skips"), 0.0);
    assert!(value("muster_program_schedule_next_timestamp_seconds", "skips") + 5.0 > seconds_now() as f64);
    assert!(value("muster_program_schedule_last_success_timestamp_seconds", "skips") + 10.0 > seconds_now() as f64);
    daemon.finish();
}

#[test]
fn an_interval_counts_from_the_start() {
    let mut daemon = Setting::supervising(job("tick", "exit 0", "schedule = \"@every 1s\"\n")).start();
    wait_until("it has run three times", || runs(&daemon, "tick").len() >= 3);
    let begins: Vec<u64> = runs(&daemon, "tick").iter().map(|run| after_the_second(&run["started_at"])).collect();
    let near = |one: u64, other: u64| one.abs_diff(other).min(1000 - one.abs_diff(other)) < 250;
    assert!(begins.windows(2).all(|pair| near(pair[0], pair[1])), "{begins:?}");
    daemon.finish();
}

#[test]
fn a_reload_changes_the_times_and_leaves_the_run_alone() {
    let setting = |schedule: &str| Setting::supervising(job("job", "sleep 1000", schedule));
    let mut daemon = setting("schedule = { cron = \"@yearly\", run_on_start = true }\n").start();
    let pid = daemon.wait_for_running("job");
    let before = daemon.program("job")["next_due"].clone();
    daemon.rewrite(&setting("schedule = { cron = \"@hourly\", run_on_start = true }\n"));
    daemon.ctl_well(&["update"]);
    assert_ne!(daemon.program("job")["next_due"], before);
    assert_eq!(daemon.pid_of("job"), pid);
    // The time zone of all.
    daemon.rewrite(&setting(MUCH_LATER).musterd("exit_when_done = false\ntimezone = \"+02:00\""));
    daemon.ctl_well(&["update"]);
    let next = daemon.program("job")["next_due"].clone();
    assert!(next.as_str().is_some_and(|at| at.ends_with("-12-31T22:00:00.000Z")), "{next}");
    assert_eq!(daemon.pid_of("job"), pid);
    daemon.rewrite(&setting(""));
    daemon.ctl_well(&["update"]);
    assert_eq!(daemon.program("job")["next_due"], Value::Null);
    daemon.finish();
}

#[test]
fn the_container_stays_while_a_job_is_armed() {
    let both = [job("tick", "exit 0", EACH_SECOND), job("once", "exit 0", "type = \"oneshot\"\nrestart = \"no\"\n")];
    let mut daemon = Setting::supervising(both.concat()).musterd("").start();
    wait_until("it has run twice", || runs(&daemon, "tick").len() >= 2);
    // Nothing else is left, and the job may be running just now.
    daemon.ctl(&["stop", "tick"]);
    let stopped = wait_for("the daemon exits, or the job is down", || {
        daemon.ended().map(Some).or_else(|| daemon.client.try_request("GET", "/livez", "").is_ok().then_some(None))
    });
    if stopped.is_none() {
        daemon.finish();
    }
}

#[test]
fn armed_programs_do_not_wake_the_daemon_between_their_times() {
    let minute = (seconds_now() / 60 + 30) % 60;
    let hourly = format!("schedule = \"{minute} * * * *\"\n");
    let programs: String = (0..100).map(|number| job(&format!("job{number}"), "exit 0", &hourly)).collect();
    let mut daemon = Setting::supervising(programs).start();
    daemon.wait_for_state("job99", "WAITING");
    // The connection of the last request is closed before.
    let span = Duration::from_secs(if std::env::var_os("MUSTER_ACCEPTANCE").is_some() { 60 } else { 2 });
    daemon.assert_no_wake_up_for(span);
    daemon.finish();
}

/// The output of the executable, as in an image without time zones.
fn without_zones(words: &[&str]) -> harness::Ended {
    let script = "for d in /usr/share/zoneinfo /usr/lib/zoneinfo /etc/zoneinfo; do [ ! -d $d ] || mount -t tmpfs none $d; done; exec \"$@\"";
    ended(Command::new("unshare").args(["--mount", "sh", "-c", script, "sh", harness::musterd()]).args(words))
}

#[test]
fn an_image_without_time_zones_has_those_of_the_executable() {
    if !is_root() || !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
        return skip("mounting takes root");
    }
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/config/scenarios/schedule-daylight-saving.toml");
    let told = without_zones(&["simulate", "--scenario", scenario]);
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{told:?}");
}
