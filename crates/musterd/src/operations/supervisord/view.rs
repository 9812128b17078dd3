//! Instances in supervisord's terms. Read-only.

use muster_spec::arrange;
use std::collections::HashSet;

use muster_api::Timestamp;
use muster_config::mask_text;
use muster_core::{Instance, PastRun, Time};
use muster_load::secrets::{Reader, mask};
use muster_spec::{Exit, RunEnd, State};
use muster_supervisord::groups::{configured, group_of, log_file, process_name};
use muster_supervisord::methods::{Channel, Member};
use muster_supervisord::spawn_error;
use muster_supervisord::status::{LocalMinute, ProcessInfo, ProcessState};
use muster_supervisord::xmlrpc::Value;
use muster_sys::local_time;
use muster_sys::user::Accounts;
use nix::errno::Errno;

use crate::reload::groups;
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

pub(super) fn member(instance: &Instance) -> Member {
    let program = instance.program();
    let group = group_of(program);
    Member {
        key: instance.name().to_owned(),
        name: process_name(group, instance.name()).to_owned(),
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
        name: process_name(group, instance.name()).to_owned(),
        group: group.to_owned(),
        start: began.or(past.map(|past| past.began)).map_or(0, seconds),
        stop: ended.map_or(0, |past| seconds(past.ended)),
        now: seconds(shared.clock.now()),
        state: state(instance.state()),
        spawnerr: past.filter(|_| began.is_none()).map(|past| failure(instance, past)).unwrap_or_default(),
        exitstatus: past.filter(|_| began.is_none()).map_or(0, |past| exit_status(instance, past)),
        stdout_logfile: mask(&log_file(output, Channel::Stdout)),
        stderr_logfile: mask(&log_file(output, Channel::Stderr)),
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
            let errno = format!("{:?}", Errno::from_raw(error.errno));
            mask_text(&mask(&spawn_error::text(
                error,
                &errno,
                &instance.spec().process,
                process_name(group, instance.name()),
            )))
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

fn local_minute(seconds: i64) -> LocalMinute {
    // 2026-11-29T08:15:00.042+01:00
    let text = Timestamp::from_unix_ms(seconds.saturating_mul(1000)).in_zone(local_time::offset(seconds));
    let number = |from: usize| text.get(from..from + 2).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    LocalMinute { month: number(5), day: number(8), hour: number(11), minute: number(14) }
}

/// The processes of the configuration that was read last, sorted by name.
pub(super) fn configuration(shared: &Shared, reader: Reader) -> Vec<Value> {
    let shown = |text: &str| match reader {
        Reader::Control => mask(text),
        Reader::Look => mask_text(&mask(text)),
    };
    let active = groups::active(shared);
    let in_use: HashSet<&str> = active.iter().map(|program| group_of(program)).collect();
    let (mut accounts, own_gid) = (Accounts::default(), nix::unistd::getegid().as_raw());
    let mut infos = Vec::new();
    for program in groups::pending_programs(shared) {
        for instance in &program.instances {
            let group = group_of(&program);
            let user = instance.process.user.as_ref();
            let uid = user.and_then(|user| accounts.account(user, own_gid).ok()).map(|account| account.uid);
            let value = configured(&program, instance, (uid, in_use.contains(group)), &shown);
            infos.push((process_name(group, &instance.name).to_owned(), value));
        }
    }
    arrange::sort_by(&mut infos, |(a, _), (b, _)| a.cmp(b));
    infos.into_iter().map(|(_, value)| value).collect()
}
