//! The memory of a running daemon, and the thread that writes what has changed.
//!
//! A change costs the caller a short lock; the thread writes the documents concerned, each at most once a second, and sleeps while
//! nothing has changed. Whatever cannot be written is kept in memory and tried again with the next change: the first failure is
//! logged, and all are counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::directory::Directory;
use crate::documents::{Done, FILES, Job, Life, LifeEnd, MARKS, Memory, RUNS, Run, Scale, Subject, cut};

/// The least time between two writes.
const PACE: Duration = Duration::from_secs(1);

/// The stack of the thread, which renders and writes documents.
const STACK: usize = 256 << 10;

/// The memory of the daemon, written to its directory.
#[derive(Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: Directory,
    kept: Mutex<Kept>,
    /// Notified when something has changed, or must be written now.
    changed: Condvar,
    /// Notified when the thread has ended.
    ended: Condvar,
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    memory: Memory,
    /// Changes since the last write, by subject.
    stale: [bool; FILES.len()],
    /// Failed writes, by subject.
    failed: [bool; FILES.len()],
    is_closing: bool,
    has_ended: bool,
    has_warned: bool,
}

const ALL: [Subject; FILES.len()] = [Subject::Stopped, Subject::Scales, Subject::Jobs, Subject::Once, Subject::Runs];

impl Store {
    /// Begins a life of the daemon with what it remembers; the runs are those of the life before.
    pub fn start(directory: Directory, remembered: &Memory, began: i64) -> io::Result<Store> {
        let life = Life { began, ended: None };
        let memory = Memory { life, runs: BTreeMap::new(), ..remembered.clone() };
        let kept = Kept { memory, ..Kept::default() };
        let (kept, failures) = (Mutex::new(kept), AtomicU64::new(0));
        let inner = Inner { directory, kept, changed: Condvar::new(), ended: Condvar::new(), failures };
        let inner = Arc::new(inner);
        let writer = Arc::clone(&inner);
        let thread = std::thread::Builder::new().name("state".to_owned()).stack_size(STACK);
        thread.spawn(move || writer.write_until_closed())?;
        let store = Store(inner);
        // The life before is over, whatever the file says.
        store.change(Subject::Runs, |_| true);
        Ok(store)
    }

    /// The number of writes that failed.
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// The instances that were stopped by hand and stay down.
    pub fn set_stopped(&self, stopped: BTreeSet<String>) {
        self.change(Subject::Stopped, |memory| replace(&mut memory.stopped, stopped));
    }

    /// The programs with another number of instances than configured.
    pub fn set_scales(&self, scales: BTreeMap<String, Scale>) {
        self.change(Subject::Scales, |memory| replace(&mut memory.scales, scales));
    }

    /// Something new about an instance with a schedule.
    pub fn change_job(&self, name: &str, change: impl FnOnce(&mut Job)) {
        self.change(Subject::Jobs, |memory| {
            let mut job = memory.jobs.get(name).cloned().unwrap_or_default();
            change(&mut job);
            if memory.jobs.get(name) == Some(&job) {
                return false;
            }
            Arc::make_mut(&mut memory.jobs).insert(name.to_owned(), job);
            true
        });
    }

    /// An instance with a schedule, as far as it is known.
    pub fn job(&self, name: &str) -> Option<Job> {
        self.kept().memory.jobs.get(name).cloned()
    }

    /// An instance has done its work once.
    pub fn note_done(&self, name: &str, done: Done) {
        self.change(Subject::Once, |memory| {
            let once = Arc::make_mut(&mut memory.once);
            once.insert(name.to_owned(), done);
            while once.len() > MARKS {
                let oldest = once.iter().min_by_key(|(_, done)| done.at).map(|(name, _)| name.clone());
                oldest.map(|name| once.remove(&name));
            }
            true
        });
    }

    /// When an instance has done its work once with this command.
    pub fn done(&self, name: &str, command: &str) -> Option<i64> {
        self.kept().memory.once.get(name).filter(|done| done.command == command).map(|done| done.at)
    }

    /// A run has begun, or ended.
    pub fn note_run(&self, name: &str, run: Run) {
        self.change(Subject::Runs, |memory| {
            let runs = match memory.runs.get_mut(name) {
                Some(runs) => runs,
                None => memory.runs.entry(Arc::from(name)).or_default(),
            };
            let runs: &mut VecDeque<Run> = Arc::make_mut(runs);
            let run = Run { end: cut(run.end), ..run };
            match runs.iter_mut().rev().find(|known| known.run == run.run) {
                Some(known) => *known = run,
                None => runs.push_back(run),
            }
            if runs.len() > RUNS {
                runs.pop_front();
            }
            true
        });
    }

    /// Forgets the runs and the schedules of instances that are no longer there.
    pub fn keep_only(&self, is_there: impl Fn(&str) -> bool) {
        let gone = |memory: &Memory| memory.runs.keys().any(|name| !is_there(name));
        self.change(Subject::Runs, |memory| {
            let differs = gone(memory);
            memory.runs.retain(|name, _| is_there(name));
            differs
        });
        self.change(Subject::Jobs, |memory| {
            let differs = memory.jobs.keys().any(|name| !is_there(name));
            if differs {
                Arc::make_mut(&mut memory.jobs).retain(|name, _| is_there(name));
            }
            differs
        });
    }

    /// The daemon exits: writes everything that has changed, and returns when that is done or this time is over. Nothing is
    /// written afterwards.
    pub fn finish(&self, end: LifeEnd, patience: Duration) {
        let until = Instant::now() + patience;
        let mut kept = self.kept();
        kept.memory.life.ended = Some(LifeEnd { why: cut(end.why), ..end });
        kept.stale[Subject::Runs as usize] = true;
        kept.is_closing = true;
        self.0.changed.notify_one();
        while !kept.has_ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            kept = self.0.ended.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept()
    }

    fn change(&self, subject: Subject, change: impl FnOnce(&mut Memory) -> bool) {
        let mut kept = self.kept();
        if change(&mut kept.memory) {
            kept.stale[subject as usize] = true;
            self.0.changed.notify_one();
        }
    }
}

fn replace<T: PartialEq>(known: &mut Arc<T>, new: T) -> bool {
    let differs = **known != new;
    if differs {
        *known = Arc::new(new);
    }
    differs
}

impl Inner {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_until_closed(&self) {
        let mut last: Option<Instant> = None;
        let mut kept = self.kept();
        loop {
            let is_stale = kept.stale.iter().any(|&stale| stale);
            let rest = last.map_or(Duration::ZERO, |last| (last + PACE).saturating_duration_since(Instant::now()));
            kept = if is_stale && (kept.is_closing || rest.is_zero()) {
                last = Some(Instant::now());
                self.write(kept)
            } else if is_stale {
                self.changed.wait_timeout(kept, rest).unwrap_or_else(PoisonError::into_inner).0
            } else if kept.is_closing {
                break;
            } else {
                self.changed.wait(kept).unwrap_or_else(PoisonError::into_inner)
            };
        }
        kept.has_ended = true;
        self.ended.notify_all();
    }

    /// Writes the documents that have changed, without the lock.
    fn write<'a>(&'a self, mut kept: MutexGuard<'a, Kept>) -> MutexGuard<'a, Kept> {
        let stale = std::mem::take(&mut kept.stale);
        let failed = std::mem::take(&mut kept.failed);
        let memory = kept.memory.clone();
        drop(kept);
        let mut still_failed = [false; FILES.len()];
        let mut first = None;
        for subject in ALL.into_iter().filter(|&subject| stale[subject as usize] || failed[subject as usize]) {
            let name = FILES[subject as usize];
            if let Err(error) = self.directory.write(name, &memory.text(subject)) {
                self.failures.fetch_add(1, Ordering::Relaxed);
                still_failed[subject as usize] = true;
                first.get_or_insert((name, error));
            }
        }
        let mut kept = self.kept();
        kept.failed = still_failed;
        if let Some((name, error)) = first.filter(|_| !std::mem::replace(&mut kept.has_warned, true)) {
            let directory = self.directory.path().display();
            warn!(%directory, file = name, %error, "cannot keep state, which a restart of the container would forget");
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::testing::place;

    const SOON: Duration = Duration::from_secs(20);

    /// The directory, once the thread of the store before has let go of it.
    fn open(at: &Path) -> Directory {
        let until = Instant::now() + SOON;
        loop {
            match Directory::open(at) {
                Ok(directory) => return directory,
                Err(refused) => assert!(Instant::now() < until, "{refused:?}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn store(at: &Path) -> Store {
        let directory = open(at);
        let memory = Memory::read(&directory);
        Store::start(directory, &memory, 5).unwrap()
    }

    fn end() -> LifeEnd {
        LifeEnd { at: 9, code: 0, why: "stopped by SIGTERM".to_owned() }
    }

    fn run(run: u64, ended: Option<i64>) -> Run {
        Run { run, began: 1, ended, end: String::new() }
    }

    fn read(at: &Path) -> Memory {
        Memory::read(&open(at))
    }

    #[test]
    fn a_change_is_written_soon_and_the_rest_at_the_end() {
        let place = place();
        let one = store(place.path());
        one.set_stopped(["web".to_owned()].into());
        let until = Instant::now() + SOON;
        while !place.path().join("stopped.json").exists() {
            assert!(Instant::now() < until, "it is not written");
            std::thread::sleep(Duration::from_millis(5));
        }
        one.note_run("web", run(1, None));
        one.note_run("web", run(1, Some(2)));
        one.change_job("backup", |job| job.seen = Some(7));
        one.note_done("migrate", Done { command: "a".to_owned(), at: 3 });
        let began = Instant::now();
        one.finish(end(), SOON);
        assert!(began.elapsed() < PACE, "the end does not wait for the pace: {:?}", began.elapsed());
        drop(one);
        let memory = read(place.path());
        assert_eq!(memory.life, Life { began: 5, ended: Some(end()) });
        assert_eq!(*memory.runs["web"], [run(1, Some(2))]);
        assert_eq!((memory.jobs["backup"].seen, memory.once["migrate"].at), (Some(7), 3));
        let next = store(place.path());
        assert_eq!((next.done("migrate", "a"), next.done("migrate", "b")), (Some(3), None));
        next.keep_only(|_| false);
        next.finish(end(), SOON);
        drop(next);
        let memory = read(place.path());
        assert!(
            memory.runs.is_empty() && memory.jobs.is_empty() && memory.once.len() == 1 && memory.stopped.len() == 1
        );
    }

    #[test]
    fn many_changes_are_few_writes() {
        let place = place();
        let one = store(place.path());
        let (mut seen, mut last) = (0, None);
        let until = Instant::now() + Duration::from_millis(2500);
        let mut number = 0;
        while Instant::now() < until {
            number += 1;
            one.note_run("web", run(number, None));
            let written = fs::metadata(place.path().join("runs.json")).and_then(|about| about.modified()).ok();
            if written != last {
                (seen, last) = (seen + 1, written);
            }
        }
        assert!((2..=4).contains(&seen), "{seen} writes of {number} changes in 2.5 s");
        one.finish(end(), SOON);
        drop(one);
        let runs = read(place.path()).runs["web"].clone();
        assert_eq!((runs.len(), runs[RUNS - 1].run), (RUNS, number), "the last ones");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_written_when_it_can_be() {
        let place = place();
        let one = store(place.path());
        // A directory in the way of the new file cannot be removed as a file, also by root.
        fs::create_dir(place.path().join("scales.json.new")).unwrap();
        one.set_scales([("web".to_owned(), Scale { numprocs: 2, replaced: 1 })].into());
        let until = Instant::now() + SOON;
        while one.failures() == 0 {
            assert!(Instant::now() < until, "no failure is counted");
            std::thread::sleep(Duration::from_millis(5));
        }
        fs::remove_dir(place.path().join("scales.json.new")).unwrap();
        one.set_stopped(["web".to_owned()].into());
        one.finish(end(), SOON);
        drop(one);
        let memory = read(place.path());
        assert_eq!((memory.scales["web"].numprocs, memory.stopped.len()), (2, 1));
    }

    #[test]
    fn marks_of_things_done_are_bounded() {
        let place = place();
        let one = store(place.path());
        for number in 0..MARKS as i64 + 10 {
            one.note_done(&format!("p{number}"), Done { command: String::new(), at: number });
        }
        assert_eq!((one.done("p9", ""), one.done("p10", "")), (None, Some(10)));
        assert_eq!(one.kept().memory.once.len(), MARKS);
    }
}
