//! The armed jobs, and which of their times are due by a wall clock that may be set at any moment.
//!
//! A time is due if it has come within the last minute. If it passed earlier, because the clock was set forward or the daemon
//! did not run, a fixed expression still runs within three hours, once, and any other waits for its next time: Debian's cron
//! does the same. If the clock is set back, a fixed time that has come does not come again within three hours, and one that has
//! not comes as if the clock had been right from the beginning. With `missed = "once"` a time that passed is always due, once,
//! also one that passed before the job was armed ([`Agenda::recall`]). A step of less than a minute changes nothing, so that the
//! corrections of a time server neither lose nor repeat a run.
//!
//! A look takes a bounded number of computations: a clock that is set forward by years passes millions of times of a thousand
//! jobs. The next look goes on where this one has ended.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use muster_spec::{Missed, ScheduleSpec, ScheduleTimes};

use crate::{Cron, Mistake};

/// How late a time may be and still be due.
const LATE: i64 = 60;

/// How far the clock may be set over a fixed time.
const FIXED: i64 = 3 * 60 * 60;

/// The most times that are counted one by one when they were missed.
const COUNTED: u32 = 1000;

/// The most computations of a look. Each is one next time of an expression, some microseconds.
const MOST: u32 = 200;

/// The jobs that are armed, by any key.
#[derive(Clone, Debug)]
pub struct Agenda<K> {
    jobs: BTreeMap<K, Job>,
    /// The job with which the look has ended, unless it has come to the end of them.
    left_at: Option<K>,
    /// Whether the jobs before that have to be looked at as well, since the clock was set during the look.
    begins_again: bool,
}

/// A job that is armed.
#[derive(Clone, Debug)]
struct Job {
    times: Vec<Times>,
    /// Whether one of its times is due, and how many were missed, as far as the look has come.
    so_far: (bool, u32),
}

/// A cron expression of a job.
#[derive(Clone, Debug)]
struct Times {
    cron: Cron,
    /// Up to when all times have been considered.
    seen: i64,
    /// The last of them that has come.
    came: Option<i64>,
    next: Option<i64>,
    /// While missed times are counted: the last one so far, and their number.
    counted: Option<(i64, u32)>,
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
        Agenda { jobs: BTreeMap::new(), left_at: None, begins_again: false }
    }
}

impl<K: Ord + Copy> Agenda<K> {
    /// Adds a job, from now on; replaces its schedule. Fails if a time zone has vanished since the configuration was read.
    pub fn arm(&mut self, job: K, schedule: &ScheduleSpec, now: i64) -> Result<(), Mistake> {
        self.jobs.remove(&job);
        let mut times = Vec::new();
        for each in &schedule.times {
            if let ScheduleTimes::Cron { expression, timezone } = each {
                let cron = Cron::new(expression, timezone)?;
                let catches_up = schedule.missed == Missed::Once;
                times.push(Times { next: cron.after(now), seen: now, came: None, counted: None, cron, catches_up });
            }
        }
        if !times.is_empty() {
            self.jobs.insert(job, Job { times, so_far: (false, 0) });
        }
        Ok(())
    }

    /// The times of a job since then have not been considered: nothing looked when they came.
    pub fn recall(&mut self, job: K, since: i64) {
        let times = self.jobs.get_mut(&job).into_iter().flat_map(|job| &mut job.times);
        for times in times.filter(|times| since < times.seen) {
            (times.seen, times.next, times.counted) = (since, times.cron.after(since), None);
        }
    }

    /// Removes a job.
    pub fn disarm(&mut self, job: K) {
        self.jobs.remove(&job);
    }

    /// When to look again at the latest, unless the clock is set before. A time long ago if the look has not ended.
    pub fn earliest(&self) -> Option<i64> {
        if self.has_more() {
            return Some(0);
        }
        self.jobs.values().flat_map(|job| &job.times).filter_map(|times| times.next).min()
    }

    /// The next time of a job.
    pub fn next(&self, job: K) -> Option<i64> {
        self.jobs.get(&job)?.next()
    }

    /// Whether the look has ended before the last job.
    pub fn has_more(&self) -> bool {
        self.left_at.is_some()
    }

    /// Looks at the clock: the jobs whose times have come. Call it at [`Agenda::earliest`], and with `was_set` whenever the
    /// clock was set.
    pub fn look(&mut self, now: i64, was_set: bool) -> Vec<Due<K>> {
        self.look_within(now, was_set, MOST)
    }

    fn look_within(&mut self, now: i64, was_set: bool, mut left: u32) -> Vec<Due<K>> {
        self.begins_again |= was_set && self.has_more();
        let mut all = Vec::new();
        let first = self.left_at.take().map_or(Bound::Unbounded, Bound::Included);
        for (&job, its) in self.jobs.range_mut((first, Bound::Unbounded)) {
            if left == 0 || !its.look(now, &mut left) {
                self.left_at = Some(job);
                break;
            }
            all.extend(its.take(job, now));
        }
        if self.left_at.is_none() && std::mem::take(&mut self.begins_again) {
            self.left_at = self.jobs.keys().next().copied();
        }
        all
    }
}

impl Job {
    fn next(&self) -> Option<i64> {
        self.times.iter().filter_map(|times| times.next).min()
    }

    /// Looks at all its expressions. Returns whether it has come to an end of that.
    fn look(&mut self, now: i64, left: &mut u32) -> bool {
        for times in &mut self.times {
            let Some((came, left_out)) = times.look(now, left) else { return false };
            // Several expressions at one time are one run.
            self.so_far.0 |= came;
            self.so_far.1 = self.so_far.1.saturating_add(left_out);
        }
        true
    }

    fn take<K>(&mut self, job: K, now: i64) -> Option<Due<K>> {
        let (is_due, missed) = std::mem::take(&mut self.so_far);
        let next_in = self.next().map(|at| Duration::from_secs(at.saturating_sub(now).max(0).unsigned_abs()));
        (is_due || missed > 0).then_some(Due { job, is_due, missed, next_in })
    }
}

impl Times {
    /// Whether it is due, and how many of its times were missed; `None` if no computation is left to know it.
    fn look(&mut self, now: i64, left: &mut u32) -> Option<(bool, u32)> {
        if now < self.seen {
            *left = left.checked_sub(1)?;
            self.clock_was_set_back(now);
            return Some((false, 0));
        }
        let Some(next) = self.next.filter(|next| *next <= now) else {
            self.seen = now;
            return Some((false, 0));
        };
        // Where the clock is set back during the count, it begins again.
        let (mut last, mut count) = self.counted.take().filter(|(last, _)| *last <= now).unwrap_or((next, 1));
        loop {
            if *left == 0 {
                self.counted = Some((last, count));
                return None;
            }
            *left -= 1;
            let Some(later) = self.cron.after(last).filter(|later| *later <= now) else { break };
            (last, count) = (later, count + 1);
            if count >= COUNTED {
                last = self.last_before(now).unwrap_or(last);
                *left = left.saturating_sub(LATE as u32);
                break;
            }
        }
        (self.seen, self.came, self.next) = (now, Some(last), self.cron.after(now));
        let is_due = self.catches_up || now - last <= if self.cron.is_fixed() { FIXED } else { LATE };
        Some((is_due, count - u32::from(is_due)))
    }

    /// The last time within the minute before this one.
    fn last_before(&self, now: i64) -> Option<i64> {
        let first = self.cron.after(now - LATE - 1);
        std::iter::successors(first, |&at| self.cron.after(at)).take_while(|at| *at <= now).last()
    }

    /// A time that has come does not come again, unless the clock was set back by more than it is remembered for.
    fn clock_was_set_back(&mut self, now: i64) {
        // Where seconds count, a minute without any would be long.
        let held = match (self.cron.is_fixed(), self.cron.has_seconds()) {
            (true, _) => FIXED,
            (false, false) => LATE,
            (false, true) => 1,
        };
        if self.seen - now > held {
            self.came = None;
        }
        self.came = self.came.filter(|came| came - now <= held);
        let from = self.came.map_or(now, |came| came.max(now));
        (self.seen, self.next, self.counted) = (now, self.cron.after(from), None);
    }
}

#[cfg(test)]
mod tests;
