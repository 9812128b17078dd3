//! Rate limits on what a program or a client can make the daemon log or publish: a burst of each kind of notice, then
//! one a minute, with the number suppressed.
//!
//! One limit per instance and kind of notice, not per run: a restart does not start a new burst. Each minute without a
//! notice gives back one of the burst. A run is logged or suppressed as a whole, from its start to its end, so that
//! the log of a program that restarts all the time contains complete runs. Has no clock: callers pass `now`. Bounded
//! by the number of instances and kinds, since [`Limits::retain`] forgets instances that no longer exist.

pub mod events;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use muster_spec::RunId;
use tracing::info;

/// The name for notices that belong to no program: signals, connections, orphans.
pub const DAEMON: &str = "";

/// The number of notices of a kind before the limit applies.
const BURST: u32 = 5;

/// The burst for runs and probe results: within it, a restart policy with backoff slows down to less than one a
/// minute.
const LONG_BURST: u32 = 20;

/// After the burst, one notice passes per interval.
const INTERVAL: Duration = Duration::from_secs(60);

/// The kinds of notices that a program or client can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is named after its message")]
pub enum Notice {
    // Caused by notifications.
    Status,
    Error,
    Reloading,
    Garbage,
    Store,
    Stranger,
    MainPid,
    MainPidRefused,
    // Caused by processes.
    MainMoved,
    MainGone,
    MainLost,
    Refused,
    Unwatched,
    Suspended,
    Orphan,
    // Caused by probe results.
    CheckFailed,
    CheckNotMade,
    Ready,
    Health,
    // Caused by the end of a run.
    GaveUp,
    Final,
    Waiting,
    Skipped,
    // Caused by signals and requests.
    Signal,
    Ignored,
    Stop,
    Reopened,
    Dump,
    Unchanged,
    Reloaded,
    FilesChanged,
    // Caused by watched files of programs.
    Watched,
    Held,
    NotWatched,
    Connection,
    Accepting,
    Answer,
    Certificate,
    Secrets,
    SecretsRefused,
    // Caused by notifiers.
    NotDelivered,
    // Caused by event listeners.
    EventLost,
    Listener,
}

impl Notice {
    const fn burst(self) -> u32 {
        match self {
            Notice::CheckFailed
            | Notice::Ready
            | Notice::Health
            | Notice::GaveUp
            | Notice::Final
            | Notice::Waiting
            | Notice::Dump
            | Notice::Reloaded
            | Notice::FilesChanged
            | Notice::Watched
            | Notice::Answer
            | Notice::Certificate
            | Notice::Secrets
            | Notice::SecretsRefused
            | Notice::EventLost
            | Notice::Listener => LONG_BURST,
            _ => BURST,
        }
    }
}

/// The limit of one kind of notice.
#[derive(Debug, Default)]
struct Limiter {
    /// The number of notices of the burst that have been used and not given back yet.
    used: u32,
    /// The time from which the next one is being given back.
    since: Option<Instant>,
    suppressed: u64,
}

impl Limiter {
    /// Uses one of the burst, if any is left.
    fn take(&mut self, burst: u32, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let rested = now.saturating_duration_since(since).as_secs() / INTERVAL.as_secs();
        let given_back = u32::try_from(rested).unwrap_or(u32::MAX).min(self.used);
        self.used -= given_back;
        self.since = Some(if self.used == 0 { now } else { since + INTERVAL * given_back });
        let is_there = self.used < burst;
        self.used += u32::from(is_there);
        is_there
    }

    /// The number suppressed since the last notice that passed, or `None` if this one is suppressed, too.
    fn pass(&mut self, burst: u32, now: Instant) -> Option<u64> {
        if self.take(burst, now) {
            return Some(std::mem::take(&mut self.suppressed));
        }
        self.suppressed = self.suppressed.saturating_add(1);
        None
    }
}

/// Which runs of an instance are logged.
#[derive(Debug, Default)]
struct Runs {
    limiter: Limiter,
    /// The last run that is logged, and the number of suppressed runs before it.
    said: Option<(RunId, u64)>,
    /// The last run that is suppressed, and the time when it first was.
    suppressed: Option<(RunId, Instant)>,
    /// Whether it has been logged that runs are suppressed.
    is_told: bool,
}

impl Runs {
    /// Like [`Limiter::pass`]. A run that was suppressed is logged from then on if it still exists when the limit
    /// allows another one.
    fn pass(&mut self, run: RunId, now: Instant) -> Option<u64> {
        if let Some((said, before)) = self.said.filter(|&(said, _)| run <= said) {
            return Some(if run == said { before } else { 0 });
        }
        if self.limiter.take(LONG_BURST, now) {
            return Some(self.say(run));
        }
        if self.suppressed.is_none_or(|(suppressed, _)| suppressed != run) {
            self.suppressed = Some((run, now));
            self.limiter.suppressed = self.limiter.suppressed.saturating_add(1);
        }
        None
    }

    /// Logs this run regardless of the limit.
    fn say(&mut self, run: RunId) -> u64 {
        let suppressed = std::mem::take(&mut self.limiter.suppressed);
        let is_it = self.suppressed.take_if(|(suppressed, _)| *suppressed == run).is_some();
        let before = suppressed.saturating_sub(u64::from(is_it));
        self.said = Some((run, before));
        before
    }
}

/// The limits of one instance.
#[derive(Debug, Default)]
struct Of {
    runs: Runs,
    notices: Vec<(Notice, Limiter)>,
}

impl Of {
    fn limiter(&mut self, notice: Notice) -> &mut Limiter {
        let place = self.notices.iter().position(|(kind, _)| *kind == notice).unwrap_or_else(|| {
            self.notices.push((notice, Limiter::default()));
            self.notices.len() - 1
        });
        &mut self.notices[place].1
    }
}

/// The limits of all instances, by name. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Boxed, as the map has room for up to twice as many.
    of: Rc<RefCell<HashMap<Box<str>, Box<Of>>>>,
    /// The time of the next check of suppressed runs: one that lasts is worth logging.
    look_at: Rc<Cell<Option<Instant>>>,
}

impl Limits {
    /// The number of notices of this kind that were suppressed since the last one that passed, or `None` if this one
    /// is suppressed, too.
    pub fn pass(&self, name: &str, notice: Notice) -> Option<u64> {
        self.pass_at(name, notice, Instant::now())
    }

    /// Like [`Limits::pass`] for a run: the number of runs before it that were suppressed.
    pub fn pass_run(&self, name: &str, run: RunId) -> Option<u64> {
        let now = Instant::now();
        let (said, is_news) = self.of(name, |of| {
            let said = of.runs.pass(run, now);
            (said, said.is_none() && !std::mem::replace(&mut of.runs.is_told, true))
        });
        if is_news {
            info!(program = %name, "starts too often to log every run, logging one a minute until a run lasts a minute");
        }
        if said.is_none() && self.look_at.get().is_none() {
            self.look_at.set(Some(now + INTERVAL));
        }
        said
    }

    /// The time at which [`Limits::lasting`] must be called.
    pub fn due(&self) -> Option<Instant> {
        self.look_at.get()
    }

    /// The suppressed runs that have lasted a minute, each with the name of its instance and the number suppressed
    /// before it. They are logged from now on. `running` returns the run of an instance that is RUNNING.
    pub fn lasting(&self, now: Instant, running: impl Fn(&str) -> Option<RunId>) -> Vec<(String, RunId, u64)> {
        let (mut lasting, mut next) = (Vec::new(), None::<Instant>);
        for (name, of) in self.of.borrow_mut().iter_mut() {
            let Some((run, since)) = of.runs.suppressed else { continue };
            if running(name) != Some(run) {
                continue;
            }
            if since + INTERVAL <= now {
                of.runs.is_told = false;
                lasting.push((name.to_string(), run, of.runs.say(run)));
            } else {
                next = Some(next.map_or(since + INTERVAL, |next| next.min(since + INTERVAL)));
            }
        }
        self.look_at.set(next);
        lasting
    }

    /// Logs a run that a client requested, regardless of the limit.
    fn say_run(&self, name: &str, run: RunId) -> u64 {
        self.of(name, |of| of.runs.say(run))
    }

    fn pass_at(&self, name: &str, notice: Notice, now: Instant) -> Option<u64> {
        self.of(name, |of| of.limiter(notice).pass(notice.burst(), now))
    }

    fn of<T>(&self, name: &str, act: impl FnOnce(&mut Of) -> T) -> T {
        let mut limits = self.of.borrow_mut();
        if !limits.contains_key(name) {
            limits.insert(name.into(), Box::default());
        }
        act(limits.get_mut(name).expect("it was inserted above"))
    }

    /// Forgets instances that no longer exist.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.of.borrow_mut().retain(|name, _| **name == *DAEMON || is_there(name));
    }
}

/// The number suppressed, for a field that is omitted if it is zero.
pub fn unless_none(suppressed: u64) -> Option<u64> {
    (suppressed > 0).then_some(suppressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_a_minute_with_the_count() {
        let (limits, start) = (Limits::default(), Instant::now());
        let pass = |name, notice, seconds| limits.pass_at(name, notice, start + Duration::from_secs(seconds));
        for _ in 0..BURST {
            assert_eq!(pass("web", Notice::Error, 0), Some(0));
        }
        for second in 0..60 {
            assert_eq!(pass("web", Notice::Error, second), None);
        }
        assert_eq!(pass("web", Notice::Error, 60), Some(60));
        assert_eq!(pass("web", Notice::Error, 60), None);
        assert_eq!(pass("web", Notice::Stranger, 61), Some(0), "another kind has its own limit");
        assert_eq!(pass("db", Notice::Error, 61), Some(0), "and so has another program");
        assert_eq!(pass("web", Notice::Error, 1000), Some(1));
        limits.retain(|name| name == "db");
        assert_eq!(limits.of.borrow().len(), 1);
    }

    #[test]
    fn a_day_of_a_flood_is_one_a_minute_and_quiet_gives_the_burst_back() {
        let (limits, start) = (Limits::default(), Instant::now());
        let pass = |second| limits.pass_at("web", Notice::Error, start + Duration::from_secs(second));
        let said: Vec<u64> = (0..86_400).filter_map(pass).collect();
        assert_eq!(said.len(), 5 + 86_400 / 60 - 1);
        assert_eq!(said.iter().sum::<u64>() + said.len() as u64 + 59, 86_400, "each is said or counted");
        let again = (0..100).filter_map(|_| pass(86_400 + 600)).count();
        assert_eq!(again, 5, "and at most a burst");
    }

    #[test]
    fn a_run_is_said_or_suppressed_as_a_whole() {
        let (mut runs, start) = (Runs::default(), Instant::now());
        let mut pass = |run, second| runs.pass(RunId(run), start + Duration::from_secs(second));
        for run in 1..=u64::from(LONG_BURST) {
            assert_eq!((pass(run, 0), pass(run, 1)), (Some(0), Some(0)), "{run}");
        }
        assert_eq!((pass(21, 1), pass(21, 2), pass(22, 3), pass(23, 4)), (None, None, None, None));
        assert_eq!(pass(23, 61), Some(2), "it is said from now on, and the two before it are counted");
        assert_eq!((pass(23, 62), pass(22, 62), pass(24, 63)), (Some(2), Some(0), None));
        assert_eq!(pass(25, 121), Some(1));
    }

    /// A policy with backoff, such as those of Docker and Kubernetes with maxima of one and five minutes, is never
    /// suppressed.
    #[test]
    fn restarts_that_back_off_are_all_said() {
        for (first, most) in [(0.1, 60.0), (10.0, 300.0), (1.0, 60.0)] {
            let (mut runs, start, mut at, mut delay) = (Runs::default(), Instant::now(), 0.0, first);
            for run in 1..1000 {
                assert_eq!(runs.pass(RunId(run), start + Duration::from_secs_f64(at)), Some(0), "{first} {most} {run}");
                at += delay;
                delay = f64::min(delay * 2.0, most);
            }
        }
    }

    #[test]
    fn a_run_that_lasts_after_many_that_were_suppressed_is_said() {
        let limits = Limits::default();
        let runs = 40;
        (1..=runs).for_each(|run| _ = limits.pass_run("web", RunId(run)));
        let due = limits.due().expect("some were suppressed");
        let later = Instant::now() + INTERVAL;
        assert!(due <= later);
        // A run that has been replaced or has ended does not count.
        assert_eq!(limits.lasting(Instant::now(), |_| Some(RunId(runs))), []);
        assert!(limits.due().is_some(), "it may last yet");
        assert_eq!(limits.lasting(later, |_| Some(RunId(runs - 1))), []);
        assert_eq!(limits.due(), None);
        let suppressed = runs - u64::from(LONG_BURST) - 1;
        assert_eq!(limits.lasting(later, |_| Some(RunId(runs))), [("web".to_owned(), RunId(runs), suppressed)]);
        assert_eq!(limits.lasting(later, |_| Some(RunId(runs))), [], "once");
    }
}
