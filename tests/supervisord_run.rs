//! `musterd -c supervisord.conf`: runs it as supervisord does. Also `musterd config`.

#[path = "harness/mod.rs"]
mod harness;

use std::fs;
use std::process::Command;

use harness::{Daemon, End, Setting, ended, is_root, skip, wait_until};
use serde_json::Value;

/// A `command=` that runs this script.
fn sh(script: &str) -> String {
    format!("command=/bin/sh -c '{script}'\n")
}

/// Sections for the daemon's own file, whose lines say what the programs did.
fn said(daemon: &Daemon) -> Vec<String> {
    fs::read_to_string(daemon.path("said")).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn names(daemon: &Daemon) -> Vec<String> {
    let programs = daemon.client.get("/v1/programs").json();
    let all = programs.as_array().expect("it is a list").iter();
    all.filter_map(|program| program["name"].as_str().map(str::to_owned)).collect()
}

#[test]
fn processes_are_named_and_grouped_as_supervisord_does() {
    let mut daemon = Setting::supervisord(
        "[program:cat]\ncommand=cat\nstartsecs=0\n\
         [program:worker]\ncommand=sleep 1000\nnumprocs=2\nprocess_name=%(program_name)s_%(process_num)02d\nstartsecs=0\n\
         [program:one]\ncommand=sleep 1000\nstartsecs=0\nautostart=false\n[group:front]\nprograms=one\n",
    )
    .start();
    for name in ["cat", "worker:worker_00", "worker:worker_01"] {
        daemon.wait_for_running(name);
    }
    assert_eq!(names(&daemon), ["cat", "front:one", "worker:worker_00", "worker:worker_01"]);
    assert_eq!(daemon.state("front:one"), "STOPPED");
    let status = daemon.ctl(&["status"]).out;
    let shown: Vec<_> = status.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(shown, ["cat", "front:one", "worker:worker_00", "worker:worker_01"]);
    daemon.ctl_well(&["start", "front:*"]);
    daemon.ctl_well(&["stop", "worker:*"]);
    daemon.wait_for_running("front:one");
    assert_eq!([daemon.state("worker:worker_00"), daemon.state("cat")], ["STOPPED", "RUNNING"]);
    daemon.finish();
}

/// `command=cat` stays up, and what is written to it comes back.
#[test]
fn standard_input_is_a_pipe_that_stays_open() {
    let daemon = Setting::supervisord("[program:cat]\ncommand=cat\nstdout_logfile=@/said\n").start();
    daemon.wait_for_running("cat");
    assert_eq!(daemon.client.request("POST", "/v1/programs/cat/stdin", "hello\n").status, 200);
    wait_until("cat has answered", || said(&daemon) == ["hello"]);
}

#[test]
fn a_program_has_the_environment_of_the_original() {
    let script = sh("env >@/said; umask >>@/said; pwd >>@/said; exec sleep 1000");
    let sections = format!(
        "[program:web]\n{script}numprocs=1\nprocess_name=p\numask=027\ndirectory=/usr\n\
         environment=OWN=\"%(process_num)d\",SUPERVISOR_GROUP_NAME=\"replaced\"\n"
    );
    let daemon = Setting::supervisord(sections).env("INHERITED", "yes").env("HOME", "/of/the/daemon").start();
    wait_until("the program has written", || said(&daemon).iter().any(|line| line == "/usr"));
    let lines = said(&daemon);
    let url = format!("SUPERVISOR_SERVER_URL=unix://{}", daemon.socket().display());
    for expected in [
        "OWN=0",
        "INHERITED=yes",
        "HOME=/of/the/daemon",
        "SUPERVISOR_ENABLED=1",
        "SUPERVISOR_PROCESS_NAME=p",
        "SUPERVISOR_GROUP_NAME=replaced",
        &url,
        "0027",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:#?}");
    }
    // The tests themselves may have been started with some.
    let is_inherited = |line: &str| line.split_once('=').is_some_and(|(name, _)| std::env::var_os(name).is_some());
    let own: Vec<_> = lines.iter().filter(|line| line.starts_with("MUSTER_") && !is_inherited(line)).collect();
    assert_eq!(own.len(), 1, "{own:?}");
    assert!(own[0].starts_with("MUSTER_RUN="), "{own:?}");
}

/// The restarts of a program that was RUNNING, by its exit code and `autorestart`.
#[test]
fn exit_codes_and_autorestart_decide_as_in_supervisord() {
    let mut sections = String::new();
    for (code, autorestart) in [(0, "false"), (0, "unexpected"), (3, "unexpected"), (4, "unexpected"), (0, "true")] {
        let script = sh(&format!("echo {code}-{autorestart} >>@/said; exit {code}"));
        sections +=
            &format!("[program:{autorestart}-{code}]\n{script}autorestart={autorestart}\nstartsecs=0\nexitcodes=0,3\n");
    }
    let daemon = Setting::supervisord(sections).start();
    for name in ["false-0", "unexpected-0", "unexpected-3"] {
        assert_eq!(daemon.wait_for_state(name, "EXITED")["exit"]["success"], true, "{name}");
    }
    let count = |word: &str| said(&daemon).iter().filter(|line| *line == word).count();
    wait_until("the others were restarted", || count("4-unexpected") > 1 && count("0-true") > 1);
    assert_eq!([count("0-false"), count("0-unexpected"), count("3-unexpected")], [1, 1, 1]);
}

/// An exit before `startsecs` is a failed start with any code, also with `autorestart=false`.
#[test]
fn a_start_that_fails_is_retried_and_then_fatal() {
    let bad = sh("echo x >>@/said; exit 0");
    let daemon =
        Setting::supervisord(format!("[program:bad]\n{bad}autorestart=false\nstartretries=1\nstartsecs=5\n")).start();
    daemon.wait_for_state("bad", "FATAL");
    assert_eq!(said(&daemon).len(), 2, "one retry");
}

#[test]
fn commands_that_cannot_be_split_fail_at_every_start_with_the_reason() {
    let daemon = Setting::supervisord(
        "[program:empty]\ncommand=\nstartretries=0\n[program:quote]\ncommand=sh -c 'x\nstartretries=0\n\
         [program:missing]\ncommand=/no/such/file\nstartretries=0\n",
    )
    .start();
    for (name, reason) in
        [("empty", "command is empty"), ("quote", "No closing quotation"), ("missing", "/no/such/file")]
    {
        let description = daemon.wait_for_state(name, "FATAL")["description"].as_str().map(str::to_owned);
        assert!(description.as_deref().is_some_and(|text| text.contains(reason)), "{description:?}");
    }
}

#[test]
fn groups_start_in_order_of_their_priority_and_stop_in_reverse() {
    let program = |name: &str, priority: i32| {
        let script = sh(&format!(
            "trap \"echo stop {name} >>@/said; exit 0\" TERM; echo start {name} >>@/said; while :; do sleep 0.05; done"
        ));
        format!("[program:{name}]\n{script}priority={priority}\nstartsecs=0\n")
    };
    // The programs of a group have the group's priority, whatever their own.
    let sections = [program("late", 30), program("b", 1), program("a", 50), program("early", 10)].concat();
    let mut daemon = Setting::supervisord(sections + "[group:middle]\nprograms=b,a\npriority=20\n").start();
    assert_eq!(names(&daemon), ["early", "middle:b", "middle:a", "late"]);
    wait_until("all have started", || said(&daemon).len() == 4);
    daemon.finish();
    let stops: Vec<String> = said(&daemon).split_off(4);
    assert_eq!((stops[0].as_str(), stops[3].as_str()), ("stop late", "stop early"), "{stops:?}");
}

#[test]
fn a_stop_sends_the_signal_waits_and_kills() {
    let polite = sh("trap \"echo quit >>@/said; exit 0\" QUIT; echo up >>@/said; while :; do sleep 0.05; done");
    let stubborn = sh("trap : TERM; echo up >>@/said; while :; do sleep 0.05; done");
    let mut daemon = Setting::supervisord(format!(
        "[program:polite]\n{polite}stopsignal=QUIT\nstartsecs=0\n[program:stubborn]\n{stubborn}stopwaitsecs=1\nstartsecs=0\n"
    ))
    .start();
    wait_until("both are up", || said(&daemon).len() == 2);
    daemon.ctl_well(&["stop", "polite", "stubborn"]);
    assert_eq!(said(&daemon)[2..], ["quit"]);
    assert_eq!([daemon.state("polite"), daemon.state("stubborn")], ["STOPPED", "STOPPED"]);
    assert_eq!(daemon.program("stubborn")["exit"]["signal"], "SIGKILL");
    daemon.finish();
}

#[test]
fn output_goes_to_the_daemons_descriptors_files_and_memory() {
    let script = sh("echo out; echo err >&2; exec sleep 1000");
    let daemon = Setting::supervisord(format!(
        "[program:console]\n{script}stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\nstderr_logfile=NONE\n\
         [program:file]\n{script}stdout_logfile=@/said\nredirect_stderr=true\n[program:auto]\n{script}"
    ))
    .start();
    wait_until("the console has the line", || daemon.output() == b"out\n");
    wait_until("the file has both", || said(&daemon) == ["out", "err"]);
    wait_until("memory has both", || {
        let logs = daemon.ctl(&["logs", "auto"]).out;
        logs.contains("out") && logs.contains("err")
    });
}

#[test]
fn any_name_can_be_selected_exactly() {
    let mut sections = String::new();
    for name in ["a*", "ab", "w\u{e9}b", "x,y", "50%"] {
        sections += &format!("[program:{name}]\ncommand=sleep 1000\nstartsecs=0\n");
    }
    let daemon = Setting::supervisord(sections).start();
    let state = |name: &str| {
        let all = daemon.client.get("/v1/programs").json();
        let found = all.as_array().and_then(|all| all.iter().find(|one| one["name"] == name).cloned());
        found.expect("it is listed")["state"].as_str().map(str::to_owned).expect("it has a state")
    };
    for name in ["a*", "w\u{e9}b", "x,y", "50%"] {
        wait_until("it runs", || state(name) == "RUNNING");
        daemon.ctl_well(&["stop", name]);
        assert_eq!(state(name), "STOPPED", "{name}");
        assert_eq!(state("ab"), "RUNNING", "{name}");
        daemon.ctl_well(&["start", name]);
    }
    daemon.ctl_well(&["stop", "a*", "w\u{e9}*"]);
    assert_eq!([state("a*"), state("w\u{e9}b"), state("ab")], ["STOPPED", "STOPPED", "RUNNING"]);
    assert!(daemon.client.get("/metrics").body.contains("name=\"w\u{e9}b\""));
}

#[test]
fn a_reload_applies_the_differences_and_a_broken_file_changes_nothing() {
    let cat = |name: &str| format!("[program:{name}]\ncommand=cat\nstartsecs=0\n");
    let mut daemon = Setting::supervisord(cat("kept") + &cat("gone")).start();
    let pid = daemon.wait_for_running("kept");
    daemon.wait_for_running("gone");
    daemon.rewrite(&Setting::supervisord("[program:broken]\ncommand=x\nstartsecs=soon\n"));
    daemon.signal(1);
    wait_until("the mistake is logged", || daemon.log.text().contains("startsecs must be a whole number"));
    assert_eq!(names(&daemon), ["gone", "kept"]);
    let refused = daemon.ctl(&["update"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert_eq!(daemon.wait_for_running("kept"), pid);
    daemon.rewrite(&Setting::supervisord(cat("kept") + &cat("new")));
    daemon.signal(1);
    daemon.wait_for_running("new");
    wait_until("the other one is removed", || names(&daemon) == ["kept", "new"]);
    assert_eq!(daemon.wait_for_running("kept"), pid);
    daemon.finish();
}

#[test]
fn the_active_configuration_is_shown_without_secrets() {
    let sections = "[program:a]\ncommand=sleep 1000 --token %(ENV_TOKEN)s\nstartsecs=0\nstopwaitsecs=7\n";
    let daemon = Setting::supervisord(sections).env("TOKEN", "topsecret").start();
    let config = daemon.client.get("/v1/config");
    assert!(!config.body.contains("topsecret"), "{}", config.body);
    let config = config.json();
    let program = &config["programs"]["a"];
    assert_eq!(program["command"], serde_json::json!(["sleep", "1000", "--token", "***"]));
    assert_eq!((&program["stopwaitsecs"], &program["stdin"]), (&serde_json::json!([7.0]), &Value::from("pipe")));
    assert_eq!(config["musterd"]["pidfile"].as_str(), daemon.path("pid").to_str());
    let pid = fs::read_to_string(daemon.path("pid")).expect("it was written");
    assert!(pid.ends_with('\n') && pid.trim().parse::<u32>().is_ok(), "{pid:?}");
}

/// With `musterd config`, for both languages.
#[test]
fn the_configuration_is_printed_offline_as_the_daemon_shows_it() {
    let conf = "[program:a]\ncommand=sleep 1000 --token %(ENV_TOKEN)s\nstartsecs=0\n\
                stdout_logfile=NONE\nstderr_logfile=/dev/stderr\n[program:w\u{e9}b]\ncommand=cat\n\
                stdout_logfile=@/b.log\nredirect_stderr=true\n";
    let toml = "[program.a]\ncommand = \"sleep 1000\"\nnumprocs = 2\n";
    for (setting, file) in
        [(Setting::supervisord(conf), "supervisord.conf"), (Setting::supervising(toml), "muster.toml")]
    {
        let daemon = setting.env("TOKEN", "topsecret").start();
        let print = |format: &str| {
            let mut command = Command::new(harness::musterd());
            let path = daemon.path(file);
            let printed = ended(command.args(["config", "--format", format, "-c"]).arg(path).env("TOKEN", "topsecret"));
            assert_eq!(printed.code, Some(0), "{printed:?}");
            assert!(!printed.out.contains("topsecret"), "{printed:?}");
            printed.out
        };
        let printed: Value = serde_json::from_str(&print("json")).expect("it is JSON");
        assert_eq!(printed, daemon.client.get("/v1/config").json());
        let printed = print("toml");
        assert!(printed.contains("\n[musterd]\n") && printed.contains("command = [\"sleep\", \"1000\""), "{printed}");
    }
}

#[test]
fn a_program_without_a_user_runs_as_that_of_the_daemon_in_the_original() {
    if !is_root() {
        return skip("only root can change the user");
    }
    let sections = "user=nobody\n[program:a]\ncommand=sleep 1000\nstartsecs=0\n\
                    [program:r]\ncommand=sleep 1000\nuser=root\nstartsecs=0\n";
    // The harness begins the file with [supervisord], so the first line goes on there if the section is repeated.
    let daemon = Setting::supervisord(format!("[supervisord]\n{sections}")).start();
    let uid = |name: &str| {
        let pid = daemon.wait_for_running(name);
        harness::find(pid).and_then(|process| process.status("Uid")).expect("it runs")
    };
    assert!(!uid("a").starts_with("0\t"), "{}", uid("a"));
    assert!(uid("r").starts_with("0\t"), "{}", uid("r"));
}

#[test]
fn a_main_file_is_needed_and_only_one() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("it is ours");
    write("part.conf", "[program:a]\ncommand=cat\n");
    write("s.conf", "[supervisord]\n[program:a]\ncommand=cat\n");
    write("m.toml", "include = [\"s.conf\"]\n[program.a]\ncommand = \"cat\"\n");
    for (arguments, expected) in [
        (vec!["-c", "part.conf"], vec!["part.conf:1:1: has no section [supervisord]"]),
        (vec!["-c", "s.conf", "-c", "part.conf"], vec!["s.conf", "part.conf was named too"]),
        (vec!["-c", "m.toml", "-c", "s.conf"], vec!["s.conf", "m.toml was named too"]),
        (vec!["-c", "m.toml"], vec!["m.toml:1:", "cannot be part of a TOML configuration"]),
    ] {
        let mut command = Command::new(harness::musterd());
        let ended = ended(command.args(&arguments).current_dir(directory.path()));
        assert_eq!(ended.code, Some(2), "{arguments:?} {ended:?}");
        for expected in expected {
            assert!(ended.err.contains(expected), "{arguments:?} {expected}: {ended:?}");
        }
    }
}

/// Configurations as public images have them.
#[test]
fn configurations_of_containers_run() {
    let nginx_and_php = "nodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n\
        [program:php-fpm]\ncommand=sleep 1001\nautostart=true\nautorestart=true\nstdout_logfile=/dev/stdout\n\
        stdout_logfile_maxbytes=0\nstderr_logfile=/dev/stderr\nstderr_logfile_maxbytes=0\n\
        [program:nginx]\ncommand=sh -c \"exec sleep 1002\"\nautostart=true\nautorestart=true\npriority=10\n\
        stdout_events_enabled=true\nstderr_events_enabled=true\nstdout_logfile=/dev/fd/1\nstdout_logfile_maxbytes=0\n";
    let queue = "nodaemon=true\nuser=root\nlogfile=@/supervisord.log\nloglevel=debug\nminfds=10000\n\
        [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
        [supervisorctl]\nserverurl=unix://@/sock\n\
        [program:laravel-worker]\nprocess_name=%(program_name)s_%(process_num)02d\ncommand=sleep 1003\nnumprocs=4\n\
        autorestart=true\nredirect_stderr=true\nstdout_logfile=@/worker.log\nstopwaitsecs=3600\nstopasgroup=true\n\
        killasgroup=true\n[include]\nfiles = @/conf.d/*.conf\n";
    let oneshot = "[program:migrate]\ncommand=true\nstartsecs=0\nautorestart=false\nexitcodes=0\npriority=1\n\
        [program:web]\ncommand=sleep 1004 ; the server\npriority=2\nenvironment=PORT=\"8080\",HOST='0.0.0.0'\n\
        stdout_logfile=syslog\n";
    for (sections, running) in [
        (nginx_and_php, vec!["php-fpm", "nginx"]),
        (queue, vec!["laravel-worker:laravel-worker_00", "laravel-worker:laravel-worker_03"]),
        (oneshot, vec!["web"]),
    ] {
        let mut daemon = Setting::supervisord(format!("[supervisord]\n{sections}")).launch();
        daemon.wait_until_it_answers();
        for name in running {
            daemon.wait_for_running(name);
        }
        daemon.terminate();
        assert_eq!(daemon.wait(), End::Code(0), "{}", daemon.story());
        daemon.assert_nothing_is_left();
        assert!(!daemon.path("pid").exists(), "the pid file is removed");
    }
}
