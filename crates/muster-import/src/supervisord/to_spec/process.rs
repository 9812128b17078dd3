//! One process to one program.

use muster_spec::arrange::Gather;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use muster_spec::{
    Essential, EventType, GroupOrder, InstanceSpec, Kind, Leftovers, Limit, ListenerMode, ListenerSpec, Numprocs,
    OwnVariables, Preset, ProcessSpec, ProgramSpec, RestartPolicy, RestartWhen, Results, Signal, SignalSet, StartDelay,
    StartOn, Stdin, StopKill, StopScope, StopSpec, StopStep, UserSpec,
};

use super::super::lint::PRINTS;
use super::super::model::{Autorestart, Group, GroupKind, Process};
use super::super::split_command;
use super::{Context, output, socket};
use muster_supervisord::python::repr;

/// The signals that programs inherit as ignored from Python.
const IGNORED_BY_ORIGINAL: SignalSet = SignalSet::NONE.with(Signal::PIPE).with(Signal::XFSZ);

/// The longest command that a message quotes, in characters.
const LONGEST_QUOTED: usize = 200;

/// The program of a process.
pub(super) fn program(
    context: &mut Context<'_>,
    group: &Group,
    process: &Process,
    name: String,
    place: u32,
) -> ProgramSpec {
    // In this order: what is found in the two is reported in it.
    let own = process_spec(context, group, process);
    let output = output::output(context, group, process).into();
    let instance = InstanceSpec { output, ..InstanceSpec::of(name.clone(), own) };
    ProgramSpec {
        name,
        groups: vec![group.name.clone()],
        kind: Kind::Service,
        autostart: process.autostart,
        start_on: StartOn::Boot,
        start_delay: StartDelay::NONE,
        once: false,
        restart: restart(context, process),
        startsecs: seconds(process.startsecs),
        max_runtime: None,
        exit_codes: process.exitcodes.clone(),
        on_exit: muster_spec::ExitRules::default(),
        depends_on: Vec::new(),
        restart_with: Vec::new(),
        priority: process.priority,
        stop_unit: Some(group.name.clone()),
        order: Some(GroupOrder { priority: group.priority, place }),
        essential: Essential::No,
        stop: stop(context, process),
        // The original has no command for it: TOML's default.
        reload_signal: Some(Signal::HUP),
        schedule: None,
        numprocs: Numprocs::of(1),
        rolling: None,
        recycle_after: None,
        watch: None,
        unshown: Some(unshown(process)),
        instances: vec![instance.into()],
    }
}

/// What the original compares and the specification does not show: how the command is written, and a key without effect.
fn unshown(process: &Process) -> u64 {
    let mut hasher = DefaultHasher::new();
    (process.killasgroup, &process.command).hash(&mut hasher);
    hasher.finish()
}

/// Zero for a negative number.
fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

fn restart(context: &Context<'_>, process: &Process) -> RestartPolicy {
    let when = match process.autorestart {
        Autorestart::Never => RestartWhen::Never,
        Autorestart::Unexpected => RestartWhen::OnFailure,
        Autorestart::Always => RestartWhen::Always,
    };
    let retries = u32::try_from(process.startretries.max(0)).unwrap_or(u32::MAX);
    let forgive_on_start = !context.is_exact;
    RestartPolicy { limit: Limit::Retries(retries), forgive_on_start, ..Preset::Supervisord.policy(when) }
}

fn stop(context: &mut Context<'_>, process: &Process) -> StopSpec {
    let signal = Signal::from_number(i32::from(process.stopsignal.0)).unwrap_or_else(|| {
        let hint = "name a signal: TERM, INT, QUIT";
        context.warn(process.section, Some("stopsignal"), "0 is no signal; SIGTERM is sent", hint);
        Signal::TERM
    });
    StopSpec {
        steps: vec![StopStep { signal, patience: seconds(process.stopwaitsecs) }],
        scope: if process.stopasgroup { StopScope::Group } else { StopScope::Main },
        kill: match (context.is_exact, process.killasgroup) {
            (false, _) => StopKill::Tree,
            (true, false) => StopKill::Main,
            (true, true) => StopKill::Group,
        },
        leftovers: Leftovers::Keep,
        leftover_wait: StopSpec::LEFTOVER_WAIT,
    }
}

fn process_spec(context: &Context<'_>, group: &Group, process: &Process) -> ProcessSpec {
    let (command, unusable) = command(&process.command);
    let listener = listener(context, group).map(Arc::new);
    let socket = socket::of(context, group, process);
    let stdin = match (&listener, &socket) {
        (Some(_), _) => Stdin::Events,
        (None, Some(_)) => Stdin::Nothing,
        (None, None) => Stdin::Pipe,
    };
    ProcessSpec {
        refusal: unusable,
        environment: environment(context, group, process),
        login_environment: false,
        own_variables: OwnVariables::Run,
        user: user(context, process),
        directory: process.directory.as_ref().map(Into::into),
        // The lowest nine bits are permissions.
        umask: process.umask.and_then(|umask| u32::try_from(umask & 0o777).ok()),
        stdin,
        ignore_signals: if context.is_exact { IGNORED_BY_ORIGINAL } else { SignalSet::NONE },
        listener,
        sockets: socket.into_iter().collect(),
        ..ProcessSpec::of(command)
    }
}

/// The pool that a group of listeners is.
fn listener(context: &Context<'_>, group: &Group) -> Option<ListenerSpec> {
    let GroupKind::Listener { buffer_size, events, result_handler } = &group.kind else { return None };
    let events = events.iter().filter_map(|name| EventType::parse(name)).collect();
    let buffer_size = usize::try_from(*buffer_size).unwrap_or(1);
    let mode = if context.is_exact { ListenerMode::Exact } else { ListenerMode::Patient };
    let results = if result_handler == PRINTS { Results::Print } else { Results::Judge };
    Some(ListenerSpec { pool: group.name.clone(), events, buffer_size, mode, results })
}

/// The words of a command. The original accepts a command without words, or with an open quote, and fails at every
/// start; so does this one, with the same reason.
fn command(text: &str) -> (Vec<String>, Option<String>) {
    let refused = |reason: String| (vec![text.to_owned()], Some(reason));
    match split_command(text) {
        Ok(words) if words.is_empty() => refused("command is empty".to_owned()),
        Ok(words) => (words, None),
        Err(why) => refused(format!("can't parse command {}: {why}", repr(&quoted(text)))),
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The original sets four variables of its own first, so that a configuration can replace them.
fn environment(context: &Context<'_>, group: &Group, process: &Process) -> Vec<(String, String)> {
    let configuration = context.configuration;
    let url = process.serverurl.as_deref().or(configuration.server_url.as_deref());
    let own = [
        ("SUPERVISOR_ENABLED", "1"),
        ("SUPERVISOR_PROCESS_NAME", process.name.as_str()),
        ("SUPERVISOR_GROUP_NAME", group.name.as_str()),
    ];
    // An empty one stands for no variable at all.
    let url = url.filter(|url| !url.is_empty());
    let own = own.into_iter().chain(url.map(|url| ("SUPERVISOR_SERVER_URL", url)));
    let mut variables: BTreeMap<&str, &str> = own.gather();
    variables.extend(configuration.environment(process));
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The user of the section, or else the one that the original daemon itself would become.
fn user(context: &Context<'_>, process: &Process) -> Option<UserSpec> {
    let own = process.user.as_ref().map(|user| user.name.clone());
    let name = own.or_else(|| super::daemon::common_user(context))?;
    Some(UserSpec { user: name, group: None })
}
