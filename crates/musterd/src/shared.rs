//! State that the event loop and the connections share, all on one thread.
//!
//! Connections read the supervisor's snapshot directly and never enter the loop for it; whatever changes something is
//! sent to the loop as an [`Order`]. No borrow is ever held over an await.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use muster_api::Timestamp;
use muster_core::{Principal, RequestId, Supervisor, Time, Verb, request::Outcome};
use muster_logs::Memory;
use muster_spec::{Selector, ShutdownBudget};
use muster_sys::limits::OriginalLimits;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::access::Access;
use crate::announced::Announced;
use crate::budget::Budget;
use crate::children::Children;
use crate::clock::Clock;
use crate::configuration::{self, Configuration};
use crate::exit_evidence::ExitEvidence;
use crate::pools::Listeners;
use crate::program_counters::ProgramCounters;
use crate::turn_clock::LoopTurns;
use crate::turns::Turns;
use muster_logging::event_ring::EventRing;
use muster_logging::limit::Limits;

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
    /// Stop everything and exit.
    Shutdown { timeout: Option<ShutdownBudget>, by: Principal },
}

/// State that the event loop and the connections share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) supervisor: RefCell<Supervisor>,
    pub(crate) children: RefCell<Children>,
    pub(crate) configuration: Configuration,
    pub(crate) access: RefCell<Access>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) event_ring: RefCell<EventRing>,
    pub(crate) exit_evidence: RefCell<ExitEvidence>,
    pub(crate) listeners: RefCell<Listeners>,
    /// Limits on what programs and clients can make the daemon log.
    pub(crate) limits: Limits,
    pub(crate) program_counters: RefCell<ProgramCounters>,
    /// The resources that clients may use: descriptors and requests.
    pub(crate) budget: Rc<Cell<Budget>>,
    /// Notified when the budget has changed.
    pub(crate) divided: Notify,
    /// Watches how long the loop goes without polling its sources.
    pub(crate) loop_turns: Rc<LoopTurns>,
    /// The queue of long responses that are being written.
    pub(crate) turns: Turns,
    /// The daemon's own messages.
    pub(crate) own_log: Arc<Memory>,
    /// New processes whose line of supervisord's log is still to be written.
    pub(crate) announced: RefCell<Announced>,
    next_request: Cell<u64>,
}

impl Shared {
    pub(crate) fn new(
        (clock, loop_turns): (Clock, LoopTurns),
        supervisor: Supervisor,
        children: Children,
        configuration: Configuration,
        access: Access,
        orders: mpsc::Sender<Order>,
        own_log: Arc<Memory>,
    ) -> Shared {
        let instances = supervisor.snapshot().iter().map(|instance| &**instance.spec());
        let budget = Rc::new(Cell::new(Budget::of(descriptors(), instances)));
        let began = Timestamp::from(clock.date(Time::ZERO)).unix_ms();
        let limits = children.limits().clone();
        let event_ring = EventRing::beginning_with(first_event(began), supervisor.snapshot().len());
        let listeners = Listeners::new(configuration.identifier());
        Shared {
            clock,
            supervisor: RefCell::new(supervisor),
            children: RefCell::new(children),
            configuration,
            access: RefCell::new(access),
            orders,
            event_ring: RefCell::new(event_ring),
            exit_evidence: RefCell::new(ExitEvidence::new()),
            listeners: RefCell::new(listeners),
            limits,
            program_counters: RefCell::default(),
            announced: RefCell::default(),
            budget,
            divided: Notify::new(),
            loop_turns: Rc::new(loop_turns),
            turns: Turns::default(),
            own_log,
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
