//! The queue of one console stream: whole lines, in order of arrival, each of a lane.
//!
//! A lane is a stream of a program, or the daemon itself. It has a bound, and all lanes together have one, too. When one is
//! reached, the writer of the lane must wait, if [`Full`] says so; otherwise its oldest lines are dropped and counted, and a
//! mark takes their place. Nothing here waits or writes; see [`console`](super::console) for that, and
//! [`joint`](super::joint) for lines that come in parts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use memchr::{memchr, memchr_iter};
use muster_api::Timestamp;

use super::backlog::Room;
use super::counters::Counters;
use super::joint::Joint;
use super::json;

/// Maximum number of bytes queued in all lanes, whatever each of them may have. Blocking lanes only have their own bounds.
const TOTAL: usize = 16 << 20;

/// When this much is queued, all writers of `Slow` lanes wait, until little enough is: the space up to the total is for
/// output that is being read meanwhile, and for the remaining output of runs.
const CROWDED: usize = TOTAL / 4 * 3;
const UNCROWDED: usize = TOTAL / 2;

/// Consecutive lines of a lane are merged up to this many bytes.
const TOGETHER: usize = 16 * 1024;

/// The maximum size of the lines of one read: 64 KiB of empty lines as JSON.
const PIECE: usize = 8 << 20;

/// The cost of a chunk in addition to its bytes, about.
const OVERHEAD: usize = 128;

/// How many empty buffers are kept for reuse, and their maximum size.
const SPARE: usize = 4;
const SPARE_CAPACITY: usize = 512 * 1024;

/// Identifies a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneId(usize);

/// The daemon's own lane.
pub(super) const OWN: LaneId = LaneId(0);

/// The format of the mark for missing lines.
#[derive(Clone, Debug)]
pub(super) enum Gap {
    Text { name: String },
    Json { head: Vec<u8> },
}

impl Gap {
    /// Appends the mark for missing lines.
    pub(super) fn put(&self, lines: u64, bytes: u64, why: &str, out: &mut Vec<u8>) {
        match self {
            Gap::Text { name } => {
                out.extend_from_slice(
                    format!("musterd | {name}: {lines} lines ({bytes} bytes) lost here: {why}\n").as_bytes(),
                );
            }
            Gap::Json { head } => {
                let time = Timestamp::from(SystemTime::now()).to_string();
                json::put_gap(head, &time, lines, bytes, why, out);
            }
        }
    }
}

const UNREAD: &str = "they were not read in time";

/// Called when there is room again.
pub(super) type Waiter = Box<dyn FnOnce() + Send>;

/// The policy when a lane is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Drop its oldest lines at once.
    Drop,
    /// The writer waits for room as long as the reader makes progress. Then its oldest lines are dropped.
    Slow,
    /// The writer waits for room, so nothing of it is dropped for the sake of the others.
    Block,
}

struct Lane {
    gap: Gap,
    bound: usize,
    full: Full,
    is_verbatim: bool,
    counters: Option<Arc<Counters>>,
    /// Most lanes are empty most of the time, and there are two for every program.
    busy: Option<Box<Busy>>,
}

/// The state of a lane that is not empty, or from which lines are missing.
#[derive(Default)]
struct Busy {
    queued: usize,
    places: VecDeque<u64>,
    lost_lines: u64,
    lost_bytes: u64,
    waiters: Vec<Waiter>,
}

struct Chunk {
    lane: usize,
    bytes: Vec<u8>,
    lines: u64,
    /// If it begins with the rest of a line: the prefix in case it cannot follow the beginning.
    continuation: Option<Vec<u8>>,
}

/// The properties of a lane.
pub(super) struct LaneSpec {
    pub(super) gap: Gap,
    pub(super) bound: usize,
    pub(super) full: Full,
    pub(super) counters: Option<Arc<Counters>>,
    /// Whether its bytes are written as they come, rather than as lines.
    pub(super) is_verbatim: bool,
}

/// The queued lines.
pub(super) struct Queue {
    lanes: Vec<Lane>,
    chunks: BTreeMap<u64, Chunk>,
    next_place: u64,
    /// The number of bytes queued, and the number in lanes that do not block.
    total: usize,
    losable: usize,
    spare: Vec<Vec<u8>>,
    /// Writers that wait because all lanes together hold too much.
    crowd: Vec<Waiter>,
    /// Whether there is a lane with only a gap left.
    has_bare_gap: bool,
    joint: Joint,
}

impl Queue {
    pub(super) fn new(own: LaneSpec) -> Queue {
        let (lanes, chunks, spare, crowd) = (Vec::new(), BTreeMap::new(), Vec::new(), Vec::new());
        let joint = Joint::default();
        let mut queue =
            Queue { lanes, chunks, next_place: 0, total: 0, losable: 0, spare, crowd, has_bare_gap: false, joint };
        queue.add_lane(own);
        queue
    }

    pub(super) fn add_lane(&mut self, spec: LaneSpec) -> LaneId {
        let LaneSpec { gap, bound, full, counters, is_verbatim } = spec;
        self.lanes.push(Lane { gap, bound, full, is_verbatim, counters, busy: None });
        LaneId(self.lanes.len() - 1)
    }

    /// Changes the lane to the configuration of another run, of the same program or of one that reuses the lane.
    pub(super) fn change_lane(&mut self, lane: LaneId, spec: LaneSpec) {
        let lane = &mut self.lanes[lane.0];
        self.losable -= lane.losable(lane.queued());
        (lane.gap, lane.bound, lane.full, lane.is_verbatim) = (spec.gap, spec.bound, spec.full, spec.is_verbatim);
        self.losable += lane.losable(lane.queued());
        lane.counters = spec.counters;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The number of bytes queued, including overhead.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// The place of the next line.
    pub(super) fn end(&self) -> u64 {
        self.next_place
    }

    /// The place of the first line: everything before has been taken.
    pub(super) fn first_place(&self) -> u64 {
        self.chunks.first_key_value().map_or(self.next_place, |(&place, _)| place)
    }

    /// Whether a lane may grow; programs wait for the reader until this moment if it takes nothing. If not, the
    /// waiter is called when it may.
    pub(super) fn room(&mut self, lane: LaneId, until: Instant, waiter: impl FnOnce() -> Waiter) -> Room {
        let is_crowded = self.losable >= CROWDED;
        let lane = &mut self.lanes[lane.0];
        let is_full = lane.queued() >= lane.bound;
        let room = match lane.full {
            Full::Block if is_full => Room::None,
            Full::Slow if (is_full || is_crowded) && Instant::now() < until => Room::NoneUntil(until),
            Full::Block | Full::Slow | Full::Drop => return Room::Some,
        };
        if is_full {
            lane.busy().waiters.push(waiter());
        } else {
            self.crowd.push(waiter());
        }
        room
    }

    /// Queues whole lines, and leaves an empty buffer for the next. With a continuation they begin with the rest of the
    /// last line of this lane. Programs wait for the reader until this moment.
    pub(super) fn push(
        &mut self,
        lane: LaneId,
        until: Instant,
        lines: &mut Vec<u8>,
        count: u64,
        continuation: Option<Vec<u8>>,
    ) {
        if lines.is_empty() {
            return;
        }
        let last = self.chunks.last_entry().filter(|last| last.get().lane == lane.0);
        if let Some(mut last) = last
            && last.get().bytes.len() + lines.len() <= TOGETHER
            && (self.lanes[lane.0].is_verbatim || (last.get().bytes.last() == Some(&b'\n')) == continuation.is_none())
        {
            let chunk = last.get_mut();
            chunk.bytes.extend_from_slice(lines);
            chunk.lines += count;
            self.add(lane.0, lines.len());
            lines.clear();
        } else {
            self.push_chunk(lane, lines, count, continuation);
        }
        self.keep_bound(lane, until);
    }

    fn push_chunk(&mut self, lane: LaneId, lines: &mut Vec<u8>, count: u64, continuation: Option<Vec<u8>>) {
        // Many small chunks in large buffers would cost more than their bytes.
        let bytes = if lines.capacity() > 2 * lines.len() + OVERHEAD {
            let exact = lines.as_slice().to_vec();
            lines.clear();
            exact
        } else {
            std::mem::replace(lines, self.spare.pop().unwrap_or_default())
        };
        let cost = bytes.len() + OVERHEAD;
        self.chunks.insert(self.next_place, Chunk { lane: lane.0, bytes, lines: count, continuation });
        self.lanes[lane.0].busy().places.push_back(self.next_place);
        self.add(lane.0, cost);
        self.next_place += 1;
    }

    /// Drops the oldest lines of a lane that exceeds its bound, and the oldest of all when the total is exceeded.
    fn keep_bound(&mut self, lane: LaneId, until: Instant) {
        let bound = match &self.lanes[lane.0] {
            lane if lane.queued() <= lane.bound => lane.bound,
            // A waiting writer may bring one more piece, which can grow considerably when formatted; and runs that end
            // leave some output.
            lane if lane.full == Full::Block => 2 * lane.bound + PIECE,
            lane if lane.full == Full::Slow && Instant::now() < until => 2 * lane.bound + PIECE,
            lane => lane.bound,
        };
        while let Some(busy) = &self.lanes[lane.0].busy
            && busy.queued > bound
            && busy.places.len() > 1
        {
            // Slightly more than necessary, so that not every short line moves the whole chunk.
            let (place, least) = (busy.places[0], (busy.queued - bound).max(bound / 8));
            self.drop_lines(place, least);
        }
        while self.losable > TOTAL {
            let droppable = |(_, chunk): &(&u64, &Chunk)| self.lanes[chunk.lane].full != Full::Block;
            let Some((&place, _)) = self.chunks.iter().find(droppable) else { break };
            self.drop_chunk(place);
        }
    }

    /// Drops the first lines of a chunk, at least this many bytes, or all of it. All parts of a line are dropped together.
    fn drop_lines(&mut self, place: u64, least: usize) {
        let Some(chunk) = self.chunks.get_mut(&place) else { return };
        let rest = chunk.bytes.get(least..).unwrap_or_default();
        let end = memchr(b'\n', rest).map_or(chunk.bytes.len(), |end| least + end + 1);
        let count = |bytes| memchr_iter(b'\n', bytes).count() as u64;
        let (lane, lines, others) = (chunk.lane, count(&chunk.bytes[..end]), count(&chunk.bytes[end..]));
        if end == chunk.bytes.len() || lines + others != chunk.lines {
            return self.drop_chunk(place);
        }
        chunk.bytes.drain(..end);
        chunk.lines = others;
        chunk.continuation = None;
        self.subtract(lane, end);
        self.lanes[lane].lose(lines, end);
    }

    fn drop_chunk(&mut self, place: u64) {
        let Some(chunk) = self.remove(place) else { return };
        let lane = &mut self.lanes[chunk.lane];
        lane.lose(chunk.lines, chunk.bytes.len());
        self.has_bare_gap |= lane.busy().places.is_empty();
        self.recycle(chunk.bytes);
    }

    fn remove(&mut self, place: u64) -> Option<Chunk> {
        let chunk = self.chunks.remove(&place)?;
        // A lane's places are in order, and only its oldest is ever removed.
        self.lanes[chunk.lane].busy().places.pop_front();
        self.subtract(chunk.lane, chunk.bytes.len() + OVERHEAD);
        Some(chunk)
    }

    fn add(&mut self, lane: usize, bytes: usize) {
        let lane = &mut self.lanes[lane];
        lane.busy().queued += bytes;
        self.total += bytes;
        self.losable += lane.losable(bytes);
    }

    fn subtract(&mut self, lane: usize, bytes: usize) {
        let lane = &mut self.lanes[lane];
        lane.busy().queued -= bytes;
        self.total -= bytes;
        self.losable -= lane.losable(bytes);
    }

    /// Moves the oldest lines into `batch`, about this many bytes, each gap with its mark. Returns the waiters that
    /// have room now.
    pub(super) fn take(&mut self, most: usize, batch: &mut Vec<Vec<u8>>) -> Vec<Waiter> {
        let (mut taken, mut waiters) = (0, Vec::new());
        while taken < most
            && let Some((&place, _)) = self.chunks.first_key_value()
            && let Some(chunk) = self.remove(place)
        {
            taken += chunk.bytes.len();
            let lane = &mut self.lanes[chunk.lane];
            self.joint.put_line(lane.take_gap(), batch);
            if lane.is_verbatim {
                self.joint.put_verbatim(chunk.lane, chunk.bytes, batch);
            } else {
                self.joint.put(chunk.lane, chunk.bytes, chunk.continuation, batch);
            }
            if lane.queued() <= lane.bound / 2 {
                waiters.append(&mut lane.busy().waiters);
            }
        }
        if self.losable <= UNCROWDED {
            waiters.append(&mut self.crowd);
        }
        if self.chunks.is_empty() && std::mem::take(&mut self.has_bare_gap) {
            self.lanes.iter_mut().for_each(|lane| self.joint.put_line(lane.take_gap(), batch));
        }
        waiters
    }

    /// Keeps an emptied buffer for reuse, unless it is too large.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE && (TOGETHER..=SPARE_CAPACITY).contains(&buffer.capacity()) {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Whether empty buffers are kept.
    pub(super) fn has_spare(&self) -> bool {
        !self.spare.is_empty()
    }

    /// The queue is empty: releases the kept buffers.
    pub(super) fn rest(&mut self) {
        self.spare = Vec::new();
        for lane in &mut self.lanes {
            lane.busy.take_if(|busy| busy.is_idle());
        }
    }
}

impl Busy {
    fn is_idle(&self) -> bool {
        self.places.is_empty() && self.waiters.is_empty() && self.lost_bytes == 0
    }
}

impl Lane {
    fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    fn queued(&self) -> usize {
        self.busy.as_ref().map_or(0, |busy| busy.queued)
    }

    /// How many of these bytes of it may be lost.
    fn losable(&self, bytes: usize) -> usize {
        if self.full == Full::Block { 0 } else { bytes }
    }

    fn lose(&mut self, lines: u64, bytes: usize) {
        if let Some(counters) = &self.counters {
            counters.count_dropped(lines, bytes);
        }
        let busy = self.busy();
        busy.lost_lines += lines;
        busy.lost_bytes += bytes as u64;
    }

    fn take_gap(&mut self) -> Option<Vec<u8>> {
        let busy = self.busy.as_deref_mut()?;
        let (lines, bytes) = (std::mem::take(&mut busy.lost_lines), std::mem::take(&mut busy.lost_bytes));
        (bytes > 0).then(|| {
            let mut told = Vec::new();
            self.gap.put(lines, bytes, UNREAD, &mut told);
            told
        })
    }
}

#[cfg(test)]
mod tests;
