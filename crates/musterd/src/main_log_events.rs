//! The core's events as lines of supervisord's main log: see [`muster_logging::main_log`].
//!
//! [`said`] says which of them have a line of their own and need no other.

use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use muster_core::{Event, Instance, PastRun};
use muster_spec::{RunEnd, RunId, Signal, State, StopScope};
use muster_supervisord::ends::{message, signal_name};
use muster_supervisord::spawn_error;
use nix::errno::Errno;

use crate::opened_again::open_again;
use crate::pools::Held;
use crate::shared::Shared;
use muster_logging::main_log::{Level, Line, is_on, line};
use muster_server::turn_clock::spawn_beside;

/// The interval in which a shutdown reports programs that are still running.
const REPORT: Duration = Duration::from_secs(3);

/// A signal to the daemon.
pub(crate) fn received(shared: &Shared, signal: Signal) {
    if !is_on() {
        return;
    }
    let (name, is_over) = (signal_name(signal), shared.supervisor.borrow().is_shutting_down());
    match signal {
        Signal::TERM | Signal::INT | Signal::QUIT => {
            say(shared, Level::Warn, format_args!("received {name} indicating exit request"));
        }
        Signal::HUP if is_over => {
            say(shared, Level::Warn, format_args!("ignored {name} indicating restart request (shutdown in progress)"));
        }
        Signal::HUP => say(shared, Level::Warn, format_args!("received {name} indicating restart request")),
        // [`reaped`] says it later, where output has its place in the log.
        Signal::CHLD if shared.children.borrow().logs().repeats_output() => {}
        Signal::CHLD => say(shared, Level::Debug, format_args!("received {name} indicating a child quit")),
        Signal::USR2 => {
            say(shared, Level::Info, format_args!("received {name} indicating log reopen request"));
            say(shared, Level::Info, "supervisord logreopen");
        }
        _ => {}
    }
}

/// Processes that ended are known; their last output comes first.
pub(crate) fn reaped(shared: &Shared) {
    if is_on() && shared.children.borrow().logs().repeats_output() {
        say(shared, Level::Debug, "received SIGCHLD indicating a child quit");
    }
}

/// Writes a line. If the log repeats output, it comes after that of the processes that have ended.
fn say(shared: &Shared, level: Level, text: impl Display) {
    let children = shared.children.borrow();
    match children.logs().repeats_output() {
        true => {
            let held = Held::Line(Line::new(level, text.to_string()));
            shared.listeners.borrow_mut().hold(held, children.logs().last_heard_drain());
        }
        false => line(level, text),
    }
}

/// A process was created.
pub(crate) fn created(shared: &Shared, run: RunId) {
    if is_on() {
        shared.announced.borrow_mut().created(run);
    }
}

/// A process has executed its program, or could not. One that could not has only the line about the reason.
pub(crate) fn spawned(shared: &Shared, run: RunId, is_executed: bool) {
    let mut announced = shared.announced.borrow_mut();
    let runs = if is_executed { announced.executed(run) } else { announced.failed(run) };
    runs.into_iter().for_each(|run| announce(shared, run));
}

fn announce(shared: &Shared, run: RunId) {
    if is_on()
        && let Some(pid) = shared.children.borrow().pid_of(run)
        && let Some(instance) = shared.supervisor.borrow().instance_of(run)
    {
        say(shared, Level::Info, format_args!("spawned: '{}' with pid {pid}", process(instance)));
    }
}

/// Writes the lines of an event. Returns whether it has any place here, so that no other message is needed.
pub(crate) fn said(shared: &Rc<Shared>, event: &Event) -> bool {
    if !is_on() {
        return false;
    }
    match event {
        Event::State { instance, from, to, run } => {
            if let Some(run) = run.filter(|run| shared.announced.borrow_mut().is_due(*run)) {
                announce(shared, run);
            }
            let supervisor = shared.supervisor.borrow();
            of_state(shared, supervisor.instance(*instance), *from, *to, supervisor.is_shutting_down());
            if let (State::Stopping, Some(run)) = (to, supervisor.instance(*instance).run()) {
                stopping(shared, supervisor.instance(*instance), run);
            }
            drop(supervisor);
            restarted(shared);
            true
        }
        // Said with the state that follows.
        Event::Ended(_) => true,
        Event::Killed { instance, run, .. } => {
            let supervisor = shared.supervisor.borrow();
            if let Some(pid) = shared.children.borrow().pid_of(*run) {
                let name = process(supervisor.instance(*instance));
                say(shared, Level::Warn, format_args!("killing '{name}' ({pid}) with SIGKILL"));
            }
            true
        }
        Event::Configured { .. } if shared.configuration.is_restarting.get() => {
            report_unstopped(shared);
            restarted(shared);
            false
        }
        Event::ShutdownBegan { .. } => {
            report_unstopped(shared);
            false
        }
        _ => false,
    }
}

fn stopping(shared: &Shared, instance: &Instance, run: RunId) {
    let Some(pid) = shared.children.borrow().pid_of(run) else { return };
    let (name, stop) = (process(instance), &instance.program().stop);
    let Some(step) = stop.steps.first() else { return };
    let group = if stop.scope == StopScope::Main { "" } else { "process group " };
    let signal = signal_name(step.signal);
    say(shared, Level::Debug, format_args!("killing {name} (pid {pid}) {group}with signal {signal}"));
}

fn of_state(shared: &Shared, instance: &Instance, from: State, to: State, is_shutting_down: bool) {
    let name = process(instance);
    let past = instance.past().next_back();
    let has_ended = match (from, to) {
        (State::Starting, State::Running | State::Stopping) | (State::Running, State::Stopping) => false,
        (State::Starting | State::Running, _) => true,
        (State::Stopping, _) => true,
        _ => false,
    };
    if let Some(past) = past.filter(|_| has_ended) {
        of_end(shared, instance, past, from);
    }
    match to {
        State::Running => {
            let seconds = instance.program().startsecs.as_secs();
            say(
                shared,
                Level::Info,
                format_args!(
                    "success: {name} entered RUNNING state, process has stayed up for > than {seconds} seconds (startsecs)"
                ),
            );
        }
        State::Fatal if !is_shutting_down => {
            say(
                shared,
                Level::Info,
                format_args!("gave up: {name} entered FATAL state, too many start retries too quickly"),
            );
        }
        _ => {}
    }
}

/// The line about the end of a run that was in this state.
fn of_end(shared: &Shared, instance: &Instance, past: &PastRun, from: State) {
    let name = process(instance);
    let message = match &past.end {
        RunEnd::NotSpawned(error) => {
            let errno = format!("{:?}", Errno::from_raw(error.errno));
            let reason = spawn_error::text(error, &errno, &instance.spec().process, name);
            return say(shared, Level::Info, format_args!("spawnerr: {reason}"));
        }
        RunEnd::Exited(exit) => message(*exit),
        RunEnd::MainLost => past.end.to_string(),
    };
    let is_expected = instance.program().counts_as_success(&past.end);
    let level = if is_expected { Level::Info } else { Level::Warn };
    if past.was_stopping {
        return say(shared, level, format_args!("stopped: {name} ({message})"));
    }
    // Before it was RUNNING no end is expected.
    match is_expected && from != State::Starting {
        true => say(shared, level, format_args!("exited: {name} ({message}; expected)")),
        false => say(shared, Level::Warn, format_args!("exited: {name} ({message}; not expected)")),
    }
}

/// Reports the end of a restart: everything has been stopped.
fn restarted(shared: &Shared) {
    let is_restarting = &shared.configuration.is_restarting;
    if is_restarting.get() && shared.supervisor.borrow().snapshot().iter().all(is_down_for_restart) {
        is_restarting.set(false);
        open_again(shared);
        say(shared, Level::Info, format_args!("supervisord started with pid {}", std::process::id()));
    }
}

/// Whether nothing of an earlier run is left to be stopped before everything starts again.
pub(crate) fn is_down_for_restart(instance: &Instance) -> bool {
    instance.state() != State::Stopping && !instance.is_held()
}

/// Reports at once, and then regularly, which programs have not stopped.
fn report_unstopped(shared: &Rc<Shared>) {
    if !say_unstopped(shared) {
        return;
    }
    let shared = Rc::clone(shared);
    spawn_beside(&Rc::clone(&shared.loop_turns), async move {
        loop {
            tokio::time::sleep(REPORT).await;
            if !say_unstopped(&shared) {
                return;
            }
        }
    });
}

fn say_unstopped(shared: &Shared) -> bool {
    let supervisor = shared.supervisor.borrow();
    let is_restarting = shared.configuration.is_restarting.get() && !supervisor.is_shutting_down();
    let is_up = |instance: &&Instance| match is_restarting {
        true => instance.is_live() && !is_down_for_restart(instance),
        false => !matches!(instance.state(), State::Stopped | State::Exited | State::Fatal),
    };
    let names: Vec<&str> = supervisor.snapshot().iter().filter(is_up).map(process).collect();
    if !names.is_empty() {
        say(shared, Level::Info, format_args!("waiting for {} to die", names.join(", ")));
    }
    !names.is_empty()
}

/// The name of a process without its group.
pub(crate) fn process(instance: &Instance) -> &str {
    let name = instance.name();
    // A program of a TOML file has numbers behind the colon, which mean nothing alone.
    if instance.program().name != name {
        return name;
    }
    name.split_once(':').map_or(name, |(_, process)| process)
}
