//! Keys of musterd's own in a supervisord.conf, and the way back to the original's behaviour.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_config::{Opener, Role, open_any};
use muster_import::supervisord::{Inherited, Translation, to_spec};
use muster_spec::{
    DependencyCondition, Essential, ExitStatus, Growth, InstanceSpec, Kind, Leftovers, Limit, LineFormat, LogLevel,
    ProgramSpec, ReadySpec, RestartWhen, SecondSignal, ShutdownBudget, ShutdownOrder, Signal, SignalSet, Sink,
    StartFailures, Stdin, StopKill, StopScope, Target,
};

use crate::machine::Machine;
use crate::translation::machine;

const INHERITED: Inherited = Inherited { umask: 0o022, becomes_user: false };

fn translate_on(machine: Machine, text: &str, open: &Opener) -> Translation {
    let configuration = machine.clone().read(text).unwrap();
    to_spec(&configuration, &machine, INHERITED, open, |_| ())
}

fn translate(text: &str) -> Translation {
    translate_on(machine(), text, &open_any)
}

fn valid(text: &str) -> Translation {
    let translation = translate(text);
    assert_eq!(errors(&translation), [""; 0], "{text}");
    translation
}

fn errors(translation: &Translation) -> Vec<String> {
    let shown = |found: &muster_config::Diagnostic| {
        let hint = found.hint.as_deref().unwrap_or_default();
        format!("{}:{}:{}: {} [{hint}]", found.file.display(), found.line, found.column, found.message)
    };
    translation.errors.iter().map(shown).collect()
}

fn program_with(keys: &str) -> Arc<ProgramSpec> {
    let text = format!("[supervisord]\n[program:a]\ncommand=x -y\ndirectory=/srv\nenvironment=A=\"1\"\n{keys}");
    Arc::clone(&valid(&text).spec.programs[0])
}

fn instance_with(keys: &str) -> Arc<InstanceSpec> {
    Arc::clone(&program_with(keys).instances[0])
}

fn exact(text: &str) -> Translation {
    valid(&format!("[supervisord]\n[musterd]\ncompat=exact\n{text}"))
}

const PROGRAM: &str = "[program:a]\ncommand=x\n";

#[test]
fn a_stop_kills_the_whole_tree_or_whom_the_original_kills() {
    let kill = |keys: &str| program_with(keys).stop.kill;
    assert_eq!(kill(""), StopKill::Tree);
    // The name in the list of differences, and the key's own.
    for keys in ["muster.kill = \"main\"\n", "muster.kill=main\n", "muster.stop_kill = main\n"] {
        assert_eq!(kill(keys), StopKill::Main, "{keys}");
    }
    for (keys, scope, killed) in [
        ("", StopScope::Main, StopKill::Main),
        ("stopasgroup=true\n", StopScope::Group, StopKill::Group),
        ("killasgroup=true\n", StopScope::Main, StopKill::Group),
        ("muster.kill = tree\n", StopScope::Main, StopKill::Tree),
    ] {
        let stop = &exact(&format!("{PROGRAM}{keys}")).spec.programs[0].stop;
        assert_eq!((stop.scope, stop.kill, stop.leftovers), (scope, killed, Leftovers::Keep), "{keys}");
    }
}

#[test]
fn the_daemon_differs_from_the_original_unless_it_is_told_not_to() {
    let settings = |text: &str| {
        let daemon = valid(&format!("[supervisord]\n[musterd]\n{text}{PROGRAM}")).spec.daemon;
        (daemon.shutdown_order, daemon.exit_status, daemon.second_signal)
    };
    let ours = (ShutdownOrder::Parallel, ExitStatus::Failures, SecondSignal::Interrupt);
    let originals = (ShutdownOrder::Serial, ExitStatus::Zero, SecondSignal::Ignore);
    assert_eq!(settings(""), ours);
    assert_eq!(settings("shutdown = \"serial\"\n"), (ShutdownOrder::Serial, ours.1, ours.2));
    assert_eq!(settings("exit_status = \"zero\"\n"), (ours.0, ExitStatus::Zero, ours.2));
    assert_eq!(settings("second_signal = \"ignore\"\n"), (ours.0, ours.1, SecondSignal::Ignore));
    assert_eq!(settings("compat = \"exact\"\n"), originals);
    // A key that is written wins, wherever it stands.
    assert_eq!(settings("shutdown=parallel\ncompat=exact\n"), (ShutdownOrder::Parallel, originals.1, originals.2));
    let budget = |text: &str| valid(&format!("[supervisord]\n[musterd]\n{text}{PROGRAM}")).spec.daemon.shutdown_timeout;
    assert_eq!(budget("compat=exact\n"), ShutdownBudget::Unlimited);
    assert_eq!(budget("shutdown_timeout = 30s\n"), ShutdownBudget::Within(Duration::from_secs(30)));
}

#[test]
fn a_manual_start_forgives_unless_the_original_is_wanted() {
    let forgives = |translation: &Translation| translation.spec.programs[0].restart.forgive_on_start;
    assert!(program_with("").restart.forgive_on_start);
    assert!(!program_with("muster.forgive_on_start = false\n").restart.forgive_on_start);
    assert!(!forgives(&exact(PROGRAM)));
    assert!(forgives(&exact(&format!("{PROGRAM}muster.forgive_on_start = true\n"))));
}

#[test]
fn programs_have_default_signals_unless_the_original_is_wanted() {
    let both = SignalSet::of(&[Signal::PIPE, Signal::XFSZ]);
    let ignored = |translation: &Translation| translation.spec.programs[0].instances[0].process.ignore_signals;
    assert_eq!(instance_with("").process.ignore_signals, SignalSet::NONE);
    assert_eq!(instance_with("muster.ignore_signals = [\"PIPE\", \"XFSZ\"]\n").process.ignore_signals, both);
    assert_eq!(ignored(&exact(PROGRAM)), both);
    assert_eq!(ignored(&exact(&format!("{PROGRAM}muster.ignore_signals = []\n"))), SignalSet::NONE);
}

#[test]
fn what_no_key_names_stays_as_the_file_has_it() {
    let keys = "stopsignal=INT\nstopwaitsecs=7\nexitcodes=0,3\nstartretries=5\nautorestart=true\numask=027\n\
                stdout_logfile=/l/out\nstdout_logfile_maxbytes=1MB\nstderr_logfile=/l/err\n\
                stderr_logfile_maxbytes=2MB\nstderr_logfile_backups=4\n";
    let without = program_with(keys);
    let with = program_with(&format!("{keys}muster.leftover_wait = 1s\n"));
    let stop = muster_spec::StopSpec { leftover_wait: Duration::from_secs(1), ..without.stop.clone() };
    assert_eq!(*with, ProgramSpec { stop, ..ProgramSpec::clone(&without) });
    // Every kind of key, one at a time.
    let compressed = program_with(&format!("{keys}muster.logs.compress = true\n"));
    let rotation = &compressed.instances[0].output.rotation;
    assert_eq!([rotation.stdout.max_size, rotation.stderr.max_size], [1 << 20, 2 << 20]);
    assert_eq!([rotation.stdout.max_files, rotation.stderr.max_files], [10, 4]);
    assert!(rotation.stdout.compress && rotation.stderr.compress);
    let delayed = program_with(&format!("{keys}muster.backoff = {{ delay = \"3s\" }}\n")).restart;
    assert_eq!((delayed.when, delayed.limit), (RestartWhen::Always, Limit::Retries(5)));
    assert_eq!((delayed.backoff.delay, delayed.backoff.growth), (Duration::from_secs(3), Growth::Linear));
    assert_eq!(delayed.start_failures, StartFailures::Retry);
    let process = &instance_with(&format!("{keys}muster.nice = 5\n")).process;
    assert_eq!((process.nice, process.umask, process.stdin), (Some(5), Some(0o027), Stdin::Pipe));
    assert_eq!((process.directory.as_deref(), process.login_environment), (Some(Path::new("/srv")), false));
    assert_eq!(process.environment, without.instances[0].process.environment);
}

#[test]
fn keys_of_toml_work_with_all_their_values() {
    let program = program_with(
        "muster.type = oneshot\nmuster.essential = on-failure\nmuster.restart = no\nmuster.stopsignal = [\"INT\", \"TERM\"]\n\
         muster.stopwaitsecs = 1500ms\nmuster.ready.tcp = 127.0.0.1:80\nmuster.start_timeout = 5s\n\
         muster.logs.stdout = \"console\"\nmuster.logs.format = text\nmuster.logs.stderr = stdout\nmuster.rlimits.nofile = 64\n\
         muster.probes.live.tcp = 127.0.0.1:81\nmuster.user = nobody:nogroup\nmuster.groups = [\n  \"audio\",\n  \"video\"\n ]\n\
         muster.umask = 0077\nmuster.directory = {here}/{name}\nmuster.environment = { B = \"${HOME}\", A = \"2\" }\n",
    );
    assert_eq!((program.kind, program.essential), (Kind::Oneshot, Essential::OnFailure));
    assert_eq!(program.restart.when, RestartWhen::Never);
    let steps: Vec<_> = program.stop.steps.iter().map(|step| (step.signal, step.patience.as_millis())).collect();
    assert_eq!(steps, [(Signal::INT, 1500), (Signal::TERM, 1500)]);
    let instance = &program.instances[0];
    assert!(matches!(&instance.ready, Some(ReadySpec::Check(_))), "{:?}", instance.ready);
    assert_eq!((instance.start_timeout, instance.probes.len()), (Duration::from_secs(5), 1));
    assert_eq!(instance.output.stdout, Target::Capture(vec![Sink::Console]));
    assert_eq!((&instance.output.stderr, instance.output.format), (&None, LineFormat::Text));
    let process = &instance.process;
    assert_eq!((process.rlimits.len(), process.umask), (1, Some(0o077)));
    assert_eq!(process.groups.as_deref(), Some(&["audio".to_owned(), "video".to_owned()][..]));
    assert_eq!(process.user.as_ref().and_then(|user| user.group.as_deref()), Some("nogroup"));
    assert_eq!(process.directory.as_deref(), Some(Path::new("/D/a")));
    let variable = |name: &str| {
        let found = process.environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!([variable("A"), variable("B"), variable("SUPERVISOR_ENABLED")], [Some("2"), Some("/root"), Some("1")]);
    assert_eq!(process.command, ["x", "-y"]);
}

#[test]
fn each_process_reads_a_template_with_its_own_name_and_number() {
    let text = "[supervisord]\n[program:w]\ncommand=x\nnumprocs=3\nnumprocs_start=4\n\
                process_name=%(program_name)s_%(process_num)d\nmuster.directory = /w/{instance}/{name}\n";
    let directories: Vec<_> = valid(text).spec.programs.iter().map(|program| program.instances[0].clone()).collect();
    let directories: Vec<_> = directories.iter().map(|instance| instance.process.directory.clone().unwrap()).collect();
    assert_eq!(directories, ["/w/4/w:w_4", "/w/5/w:w_5", "/w/6/w:w_6"].map(std::path::PathBuf::from));
}

#[test]
fn no_percent_sign_is_expanded() {
    let process = instance_with("muster.environment = { A = \"%(ENV_HOME)s %d 100%\" }\n");
    let (_, value) = process.process.environment.iter().find(|(name, _)| name == "A").unwrap();
    assert_eq!(value, "%(ENV_HOME)s %d 100%");
}

#[test]
fn the_daemons_own_keys_and_those_of_its_socket_are_read() {
    let text = "[supervisord]\nloglevel=warn\n[unix_http_server]\nfile=/run/s\n[musterd]\nloglevel = debug\nwatch = true\n\
                exit_when_done = true\nhttp.socket = /run/muster.sock\nhttp.allow_users = [\"www\"]\n[program:a]\ncommand=x\n";
    let spec = valid(text).spec;
    assert_eq!((spec.daemon.log_level, spec.daemon.watch, spec.daemon.exit_when_done), (LogLevel::Debug, true, true));
    assert_eq!((spec.control.socket.as_deref(), spec.control.mode), (Some(Path::new("/run/muster.sock")), 0o666));
    assert_eq!(spec.control.allow_users, ["www"]);
}

#[test]
fn sections_depend_on_programs_and_on_groups() {
    let text = "[supervisord]\n[program:db]\ncommand=x\nnumprocs=2\nprocess_name=db%(process_num)d\n\
                [program:cache]\ncommand=x\nmuster.ready = notify\n\
                [program:web]\ncommand=x\nmuster.depends_on = { db = \"started\", cache = \"ready\" }\n\
                [eventlistener:l]\ncommand=x\nevents=TICK_5\nmuster.restart_with = [\"web\"]\n";
    let translation = valid(text);
    let program = |name: &str| translation.spec.programs.iter().find(|program| program.name == name).unwrap();
    let awaited: Vec<_> = program("web").depends_on.iter().map(|on| (on.program.as_str(), on.condition)).collect();
    let (started, ready) = (DependencyCondition::Started, DependencyCondition::Ready);
    assert_eq!(awaited, [("cache", ready), ("db:db0", started), ("db:db1", started)]);
    assert_eq!(program("l").restart_with, ["web"]);
    // The order of the programs stays that of the original.
    let names: Vec<_> = translation.spec.programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names, ["l", "cache", "db:db0", "db:db1", "web"]);
}

#[test]
fn mistakes_are_those_of_toml_with_their_places() {
    for (keys, expected) in [
        ("muster.stop_kil = main", "/D/s.conf:4:1: program \"a\": unknown key \"stop_kil\" [did you mean stop_kill?]"),
        (
            "muster.kill =   branch",
            "/D/s.conf:4:17: program \"a\": stop_kill must be \"main\", \"group\" or \"tree\": \"branch\"",
        ),
        ("muster.startsecs = [\n  1\n  ]", "/D/s.conf:4:20: program \"a\": startsecs must be"),
        (
            "muster.stopsignal = [\"TERM\", \"TREM\"]",
            "/D/s.conf:4:30: program \"a\": stopsignal must be a signal: \"TREM\"",
        ),
        ("muster.logs.fromat = text", "/D/s.conf:4:1: program \"a\": unknown key \"logs.fromat\""),
        ("muster.directory = ${NOT_SET}", "/D/s.conf:4:20: program \"a\": directory"),
        ("muster.depends_on = [\"b\"]", "/D/s.conf:4:22: program \"a\": depends_on: there is no program \"b\""),
        ("muster.depends_on = a", "/D/s.conf:4:21: program \"a\": depends_on: names the program itself"),
        (
            "muster.command = y",
            "/D/s.conf:4:1: program \"a\": command cannot be set here [write command, without muster. in front]",
        ),
        ("muster.numprocs = 3", "/D/s.conf:4:1: program \"a\": numprocs cannot be set here"),
        ("muster.priority = 3", "/D/s.conf:4:1: program \"a\": priority cannot be set here"),
        ("muster.environment.path = /x", "/D/s.conf:4:27: environment.path: a key is read in small letters"),
        ("[musterd]\ncompat = exakt", "/D/s.conf:5:10: [musterd]: compat must be \"exact\": \"exakt\""),
        ("[musterd]\nshutdwn = serial", "/D/s.conf:5:1: [musterd]: unknown key \"shutdwn\" [did you mean shutdown?]"),
        ("[musterd]\nhttp.sokcet = /x", "/D/s.conf:5:1: [http]: unknown key \"sokcet\" [did you mean socket?]"),
        ("[musterd]\nenvironment = {}", "/D/s.conf:5:1: [musterd]: environment cannot be set here"),
        (
            "muster.logs = {}\nmuster.logs.format = text",
            "/D/s.conf:5:1: not TOML: cannot extend value of type inline table with a dotted key",
        ),
        ("[musterd]\n\u{e9}\"\\ = 1", "/D/s.conf:5:1: [musterd]: unknown key"),
    ] {
        let errors = errors(&translate(&format!("[supervisord]\n[program:a]\ncommand=x\n{keys}\n")));
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{keys}: {errors:?}");
    }
}

#[test]
fn a_mistake_in_a_section_of_many_processes_is_reported_once() {
    let text = "[supervisord]\n[program:w]\ncommand=x\nnumprocs=50\nprocess_name=%(process_num)d\nmuster.nice = 99\n";
    assert_eq!(errors(&translate(text)).len(), 1);
}

#[test]
fn a_cycle_of_sections_is_refused() {
    let text = "[supervisord]\n[program:a]\ncommand=x\nmuster.depends_on = b\n\
                [program:b]\ncommand=x\nmuster.depends_on = a\n[program:c]\ncommand=x\nmuster.depends_on = a\n";
    let errors = errors(&translate(text));
    assert!(errors.len() == 1 && errors[0].contains("depends_on forms a cycle"), "{errors:?}");
    assert!(errors[0].starts_with("/D/s.conf:4:21: program \"a\""), "{errors:?}");
}

#[test]
fn secrets_stay_masked_as_in_toml() {
    let text = "[supervisord]\n[program:a]\ncommand=x\nmuster.directory = /srv/${TOKEN}/x\n\
                muster.probes.live.exec = [\"probe\", \"${TOKEN}\"]\nmuster.reloadsignal = ${TOKEN}\n\
                [musterd]\npidfile = /run/${TOKEN}\n";
    let translation = translate(text);
    let errors = errors(&translation);
    assert!(errors.len() == 1 && errors[0].contains("reloadsignal"), "{errors:?}");
    let translation = translate(&text.replace("muster.reloadsignal = ${TOKEN}\n", ""));
    assert!(translation.errors.is_empty());
    let [disguise] = &*translation.disguises.instances else { panic!("{:?}", translation.disguises) };
    let shown = format!("{:?}", disguise.shown);
    assert_ne!(disguise.shown.probes, disguise.real.probes);
    assert_eq!(disguise.shown.process.directory.as_deref(), Some(Path::new("/srv/***/x")));
    assert_eq!(translation.disguises.musterd, ["pidfile"]);
    for text in errors.iter().chain([&shown]) {
        assert!(!text.contains("topsecret"), "{text}");
    }
}

#[test]
fn a_value_of_an_environment_file_is_read_over_those_of_the_section() {
    let open = |path: &Path, role: Role<'_>| {
        assert!(matches!(role, Role::Environment { by, .. } if by == Path::new("/D/s.conf")));
        assert_eq!(path, Path::new("/D/a.env"));
        let mut file = tempfile::tempfile()?;
        file.write_all(b"A=file\nB=file\n")?;
        io::Seek::rewind(&mut file)?;
        Ok(file)
    };
    let text = "[supervisord]\n[program:a]\ncommand=x\nenvironment=A=\"1\",C=\"1\"\nmuster.env_file = a.env\n\
                muster.environment = { B = \"own\" }\n";
    let translation = translate_on(machine(), text, &open);
    assert_eq!(errors(&translation), [""; 0]);
    assert_eq!(translation.files, [Path::new("/D/a.env")]);
    let environment = &translation.spec.programs[0].instances[0].process.environment;
    let values: Vec<_> = ["A", "B", "C"]
        .iter()
        .map(|name| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap())
        .collect();
    assert_eq!(values, ["file", "own", "1"]);
}

#[test]
fn included_files_have_their_own_places_and_directories() {
    let machine = machine()
        .file("/E/b.conf", "[program:a]\nmuster.directory = ./data\n\n[program:b]\ncommand=x\nmuster.nise = 1\n");
    let text = "[supervisord]\n[include]\nfiles=/E/*.conf\n[program:a]\ncommand=x\nmuster.nice = 3\n";
    let translation = translate_on(machine, text, &open_any);
    assert_eq!(errors(&translation), ["/E/b.conf:6:1: program \"b\": unknown key \"nise\" [did you mean nice?]"]);
    let process = &translation.spec.programs[0].instances[0].process;
    assert_eq!((process.directory.as_deref(), process.nice), (Some(Path::new("/E/data")), Some(3)));
}

#[test]
fn defaults_for_all_sections_hold_for_keys_of_musterd_too() {
    let text =
        "[DEFAULT]\nmuster.nice = 3\n[supervisord]\n[program:a]\ncommand=x\n[program:b]\ncommand=x\nmuster.nice=4\n";
    let nice: Vec<_> =
        valid(text).spec.programs.iter().map(|program| program.instances[0].process.nice.unwrap()).collect();
    assert_eq!(nice, [3, 4]);
}

#[test]
fn many_processes_with_many_keys_take_a_moment() {
    let keys: String = (0..10).map(|number| format!("muster.probes.p{number}.tcp = 127.0.0.1:8{number}\n")).collect();
    let before = Instant::now();
    valid(&format!("[supervisord]\n[program:w]\ncommand=x\nnumprocs=10000\nprocess_name=%(process_num)d\n{keys}"));
    assert!(before.elapsed() < Duration::from_secs(60), "{:?}", before.elapsed());
    let chain: String = (0..5000)
        .map(|number| format!("[program:p{number}]\ncommand=x\nmuster.depends_on = p{}\n", number + 1))
        .collect();
    let translation = valid(&format!("[supervisord]\n{chain}[program:p5000]\ncommand=x\n"));
    assert_eq!(translation.spec.programs.iter().filter(|program| program.depends_on.len() == 1).count(), 5000);
    assert!(before.elapsed() < Duration::from_secs(60), "{:?}", before.elapsed());
}

#[test]
fn endless_work_is_refused() {
    let long = "x".repeat(4000);
    let text = format!(
        "[supervisord]\n[program:w]\ncommand=x\nnumprocs=10000\nprocess_name=%(process_num)d\nmuster.directory = /{long}\n"
    );
    let errors = errors(&translate(&text));
    assert!(errors.len() == 1 && errors[0].contains("too long for so many processes"), "{errors:?}");
    let sections: String =
        (0..300).map(|number| format!("[program:p{number}]\ncommand=x\nmuster.depends_on = g\n")).collect();
    let members: Vec<_> = (0..300).map(|number| format!("q{number}")).collect();
    let others: String = members.iter().map(|name| format!("[program:{name}]\ncommand=x\n")).collect();
    let text = format!("[supervisord]\n{sections}{others}[group:g]\nprograms={}\n", members.join(","));
    let errors = self::errors(&translate(&text));
    assert!(errors.len() == 1 && errors[0].contains("the limit is 50000 dependencies"), "{errors:?}");
}
