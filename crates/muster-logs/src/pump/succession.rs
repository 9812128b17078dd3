//! How the worker passes from a thread that is blocked in a write to the next.
//!
//! It is in a slot during every write to a file. The watching thread ends a late write on behalf of a successor, which
//! takes the worker; the thread in the write notices that when its write returns, and then owns only the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::warn;

use super::super::backlog::{Backlog, Waiting};
use super::super::file::LogFile;
use super::super::late::{Ticket, Watch};
use super::driver::Driver;
use super::{Lent, Order, Pump, Worker};
use crate::TELL_AGAIN;

/// The worker while its thread writes.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) slot: Mutex<Option<Box<Worker>>>,
    pub(super) watch: Watch,
    /// For superseded threads: the backlog of their file.
    backlogs: Mutex<HashMap<Ticket, Arc<Backlog>>>,
    /// Files that were reported as stalled, and when: one that stalls repeatedly is reported once a minute.
    said: Mutex<HashMap<PathBuf, Instant>>,
}

impl Shared {
    fn is_to_be_said(&self, path: &Path, now: Instant) -> bool {
        let mut said = lock(&self.said);
        said.retain(|_, at| now < *at + TELL_AGAIN);
        !said.contains_key(path) && said.insert(path.to_owned(), now).is_none()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Another thread has the worker. This one has a file, and bytes that could not be written to it yet.
pub(super) struct Superseded {
    pub(super) file: Box<LogFile>,
    pub(super) ticket: Ticket,
    pub(super) rest: Waiting,
}

/// Takes the worker from the thread that is in this write, unless the write has ended.
pub(super) fn succeed(shared: &Shared, ticket: Ticket) -> Option<Box<Worker>> {
    // The thread in the write looks for its backlog as soon as the write returns.
    let mut backlogs = lock(&shared.backlogs);
    if !shared.watch.end(ticket) {
        return None;
    }
    let mut worker = lock(&shared.slot).take()?;
    let Lent { files, index, bytes, ends_line, device } = worker.lent.take()?;
    let path = &files[index];
    let backlog = Backlog::new(path.clone(), bytes, ends_line, device);
    worker.files.begin_late(path, Arc::clone(&backlog));
    backlogs.insert(ticket, backlog);
    drop(backlogs);
    if shared.is_to_be_said(path, Instant::now()) {
        warn!(file = %path.display(), "a log file stands still, what comes for it waits");
    }
    worker.resume();
    Some(worker)
}

impl Superseded {
    /// Continues with the one file until it is on time again.
    pub(super) fn serve(self, shared: &Shared, pump: &Pump) {
        let Superseded { file, ticket, rest } = self;
        let backlog = lock(&shared.backlogs).remove(&ticket);
        if let Some(backlog) = backlog {
            backlog.serve(file, &rest, true);
            pump.order(Order::Settle(backlog.path().to_owned()));
        }
    }
}

impl Driver {
    /// Starts the thread that detects late writes, with the first file.
    pub(super) fn begin_watching(&mut self) {
        if self.is_watched {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let watching = move || shared.watch.run(|ticket| take_over(&shared, ticket));
        match std::thread::Builder::new().name("logs-watch".to_owned()).spawn(watching) {
            Ok(_) => self.is_watched = true,
            Err(error) => warn!(%error, "cannot start the thread that notices slow disks, one can stop all output"),
        }
    }
}

/// A write is late: a new thread continues with everything else, unless the write has ended meanwhile.
fn take_over(shared: &Arc<Shared>, ticket: Ticket) {
    let own = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("logs".to_owned()).spawn(move || {
        if let Some(worker) = succeed(&own, ticket) {
            Driver::of(worker, own).run();
        }
    });
    if let Err(error) = thread {
        warn!(%error, "cannot start a thread while a log file stands still, no output is read until it goes on");
    }
}
