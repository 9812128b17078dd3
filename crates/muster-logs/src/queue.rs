//! What waits for one console stream: whole lines, in the order in which they came, each of a lane.
//!
//! A lane is a stream of a program, or the daemon itself. It has a bound: when it is reached its oldest lines are dropped and
//! counted, and a mark stands in their place. All lanes together have a bound, too. Nothing here waits or writes; see
//! [`console`](super::console) for who does, and [`joint`](super::joint) for lines that come in parts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use memchr::{memchr, memchr_iter};
use muster_api::Timestamp;

use super::counters::Counters;
use super::joint::Joint;
use super::json;

/// How many bytes of all lanes wait at most, whatever each of them may have.
const TOTAL: usize = 16 << 20;

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

struct Lane {
    gap: Gap,
    bound: usize,
    /// Whoever fills it waits for room, so nothing of it is dropped for the sake of the others.
    is_blocking: bool,
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
    pub(super) is_blocking: bool,
    pub(super) counters: Option<Arc<Counters>>,
}

/// The lines that wait.
pub(super) struct Queue {
    lanes: Vec<Lane>,
    chunks: BTreeMap<u64, Chunk>,
    next_place: u64,
    total: usize,
    spare: Vec<Vec<u8>>,
    /// Whether there is a lane of which only the gap is left.
    has_bare_gap: bool,
    joint: Joint,
}

impl Queue {
    pub(super) fn new(own: LaneSpec) -> Queue {
        let (lanes, chunks, spare) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut queue =
            Queue { lanes, chunks, next_place: 0, total: 0, spare, has_bare_gap: false, joint: Joint::default() };
        queue.add_lane(own);
        queue
    }

    pub(super) fn add_lane(&mut self, spec: LaneSpec) -> LaneId {
        let LaneSpec { gap, bound, is_blocking, counters } = spec;
        self.lanes.push(Lane { gap, bound, is_blocking, counters, busy: None });
        LaneId(self.lanes.len() - 1)
    }

    /// The lane is as another run has it configured, of the same program or of one that came after it was gone.
    pub(super) fn change_lane(&mut self, lane: LaneId, spec: LaneSpec) {
        let lane = &mut self.lanes[lane.0];
        (lane.gap, lane.bound, lane.is_blocking) = (spec.gap, spec.bound, spec.is_blocking);
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

    /// Whether a lane has room. If not, the waiter is called when it has.
    pub(super) fn has_room(&mut self, lane: LaneId, waiter: impl FnOnce() -> Waiter) -> bool {
        let lane = &mut self.lanes[lane.0];
        let has_room = lane.queued() < lane.bound;
        if !has_room {
            lane.busy().waiters.push(waiter());
        }
        has_room
    }

    /// Takes whole lines in, and leaves an empty buffer for the next. With a continuation they begin with the rest of the
    /// line that was the last of this lane.
    pub(super) fn push(&mut self, lane: LaneId, lines: &mut Vec<u8>, count: u64, continuation: Option<Vec<u8>>) {
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
            self.lanes[lane.0].busy().queued += lines.len();
            self.total += lines.len();
            lines.clear();
        } else {
            self.push_chunk(lane, lines, count, continuation);
        }
        self.keep_bound(lane);
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
        let lane = self.lanes[lane.0].busy();
        lane.places.push_back(self.next_place);
        lane.queued += cost;
        self.total += cost;
        self.next_place += 1;
    }

    /// Drops the oldest lines of a lane that has too many, and the oldest of all when all together are too many.
    fn keep_bound(&mut self, lane: LaneId) {
        // Who waits for room may come with one more piece, which can become much longer on its way; and runs that end leave
        // something behind.
        let bound = match &self.lanes[lane.0] {
            lane if lane.is_blocking => 2 * lane.bound + PIECE,
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
        while self.total > TOTAL {
            let droppable = |(_, chunk): &(&u64, &Chunk)| !self.lanes[chunk.lane].is_blocking;
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
        self.total -= end;
        self.lanes[lane].busy().queued -= end;
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
        let lane = self.lanes[chunk.lane].busy();
        // A lane's places are in order, and only its oldest is ever removed.
        lane.places.pop_front();
        let cost = chunk.bytes.len() + OVERHEAD;
        lane.queued -= cost;
        self.total -= cost;
        Some(chunk)
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
mod tests {
    use super::*;

    fn lane(name: &str, bound: usize, is_blocking: bool) -> LaneSpec {
        LaneSpec { gap: Gap::Text { name: name.to_owned() }, bound, is_blocking, counters: None }
    }

    fn queue() -> Queue {
        Queue::new(lane("musterd", 1 << 20, false))
    }

    fn push(queue: &mut Queue, lane: LaneId, text: &str) {
        queue.push(lane, &mut text.as_bytes().to_vec(), memchr_iter(b'\n', text.as_bytes()).count() as u64, None);
    }

    fn taken(queue: &mut Queue) -> String {
        let mut batch = Vec::new();
        queue.take(usize::MAX, &mut batch);
        String::from_utf8(batch.concat()).unwrap()
    }

    #[test]
    fn lines_of_all_lanes_come_in_the_order_in_which_they_came() {
        let mut queue = queue();
        let (web, db) = (queue.add_lane(lane("web", 4096, false)), queue.add_lane(lane("db", 4096, false)));
        for (lane, text) in [(web, "1\n"), (web, "2\n"), (db, "3\n"), (OWN, "4\n"), (web, "5\n")] {
            push(&mut queue, lane, text);
        }
        assert_eq!(taken(&mut queue), "1\n2\n3\n4\n5\n");
        assert!(queue.is_empty());
        assert_eq!(queue.total(), 0);
    }

    #[test]
    fn the_oldest_lines_of_a_full_lane_go_and_the_gap_is_marked_where_it_is() {
        let mut queue = queue();
        let (web, db) = (queue.add_lane(lane("web", 40_000, false)), queue.add_lane(lane("db", 40_000, false)));
        let line = |number: usize| format!("{number:09999}\n");
        push(&mut queue, db, "first\n");
        for number in 0..10 {
            push(&mut queue, web, &line(number));
        }
        push(&mut queue, db, "last\n");
        let expected = format!(
            "first\nmusterd | web: 7 lines (70000 bytes) lost here: {UNREAD}\n{}{}{}last\n",
            line(7),
            line(8),
            line(9)
        );
        assert!(taken(&mut queue) == expected);
        push(&mut queue, web, "more\n");
        assert_eq!(taken(&mut queue), "more\n", "a gap is told once");
    }

    #[test]
    fn one_piece_that_is_larger_than_the_bound_is_kept() {
        let mut queue = queue();
        let web = queue.add_lane(lane("web", 4096, false));
        let line = format!("{}\n", "x".repeat(60_000));
        push(&mut queue, web, &line);
        assert!(taken(&mut queue) == line);
    }

    #[test]
    fn of_what_was_read_together_only_as_much_goes_as_must() {
        let mut queue = queue();
        let web = queue.add_lane(lane("web", 64 * 1024, false));
        let lines =
            |numbers: std::ops::Range<usize>| numbers.map(|number| format!("{number:099}\n")).collect::<String>();
        push(&mut queue, web, &lines(0..650));
        push(&mut queue, web, &lines(650..700));
        let text = taken(&mut queue);
        let (gap, kept) = text.split_once('\n').unwrap();
        let lost: usize = gap.split(' ').nth(3).unwrap().parse().unwrap();
        assert!((50..100).contains(&lost), "{gap}");
        assert!(kept == lines(lost..700));
    }

    #[test]
    fn all_lanes_together_have_a_bound() {
        let mut queue = queue();
        let piece = format!("{}\n", "x".repeat(99_999));
        for _ in 0..40 {
            let lane = queue.add_lane(lane("web", 1 << 20, false));
            (0..10).for_each(|_| push(&mut queue, lane, &piece));
        }
        assert!(queue.total() <= TOTAL && queue.total() > TOTAL - 200_000, "{}", queue.total());
        let told = taken(&mut queue);
        let (kept, gaps) = (
            told.lines().filter(|line| line.starts_with('x')).count(),
            told.lines().filter(|line| line.contains("lost here")).count(),
        );
        let lost: usize = told.lines().filter_map(|line| line.split(' ').nth(3)?.parse::<usize>().ok()).sum();
        assert!(kept + lost == 400 && gaps > 20, "{kept} kept, {lost} lost, {gaps} gaps");
    }

    #[test]
    fn who_fills_a_blocking_lane_waits_and_is_told_when_there_is_room() {
        let mut queue = queue();
        let web = queue.add_lane(lane("web", 50_000, true));
        let (told, news) = std::sync::mpsc::channel();
        let mut pushed = 0;
        while queue.has_room(web, || {
            let told = told.clone();
            Box::new(move || told.send(()).unwrap())
        }) {
            push(&mut queue, web, &format!("{}\n", "x".repeat(9_999)));
            pushed += 1;
        }
        assert_eq!(pushed, 5);
        let mut batch = Vec::new();
        assert!(queue.take(10_000, &mut batch).is_empty(), "there is hardly room yet");
        let waiters = queue.take(20_000, &mut batch);
        assert_eq!(waiters.len(), 1);
        waiters.into_iter().for_each(|waiter| waiter());
        assert_eq!(news.try_iter().count(), 1);
    }

    #[test]
    fn small_lines_of_many_lanes_are_charged_what_they_cost() {
        let mut queue = queue();
        let (web, db) = (queue.add_lane(lane("web", 100_000, false)), queue.add_lane(lane("db", 100_000, false)));
        for _ in 0..10_000 {
            push(&mut queue, web, "x\n");
            push(&mut queue, db, "x\n");
        }
        let kept = queue.chunks.values().map(|chunk| chunk.bytes.capacity() + OVERHEAD).sum::<usize>();
        assert!(kept <= 200_000, "{kept}");
    }
}
