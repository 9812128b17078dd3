//! Scaling: another number of instances of one program, while everything else stays as it is.
//!
//! It is a reload of one program. The files are read again, since new instances have names and text of their own in it; a
//! program that differs there in anything else is not scaled. The number holds until the configured one is another.
//! A rolling restart of the program comes first: the removal of an instance would end it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_api::{Problem, ProblemKind, ScaleReport};
use muster_core::Principal;
use muster_spec::{InstanceSpec, Numprocs, ProgramSpec, Scale, Scales, Spec};

use super::{Origin, groups, hand_over, in_turn, reading, refused, started};
use crate::configuration::New;
use crate::shared::Shared;

/// Gives a program another number of instances. Reports those that were added and removed; `None` if there is no such program.
pub(crate) async fn scale(
    shared: &Rc<Shared>,
    by: Principal,
    (name, wait): (String, Duration),
    number: u32,
) -> Result<Option<ScaleReport>, Problem> {
    started(shared, Duration::ZERO).await?;
    let until = (!wait.is_zero()).then(|| Instant::now() + wait);
    if let Some(active) = find(&groups::active(shared), &name) {
        check(&active, number)?;
    }
    loop {
        // Without holding the turn of reloads: one of them may mend what keeps the restart from its end.
        rolled(shared, &name, until).await?;
        let name = name.clone();
        match in_turn(shared, async move |shared| in_its_turn(&shared, by, name, number).await).await? {
            Scaled::Done(report) => return Ok(Some(report)),
            Scaled::Unknown => return Ok(None),
            Scaled::Rolls => {}
        }
    }
}

/// The result of a turn.
enum Scaled {
    Done(ScaleReport),
    /// There is no such program.
    Unknown,
    /// A rolling restart has begun meanwhile. Nothing was changed.
    Rolls,
}

async fn in_its_turn(shared: &Rc<Shared>, by: Principal, name: String, number: u32) -> Result<Scaled, Problem> {
    let Some(active) = find(&groups::active(shared), &name) else { return Ok(Scaled::Unknown) };
    check(&active, number)?;
    let configured = active.numprocs.configured;
    let report = ScaleReport { name: name.clone(), numprocs: number, configured, ..ScaleReport::default() };
    if active.instances.len() == number as usize {
        return Ok(Scaled::Done(report));
    }
    let mut scales = shared.configuration.scales.borrow().clone();
    scales.remove(&name);
    if number != configured {
        scales.insert(name.clone(), Scale { numprocs: number, replaced: configured });
    }
    let new = scaled(shared, &active, scales).await?;
    if is_rolling(shared, &name) {
        return Ok(Scaled::Rolls);
    }
    let plan = hand_over(shared, new, Origin::Client(by)).await?;
    let (added, removed) = (plan.added.clone(), plan.removed.clone());
    Ok(Scaled::Done(ScaleReport { added, removed, ..report }))
}

fn is_rolling(shared: &Shared, name: &str) -> bool {
    let supervisor = shared.supervisor.borrow();
    supervisor.is_rolling(name) && !supervisor.is_shutting_down()
}

/// Waits until no rolling restart of the program is under way. The loop says when that may be, so nothing is polled.
async fn rolled(shared: &Rc<Shared>, name: &str, until: Option<Instant>) -> Result<(), Problem> {
    loop {
        let changed = shared.configuration.rolled.notified();
        if !is_rolling(shared, name) {
            return Ok(());
        }
        match until {
            None => changed.await,
            Some(until) => tokio::time::timeout_at(until.into(), changed).await.map_err(|_| still_rolling(name))?,
        }
    }
}

fn still_rolling(name: &str) -> Problem {
    let detail = format!("{name} is still being restarted, one instance after another; nothing was changed");
    let problem = Problem::new(ProblemKind::TimedOut, detail);
    problem.with_hint(format!("wait longer, or end the restart: musterctl stop {name}"))
}

fn check(program: &ProgramSpec, number: u32) -> Result<(), Problem> {
    let Numprocs { least, most, .. } = program.numprocs;
    let name = &program.name;
    if program.unshown.is_some() {
        let detail = format!("{name} is a program of a supervisord.conf, which names its processes");
        let problem = Problem::new(ProblemKind::NotSupported, detail);
        return Err(problem.with_hint("change numprocs there, then musterctl update"));
    }
    if program.numprocs.allows(number) {
        return Ok(());
    }
    let problem = Problem::new(ProblemKind::OutOfBounds, format!("{name} may have {least} to {most} instances"));
    Err(match number {
        0 => problem.with_hint(format!("musterctl stop {name} stops all of them")),
        _ => problem.with_hint("numprocs_min and numprocs_max of the program are the bounds"),
    })
}

/// The active configuration, but for the number of instances of this program.
async fn scaled(shared: &Rc<Shared>, active: &Arc<ProgramSpec>, scales: Scales) -> Result<New, Problem> {
    let read = read(shared, scales.clone()).await?;
    let wanted = find(&read.spec.programs, &active.name).ok_or_else(|| differs(active))?;
    // Text may name the number of instances: then it is compared with what the files say of the present number.
    if !is_same(active, &wanted) {
        let present = shared.configuration.scales.borrow().clone();
        let as_it_is = self::read(shared, present).await?.spec;
        let is_unchanged = find(&as_it_is.programs, &active.name).is_some_and(|program| is_same(active, &program));
        if !is_unchanged {
            return Err(differs(active));
        }
    }
    let instances = wanted.instances.iter().map(|instance| kept(active, instance)).collect();
    let program = Arc::new(ProgramSpec { instances, ..ProgramSpec::clone(active) });
    let mut programs = groups::active(shared);
    programs.iter_mut().filter(|other| other.name == program.name).for_each(|other| *other = Arc::clone(&program));
    let base = groups::as_new(shared);
    Ok(New { spec: Spec { programs, ..base.spec }, disguises: read.disguises, scales, ..base })
}

async fn read(shared: &Rc<Shared>, scales: Scales) -> Result<New, Problem> {
    let configuration = &shared.configuration;
    let beside = (configuration.sources.active().texts, scales);
    let reading = reading::read(configuration.paths.clone(), beside, Arc::clone(&configuration.auto_logs), false);
    let reading = reading.await?;
    reading.new.ok_or_else(|| refused(reading.diagnostics))
}

fn find(programs: &[Arc<ProgramSpec>], name: &str) -> Option<Arc<ProgramSpec>> {
    programs.iter().find(|program| program.name == name).cloned()
}

/// The active instance of this number with its new name, or the new instance.
fn kept(active: &ProgramSpec, wanted: &Arc<InstanceSpec>) -> Arc<InstanceSpec> {
    match active.instances.iter().find(|instance| instance.index == wanted.index) {
        Some(there) if there.name == wanted.name => Arc::clone(there),
        Some(there) => Arc::new(InstanceSpec { name: wanted.name.clone(), ..InstanceSpec::clone(there) }),
        None => Arc::clone(wanted),
    }
}

/// Whether the programs differ in nothing but how many instances they have.
fn is_same(active: &ProgramSpec, other: &ProgramSpec) -> bool {
    let without = |program: &ProgramSpec| ProgramSpec { instances: Vec::new(), ..program.clone() };
    let is_same_instance = |there: &Arc<InstanceSpec>| kept(active, there) == *there;
    without(active) == without(other) && other.instances.iter().all(is_same_instance)
}

fn differs(program: &ProgramSpec) -> Problem {
    let detail = format!("{} has changed in its configuration files since it was read", program.name);
    Problem::new(ProblemKind::ConfigurationChanged, detail).with_hint("musterctl update first")
}
