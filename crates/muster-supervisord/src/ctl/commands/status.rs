//! Commands that look: `status`, `pid`, `version`.

use crate::faults::Code;
use std::fmt::Write;

use super::{has_no_words, words};
use crate::ctl::calls::Process;
use crate::ctl::controller::{Controller, Done, exit};
use crate::ctl::results::{namespec, split_namespec};

/// The narrowest column of names.
const NARROWEST: usize = 30;

/// The states of a process that was stopped, has exited, or could not be started.
const STOPPED_STATES: [i64; 4] = [0, 100, 200, 1000];

pub(super) fn status(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !controller.is_up()? {
        controller.exit = exit::STATUS_UNKNOWN;
        return Ok(());
    }
    let all = controller.supervisor().processes()?;
    let names = words(argument);
    let shown: Vec<&Process> = match names.is_empty() || names.contains(&"all") {
        true => all.iter().collect(),
        false => names.iter().flat_map(|name| matching(controller, &all, name)).collect(),
    };
    if !shown.is_empty() {
        controller.print(&table(&shown));
    }
    if shown.iter().any(|process| STOPPED_STATES.contains(&process.state)) {
        controller.exit = exit::STATUS_NOT_RUNNING;
    }
    Ok(())
}

/// The processes that a word names. If there is none, this is printed.
fn matching<'p>(controller: &mut Controller<'_>, all: &'p [Process], word: &str) -> Vec<&'p Process> {
    let (group, name) = split_namespec(word);
    let is_meant = |process: &&Process| process.group == group && name.is_none_or(|name| process.name == name);
    let found: Vec<&Process> = all.iter().filter(is_meant).collect();
    if found.is_empty() {
        controller.print(&match name {
            Some(_) => format!("{word}: ERROR (no such process)"),
            None => format!("{group}: ERROR (no such group)"),
        });
        controller.exit = exit::STATUS_UNKNOWN;
    }
    found
}

/// A line for each process, the last without its end.
fn table(processes: &[&Process]) -> String {
    let names: Vec<String> = processes.iter().map(|process| namespec(&process.group, Some(&process.name))).collect();
    let widths = names.iter().map(|name| name.chars().count());
    let width = widths.max().unwrap_or_default().max(NARROWEST) + 3;
    let mut table = String::new();
    for (name, process) in names.iter().zip(processes) {
        let end = if table.is_empty() { "" } else { "\n" };
        // Writing to a String cannot fail.
        let _ = write!(table, "{end}{name:width$}{:10}{}", process.statename, process.description);
    }
    table
}

pub(super) fn pid(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !controller.is_up()? {
        return Ok(());
    }
    let names = words(argument);
    if names.is_empty() {
        let pid = controller.supervisor().pid()?;
        controller.print(&pid.to_string());
    } else if names.contains(&"all") {
        for process in controller.supervisor().processes()? {
            controller.print(&process.pid.to_string());
        }
    } else {
        names.iter().try_for_each(|name| pid_of(controller, name))?;
    }
    Ok(())
}

fn pid_of(controller: &mut Controller<'_>, name: &str) -> Done {
    match controller.supervisor().process(name) {
        Ok(process) => {
            controller.print(&process.pid.to_string());
            if process.pid == 0 {
                controller.exit = exit::NOT_RUNNING;
            }
        }
        Err(failure) if failure.code() == Some(Code::BadName) => {
            controller.exit = exit::GENERIC;
            controller.print(&format!("No such process {name}"));
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}

pub(super) fn version(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !has_no_words(controller, argument, "version") || !controller.is_up()? {
        return Ok(());
    }
    let version = controller.supervisor().text("getSupervisorVersion", &[])?;
    controller.print(&version);
    Ok(())
}
