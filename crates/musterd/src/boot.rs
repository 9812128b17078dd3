//! Starts the daemon with a configuration, and determines its exit code at the end.
//!
//! The order matters: limits and adoption before the first child, threads after signals are blocked, the socket before the
//! first program (so that a second daemon starts nothing), the programs last.

use std::ffi::OsString;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_core::{Settings, Supervisor, Time};
use muster_listen::Bound;
use muster_listen::tls::Servers;
use muster_listen::unix::Socket;
use muster_load::auto_logs::{AutoLogs, Choice};
use muster_load::surroundings;
use muster_logs::{Consoles, Logs, Memory};
use muster_spec::{DaemonSpec, ListenSpec, ProgramSpec, Resource, Spec, UserSpec};
use muster_sys::async_fd::Watched;
use muster_sys::limits::OriginalLimits;
use muster_sys::pollset::PollSet;
use muster_sys::signal::Signals;
use muster_sys::sockets::Sockets;
use muster_sys::spawn::Spawner;
use muster_sys::tree::Trees;
use muster_sys::user::{Account, Accounts};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::access;
use crate::children::Children;
use crate::children::sockets::instances;
use crate::clock::Clock;
use crate::configuration::{Configuration, Sources};
use crate::event_loop::{self, EventLoop};
use crate::notifying;
use crate::opening::{self, Control, Opening};
use crate::pidfile::Pidfile;
use crate::reload;
use crate::shared::{ORDERS, Shared};
use crate::state::State;
use crate::watches;
use muster_logging as logging;
use muster_server::Listeners;
use muster_server::budget;
use muster_server::turn_clock::{LoopTurns, TASKS_A_LOOK, TurnClock, spawn, spawn_beside};

/// How long a reader of the console, or a disk, that takes nothing may delay the exit.
const STALL: Duration = Duration::from_secs(1);

/// How long slow disks and console readers may take after a shutdown without a time limit.
const UNLIMITED_FLUSH: Duration = Duration::from_secs(9);

/// How long responses and log lines that are being sent may take at the end.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// Exit code when the daemon itself failed.
const INTERNAL: u8 = 1;
/// Exit code of an invalid configuration.
const USAGE: u8 = opening::USAGE;

/// Variables that the daemon's parent sets for the daemon: a program would notify the wrong process, or take the wrong
/// descriptors.
const MEANT_FOR_US: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"];

/// Supervises until the end; returns the exit code.
pub(crate) fn supervise(spec: Spec, sources: Sources, mut opening: Opening) -> u8 {
    match start(spec, sources, &mut opening) {
        Ok(code) => code,
        Err(error) => {
            opening.complain(&format!("musterd: cannot start: {error}"));
            INTERNAL
        }
    }
}

fn start(spec: Spec, sources: Sources, opening: &mut Opening) -> io::Result<u8> {
    let clock = Clock::start();
    let raised = match raise_least_limits(&spec) {
        Ok(raised) => raised,
        Err(error) => {
            opening.complain(&format!("musterd: {error}"));
            return Ok(USAGE);
        }
    };
    let limits = muster_sys::limits::raise_descriptor_limit()?;
    let descriptors = budget::needed(spec.programs.iter().flat_map(|program| program.instances.iter().map(|it| &**it)));
    muster_sys::fd::reserve_descriptors(descriptors as u64);
    enter_surroundings(&spec)?;
    let turns = TurnClock::start();
    let runtime = runtime(&turns).map_err(needs("epoll_create1 and eventfd2"))?;
    runtime.block_on(run(spec, sources, (clock, LoopTurns::new(turns)), (limits, raised), opening))
}

/// Raises the limits that the configuration demands, and returns those that were lower.
fn raise_least_limits(spec: &Spec) -> io::Result<Vec<(Resource, u64)>> {
    let mut raised = Vec::new();
    for &(resource, least) in &spec.daemon.least_limits {
        if muster_sys::limits::ensure(resource, least)? {
            raised.push((resource, least));
        }
    }
    Ok(raised)
}

fn runtime(turns: &Arc<TurnClock>) -> io::Result<LocalRuntime> {
    let (resting, waking) = (Arc::clone(turns), Arc::clone(turns));
    let mut builder = Builder::new_current_thread();
    builder.enable_io().enable_time().event_interval(TASKS_A_LOOK);
    let rest = move || {
        resting.rest();
        muster_sys::footprint::rest();
    };
    builder.on_thread_park(rest).on_thread_unpark(move || waking.wake());
    builder.build_local(LocalOptions::default())
}

/// Every supported kernel has these calls; only a custom seccomp profile can forbid them.
fn needs(calls: &'static str) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{error}: the seccomp profile must allow {calls}"))
}

/// Sets the daemon's umask and working directory, before anything is opened.
fn enter_surroundings(spec: &Spec) -> io::Result<()> {
    let mask = nix::sys::stat::Mode::from_bits_truncate(spec.daemon.umask);
    nix::sys::stat::umask(mask);
    let Some(directory) = &spec.daemon.directory else { return Ok(()) };
    std::env::set_current_dir(directory)
        .map_err(|error| io::Error::new(error.kind(), format!("[musterd] directory: {}: {error}", directory.display())))
}

/// Starts the log, with the daemon's first thread.
fn log(spec: &DaemonSpec) -> io::Result<(Consoles, Arc<Memory>)> {
    let mut consoles = Consoles::start()?;
    let own_log = logging::start(spec, &mut consoles)?;
    Ok((consoles, own_log))
}

/// The sockets, opened with the rights that the daemon was started with.
struct Ready {
    socket: Option<Socket>,
    listeners: Vec<(ListenSpec, Vec<Bound>)>,
    program_sockets: Sockets,
}

/// Opens the sockets of the API and of the programs, and becomes the configured user. An error is the exit code.
fn open_as_root(spec: &Spec, accounts: &mut Accounts, opening: &mut Opening) -> Result<Ready, u8> {
    let account = match &spec.daemon.user {
        Some(user) => {
            own_account(user, accounts).map_err(|error| opening.refuse(format!("[musterd] user: {error}")))?
        }
        None => None,
    };
    let control = opening::open_control(&spec.control, accounts, opening, account.is_some())?;
    let listeners = opening::open_listeners(&spec.control, accounts, opening)?;
    let mut program_sockets = Sockets::default();
    // All of them before the first program starts: programs may connect to each other in any order.
    match program_sockets.prepare_each(instances(&spec.programs), accounts) {
        // supervisord does not start without its sockets. Elsewhere the start of the program fails and says so.
        Some(error) if opening.is_supervisord() => {
            opening.refuse_socket(&error);
            return Err(USAGE);
        }
        _ => drop(program_sockets.adopt(accounts)),
    }
    if let Some(account) = account {
        let name = &account.name;
        program_sockets.give_to(account.uid, account.gid);
        account
            .take_over()
            .map_err(|error| opening.refuse(format!("[musterd] user: cannot become {name}: {error}")))?;
    }
    let socket = match control {
        Control::Settled(socket) => socket,
        Control::LeftToUser => match opening::open_control(&spec.control, accounts, opening, false)? {
            Control::Settled(socket) => socket,
            Control::LeftToUser => None,
        },
    };
    Ok(Ready { socket, listeners, program_sockets })
}

/// The account to become; `None` if the daemon is it.
fn own_account(user: &UserSpec, accounts: &mut Accounts) -> Result<Option<Account>, String> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let account = accounts.account(user, gid.as_raw()).map_err(|error| error.to_string())?;
    let is_it = account.uid == uid.as_raw() && user.group.is_none();
    if !is_it && !uid.is_root() {
        return Err(format!(
            "the daemon runs as uid {uid} and cannot become {}: start it as root, or leave the key out",
            account.name
        ));
    }
    Ok((!is_it).then_some(account))
}

async fn run(
    mut spec: Spec,
    mut sources: Sources,
    clocks: (Clock, LoopTurns),
    (limits, raised): (OriginalLimits, Vec<(Resource, u64)>),
    opening: &mut Opening,
) -> io::Result<u8> {
    let mut accounts = Accounts::default();
    // With sources, the configuration is complete only when they have been read, and no program starts before.
    let is_whole = spec.sources.is_empty();
    if !is_whole {
        spec.programs.clear();
    }
    // All that may need root comes first, while there is one thread.
    let ready = open_as_root(&spec, &mut accounts, opening);
    let (consoles, own_log) = log(&spec.daemon)?;
    opening.write_lines();
    raised.into_iter().for_each(|(limit, least)| info!(limit = limit.name(), soft = least, "raised a resource limit"));
    let Ready { socket, listeners: opened, program_sockets } = match ready {
        Ok(ready) => ready,
        Err(code) => {
            consoles.flush(LAST_MOMENT);
            return Ok(code);
        }
    };
    let state = match State::open(&spec.daemon, clocks.0.date(Time::ZERO).into()) {
        Ok(state) => state,
        Err(why) => {
            error!(hint = "chmod 700, or a directory in it: the daemon makes it with the right mode", "{why}");
            consoles.flush(LAST_MOMENT);
            return Ok(USAGE);
        }
    };
    let mut scales = state.scales();
    scales.retain(|name, scale| {
        let holds = |program: &Arc<ProgramSpec>| program.name == *name && scale.holds(program.numprocs);
        !is_whole || spec.programs.iter().any(holds)
    });
    if is_whole {
        // Numbers that no longer hold are forgotten.
        state.keep_scales(&scales);
    }
    // No earlier: another daemon that owns the socket still writes to its files.
    let mut auto_logs = AutoLogs::default();
    auto_logs.remove_old(&spec);
    auto_logs.choose(&mut spec, sources.disguises_mut(), Choice::Create);
    adopt_orphans();
    let trees = Trees::new();
    trees.abilities().lacks().into_iter().for_each(|lack| warn!("{lack}"));
    surroundings::lacks(&spec.programs, limits, &mut accounts).into_iter().for_each(|lack| warn!("{lack}"));
    let statuses = Rc::new(Watched::for_reading(PollSet::new()?)?);
    let signals = Watched::for_reading(Signals::new().map_err(needs("signalfd4"))?)?;
    let notifications = Rc::new(Watched::for_reading(PollSet::new()?)?);
    let contacts = Rc::new(Watched::for_reading(PollSet::new()?)?);
    let is_for_us = |name: &OsString| MEANT_FOR_US.iter().any(|meant| name == meant);
    let environment = std::env::vars_os().filter(|(name, _)| !is_for_us(name)).collect();
    let spawner = Spawner::new(environment, limits, spec.daemon.umask)?;
    let settings = Settings { exit_when_done: spec.daemon.exit_when_done && is_whole, ..Settings::from(&spec.daemon) };
    let supervisor = Supervisor::new(settings, &spec.programs, seed());
    let access = access::rules(&spec.control, &mut accounts);
    let servers = Arc::new(Servers::of(&spec.control).map_err(io::Error::other)?);
    let pidfile = spec.daemon.pidfile.clone();
    let control = spec.control.socket.clone();
    let syslog = spec.daemon.syslog.clone();
    // The core owns the programs from now on; a copy here would outlive every reload.
    let Spec { daemon, control: control_spec, sources: remote, notifiers, programs } = spec;
    drop(programs);
    let kept = (state.directory(&daemon), scales);
    let configuration = Configuration::new(sources, daemon, control_spec, remote, auto_logs, kept);
    let console = consoles.stderr.clone();
    let logs = Logs::start(consoles, syslog)?;
    if logging::main_log::repeats_output() {
        logs.repeat_output();
    }
    let instances = supervisor.snapshot().len();
    let control = socket.is_some().then_some(control).flatten();
    let sets = [&statuses, &notifications, &contacts].map(Rc::clone);
    let children = Children::new(spawner, trees, logs, sets, (control.as_deref(), program_sockets), instances);
    let (orders, received) = mpsc::channel(ORDERS);
    let kept = (configuration, state);
    let shared = Rc::new(Shared::new(clocks, supervisor, children, kept, (access, servers), orders, own_log));
    shared.configuration.in_force_mut().notifiers.clone_from(&notifiers);
    shared.notifiers.adopt(&notifiers, |_| true);
    let listeners = Listeners::start(&shared, socket, opened);
    spawn_beside(&shared.loop_turns, reload::watch::watch(Rc::clone(&shared)));
    spawn_beside(&shared.loop_turns, reload::secrets::watch(Rc::clone(&shared)));
    spawn_beside(&shared.loop_turns, watches::follow(Rc::clone(&shared)));
    if shared.configuration.sources.is_waiting() {
        info!("waiting for the sources of the configuration");
    }
    spawn_beside(&shared.loop_turns, reload::remote::follow(Rc::clone(&shared)));
    spawn(reload::remote::announce(Rc::clone(&shared)));
    spawn_beside(&shared.loop_turns, notifying::follow(Rc::clone(&shared)));
    let opening = std::mem::take(opening);
    opening.enter_background();
    let path = pidfile;
    let pidfile = path.as_deref().and_then(Pidfile::write);
    opening.end(path.as_deref().map(|path| (path, pidfile.is_some())));
    *shared.pidfile.borrow_mut() = pidfile;
    info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), programs = instances, "musterd is up");

    let watch = shared.children.borrow().logs().watch_heard();
    let heard = event_loop::Sources { signals, statuses, contacts, notifications, orders: received, heard: watch };
    let (code, budget) = EventLoop::new(Rc::clone(&shared), heard, console).run().await;
    shared.state.finish(code, shared.clock.date(shared.clock.now()).into());

    // Slow disks and console readers get the rest of the shutdown timeout, unless they take nothing at all. If the
    // daemon exits because every program has ended, they get the whole timeout.
    let unasked = || {
        let timeout = shared.configuration.in_force().daemon.shutdown_timeout.limit();
        Instant::now().checked_add(timeout.unwrap_or(UNLIMITED_FLUSH))
    };
    let end = budget.or_else(unasked).unwrap_or_else(Instant::now).max(Instant::now() + LAST_MOMENT);
    let patience = || end.saturating_duration_since(Instant::now());
    // Followers get the last output before their connections end.
    shared.children.borrow().logs().finish_reading(patience());
    shared.children.borrow().logs().end_following();
    shared.event_ring.borrow_mut().close();
    listeners.stop(LAST_MOMENT).await;
    drop(shared.pidfile.take());
    shared.children.borrow().remove_files();
    shared.children.borrow_mut().close_sockets();
    shared.children.borrow().logs().finish(patience().max(LAST_MOMENT), STALL);
    // The kernel frees all resources at once. Freeing those of a thousand programs one by one would only delay the
    // exit.
    std::process::exit(i32::from(code))
}

/// PID 1 adopts orphans anyway.
fn adopt_orphans() {
    if std::process::id() != 1
        && let Err(error) = muster_sys::boot::become_subreaper()
    {
        warn!(%error, "cannot adopt orphans: processes that programs leave behind may survive them");
    }
}

/// The seed of jitter need not be secret, only different in each container.
fn seed() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.map_or(0, |span| span.as_nanos() as u64) ^ u64::from(std::process::id())
}
