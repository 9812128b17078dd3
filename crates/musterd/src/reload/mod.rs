//! Reloads: reading the configuration again and applying it, on SIGHUP, on a request, or when its files have changed.
//!
//! Reading happens on a thread of its own ([`reading`]), since a disk may be slow and a thousand programs take their time.
//! Reloads take turns, so that the configuration read last is applied last. On any error the active configuration stays. The
//! core decides what the new one means for programs; [`groups`] applies single groups of it, [`daemon`] has the keys of the daemon itself. [`watch`] notices that
//! files have changed, and [`secrets`] that files of the API's secrets have.

mod daemon;
pub(crate) mod groups;
mod reading;
pub(crate) mod remote;
pub(crate) mod scale;
pub(crate) mod secrets;
mod starting;
pub(crate) mod watch;

pub(crate) use self::reading::on_a_thread;
pub(crate) use self::starting::started;

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use muster_api::{ChangedKey, ConfigReport, Diagnostic, Problem, ProblemKind, ReloadReport};
use muster_core::{Input, Instance, Outcome, Principal, ReloadPlan, RequestId, Settings};
use muster_spec::{ControlSpec, HostPort, ListenAddress, ListenSpec, ProgramSpec};
use muster_sys::user::Accounts;
use tokio::sync::oneshot;
use tracing::{error, warn};

use crate::configuration::New;
use crate::opened_again::open_again;
use crate::shared::{Order, Shared, descriptors};
use muster_load::check;
use muster_load::effective_config::{self, Planned};
use muster_load::secrets::Reader;
use muster_logging::limit::{DAEMON, Notice, unless_none};
use muster_logging::main_log::{self, Level};
use muster_server::budget::Budget;
use muster_server::turn_clock::{beside, spawn};

/// The number of reloads that may wait for their turn. Further ones are refused as busy.
const MOST_WAITING: usize = 32;

/// How many instances have their keys shown in a dry run.
const MOST_SHOWN: usize = 100;

/// The most mistakes of a configuration in one line of the log.
const MOST_IN_A_LINE: usize = 10;

/// Why the configuration is reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// SIGHUP. The result goes to the log.
    Signal,
    /// The files have changed. The result goes to the log.
    Files,
    /// A source has a new version. The result goes to the log.
    Source,
    /// A client asked for it, and gets the result.
    Client(Principal),
    /// A client asked for a restart of everything, as supervisord restarts on HUP.
    Restart(Principal),
}

/// How it is reloaded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    /// Only plan it.
    pub(crate) dry_run: bool,
    /// Forget the numbers of instances that were chosen at run time.
    pub(crate) resets_scale: bool,
    /// The client that is shown the values that differ, in a dry run.
    pub(crate) reader: Option<Reader>,
}

/// Applies a configuration: the daemon's own keys here, and the rest by the input for the core. Called by the loop, so that
/// both happen in one step.
pub(crate) fn put_in_force(shared: &Shared, (request, by): (RequestId, Option<Principal>), new: New) -> Input {
    let New { spec, files, disguises, access, servers, mut scales, restarts_all } = new;
    if !shared.supervisor.borrow().is_shutting_down() {
        shared.configuration.is_restarting.set(restarts_all || shared.configuration.is_restarting.get());
        let mut in_force = shared.configuration.in_force_mut();
        daemon::take(&mut in_force, &spec);
        if restarts_all {
            daemon::take_again(&mut in_force.daemon, &spec.daemon);
        }
        in_force.files = files;
        // A program whose configured number is another now has that number.
        scales.retain(|name, scale| {
            spec.programs.iter().any(|program| program.name == *name && scale.holds(program.numprocs))
        });
        shared.state.keep_scales(&scales);
        shared.configuration.scales.replace(scales);
        in_force.sources.clone_from(&spec.sources);
        in_force.notifiers.clone_from(&spec.notifiers);
        shared.notifiers.adopt(&spec.notifiers, |name| spec.programs.iter().any(|program| program.name == name));
        let supervisor = shared.supervisor.borrow();
        in_force.put_disguises(disguises, |real| supervisor.snapshot().iter().any(|instance| instance.spec() == real));
        drop(supervisor);
        shared.gate.put_access(access);
        shared.secrets.put(servers);
        shared.secrets.reloaded.notify_one();
        let instances = spec.programs.iter().flat_map(|program| &program.instances);
        let children = shared.children.borrow();
        instances.for_each(|instance| children.logs().change_rotation(instance));
        drop(children);
        shared.children.borrow_mut().adopt_sockets();
        // Where there are supervisord's lines, the last one about the restart is written first.
        if restarts_all && !main_log::is_on() {
            open_again(shared);
        }
        adapt(shared, spec.programs.iter().map(|program| program.instances.len()).sum());
        divide(shared, &spec.programs, spec.control.listeners.len());
    }
    let mut settings = Settings::from(&spec.daemon);
    // The programs of a source that was never read are still to come.
    settings.exit_when_done &= !shared.configuration.sources.lacks_any();
    Input::Reloaded { request: Some(request), by, programs: spec.programs, settings, restarts_all }
}

/// Reads the configuration and applies it, or with `dry_run` only plans that. Reports what changes.
pub(crate) async fn reload(shared: &Rc<Shared>, origin: Origin, how: How) -> Result<ReloadReport, Problem> {
    if origin != Origin::Source && shared.configuration.sources.is_waiting() {
        started(shared, Duration::ZERO).await?;
    }
    in_turn(shared, async move |shared| read_and_apply(&shared, origin, how).await).await
}

/// Does the work when its turn has come. It goes on to its end even if the client disconnects, so nothing is left half done,
/// and no second thread waits for the same disk.
async fn in_turn<T: 'static>(
    shared: &Rc<Shared>,
    work: impl AsyncFnOnce(Rc<Shared>) -> Result<T, Problem> + 'static,
) -> Result<T, Problem> {
    let waiting = &shared.configuration.waiting;
    if waiting.get() >= MOST_WAITING {
        let problem = Problem::new(ProblemKind::Busy, "too many reloads are pending");
        return Err(problem.with_hint("is a configuration file on a file system that does not respond?"));
    }
    waiting.set(waiting.get() + 1);
    let shared = Rc::clone(shared);
    let task = tokio::task::spawn_local(beside(Rc::clone(&shared.loop_turns), async move {
        let _turn = shared.configuration.turn.lock().await;
        shared.configuration.waiting.set(shared.configuration.waiting.get() - 1);
        let answer = work(Rc::clone(&shared)).await;
        shared.configuration.turned.notify_one();
        shared.configuration.programs_turned.notify_one();
        answer
    }));
    task.await.unwrap_or_else(|_| Err(Problem::new(ProblemKind::ShuttingDown, "the daemon is about to exit")))
}

async fn read_and_apply(shared: &Rc<Shared>, origin: Origin, how: How) -> Result<ReloadReport, Problem> {
    let configuration = &shared.configuration;
    if origin == Origin::Signal {
        configuration.is_signal_waiting.set(false);
    }
    let dry_run = how.dry_run;
    let (reading, candidate) = remote::read(shared, origin, how).await?;
    *configuration.looks.borrow_mut() = reading.looks;
    let Some(mut new) = reading.new else { return Err(refused(reading.diagnostics)) };
    // supervisord restarts on HUP as a whole.
    new.restarts_all = match origin {
        Origin::Restart(_) => true,
        Origin::Signal => check::is_called_as_supervisord(),
        Origin::Files | Origin::Source | Origin::Client(_) => false,
    };
    let needs_restart = daemon::needs_restart(&configuration.in_force(), &new.spec, new.restarts_all);
    let notifiers = daemon::changed_notifiers(&configuration.in_force().notifiers, &new.spec.notifiers);
    let files = new.files.iter().map(|path| path.display().to_string()).collect();
    let mut keys = Vec::new();
    let plan = match dry_run {
        true => {
            let plan = Arc::new(shared.supervisor.borrow().plan(&new.spec.programs));
            if let Some(reader) = how.reader {
                keys = changed_keys(shared, &plan, &new, reader).await;
            }
            plan
        }
        false => {
            let specs = new.spec.sources.clone();
            let plan = hand_over(shared, new, origin).await?;
            configuration.sources.accept(candidate);
            configuration.sources.adopt(&specs);
            // The active configuration is the one that was read last.
            *configuration.pending.borrow_mut() = None;
            plan
        }
    };
    Ok(ReloadReport { dry_run, files, needs_restart, notifiers, keys, diagnostics: reading.diagnostics, ..of(&plan) })
}

/// The keys that differ, of the first instances that a plan restarts or changes.
async fn changed_keys(shared: &Shared, plan: &ReloadPlan, new: &New, reader: Reader) -> Vec<ChangedKey> {
    let planned = Planned { programs: &new.spec.programs, disguises: &new.disguises };
    let mut keys = Vec::new();
    for name in plan.restarted.iter().chain(&plan.changed).take(MOST_SHOWN) {
        // Each of them costs as much as an answer with one program.
        shared.turns.next().await;
        let (supervisor, in_force) = (shared.supervisor.borrow(), shared.configuration.in_force());
        let Some(instance) = supervisor.find(name) else { continue };
        let changes = effective_config::changes(instance, &in_force, &planned, reader);
        let key = |(key, before, after)| ChangedKey { name: name.clone(), key, before, after };
        keys.extend(changes.into_iter().map(key));
    }
    keys
}

async fn hand_over(shared: &Rc<Shared>, new: New, origin: Origin) -> Result<Arc<ReloadPlan>, Problem> {
    let gone = || Problem::new(ProblemKind::ShuttingDown, "the daemon is shutting down");
    // Before anything changes: if one cannot be opened, the active configuration stays.
    let opened = shared.children.borrow_mut().prepare_sockets(&groups::active(shared), &new.spec.programs);
    opened.map_err(|error| Problem::new(ProblemKind::BadConfiguration, format!("{error}; nothing was changed")))?;
    // Whatever keeps the configuration from becoming active: what was opened for it is closed again.
    let failed = |problem: Problem| {
        shared.children.borrow_mut().discard_sockets();
        problem
    };
    open_listeners(shared, &new.spec.control).map_err(failed)?;
    let (reply, replied) = oneshot::channel();
    let by = match origin {
        Origin::Client(principal) | Origin::Restart(principal) => Some(principal),
        Origin::Signal | Origin::Files | Origin::Source => None,
    };
    let order = Order::Configure { request: shared.new_request(), by, new: Box::new(new), reply };
    shared.orders.send(order).await.map_err(|_| failed(gone()))?;
    match replied.await {
        Ok(Outcome::Reloaded(plan)) => Ok(plan),
        Ok(_) | Err(_) => Err(failed(gone())),
    }
}

/// Opens the listeners that are new. They are used once the configuration is active. A listener that gets the socket of one
/// that leaves is not opened here, nor one whose port is in use only until another one leaves.
fn open_listeners(shared: &Shared, control: &ControlSpec) -> Result<(), Problem> {
    let active = shared.configuration.in_force().control.listeners.clone();
    let is_new = |listener: &&ListenSpec| active.iter().all(|other| other.address != listener.address);
    let is_open = |address: &ListenAddress| !shared.gate.not_listening.borrow().contains_key(address);
    let stays = |address: &ListenAddress| control.listeners.iter().any(|other| other.address == *address);
    let leaving = active.iter().map(|listener| &listener.address).filter(|address| !stays(address) && is_open(address));
    let leaving: Vec<&HostPort> = leaving.filter_map(ListenAddress::place).collect();
    let mut opened = Vec::new();
    for listener in control.listeners.iter().filter(is_new) {
        let place = listener.address.place();
        if place.is_some_and(|place| leaving.contains(&place)) {
            continue;
        }
        let frees_port = || place.is_some_and(|place| leaving.iter().any(|other| other.port == place.port));
        match muster_listen::open(listener, &mut Accounts::default()) {
            Ok(bound) => opened.push((listener.clone(), bound)),
            Err(error) if error.is_in_use() && frees_port() => {}
            Err(error) => {
                let detail = format!("cannot listen on {}: {error}; nothing was changed", listener.address);
                return Err(Problem::new(ProblemKind::BadConfiguration, detail));
            }
        }
    }
    *shared.gate.opened.borrow_mut() = opened;
    Ok(())
}

/// Adapts what is kept for each instance. Instances that an earlier reload removed are gone by now.
fn adapt(shared: &Shared, instances: usize) {
    let supervisor = shared.supervisor.borrow();
    let there: HashSet<&str> = supervisor.snapshot().iter().map(Instance::name).collect();
    shared.children.borrow_mut().adapt(|name| there.contains(name), there.len().max(instances));
    shared.event_ring.borrow_mut().make_room(instances);
}

/// Divides the descriptors again. Removed instances keep theirs until they have exited.
fn divide(shared: &Shared, programs: &[Arc<ProgramSpec>], listeners: usize) {
    let coming = || programs.iter().flat_map(|program| &program.instances).map(|instance| &**instance);
    let names: HashSet<&str> = coming().map(|instance| instance.name.as_str()).collect();
    let supervisor = shared.supervisor.borrow();
    let leaving = supervisor.snapshot().iter().filter(|instance| !names.contains(instance.name()));
    let all = coming().chain(leaving.map(|instance| &**instance.spec()));
    shared.gate.budget.set(Budget::of(descriptors(), all, listeners));
    shared.gate.divided.notify_one();
    shared.gate.listeners_changed.notify_one();
}

fn refused(diagnostics: Vec<Diagnostic>) -> Problem {
    let errors = diagnostics.iter().filter(|found| found.severity == "error").count();
    let plural = if errors == 1 { "" } else { "s" };
    let detail = format!("the configuration has {errors} error{plural}; nothing was changed");
    Problem::new(ProblemKind::BadConfiguration, detail).with_diagnostics(diagnostics)
}

fn of(plan: &ReloadPlan) -> ReloadReport {
    ReloadReport {
        added: plan.added.clone(),
        removed: plan.removed.clone(),
        restarted: plan.restarted.clone(),
        changed: plan.changed.clone(),
        unchanged: u32::try_from(plan.unchanged).unwrap_or(u32::MAX),
        ..ReloadReport::default()
    }
}

/// Reads the configuration and reports every mistake. Takes turns with reloads, so that threads cannot pile up.
pub(crate) async fn check(shared: &Rc<Shared>) -> Result<ConfigReport, Problem> {
    let (paths, texts) = (shared.configuration.paths.clone(), shared.configuration.sources.candidate(true).texts);
    in_turn(shared, async move |_| reading::check(paths, texts).await).await
}

/// Handles SIGHUP. A second one is ignored while the first waits for its turn.
pub(crate) fn on_signal(shared: &Rc<Shared>) {
    if shared.configuration.is_signal_waiting.replace(true) {
        return;
    }
    let shared = Rc::clone(shared);
    spawn(async move {
        let answer = reload(&shared, Origin::Signal, How::default()).await;
        if matches!(&answer, Err(problem) if matches!(problem.kind, ProblemKind::Busy | ProblemKind::Starting)) {
            shared.configuration.is_signal_waiting.set(false);
        }
        tell(&shared, &answer, Origin::Signal);
    });
}

/// Logs the result of a reload that no client waits for.
fn tell(shared: &Shared, answer: &Result<ReloadReport, Problem>, origin: Origin) {
    let diagnostics = match answer {
        Ok(report) if report.diagnostics.is_empty() && report.needs_restart.is_empty() => return,
        Ok(report) => &report.diagnostics,
        Err(problem) => &problem.diagnostics,
    };
    let Some(suppressed) = shared.limits.pass(DAEMON, Notice::Reloaded).map(unless_none) else { return };
    let is_refused = answer.is_err() && main_log::is_on();
    for found in diagnostics.iter().filter(|found| !is_refused || found.severity != "error") {
        let place = format!("{}:{}:{}", found.file, found.line, found.column);
        let hint = found.hint.as_deref();
        match found.severity.as_str() {
            "error" => error!(%place, hint, "{}", found.message),
            _ => warn!(%place, hint, "{}", found.message),
        }
    }
    match answer {
        Ok(report) => {
            for key in &report.needs_restart {
                warn!(%key, "changed, and needs a restart of the daemon");
            }
        }
        Err(problem) if origin == Origin::Files => {
            error!(suppressed, "a file of the configuration has changed, but {problem}");
        }
        Err(problem) if origin == Origin::Source => error!(suppressed, "a source has a new version, but {problem}"),
        Err(problem) if is_refused => {
            let errors = diagnostics.iter().filter(|found| found.severity == "error").take(MOST_IN_A_LINE);
            let said =
                |found: &Diagnostic| format!("{}:{}:{}: {}", found.file, found.line, found.column, found.message);
            let errors: Vec<String> = errors.map(said).collect();
            main_log::line(Level::Critical, format_args!("cannot restart: {problem}: {}", errors.join("; ")));
        }
        Err(problem) => error!(suppressed, "reload: {problem}"),
    }
}
