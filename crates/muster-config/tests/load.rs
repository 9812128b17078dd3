//! The result of a valid configuration: values, defaults, layers, includes, interpolation, environments.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop where it stands, and ask its environment"
)]

#[allow(dead_code, reason = "each test binary uses another part of it")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Here, environment, instance, only, pairs, pairs_of, program, seconds, spec};
use muster_config::LookedAt;
use muster_spec::{
    Backoff, Essential, EventType, Exceeded, ExitStatus, Forget, Growth, Jitter, Judged, Kind, Leftovers, Limit,
    ListenerMode, ListenerSpec, LogFormat, LogLevel, PerStream, Preset, Reset, Resource, RestartPolicy, RestartWhen,
    Rlimit, SecondSignal, ShutdownBudget, ShutdownOrder, Signal, Sink, StartFailures, Stdin, StopKill, StopScope,
    StreamEvents, Target, UserSpec,
};

#[test]
fn a_program_with_a_command_alone_has_the_defaults() {
    let web = only("");
    assert_eq!((web.kind, web.autostart, web.restart), (Kind::Service, true, RestartPolicy::DEFAULT));
    assert_eq!((web.startsecs, web.exit_codes, web.priority, web.essential), (seconds(1), vec![0], 999, Essential::No));
    assert_eq!((web.stop.steps.len(), web.stop.steps[0].signal), (1, Signal::TERM));
    assert_eq!((web.stop.steps[0].patience, web.stop.scope), (seconds(10), StopScope::Main));
    assert_eq!((web.reload_signal, web.groups.len()), (Some(Signal::HUP), 0));
    let instance = web.instances[0].as_ref();
    assert_eq!((instance.name.as_str(), instance.index, web.instances.len()), ("web", 0, 1));
    let process = &instance.process;
    assert_eq!((process.command.as_slice(), process.environment.len()), (&["x".to_owned()][..], 0));
    assert_eq!((&process.user, &process.groups, &process.directory, process.umask), (&None, &None, &None, None));
    assert_eq!((process.nice, process.oom_score_adj, process.rlimits.len()), (None, None, 0));
    assert_eq!(instance.output.stdout, Target::Capture(vec![Sink::Console]));
    assert_eq!(instance.output.stderr, Some(Target::Capture(vec![Sink::Console])));
}

#[test]
fn the_daemon_and_its_socket_have_their_defaults_and_their_keys() {
    let plain = spec("[program.web]\ncommand = \"x\"");
    assert_eq!((plain.daemon.log_level, plain.daemon.log_format), (LogLevel::Info, LogFormat::Text));
    assert_eq!((plain.daemon.shutdown_timeout, plain.daemon.umask), (ShutdownBudget::Within(seconds(9)), 0o022));
    assert_eq!((plain.control.socket, plain.control.mode), (Some(PathBuf::from("/run/muster.sock")), 0o600));
    let set = spec(
        "[musterd]\nloglevel = \"${LEVEL:-debug}\"\nlogformat = \"json\"\nlogfile = \"/l\"\nshutdown_timeout = \"1m\"
        shutdown = \"serial\"\nexit_status = \"failures\"\nsecond_signal = \"interrupt\"
        exit_when_done = false\nmax_parallel_starts = 4\npidfile = \"/p\"\numask = \"077\"\ndirectory = \"/d\"
        [http]\nsocket = \"\"\nmode = \"0660\"\nowner = \"a:b\"\nallow_users = [\"c\", 7]\nreadonly_users = \"d\"
        [program.web]\ncommand = \"x\"",
    );
    let daemon = set.daemon;
    assert_eq!((daemon.log_level, daemon.log_format), (LogLevel::Debug, LogFormat::Json));
    assert_eq!((daemon.log_file, daemon.pidfile), (Some(PathBuf::from("/l")), Some(PathBuf::from("/p"))));
    assert_eq!(daemon.max_parallel_starts, 4);
    assert_eq!((daemon.shutdown_timeout, daemon.exit_when_done), (ShutdownBudget::Within(seconds(60)), false));
    let rules = (daemon.shutdown_order, daemon.exit_status, daemon.second_signal);
    assert_eq!(rules, (ShutdownOrder::Serial, ExitStatus::Failures, SecondSignal::Interrupt));
    assert_eq!(plain.daemon.second_signal, SecondSignal::Hurry);
    let unlimited = spec("[musterd]\nshutdown_timeout = \"unlimited\"\n[program.web]\ncommand = \"x\"");
    assert_eq!(unlimited.daemon.shutdown_timeout, ShutdownBudget::Unlimited);
    assert_eq!((daemon.umask, daemon.directory), (0o077, Some(PathBuf::from("/d"))));
    let control = set.control;
    assert_eq!((control.socket, control.mode), (None, 0o660));
    assert_eq!(control.owner, Some(UserSpec { user: "a".to_owned(), group: Some("b".to_owned()) }));
    assert_eq!((control.allow_users, control.readonly_users), (pairs_of(&["c", "7"]), pairs_of(&["d"])));
}

#[test]
fn commands_are_split_first_and_interpolated_after() {
    for (command, expected) in [
        ("\"a 'b c' d\"", &["a", "b c", "d"][..]),
        // Unquoted, it is split into words; quoted, it is one; a variable's value is not expanded again.
        ("\"a ${TRICK} # b\"", &["a", "two", "words", "{name}", "${PORT}", "#", "b"]),
        ("'a \"${TRICK}\" b'", &["a", "two words {name} ${PORT}", "b"]),
        ("\"a '${TRICK}' b\"", &["a", "two words {name} ${PORT}", "b"]),
        ("[\"a\", \"${TRICK}\", \"${EMPTY}\"]", &["a", "two words {name} ${PORT}", ""]),
        ("\"a ${EMPTY} b${EMPTY} '${EMPTY}'\"", &["a", "b", ""]),
        ("\"a ${NO:-} ${NO:-b c} '${NO:-d e}'\"", &["a", "b", "c", "d e"]),
        ("\"a ${NO:-'b c'} x${TRICK}y\"", &["a", "b c", "xtwo", "words", "{name}", "${PORT}y"]),
        ("\"a --x=${PORT}${EMPTY}/{name}\"", &["a", "--x=8080/web"]),
        ("'a $${PORT} \\${PORT} \"\\${PORT}\"'", &["a", "${PORT}", "${PORT}", "${PORT}"]),
        ("[\"a b\", \"{name}\", \"$1\", \"\"]", &["a b", "web", "$1", ""]),
        ("\"\"\"a \\\n  b\n  c\"\"\"", &["a", "b", "c"]),
        ("\"awk '{print $1}' {{x}} $$\"", &["awk", "{print $1}", "{x}", "$"]),
        ("'sh -c \"f() { echo ${PORT}; }; f\"'", &["sh", "-c", "f() { echo 8080; }; f"]),
    ] {
        let spec = spec(&format!("[program.web]\ncommand = {command}"));
        assert_eq!(instance(&spec, "web", 0).process.command, expected, "{command}");
    }
}

#[test]
fn instances_are_interpolated_one_by_one() {
    let here = Here::new(&[(
        "c.toml",
        "[program.web]\ncommand = \"x {name} {program} {instance} {numprocs} {host} {here}\"\nnumprocs = \"${WORKERS}\"
        environment = { PORT = \"80{instance}\" }\ndirectory = \"/srv/{instance}\"
        logs = { stdout = \"/var/log/{name}.log\" }",
    )]);
    let spec = here.spec(&["c.toml"]);
    let web = program(&spec, "web");
    assert_eq!(web.instances.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["web:0", "web:1", "web:2"]);
    let last = &web.instances[2];
    let here = here.0.path().to_str().unwrap();
    assert_eq!((last.index, &last.process.command[1..6]), (2, &pairs_of(&["web:2", "web", "2", "3", "box"])[..]));
    assert_eq!(last.process.command[6], here);
    assert_eq!(last.process.environment, pairs(&[("PORT", "802")]));
    assert_eq!(last.process.directory.as_deref(), Some(Path::new("/srv/2")));
    assert_eq!(last.output.stdout, Target::Capture(vec![Sink::File(PathBuf::from("/var/log/web:2.log"))]));
}

#[test]
fn restart_words_and_numbers_become_a_policy() {
    for (keys, when, limit) in [
        ("restart = \"no\"", RestartWhen::Never, Limit::Retries(10)),
        ("restart = \"always\"", RestartWhen::Always, Limit::Retries(10)),
        ("restart = \"unless-stopped\"", RestartWhen::UnlessStopped, Limit::Retries(10)),
        ("restart = \"on-failure:3\"", RestartWhen::OnFailure, Limit::Retries(3)),
        ("restart = \"always:7\"", RestartWhen::Always, Limit::Retries(7)),
        ("startretries = \"unlimited\"", RestartWhen::OnFailure, Limit::Unlimited),
        ("startretries = \"${WORKERS}\"", RestartWhen::OnFailure, Limit::Retries(3)),
        ("backoff = \"docker\"", RestartWhen::OnFailure, Limit::Unlimited),
        ("backoff = \"systemd\"", RestartWhen::OnFailure, Preset::Systemd.limit()),
        ("backoff = \"docker\"\nstartretries = 4", RestartWhen::OnFailure, Limit::Retries(4)),
        ("backoff = \"docker\"\nrestart = \"on-failure:0\"", RestartWhen::OnFailure, Limit::Unlimited),
        ("backoff = \"docker\"\nrestart = \"on-failure:2\"", RestartWhen::OnFailure, Limit::Retries(2)),
        (
            "restart_limit = { starts = 3, within = \"1m\" }",
            RestartWhen::OnFailure,
            Limit::Rate { starts: 3, within: seconds(60), judged: Judged::AtEnd, then: Exceeded::Fatal },
        ),
        (
            "backoff = \"systemd\"\nrestart_limit = { starts = 3, within = 60, then = \"wait\" }",
            RestartWhen::OnFailure,
            Limit::Rate { starts: 3, within: seconds(60), judged: Judged::AtStart, then: Exceeded::WaitOut },
        ),
    ] {
        let policy = only(keys).restart;
        assert_eq!((policy.when, policy.limit), (when, limit), "{keys}");
    }
}

#[test]
fn backoff_is_a_preset_with_changes() {
    let own = Backoff::DEFAULT;
    for (keys, expected) in [
        ("backoff = {}", own),
        (
            "backoff = { delay = 1, factor = 3, max = \"2m\", jitter = 0.5, reset_after = 5 }",
            Backoff {
                delay: seconds(1),
                growth: Growth::Factor(3.0),
                max: seconds(120),
                jitter: Jitter::Add(0.5),
                reset: Reset::AfterUp(seconds(5)),
                ..own
            },
        ),
        ("backoff = \"kubernetes\"", Preset::Kubernetes.backoff()),
        ("backoff = { max = \"30s\", preset = \"docker\" }", Backoff { max: seconds(30), ..Preset::Docker.backoff() }),
        ("backoff.preset = \"supervisord\"", Preset::Supervisord.backoff()),
        ("backoff.steps = 9", Backoff { growth: Growth::Steps(9), ..own }),
        ("backoff.jitter = \"full\"", Backoff { jitter: Jitter::Full, ..own }),
        ("backoff.jitter = \"equal\"", Backoff { jitter: Jitter::Equal, ..own }),
        ("backoff.jitter = \"decorrelated\"", Backoff { jitter: Jitter::Decorrelated, ..own }),
        ("backoff.jitter = { up_to = \"2s\" }", Backoff { jitter: Jitter::UpTo(seconds(2)), ..own }),
    ] {
        assert_eq!(only(keys).restart.backoff, expected, "{keys}");
    }
}

/// A preset is its system's whole policy, and keys beside it override it.
#[test]
fn a_preset_brings_its_whole_policy() {
    for (name, preset) in Preset::ALL {
        let policy = only(&format!("backoff = {name:?}\nrestart = \"always\"")).restart;
        assert_eq!(policy, preset.policy(RestartWhen::Always), "{name}");
    }
    let changed = only(
        "backoff = \"docker\"\nstartretries_forget = \"with-delay\"\nstart_failures = \"policy\"\nstartretries = 3",
    );
    let expected = RestartPolicy {
        limit: Limit::Retries(3),
        forget: Forget::WithDelay,
        start_failures: StartFailures::Policy,
        ..Preset::Docker.policy(RestartWhen::OnFailure)
    };
    assert_eq!(changed.restart, expected);
    let own = only("startretries_forget = \"never\"\nstart_failures = \"retry\"").restart;
    assert_eq!((own.forget, own.start_failures), (Forget::Never, StartFailures::Retry));
    assert!(own.forgive_on_start && !only("forgive_on_start = false").restart.forgive_on_start);
    assert_eq!(only("essential = \"on-failure\"").essential, Essential::OnFailure);
    assert_eq!(only("essential = true").essential, Essential::Yes);
}

#[test]
fn stopping_has_signals_timeouts_and_scope() {
    let web = only(
        "stopsignal = [\"int\", \"SIGRTMIN+3\", 15]\nstopwaitsecs = 0.5\nstop_scope = \"group\"\nreloadsignal = \"\"\nleftover_wait = \"3s\"",
    );
    let half = Duration::from_millis(500);
    let steps: Vec<_> = web.stop.steps.iter().map(|step| (step.signal.number(), step.patience)).collect();
    assert_eq!(steps, [(2, half), (37, half), (15, half)]);
    assert_eq!((web.stop.scope, web.reload_signal), (StopScope::Group, None));
    assert_eq!(web.stop.leftover_wait, Duration::from_secs(3));
    assert_eq!(only("").stop.leftover_wait, Duration::from_secs(2));
    assert_eq!((only("").stop.kill, only("").stop.leftovers), (StopKill::Tree, Leftovers::Stop));
    let kept = only("stop_kill = \"main\"\nleftovers = \"keep\"").stop;
    let process = only("ignore_signals = [\"pipe\", \"XFSZ\"]").instances[0].process.clone();
    let ignored: Vec<i32> = process.ignore_signals.iter().map(Signal::number).collect();
    assert_eq!(ignored, [13, 25]);
    assert_eq!((kept.kill, kept.leftovers), (StopKill::Main, Leftovers::Keep));
}

#[test]
fn an_event_listener_says_which_events_it_gets() {
    let web =
        only("stdin = \"supervisor-events\"\nevents = [\"TICK_60\", \"PROCESS_STATE\", \"TICK_60\"]\nnumprocs = 2");
    let process = web.instances[1].process.clone();
    let listener = ListenerSpec {
        results: muster_spec::Results::Judge,
        pool: "web".to_owned(),
        events: vec![EventType::ProcessState, EventType::Tick60],
        buffer_size: ListenerSpec::BUFFER_SIZE,
        mode: ListenerMode::Patient,
    };
    assert_eq!((process.stdin, process.listener.clone()), (Stdin::Events, Some(listener.into())));
    assert_eq!(only("stdin = \"pipe\"").instances[0].process.listener, None);
    let small = only("stdin = \"supervisor-events\"\nevents = [\"EVENT\"]\nevent_buffer_size = 10");
    assert_eq!(small.instances[0].process.listener.as_ref().map(|listener| listener.buffer_size), Some(10));
}

#[test]
fn output_causes_events_where_the_program_says_so() {
    let web = only("logs = { stdout_events = true, stderr_capture = \"1MB\" }");
    let none = StreamEvents::NONE;
    let expected =
        PerStream { stdout: StreamEvents { log: true, ..none }, stderr: StreamEvents { capture: 1 << 20, ..none } };
    assert_eq!(web.instances[0].output.events, expected);
    // Standard output of a listener is for its answers, also with defaults for all.
    let all = spec(
        "[defaults]\nlogs.stdout_events = true\n[program.web]\ncommand = \"a\"\n\
                    stdin = \"supervisor-events\"\nevents = [\"EVENT\"]",
    );
    let listener = &all.programs[0].instances[0].output.events;
    assert_eq!(*listener, PerStream::both(none));
}

#[test]
fn the_process_has_its_configured_kernel_attributes() {
    let web = only(
        "user = \"www:1000\"\ngroups = [\"a\", 5]\ndirectory = \"sub\"\numask = 0o027\nnice = -5\noom_score_adj = 100
        rlimits = { nofile = 1024, core = \"unlimited\", as = \"1GiB\", stack = { soft = \"8MB\", hard = \"unlimited\" }, cpu = { hard = 5 } }
        clean_environment = true\ntype = \"oneshot\"\nautostart = false\nexitcodes = [0, 2]\npriority = -3",
    );
    let process = &web.instances[0].process;
    assert_eq!(process.user, Some(UserSpec { user: "www".to_owned(), group: Some("1000".to_owned()) }));
    assert_eq!(process.groups, Some(pairs_of(&["a", "5"])));
    assert!(process.directory.as_ref().unwrap().is_absolute() && process.directory.as_ref().unwrap().ends_with("sub"));
    assert_eq!((process.umask, process.nice, process.oom_score_adj), (Some(0o027), Some(-5), Some(100)));
    let limit = |resource, soft, hard| Rlimit { resource, soft, hard };
    for expected in [
        limit(Resource::Nofile, Some(1024), Some(1024)),
        limit(Resource::Core, None, None),
        limit(Resource::As, Some(1 << 30), Some(1 << 30)),
        limit(Resource::Stack, Some(8 << 20), None),
        limit(Resource::Cpu, Some(5), Some(5)),
    ] {
        assert!(process.rlimits.contains(&expected), "{expected:?}");
    }
    assert!(process.clean_environment && process.login_environment);
    assert!(!only("login_environment = false").instances[0].process.login_environment);
    assert_eq!((web.kind, web.autostart, web.exit_codes, web.priority), (Kind::Oneshot, false, vec![0, 2], -3));
}

#[test]
fn environments_lie_over_one_another() {
    let here = Here::new(&[
        ("c.toml", "[musterd]\nenvironment = { A = \"d\", B = \"d\", C = \"d\", D = \"d\", PATH = \"/opt:${PATH}\" }
            [defaults]\nenvironment = { C = \"defaults\", D = \"defaults\" }
            [program.web]\ncommand = \"x ${A} ${PATH}\"\nenv_file = [\"web.env\", \"?no.env\", \"sub/more.env\"]\nenvironment = { D = \"own\" }"),
        ("web.env", "B=file\nC=file\nexport E='$x {y}'\n"),
        ("sub/more.env", "E=more"),
    ]);
    let loaded = here.load(&["c.toml"]);
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.render(false));
    assert_eq!(loaded.files, [here.path("c.toml"), here.path("web.env"), here.path("sub/more.env")]);
    let spec = loaded.spec.unwrap();
    let expected =
        [("A", "d"), ("B", "file"), ("C", "defaults"), ("D", "own"), ("E", "more"), ("PATH", "/opt:/usr/bin:/bin")];
    assert_eq!(environment(&spec, "web"), pairs(&expected));
    assert_eq!(instance(&spec, "web", 0).process.command, pairs_of(&["x", "d", "/opt:/usr/bin:/bin"]));
}

#[test]
fn errors_in_environment_files_have_their_line_and_no_value() {
    let here = Here::new(&[
        (
            "c.toml",
            "[program.web]\ncommand = \"x\"\nenv_file = \"web.env\"\n[program.b]\ncommand = \"x\"\nenv_file = \"web.env\"",
        ),
        ("web.env", "A=1\nhunter2 is no variable\nB='hunter2"),
    ]);
    let loaded = here.load(&["c.toml"]);
    let text = here.short(&loaded.render(false));
    assert!(loaded.spec.is_none() && !text.contains("hunter2"), "{text}");
    let places: Vec<_> = loaded.diagnostics.iter().map(|d| (d.line, d.column, d.message.as_str())).collect();
    assert_eq!(places, [(2, 1, "not a variable: = is missing"), (3, 3, "unclosed '")]);
    assert!(text.starts_with("error: web.env:2:1: not a variable"), "{text}");
}

#[test]
fn later_files_win_by_key_and_tables_are_merged() {
    let here = Here::new(&[
        (
            "a.toml",
            "include = [\"d/*.toml\"]\n[defaults]\nstopwaitsecs = 1\nbackoff = \"docker\"
            [program.web]\ncommand = \"a\"\npriority = 1\nuser = \"a\"\nenvironment = { A = \"a\", B = \"a\" }
            [program.web.logs]\nstdout = \"none\"\nstderr = \"none\"\n[group.all-of-it]\nprograms = [\"web\"]",
        ),
        (
            "d/1.toml",
            "[program.web]\npriority = 2\nenvironment.B = \"1\"\nlogs.stderr = \"stdout\"\nbackoff = { max = \"30s\" }",
        ),
        (
            "d/2.toml",
            "[program.web]\npriority = 3\n[program.new]\ncommand = \"new\"\n[group.all-of-it]\nprograms = [\"web\", \"new\"]",
        ),
        ("z.toml", "[program.web]\nuser = \"\"\n[musterd]\nloglevel = \"debug\""),
    ]);
    let loaded = here.load(&["a.toml", "z.toml"]);
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.render(false));
    let names = ["a.toml", "d/1.toml", "d/2.toml", "z.toml"];
    assert_eq!(loaded.files, names.map(|name| here.path(name)));
    let spec = loaded.spec.unwrap();
    let web = program(&spec, "web");
    assert_eq!((web.priority, &web.instances[0].process.user), (3, &None));
    assert_eq!(environment(&spec, "web"), pairs(&[("A", "a"), ("B", "1")]));
    assert_eq!((&web.instances[0].output.stdout, &web.instances[0].output.stderr), (&Target::Discard, &None));
    assert_eq!(web.restart.backoff, Backoff { max: seconds(30), ..Preset::Docker.backoff() });
    assert_eq!((web.restart.limit, web.stop.steps[0].patience), (Limit::Unlimited, seconds(1)));
    assert_eq!((web.groups, program(&spec, "new").groups), (pairs_of(&["all-of-it"]), pairs_of(&["all-of-it"])));
    assert_eq!(spec.daemon.log_level, LogLevel::Debug);
}

#[test]
fn overriding_a_value_with_a_missing_variable_removes_its_error() {
    let here = Here::new(&[
        ("a.toml", "[program.web]\ncommand = \"a\"\nuser = \"${NO_SUCH}\"\nnice = -99"),
        ("b.toml", "[program.web]\nuser = \"b\"\nnice = 1"),
    ]);
    let loaded = here.load(&["a.toml", "b.toml"]);
    let messages: Vec<_> = loaded.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(messages, ["program \"web\": nice must be a whole number from -20 to 19: -99"]);
}

#[test]
fn a_directory_is_all_its_toml_files_by_name() {
    let here = Here::new(&[
        ("d/2.toml", "[program.web]\npriority = 2"),
        ("d/1.toml", "[program.web]\ncommand = \"x\"\npriority = 1"),
        ("d/readme.txt", "no"),
        ("d/.hidden.toml", "no"),
    ]);
    assert_eq!(program(&here.spec(&["d"]), "web").priority, 2);
    let empty = Here::new(&[("d/readme.txt", "")]).load(&["d"]);
    assert_eq!(empty.diagnostics[0].message, "no *.toml files in this directory");
}

#[test]
fn files_that_include_one_another_are_refused_with_the_circle() {
    let here = Here::new(&[
        ("a.toml", "include = [\"b.toml\"]\n[program.web]\ncommand = \"x\""),
        ("b.toml", "include = [\"c.toml\"]"),
        ("c.toml", "include = [\"a.toml\"]"),
    ]);
    let loaded = here.load(&["a.toml"]);
    assert!(loaded.spec.is_none());
    assert_eq!(
        here.short(&loaded.diagnostics[0].headline()),
        "c.toml:1:12: include: files include each other in a cycle: a.toml → b.toml → c.toml → a.toml"
    );
}

#[test]
fn everything_that_could_change_the_answer_is_named() {
    let here = Here::new(&[
        (
            "d/a.toml",
            "include = [\"e/*.toml\", \"no.toml\"]\n[program.web]\ncommand = \"x\"\nenv_file = [\"?no.env\", \"w.env\"]",
        ),
        ("d/w.env", "A=1"),
        ("d/e/b.toml", ""),
    ]);
    let mut loaded = here.load(&["d", "c.toml"]);
    let file = |name: &str| LookedAt::File(here.path(name));
    let directory = |name: &str| LookedAt::Directory(here.path(name));
    loaded.looked_at.sort();
    let names = ["c.toml", "d/a.toml", "d/e/b.toml", "d/no.env", "d/no.toml", "d/w.env"];
    let expected: Vec<_> = names.iter().map(|name| file(name)).chain(["d", "d/e"].map(directory)).collect();
    assert_eq!(loaded.looked_at, expected);
}

#[test]
fn a_file_that_is_named_twice_is_read_once() {
    let here = Here::new(&[
        ("a.toml", "include = [\"common.toml\"]\n[program.web]\ncommand = \"x\""),
        ("b.toml", "include = [\"common.toml\"]\n[program.web]\npriority = 2"),
        ("common.toml", "[program.web]\npriority = 1"),
    ]);
    let loaded = here.load(&["a.toml", "b.toml"]);
    assert_eq!(program(loaded.spec.as_ref().unwrap(), "web").priority, 2);
    assert_eq!(
        here.short(&loaded.diagnostics[0].headline()),
        "b.toml:1:12: common.toml was already read and is skipped"
    );
}

#[test]
fn errors_of_all_files_are_reported_at_once_in_order() {
    let here = Here::new(&[
        ("a.toml", "include = [\"b.toml\"]\nx = 1\n[program.web]\ncommand = 5"),
        ("b.toml", "[program.b]\n"),
        ("c.toml", "[program.c]\ncommand = c\nnice = 99"),
    ]);
    let loaded = here.load(&["a.toml", "c.toml", "missing.toml"]);
    let lines: Vec<String> = loaded.diagnostics.iter().map(|d| here.short(&d.headline())).collect();
    assert_eq!(
        lines,
        [
            "a.toml:2:1: unknown key \"x\"",
            "a.toml:4:11: program \"web\": command must be text or a list of texts: 5",
            "b.toml:1:10: program \"b\": command is missing",
            "c.toml:2:11: not TOML: string values must be quoted, expected literal string",
            "c.toml:3:8: program \"c\": nice must be a whole number from -20 to 19: 99",
            "missing.toml:1:1: cannot read missing.toml: no such file",
        ]
    );
    assert!(loaded.spec.is_none());
}

#[test]
fn files_that_are_not_toml_text_are_refused_by_name_and_place() {
    let here = Here::new(&[("supervisord.conf", "[supervisord]"), ("x.ini", ""), ("bin.toml", "")]);
    fs::write(here.path("bin.toml"), b"a = 1\nb = \xff").unwrap();
    for (name, expected) in [
        (
            "supervisord.conf",
            "supervisord.conf:1:1: a supervisord configuration cannot be part of a TOML configuration",
        ),
        ("x.ini", "x.ini:1:1: a supervisord configuration cannot be part of a TOML configuration"),
        ("bin.toml", "bin.toml:2:5: not UTF-8 text from here on"),
    ] {
        let loaded = here.load(&[name]);
        assert_eq!(here.short(&loaded.diagnostics[0].headline()), expected);
        assert!(loaded.spec.is_none());
    }
}

#[test]
fn lint_looks_for_commands_and_directories() {
    let here = Here::new(&[
        ("c.toml", "[program.a]\ncommand = \"no-such-command\"\n[program.b]\ncommand = \"/no/such\"\n[program.c]\ncommand = \"{here}/c.toml\"
            [program.d]\ncommand = \"/tmp\"\n[program.e]\ncommand = \"sh\"\ndirectory = \"/no/such\"
            [program.f]\ncommand = \"sh\"\nclean_environment = true\n[program.g]\ncommand = \"sh\"\nenvironment = { PATH = \"/no\" }\nnumprocs = 5\n[program.h]\ncommand = \"sh\"\npre_stop = \"/no/drain\""),
    ]);
    let mut loaded = here.load(&["c.toml"]);
    assert!(loaded.diagnostics.is_empty(), "loading does not check");
    loaded.lint(&mut muster_config::Machine {
        variables: &|name| (name == "PATH").then(|| "/usr/bin:/bin".to_owned()),
        look_up: &mut |_| None,
    });
    let lines: Vec<String> = loaded.diagnostics.iter().map(|d| here.short(&d.headline())).collect();
    assert_eq!(
        lines,
        [
            "c.toml:2:11: program \"a\": command \"no-such-command\" is not in PATH",
            "c.toml:4:11: program \"b\": command \"/no/such\" cannot be found: no such file",
            "c.toml:6:11: program \"c\": command \"c.toml\" is not executable",
            "c.toml:8:11: program \"d\": command \"/tmp\" is a directory",
            "c.toml:11:13: program \"e\": directory /no/such cannot be used: no such directory",
            "c.toml:16:11: program \"g\": command \"sh\" is not in PATH",
            "c.toml:21:12: program \"h\": pre_stop: command \"/no/drain\" cannot be found: no such file",
        ]
    );
}
