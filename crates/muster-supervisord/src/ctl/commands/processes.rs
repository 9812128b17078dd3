//! Commands that change processes: `start`, `stop`, `restart`, `signal`, `clear`.

use super::words;
use crate::ctl::Failure;
use crate::ctl::calls::Outcome;
use crate::ctl::controller::{Controller, Done, exit};
use crate::ctl::help;
use crate::ctl::results::{Action, namespec, split_namespec};
use crate::faults::Code;

/// The methods of an action.
struct Methods {
    all: &'static str,
    group: &'static str,
    one: &'static str,
}

const START: Methods = Methods { all: "startAllProcesses", group: "startProcessGroup", one: "startProcess" };
const STOP: Methods = Methods { all: "stopAllProcesses", group: "stopProcessGroup", one: "stopProcess" };
const SIGNAL: Methods = Methods { all: "signalAllProcesses", group: "signalProcessGroup", one: "signalProcess" };

pub(super) fn start(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !controller.is_up()? {
        return Ok(());
    }
    let names = words(argument);
    if names.is_empty() {
        controller.print("Error: start requires a process name");
        controller.exit = exit::INVALID_ARGS;
        help::print(controller, "start");
        return Ok(());
    }
    each(controller, Action::Start, &START, &names, &[])
}

pub(super) fn stop(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !controller.is_up()? {
        return Ok(());
    }
    let names = words(argument);
    if names.is_empty() {
        controller.usage("Error: stop requires a process name", "stop");
        return Ok(());
    }
    each(controller, Action::Stop, &STOP, &names, &[])
}

pub(super) fn restart(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !controller.is_up()? {
        return Ok(());
    }
    if argument.is_empty() {
        controller.usage("Error: restart requires a process name", "restart");
        return Ok(());
    }
    stop(controller, argument)?;
    start(controller, argument)
}

pub(super) fn signal(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !controller.is_up()? {
        return Ok(());
    }
    match words(argument).as_slice() {
        [signal, names @ ..] if !names.is_empty() => each(controller, Action::Signal, &SIGNAL, names, &[*signal]),
        _ => {
            controller.usage("Error: signal requires a signal name and a process name", "signal");
            Ok(())
        }
    }
}

/// Acts on all processes, or on each name. `further` words follow the name in a call.
fn each(controller: &mut Controller<'_>, action: Action, methods: &Methods, names: &[&str], further: &[&str]) -> Done {
    if names.contains(&"all") {
        let outcomes = controller.supervisor().outcomes(methods.all, further)?;
        return report(controller, action, &outcomes);
    }
    for &name in names {
        let (group, process) = split_namespec(name);
        match process {
            None => whole_group(controller, action, methods, group, further)?,
            Some(_) => {
                let params: Vec<&str> = std::iter::once(name).chain(further.iter().copied()).collect();
                let done = controller.supervisor().order(methods.one, &params);
                one(controller, action, group, process, done)?;
            }
        }
    }
    Ok(())
}

fn report(controller: &mut Controller<'_>, action: Action, outcomes: &[Outcome]) -> Done {
    for outcome in outcomes {
        let line = action.line(outcome)?;
        controller.print(&line);
        controller.note(outcome.status, action.harmless());
    }
    Ok(())
}

fn whole_group(
    controller: &mut Controller<'_>,
    action: Action,
    methods: &Methods,
    group: &str,
    further: &[&str],
) -> Done {
    let params: Vec<&str> = std::iter::once(group).chain(further.iter().copied()).collect();
    match controller.supervisor().outcomes(methods.group, &params) {
        Ok(outcomes) => report(controller, action, &outcomes),
        Err(failure) if failure.code() == Some(Code::BadName) => {
            controller.print(&format!("{group}: ERROR (no such group)"));
            controller.exit = if action == Action::Start { exit::INVALID_ARGS } else { exit::GENERIC };
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// Prints the result of a call for one name.
fn one(
    controller: &mut Controller<'_>,
    action: Action,
    group: &str,
    process: Option<&str>,
    done: Result<(), Failure>,
) -> Done {
    match done {
        Ok(()) => {
            controller.print(&format!("{}: {}", namespec(group, process), action.done()));
            Ok(())
        }
        Err(Failure::Fault(fault)) => report(controller, action, &[Outcome::of_fault(group, process, fault)]),
        Err(failure) => Err(failure),
    }
}

pub(super) fn clear(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !controller.is_up()? {
        return Ok(());
    }
    let names = words(argument);
    if names.is_empty() {
        controller.usage("Error: clear requires a process name", "clear");
        return Ok(());
    }
    if names.contains(&"all") {
        let outcomes = controller.supervisor().outcomes("clearAllProcessLogs", &[])?;
        return report(controller, Action::Clear, &outcomes);
    }
    for name in names {
        let (group, process) = split_namespec(name);
        let done = controller.supervisor().order("clearProcessLogs", &[name]);
        one(controller, Action::Clear, group, process, done)?;
    }
    Ok(())
}
