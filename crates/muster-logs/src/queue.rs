//! What waits for one console stream: whole lines, in the order in which they came, each of a lane.
//!
//! A lane is a stream of a program, or the daemon itself. It has a bound, and all lanes together have one, too. When one is
//! reached whoever fills the lane is to wait, if [`Full`] says so; otherwise its oldest lines are dropped and counted, and a
//! mark stands in their place. Nothing here waits or writes; see [`console`](super::console) for who does, and
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

/// How many bytes of all lanes wait at most, whatever each of them may have. Blocking lanes have their own bounds only.
const TOTAL: usize = 16 << 20;

/// When so many wait everyone who is slowed waits, and until so few do: what is between them and the total is for those who
/// are being read meanwhile, and for what runs leave behind.
const CROWDED: usize = TOTAL / 4 * 3;
const UNCROWDED: usize = TOTAL / 2;

/// Lines of a lane that follow one another are kept together up to so many bytes.
const TOGETHER: usize = 16 * 1024;

/// How long the lines of one read can become: 64 KiB of empty lines as JSON.
const PIECE: usize = 8 << 20;

/// What a chunk costs beside its bytes, about.
const OVERHEAD: usize = 128;

/// How many empty buffers are kept for the next lines, and how large one may be.
const SPARE: usize = 4;
const SPARE_CAPACITY: usize = 512 * 1024;

/// Which lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneId(usize);

/// The daemon's own lane.
pub(super) const OWN: LaneId = LaneId(0);

/// How missing lines are told.
#[derive(Clone, Debug)]
pub(super) enum Gap {
    Text { name: String },
    Json { head: Vec<u8> },
}

impl Gap {
    /// Appends the mark that stands for missing lines.
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

const UNREAD: &str = "nobody read them in time";

/// Told when there is room again.
pub(super) type Waiter = Box<dyn FnOnce() + Send>;

/// What happens when a lane is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Its oldest lines are dropped at once.
    Drop,
    /// Whoever fills it waits for room as long as the reader makes progress. Then its oldest lines are dropped.
    Slow,
    /// Whoever fills it waits for room, so nothing of it is dropped for the sake of the others.
    Block,
}

struct Lane {
    gap: Gap,
    bound: usize,
    full: Full,
    counters: Option<Arc<Counters>>,
    /// Most lanes are empty at most times, and there are two for every program.
    busy: Option<Box<Busy>>,
}

/// What a lane has that is not empty, or of which lines are missing.
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
    /// Where it begins with the rest of a line: what stands before that if it cannot follow the beginning.
    continuation: Option<Vec<u8>>,
}

/// What a lane is like.
pub(super) struct LaneSpec {
    pub(super) gap: Gap,
    pub(super) bound: usize,
    pub(super) full: Full,
    pub(super) counters: Option<Arc<Counters>>,
}

/// The lines that wait.
pub(super) struct Queue {
    lanes: Vec<Lane>,
    chunks: BTreeMap<u64, Chunk>,
    next_place: u64,
    /// How many bytes wait, and how many of them in lanes that do not block.
    total: usize,
    losable: usize,
    spare: Vec<Vec<u8>>,
    /// Who waits because all lanes together are too many.
    crowd: Vec<Waiter>,
    /// Whether there is a lane of which only the gap is left.
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
        let LaneSpec { gap, bound, full, counters } = spec;
        self.lanes.push(Lane { gap, bound, full, counters, busy: None });
        LaneId(self.lanes.len() - 1)
    }

    /// The lane is as another run has it configured, of the same program or of one that came after it was gone.
    pub(super) fn change_lane(&mut self, lane: LaneId, spec: LaneSpec) {
        let lane = &mut self.lanes[lane.0];
        self.losable -= lane.losable(lane.queued());
        (lane.gap, lane.bound, lane.full) = (spec.gap, spec.bound, spec.full);
        self.losable += lane.losable(lane.queued());
        lane.counters = spec.counters;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// How many bytes wait, with what it costs to keep them.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// The place of whatever comes next.
    pub(super) fn end(&self) -> u64 {
        self.next_place
    }

    /// Where it begins: everything before has been taken.
    pub(super) fn first_place(&self) -> u64 {
        self.chunks.first_key_value().map_or(self.next_place, |(&place, _)| place)
    }

    /// Whether more may come of a lane, of which the reader is waited for until this moment if it takes nothing. If not, the
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

    /// Takes whole lines in, and leaves an empty buffer for the next. With a continuation they begin with the rest of the
    /// line that was the last of this lane. The reader is waited for until this moment.
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
            && (last.get().bytes.last() == Some(&b'\n')) == continuation.is_none()
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

    /// Drops the oldest lines of a lane that has too many, and the oldest of all when all together are too many.
    fn keep_bound(&mut self, lane: LaneId, until: Instant) {
        let bound = match &self.lanes[lane.0] {
            lane if lane.queued() <= lane.bound => lane.bound,
            // Who waits for room may come with one more piece, which can become much longer on its way; and runs that end
            // leave something behind.
            lane if lane.full == Full::Block => 2 * lane.bound + PIECE,
            lane if lane.full == Full::Slow && Instant::now() < until => 2 * lane.bound + PIECE,
            lane => lane.bound,
        };
        while let Some(busy) = &self.lanes[lane.0].busy
            && busy.queued > bound
            && busy.places.len() > 1
        {
            // A little more than must go, so that not every short line moves all that is kept.
            let (place, least) = (busy.places[0], (busy.queued - bound).max(bound / 8));
            self.drop_lines(place, least);
        }
        while self.losable > TOTAL {
            let droppable = |(_, chunk): &(&u64, &Chunk)| self.lanes[chunk.lane].full != Full::Block;
            let Some((&place, _)) = self.chunks.iter().find(droppable) else { break };
            self.drop_chunk(place);
        }
    }

    /// Drops the first lines of a chunk, so many bytes at least, or all of it. Of a line in parts all that is there goes.
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

    /// Moves what waits longest into `batch`, about so many bytes of it, each gap with its mark. Gives who waited for room
    /// and has it now.
    pub(super) fn take(&mut self, most: usize, batch: &mut Vec<Vec<u8>>) -> Vec<Waiter> {
        let (mut taken, mut waiters) = (0, Vec::new());
        while taken < most
            && let Some((&place, _)) = self.chunks.first_key_value()
            && let Some(chunk) = self.remove(place)
        {
            taken += chunk.bytes.len();
            let lane = &mut self.lanes[chunk.lane];
            self.joint.put_line(lane.take_gap(), batch);
            self.joint.put(chunk.lane, chunk.bytes, chunk.continuation, batch);
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

    /// An emptied buffer is kept for the next lines, unless it would be a burden.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE && (TOGETHER..=SPARE_CAPACITY).contains(&buffer.capacity()) {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Whether empty buffers are kept in readiness.
    pub(super) fn has_spare(&self) -> bool {
        !self.spare.is_empty()
    }

    /// Nothing waits: what was kept in readiness is given back.
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
