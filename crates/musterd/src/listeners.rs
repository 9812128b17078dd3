//! Event listeners: passes what happens to the pools of [`muster_supervisord::events`], and events to listening processes.
//!
//! Everything here is on the loop's thread and never waits. Output of listeners and other programs comes through
//! [`Logs::take_heard`](muster_logs::Logs::take_heard). An event that does not fit into a listener's pipe is written by a task,
//! at most one for each of them. Without pools nothing is done at all.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use muster_core::{Event, Instance, Supervisor};
use muster_logs::{Heard, Source};
use muster_spec::{EventType, Hook, InstanceId, InstanceSpec, OwnVariables, RunId, Signal, State, Stdin};
use muster_supervisord::events::{Announcement, Change, Channel, Level, Line, Member, Speaker};
use muster_supervisord::python::bytes_repr;
use tokio::task::AbortHandle;
use tracing::{debug, error, warn};

use crate::main_log_events::{self, process};
use crate::pools::{Held, Listeners, StopSignal};
use crate::shared::Shared;
use muster_logging::limit::{Notice, unless_none};
use muster_logging::main_log;
use muster_logging::repeated::Allowance;
use muster_server::turn_clock::spawn_beside;

/// The number of pieces of output that are taken in a row. Other sources come first.
const HEARD_A_TURN: usize = 16;

/// Makes the pools at the start. Each learns of its own group and of later ones.
pub(crate) fn begin(shared: &Shared) {
    regroup(shared, |instance| !instance.is_leaving());
    let mut listeners = shared.listeners.borrow_mut();
    listeners.exchange.announce(Announcement::running());
}

/// Announces an event of a client: sendRemoteCommEvent.
pub(crate) fn announce_remote(shared: &Rc<Shared>, kind: &str, data: &str) {
    shared.listeners.borrow_mut().exchange.announce(Announcement::remote(kind, data));
    dispatch(shared);
}

/// A process was started; it may be a listener.
pub(crate) fn started(shared: &Shared, run: RunId, spec: &InstanceSpec) {
    if spec.process.stdin == Stdin::Events {
        shared.listeners.borrow_mut().exchange.started(&spec.name, run);
    }
}

/// Announces one of the core's events, if listeners are to know of it.
pub(crate) fn observe(shared: &Shared, event: &Event) {
    match event {
        Event::Configured { .. } if shared.configuration.is_restarting.get() => begin_restart(shared),
        Event::Configured { plan } => regroup(shared, |instance| !plan.removed.contains(&instance.program().name)),
        event => announce(shared, event),
    }
    end_restart(shared);
}

/// Everything will be stopped, and then started as at the start of the daemon.
fn begin_restart(shared: &Shared) {
    let mut listeners = shared.listeners.borrow_mut();
    if !std::mem::replace(&mut listeners.is_restarting, true) {
        let last_drain = shared.children.borrow().logs().last_heard_drain();
        listeners.hold(Held::Announced(Announcement::stopping()), last_drain);
    }
}

/// If everything has been stopped, resets all pools and announces all groups.
fn end_restart(shared: &Shared) {
    let (configuration, supervisor) = (&shared.configuration, shared.supervisor.borrow());
    let is_over = |instance: &Instance| main_log_events::is_down_for_restart(instance);
    let mut listeners = shared.listeners.borrow_mut();
    if !listeners.is_restarting || supervisor.is_shutting_down() || !supervisor.snapshot().iter().all(is_over) {
        return;
    }
    configuration.is_restarting.set(false);
    listeners.is_restarting = false;
    listeners.release_held();
    listeners.exchange.forget_pools();
    listeners.groups.clear();
    listeners.states.begin_again(supervisor.snapshot().iter().map(Instance::id));
    drop((listeners, supervisor));
    begin(shared);
}

fn announce(shared: &Shared, event: &Event) {
    let mut listeners = shared.listeners.borrow_mut();
    if listeners.exchange.is_empty() {
        return;
    }
    let (supervisor, children) = (shared.supervisor.borrow(), shared.children.borrow());
    let last_drain = children.logs().last_heard_drain();
    match event {
        Event::State { instance, from, to, run } => {
            let instance = supervisor.instance(*instance);
            let end = instance.past().next_back().map(|past| &past.end);
            // Programs that start again wait until everything has been stopped.
            let to = if listeners.is_restarting && *to == State::Waiting { State::Stopped } else { *to };
            let change = Change {
                instance: instance.id(),
                from: *from,
                to,
                of: Speaker { pid: run.and_then(|run| children.pid_of(run)).unwrap_or(0), ..speaker(instance) },
                is_expected: end.is_some_and(|end| instance.program().counts_as_success(end)),
                is_shutting_down: supervisor.is_shutting_down() || listeners.is_restarting,
            };
            for announcement in listeners.states.announce(change) {
                listeners.hold(Held::Announced(announcement), last_drain);
            }
        }
        Event::Ended(ended) => {
            listeners.writing.remove(&ended.run).iter().for_each(AbortHandle::abort);
            listeners.hold(Held::Ended(ended.run), last_drain);
        }
        Event::ShutdownBegan { .. } if !listeners.is_restarting => {
            listeners.hold(Held::Announced(Announcement::stopping()), last_drain)
        }
        _ => {}
    }
}

/// The names of an instance for events.
fn speaker(instance: &Instance) -> Speaker<'_> {
    let program = instance.program();
    let own = program.groups.first().filter(|_| instance.spec().process.own_variables == OwnVariables::Run);
    Speaker { process: process(instance), group: own.unwrap_or(&program.name), pid: 0 }
}

/// Makes the pools and groups those of the instances that are there.
fn regroup(shared: &Shared, is_there: impl Fn(&Instance) -> bool) {
    let supervisor = shared.supervisor.borrow();
    let mut instances: Vec<&Instance> = supervisor.snapshot().iter().filter(|instance| is_there(instance)).collect();
    instances.sort_by_key(|instance| instance.program().boot_order());
    let mut groups: Vec<(&str, Vec<Member>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for instance in &instances {
        let Speaker { process, group, .. } = speaker(instance);
        let place = *places.entry(group).or_insert_with(|| {
            groups.push((group, Vec::new()));
            groups.len() - 1
        });
        let listener = instance.spec().process.listener.clone();
        let member = |listener| Member { instance: instance.name().to_owned(), process: process.to_owned(), listener };
        groups[place].1.extend(listener.map(member));
    }
    let mut listeners = shared.listeners.borrow_mut();
    let Listeners { exchange, states, groups: known, .. } = &mut *listeners;
    exchange.retain_pools(|pool| groups.iter().flat_map(|(_, members)| members).any(|it| it.listener.pool == pool));
    let ids: HashSet<InstanceId> = instances.iter().map(|instance| instance.id()).collect();
    states.retain(|id| ids.contains(&id));
    for gone in known.extract_if(|known| !places.contains_key(known.as_str())) {
        exchange.announce(Announcement::group_removed(&gone));
    }
    for (name, members) in groups {
        exchange.put_pool(members);
        if known.insert(name.to_owned()) {
            exchange.announce(Announcement::group_added(name));
        }
    }
    let wants_output = [EventType::ProcessLogStdout, EventType::ProcessLogStderr].map(|kind| exchange.is_wanted(kind));
    shared.children.borrow().logs().want_output(wants_output.contains(&true));
    listeners.arm_ticks(shared.clock.date(shared.clock.now()));
}

/// Takes some of what programs and listeners wrote.
pub(crate) fn take_heard(shared: &Rc<Shared>) {
    let heard = shared.children.borrow().logs().take_heard(HEARD_A_TURN);
    let mut listeners = shared.listeners.borrow_mut();
    for heard in heard {
        match heard {
            Heard::Answer { run, bytes } => {
                repeat(shared, &mut listeners.repeated, (RunId(run), Source::Stdout), &bytes, bytes_repr);
                listeners.exchange.heard(RunId(run), &bytes, Instant::now());
            }
            Heard::Drained(drain) => listeners.release_until(drain),
            Heard::Log { run, source, bytes, is_event } => {
                repeat(shared, &mut listeners.repeated, (RunId(run), source), &bytes, decoded);
                if !is_event {
                    continue;
                }
                announce_of(shared, &mut listeners, RunId(run), |of| Announcement::log(of, channel(source), &bytes));
            }
            Heard::Captured { run, source, bytes } => {
                let make = |of: Speaker<'_>| Announcement::communication(of, channel(source), &bytes);
                announce_of(shared, &mut listeners, RunId(run), make);
            }
        }
    }
}

fn channel(source: Source) -> Channel {
    match source {
        Source::Stdout => Channel::Stdout,
        Source::Stderr => Channel::Stderr,
    }
}

/// Repeats output in the main log, if that is wanted and the instance still exists.
fn repeat(
    shared: &Shared,
    allowance: &mut Allowance,
    (run, source): (RunId, Source),
    bytes: &[u8],
    text: impl FnOnce(&[u8]) -> String,
) {
    if !shared.children.borrow().logs().repeats_output() {
        return;
    }
    let Some(lost) = allowance.take(bytes.len(), Instant::now()) else { return };
    if lost > 0 {
        main_log::line(main_log::Level::Warn, format_args!("{lost} bytes of output are not repeated here"));
    }
    let supervisor = shared.supervisor.borrow();
    if let Some(instance) = last_instance(&supervisor, Hook::of_output(run).0) {
        let channel = if source == Source::Stdout { "stdout" } else { "stderr" };
        main_log::output(process(instance), channel, text(bytes));
    }
}

fn decoded(bytes: &[u8]) -> String {
    str::from_utf8(bytes).map_or_else(|_| format!("Undecodable: {}", bytes_repr(bytes)), str::to_owned)
}

/// The instance that this run belongs or belonged to.
fn last_instance(supervisor: &Supervisor, run: RunId) -> Option<&Instance> {
    let is_its = |instance: &&Instance| instance.last_run() == Some(run) || instance.past().any(|past| past.run == run);
    supervisor.instance_of(run).or_else(|| supervisor.snapshot().iter().find(is_its))
}

/// Announces output, if any pool may want it and the instance still exists.
fn announce_of(shared: &Shared, listeners: &mut Listeners, run: RunId, make: impl FnOnce(Speaker<'_>) -> Announcement) {
    let supervisor = shared.supervisor.borrow();
    if let Some(instance) = last_instance(&supervisor, run).filter(|_| !listeners.exchange.is_empty()) {
        let pid = shared.children.borrow().pid_of(run).unwrap_or(0);
        listeners.exchange.announce(make(Speaker { pid, ..speaker(instance) }));
    }
}

/// Announces ticks whose time has come.
pub(crate) fn handle_deadline(shared: &Shared) {
    shared.listeners.borrow_mut().pass_ticks(shared.clock.date(shared.clock.now()));
}

/// Holds the stop signal of a listener back while everything stops, until it has its last events.
pub(crate) fn postpones(shared: &Shared, stop: StopSignal) -> bool {
    let mut listeners = shared.listeners.borrow_mut();
    let all_stops = listeners.is_restarting || shared.supervisor.borrow().is_shutting_down();
    all_stops && stop.1 != Signal::KILL && listeners.postpone(stop)
}

/// Writes events to the listeners that are ready for one, and logs what there is to say.
pub(crate) fn dispatch(shared: &Rc<Shared>) {
    let mut listeners = shared.listeners.borrow_mut();
    if listeners.exchange.is_empty() {
        return;
    }
    let (supervisor, children) = (shared.supervisor.borrow(), shared.children.borrow());
    let Listeners { exchange, writing, parting, .. } = &mut *listeners;
    let is_running = |run| {
        let instance = supervisor.instance_of(run).filter(|instance| instance.run() == Some(run));
        let is_parting = parting.iter().any(|(_, (parting, ..))| *parting == run);
        is_parting || instance.is_some_and(|instance| instance.state() == State::Running)
    };
    exchange.dispatch(Instant::now(), is_running, |run, mut event| {
        let Some(pipe) = children.stdin_of(run) else { return false };
        let Ok(written) = pipe.write_now(&event) else { return false };
        event.drain(..written);
        if !event.is_empty() {
            // If it cannot be written, the process has closed its input; the event is rejected when it ends.
            let task = async move { drop(pipe.write(&event, Duration::MAX).await) };
            let task = spawn_beside(&shared.loop_turns, task);
            writing.insert(run, task.abort_handle());
        }
        true
    });
    let (lines, printed) = (exchange.take_lines(), exchange.take_printed());
    if !printed.is_empty() {
        children.logs().print(&printed);
    }
    drop((listeners, supervisor, children));
    lines.into_iter().for_each(|line| write_line(shared, line));
}

/// Writes a message in the main log's words where there is one. A listener cannot flood either.
fn write_line(shared: &Shared, Line { level, about, text }: Line) {
    let (notice, main_level) = match level {
        Level::Error => (Some(Notice::EventLost), main_log::Level::Error),
        Level::Warn => (Some(Notice::Listener), main_log::Level::Warn),
        Level::Debug => (None, main_log::Level::Debug),
    };
    if level == Level::Error && main_log::is_on() {
        // Each loss counts, and scripts count the lines.
        let Some(left_out) = shared.listeners.borrow_mut().losses.pass(Instant::now()) else { return };
        if left_out > 0 {
            main_log::line(main_level, format_args!("pools discarded {left_out} more events"));
        }
        return main_log::line(main_level, text);
    }
    let suppressed = match notice.map(|notice| shared.limits.pass(&about, notice)) {
        Some(None) => return,
        Some(Some(suppressed)) => unless_none(suppressed),
        None => None,
    };
    if main_log::is_on() {
        return main_log::line(main_level, text);
    }
    match level {
        Level::Error => error!(suppressed, "{text}"),
        Level::Warn => warn!(suppressed, "{text}"),
        Level::Debug => debug!("{text}"),
    }
}
