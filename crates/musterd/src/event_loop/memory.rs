//! `memory_max`: measures the trees of limited programs, at one time for all of them, and never where there are none.
//!
//! A sample adds up resident memory, in slices on the loop. Only a run that seems to have too much is counted more exactly,
//! on a thread that ends with it, since counting shared pages takes time and holds up the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_core::{Input, Instance, Supervisor};
use muster_spec::{InstanceSpec, MemoryCount, MemoryLimit, OnFailure, RunId, Span, State};
use muster_sys::signal::Pid;
use muster_sys::tree::{Listing, Measuring, Usage, proportional_bytes};
use tokio::sync::mpsc;
use tracing::warn;

use super::EventLoop;

/// How long the loop measures without a break.
const SLICE: Duration = Duration::from_millis(1);

/// How many periods pass between two samples while every run has less than half of its limit.
const EASY: u32 = 3;

/// The number of processes that are named.
const NAMED: usize = 3;

/// The memory of a run.
pub(super) struct Counted {
    run: RunId,
    bytes: u64,
    /// Whether shared pages count in parts, for each process.
    is_shared_out: bool,
    /// The largest processes.
    largest: Vec<(u64, String, Pid)>,
}

/// A run that had too much memory in every sample since then.
struct Over {
    since: Instant,
    /// When it was counted last.
    counted: Instant,
}

/// The next sample, and the runs that have too much memory.
pub(super) struct Memory {
    due: Option<Instant>,
    measuring: Option<Measuring>,
    over: HashMap<RunId, Over>,
    /// Whether a thread counts.
    is_counting: bool,
    tell: mpsc::Sender<Vec<Counted>>,
}

impl Memory {
    pub(super) fn new() -> (Memory, mpsc::Receiver<Vec<Counted>>) {
        let (tell, counted) = mpsc::channel(1);
        (Memory { due: None, measuring: None, over: HashMap::new(), is_counting: false, tell }, counted)
    }

    /// When the next sample is due, if there is anything to measure.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A run of this instance is about to start, or its limit has changed.
    pub(super) fn expect(&mut self, spec: &InstanceSpec) {
        if let Some(limit) = &spec.memory_max {
            let at = Instant::now() + limit.period;
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    /// Takes the sample that is due.
    fn next_sample(&mut self, limited: &[(RunId, MemoryLimit)], usage: &[(RunId, Usage)], now: Instant) -> Vec<RunId> {
        let had: HashMap<RunId, u64> = usage.iter().map(|(run, usage)| (*run, usage.rss_bytes)).collect();
        let bytes = |run: &RunId| had.get(run).copied().unwrap_or(0);
        let is_over = |(run, limit): &&(RunId, MemoryLimit)| bytes(run) > limit.max;
        self.over.retain(|run, _| limited.iter().filter(is_over).any(|(of, _)| of == run));
        let is_easy = limited.iter().all(|(run, limit)| bytes(run) < limit.max / 2);
        let period = limited.iter().map(|(_, limit)| limit.period).min();
        self.due = period.map(|period| now + if is_easy { period * EASY } else { period });
        // A sample may be a little early for one that was counted a little late.
        let is_due = |run: &RunId, limit: &MemoryLimit| {
            self.over.get(run).is_none_or(|over| now.saturating_duration_since(over.counted) * 10 >= limit.period * 9)
        };
        limited.iter().filter(is_over).filter(|(run, limit)| is_due(run, limit)).map(|(run, _)| *run).collect()
    }

    /// Judges what was counted. Returns whether the run has had too much for too long.
    fn judge(&mut self, counted: &Counted, limit: &MemoryLimit, now: Instant) -> bool {
        if counted.bytes <= limit.max {
            self.over.remove(&counted.run);
            return false;
        }
        let over = self.over.entry(counted.run).or_insert(Over { since: now, counted: now });
        over.counted = now;
        let end = over.since + limit.over;
        if now < end {
            self.due = Some(self.due.map_or(end, |due| due.min(end)));
            return false;
        }
        self.over.remove(&counted.run);
        true
    }
}

impl EventLoop {
    /// The limits may have changed.
    pub(super) fn expect_memory(&mut self) {
        let supervisor = self.shared.supervisor.borrow();
        supervisor.snapshot().iter().filter(|it| it.run().is_some()).for_each(|it| self.memory.expect(it.spec()));
    }

    /// Measures, if that is due.
    pub(super) fn look_at_memory(&mut self, now: Instant) {
        if self.memory.due.is_none_or(|due| due > now) {
            return;
        }
        let limited = limited(&self.shared.supervisor.borrow());
        if limited.is_empty() {
            (self.memory.due, self.memory.measuring) = (None, None);
            return self.memory.over.clear();
        }
        let runs: Vec<RunId> = limited.iter().map(|(run, _)| *run).collect();
        let mut children = self.shared.children.borrow_mut();
        let mut measuring = self.memory.measuring.take().unwrap_or_else(|| children.measure(&runs));
        let Some(usage) = children.go_on_measuring(&mut measuring, Instant::now() + SLICE) else {
            // The rest follows in the next turn.
            self.memory.measuring = Some(measuring);
            return;
        };
        let suspects = self.memory.next_sample(&limited, &usage, now);
        if suspects.is_empty() || self.memory.is_counting {
            return;
        }
        let is_shared_out = |run: &RunId| limited.iter().any(|(of, it)| of == run && it.count == MemoryCount::Pss);
        let counts: BTreeMap<RunId, bool> = suspects.iter().map(|run| (*run, is_shared_out(run))).collect();
        let listing = children.listing(&suspects, false);
        let tell = self.memory.tell.clone();
        let thread = std::thread::Builder::new().name("memory".to_owned()).stack_size(256 * 1024);
        // Without a thread there is another sample soon.
        self.memory.is_counting = thread.spawn(move || drop(tell.blocking_send(count(listing, &counts)))).is_ok();
    }

    /// Goes on with what was counted on the thread.
    pub(super) fn handle_counted(&mut self, counted: Vec<Counted>) {
        self.memory.is_counting = false;
        let now = Instant::now();
        let limited = limited(&self.shared.supervisor.borrow());
        for counted in counted {
            let Some((_, limit)) = limited.iter().find(|(run, _)| *run == counted.run) else { continue };
            if !self.memory.judge(&counted, limit, now) {
                continue;
            }
            let (run, detail) = (counted.run, words(&counted, limit));
            if limit.action == OnFailure::None {
                let supervisor = self.shared.supervisor.borrow();
                let program = supervisor.instance_of(run).map(Instance::name);
                warn!(program, %run, detail, "has too much memory");
            } else {
                self.inputs.of_programs.push_back(Input::MemoryExceeded { run, detail });
            }
        }
    }
}

/// The runs with a limit that are not being stopped.
fn limited(supervisor: &Supervisor) -> Vec<(RunId, MemoryLimit)> {
    let is_up = |it: &&Instance| matches!(it.state(), State::Starting | State::Running) && !it.is_failing();
    let of = |it: &Instance| Some((it.run()?, Arc::clone(it.spec()).memory_max?));
    supervisor.snapshot().iter().filter(is_up).filter_map(of).collect()
}

/// Counts the memory of these runs, one process after another; those with `true` with shared pages in parts, where the kernel
/// says so.
fn count(listing: Listing, runs: &BTreeMap<RunId, bool>) -> Vec<Counted> {
    let begin =
        |(&run, &is_shared_out): (&RunId, &bool)| (run, Counted { run, bytes: 0, is_shared_out, largest: Vec::new() });
    let mut counted: BTreeMap<RunId, Counted> = runs.iter().map(begin).collect();
    listing.walk(&mut |run, process| {
        if let Some(of_run) = run.and_then(|run| counted.get_mut(&run)) {
            let part = if runs[&of_run.run] { proportional_bytes(process.pid) } else { None };
            of_run.is_shared_out &= part.is_some();
            let bytes = part.unwrap_or(process.rss_bytes);
            of_run.bytes += bytes;
            of_run.largest.push((bytes, name_of(&process.command), process.pid));
            of_run.largest.sort_by_key(|(bytes, ..)| std::cmp::Reverse(*bytes));
            of_run.largest.truncate(NAMED);
        }
        true
    });
    counted.into_values().collect()
}

/// The first word of a command line, without its directory: arguments may be secrets.
fn name_of(command: &str) -> String {
    let word = command.split(char::is_whitespace).next().unwrap_or_default();
    word.rsplit('/').next().unwrap_or_default().chars().take(32).collect()
}

fn words(counted: &Counted, limit: &MemoryLimit) -> String {
    let how = if counted.is_shared_out { "PSS" } else { "RSS" };
    let (bytes, max, over) = (size(counted.bytes), size(limit.max), Span(limit.over));
    let largest: Vec<String> =
        counted.largest.iter().map(|(bytes, name, pid)| format!("{name} (pid {pid}, {})", size(*bytes))).collect();
    format!("{bytes} ({how}) over {max} for {over}; largest: {}", largest.join(", "))
}

/// Bytes in units of 1024.
fn size(bytes: u64) -> String {
    const MB: u64 = 1024 * 1024;
    if bytes < 10 * MB { format!("{}.{} MB", bytes / MB, bytes % MB * 10 / MB) } else { format!("{} MB", bytes / MB) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1024 * 1024;
    const SECOND: Duration = Duration::from_secs(1);

    fn limit() -> MemoryLimit {
        MemoryLimit { over: 10 * SECOND, period: 10 * SECOND, ..MemoryLimit::of(100 * MB) }
    }

    fn sample(memory: &mut Memory, megabytes: u64, now: Instant) -> (Vec<RunId>, Duration) {
        let usage = [(RunId(1), Usage { processes: 1, rss_bytes: megabytes * MB, cpu_time: Duration::ZERO })];
        let suspects = memory.next_sample(&[(RunId(1), limit())], &usage, now);
        (suspects, memory.due.expect("there is a limit") - now)
    }

    fn counted(megabytes: u64) -> Counted {
        Counted { run: RunId(1), bytes: megabytes * MB, is_shared_out: true, largest: Vec::new() }
    }

    #[test]
    fn samples_are_rare_while_there_is_much_room_and_count_exactly_only_above_the_limit() {
        let (mut memory, _counted) = Memory::new();
        let now = Instant::now();
        assert_eq!(sample(&mut memory, 49, now), (Vec::new(), 30 * SECOND));
        assert_eq!(sample(&mut memory, 51, now), (Vec::new(), 10 * SECOND));
        assert_eq!(sample(&mut memory, 101, now), (vec![RunId(1)], 10 * SECOND));
    }

    #[test]
    fn only_too_much_in_all_samples_for_so_long_fails_the_run() {
        let (mut memory, _counted) = Memory::new();
        let now = Instant::now();
        let at = |seconds: u32| now + seconds * SECOND;
        assert!(!memory.judge(&counted(101), &limit(), at(0)));
        assert_eq!(memory.due, Some(at(10)));
        assert!(!memory.judge(&counted(99), &limit(), at(10)), "it had less in between");
        assert!(!memory.judge(&counted(101), &limit(), at(20)));
        // Less resident memory ends it as well.
        assert_eq!(sample(&mut memory, 90, at(25)).0, []);
        assert!(!memory.judge(&counted(101), &limit(), at(30)));
        assert_eq!(sample(&mut memory, 200, at(35)).0, [], "it was counted in this period");
        assert!(memory.judge(&counted(101), &limit(), at(40)));
    }

    #[test]
    fn the_message_names_sizes_and_the_largest_processes() {
        let largest =
            vec![(500 * MB, name_of("/usr/bin/python3 --password x"), Pid(7)), (MB * 3 / 2, name_of("sh"), Pid(8))];
        let counted = Counted { run: RunId(1), bytes: 612 * MB, is_shared_out: false, largest };
        let expected = "612 MB (RSS) over 100 MB for 10s; largest: python3 (pid 7, 500 MB), sh (pid 8, 1.5 MB)";
        assert_eq!(words(&counted, &limit()), expected);
    }
}
