//! The state of notifiers: what each of them has still to deliver, and what became of the rest.
//!
//! Only state: [`crate::publish`] fills the queues, [`crate::notifying`] empties them. A notifier that a reload changes keeps
//! its queue and its counts.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use muster_logging::event_ring::Published;
use muster_notifiers::{Counts, Outbox};
use muster_spec::{NotifierSpec, NotifyOn, ProgramSpec};
use tokio::sync::Notify;

/// An event that is to be delivered.
pub(crate) struct Letter {
    /// The number of the event.
    pub(crate) id: u64,
    pub(crate) on: NotifyOn,
    /// The number of events of its kind that were held back before it.
    pub(crate) held_back: u64,
    /// The program it concerns; empty for the daemon's own events.
    pub(crate) program: String,
    pub(crate) published: Rc<Published>,
}

/// A notifier.
pub(crate) struct Notifier {
    spec: RefCell<Rc<NotifierSpec>>,
    outbox: RefCell<Outbox<Letter>>,
    /// Whether it is delivering.
    is_busy: Cell<bool>,
    is_removed: Cell<bool>,
    /// Whether a task delivers its notifications.
    is_attended: Cell<bool>,
    /// Notified when there is something to deliver, or it is removed.
    pub(crate) changed: Notify,
}

impl Notifier {
    fn new(spec: NotifierSpec) -> Rc<Notifier> {
        Rc::new(Notifier {
            spec: RefCell::new(Rc::new(spec)),
            outbox: RefCell::default(),
            is_busy: Cell::new(false),
            is_removed: Cell::new(false),
            is_attended: Cell::new(false),
            changed: Notify::new(),
        })
    }

    /// Its configuration, as it is now.
    pub(crate) fn spec(&self) -> Rc<NotifierSpec> {
        Rc::clone(&self.spec.borrow())
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.is_removed.get()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.outbox.borrow().counts
    }

    /// The next notification; until [`Notifier::delivered`] it is busy with it.
    pub(crate) fn take(&self) -> Option<Letter> {
        let next = self.outbox.borrow_mut().take();
        self.is_busy.set(next.is_some());
        next
    }

    /// Counts what became of the notification that was taken.
    pub(crate) fn delivered(&self, is_sent: bool) {
        let mut outbox = self.outbox.borrow_mut();
        outbox.counts.sent += u64::from(is_sent);
        outbox.counts.failed += u64::from(!is_sent);
        self.is_busy.set(false);
    }

    fn is_idle(&self) -> bool {
        !self.is_busy.get() && self.outbox.borrow().is_empty()
    }

    fn remove(&self) {
        self.is_removed.set(true);
        self.outbox.borrow_mut().clear();
        self.changed.notify_one();
    }
}

/// Notifiers that want an event, each with its kind and the number of earlier ones that were held back.
pub(crate) type Due = Vec<(Rc<Notifier>, NotifyOn, u64)>;

/// All notifiers.
#[derive(Default)]
pub(crate) struct Notifiers {
    all: RefCell<Vec<Rc<Notifier>>>,
    is_ending: Cell<bool>,
    /// Notified when there may be a notifier that no task attends to.
    pub(crate) adopted: Notify,
    /// Notified when the daemon ends: what waits for another attempt makes it now.
    pub(crate) ending: Notify,
    /// Notified when a notification was delivered or given up.
    pub(crate) settled: Notify,
}

impl Notifiers {
    /// Has these notifiers, and no others.
    pub(crate) fn adopt(&self, specs: &[NotifierSpec], is_program: impl Fn(&str) -> bool) {
        let mut all = self.all.borrow_mut();
        let is_there = |notifier: &Rc<Notifier>| specs.iter().any(|spec| spec.name == notifier.spec().name);
        all.extract_if(.., |notifier| !is_there(notifier)).for_each(|gone| gone.remove());
        for spec in specs {
            match all.iter().find(|notifier| notifier.spec().name == spec.name) {
                Some(known) => *known.spec.borrow_mut() = Rc::new(spec.clone()),
                None => all.push(Notifier::new(spec.clone())),
            }
        }
        all.iter().for_each(|notifier| notifier.outbox.borrow_mut().retain(&is_program));
        self.adopted.notify_one();
    }

    /// The notifiers that no task attends to yet, from now on attended to.
    pub(crate) fn unattended(&self) -> Vec<Rc<Notifier>> {
        let all = self.all.borrow();
        all.iter().filter(|notifier| !notifier.is_attended.replace(true)).map(Rc::clone).collect()
    }

    /// The notifiers for which an event is due that is of the first of these kinds that each of them is for.
    pub(crate) fn due(&self, kinds: &[NotifyOn], program: Option<&ProgramSpec>) -> Due {
        let now = Instant::now();
        let admit = |notifier: &Rc<Notifier>| {
            let spec = notifier.spec.borrow();
            let on = *kinds.iter().find(|kind| spec.on.contains(kind))?;
            if program.is_some_and(|program| !spec.concerns(program)) {
                return None;
            }
            let name = program.map_or("", |program| program.name.as_str());
            let held_back = notifier.outbox.borrow_mut().admit((name, on), spec.every, now)?;
            Some((Rc::clone(notifier), on, held_back))
        };
        self.all.borrow().iter().filter_map(admit).collect()
    }

    /// Queues an event with its number for these notifiers.
    pub(crate) fn queue(&self, due: Due, program: &str, (id, published): (u64, Published)) {
        let published = Rc::new(published);
        for (notifier, on, held_back) in due {
            let (program, published) = (program.to_owned(), Rc::clone(&published));
            notifier.outbox.borrow_mut().put(Letter { id, on, held_back, program, published });
            notifier.changed.notify_one();
        }
    }

    /// The outcomes of the notifications of each.
    pub(crate) fn counts(&self) -> Vec<(String, Counts)> {
        self.all.borrow().iter().map(|notifier| (notifier.spec().name.clone(), notifier.counts())).collect()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.borrow().is_empty()
    }

    /// Whether nothing is left to deliver.
    pub(crate) fn are_idle(&self) -> bool {
        self.all.borrow().iter().all(|notifier| notifier.is_idle())
    }

    /// The daemon ends: failed attempts are no longer repeated.
    pub(crate) fn end(&self) {
        self.is_ending.set(true);
        self.ending.notify_waiters();
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.get()
    }
}
