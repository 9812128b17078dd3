//! The queue of messages for a receiver: bounded; the oldest are dropped when it is full.

use std::collections::VecDeque;
use std::sync::Arc;

use super::message::Batch;
use super::outage::Loss;

/// Maximum number of bytes queued, of all programs together.
const MOST: usize = 1 << 20;

/// Consecutive messages of a stream are merged up to this many bytes.
const TOGETHER: usize = 16 * 1024;

/// The cost of a batch in addition to its messages, about.
const OVERHEAD: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Spool {
    batches: VecDeque<Batch>,
    cost: usize,
}

impl Spool {
    /// Queues messages, and returns the loss of older ones, which is already counted.
    pub(super) fn push(&mut self, batch: Batch) -> Loss {
        match self.batches.back_mut() {
            Some(last) if Arc::ptr_eq(&last.counters, &batch.counters) && last.size() + batch.size() <= TOGETHER => {
                self.cost += batch.size();
                last.append(&batch);
            }
            _ => {
                self.cost += batch.size() + OVERHEAD;
                self.batches.push_back(batch);
            }
        }
        let mut lost = Loss::default();
        while self.cost > MOST && self.batches.len() > 1 {
            lost += self.pop().map_or(Loss::default(), |batch| batch.lose());
        }
        lost
    }

    pub(super) fn pop(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.cost -= batch.size() + OVERHEAD;
        if self.batches.is_empty() {
            // Release the memory that a burst needed.
            self.batches = VecDeque::new();
        }
        Some(batch)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) -> Loss {
        std::iter::from_fn(|| self.pop()).fold(Loss::default(), |lost, batch| lost + batch.lose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;

    fn batch(counters: &Arc<Counters>, text: &[u8]) -> Batch {
        let mut batch = Batch::new(Arc::clone(counters));
        batch.put(b"", text, true);
        batch
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_and_are_counted_for_their_program() {
        let (web, db) = (Arc::new(Counters::default()), Arc::new(Counters::default()));
        let mut spool = Spool::default();
        assert_eq!(spool.push(batch(&db, b"first")), Loss::default());
        let text = vec![b'x'; 8000];
        let lost = (0..200).fold(Loss::default(), |lost, _| lost + spool.push(batch(&web, &text)));
        assert_eq!(db.counts().dropped_lines, 1);
        assert_eq!(web.counts().dropped_lines + 1, lost.lines);
        let kept = std::iter::from_fn(|| spool.pop()).map(|batch| batch.len() as u64).sum::<u64>();
        assert_eq!(kept + lost.lines, 201);
        assert!((120..=131).contains(&kept), "{kept} of 8 kB were kept");
        assert_eq!(spool.cost, 0);
    }

    #[test]
    fn small_messages_of_one_program_are_kept_together_and_those_of_others_apart() {
        let (web, db) = (Arc::new(Counters::default()), Arc::new(Counters::default()));
        let mut spool = Spool::default();
        for counters in [&web, &web, &db, &web] {
            spool.push(batch(counters, b"line"));
        }
        let lengths: Vec<usize> = std::iter::from_fn(|| spool.pop()).map(|batch| batch.len()).collect();
        assert_eq!(lengths, [2, 1, 1]);
    }
}
