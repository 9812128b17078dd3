//! A configuration as the daemon runs it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_config::open_any;
use muster_import::supervisord::{Configuration, Inherited, Translation, namespec, split_command, to_spec};
use muster_spec::{
    EventType, ExitStatus, HostPort, Leftovers, Limit, ListenerMode, ListenerSpec, LogLevel, OwnVariables, PerStream,
    ProgramSpec, Resource, RestartWhen, Rotation, RpcDuringShutdown, SecondSignal, ShutdownBudget, Signal, Sink,
    SocketAddress, SocketSpec, StartFailures, Stdin, StopKill, StopScope, StreamEvents, Target,
};

use crate::machine::Machine;

pub(crate) fn machine() -> Machine {
    let mut machine = Machine::small().variable("TOKEN", "topsecret");
    machine.has_everything = true;
    machine
}

fn translate(text: &str) -> Translation {
    let configuration = machine().read(text).unwrap();
    to_spec(&configuration, &machine(), Inherited { umask: 0o027, becomes_user: false }, &open_any, |_| ())
}

fn program(text: &str) -> Arc<ProgramSpec> {
    let translation = translate(&format!("[supervisord]\n[program:a]\ncommand=x\n{text}"));
    assert_eq!(warnings(&translation), [""; 0]);
    Arc::clone(&translation.spec.programs[0])
}

fn names(translation: &Translation) -> Vec<&str> {
    translation.spec.programs.iter().map(|program| program.name.as_str()).collect()
}

fn warnings(translation: &Translation) -> Vec<String> {
    translation.warnings.iter().filter(|warning| !warning.is_note).map(ToString::to_string).collect()
}

/// Statements that hold for the translation of every configuration.
pub(crate) fn check(configuration: &Configuration, machine: &Machine) {
    let spec = to_spec(configuration, machine, Inherited { umask: 0o022, becomes_user: false }, &open_any, |_| ()).spec;
    let names: BTreeSet<&str> = spec.programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names.len(), spec.programs.len(), "names are unique");
    let mut groups = BTreeSet::new();
    for group in configuration.groups.iter().filter(|group| groups.insert(&group.name)) {
        let is_last =
            |place: usize| !group.processes[place + 1..].iter().any(|it| it.name == group.processes[place].name);
        for process in (0..group.processes.len()).filter(|place| is_last(*place)).map(|place| &group.processes[place]) {
            let name = namespec(&group.name, &process.name);
            let program = spec.programs.iter().find(|program| program.name == name).expect("each process is a program");
            let [instance] = program.instances.as_slice() else { panic!("{name} has one instance") };
            assert_eq!((&instance.name, &program.groups), (&name, &vec![group.name.clone()]));
            match split_command(&process.command) {
                Ok(words) if !words.is_empty() => assert_eq!(instance.process.command, words),
                _ => assert!(instance.process.refusal.is_some(), "{name}"),
            }
            for (variable, value) in configuration.environment(process) {
                let is_set = instance.process.environment.iter().any(|(own, set)| own == variable && set == value);
                assert!(is_set, "{name}: {variable}");
            }
            assert_eq!(program.exit_codes, process.exitcodes);
            assert_eq!(program.stop.patience().as_secs(), u64::try_from(process.stopwaitsecs).unwrap_or(0));
        }
    }
}

#[test]
fn the_defaults_are_supervisords() {
    let program = program("");
    let process = &program.instances[0].process;
    assert_eq!((program.autostart, program.priority, program.exit_codes.as_slice()), (true, 999, [0].as_slice()));
    assert_eq!((program.startsecs, program.patience()), (Duration::from_secs(1), Duration::from_secs(10)));
    assert_eq!((program.restart.when, program.restart.limit), (RestartWhen::OnFailure, Limit::Retries(3)));
    assert_eq!(program.restart.start_failures, StartFailures::Retry);
    assert_eq!(program.restart.backoff.min_interval, Duration::from_secs(1));
    assert_eq!((program.stop.scope, program.stop.steps[0].signal), (StopScope::Main, Signal::TERM));
    assert_eq!((process.stdin, process.own_variables), (Stdin::Pipe, OwnVariables::Run));
    assert_eq!((&process.user, process.umask, &process.directory, &process.refusal), (&None, None, &None, &None));
    let output = &program.instances[0].output;
    let auto = Target::Capture(vec![Sink::Auto(None)]);
    assert_eq!((&output.stdout, &output.stderr), (&auto, &Some(auto.clone())));
    assert_eq!(output.rotation, PerStream::both(Rotation::DEFAULT));
    assert_eq!((program.stop.kill, program.stop.leftovers), (StopKill::Tree, Leftovers::Keep));
    assert!(!process.login_environment);
}

#[test]
fn every_rule_is_taken_over() {
    let program = program(
        "autostart=false\nstartsecs=-1\nstartretries=4294967295\nautorestart=true\nexitcodes=0,2\nstopsignal=QUIT\n\
         stopwaitsecs=3600\nstopasgroup=true\nuser=www\numask=027\ndirectory=/srv\nredirect_stderr=true\n\
         stdout_logfile=/var/log/a.log\nstdout_logfile_maxbytes=0\nstdout_logfile_backups=2\nstdout_syslog=true\n",
    );
    let process = &program.instances[0].process;
    assert!(!program.autostart);
    assert_eq!((program.startsecs, program.patience()), (Duration::ZERO, Duration::from_secs(3600)));
    assert_eq!((program.restart.when, program.restart.limit), (RestartWhen::Always, Limit::Retries(u32::MAX)));
    assert_eq!((program.stop.scope, program.stop.steps[0].signal), (StopScope::Group, Signal::QUIT));
    assert_eq!((program.exit_codes.as_slice(), process.umask), ([0, 2].as_slice(), Some(0o027)));
    assert_eq!(process.user.as_ref().map(|user| (user.user.as_str(), &user.group)), Some(("www", &None)));
    assert_eq!(process.directory.as_deref(), Some(Path::new("/srv")));
    let output = &program.instances[0].output;
    let sinks = vec![Sink::File("/var/log/a.log".into()), Sink::Syslog];
    assert_eq!((&output.stdout, &output.stderr), (&Target::Capture(sinks), &None));
    assert_eq!((output.rotation.stdout.max_size, output.rotation.stdout.max_files), (0, 2));
    assert_eq!(output.rotation.stderr, Rotation::DEFAULT);
}

#[test]
fn each_autorestart_and_log_file_has_its_meaning() {
    for (text, when) in
        [("false", RestartWhen::Never), ("unexpected", RestartWhen::OnFailure), ("true", RestartWhen::Always)]
    {
        assert_eq!(program(&format!("autorestart={text}\n")).restart.when, when);
    }
    let descriptor = |path: &str| Target::Capture(vec![Sink::Descriptor(path.into())]);
    for (text, target) in [
        ("NONE", Target::Discard),
        ("/dev/null", Target::Discard),
        ("/dev/stdout", descriptor("/dev/stdout")),
        ("/dev/fd/1", descriptor("/dev/fd/1")),
        ("/proc/self/fd/2", descriptor("/proc/self/fd/2")),
        ("a.log", Target::Capture(vec![Sink::File("/a.log".into())])),
        ("", Target::Capture(Vec::new())),
        ("AUTO", Target::Capture(vec![Sink::Auto(None)])),
    ] {
        let program = program(&format!("stdout_logfile={text}\n"));
        assert_eq!(program.instances[0].output.stdout, target, "{text}");
    }
}

#[test]
fn programs_start_by_the_groups_priority_and_then_in_the_groups_order() {
    let translation = translate(
        "[supervisord]\n[program:b]\ncommand=x\npriority=2\n[program:a]\ncommand=x\npriority=5\n[program:c]\ncommand=x\n\
         priority=1\n[program:d]\ncommand=x\nnumprocs=12\nprocess_name=p%(process_num)d\npriority=3\n\
         [group:g]\nprograms=a,c\npriority=2\n",
    );
    let expected = ["b", "g:a", "g:c", "d:p0", "d:p1", "d:p10", "d:p11", "d:p2"];
    assert_eq!(names(&translation)[..8], expected);
    let first = translation.spec.programs.iter().take(4);
    let orders: Vec<_> = first.map(|program| (program.rank(), program.boot_order().1, program.priority)).collect();
    assert_eq!(orders, [(2, 0, 2), (2, 1, 5), (2, 2, 1), (3, 3, 3)]);
    assert_eq!(translation.spec.programs[1].groups, ["g"]);
}

#[test]
fn the_environment_is_layered_as_by_the_original() {
    let translation = translate(
        "[supervisord]\nenvironment=A=\"global\",B=\"global\"\n[unix_http_server]\nfile=/run/s.sock\nchmod=0770\n\
         [program:a]\ncommand=x\nnumprocs=1\nprocess_name=p\nenvironment=B=\"own\",SUPERVISOR_ENABLED=\"no\"\n",
    );
    let environment = &translation.spec.programs[0].instances[0].process.environment;
    let expected = [
        ("A", "global"),
        ("B", "own"),
        ("SUPERVISOR_ENABLED", "no"),
        ("SUPERVISOR_GROUP_NAME", "a"),
        ("SUPERVISOR_PROCESS_NAME", "p"),
        ("SUPERVISOR_SERVER_URL", "unix:///run/s.sock"),
    ];
    assert_eq!(*environment, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let control = &translation.spec.control;
    assert_eq!((control.socket.as_deref(), control.mode), (Some(Path::new("/run/s.sock")), 0o770));
    assert!(warnings(&translation).is_empty(), "{:?}", warnings(&translation));
}

#[test]
fn a_command_that_cannot_be_split_is_refused_at_each_start() {
    for (command, reason) in [
        ("", "command is empty"),
        ("sh -c 'x", "can't parse command \"sh -c 'x\": No closing quotation"),
        ("x \\", "can't parse command 'x \\\\': No escaped character"),
    ] {
        let translation = translate(&format!("[supervisord]\n[program:a]\ncommand={command}\n"));
        let program = &translation.spec.programs[0];
        assert_eq!(program.instances[0].process.refusal.as_deref(), Some(reason));
        assert!(program.autostart);
    }
}

#[test]
fn a_fastcgi_program_has_its_socket_as_standard_input_also_in_a_group() {
    let translation = translate(
        "[supervisord]\n[fcgi-program:f]\ncommand=x\nnumprocs=2\nprocess_name=%(process_num)d\n\
         socket=tcp://LocalHost:9000\nsocket_backlog=7\n\
         [fcgi-program:h]\ncommand=x\nsocket=unix:///run/../run/h.sock\nsocket_mode=0770\n[group:g]\nprograms=h\n",
    );
    let sockets = |name: &str| {
        let program = translation.spec.programs.iter().find(|program| program.name == name).unwrap();
        assert!(program.autostart && program.instances[0].process.refusal.is_none());
        assert_eq!(program.instances[0].process.stdin, Stdin::Nothing);
        program.instances[0].process.sockets.clone()
    };
    let tcp = SocketSpec {
        backlog: 7,
        is_stdin: true,
        replaces: true,
        ..SocketSpec::new("f", SocketAddress::Tcp(HostPort { host: "localhost".to_owned(), port: 9000 }))
    };
    assert_eq!(sockets("f:0"), sockets("f:1"));
    assert_eq!(*sockets("f:1"), [tcp]);
    let unix = &sockets("g:h")[0];
    assert_eq!((unix.address.to_string().as_str(), unix.mode), ("unix:///run/h.sock", 0o770));
    assert_eq!((unix.backlog, unix.is_stdin), (SocketSpec::BACKLOG, true));
}

#[test]
fn listeners_get_events_and_streams_cause_them() {
    let translation = translate(
        "[supervisord]\n[eventlistener:l]\ncommand=x\nevents=tick_5,EVENT,TICK_5\nbuffer_size=3\nnumprocs=2\n\
         process_name=p%(process_num)d\nstdout_logfile=NONE\nstdout_capture_maxbytes=5\nstderr_events_enabled=true\n\
         [program:a]\ncommand=x\nstdout_logfile=NONE\nstdout_capture_maxbytes=1MB\nstderr_logfile=NONE\n",
    );
    let log = StreamEvents { log: true, capture: 0 };
    let events = vec![EventType::Event, EventType::Tick5];
    let (mode, results) = (ListenerMode::Patient, muster_spec::Results::Judge);
    let pool = ListenerSpec { pool: "l".to_owned(), events, buffer_size: 3, mode, results };
    for program in &translation.spec.programs[..2] {
        let instance = &program.instances[0];
        let process = &instance.process;
        assert_eq!((process.stdin, process.listener.as_deref(), &process.refusal), (Stdin::Events, Some(&pool), &None));
        // It is read, though it has no log.
        assert_eq!(instance.output.stdout, Target::Capture(Vec::new()));
        assert_eq!(instance.output.events, PerStream { stdout: StreamEvents::NONE, stderr: log });
    }
    let output = &translation.spec.programs[2].instances[0].output;
    assert_eq!((&output.stdout, &output.stderr), (&Target::Capture(Vec::new()), &Some(Target::Discard)));
    assert_eq!(output.events.stdout, StreamEvents { log: false, capture: 1 << 20 });
    assert_eq!(warnings(&translation), Vec::<String>::new());
}

#[test]
fn the_daemon_stays_in_the_foreground_and_never_cuts_a_stop_short() {
    let translation = translate(
        "[supervisord]\nloglevel=blather\npidfile=/run/s.pid\numask=077\ndirectory=/tmp\nlogfile_backups=3\n\
         [program:a]\ncommand=x\n",
    );
    let daemon = &translation.spec.daemon;
    assert_eq!((daemon.log_level, &daemon.log_file), (LogLevel::Trace, &None));
    assert_eq!((daemon.pidfile.clone(), daemon.umask, &daemon.directory), (Some("/run/s.pid".into()), 0o027, &None));
    assert_eq!((daemon.exit_when_done, daemon.log_rotation.max_files), (false, 3));
    assert_eq!(daemon.shutdown_timeout, ShutdownBudget::Unlimited);
    assert_eq!((daemon.exit_status, daemon.second_signal), (ExitStatus::Failures, SecondSignal::Interrupt));
    assert_eq!(daemon.least_limits, [(Resource::Nofile, 1024), (Resource::Nproc, 200)]);
    let auto_logs = daemon.auto_logs.as_ref().expect("AUTO is the default");
    assert_eq!((auto_logs.identifier.as_str(), auto_logs.keep_old), ("supervisor", false));
    assert_eq!(daemon.syslog.facility.name(), "user");
    let socket: Option<PathBuf> = Some("/run/muster.sock".into());
    assert_eq!(translation.spec.control.socket, socket);
    let named = translate("[supervisord]\nlogfile=/var/log/s.log\n[program:a]\ncommand=x\n");
    assert_eq!(named.spec.daemon.log_file.as_deref(), Some(Path::new("/var/log/s.log")));
    for own in ["/dev/stdout", "/dev/fd/2", "/proc/self/fd/2", "/proc/1/fd/1"] {
        let console = translate(&format!("[supervisord]\nlogfile={own}\n[program:a]\ncommand=x\n"));
        assert_eq!(console.spec.daemon.log_file, None, "{own}");
    }
}

#[test]
fn programs_never_get_more_rights_than_under_a_daemon_that_changed_its_user() {
    let text = "[supervisord]\nuser=www\n[program:a]\ncommand=x\n[program:b]\ncommand=x\nuser=db\n";
    let translation = translate(text);
    let user = |place: usize| {
        let process = &translation.spec.programs[place].instances[0].process;
        process.user.as_ref().map(|user| user.user.clone())
    };
    assert_eq!([user(0), user(1)], [Some("www".to_owned()), Some("db".to_owned())]);
    assert!(warnings(&translation)[0].contains("the daemon keeps its user"), "{:?}", warnings(&translation));
    assert_eq!(translate(&text.replace("=www", "=root")).spec.programs[0].instances[0].process.user, None);
}

#[test]
fn every_server_is_a_socket_or_a_listener() {
    let translation = translate(
        "[supervisord]\n[program:a]\ncommand=x\n[unix_http_server]\nfile=/s\n[inet_http_server]\nport=127.0.0.1:9001\n",
    );
    let control = &translation.spec.control;
    assert_eq!(control.socket.as_deref(), Some(Path::new("/s")));
    let addresses: Vec<String> = control.listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(addresses, ["http://127.0.0.1:9001"]);
}

#[test]
fn pools_and_xml_rpc_are_as_patient_as_the_original_where_that_is_wanted() {
    let listener = "[eventlistener:l]\ncommand=x\nevents=EVENT\n";
    for (sections, mode, answers) in [
        ("", ListenerMode::Patient, RpcDuringShutdown::Answer),
        ("muster.listener=exact\n", ListenerMode::Exact, RpcDuringShutdown::Answer),
        ("[musterd]\nrpc_during_shutdown=fault\n", ListenerMode::Patient, RpcDuringShutdown::Fault),
        ("[musterd]\ncompat=exact\n", ListenerMode::Exact, RpcDuringShutdown::Fault),
        ("muster.listener=patient\n[musterd]\ncompat=exact\n", ListenerMode::Patient, RpcDuringShutdown::Fault),
    ] {
        let spec = translate(&format!("[supervisord]\n{listener}{sections}")).spec;
        let pool = spec.programs[0].instances[0].process.listener.clone().unwrap();
        assert_eq!((pool.mode, spec.daemon.rpc_during_shutdown), (mode, answers), "{sections}");
    }
    let wrong = translate("[supervisord]\n[program:a]\ncommand=x\nmuster.listener=exact\n");
    let is_named = |warning: &String| warning.contains("listener has no effect without stdin");
    assert!(warnings(&wrong).iter().any(is_named), "{:?}", warnings(&wrong));
}

#[test]
fn names_may_be_any_text_and_equal_ones_replace_each_other() {
    let translation = translate(
        "[supervisord]\n[program:w\u{e9}b*]\ncommand=x\n[program:a]\ncommand=x\nnumprocs=3\n\
         process_name=%(program_name)s%(process_num).0s\nenvironment=N=\"%(process_num)d\"\n",
    );
    assert_eq!(names(&translation), ["a", "w\u{e9}b*"]);
    let environment = &translation.spec.programs[0].instances[0].process.environment;
    assert!(environment.contains(&("N".to_owned(), "2".to_owned())), "the last one counts");
}

#[test]
fn a_secret_that_an_expansion_brought_in_is_masked_where_it_is_shown() {
    let translation = translate(
        "[supervisord]\n[program:a]\ncommand=x --token %(ENV_TOKEN)s\nstdout_logfile=/log/%(ENV_TOKEN)s/out\n\
         [program:b]\ncommand=x\n[program:c]\ncommand=x --password hunter22\nenvironment=DB_PASSWORD=\"hunter22\"\n",
    );
    let shown: Vec<_> = translation.disguises.instances.iter().map(|disguise| &disguise.shown).collect();
    let commands: Vec<_> = shown.iter().map(|shown| shown.process.command.join(" ")).collect();
    assert_eq!(commands, ["x --token ***", "x --password ***"]);
    assert_eq!(shown[0].output.stdout, Target::Capture(vec![Sink::File("/log/***/out".into())]));
    assert_eq!(translation.disguises.secrets.mask("a hunter22 topsecret"), "a *** ***");
}

#[test]
fn an_empty_serverurl_sets_no_variable() {
    let has_url = |line: &str| {
        let text = format!("[supervisord]\n[unix_http_server]\nfile=/run/s.sock\n[program:a]\ncommand=x\n{line}");
        let program = Arc::clone(&translate(&text).spec.programs[0]);
        program.instances[0].process.environment.iter().any(|(name, _)| name == "SUPERVISOR_SERVER_URL")
    };
    assert!(has_url("") && has_url("serverurl=AUTO"));
    assert!(!has_url("serverurl="));
}
