//! Commands about the configuration: `avail`, `reread`, `update`, `add`, `remove`.

use crate::faults::Code;
use std::collections::BTreeMap;

use super::{expect_fault, has_no_words, words};
use crate::ctl::Failure;
use crate::ctl::calls::Configured;
use crate::ctl::controller::{Controller, Done, exit};
use crate::ctl::results::namespec;

pub(super) fn avail(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !has_no_words(controller, argument, "avail") {
        return Ok(());
    }
    match controller.supervisor().configured() {
        Ok(all) => all.iter().for_each(|one| controller.print(&line(one))),
        Err(failure) => {
            return expect_fault(controller, failure, &[(Code::ShutdownState, "ERROR: supervisor shutting down")]);
        }
    }
    Ok(())
}

fn line(one: &Configured) -> String {
    let name = namespec(&one.group, Some(&one.name));
    let used = if one.is_used { "in use" } else { "avail" };
    let start = if one.is_autostarted { "auto" } else { "manual" };
    format!("{name:32} {used:9} {start:9} {}:{}", one.group_priority, one.priority)
}

pub(super) fn reread(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !has_no_words(controller, argument, "reread") {
        return Ok(());
    }
    let changes = match controller.supervisor().reload() {
        Ok(changes) => changes,
        Err(failure) => {
            let unreadable = match &failure {
                Failure::Fault(fault) => format!("ERROR: {}", fault.string),
                _ => String::new(),
            };
            let expected = [(Code::ShutdownState, "ERROR: supervisor shutting down"), (Code::CantReread, &unreadable)];
            return expect_fault(controller, failure, &expected);
        }
    };
    let mut lines = BTreeMap::new();
    for (names, change) in
        [(&changes.added, "available"), (&changes.changed, "changed"), (&changes.removed, "disappeared")]
    {
        lines.extend(names.iter().map(|name| (name, change)));
    }
    if lines.is_empty() {
        controller.print("No config updates to processes");
    }
    lines.iter().for_each(|(name, change)| controller.print(&format!("{name}: {change}")));
    Ok(())
}

pub(super) fn add(controller: &mut Controller<'_>, argument: &str) -> Done {
    for name in words(argument) {
        match controller.supervisor().order("addProcessGroup", &[name]) {
            Ok(()) => controller.print(&format!("{name}: added process group")),
            Err(failure) if failure.code() == Some(Code::AlreadyAdded) => {
                controller.print("ERROR: process group already active");
            }
            Err(failure) => {
                let unknown = format!("ERROR: no such process/group: {name}");
                let expected = [(Code::ShutdownState, "ERROR: shutting down"), (Code::BadName, unknown.as_str())];
                expect_fault(controller, failure, &expected)?;
            }
        }
    }
    Ok(())
}

pub(super) fn remove(controller: &mut Controller<'_>, argument: &str) -> Done {
    for name in words(argument) {
        match controller.supervisor().order("removeProcessGroup", &[name]) {
            Ok(()) => controller.print(&format!("{name}: removed process group")),
            Err(failure) => {
                let running = format!("ERROR: process/group still running: {name}");
                let unknown = format!("ERROR: no such process/group: {name}");
                let expected = [(Code::StillRunning, running.as_str()), (Code::BadName, unknown.as_str())];
                expect_fault(controller, failure, &expected)?;
            }
        }
    }
    Ok(())
}

pub(super) fn update(controller: &mut Controller<'_>, argument: &str) -> Done {
    let changes = match controller.supervisor().reload() {
        Ok(changes) => changes,
        Err(failure) => {
            return expect_fault(controller, failure, &[(Code::ShutdownState, "ERROR: already shutting down")]);
        }
    };
    let mut wanted = words(argument);
    if wanted.contains(&"all") {
        wanted.clear();
    }
    refuse_unknown(controller, &wanted, &changes.added)?;
    let is_wanted = |name: &&String| wanted.is_empty() || wanted.contains(&name.as_str());
    for name in changes.removed.iter().filter(is_wanted) {
        let outcomes = controller.supervisor().outcomes("stopProcessGroup", &[name])?;
        controller.print(&format!("{name}: stopped"));
        if outcomes.iter().any(|outcome| outcome.status == Code::Failed.number()) {
            controller.print(&format!("{name}: has problems; not removing"));
            controller.exit = exit::GENERIC;
            continue;
        }
        controller.supervisor().order("removeProcessGroup", &[name])?;
        controller.print(&format!("{name}: removed process group"));
    }
    for name in changes.changed.iter().filter(is_wanted) {
        controller.supervisor().outcomes("stopProcessGroup", &[name])?;
        controller.print(&format!("{name}: stopped"));
        controller.supervisor().order("removeProcessGroup", &[name])?;
        controller.supervisor().order("addProcessGroup", &[name])?;
        controller.print(&format!("{name}: updated process group"));
    }
    for name in changes.added.iter().filter(is_wanted) {
        controller.supervisor().order("addProcessGroup", &[name])?;
        controller.print(&format!("{name}: added process group"));
    }
    Ok(())
}

/// Reports the words that name neither a group of the active configuration nor an added one, each once.
fn refuse_unknown(controller: &mut Controller<'_>, wanted: &[&str], added: &[String]) -> Done {
    if wanted.is_empty() {
        return Ok(());
    }
    let active = controller.supervisor().processes()?;
    for (at, name) in wanted.iter().enumerate() {
        let is_known = active.iter().any(|process| process.group == *name) || added.iter().any(|group| group == name);
        if !is_known && !wanted[..at].contains(name) {
            controller.print(&format!("ERROR: no such group: {name}"));
            controller.exit = exit::GENERIC;
        }
    }
    Ok(())
}
