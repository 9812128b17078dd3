//! Reload: only what differs changes; errors change nothing; and any number of reloads leaks nothing.

mod harness;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use harness::{Daemon, Setting, both_places, wait_for, wait_until};
use serde_json::{Value, json};

/// A program that runs until it is stopped.
fn program(name: &str, more: &str) -> String {
    format!("[program.{name}]\ncommand = \"sleep 1000\"\nstartsecs = 0\n{more}\n")
}

fn reload(daemon: &Daemon) -> Value {
    let answer = daemon.client.post("/v1/config/reload");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The names under a key of a report.
fn names(report: &Value, key: &str) -> Vec<String> {
    let names = report[key].as_array().unwrap_or_else(|| panic!("{key} is not a list in {report}"));
    names.iter().map(|name| name.as_str().unwrap_or_default().to_owned()).collect()
}

/// A report without its empty lists: `added: a b; restarted: c`.
fn said(report: &Value) -> String {
    let said = |key: &str| {
        let names = names(report, key);
        (!names.is_empty()).then(|| format!("{key}: {}", names.join(" ")))
    };
    ["added", "removed", "restarted", "changed", "needs_restart"]
        .into_iter()
        .filter_map(said)
        .collect::<Vec<_>>()
        .join("; ")
}

/// The pid and run of every running program.
fn runs(daemon: &Daemon) -> BTreeMap<String, (u64, u64)> {
    let all = daemon.client.get("/v1/programs").json();
    let run = |one: &Value| Some((one["name"].as_str()?.to_owned(), (one["pid"].as_u64()?, one["run"].as_u64()?)));
    all.as_array().expect("a list").iter().filter_map(run).collect()
}

fn state(daemon: &Daemon, name: &str) -> String {
    daemon.client.get(&format!("/v1/programs/{name}")).json()["state"].as_str().unwrap_or_default().to_owned()
}

fn all_run(daemon: &Daemon, count: usize) {
    wait_until("all of them run", || {
        let all = daemon.client.get("/v1/programs").json();
        let all = all.as_array().expect("a list");
        all.len() == count && all.iter().all(|one| one["state"] == "RUNNING")
    });
}

#[test]
fn one_changed_line_among_500_programs_touches_one_pid() {
    const COUNT: usize = 500;
    let programs = |changed: &str| {
        (0..COUNT).fold(String::new(), |mut text, number| {
            let more = if number == 250 { changed } else { "" };
            write!(text, "{}", program(&format!("p{number}"), more)).expect("writing to a String cannot fail");
            text
        })
    };
    let daemon = Setting::supervising(programs("")).start();
    all_run(&daemon, COUNT);
    let before = runs(&daemon);
    daemon.rewrite(&Setting::supervising(programs("environment = { A = \"1\" }")));
    let report = reload(&daemon);
    assert_eq!((said(&report).as_str(), &report["unchanged"]), ("restarted: p250", &json!(COUNT - 1)));
    let after = wait_for("p250 runs again", || {
        let after = runs(&daemon);
        (after.len() == COUNT && after["p250"].1 != before["p250"].1).then_some(after)
    });
    let touched: Vec<&String> = after.keys().filter(|name| after[*name] != before[*name]).collect();
    assert_eq!(touched, ["p250"]);
}

#[test]
fn programs_come_go_and_change_and_the_others_stay() {
    for place in both_places() {
        let before = program("cat", "") + &program("dog", "") + &program("web", "environment = { A = \"1\" }");
        let daemon = Setting::supervising(before).at(place).start();
        all_run(&daemon, 3);
        let old = runs(&daemon);
        let after = program("cat", "") + &program("emu", "") + &program("web", "environment = { A = \"2\" }");
        daemon.rewrite(&Setting::supervising(after));
        assert_eq!(said(&reload(&daemon)), "added: emu; removed: dog; restarted: web");
        wait_until("cat, emu and web run", || runs(&daemon).keys().eq(["cat", "emu", "web"]));
        wait_until("web was restarted", || runs(&daemon)["web"].1 != old["web"].1);
        assert_eq!(runs(&daemon)["cat"], old["cat"]);
        wait_until("nothing of dog is left", || daemon.process(old["dog"].0 as i32).is_none());
        assert_eq!(daemon.client.get("/v1/programs/dog").status, 404);
    }
}

#[test]
fn keys_that_need_no_other_process_change_in_place() {
    let daemon = Setting::supervising(program("web", "")).start();
    all_run(&daemon, 1);
    let before = runs(&daemon);
    for more in [
        "restart = \"always\"",
        "startretries = 3\nbackoff = \"docker\"",
        "stopsignal = \"INT\"\nstopwaitsecs = 1",
        "priority = 5",
        "essential = true",
        "reloadsignal = \"USR1\"",
        "probes.live = { exec = [\"true\"], period = 60 }",
        "exitcodes = [0, 3]\nautostart = false",
    ] {
        daemon.rewrite(&Setting::supervising(program("web", more)));
        assert_eq!(said(&reload(&daemon)), "changed: web", "{more}");
        assert_eq!(runs(&daemon), before, "{more}");
    }
    let configuration = daemon.client.get("/v1/config").json();
    assert_eq!(configuration["programs"]["web"]["exitcodes"], json!([0, 3]));
    // The stop signal that was changed in place is the one sent.
    daemon.rewrite(&Setting::supervising(program("web", "stopsignal = \"INT\"")));
    reload(&daemon);
    daemon.client.post("/v1/programs/web/stop?wait=20");
    let exit = daemon.client.get("/v1/programs/web").json()["exit"].clone();
    assert_eq!(exit["signal"], "SIGINT", "{exit}");
}

#[test]
fn an_error_changes_nothing_and_is_reported_in_full() {
    let daemon = Setting::supervising(program("web", "")).start();
    all_run(&daemon, 1);
    let before = runs(&daemon);
    let broken = program("web", "environment = { A = \"1\" }\nstopwaitsecs = -5\nnic = 1") + &program("cat", "");
    daemon.rewrite(&Setting::supervising(broken));
    for path in ["/v1/config/reload", "/v1/config/reload?dry_run=true"] {
        let answer = daemon.client.post(path);
        assert_eq!((answer.status, answer.headers["content-type"].as_str()), (422, "application/problem+json"));
        let problem = answer.json();
        assert_eq!(problem["type"], "urn:muster:bad-configuration");
        let found = problem["diagnostics"].as_array().expect("a list");
        assert_eq!(found.len(), 2, "{problem}");
        assert_eq!(found[0]["message"], "program \"web\": stopwaitsecs must not be negative: -5");
        assert_eq!(found[1]["hint"], "did you mean nice?");
        assert!(found[0]["text"].as_str().is_some_and(|text| text.contains("^^")), "{problem}");
        assert_eq!(runs(&daemon), before);
    }
    let report = daemon.client.post("/v1/config/check").json();
    assert_eq!((&report["errors"], &report["warnings"]), (&json!(2), &json!(0)), "{report}");
    // A missing file is an error, too.
    fs::remove_file(daemon.path("muster.toml")).expect("it exists");
    assert_eq!(daemon.client.post("/v1/config/reload").status, 422);
    assert_eq!(runs(&daemon), before);
}

#[test]
fn a_hangup_reloads_and_logs_the_result() {
    for place in both_places() {
        let daemon = Setting::supervising(program("web", "")).at(place).start();
        all_run(&daemon, 1);
        daemon.rewrite(&Setting::supervising(program("web", "") + &program("cat", "")));
        daemon.signal(1);
        let line = daemon.log.wait_for("it is active", |line| line.message == "a new configuration is active");
        assert_eq!(line.field("added").as_deref(), Some("cat"));
        all_run(&daemon, 2);
        let before = runs(&daemon);
        daemon.rewrite(&Setting::supervising(program("web", "nice = 99")));
        daemon.signal(1);
        let line = daemon.log.wait_for("the mistake", |line| line.message.contains("nice must be"));
        assert!(line.field("place").is_some_and(|place| place.contains("muster.toml:")), "{line:?}");
        daemon.log.wait_for("its end", |line| line.message.contains("1 error; nothing was changed"));
        assert_eq!(runs(&daemon), before);
    }
}

#[test]
fn a_dry_run_reports_the_plan_and_changes_nothing() {
    let daemon = Setting::supervising(program("web", "") + &program("dog", "")).start();
    all_run(&daemon, 2);
    let before = runs(&daemon);
    daemon.rewrite(&Setting::supervising(program("web", "nice = 1") + &program("cat", "")));
    let answer = daemon.client.post("/v1/config/reload?dry_run=true").json();
    assert_eq!(
        (said(&answer).as_str(), &answer["dry_run"]),
        ("added: cat; removed: dog; restarted: web", &json!(true))
    );
    assert_eq!(runs(&daemon), before);
    assert_eq!(said(&daemon.client.post("/v1/config/reload?dry_run=true").json()), said(&answer));
    assert_eq!(said(&reload(&daemon)), said(&answer));
}

#[test]
fn numprocs_adds_and_removes_instances_only() {
    let workers = |count: u32| Setting::supervising(program("w", &format!("numprocs = {count}")));
    let daemon = workers(3).start();
    all_run(&daemon, 3);
    let three = runs(&daemon);
    daemon.rewrite(&workers(5));
    assert_eq!(said(&reload(&daemon)), "added: w:3 w:4");
    all_run(&daemon, 5);
    let five = runs(&daemon);
    assert!(three.iter().all(|(name, run)| five[name] == *run), "{three:?} {five:?}");
    daemon.rewrite(&workers(2));
    assert_eq!(said(&reload(&daemon)), "removed: w:2 w:3 w:4");
    all_run(&daemon, 2);
    assert!(runs(&daemon).iter().all(|(name, run)| five[name] == *run));
}

#[test]
fn a_changed_environment_file_restarts_those_that_read_it() {
    let programs = program("web", "env_file = [\"web.env\", \"?more.env\"]") + &program("cat", "");
    let setting = Setting::supervising(programs);
    // The file must exist before the daemon starts.
    let daemon = Setting::supervising(program("cat", "")).start();
    fs::write(daemon.path("web.env"), "A=1\n").expect("the test directory is writable");
    daemon.rewrite(&setting);
    assert_eq!(said(&reload(&daemon)), "added: web");
    all_run(&daemon, 2);
    let mut before = runs(&daemon);
    for (file, text) in [("web.env", "A=2\n"), ("more.env", "B=1\n")] {
        assert_eq!(said(&reload(&daemon)), "");
        fs::write(daemon.path(file), text).expect("the test directory is writable");
        assert_eq!(said(&reload(&daemon)), "restarted: web");
        wait_until("web was restarted", || runs(&daemon).get("web").is_some_and(|run| run.1 != before["web"].1));
        assert_eq!(runs(&daemon)["cat"], before["cat"]);
        before = runs(&daemon);
    }
}

#[test]
fn included_files_and_directories_are_read_again() {
    let daemon = Setting::supervising(format!("{}[group.a]\nprograms = [\"cat\"]\n", program("cat", ""))).start();
    let including = |more: &str| {
        let text = fs::read_to_string(daemon.path("muster.toml")).expect("it exists");
        format!("include = [\"conf.d/*.toml\"]\n{more}{text}")
    };
    let text = including("");
    fs::create_dir(daemon.path("conf.d")).expect("the test directory is writable");
    fs::write(daemon.path("muster.toml"), text).expect("the test directory is writable");
    assert_eq!(said(&reload(&daemon)), "");
    fs::write(daemon.path("conf.d/dog.toml"), program("dog", "")).expect("the test directory is writable");
    assert_eq!(said(&reload(&daemon)), "added: dog");
    fs::write(daemon.path("conf.d/dog.toml"), program("dog", "nice = 1")).expect("the test directory is writable");
    assert_eq!(said(&reload(&daemon)), "restarted: dog");
    fs::remove_file(daemon.path("conf.d/dog.toml")).expect("it exists");
    assert_eq!(said(&reload(&daemon)), "removed: dog");
    let info = daemon.client.get("/v1/info").json();
    assert_eq!(info["config_files"].as_array().map(Vec::len), Some(1), "{info}");
}

#[test]
fn every_state_takes_a_reload() {
    let slow = "[program.slow]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; echo up; while :; do sleep 0.05; done\"]\nstopwaitsecs = 1\n";
    let failing = "[program.bad]\ncommand = \"false\"\nstartretries = \"unlimited\"\nbackoff = { delay = \"1h\", max = \"1h\" }\n";
    let starting = "[program.late]\ncommand = \"sleep 1000\"\nstartsecs = 3600\n";
    let daemon = Setting::supervising(format!("{slow}{failing}{starting}")).start();
    daemon.wait_for_running("slow");
    wait_until("bad waits", || state(&daemon, "bad") == "BACKOFF");
    wait_until("late starts", || state(&daemon, "late") == "STARTING");
    // While a reload is stopping slow, another one brings it back; the others are changed in place.
    daemon.rewrite(&Setting::supervising(format!("{failing}{starting}")));
    assert_eq!(said(&reload(&daemon)), "removed: slow");
    let changed = format!("{slow}{}{}", failing.replace("false", "sleep 1000"), starting.to_owned() + "priority = 2\n");
    daemon.rewrite(&Setting::supervising(changed));
    assert_eq!(said(&reload(&daemon)), "added: slow; restarted: bad; changed: late");
    daemon.wait_for_running("slow");
    daemon.wait_for_running("bad");
    assert_eq!(state(&daemon, "late"), "STARTING");
    assert_eq!(daemon.settled_log().iter().filter(|line| line.says("bad", "starting")).count(), 2);
    // A program that was stopped by hand follows its autostart.
    daemon.client.post("/v1/programs/late/stop?wait=20");
    daemon.rewrite(&Setting::supervising(format!("{slow}{}", starting.to_owned() + "priority = 3\n")));
    assert_eq!(said(&reload(&daemon)), "removed: bad; changed: late");
    assert_eq!(state(&daemon, "late"), "STOPPED");
}

#[test]
fn keys_of_the_daemon_change_or_say_that_they_need_a_restart() {
    let daemon = Setting::supervising(program("web", "")).start();
    let setting = Setting::supervising(program("web", ""))
        .musterd("exit_when_done = false\nshutdown_timeout = \"3s\"\numask = \"077\"\nlogfile_max_files = 3\nlogfile_compress = true")
        .http("mode = \"0660\"\nallow_users = [\"1234\"]");
    daemon.rewrite(&setting);
    let report = reload(&daemon);
    assert_eq!(
        said(&report),
        "needs_restart: [musterd] logfile_max_files [musterd] logfile_compress [musterd] umask [http] mode"
    );
    let config = daemon.client.get("/v1/config").json();
    assert_eq!((&config["musterd"]["shutdown_timeout"], &config["musterd"]["umask"]), (&json!(3.0), &json!("022")));
    assert_eq!((&config["http"]["allow_users"], &config["http"]["mode"]), (&json!(["1234"]), &json!("0600")));
}

/// Open descriptors and the daemon's own memory in kilobytes. A connection whose answer was just read may still be
/// open.
fn footprint(daemon: &Daemon) -> (usize, u64) {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("it exists").count();
    (descriptors, daemon.memory("RssAnon"))
}

#[test]
fn a_thousand_reloads_leak_nothing() {
    const ROUNDS: usize = 1000;
    let setting = |round: usize| {
        let more = format!("priority = {}", round % 7);
        let mut text: String = (0..20).map(|number| program(&format!("p{number}"), &more)).collect();
        // One program is added and removed.
        if round % 2 == 1 {
            text += "[program.guest]\ncommand = \"sleep 1000\"\nstartsecs = 0\nautostart = false\n";
        }
        Setting::supervising(text)
    };
    let daemon = setting(0).start();
    all_run(&daemon, 20);
    let before = runs(&daemon);
    let mut settled = (0, 0);
    for round in 1..=ROUNDS {
        daemon.rewrite(&setting(round));
        reload(&daemon);
        // By now the allocator has reached its steady state.
        if round == ROUNDS / 5 {
            settled = footprint(&daemon);
        }
    }
    assert_eq!(runs(&daemon), before, "no pid was touched");
    wait_until("there are as many descriptors as before", || footprint(&daemon).0 <= settled.0);
    let (_, resident) = footprint(&daemon);
    assert!(resident < settled.1 + 2048, "{} kB, then {resident} kB", settled.1);
}

/// Whatever a removed program leaves behind in the daemon, the next one, with another name, adds to it.
#[test]
fn added_and_removed_programs_leak_nothing() {
    const ROUNDS: usize = 300;
    let setting = |round: usize| {
        let guest = "command = [\"sh\", \"-c\", \"head -c 60000 /dev/zero | tr '\\\\0' x | fold; exec sleep 1000\"]";
        Setting::supervising(program("host", "") + &format!("[program.guest{round}]\n{guest}\nstartsecs = 0\n"))
    };
    let daemon = setting(0).start();
    let mut settled = (0, 0);
    for round in 1..=ROUNDS {
        daemon.rewrite(&setting(round));
        assert_eq!(said(&reload(&daemon)), format!("added: guest{round}; removed: guest{}", round - 1));
        let lines = format!("/v1/programs/guest{round}/logs?lines=1000");
        wait_until("all of it is there", || daemon.client.get(&lines).body.len() > 60_000);
        if round == ROUNDS / 5 {
            settled = footprint(&daemon);
        }
    }
    all_run(&daemon, 2);
    wait_until("there are no more descriptors than before", || footprint(&daemon).0 <= settled.0 + 8);
    let (_, resident) = footprint(&daemon);
    assert!(resident < settled.1 + 4096, "{} kB, then {resident} kB", settled.1);
}

#[test]
fn a_shutdown_during_a_reload_wins() {
    let slow = "[program.slow]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; echo up; while :; do sleep 0.05; done\"]\nstopwaitsecs = 1\n";
    let mut daemon = Setting::supervising(slow).start();
    daemon.wait_for_running("slow");
    daemon.rewrite(&Setting::supervising(program("cat", "")));
    reload(&daemon);
    daemon.terminate();
    let answer = daemon.client.try_request("POST", "/v1/config/reload", "");
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 503));
    assert_eq!(daemon.wait(), harness::End::Code(0));
    daemon.assert_nothing_is_left();
}

/// A directory as the kubelet creates it for a ConfigMap: files are links through `..data` to a directory with a date.
fn write_config_map(directory: &Path, version: &str, text: &str) {
    let dated = directory.join(format!("..{version}"));
    fs::create_dir(&dated).expect("the test directory is writable");
    fs::write(dated.join("app.toml"), text).expect("the test directory is writable");
    symlink(format!("..{version}"), directory.join("..data_tmp")).expect("the test directory is writable");
    fs::rename(directory.join("..data_tmp"), directory.join("..data")).expect("the test directory is writable");
    let link = directory.join("app.toml");
    if !link.is_symlink() {
        symlink("..data/app.toml", link).expect("the test directory is writable");
    }
}

#[test]
fn a_config_map_that_is_swapped_is_noticed() {
    let watching = || Setting::supervising(program("cat", "")).musterd("exit_when_done = false\nwatch = true");
    let daemon = watching().start();
    let map = daemon.path("map");
    fs::create_dir(&map).expect("the test directory is writable");
    write_config_map(&map, "2026_1", &program("web", ""));
    let text = fs::read_to_string(daemon.path("muster.toml")).expect("it exists");
    fs::write(daemon.path("muster.toml"), format!("include = [\"map/*.toml\"]\n{text}")).expect("the test owns it");
    // Even this change is noticed without a reload command.
    all_run(&daemon, 2);
    let mut before = runs(&daemon);
    for version in ["2026_2", "2026_3"] {
        write_config_map(&map, version, &program("web", &format!("environment = {{ V = \"{version}\" }}")));
        wait_until("web was restarted", || runs(&daemon).get("web").is_some_and(|run| run.1 != before["web"].1));
        assert_eq!(runs(&daemon)["cat"], before["cat"]);
        before = runs(&daemon);
    }
    // On error the active configuration stays, and the error is logged.
    write_config_map(&map, "2026_4", &program("web", "nic = 3"));
    daemon.log.wait_for("the mistake", |line| line.message.contains("unknown key \"nic\""));
    daemon.log.wait_for("its end", |line| line.message.contains("has changed, but the configuration has 1 error"));
    assert_eq!(runs(&daemon), before);
    write_config_map(&map, "2026_5", &program("web", "environment = { V = \"5\" }"));
    wait_until("web was restarted", || runs(&daemon).get("web").is_some_and(|run| run.1 != before["web"].1));
}

#[test]
fn watching_can_be_switched_on_and_off_by_a_reload() {
    let setting = |watch: bool, more: &str| {
        Setting::supervising(program("cat", "") + more).musterd(&format!("exit_when_done = false\nwatch = {watch}"))
    };
    let daemon = setting(false, "").start();
    all_run(&daemon, 1);
    daemon.rewrite(&setting(true, ""));
    reload(&daemon);
    daemon.rewrite(&setting(true, &program("dog", "")));
    all_run(&daemon, 2);
    daemon.rewrite(&setting(false, &program("dog", "")));
    wait_until("it is off", || daemon.client.get("/v1/config").json()["musterd"]["watch"] == false);
    let queues = || {
        let open = harness::find(daemon.pid()).map(|process| process.descriptors()).unwrap_or_default();
        open.values().filter(|target| *target == "anon_inode:inotify").count()
    };
    wait_until("the queue is closed", || queues() == 0);
    daemon.rewrite(&setting(true, &program("dog", "")));
    reload(&daemon);
    wait_until("the queue is open again", || queues() > 0);
}

#[test]
fn musterctl_shows_and_applies_changes() {
    let daemon = Setting::supervising(program("web", "") + &program("dog", "") + &program("api", "")).start();
    all_run(&daemon, 3);
    assert_eq!(daemon.ctl_well(&["reread"]), "No config updates to processes\n");
    assert_eq!(daemon.ctl_well(&["update"]), "nothing changed\n");
    let new = program("web", "nice = 1") + &program("cat", "") + &program("api", "priority = 3");
    daemon.rewrite(&Setting::supervising(new.clone()));
    assert_eq!(daemon.ctl_well(&["reread"]), "api: changed\ncat: available\ndog: disappeared\nweb: changed\n");
    let would = "dog: would be removed\ncat: would be added\nweb: would be restarted\n  nice: none -> 1\n\
                 api: would be changed in place\n  priority: 999 -> 3\n";
    assert_eq!(daemon.ctl_well(&["update", "--dry-run"]), would);
    assert_eq!(daemon.ctl_well(&["update"]), "dog: removed\ncat: added\nweb: restarted\napi: changed in place\n");
    assert_eq!(daemon.ctl_well(&["update"]), "nothing changed\n");
    // Errors are printed as `musterd check` prints them, for every client.
    daemon.rewrite(&Setting::supervising(new + "nic = 3\n"));
    let config = daemon.path("muster.toml");
    let checked = Command::new(harness::musterd()).args(["check", "-c"]).arg(&config).output();
    let checked = String::from_utf8(checked.expect("it runs").stderr).expect("it is text");
    let ended = daemon.ctl(&["update"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
    let told = ended.err.strip_suffix("\n\nerror: the configuration has 1 error; nothing was changed\n");
    assert_eq!(told, Some(checked.trim_end()));
}

#[test]
fn programs_read_their_own_configuration_at_their_own_signal() {
    let script = "trap 'echo got hup' HUP; trap 'echo got usr1' USR1; echo up; while :; do sleep 0.02; done";
    let traps = |name: &str, more: &str| {
        format!("[program.{name}]\ncommand = [\"sh\", \"-c\", {script:?}]\nstartsecs = 0\n{more}\n")
    };
    let daemon = Setting::supervising(
        traps("hup", "") + &traps("usr1", "reloadsignal = \"USR1\"") + &program("none", "reloadsignal = \"\""),
    )
    .start();
    all_run(&daemon, 3);
    wait_until("both are up", || String::from_utf8_lossy(&daemon.output()).matches("| up").count() == 2);
    let before = runs(&daemon);
    assert_eq!(daemon.ctl_well(&["reload", "all"]), "hup: signalled\nnone: restarted\nusr1: signalled\n");
    for said in ["hup | got hup", "usr1 | got usr1"] {
        wait_until(said, || String::from_utf8_lossy(&daemon.output()).replace("  ", " ").contains(said));
    }
    let after = runs(&daemon);
    let touched: Vec<&String> = after.keys().filter(|name| after[*name] != before[*name]).collect();
    assert_eq!(touched, ["none"]);
}
