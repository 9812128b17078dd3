//! Why a program ended, for each way in which a run can end: `why` must report what happened.

mod harness;

use harness::{Daemon, Setting, wait_for};
use serde_json::Value;

/// A daemon with one program, web, which is down until it is started.
fn daemon(keys: &str) -> Daemon {
    let retries = if keys.contains("startretries") { "" } else { "startretries = 0\n" };
    Setting::supervising(format!("[program.web]\nautostart = false\n{retries}{keys}\n")).start()
}

fn shell(script: &str) -> String {
    format!("command = [\"sh\", \"-c\", {script:?}]")
}

/// The story once web has ended and is at rest.
fn why(daemon: &Daemon, state: &str) -> Value {
    daemon.wait_for_state("web", state);
    let answer = daemon.client.get("/v1/programs/web/why");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Checks that hold for every story: it names the end, and `musterctl why` prints its sentences.
#[track_caller]
fn check(daemon: &Daemon, why: &Value, ended_by: &str, sentences: &[&str]) {
    assert_eq!(why["run"]["ended_by"], ended_by, "{why:#}");
    let story: Vec<&str> = why["story"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for sentence in sentences {
        assert!(story.iter().any(|told| told.contains(sentence)), "no sentence has {sentence:?}: {story:#?}");
    }
    let printed = daemon.ctl_well(&["why", "web"]);
    for sentence in sentences {
        assert!(printed.contains(sentence), "musterctl why does not say {sentence:?}:\n{printed}");
    }
}

#[test]
fn an_exit_status_is_the_programs_own() {
    let daemon = daemon(&shell("echo so far; echo no further >&2; exit 7"));
    daemon.ctl(&["start", "web"]);
    let why = why(&daemon, "FATAL");
    check(
        &daemon,
        &why,
        "itself",
        &["exit status 7", "decided: given up: startretries = 0", "next: nothing until it is started"],
    );
    let run = &why["run"];
    assert_eq!((&run["exit"]["code"], &run["cause"], &run["core_dumped"]), (&7.into(), &Value::Null, &false.into()));
    assert!(run["pid"].is_number() && run["uptime"].is_number(), "{run}");
    let mut lines: Vec<(&str, &str)> = run["last_lines"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|line| (line["stream"].as_str().unwrap_or_default(), line["text"].as_str().unwrap_or_default()))
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, [("stderr", "no further"), ("stdout", "so far")]);
    let printed = daemon.ctl_well(&["why", "web"]);
    assert!(printed.contains("\n    stderr | no further\n"), "{printed}");
}

#[test]
fn a_success_says_which_rule_makes_it_one() {
    let daemon = daemon("command = \"true\"\ntype = \"oneshot\"");
    daemon.ctl(&["start", "web"]);
    let why = why(&daemon, "EXITED");
    check(&daemon, &why, "itself", &["exit status 0", "exit status 0 is in exitcodes [0]"]);
    assert_eq!(why["run"]["exit"]["success"], true);
}

#[test]
fn a_fault_is_the_programs_own_and_a_core_dump_is_reported() {
    let daemon = daemon(&shell("ulimit -c 0; kill -SEGV $$$$"));
    daemon.ctl(&["start", "web"]);
    let why = why(&daemon, "FATAL");
    check(&daemon, &why, "itself", &["terminated by SIGSEGV", "a fault of the program itself"]);
    let dumped = why["run"]["exit"]["reason"].as_str().is_some_and(|reason| reason.ends_with("(core dumped)"));
    assert_eq!(why["run"]["core_dumped"], dumped, "both agree");
}

#[test]
fn a_core_dump_is_reported_where_one_was_written() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.starts_with('|') || pattern.starts_with('/') {
        return harness::skip("core dumps do not go to the working directory of a process here");
    }
    let keys = format!(
        "{}\ndirectory = {:?}\nrlimits = {{ core = \"unlimited\" }}",
        shell("kill -SEGV $$$$"),
        directory.path()
    );
    let daemon = daemon(&keys);
    daemon.ctl(&["start", "web"]);
    let why = why(&daemon, "FATAL");
    let core = format!("core dump: {}/core", directory.path().display());
    check(&daemon, &why, "itself", &["terminated by SIGSEGV (core dumped)", &core, " bytes)"]);
    assert_eq!(why["run"]["core_dumped"], true);
}

/// A daemon that sees this as `kernel.core_pattern`. The kernel itself goes on to use its own.
fn with_pattern(pattern: &str, keys: &str) -> Daemon {
    let retries = "autostart = false\nstartretries = 0\n";
    let script = format!(
        "printf '%s\\n' '{pattern}' > \"$0.pattern\" && mount --bind \"$0.pattern\" /proc/sys/kernel/core_pattern && \
         printf '0\\n' > \"$0.uses\" && mount --bind \"$0.uses\" /proc/sys/kernel/core_uses_pid && exec \"$@\""
    );
    let place = std::env::temp_dir().join(format!("muster-core-{}-{}", std::process::id(), harness::free_port()));
    let place = place.display().to_string();
    let daemon = Setting::supervising(format!("[program.web]\n{retries}{keys}\n"))
        .wrapped(&["unshare", "--mount", "sh", "-c", &script, &place])
        .start();
    for suffix in ["pattern", "uses"] {
        std::fs::remove_file(format!("{place}.{suffix}")).expect("the wrapper has made it");
    }
    daemon
}

/// Whether the tests may mount files over others.
fn can_mount() -> bool {
    let can = harness::is_root() && std::path::Path::new("/proc/sys/kernel/core_pattern").exists();
    if !can {
        harness::skip("only root can mount another core_pattern");
    }
    can
}

#[test]
fn a_crash_names_the_hosts_handler_of_core_dumps() {
    if !can_mount() {
        return;
    }
    let keys = format!("{}\nrlimits = {{ core = \"unlimited\" }}", shell("kill -SEGV $$$$"));
    let daemon = with_pattern("|/usr/lib/systemd/systemd-coredump %P %u %g %s", &keys);
    daemon.ctl(&["start", "web"]);
    let why = why(&daemon, "FATAL");
    check(&daemon, &why, "itself", &["the host's handler /usr/lib/systemd/systemd-coredump"]);
}

/// The program itself writes the file that the pattern stands for; the kernel writes its own elsewhere.
#[test]
fn a_crash_names_the_file_of_the_core_and_finds_it() {
    if !can_mount() {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let at = directory.path().display().to_string();
    for (pattern, file, found) in [
        ("%e.%p.%s.%u", "sh.$$$$.11.0", true),
        ("core.%t.%p", "core.1700000000.$$$$", true),
        ("core.%E.%h.%p", "other", false),
    ] {
        let script = format!("printf core > {at}/{file}; cd {at} && kill -SEGV $$$$");
        let keys = format!("{}\nrlimits = {{ core = \"unlimited\" }}\ndirectory = {at:?}", shell(&script));
        let daemon = with_pattern(&format!("{at}/{pattern}"), &keys);
        daemon.ctl(&["start", "web"]);
        let why = why(&daemon, "FATAL");
        if why["run"]["core_dumped"] != true {
            return harness::skip("the kernel writes no core here");
        }
        let pid = &why["run"]["pid"];
        match found {
            true => {
                let path = format!("core dump: {at}/{} (4 bytes)", file.replace("$$$$", &pid.to_string()));
                check(&daemon, &why, "itself", &[&path]);
            }
            false => check(&daemon, &why, "itself", &[&format!("written to {at}/core."), "where no such file is"]),
        }
    }
}

#[test]
fn a_core_file_is_looked_for_with_the_rights_of_the_program() {
    if !can_mount() {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let at = directory.path().display().to_string();
    // Only root may look into it.
    std::fs::write(directory.path().join("core.secret"), "x").expect("the directory is writable");
    let only_root = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(directory.path(), only_root).expect("the directory is the test's");
    let keys = format!(
        "{}\nrlimits = {{ core = \"unlimited\" }}\nuser = \"65534:65534\"\ndirectory = \"/tmp\"",
        shell("cd /var/tmp; kill -SEGV $$$$")
    );
    let daemon = with_pattern(&format!("{at}/core.%t"), &keys);
    daemon.ctl(&["start", "web"]);
    let why = why(&daemon, "FATAL");
    let story = why["story"].to_string();
    assert!(!story.contains("core.secret"), "{story}");
    if why["run"]["core_dumped"] == true {
        check(&daemon, &why, "itself", &["could not be looked for: Permission denied"]);
    }
}

#[test]
fn a_core_that_a_limit_forbids_is_said_to_be_missing() {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.starts_with(['|', '@']) || pattern.trim().is_empty() {
        return harness::skip("core dumps do not go to files here");
    }
    for (limit, words) in [
        ("rlimits = { core = 0 }", "core dump: not written: rlimits.core is 0"),
        ("", "rlimits = { core = \"unlimited\" }"),
    ] {
        let keys = format!("{}\n{limit}", shell("kill -SEGV $$$$"));
        let setting = Setting::supervising(format!("[program.web]\nautostart = false\nstartretries = 0\n{keys}\n"));
        let daemon = setting.wrapped(&["prlimit", "--core=0", "--"]).start();
        daemon.ctl(&["start", "web"]);
        let why = why(&daemon, "FATAL");
        assert_eq!(why["run"]["core_dumped"], false);
        check(&daemon, &why, "itself", &[words]);
    }
}

#[test]
fn a_signal_from_another_process_is_not_attributed_to_musterd() {
    for (number, name) in [(15, "SIGTERM"), (10, "SIGUSR1")] {
        let daemon = daemon("command = \"sleep 1000\"\nstartsecs = 0");
        daemon.ctl_well(&["start", "web"]);
        harness::send(daemon.pid_of("web"), number);
        let why = why(&daemon, "FATAL");
        check(&daemon, &why, "somebody_else", &[&format!("another process sent {name}"), "musterd did not"]);
        assert_eq!(why["run"]["cause"], Value::Null);
    }
}

#[test]
fn a_sigkill_from_another_process_reports_the_kernels_oom_counter() {
    let daemon = daemon("command = \"sleep 1000\"\nstartsecs = 0");
    daemon.ctl_well(&["start", "web"]);
    harness::send(daemon.pid_of("web"), 9);
    let why = why(&daemon, "FATAL");
    check(&daemon, &why, "somebody_else", &["terminated by SIGKILL", "another process sent SIGKILL, not musterd"]);
    let (told, counted) = ("which the kernel does not report here", "OOM-killed no process of this cgroup");
    let expected = if why["run"]["out_of_memory"].is_null() { told } else { counted };
    check(&daemon, &why, "somebody_else", &[expected]);
    assert_ne!(why["run"]["out_of_memory"], true);
}

#[test]
fn a_requested_signal_names_the_client() {
    let daemon = daemon("command = \"sleep 1000\"\nstartsecs = 0");
    daemon.ctl_well(&["start", "web"]);
    daemon.ctl_well(&["signal", "KILL", "web"]);
    let why = why(&daemon, "FATAL");
    let uid = harness::own_uid();
    check(&daemon, &why, "musterd", &[&format!("user id {uid} had musterd send SIGKILL to it")]);
    assert_eq!(why["run"]["out_of_memory"], Value::Null, "there was no reason to check");
}

#[test]
fn a_reload_signal_that_ends_a_program_names_the_client() {
    let daemon = daemon("command = \"sleep 1000\"\nstartsecs = 0\nreloadsignal = \"HUP\"");
    daemon.ctl_well(&["start", "web"]);
    daemon.ctl_well(&["reload", "web"]);
    let why = why(&daemon, "FATAL");
    let uid = harness::own_uid();
    check(&daemon, &why, "musterd", &[&format!("user id {uid} had musterd send SIGHUP to it")]);
}

#[test]
fn a_stop_and_a_restart_name_the_client() {
    let daemon = daemon("command = \"sleep 1000\"\nstartsecs = 0");
    let uid = harness::own_uid();
    daemon.ctl_well(&["start", "web"]);
    daemon.ctl_well(&["restart", "web"]);
    let running = why(&daemon, "RUNNING");
    check(&daemon, &running, "musterd", &[&format!("user id {uid} asked for a restart"), "next: it keeps running"]);
    daemon.ctl_well(&["stop", "web"]);
    let stopped = why(&daemon, "STOPPED");
    let sentences =
        [&format!("user id {uid} asked for a stop"), "not restarted: it was being stopped", "before that: run "];
    check(&daemon, &stopped, "musterd", &sentences);
    assert_eq!(stopped["run"]["exit"]["success"], true);
    assert_eq!(stopped["earlier"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_reload_that_restarts_a_program_names_the_client() {
    let daemon = daemon("command = \"sleep 1000\"\nstartsecs = 0");
    daemon.ctl_well(&["start", "web"]);
    daemon.rewrite(&Setting::supervising("[program.web]\ncommand = \"sleep 999\"\nstartsecs = 0\n"));
    assert_eq!(daemon.client.post("/v1/config/reload").status, 200);
    let why = why(&daemon, "RUNNING");
    let asked = format!("the configuration changed, and user id {} asked for a reload", harness::own_uid());
    check(&daemon, &why, "musterd", &[&asked]);
}

#[test]
fn a_stop_that_took_sigkill_says_so() {
    let keys = shell("trap '' TERM; while :; do sleep 1; done") + "\nstartsecs = 0\nstopwaitsecs = 0.2";
    let daemon = daemon(&keys);
    daemon.ctl_well(&["start", "web"]);
    let pid = daemon.pid_of("web");
    harness::wait_until("it ignores TERM", || {
        let ignored = harness::find(pid).and_then(|process| process.status("SigIgn"));
        ignored.and_then(|mask| u64::from_str_radix(&mask, 16).ok()).is_some_and(|mask| mask & (1 << 14) != 0)
    });
    daemon.ctl_well(&["stop", "web"]);
    let why = why(&daemon, "STOPPED");
    check(&daemon, &why, "musterd", &["terminated by SIGKILL", "asked for a stop", "did not stop in time"]);
}

#[test]
fn a_spawn_that_fails_names_the_step_and_the_error() {
    for (keys, step, errno, words) in [
        ("command = \"/no/such\"", "exec", 2, "/no/such: no such file"),
        ("command = \"sleep 1\"\ndirectory = \"/no/such\"", "chdir", 2, "/no/such"),
        ("command = \"/etc/passwd\"", "exec", 13, "/etc/passwd"),
    ] {
        let daemon = daemon(keys);
        daemon.ctl(&["start", "web"]);
        let why = why(&daemon, "FATAL");
        check(
            &daemon,
            &why,
            "not_spawned",
            &["could not start", &format!("step {step:?} failed (errno {errno})"), words],
        );
        let error = &why["run"]["spawn_error"];
        assert_eq!((&error["step"], &error["errno"]), (&step.into(), &errno.into()), "{error}");
        assert_eq!(why["run"]["last_lines"], Value::Array(vec![]), "no process existed to write anything");
    }
}

#[test]
fn the_next_step_is_reported_with_its_time() {
    let daemon = daemon("command = \"false\"\nstartretries = 5\nbackoff = { delay = 1000, max = 1000 }");
    daemon.ctl(&["start", "web", "--no-wait"]);
    let why = why(&daemon, "BACKOFF");
    check(&daemon, &why, "itself", &["attempt 1 of 5", "next: it starts again in "]);
    assert!(why["next_start_at"].is_string(), "{why}");
    assert!(why["next"].as_str().is_some_and(|next| next.starts_with("it starts again in ")), "{why}");
}

#[test]
fn a_program_that_never_ran_has_a_story_too() {
    let daemon = daemon("command = \"true\"");
    let why = daemon.client.get("/v1/programs/web/why").json();
    assert_eq!((&why["state"], &why["run"]), (&"STOPPED".into(), &Value::Null));
    let printed = daemon.ctl_well(&["why", "web"]);
    assert_eq!(printed, "web is STOPPED: not started\n  next: nothing until it is started\n");
    assert_eq!(daemon.ctl(&["why", "wbe"]).code, Some(4));
}

#[test]
fn the_last_runs_are_remembered_with_everything_about_them() {
    let keys = shell("echo run $MUSTER_RUN; exit 3") + "\nstartretries = 3\nbackoff = { delay = 0 }";
    let daemon = Setting::supervising(format!("[program.web]\n{keys}\n")).start();
    let last = daemon.wait_for_state("web", "FATAL");
    let runs = wait_for("every run has its line", || {
        let runs = daemon.program("web")["runs"].as_array().cloned().unwrap_or_default();
        runs.iter().all(|run| run["last_lines"].as_array().is_some_and(|lines| lines.len() == 1)).then_some(runs)
    });
    assert_eq!(runs.len(), 4, "one start and three restarts");
    assert_eq!(runs[0]["run"], last["run"], "the newest first");
    for (run, verdict) in
        runs.iter().zip(["given up: all 3 retries used up", "attempt 3 of 3", "attempt 2 of 3", "attempt 1 of 3"])
    {
        assert!(run["verdict"].as_str().is_some_and(|told| told.starts_with(verdict)), "{run}");
        assert_eq!((&run["exit"]["code"], &run["ended_by"]), (&3.into(), &"itself".into()));
        assert!(run["ended_at"].is_string() && run["started_at"].is_string());
        let line = run["last_lines"][0]["text"].as_str().unwrap_or_default();
        assert!(line.ends_with(&format!(".{}", run["run"])), "each has its own line: {line}");
    }
}

#[test]
fn a_starting_program_reports_its_conditions() {
    let daemon = daemon("command = \"sleep 1000\"\nstartsecs = 1000");
    daemon.ctl(&["start", "web", "--no-wait"]);
    daemon.wait_for_state("web", "STARTING");
    let why = daemon.client.get("/v1/programs/web/why").json();
    assert!(why["next"].as_str().is_some_and(|next| next.contains("startsecs")), "{why}");
}

/// A probe that must fail uses a port that is reserved and refuses connections.
#[test]
fn a_failed_probe_is_named_with_its_output() {
    let keys = "command = \"sleep 1000\"\nstartsecs = 0\n[program.web.probes.alive]\nexec = [\"sh\", \"-c\", \"echo no heartbeat; exit 3\"]\n\
                period = 0.1\nfailure_threshold = 1\ntimeout = 20";
    let daemon = daemon(keys);
    daemon.ctl(&["start", "web", "--no-wait"]);
    let why = why(&daemon, "FATAL");
    check(&daemon, &why, "musterd", &["musterd ended it: probe \"alive\" failed", "no heartbeat"]);
    assert_eq!(why["run"]["exit"]["success"], false, "it counts as failed, however it ended");
    assert!(why["run"]["cause"].as_str().is_some_and(|cause| cause.contains("no heartbeat")), "{why}");
}

#[test]
fn a_start_that_took_too_long_says_so() {
    let daemon = daemon("command = \"sleep 1000\"\nready = \"notify\"\nstart_timeout = 0.2");
    daemon.ctl(&["start", "web", "--no-wait"]);
    let why = why(&daemon, "FATAL");
    check(&daemon, &why, "musterd", &["musterd ended it: it did not become ready in time"]);
}

#[test]
fn a_missed_watchdog_reports_for_how_long() {
    let daemon = daemon("command = \"sleep 1000\"\nstartsecs = 0\nwatchdog = 0.2");
    daemon.ctl(&["start", "web", "--no-wait"]);
    let why = why(&daemon, "FATAL");
    check(&daemon, &why, "musterd", &["musterd ended it: watchdog: no sign of life for 200ms"]);
}

#[test]
fn a_waiting_program_reports_its_unmet_conditions() {
    let programs = "[program.web]\ncommand = \"sleep 1000\"\ndepends_on = { db = \"completed\" }\n\
                    [program.db]\ncommand = \"false\"\ntype = \"oneshot\"\nrestart = \"no\"\n";
    let daemon = Setting::supervising(programs).start();
    daemon.wait_for_state("db", "EXITED");
    let why = daemon.client.get("/v1/programs/web/why").json();
    assert_eq!(why["state"], "WAITING");
    assert!(why["waiting_for"][0].as_str().is_some_and(|need| need.contains("db")), "{why}");
    let printed = daemon.ctl_well(&["why", "web"]);
    assert!(printed.contains("next: it starts as soon as this holds: db"), "{printed}");
}

#[test]
fn a_shutdown_in_progress_is_reported() {
    let programs = "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\npriority = 2\n\
                    [program.slow]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; while :; do sleep 1; done\"]\nstartsecs = 0\npriority = 1\n";
    let daemon = Setting::supervising(programs).musterd("shutdown_timeout = 60").start();
    daemon.wait_for_running("web");
    daemon.wait_for_running("slow");
    daemon.terminate();
    daemon.wait_for_state("web", "STOPPED");
    let why = daemon.client.get("/v1/programs/web/why").json();
    assert_eq!(
        (&why["run"]["ended_by"], &why["run"]["cause"]),
        (&"musterd".into(), &"the daemon is shutting down".into())
    );
}
