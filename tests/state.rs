//! `state_dir`: what the daemon remembers across restarts of its container, and nothing else.

mod harness;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::{Daemon, End, Setting, is_root, skip, wait_until};
use serde_json::json;
use tempfile::TempDir;

/// A state directory that does not exist yet, in a directory that does.
fn state_in(place: &TempDir) -> PathBuf {
    place.path().join("state")
}

fn setting(state: &Path, programs: &str) -> Setting {
    Setting::supervising(programs)
        .musterd(&format!("exit_when_done = false\nstate_dir = \"{}\"\ntimezone = \"UTC\"", state.display()))
}

fn service(name: &str, keys: &str) -> String {
    format!("[program.{name}]\ncommand = \"sleep 1000\"\nstartsecs = 0\n{keys}\n")
}

/// A oneshot that adds a line to a file.
fn job(name: &str, file: &Path, keys: &str) -> String {
    let file = file.display();
    format!("[program.{name}]\ntype = \"oneshot\"\ncommand = [\"sh\", \"-c\", \"echo {name} >> {file}\"]\n{keys}\n")
}

fn lines(file: &Path) -> usize {
    fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

fn post(daemon: &Daemon, path: &str) {
    assert_eq!(daemon.client.post(path).status, 200, "{path}");
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).expect("it is there").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn why(daemon: &Daemon, name: &str) -> Vec<String> {
    let story = daemon.client.get(&format!("/v1/programs/{name}/why")).json()["story"].clone();
    story.as_array().expect("it is a list").iter().map(|line| line.as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_program_stopped_by_hand_stays_down_only_with_unless_stopped() {
    let place = tempfile::tempdir().expect("there is room");
    let state = state_in(&place);
    let programs = [
        service("kept", "restart = \"unless-stopped\""),
        service("other", "restart = \"always\""),
        service("idle", "autostart = false\nrestart = \"unless-stopped\""),
        service("app", "depends_on = [\"kept\"]"),
    ];
    let mut daemon = setting(&state, &programs.concat()).start();
    for name in ["kept", "other"] {
        post(&daemon, &format!("/v1/programs/{name}/stop?wait=10"));
    }
    post(&daemon, "/v1/programs/idle/start?wait=10");
    daemon.finish();
    let mut daemon = setting(&state, &programs.concat()).start();
    wait_until("other runs", || daemon.state("other") == "RUNNING");
    assert_eq!(daemon.state("kept"), "STOPPED");
    assert_eq!(daemon.state("idle"), "STOPPED", "a start by hand is not kept");
    assert_eq!(daemon.state("app"), "WAITING", "it does not start what an operator stopped");
    // A start ends that, also if the daemon is killed.
    post(&daemon, "/v1/programs/kept/start?wait=10");
    let file = state.join("stopped.json");
    wait_until("it is written", || fs::read_to_string(&file).is_ok_and(|text| !text.contains("kept")));
    daemon.kill_and_start_again();
    wait_until("kept runs", || daemon.state("kept") == "RUNNING");
    daemon.finish();
}

#[test]
fn a_job_is_done_once_for_each_command() {
    let place = tempfile::tempdir().expect("there is room");
    let (state, file) = (state_in(&place), place.path().join("done"));
    let programs = |more: &str| {
        let app = service("app", "depends_on = { migrate = \"completed\" }");
        job("migrate", &file, &format!("once = true\n{more}")) + &app
    };
    let mut daemon = setting(&state, &programs("")).start();
    wait_until("app runs", || daemon.state("app") == "RUNNING");
    daemon.finish();
    assert_eq!(lines(&file), 1);
    let mut daemon = setting(&state, &programs("")).start();
    wait_until("app runs", || daemon.state("app") == "RUNNING");
    let status = daemon.program("migrate");
    assert_eq!(status["state"], "EXITED");
    let done = status["description"].as_str().expect("it is text").to_owned();
    assert!(done.starts_with("done 2") && done.len() == "done 2026-11-20".len(), "{done}");
    assert_eq!(lines(&file), 1, "it is not run again");
    // Neither a reload nor a new environment runs it, and a command does.
    daemon.rewrite(&setting(&state, &programs("environment = { A = \"1\" }")));
    post(&daemon, "/v1/config/reload");
    assert_eq!((daemon.state("migrate").as_str(), lines(&file)), ("EXITED", 1));
    post(&daemon, "/v1/programs/migrate/start?wait=10");
    wait_until("it has run", || lines(&file) == 2);
    daemon.finish();
    // Another command has yet to be done.
    let other = programs("").replace("echo migrate", "echo another");
    let mut daemon = setting(&state, &other).start();
    wait_until("it has run", || lines(&file) == 3);
    daemon.finish();
    let mut daemon = setting(&state, &other).start();
    wait_until("app runs", || daemon.state("app") == "RUNNING");
    daemon.finish();
    assert_eq!(lines(&file), 3);
}

#[test]
fn a_job_that_failed_is_not_done_and_one_that_is_ends_no_container() {
    let place = tempfile::tempdir().expect("there is room");
    let (state, file) = (state_in(&place), place.path().join("done"));
    let broken = job("broken", &file, "once = true\nrestart = \"no\"").replace(" >> ", "; exit 3 >> ");
    let first = job("first", &file, "once = true\nessential = \"on-failure\"");
    for life in 1..=2 {
        let mut daemon = setting(&state, &(broken.clone() + &first)).start();
        wait_until("broken has ended", || daemon.state("broken") == "EXITED");
        wait_until("first has ended", || daemon.state("first") == "EXITED");
        assert_eq!(lines(&file), 1, "life {life}");
        let health = daemon.client.get("/readyz").json().to_string();
        assert!(health.contains("broken") && !health.contains("first"), "{health}");
        daemon.finish();
    }
}

#[test]
fn a_live_scale_lasts_until_the_configured_number_is_another() {
    let place = tempfile::tempdir().expect("there is room");
    let state = state_in(&place);
    let count = |daemon: &Daemon| {
        let all = daemon.client.get("/v1/programs").json();
        all.as_array().map_or(0, |all| all.iter().filter(|one| one["state"] == "RUNNING").count())
    };
    let mut daemon = setting(&state, &service("web", "numprocs = 2")).start();
    let body = json!({ "numprocs": 4 }).to_string();
    assert_eq!(daemon.client.request("POST", "/v1/programs/web/scale", &body).status, 200);
    wait_until("it is written", || state.join("scales.json").exists());
    daemon.kill_and_start_again();
    wait_until("four run", || count(&daemon) == 4);
    let configured = daemon.client.get("/v1/programs/web:0").json()["configuration"].clone();
    assert_eq!((&configured["numprocs"], &configured["numprocs_configured"]), (&json!(4), &json!(2)));
    // It is a live scale as before.
    post(&daemon, "/v1/config/reload");
    assert_eq!(count(&daemon), 4);
    daemon.finish();
    for _ in 0..2 {
        let mut daemon = setting(&state, &service("web", "numprocs = 3")).start();
        wait_until("three run", || count(&daemon) == 3);
        daemon.finish();
    }
    // The number from before was forgotten with the change.
    let mut daemon = setting(&state, &service("web", "numprocs = 2")).start();
    wait_until("two run", || count(&daemon) == 2);
    daemon.finish();
}

#[test]
fn a_time_that_passed_without_a_daemon_is_one_run_with_missed_once() {
    let place = tempfile::tempdir().expect("there is room");
    let (state, file) = (state_in(&place), place.path().join("done"));
    let scheduled = |missed: &str| {
        let schedule = format!("schedule = {{ cron = \"30 2 1 1 *\", missed = \"{missed}\" }}");
        job("backup", &file, &schedule) + &job("report", &file, "schedule = \"@yearly\"")
    };
    let mut daemon = setting(&state, &scheduled("once")).start();
    assert_eq!(daemon.state("backup"), "WAITING");
    daemon.finish();
    assert_eq!(lines(&file), 0, "the first start of all has missed nothing");
    let schedules = state.join("schedules.json");
    let seen = |years: u64| {
        let text = fs::read_to_string(&schedules).expect("it was written at the end");
        let mut document: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        for name in ["backup", "report"] {
            let seen = document["schedules"][name]["seen"].as_i64().expect("it was armed");
            document["schedules"][name]["seen"] = json!(seen - i64::try_from(years * 366 * 86_400_000).unwrap_or(0));
        }
        fs::write(&schedules, document.to_string()).expect("it can be changed");
    };
    seen(3);
    let mut daemon = setting(&state, &scheduled("skip")).start();
    assert_eq!(daemon.state("backup"), "WAITING");
    daemon.finish();
    assert_eq!(lines(&file), 0);
    seen(3);
    let mut daemon = setting(&state, &scheduled("once")).start();
    wait_until("it has run", || daemon.state("backup") == "EXITED");
    assert_eq!(daemon.state("report"), "WAITING", "its times are skipped");
    daemon.finish();
    assert_eq!(lines(&file), 1, "three years are one run");
    let mut daemon = setting(&state, &scheduled("once")).start();
    assert_eq!(daemon.state("backup"), "WAITING");
    let metrics = daemon.client.get("/metrics").body;
    let success = "muster_program_schedule_last_success_timestamp_seconds{name=\"backup\"";
    assert!(metrics.contains(success), "the last success is known");
    // While it is stopped, it misses nothing.
    post(&daemon, "/v1/programs/backup/stop?wait=10");
    daemon.finish();
    assert!(!fs::read_to_string(&schedules).expect("it is there").contains("\"backup\":{\"seen\""));
}

#[test]
fn why_begins_with_the_previous_life() {
    let place = tempfile::tempdir().expect("there is room");
    let state = state_in(&place);
    let crash = "[program.crash]\ncommand = [\"sh\", \"-c\", \"exit 7\"]\nrestart = \"no\"\n";
    let mut daemon = setting(&state, &(service("web", "") + crash)).start();
    wait_until("both are there", || daemon.state("web") == "RUNNING" && daemon.state("crash") != "STARTING");
    assert!(!why(&daemon, "web").concat().contains("previous life"));
    let runs = state.join("runs.json");
    wait_until("it is written", || fs::read_to_string(&runs).is_ok_and(|text| text.contains("exit status 7")));
    daemon.kill_and_start_again();
    wait_until("web runs", || daemon.state("web") == "RUNNING");
    let story = why(&daemon, "web");
    assert!(story[0].starts_with("in its previous life, which began at 2"), "{story:?}");
    assert!(story[0].contains("ended without a word") && story[0].ends_with("and was still running"), "{story:?}");
    let story = why(&daemon, "crash");
    assert!(story[0].contains(": run ") && story[0].contains("exit status 7"), "{story:?}");
    daemon.finish();
    let mut daemon = setting(&state, &service("web", "")).start();
    let story = why(&daemon, "web");
    assert!(story[0].starts_with("in its previous life, until musterd exited at 2"), "{story:?}");
    assert!(story[0].contains(" with 0 (stopped by SIGTERM): run "), "{story:?}");
    assert!(story[0].contains("the daemon is shutting down"), "{story:?}");
    daemon.finish();
}

#[test]
fn nothing_is_kept_without_the_key_and_only_documents_with_it() {
    let place = tempfile::tempdir().expect("there is room");
    let state = state_in(&place);
    let mut daemon = setting(&state, &service("web", "environment = { PASSWORD = \"hunter2\" }")).start();
    wait_until("it runs", || daemon.state("web") == "RUNNING");
    let took = daemon.finish();
    println!("the exit took {took:?}");
    assert_eq!(fs::metadata(&state).expect("it was made").permissions().mode() & 0o7777, 0o700);
    let there = names(&state);
    assert_eq!(there, ["lock", "runs.json"].map(str::to_owned).into(), "subjects without a change have no file");
    for name in there {
        let path = state.join(name);
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o7777, 0o600);
        assert!(!fs::read_to_string(&path).expect("it is text").contains("hunter2"));
    }
    let mut daemon = Setting::supervising(service("web", "")).start();
    assert!(!daemon.client.get("/metrics").body.contains("muster_state_write_failures_total"));
    daemon.finish();
}

#[test]
fn a_directory_that_others_could_use_is_refused_before_anything_starts() {
    let place = tempfile::tempdir().expect("there is room");
    let (state, file) = (state_in(&place), place.path().join("done"));
    fs::create_dir(&state).expect("it can be made");
    fs::set_permissions(&state, Permissions::from_mode(0o750)).expect("it is the test's own");
    let mut daemon = setting(&state, &job("first", &file, "")).launch();
    assert_eq!(daemon.wait(), End::Code(2), "{}", daemon.story());
    let said = format!("[musterd] state_dir: {}: its mode is 0750, and must be 0700", state.display());
    assert!(daemon.log.text().contains(&said), "{}", daemon.story());
    assert_eq!(lines(&file), 0);
}

#[test]
fn a_second_daemon_goes_on_without_it() {
    let place = tempfile::tempdir().expect("there is room");
    let state = state_in(&place);
    let mut first = setting(&state, &service("web", "")).start();
    let mut second = setting(&state, &service("web", "")).start();
    wait_until("it runs", || second.state("web") == "RUNNING");
    second.log.wait_for_words("another daemon uses it");
    let metrics = second.client.get("/metrics").body;
    assert!(metrics.contains("muster_state_write_failures_total 1"), "{metrics}");
    second.finish();
    first.finish();
}

#[test]
fn documents_that_cannot_be_understood_are_put_aside() {
    let place = tempfile::tempdir().expect("there is room");
    let state = state_in(&place);
    fs::create_dir(&state).expect("it can be made");
    fs::set_permissions(&state, Permissions::from_mode(0o700)).expect("it is the test's own");
    let precious = place.path().join("precious");
    fs::write(&precious, "precious").expect("there is room");
    fs::write(state.join("stopped.json"), "{\"v\":99,\"stopped\":[\"web\"]}").expect("there is room");
    fs::write(state.join("once.json"), "[".repeat(1 << 20)).expect("there is room");
    symlink(&precious, state.join("scales.json")).expect("there is room");
    symlink(&precious, state.join("runs.json.new")).expect("there is room");
    symlink("/dev/zero", state.join("runs.json")).expect("there is room");
    let made = std::process::Command::new("mkfifo").arg(state.join("schedules.json")).status();
    assert!(made.is_ok_and(|status| status.success()));
    let mut daemon = setting(&state, &service("web", "restart = \"unless-stopped\"")).start();
    wait_until("it runs", || daemon.state("web") == "RUNNING");
    for name in ["stopped", "once", "scales", "runs", "schedules"] {
        daemon.log.wait_for_words(&format!("put aside as {name}.json.bad"));
    }
    daemon.finish();
    assert_eq!(fs::read_to_string(&precious).expect("it is there"), "precious", "no link was followed");
}

#[test]
fn a_programs_user_can_neither_read_nor_change_it() {
    if !is_root() {
        return skip("only root can run programs as other users");
    }
    let place = tempfile::tempdir().expect("there is room");
    // The worst place: a volume in which anyone may make and rename files.
    fs::set_permissions(place.path(), Permissions::from_mode(0o777)).expect("it is the test's own");
    let (state, away) = (state_in(&place), place.path().join("away"));
    let script = place.path().join("attack");
    let (from, to) = (state.display(), away.display());
    let attack = format!(
        "#!/bin/sh\ncat {from}/runs.json && echo READ; ls {from} && echo LISTED; echo x > {from}/stopped.json && echo WROTE\n\
         mv {from} {to} && echo MOVED; mkdir -m 700 {from}; echo '{{\"v\":1,\"stopped\":[\"web\"]}}' > {from}/stopped.json\n\
         echo over; exec sleep 1000\n"
    );
    fs::write(&script, attack).expect("there is room");
    fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("it is the test's own");
    let web = service("web", "restart = \"unless-stopped\"");
    let attacker =
        format!("[program.attacker]\ncommand = \"{}\"\nuser = \"65534:65534\"\nautostart = false\n", script.display());
    let mut daemon = setting(&state, &(web.clone() + &attacker)).start();
    wait_until("something is kept", || state.join("runs.json").exists());
    post(&daemon, "/v1/programs/attacker/start?wait=10");
    wait_until("it has tried", || daemon.client.get("/v1/programs/attacker/logs").body.contains("over"));
    let said = daemon.client.get("/v1/programs/attacker/logs").body;
    for success in ["READ", "LISTED", "WROTE"] {
        assert!(!said.contains(success), "{said}");
    }
    // It could rename the directory, and what is kept goes to the one that the daemon opened.
    assert!(said.contains("MOVED"), "{said}");
    post(&daemon, "/v1/programs/attacker/stop?wait=10");
    post(&daemon, "/v1/programs/web/stop?wait=10");
    daemon.finish();
    assert!(fs::read_to_string(away.join("stopped.json")).expect("it was written").contains("web"));
    // The one that it put in its place is not taken for the daemon's.
    let mut daemon = setting(&state, &web).launch();
    assert_eq!(daemon.wait(), End::Code(2), "{}", daemon.story());
    assert!(daemon.log.text().contains("it belongs to uid 65534"), "{}", daemon.story());
}

#[test]
fn a_full_disk_is_one_warning_and_stops_nothing() {
    if !is_root() {
        return skip("only root can mount a small file system");
    }
    cannot_be_written("head -c 8192 /dev/zero > \"$0/full\"");
}

#[test]
fn a_disk_that_is_read_only_is_one_warning_and_stops_nothing() {
    if !is_root() {
        return skip("only root can mount a file system read-only");
    }
    cannot_be_written("mount -o remount,ro \"$0\"");
}

/// Runs a daemon that keeps its state in a small file system, after this command of a shell in which `$0` is its path.
fn cannot_be_written(prepared: &str) {
    let place = tempfile::tempdir().expect("there is room");
    let script = format!("mount -t tmpfs -o size=8k,mode=700 none \"$0\" && {prepared}; exec \"$@\"");
    let at = place.path().to_str().expect("it is text");
    let wrapper = ["unshare", "-m", "sh", "-c", &script, at];
    let probe = std::process::Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").status();
    if !probe.is_ok_and(|status| status.success()) {
        return skip("this machine allows no mount namespace");
    }
    let web = service("web", "restart = \"unless-stopped\"");
    let mut daemon = setting(place.path(), &web).wrapped(&wrapper).start();
    wait_until("it runs", || daemon.state("web") == "RUNNING");
    let failures = || {
        let metrics = daemon.client.get("/metrics").body;
        let line =
            metrics.lines().find(|line| line.starts_with("muster_state_write_failures_total ")).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    wait_until("a failure is counted", || failures() >= 1);
    post(&daemon, "/v1/programs/web/stop?wait=10");
    wait_until("another is counted", || failures() >= 2);
    daemon.settled_log();
    let warnings = daemon.log.text().matches("cannot keep state").count();
    assert_eq!(warnings, 1, "{}", daemon.story());
    daemon.finish();
}

#[test]
fn no_kill_of_the_daemon_loses_what_was_kept() {
    let kills = if std::env::var_os("MUSTER_ACCEPTANCE").is_some() { 200 } else { 5 };
    let place = tempfile::tempdir().expect("there is room");
    let state = state_in(&place);
    let busy = "[program.busy]\ncommand = \"true\"\nrestart = \"always\"\nbackoff = { delay = \"0s\" }\nstartretries = \"unlimited\"\n";
    let programs = service("kept", "restart = \"unless-stopped\"") + busy;
    let mut daemon = setting(&state, &programs).start();
    post(&daemon, "/v1/programs/kept/stop?wait=10");
    wait_until("it is written", || state.join("stopped.json").exists());
    let began = Instant::now();
    let mut seed = u64::from(std::process::id());
    for kill in 0..kills {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The runs are written each second: at any moment of that.
        std::thread::sleep(Duration::from_millis((seed >> 33) % 1200));
        daemon.kill_and_start_again();
        assert_eq!(daemon.state("kept"), "STOPPED", "kill {kill}");
        assert!(!names(&state).iter().any(|name| name.ends_with(".bad")), "kill {kill}: {}", daemon.story());
        let text = fs::read_to_string(state.join("runs.json")).expect("it is there");
        serde_json::from_str::<serde_json::Value>(&text).expect("it is whole");
    }
    println!("{kills} kills in {:?}", began.elapsed());
    daemon.finish();
}
