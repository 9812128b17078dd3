//! The daemon's memory across restarts of its container, in `[musterd] state_dir`.
//!
//! Observes what happens and says to `muster-state` what is to be remembered; says to the core what was. Without the key, all of
//! this does nothing. Writing happens on a thread of `muster-state`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_api::Timestamp;
use muster_core::{EndedRun, Event, Instance, Memory, StopCause, Supervisor, Time};
use muster_spec::{DaemonSpec, InstanceSpec, ProgramSpec, RestartWhen, RunId, Scales, Span, State as At};
use muster_state::{Directory, Done, LifeEnd, Refused, Run, Scale, Store};
use tracing::{info, warn};

use crate::clock::Clock;

/// How long the exit waits for what is still to be written.
const LAST_WRITE: Duration = Duration::from_millis(200);

/// The number of runs of the previous life that `why` tells of.
const TOLD: usize = 3;

/// The memory of the daemon.
#[derive(Default)]
pub(crate) struct State {
    store: Option<Store>,
    /// Its memory at the start: the runs are those of its previous life.
    before: muster_state::Memory,
    /// Up to when the times of schedules were considered in the previous life, until they are armed in this one.
    unseen: RefCell<BTreeMap<String, i64>>,
    /// Whether the core knows what is remembered of the programs.
    has_recalled: Cell<bool>,
    /// Whether programs that were stopped by hand may be others than those that are kept.
    may_differ: Cell<bool>,
    /// The last words of the daemon.
    last_words: RefCell<String>,
    /// Whether the daemon is shutting down.
    is_closing: Cell<bool>,
    /// Whether the directory cannot be used.
    is_unusable: bool,
}

impl State {
    /// Opens the directory, if there is one. An error is a directory that must not be used, and the daemon does not start.
    pub(crate) fn open(daemon: &DaemonSpec, began: Timestamp) -> Result<State, String> {
        let Some(path) = &daemon.state_dir else { return Ok(State::default()) };
        let directory = match Directory::open(path) {
            Ok(directory) => directory,
            Err(Refused::Unsafe(why)) => return Err(format!("[musterd] state_dir: {}: {why}", path.display())),
            Err(Refused::Unusable(why)) => {
                warn!(directory = %path.display(), "cannot use state_dir, so a restart forgets all state: {why}");
                return Ok(State { is_unusable: true, ..State::default() });
            }
        };
        let before = muster_state::Memory::read(&directory);
        let store = match Store::start(directory, &before, began.unix_ms()) {
            Ok(store) => Some(store),
            Err(error) => {
                warn!(directory = %path.display(), %error, "cannot keep state: no thread");
                None
            }
        };
        let unseen = before.jobs.iter().filter_map(|(name, job)| Some((name.clone(), job.seen?))).collect();
        Ok(State { is_unusable: store.is_none(), store, before, unseen: RefCell::new(unseen), ..State::default() })
    }

    /// The directory, if it is used.
    pub(crate) fn directory(&self, daemon: &DaemonSpec) -> Option<PathBuf> {
        daemon.state_dir.clone().filter(|_| self.store.is_some())
    }

    /// The numbers of instances that were chosen in an earlier life.
    pub(crate) fn scales(&self) -> Scales {
        scales(self.before.scales.iter().map(|(name, scale)| (name.clone(), *scale)).collect())
    }

    /// The memory of these programs, once: for the core, before their first start.
    pub(crate) fn recall(&self, programs: &[Arc<ProgramSpec>]) -> Option<Vec<Memory>> {
        let store = self.store.as_ref().filter(|_| !self.has_recalled.replace(true))?;
        let instances = programs.iter().flat_map(|program| program.instances.iter().map(move |it| (program, it)));
        let memory = |(program, spec): (&Arc<ProgramSpec>, &Arc<InstanceSpec>)| {
            let done_at = program.once.then(|| store.done(&spec.name, &hash(spec))).flatten();
            if let Some(at) = done_at {
                info!(program = %spec.name, at = %Timestamp::from_unix_ms(at), "done before (once), so it is not run");
            }
            let job = self.before.jobs.get(&spec.name);
            let memory = Memory {
                name: spec.name.clone(),
                was_stopped: self.before.stopped.contains(&spec.name),
                is_done: done_at.is_some(),
                succeeded: job.and_then(|job| job.succeeded),
            };
            (memory != Memory { name: spec.name.clone(), ..Memory::default() }).then_some(memory)
        };
        Some(instances.filter_map(memory).collect()).filter(|all: &Vec<Memory>| !all.is_empty())
    }

    /// Follows an event.
    pub(crate) fn observe(&self, supervisor: &Supervisor, clock: Clock, event: &Event) {
        let Some(store) = &self.store else { return };
        match event {
            Event::State { instance, to, run, .. } => {
                self.may_differ.set(true);
                if let (At::Starting, Some(instance), Some(run)) = (to, supervisor.get(*instance), run) {
                    note_start(store, clock, instance, *run);
                }
            }
            Event::Ended(ended) => {
                if let Some(instance) = supervisor.get(ended.instance) {
                    note_end(store, clock, instance, ended);
                }
            }
            Event::Configured { .. } => {
                self.may_differ.set(true);
                let all = supervisor.snapshot().iter().filter(|instance| !instance.is_leaving());
                let names: BTreeSet<&str> = all.map(Instance::name).collect();
                store.keep_only(|name| names.contains(name));
            }
            Event::ShutdownBegan { .. } => self.is_closing.set(true),
            Event::ShutdownEnded(account) => *self.last_words.borrow_mut() = account.why.to_string(),
            _ => {}
        }
    }

    /// A command was answered: it may have been a stop that changed nothing but the goal.
    pub(crate) fn note_command(&self) {
        self.may_differ.set(true);
    }

    /// Keeps which programs were stopped by hand, before the loop waits.
    pub(crate) fn attend(&self, supervisor: &Supervisor) {
        let Some(store) = self.store.as_ref().filter(|_| self.may_differ.replace(false)) else { return };
        let is_kept = |one: &&Instance| {
            one.was_stopped_by_hand() && one.program().restart.when == RestartWhen::UnlessStopped && !one.is_leaving()
        };
        let stopped = supervisor.snapshot().iter().filter(is_kept).map(|one| one.name().to_owned());
        store.set_stopped(stopped.collect());
    }

    /// Keeps the numbers of instances that were chosen at run time.
    pub(crate) fn keep_scales(&self, scales: &Scales) {
        if let Some(store) = &self.store {
            let kept = scales
                .iter()
                .map(|(name, scale)| (name.clone(), Scale { numprocs: scale.numprocs, replaced: scale.replaced }));
            store.set_scales(kept.collect());
        }
    }

    /// Since when the times of a schedule have not been considered, if they may have passed while no daemon ran: once, when it
    /// is armed for the first time. Times are in seconds since 1970.
    pub(crate) fn armed(&self, name: &str, now: i64) -> Option<i64> {
        let store = self.store.as_ref()?;
        store.change_job(name, |job| job.seen = Some(now.saturating_mul(1000)));
        self.unseen.borrow_mut().remove(name).map(|seen| seen.div_euclid(1000))
    }

    /// The times of a schedule up to now have been considered.
    pub(crate) fn saw(&self, name: &str, now: i64) {
        if let Some(store) = &self.store {
            store.change_job(name, |job| job.seen = Some(now.saturating_mul(1000)));
        }
    }

    /// A schedule was stopped: times that pass from now on are not missed. Those that pass while the container is down are.
    pub(crate) fn disarmed(&self, name: &str) {
        if let Some(store) = self.store.as_ref().filter(|_| !self.is_closing.get()) {
            store.change_job(name, |job| job.seen = None);
        }
    }

    /// When the last successful run by its schedule ended, also in an earlier life; in milliseconds since 1970.
    pub(crate) fn last_success(&self, name: &str) -> Option<i64> {
        self.store.as_ref()?.job(name)?.last_success
    }

    /// When an instance was done in an earlier life.
    pub(crate) fn done_at(&self, spec: &InstanceSpec) -> Option<Timestamp> {
        self.store.as_ref()?.done(&spec.name, &hash(spec)).map(Timestamp::from_unix_ms)
    }

    /// The number of failed writes; `None` without a directory.
    pub(crate) fn failures(&self) -> Option<u64> {
        let unusable = self.is_unusable.then_some(1);
        self.store.as_ref().map(Store::failures).or(unusable)
    }

    /// The story of an instance in the daemon's previous life, in a sentence.
    pub(crate) fn previous_life(&self, name: &str) -> Option<String> {
        let runs = self.before.runs.get(name).filter(|runs| !runs.is_empty())?;
        let life = &self.before.life;
        let date = Timestamp::from_unix_ms;
        let mut told = match &life.ended {
            Some(LifeEnd { at, code, why }) => {
                let until = date(*at);
                format!("in its previous life, until musterd exited at {until} with {code} ({why}): ")
            }
            None => format!(
                "in its previous life, which began at {} and ended without a word (musterd or its container was killed, \
                 perhaps for lack of memory): ",
                date(life.began)
            ),
        };
        for (place, run) in runs.iter().rev().take(TOLD).enumerate() {
            if place > 0 {
                told.push_str("; ");
            }
            let began = date(run.began);
            let _ = match run.ended {
                Some(ended) => {
                    let lasted = Duration::from_millis(ended.saturating_sub(run.began).max(0).unsigned_abs());
                    write!(
                        told,
                        "run {} began at {began} and ended after {}: {}",
                        run.run,
                        Span::about(lasted),
                        run.end
                    )
                }
                None => write!(told, "run {} began at {began} and was still running", run.run),
            };
        }
        let more = runs.len().saturating_sub(TOLD);
        if more > 0 {
            let _ = write!(told, "; {more} before");
        }
        Some(told)
    }

    /// The daemon exits with this code: writes the rest.
    pub(crate) fn finish(&self, code: u8, now: Timestamp) {
        if let Some(store) = &self.store {
            let why = self.last_words.borrow().clone();
            store.finish(LifeEnd { at: now.unix_ms(), code, why }, LAST_WRITE);
        }
    }
}

fn note_start(store: &Store, clock: Clock, instance: &Instance, run: RunId) {
    let began = unix_ms(clock, clock.now());
    store.note_run(instance.name(), Run { run: run.0, began, ended: None, end: String::new() });
    if instance.program().schedule.is_some() {
        store.change_job(instance.name(), |job| job.last_run = Some(began));
    }
}

fn note_end(store: &Store, clock: Clock, instance: &Instance, ended: &EndedRun) {
    let name = instance.name();
    let now = unix_ms(clock, clock.now());
    let uptime = i64::try_from(ended.uptime.as_millis()).unwrap_or(i64::MAX);
    let end = match &ended.cause {
        Some(cause) => format!("{} (musterd ended it: {cause})", ended.end),
        None => ended.end.to_string(),
    };
    store.note_run(name, Run { run: ended.run.0, began: now.saturating_sub(uptime), ended: Some(now), end });
    let is_its_own = !matches!(ended.cause, Some(StopCause::Asked(_) | StopCause::Shutdown));
    if instance.program().schedule.is_some() {
        let (succeeded, success) = (instance.job_succeeded(), instance.last_success().map(|at| unix_ms(clock, at)));
        store.change_job(name, |job| {
            job.succeeded = succeeded.or(job.succeeded);
            job.last_success = success.or(job.last_success);
        });
    }
    if instance.is_done_once() && ended.expected && is_its_own {
        store.note_done(name, Done { command: hash(instance.spec()), at: now });
    }
}

fn unix_ms(clock: Clock, at: Time) -> i64 {
    Timestamp::from(clock.date(at)).unix_ms()
}

/// Kept numbers of instances, for the reader of the configuration.
pub(crate) fn scales(kept: BTreeMap<String, Scale>) -> Scales {
    let scale = |Scale { numprocs, replaced }| muster_spec::Scale { numprocs, replaced };
    kept.into_iter().map(|(name, kept)| (name, scale(kept))).collect()
}

/// The hash of a command: another command is another thing to do.
fn hash(spec: &InstanceSpec) -> String {
    muster_state::hash(&spec.process.command)
}
