//! `musterctl` in interactive use: groups, mistyped names, supervisorctl habits, and restarts after an edit.

mod harness;

use harness::Setting;

/// No command may run into the timeout; one that does exits with 124.
const LONG: &str = "1000";

const GROUPED: &str = "
[program.web]
command = [\"sh\", \"-c\", \"echo out; echo err >&2; exec sleep 1000\"]
startsecs = 0
[program.cache]
command = [\"sh\", \"-c\", \"echo cached; exec sleep 1000\"]
startsecs = 0
[program.db]
command = \"sleep 1000\"
startsecs = 0
[group.front]
programs = [\"web\", \"cache\"]
";

#[test]
fn a_group_name_is_a_selector_and_displayed_names_can_be_typed() {
    let daemon = Setting::supervising(GROUPED).start();
    daemon.ctl_well(&["wait", "all", "--for", "running", "--timeout", LONG]);
    let names = |words: &[&str]| {
        let printed = daemon.ctl_well(words);
        printed.lines().filter_map(|line| Some(line.split([' ', ':']).next()?.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(names(&["status", "front"]), ["front", "front"]);
    assert_eq!(names(&["avail"]), ["db", "front", "front"]);
    for words in
        [vec!["status", "front:web"], vec!["why", "front:web"], vec!["pid", "front:web"], vec!["logs", "front:web"]]
    {
        daemon.ctl_well(&words);
    }
    let stopped = daemon.ctl_well(&["stop", "front"]);
    assert_eq!(stopped.lines().count(), 2, "{stopped}");
    assert_eq!(daemon.state("db"), "RUNNING");
    assert_eq!(daemon.ctl(&["why", "back:web"]).code, Some(4));
}

#[test]
fn a_mistyped_name_is_answered_with_the_one_that_was_meant() {
    let daemon = Setting::supervising(GROUPED).start();
    for (words, hint) in [
        (vec!["start", "wbe"], "did you mean \"web\"?"),
        (vec!["status", "cahce"], "did you mean \"cache\"?"),
        (vec!["logs", "Web"], "did you mean \"web\"?"),
        (vec!["why", "dbb"], "did you mean \"db\"?"),
        (vec!["wait", "frunt"], "did you mean \"front\"?"),
        (vec!["stop", "frnot:*"], "did you mean \"front:*\"?"),
        (vec!["restart", "postgres"], "`musterctl avail` lists the programs"),
    ] {
        let ended = daemon.ctl(&words);
        assert_eq!((ended.code, ended.out.as_str()), (Some(4), ""), "{words:?}: {ended:?}");
        assert!(ended.err.ends_with(&format!("\nhint: {hint}\n")), "{words:?}: {}", ended.err);
    }
}

#[test]
fn logs_tail_and_maintail_follow_supervisorctl() {
    let daemon = Setting::supervising(GROUPED).start();
    harness::wait_until("all have written", || daemon.ctl_well(&["logs"]).lines().count() == 3);
    let all = daemon.ctl_well(&["logs"]);
    assert!(all.contains("cache | cached\n") && all.contains("web | out\n") && all.contains("web | err\n"), "{all}");
    assert_eq!(daemon.ctl_well(&["tail", "web", "stderr"]), "err\n");
    assert_eq!(daemon.ctl_well(&["tail", "-1", "cache"]), "cached\n");
    assert_eq!(daemon.ctl_well(&["tail", "-1000", "web", "stdout"]), "out\n");
    assert_eq!(daemon.ctl_well(&["maintail", "-1"]).lines().count(), 1);
}

fn web_that_says(word: &str, more: &str) -> Setting {
    let words = format!("command = [\"sh\", \"-c\", \"echo {word}; exec sleep 1000\"]\nstartsecs = 0\n");
    Setting::supervising(format!("[program.web]\n{words}[program.db]\ncommand = \"sleep 1000\"\nstartsecs = 0\n{more}"))
}

const NEW: &str = "[program.new]\ncommand = \"sleep 1000\"\nautostart = false\nstartsecs = 0\n";

#[test]
fn a_restart_with_an_update_is_one_restart() {
    let daemon = web_that_says("one", "").start();
    daemon.ctl_well(&["wait", "all", "--for", "running", "--timeout", LONG]);
    let run = |name: &str| daemon.program(name)["run"].as_u64().unwrap_or_default();
    let runs =
        |name: &str| daemon.client.get(&format!("/v1/programs/{name}")).json()["runs"].as_array().map_or(0, Vec::len);
    let db = run("db");
    daemon.rewrite(&web_that_says("two", NEW));
    let printed = daemon.ctl_well(&["restart", "--update", "web", "--timeout", LONG]);
    assert_eq!(printed, "new: added\nweb: restarted\n");
    assert_eq!((run("db"), runs("web")), (db, 2), "db is unaffected, and web was restarted once");
    harness::wait_until("it has its new command", || daemon.ctl_well(&["logs", "web"]).ends_with("two\n"));
    // With no difference left, the programs that are named are restarted all the same, including those with autostart
    // off.
    let printed = daemon.ctl_well(&["restart", "--update", "web", "db", "new", "--timeout", LONG]);
    assert_eq!(printed.lines().filter(|line| line.ends_with(": restarted")).count(), 2, "{printed}");
    assert!(printed.contains("new: started\n"), "{printed}");
    assert_eq!((runs("web"), runs("db"), runs("new")), (3, 2, 1));
    // An error changes nothing.
    daemon.rewrite(&web_that_says("three", "[program.x]\n"));
    assert_eq!(daemon.ctl(&["restart", "--update", "web"]).code, Some(1));
    assert_eq!(runs("web"), 3);
}

#[test]
fn restart_with_update_of_an_unknown_name_changes_nothing_and_of_a_removed_one_reports_it() {
    let daemon = web_that_says("one", NEW).start();
    daemon.ctl_well(&["wait", "web", "db", "--for", "running", "--timeout", LONG]);
    let web = daemon.pid_of("web");
    let command = "command = \"sleep 1001\"\nstartsecs = 0\n";
    daemon.rewrite(&Setting::supervising(format!("[program.web]\n{command}{NEW}")));
    let ended = daemon.ctl(&["restart", "--update", "web", "webb"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(4), ""), "{ended:?}");
    assert!(ended.err.contains("\"webb\""), "{ended:?}");
    assert_eq!(daemon.pid_of("web"), web, "nothing was done");
    let ended = daemon.ctl(&["restart", "--update", "db"]);
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.out.contains("db: removed\n") && ended.out.contains("web: restarted\n"), "{ended:?}");
}

/// `restart --update` used to wait until its timeout where `start` reported at once that it could not succeed.
#[test]
fn every_hopeless_wait_fails_immediately() {
    let app_after = |db: &str, word: &str| {
        Setting::supervising(format!(
            "[program.app]\ncommand = [\"sleep\", \"{word}\"]\nstartsecs = 0\ndepends_on = [\"db\"]\n\
             [program.db]\ncommand = {db:?}\nstartsecs = 0\nstartretries = 0\n"
        ))
    };
    let daemon = app_after("sleep 1000", "1000").start();
    daemon.ctl_well(&["wait", "all", "--for", "running", "--timeout", LONG]);
    daemon.rewrite(&app_after("/no/such/program", "1001"));
    let told = "app: ERROR (waiting for db to run, which is FATAL)\n";
    let commands = ["restart --update app", "restart --update app", "restart app", "start app", "wait app"];
    for command in commands {
        // A command that runs into its timeout exits with 124.
        let words: Vec<&str> = command.split(' ').chain(["--timeout", "30"]).collect();
        let ended = daemon.ctl(&words);
        assert_eq!((ended.code, ended.out.contains(told)), (Some(1), true), "{command}: {ended:?}");
    }
    // Both ways to restart also start a dependency that was stopped by hand.
    daemon.rewrite(&app_after("sleep 1000", "1001"));
    daemon.ctl_well(&["restart", "--update", "app", "--timeout", LONG]);
    daemon.ctl_well(&["stop", "db", "--timeout", LONG]);
    daemon.rewrite(&app_after("sleep 1000", "1002"));
    assert!(daemon.ctl_well(&["restart", "--update", "app", "--timeout", LONG]).contains("app: restarted\n"));
}

#[test]
fn a_start_or_restart_says_that_the_files_differ() {
    let daemon = web_that_says("one", "").start();
    daemon.ctl_well(&["wait", "all", "--for", "running", "--timeout", LONG]);
    assert_eq!(daemon.ctl(&["restart", "web"]).err, "");
    daemon.rewrite(&web_that_says("two", NEW));
    let hint = "hint: the configuration files differ from the active configuration: web; `musterctl restart --update` applies the differences\n";
    for words in [["start", "web"], ["restart", "web"], ["restart", "all"]] {
        let ended = daemon.ctl(&words);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), hint), "{words:?}");
    }
    assert_eq!(daemon.ctl(&["restart", "db"]).err, "", "it matches the files");
    let ended = daemon.ctl(&["start", "new"]);
    assert_eq!(ended.code, Some(4));
    assert!(ended.err.contains("not active yet; `musterctl update`"), "{}", ended.err);
}

#[test]
fn a_command_of_an_image_is_not_a_command_of_musterd_and_an_option_is_no_command() {
    let said = |words: &[&str]| {
        let ended = harness::ended(std::process::Command::new(harness::musterd()).args(words));
        assert_eq!(ended.code, Some(2), "{words:?}: {ended:?}");
        ended.err
    };
    assert!(said(&["bash", "-c", "true"]).contains("docker run --entrypoint bash IMAGE"));
    for words in [["check", "-x"], ["simulate", "--foo"], ["doctor", "--bad"]] {
        let err = said(&words);
        assert!(err.contains(&format!("'{}'", words[1])) && !err.contains("--entrypoint"), "{err}");
    }
}
