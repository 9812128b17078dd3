//! The armed jobs, and which of their times are due by a wall clock that may be set at any moment.
//!
//! A time is due if it has come within the last minute. If it passed earlier, because the clock was set forward or the daemon
//! did not run, a fixed expression still runs within three hours, once, and any other waits for its next time: Debian's cron
//! does the same. If the clock is set back, a fixed time that has come does not come again within three hours.
//! With `missed = "once"` a time that passed is always due, once, also one that passed before the job was armed
//! ([`Agenda::recall`]). A step of less than a minute changes nothing, so that the corrections of a time server neither lose nor repeat a run.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_spec::{Missed, ScheduleSpec, ScheduleTimes};

use crate::{Cron, Mistake};

/// How late a time may be and still be due.
const LATE: i64 = 60;

/// How far the clock may be set over a fixed time.
const FIXED: i64 = 3 * 60 * 60;

/// The most times that are counted one by one when they were missed.
const COUNTED: u32 = 1000;

/// The jobs that are armed, by any key.
#[derive(Clone, Debug)]
pub struct Agenda<K>(BTreeMap<K, Vec<Times>>);

/// A cron expression of a job.
#[derive(Clone, Debug)]
struct Times {
    cron: Cron,
    /// Up to when all times have been considered.
    seen: i64,
    next: Option<i64>,
    /// Whether it is due however long ago its time came.
    catches_up: bool,
}

/// A job one of whose times has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due<K> {
    /// The job.
    pub job: K,
    /// Whether it is to run.
    pub is_due: bool,
    /// The number of its times that passed without a run.
    pub missed: u32,
    /// How long until its next time.
    pub next_in: Option<Duration>,
}

impl<K> Default for Agenda<K> {
    fn default() -> Agenda<K> {
        Agenda(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Agenda<K> {
    /// Adds a job, from now on; replaces its schedule. Fails if a time zone has vanished since the configuration was read.
    pub fn arm(&mut self, job: K, schedule: &ScheduleSpec, now: i64) -> Result<(), Mistake> {
        self.0.remove(&job);
        let mut all = Vec::new();
        for times in &schedule.times {
            if let ScheduleTimes::Cron { expression, timezone } = times {
                let cron = Cron::new(expression, timezone)?;
                let catches_up = schedule.missed == Missed::Once;
                all.push(Times { next: cron.after(now), seen: now, cron, catches_up });
            }
        }
        if !all.is_empty() {
            self.0.insert(job, all);
        }
        Ok(())
    }

    /// The times of a job since then have not been considered: nothing looked when they came.
    pub fn recall(&mut self, job: K, since: i64) {
        for times in self.0.get_mut(&job).into_iter().flatten().filter(|times| since < times.seen) {
            (times.seen, times.next) = (since, times.cron.after(since));
        }
    }

    /// Removes a job.
    pub fn disarm(&mut self, job: K) {
        self.0.remove(&job);
    }

    /// When to look again at the latest, unless the clock is set before.
    pub fn earliest(&self) -> Option<i64> {
        self.0.values().flatten().filter_map(|times| times.next).min()
    }

    /// The next time of a job.
    pub fn next(&self, job: K) -> Option<i64> {
        self.0.get(&job)?.iter().filter_map(|times| times.next).min()
    }

    /// Looks at the clock: the jobs whose times have come. Call it at [`Agenda::earliest`] and whenever the clock was set.
    pub fn look(&mut self, now: i64) -> Vec<Due<K>> {
        let mut all = Vec::new();
        for (&job, several) in &mut self.0 {
            let (mut is_due, mut missed) = (false, 0u32);
            for times in several.iter_mut() {
                let (came, left_out) = times.look(now);
                // Several expressions at one time are one run.
                is_due |= came;
                missed = missed.saturating_add(left_out);
            }
            if is_due || missed > 0 {
                let next = several.iter().filter_map(|times| times.next).min();
                let next_in = next.map(|at| Duration::from_secs(at.saturating_sub(now).unsigned_abs()));
                all.push(Due { job, is_due, missed, next_in });
            }
        }
        all
    }
}

impl Times {
    /// Whether it is due, and how many of its times were missed.
    fn look(&mut self, now: i64) -> (bool, u32) {
        if now < self.seen {
            self.clock_was_set_back(now);
            return (false, 0);
        }
        let Some(next) = self.next.filter(|next| *next <= now) else {
            self.seen = now;
            return (false, 0);
        };
        let (mut last, mut count) = (next, 1u32);
        while let Some(later) = self.cron.after(last).filter(|later| *later <= now) {
            (last, count) = (later, count + 1);
            if count >= COUNTED {
                last = self.last_before(now).unwrap_or(last);
                break;
            }
        }
        (self.seen, self.next) = (now, self.cron.after(now));
        let is_due = self.catches_up || now - last <= if self.cron.is_fixed() { FIXED } else { LATE };
        (is_due, count - u32::from(is_due))
    }

    /// The last time within the minute before this one.
    fn last_before(&self, now: i64) -> Option<i64> {
        let first = self.cron.after(now - LATE - 1);
        std::iter::successors(first, |&at| self.cron.after(at)).take_while(|at| *at <= now).last()
    }

    fn clock_was_set_back(&mut self, now: i64) {
        // Where seconds count, a minute without any would be long.
        let held = match (self.cron.is_fixed(), self.cron.has_seconds()) {
            (true, _) => FIXED,
            (false, false) => LATE,
            (false, true) => 1,
        };
        if self.seen - now > held {
            (self.seen, self.next) = (now, self.cron.after(now));
        }
    }
}

#[cfg(test)]
mod tests;
