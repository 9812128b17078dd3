//! Clients of programs that start on a connection: which sockets are watched, and for whom.
//!
//! A socket is watched only while an instance waits for a client of it, and never accepted from. It is watched once: the first
//! sign of a client ends that, so clients that a program is slow to take wake nothing.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use muster_core::{Input, Instance};
use muster_spec::{InstanceId, InstanceSpec, StartOn};
use muster_sys::async_fd::Watched;
use muster_sys::pollset::PollSet;
use muster_sys::sockets::Key;
use tracing::warn;

use super::Children;

/// The sockets that are watched.
pub(super) struct Contacts {
    set: Rc<Watched<PollSet>>,
    /// Each socket that is watched, and its token.
    watched: HashMap<Key, u64>,
    /// Each instance that waits, and its sockets.
    waiting: HashMap<InstanceId, Vec<Key>>,
    last_token: u64,
    /// Whether an instance may wait that is not watched for.
    has_new: bool,
}

impl Contacts {
    pub(super) fn new(set: Rc<Watched<PollSet>>) -> Contacts {
        Contacts { set, watched: HashMap::new(), waiting: HashMap::new(), last_token: 0, has_new: false }
    }
}

impl Children {
    /// Notes that an instance waits for a client: the next look at the sockets begins the watch.
    pub(crate) fn note_awaited(&mut self) {
        self.contacts.has_new = true;
        self.note_change();
    }

    /// Ends the watch for instances that no longer wait. Must come before their sockets are closed.
    pub(super) fn stop_watching<'a>(&mut self, instances: impl Iterator<Item = &'a Instance>) {
        if self.contacts.waiting.is_empty() {
            return;
        }
        let still: HashSet<InstanceId> =
            instances.filter(|instance| instance.awaits_contact()).map(Instance::id).collect();
        self.contacts.waiting.retain(|instance, _| still.contains(instance));
        self.unwatch_the_rest();
    }

    /// Ends all watches, before sockets are exchanged for others. The next look at what instances wait for begins new ones.
    pub(super) fn watch_nothing(&mut self) {
        self.contacts.has_new |= !self.contacts.waiting.is_empty();
        self.contacts.waiting.clear();
        self.unwatch_the_rest();
    }

    /// Watches the sockets of instances that wait for a client and are not watched for. Returns the inputs that are known
    /// at once.
    pub(super) fn watch_for<'a>(&mut self, instances: impl Iterator<Item = &'a Instance>) -> Vec<Input> {
        if !std::mem::take(&mut self.contacts.has_new) {
            return Vec::new();
        }
        let waiting: Vec<&Instance> = instances.filter(|instance| instance.awaits_contact()).collect();
        // One that is opened again is another descriptor.
        if waiting.iter().any(|instance| self.sockets.has_broken(instance.spec())) {
            self.watch_nothing();
            self.contacts.has_new = false;
        }
        let new = waiting.into_iter().filter(|instance| !self.contacts.waiting.contains_key(&instance.id()));
        let new: Vec<(InstanceId, Arc<InstanceSpec>)> =
            new.map(|instance| (instance.id(), Arc::clone(instance.spec()))).collect();
        new.into_iter().filter_map(|(id, spec)| self.watch(id, &spec)).collect()
    }

    fn watch(&mut self, instance: InstanceId, spec: &InstanceSpec) -> Option<Input> {
        // The start tries again, and reports why it fails.
        let at_once = Some(Input::Contacted { instance });
        if self.open_sockets(spec).is_err() {
            return at_once;
        }
        let sockets = spec.process.sockets.iter();
        let keys: Vec<Key> = sockets.map(|socket| Key::of(&spec.name, socket)).collect();
        for (key, socket) in keys.iter().zip(spec.process.sockets.iter()) {
            if self.contacts.watched.contains_key(key) {
                continue;
            }
            let Some(descriptor) = self.sockets.get(&spec.name, socket) else { continue };
            self.contacts.last_token += 1;
            let token = self.contacts.last_token;
            if let Err(error) = self.contacts.set.get_ref().add(descriptor, token) {
                warn!(program = %spec.name, %error, "cannot watch a socket, the program is started at once");
                self.unwatch_the_rest();
                return at_once;
            }
            self.contacts.watched.insert(key.clone(), token);
        }
        self.contacts.waiting.insert(instance, keys);
        None
    }

    /// The instances whose sockets have clients. Their watches end.
    pub(crate) fn take_contacts(&mut self, tokens: &[u64]) -> Vec<Input> {
        let of_token = |(key, token): (&Key, &u64)| tokens.contains(token).then(|| key.clone());
        let touched: HashSet<Key> = self.contacts.watched.iter().filter_map(of_token).collect();
        let is_touched = |keys: &[Key]| keys.iter().any(|key| touched.contains(key));
        let contacted = self.contacts.waiting.extract_if(|_, keys| is_touched(keys));
        let mut contacted: Vec<InstanceId> = contacted.map(|(instance, _)| instance).collect();
        contacted.sort_unstable();
        self.unwatch_the_rest();
        contacted.into_iter().map(|instance| Input::Contacted { instance }).collect()
    }

    /// Ends the watch of sockets for which no instance waits.
    fn unwatch_the_rest(&mut self) {
        let Contacts { set, watched, waiting, .. } = &mut self.contacts;
        let wanted: HashSet<&Key> = waiting.values().flatten().collect();
        for (key, _) in watched.extract_if(|key, _| !wanted.contains(key)) {
            // Copies of it are open in other processes, so the kernel would not do this when it is closed.
            let _ = self.sockets.find(&key).map(|descriptor| set.get_ref().remove(descriptor));
        }
    }

    /// Whether a run's program starts on a connection, and a client of it is left that no process has taken.
    pub(crate) fn leaves_contact(&self, instance: &Instance) -> bool {
        instance.program().start_on == StartOn::Connection && self.sockets.has_contact(instance.spec())
    }
}
