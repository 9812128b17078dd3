//! What a new configuration changes: which instances are added, removed, restarted or left alone.
//!
//! [`plan`] only compares, so it serves a dry run as well as a reload. Instances are matched by program and number:
//! when the number of instances grows from one to several, `web` becomes `web:0`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use muster_spec::{InstanceSpec, OutputSpec, ProgramSpec};

/// The changes of a reload. Instance names, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReloadPlan {
    /// New instances, which start if autostarted.
    pub added: Vec<String>,
    /// Instances that stop and are removed.
    pub removed: Vec<String>,
    /// Instances that need a new process, and those that restart with them.
    pub restarted: Vec<String>,
    /// Instances whose rules change and whose process stays.
    pub changed: Vec<String>,
    /// Number of instances that do not change.
    pub unchanged: usize,
}

impl ReloadPlan {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.restarted.is_empty() && self.changed.is_empty()
    }
}

/// How a new configuration of an instance differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// Not at all.
    None,
    /// In rules that take effect without a restart.
    Rules,
    /// In properties of its process.
    Process,
}

/// A program's name and an instance's number: they identify an instance across configurations.
pub(crate) type Key<'a> = (&'a str, u32);

/// Compares two configurations.
pub fn plan(old: &[Arc<ProgramSpec>], new: &[Arc<ProgramSpec>]) -> ReloadPlan {
    let known: HashMap<Key<'_>, _> =
        members(old).map(|(program, spec)| (key(program, spec), (program, spec))).collect();
    let wanted: HashMap<Key<'_>, ()> = members(new).map(|(program, spec)| (key(program, spec), ())).collect();
    let mut plan = ReloadPlan::default();
    let restarts = programs_that_restart(old, new, &known);
    for (program, spec) in members(new) {
        let name = spec.name.clone();
        let Some((was, was_spec)) = known.get(&key(program, spec)) else {
            plan.added.push(name);
            continue;
        };
        match difference(was, was_spec, program, spec) {
            Difference::Process => plan.restarted.push(name),
            _ if restarts.contains_key(program.name.as_str()) => plan.restarted.push(name),
            Difference::Rules => plan.changed.push(name),
            Difference::None => plan.unchanged += 1,
        }
    }
    let gone = members(old).filter(|(program, spec)| !wanted.contains_key(&key(program, spec)));
    plan.removed = gone.map(|(_, spec)| spec.name.clone()).collect();
    plan
}

/// The same if everything is restarted.
pub(crate) fn plan_of_restart(old: &[Arc<ProgramSpec>], new: &[Arc<ProgramSpec>]) -> ReloadPlan {
    let plan = plan(old, new);
    let added: HashSet<&String> = plan.added.iter().collect();
    let restarted = members(new).map(|(_, spec)| spec.name.clone()).filter(|name| !added.contains(name)).collect();
    ReloadPlan { restarted, changed: Vec::new(), unchanged: 0, ..plan }
}

fn members(programs: &[Arc<ProgramSpec>]) -> impl Iterator<Item = (&ProgramSpec, &InstanceSpec)> {
    programs.iter().flat_map(|program| program.instances.iter().map(move |spec| (&**program, &**spec)))
}

pub(crate) fn key<'a>(program: &'a ProgramSpec, spec: &InstanceSpec) -> Key<'a> {
    (&program.name, spec.index)
}

/// The programs that are restarted, directly or indirectly, with one that needs a new process.
fn programs_that_restart<'a>(
    old: &[Arc<ProgramSpec>],
    new: &'a [Arc<ProgramSpec>],
    known: &HashMap<Key<'_>, (&ProgramSpec, &InstanceSpec)>,
) -> HashMap<&'a str, ()> {
    let mut with: HashMap<&str, Vec<&ProgramSpec>> = HashMap::new();
    for program in new.iter().filter(|program| old.iter().any(|was| was.name == program.name)) {
        for name in &program.restart_with {
            with.entry(name).or_default().push(program);
        }
    }
    let must = |(program, spec): &(&ProgramSpec, &InstanceSpec)| {
        let was = known.get(&key(program, spec));
        was.is_some_and(|(was, was_spec)| difference(was, was_spec, program, spec) == Difference::Process)
    };
    if with.is_empty() {
        return HashMap::new();
    }
    let mut to_follow: Vec<&str> = members(new).filter(must).map(|(program, _)| program.name.as_str()).collect();
    let mut restarts = HashMap::new();
    while let Some(name) = to_follow.pop() {
        for other in with.get(name).into_iter().flatten() {
            if restarts.insert(other.name.as_str(), ()).is_none() {
                to_follow.push(&other.name);
            }
        }
    }
    restarts
}

/// How a new configuration differs for an instance. Every field is named, so that a new one cannot be forgotten.
pub(crate) fn difference(
    was: &ProgramSpec,
    was_spec: &InstanceSpec,
    program: &ProgramSpec,
    spec: &InstanceSpec,
) -> Difference {
    let InstanceSpec {
        name,
        index: _,
        process,
        output,
        ready,
        start_timeout,
        watchdog,
        probes,
        hooks,
        memory_max,
        variable_files,
    } = spec;
    // Everything fixed when the process is spawned: its command and environment, its pipes, how it reports.
    let needs_another = was_spec.process != *process
        || *was_spec.output != (OutputSpec { rotation: was_spec.output.rotation, ..OutputSpec::clone(output) })
        || was_spec.ready != *ready
        || was_spec.watchdog != *watchdog;
    if needs_another {
        return Difference::Process;
    }
    let is_same = was_spec.name == *name
        && was_spec.output.rotation == output.rotation
        && was_spec.start_timeout == *start_timeout
        && was_spec.probes == *probes
        && was_spec.hooks == *hooks
        && was_spec.memory_max == *memory_max
        && was_spec.variable_files == *variable_files
        && has_same_rules(was, program);
    if is_same { Difference::None } else { Difference::Rules }
}

fn has_same_rules(was: &ProgramSpec, program: &ProgramSpec) -> bool {
    let ProgramSpec {
        name: _,
        groups,
        kind,
        autostart,
        start_on,
        start_delay,
        once,
        restart,
        schedule,
        startsecs,
        max_runtime,
        exit_codes,
        on_exit,
        depends_on,
        restart_with,
        priority,
        order,
        stop_unit,
        essential,
        stop,
        reload_signal,
        unshown: _,
        numprocs,
        rolling,
        recycle_after,
        watch,
        instances,
    } = program;
    // Of another number, only the instances beyond the smaller one are news.
    let has_same_number = was.numprocs.configured == numprocs.configured || was.instances.len() != instances.len();
    let has_same_bounds = (was.numprocs.least, was.numprocs.most) == (numprocs.least, numprocs.most);
    has_same_number
        && has_same_bounds
        && was.groups == *groups
        && was.kind == *kind
        && was.autostart == *autostart
        && was.start_on == *start_on
        && was.start_delay == *start_delay
        && was.once == *once
        && was.restart == *restart
        && was.schedule == *schedule
        && was.startsecs == *startsecs
        && was.max_runtime == *max_runtime
        && was.exit_codes == *exit_codes
        && was.on_exit == *on_exit
        && was.depends_on == *depends_on
        && was.restart_with == *restart_with
        && was.priority == *priority
        && was.stop_unit == *stop_unit
        && was.order == *order
        && was.essential == *essential
        && was.stop == *stop
        && was.reload_signal == *reload_signal
        && was.rolling == *rolling
        && was.recycle_after == *recycle_after
        && was.watch == *watch
}
