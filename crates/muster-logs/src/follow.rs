//! Following: waiting, on the loop's thread, for new output of an instance.
//!
//! One task per followed instance waits for the thread that reads the pipes, so that this thread makes at most
//! one wake-up for any number of followers, and none without followers. The task wakes the followers. Nothing is queued
//! for them: each reads from the shared memory at its own pace, and gets the number of bytes it has missed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::memory::Memory;

/// How long a task coalesces output after it has woken the followers.
const GATHERING: Duration = Duration::from_millis(2);

/// The tasks, by instance.
#[derive(Debug, Default)]
pub(super) struct Hubs {
    hubs: RefCell<HashMap<String, Weak<Hub>>>,
    is_over: Rc<Cell<bool>>,
    next_id: Cell<u64>,
}

impl Hubs {
    /// Adds a follower of this memory, unless there are too many. Must be called within the local runtime.
    pub(super) fn follow(&self, instance: &str, memory: &Arc<Memory>, most: usize) -> Option<Follower> {
        if self.followers() >= most {
            return None;
        }
        let mut hubs = self.hubs.borrow_mut();
        hubs.retain(|_, hub| hub.strong_count() > 0);
        // An instance that was removed and added again has another memory than its earlier followers know.
        let known = hubs.get(instance).and_then(Weak::upgrade).filter(|hub| Arc::ptr_eq(&hub.memory, memory));
        let hub = known.unwrap_or_else(|| {
            let hub = Hub::start(Arc::clone(memory), Rc::clone(&self.is_over));
            hubs.insert(instance.to_owned(), Rc::downgrade(&hub));
            hub
        });
        self.next_id.set(self.next_id.get() + 1);
        Some(Follower { hub, id: self.next_id.get() })
    }

    /// The number of followers.
    fn followers(&self) -> usize {
        // The map holds weak references only, and the task none, so these are the followers.
        self.hubs.borrow().values().map(Weak::strong_count).sum()
    }

    /// No more output will come. Followers read the rest and end.
    pub(super) fn close(&self) {
        self.is_over.set(true);
        self.hubs.borrow().values().filter_map(Weak::upgrade).for_each(|hub| hub.bell.ring());
    }
}

/// The waiting followers, and what they wait for.
#[derive(Debug, Default)]
struct Bell(RefCell<BTreeMap<u64, Waker>>);

impl Bell {
    fn ring(&self) {
        let waiting = std::mem::take(&mut *self.0.borrow_mut());
        waiting.into_values().for_each(Waker::wake);
    }
}

/// Wakes all followers of one instance.
#[derive(Debug)]
struct Hub {
    memory: Arc<Memory>,
    bell: Rc<Bell>,
    is_over: Rc<Cell<bool>>,
    task: AbortHandle,
}

impl Hub {
    fn start(memory: Arc<Memory>, is_over: Rc<Cell<bool>>) -> Rc<Hub> {
        memory.begin_following();
        let bell = Rc::<Bell>::default();
        let task = tokio::task::spawn_local(ring_for_ever(Arc::clone(&memory), Rc::clone(&bell)));
        Rc::new(Hub { memory, bell, is_over, task: task.abort_handle() })
    }
}

async fn ring_for_ever(memory: Arc<Memory>, bell: Rc<Bell>) {
    let mut seen = 0;
    loop {
        seen = poll_fn(|context| memory.poll_beyond(seen, context)).await;
        bell.ring();
        tokio::time::sleep(GATHERING).await;
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
        self.memory.end_following();
    }
}

/// A follower of an instance.
#[derive(Debug)]
pub struct Follower {
    hub: Rc<Hub>,
    id: u64,
}

impl Follower {
    /// Whether no more output will come.
    pub fn is_over(&self) -> bool {
        self.hub.is_over.get()
    }

    /// Wakes this task when there is more. Call it after nothing new was found, before the task yields the thread:
    /// output pushed meanwhile wakes only after that.
    pub fn wait(&self, context: &Context<'_>) {
        self.hub.bell.0.borrow_mut().insert(self.id, context.waker().clone());
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.hub.bell.0.borrow_mut().remove(&self.id);
    }
}
