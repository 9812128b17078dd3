//! Which streams are read, by their runs and instances.

use std::sync::atomic::Ordering;

use tracing::warn;

use super::super::InstanceId;
use super::super::stream::Stream;
use super::{Chore, Worker};

/// Maximum number of ended runs of an instance that are still read, if processes they left behind hold their pipes.
const MOST_ENDED: usize = 4;

impl Worker {
    /// Adds a stream whose files are known. Returns its token.
    pub(super) fn insert(&mut self, stream: Box<Stream>) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        let is_new = self.streams_of(stream.run).next().is_none();
        self.runs.insert((stream.run, token));
        if is_new {
            self.leave_oldest((stream.recorder.instance(), token, stream.run));
        }
        self.streams.insert(token, stream);
        self.watch(token);
        token
    }

    /// Removes a stream.
    pub(super) fn remove(&mut self, token: u64) -> Option<Box<Stream>> {
        let stream = self.streams.remove(&token)?;
        // Closing removes it from the set only if no process shares the reading end, which none does; do it explicitly all the same.
        let _ = self.epoll.delete(&stream.pipe);
        self.common.large_pipes.fetch_sub(usize::from(stream.is_large), Ordering::Relaxed);
        self.runs.remove(&(stream.run, token));
        if self.streams_of(stream.run).next().is_none() {
            let entry = self.runs_of(stream.recorder.instance()).find(|(_, _, run)| *run == stream.run);
            if let Some(entry) = entry {
                self.instances.remove(&entry);
            }
        }
        Some(stream)
    }

    /// With each of its exits a program can leave processes behind that hold its pipes and no longer belong to a run. They must
    /// not use up all descriptors, so the oldest pipes are no longer read.
    fn leave_oldest(&mut self, new: (InstanceId, u64, u64)) {
        self.instances.insert(new);
        let mut runs = self.runs_of(new.0);
        let Some(oldest) = runs.next().filter(|_| runs.count() > MOST_ENDED) else { return };
        self.instances.remove(&oldest);
        let (_, _, run) = oldest;
        warn!(run, "no longer reading the output of processes that an ended run left behind");
        let chores: Vec<Chore> =
            self.streams_of(run).flat_map(|token| [Chore::Drain(token), Chore::Close(token)]).collect();
        self.chores.extend(chores);
    }

    fn runs_of(&self, instance: InstanceId) -> impl Iterator<Item = (InstanceId, u64, u64)> {
        self.instances.range((instance, 0, 0)..=(instance, u64::MAX, u64::MAX)).copied()
    }

    pub(super) fn streams_of(&self, run: u64) -> impl Iterator<Item = u64> {
        self.runs.range((run, 0)..=(run, u64::MAX)).map(|(_, token)| *token)
    }
}
