//! State that the event loop and the connections share, all on one thread.
//!
//! Connections read the supervisor's snapshot directly and never enter the loop for it; whatever changes something is
//! sent to the loop as an [`Order`]. No borrow is ever held over an await.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use muster_access::Access;
use muster_api::Timestamp;
use muster_core::{Principal, RequestId, Supervisor, Time, Verb, request::Outcome};
use muster_exec::relay::Command;
use muster_listen::tls::Servers;
use muster_logs::Memory;
use muster_schedule::Agenda;
use muster_server::{Gate, Secrets};
use muster_spec::{InstanceId, RunId, Selector, ShutdownBudget, Signal};
use muster_sys::limits::OriginalLimits;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::announced::Announced;
use crate::children::Children;
use crate::clock::Clock;
use crate::configuration::{self, Configuration};
use crate::execs::{Ask, Execs, NotStarted};
use crate::exit_evidence::ExitEvidence;
use crate::inspection::Inspection;
use crate::messengers::{self, Messenger};
use crate::notifiers::Notifiers;
use crate::pidfile::Pidfile;
use crate::pools::Listeners;
use crate::program_counters::ProgramCounters;
use crate::state::State;
use muster_logging::event_ring::EventRing;
use muster_logging::limit::Limits;
use muster_server::budget::Budget;
use muster_server::turn_clock::LoopTurns;
use muster_server::turns::Turns;

/// The number of orders that may wait for the loop. Only the connection that finds the queue full waits.
pub(crate) const ORDERS: usize = 256;

/// A request of a connection to the loop.
#[derive(Debug)]
pub(crate) enum Order {
    /// Do something to instances.
    Command {
        request: RequestId,
        select: Selector,
        verb: Verb,
        wait: bool,
        by: Principal,
        reply: oneshot::Sender<Outcome>,
    },
    /// The client no longer waits for its reply.
    Expire { request: RequestId },
    /// Apply a new configuration.
    Configure {
        request: RequestId,
        by: Option<Principal>,
        new: Box<configuration::New>,
        reply: oneshot::Sender<Outcome>,
    },
    /// Files that a program watches have changed.
    FilesChanged { program: String, files: String, at: Time },
    /// Execute a command in the context of an instance.
    Exec { serial: u64, ask: Box<Ask>, reply: oneshot::Sender<Result<Command, NotStarted>> },
    /// Signal such a command.
    SignalExec { serial: u64, signal: Signal },
    /// The client of such a command is gone.
    HangUp { serial: u64 },
    /// Execute the command of a notifier.
    Messenger { messenger: Box<Messenger>, reply: messengers::Reply },
    /// Kill such a command.
    EndMessenger { serial: u64 },
    /// Exit at once with this code: there is no configuration, so no program was started.
    GiveUp { code: u8 },
    /// Stop everything and exit.
    /// With the process that requested it in supervisord's way, if that is known.
    Shutdown { timeout: Option<ShutdownBudget>, by: Principal, pid: Option<i32> },
}

/// State that the event loop and the connections share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) supervisor: RefCell<Supervisor>,
    pub(crate) children: RefCell<Children>,
    pub(crate) configuration: Configuration,
    /// The memory across restarts of the container.
    pub(crate) state: State,
    /// Certificates of listeners.
    pub(crate) secrets: Secrets,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) event_ring: RefCell<EventRing>,
    pub(crate) exit_evidence: RefCell<ExitEvidence>,
    /// The inputs and effects of the core, while the daemon can be looked into.
    pub(crate) inspection: Inspection,
    pub(crate) listeners: RefCell<Listeners>,
    /// The tasks that feed events to programs.
    pub(crate) feeds: RefCell<HashMap<RunId, AbortHandle>>,
    /// Where events are passed on to.
    pub(crate) notifiers: Notifiers,
    /// The times of armed programs.
    pub(crate) agenda: RefCell<Agenda<InstanceId>>,
    /// The commands that clients execute.
    pub(crate) execs: RefCell<Execs>,
    /// Each client that is connected to a terminal has a copy.
    pub(crate) shown_terminals: Rc<()>,
    /// Limits on what programs and clients can make the daemon log.
    pub(crate) limits: Limits,
    pub(crate) program_counters: RefCell<ProgramCounters>,
    /// The rules and bounds of connections.
    pub(crate) gate: Gate,
    /// Watches how long the loop goes without polling its sources.
    pub(crate) loop_turns: Rc<LoopTurns>,
    /// Held by the simulation that runs, and for a pause after it.
    pub(crate) simulation: Arc<Semaphore>,
    /// The queue of long responses that are being written.
    pub(crate) turns: Turns,
    /// The daemon's own messages.
    pub(crate) own_log: Arc<Memory>,
    /// New processes whose line of supervisord's log is still to be written.
    pub(crate) announced: RefCell<Announced>,
    /// The pid file, while there is one.
    pub(crate) pidfile: RefCell<Option<Pidfile>>,
    /// Notified when the sources of the configuration have been read, and programs may start.
    pub(crate) started: Notify,
    next_request: Cell<u64>,
}

impl Shared {
    pub(crate) fn new(
        (clock, loop_turns): (Clock, LoopTurns),
        supervisor: Supervisor,
        children: Children,
        (configuration, state): (Configuration, State),
        (access, servers): (Access, Arc<Servers>),
        orders: mpsc::Sender<Order>,
        own_log: Arc<Memory>,
    ) -> Shared {
        let instances = supervisor.snapshot().iter().map(|instance| &**instance.spec());
        let budget = Budget::of(descriptors(), instances, configuration.in_force().control.listeners.len());
        let loop_turns = Rc::new(loop_turns);
        let began = Timestamp::from(clock.date(Time::ZERO)).unix_ms();
        let limits = children.limits().clone();
        let event_ring = EventRing::beginning_with(first_event(began), supervisor.snapshot().len());
        let listeners = Listeners::new(configuration.identifier());
        Shared {
            clock,
            supervisor: RefCell::new(supervisor),
            children: RefCell::new(children),
            configuration,
            state,
            secrets: Secrets::new(servers),
            orders,
            event_ring: RefCell::new(event_ring),
            exit_evidence: RefCell::new(ExitEvidence::new()),
            inspection: Inspection::default(),
            listeners: RefCell::new(listeners),
            feeds: RefCell::default(),
            notifiers: Notifiers::default(),
            agenda: RefCell::default(),
            execs: RefCell::default(),
            shown_terminals: Rc::default(),
            limits: limits.clone(),
            program_counters: RefCell::default(),
            announced: RefCell::default(),
            pidfile: RefCell::default(),
            gate: Gate::new(access, budget, limits, Rc::clone(&loop_turns)),
            loop_turns,
            simulation: Arc::new(Semaphore::new(1)),
            turns: Turns::default(),
            own_log,
            started: Notify::new(),
            next_request: Cell::new(0),
        }
    }

    pub(crate) fn new_request(&self) -> RequestId {
        self.next_request.set(self.next_request.get() + 1);
        RequestId(self.next_request.get())
    }
}

/// The limit of open descriptors. If it cannot be read, the lowest that is common.
pub(crate) fn descriptors() -> u64 {
    OriginalLimits::current().map_or(1024, |limits| limits.nofile_soft)
}

/// The number of the first event since this start. Each millisecond of uptime leaves room for a thousand events before the
/// numbers of the next start are reached, and browsers represent the numbers exactly for the next two centuries.
fn first_event(began_ms: i64) -> u64 {
    u64::try_from(began_ms).unwrap_or(0).saturating_mul(1000).max(1)
}
