//! Instances in supervisord's terms. Read-only.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use muster_api::Timestamp;
use muster_core::{Instance, PastRun, Time};
use muster_logs::Source;
use muster_spec::{Exit, InstanceSpec, OutputSpec, ProgramSpec, RunEnd, Sink, State, StopKill, Target};
use muster_supervisord::methods::Member;
use muster_supervisord::status::{LocalMinute, ProcessInfo, ProcessState};
use muster_supervisord::xmlrpc::Value;
use muster_sys::local_time;
use muster_sys::user::Accounts;

use crate::main_log_events::spawn_error;
use crate::reload::groups::{self, group_of};
use crate::shared::Shared;

pub(super) fn state(state: State) -> ProcessState {
    match state {
        State::Stopped => ProcessState::Stopped,
        State::Waiting | State::Starting => ProcessState::Starting,
        State::Running => ProcessState::Running,
        State::Backoff => ProcessState::Backoff,
        State::Stopping => ProcessState::Stopping,
        State::Exited => ProcessState::Exited,
        State::Fatal => ProcessState::Fatal,
    }
}

/// The name of an instance within its group.
fn process<'a>(group: &str, name: &'a str) -> &'a str {
    name.strip_prefix(group).and_then(|rest| rest.strip_prefix(':')).unwrap_or(name)
}

pub(super) fn member(instance: &Instance) -> Member {
    let program = instance.program();
    let group = group_of(program);
    Member {
        key: instance.name().to_owned(),
        name: process(group, instance.name()).to_owned(),
        group: group.to_owned(),
        group_priority: program.rank(),
        priority: program.priority,
        state: state(instance.state()),
    }
}

/// An instance in full.
pub(super) fn info(shared: &Shared, instance: &Instance) -> ProcessInfo {
    let (program, output) = (instance.program(), &instance.spec().output);
    let group = group_of(program);
    let seconds = |at: Time| Timestamp::from(shared.clock.date(at)).unix_ms().div_euclid(1000);
    let began = instance.run_began();
    let past = instance.past().next_back();
    let ended = instance.past().rev().find(|past| !matches!(past.end, RunEnd::NotSpawned(_)));
    let pid = began.and(instance.run()).and_then(|run| shared.children.borrow().pid_of(run));
    let mut info = ProcessInfo {
        name: process(group, instance.name()).to_owned(),
        group: group.to_owned(),
        start: began.or(past.map(|past| past.began)).map_or(0, seconds),
        stop: ended.map_or(0, |past| seconds(past.ended)),
        now: seconds(shared.clock.now()),
        state: state(instance.state()),
        spawnerr: past.filter(|_| began.is_none()).map(|past| failure(instance, past)).unwrap_or_default(),
        exitstatus: past.filter(|_| began.is_none()).map_or(0, |past| exit_status(instance, past)),
        stdout_logfile: log_file(output, Source::Stdout),
        stderr_logfile: log_file(output, Source::Stderr),
        pid: pid.map_or(0, i64::from),
        description: String::new(),
    };
    info.description = info.describe(local_minute);
    info
}

/// Why the last run failed, if it did.
fn failure(instance: &Instance, past: &PastRun) -> String {
    let is_expected = || past.was_stopping || instance.program().counts_as_success(&past.end);
    match (&past.end, instance.state()) {
        (RunEnd::NotSpawned(error), _) => {
            let group = group_of(instance.program());
            spawn_error::text(error, &instance.spec().process, process(group, instance.name()))
        }
        (_, State::Backoff | State::Fatal) => "Exited too quickly (process log may have details)".to_owned(),
        (RunEnd::Exited(exit), State::Exited) if !is_expected() => format!("Bad exit code {}", code(*exit)),
        _ => String::new(),
    }
}

/// The exit status of the last run, unless it ended before it counted as started.
fn exit_status(instance: &Instance, past: &PastRun) -> i64 {
    match (&past.end, instance.state()) {
        (RunEnd::Exited(exit), State::Exited | State::Stopped) => code(*exit),
        _ => 0,
    }
}

fn code(exit: Exit) -> i64 {
    match exit {
        Exit::Code(code) => code.into(),
        Exit::Signal { .. } => -1,
    }
}

/// The file of a stream as text; empty for none.
fn log_file(output: &OutputSpec, source: Source) -> String {
    let sinks = source.target(output).map_or(&[][..], Target::sinks);
    let path = sinks.iter().find_map(|sink| match sink {
        Sink::Descriptor(path) => Some(path.as_path()),
        sink => sink.file(),
    });
    path.map(Path::display).map(|path| path.to_string()).unwrap_or_default()
}

fn local_minute(seconds: i64) -> LocalMinute {
    // 2026-11-29T08:15:00.042+01:00
    let text = Timestamp::from_unix_ms(seconds.saturating_mul(1000)).in_zone(local_time::offset(seconds));
    let number = |from: usize| text.get(from..from + 2).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    LocalMinute { month: number(5), day: number(8), hour: number(11), minute: number(14) }
}

/// The processes of the configuration that was read last, sorted by name.
pub(super) fn configuration(shared: &Shared) -> Vec<Value> {
    let active = groups::active(shared);
    let in_use: HashSet<&str> = active.iter().map(|program| group_of(program)).collect();
    let mut accounts = Accounts::default();
    let pending = groups::pending_programs(shared);
    let all = pending.iter().flat_map(|program| program.instances.iter().map(move |instance| (program, instance)));
    let mut infos: Vec<(String, Value)> = all
        .map(|(program, instance)| {
            let group = group_of(program);
            let name = process(group, &instance.name).to_owned();
            let is_in_use = in_use.contains(group);
            let value = Value::structure(configured(program, instance, (&name, is_in_use), &mut accounts));
            (name, value)
        })
        .collect();
    infos.sort_by(|(a, _), (b, _)| a.cmp(b));
    infos.into_iter().map(|(_, value)| value).collect()
}

fn configured(
    program: &ProgramSpec,
    instance: &InstanceSpec,
    (name, is_in_use): (&str, bool),
    accounts: &mut Accounts,
) -> Vec<(&'static str, Value)> {
    let (process, output) = (&instance.process, &instance.output);
    let none = || Value::from("none");
    let own_gid = nix::unistd::getegid().as_raw();
    let uid = process.user.as_ref().and_then(|user| accounts.account(user, own_gid).ok());
    let step = program.stop.steps.first();
    let mut fields = vec![
        ("autostart", program.autostart.into()),
        ("directory", process.directory.as_ref().map_or_else(none, |path| path.display().to_string().into())),
        ("uid", uid.map_or_else(none, |account| Value::Int(account.uid.into()))),
        ("command", process.command.join(" ").into()),
        ("exitcodes", Value::Array(program.exit_codes.iter().map(|code| Value::Int((*code).into())).collect())),
        ("group", group_of(program).into()),
        ("group_prio", program.rank().into()),
        ("inuse", is_in_use.into()),
        ("killasgroup", (program.stop.kill == StopKill::Group).into()),
        ("name", name.into()),
        ("process_prio", program.priority.into()),
        ("redirect_stderr", output.stderr.is_none().into()),
        ("startretries", Value::Int(program.restart.retries().map_or(i64::MAX, i64::from))),
        ("startsecs", whole(program.startsecs)),
    ];
    fields.extend(stream(output, Source::Stdout, STDOUT));
    fields.extend([
        ("stopsignal", Value::Int(step.map_or(0, |step| step.signal.number().into()))),
        ("stopwaitsecs", whole(program.patience())),
    ]);
    fields.extend(stream(output, Source::Stderr, STDERR));
    fields.push(("serverurl", none()));
    fields
}

const STDOUT: [&str; 6] = [
    "stdout_capture_maxbytes",
    "stdout_events_enabled",
    "stdout_logfile",
    "stdout_logfile_backups",
    "stdout_logfile_maxbytes",
    "stdout_syslog",
];
const STDERR: [&str; 6] = [
    "stderr_capture_maxbytes",
    "stderr_events_enabled",
    "stderr_logfile",
    "stderr_logfile_backups",
    "stderr_logfile_maxbytes",
    "stderr_syslog",
];

fn stream(output: &OutputSpec, source: Source, names: [&'static str; 6]) -> [(&'static str, Value); 6] {
    let sinks = source.target(output).map_or(&[][..], Target::sinks);
    let rotation = source.of(output.rotation);
    let file = match log_file(output, source) {
        path if !path.is_empty() => path,
        _ if sinks.contains(&Sink::Auto(None)) => "auto".to_owned(),
        _ => "none".to_owned(),
    };
    let values = [
        Value::Int(0),
        false.into(),
        file.into(),
        Value::Int(rotation.max_files.into()),
        Value::Int(i64::try_from(rotation.max_size).unwrap_or(i64::MAX)),
        sinks.contains(&Sink::Syslog).into(),
    ];
    let mut names = names.into_iter();
    values.map(|value| (names.next().unwrap_or_default(), value))
}

fn whole(span: Duration) -> Value {
    Value::Int(i64::try_from(span.as_secs()).unwrap_or(i64::MAX))
}
