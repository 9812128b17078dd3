//! Reloads in supervisord's two steps: reading the configuration, and adding or removing single groups.
//!
//! The configuration that was read last is kept beside the active one. A group is a set of programs with one name; adding
//! or removing it applies the active programs with or without that group.

use std::rc::Rc;
use std::sync::Arc;

use muster_api::{Problem, ProblemKind};
use muster_core::Principal;
use muster_spec::{ProgramSpec, Spec};
use muster_supervisord::faults::Code;
use muster_supervisord::groups::{changes, group_of};
use muster_supervisord::methods::Changes;
use muster_supervisord::xmlrpc::Fault;

use super::{Origin, hand_over, in_turn, reading};
use crate::configuration::New;
use crate::shared::Shared;

/// The active programs, in the order in which they became active.
pub(crate) fn active(shared: &Shared) -> Vec<Arc<ProgramSpec>> {
    let supervisor = shared.supervisor.borrow();
    let mut programs: Vec<Arc<ProgramSpec>> = Vec::new();
    for instance in supervisor.snapshot().iter().filter(|instance| !instance.is_leaving()) {
        if programs.last().is_none_or(|last| last.name != instance.program().name) {
            programs.push(Arc::clone(instance.program()));
        }
    }
    programs
}

/// The programs of the configuration that was read last.
pub(crate) fn pending_programs(shared: &Shared) -> Vec<Arc<ProgramSpec>> {
    let pending = shared.configuration.pending.borrow();
    pending.as_ref().map_or_else(|| active(shared), |pending| pending.spec.programs.clone())
}

/// Reads the configuration, keeps it, and reports the groups that differ from the active ones. An error is the message.
pub(crate) async fn reread(shared: &Rc<Shared>) -> Result<Changes, String> {
    let changes = in_turn(shared, async move |shared| {
        let configuration = &shared.configuration;
        let beside = (configuration.sources.active().texts, configuration.scales.borrow().clone());
        let reading =
            reading::read(configuration.paths.clone(), beside, Arc::clone(&configuration.auto_logs), false).await?;
        *configuration.looks.borrow_mut() = reading.looks;
        let Some(new) = reading.new else {
            let error = reading.diagnostics.into_iter().find(|found| found.severity == "error");
            return Err(Problem::new(ProblemKind::BadConfiguration, error.map(|it| it.message).unwrap_or_default()));
        };
        let changes = changes(&active(&shared), &new.spec.programs);
        *configuration.pending.borrow_mut() = Some(new);
        Ok(changes)
    });
    changes.await.map_err(|problem| problem.detail)
}

/// Adds a group of the configuration that was read last.
pub(crate) async fn add(shared: &Rc<Shared>, by: Principal, name: &str) -> Result<(), Fault> {
    let (name, fault) = (name.to_owned(), Rc::new(std::cell::Cell::new(None)));
    let refused = Rc::clone(&fault);
    let done = in_turn(shared, async move |shared| {
        let mut programs = active(&shared);
        let is_named = |program: &&Arc<ProgramSpec>| group_of(program) == name;
        let pending = pending_programs(&shared);
        let new: Vec<_> = pending.iter().filter(is_named).cloned().collect();
        if new.is_empty() {
            refused.set(Some(Code::BadName.with(&name)));
        } else if programs.iter().any(|program| group_of(program) == name) {
            refused.set(Some(Code::AlreadyAdded.with(&name)));
        } else {
            programs.extend(new);
            apply(&shared, by, programs).await?;
        }
        Ok(())
    });
    let done = done.await;
    answer(fault.take(), done)
}

/// Removes a group whose processes have ended.
pub(crate) async fn remove(shared: &Rc<Shared>, by: Principal, name: &str) -> Result<(), Fault> {
    let name = name.to_owned();
    let done = in_turn(shared, async move |shared| {
        let mut programs = active(&shared);
        programs.retain(|program| group_of(program) != name);
        apply(&shared, by, programs).await
    });
    let done = done.await;
    answer(None, done)
}

fn answer(fault: Option<Fault>, done: Result<(), Problem>) -> Result<(), Fault> {
    match (fault, done) {
        (Some(fault), _) => Err(fault),
        (None, Ok(())) => Ok(()),
        (None, Err(problem)) if problem.kind == ProblemKind::ShuttingDown => Err(Code::ShutdownState.fault()),
        (None, Err(problem)) => Err(Code::Failed.with(problem)),
    }
}

/// Makes these the active programs, with the other settings of the configuration that was read last.
async fn apply(shared: &Rc<Shared>, by: Principal, programs: Vec<Arc<ProgramSpec>>) -> Result<(), Problem> {
    let new = {
        let mut pending = shared.configuration.pending.borrow_mut();
        let pending = pending.get_or_insert_with(|| as_new(shared));
        let spec = Spec { programs, ..pending.spec.clone() };
        New { spec, ..pending.clone() }
    };
    hand_over(shared, new, Origin::Client(by)).await.map(drop)
}

/// The active configuration, as if it had just been read.
pub(super) fn as_new(shared: &Shared) -> New {
    let in_force = shared.configuration.in_force();
    New {
        spec: Spec {
            daemon: in_force.daemon.clone(),
            control: in_force.control.clone(),
            sources: in_force.sources.clone(),
            notifiers: in_force.notifiers.clone(),
            programs: active(shared),
        },
        files: in_force.files.clone(),
        disguises: in_force.disguises.clone(),
        access: shared.gate.access.borrow().clone(),
        servers: shared.secrets.servers(),
        scales: shared.configuration.scales.borrow().clone(),
        restarts_all: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs of a supervisord configuration.
    fn programs(text: &str) -> Vec<Arc<ProgramSpec>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("supervisord.conf");
        std::fs::write(&path, format!("[supervisord]\n{text}")).unwrap();
        let loaded = muster_load::check::load(&[path], &muster_load::config_files::open);
        loaded.spec.unwrap().programs
    }

    #[track_caller]
    fn check(was: &str, is: &str, added: &[&str], changed: &[&str], removed: &[&str]) {
        let found = changes(&programs(was), &programs(is));
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!((found.added, found.changed, found.removed), (owned(added), owned(changed), owned(removed)));
    }

    #[test]
    fn groups_are_compared_by_everything_but_their_neighbours() {
        let a = "[program:a]\ncommand=/bin/a\n";
        let b = "[program:b]\ncommand=/bin/b\npriority=1\n";
        check(a, a, &[], &[], &[]);
        check(a, &format!("{b}{a}"), &["b"], &[], &[]);
        check(&format!("{b}{a}"), a, &[], &[], &["b"]);
        check(a, "[program:a]\ncommand=/bin/a -x\n", &[], &["a"], &[]);
        check(a, "[program:a]\ncommand=/bin/a\nautostart=false\n", &[], &["a"], &[]);
        check(a, "[program:a]\ncommand=/bin/a\nenvironment=A=1\n", &[], &["a"], &[]);
        check(a, &format!("{a}[group:g]\nprograms=a\n"), &["g"], &[], &["a"]);
    }

    #[test]
    fn what_the_specification_does_not_show_counts_as_in_the_original() {
        let a = "[program:a]\ncommand=/bin/a b\n";
        for key in ["killasgroup=true", "stdout_syslog=true", "stderr_syslog=true", "command=/bin/a  b"] {
            check(a, &format!("{a}{key}\n"), &[], &["a"], &[]);
        }
        let f = "[fcgi-program:f]\ncommand=/bin/f\nsocket=unix:///tmp/f.sock\n";
        for key in ["socket_mode=0777", "socket_owner=root:root", "socket_backlog=10"] {
            check(f, &format!("{f}{key}\n"), &[], &[], &[]);
        }
        check(f, &f.replace("f.sock", "g.sock"), &[], &["f"], &[]);
        check(a, &format!("strip_ansi=true\n{a}"), &[], &[], &[]);
    }

    #[test]
    fn a_file_of_the_daemon_s_choice_replaces_any_other_without_a_change() {
        let auto = "[program:a]\ncommand=/bin/a\n";
        let file = "[program:a]\ncommand=/bin/a\nstdout_logfile=/tmp/a.log\n";
        check(file, auto, &[], &[], &[]);
        check(auto, file, &[], &["a"], &[]);
    }
}
