//! The restart policies as documented, implemented independently and with small limits.

use std::time::Duration;

use muster_core::Time;
use muster_spec::{Backoff, Exceeded, Judged, Limit, Preset, Reset, RestartPolicy, RestartWhen};

use crate::common::programs::{ms, s};

/// The stories never reach more failed starts in a row than these tables have entries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delays {
    /// 500 ms doubling; the count is reset after 10 s up; this many retries.
    Ours(u32),
    /// The same with a delay of zero.
    AtOnce(u32),
    /// 100 ms doubling, reset after a run of 10 s, unlimited.
    Docker,
    /// The same, with this many restarts in total.
    DockerOf(u32),
    /// No delay, then 10 s doubling, reset after more than 10 min, unlimited.
    Kubernetes,
    /// 1, 2, 3 s for failed starts, this many times; a program that was RUNNING is restarted immediately and without
    /// limit.
    Supervisord(u32),
    /// A constant 100 ms, this many starts in 10 s.
    Systemd(u32),
}

impl Delays {
    /// The corresponding policy for the core.
    pub fn policy(self, when: RestartWhen) -> RestartPolicy {
        match self {
            Delays::Ours(retries) => RestartPolicy { when, limit: Limit::Retries(retries), ..RestartPolicy::DEFAULT },
            Delays::AtOnce(retries) => {
                let backoff = Backoff { delay: ms(0), reset: Reset::AfterUp(s(1)), ..Backoff::DEFAULT };
                RestartPolicy { when, limit: Limit::Retries(retries), backoff, ..RestartPolicy::DEFAULT }
            }
            Delays::Docker => Preset::Docker.policy(when),
            Delays::DockerOf(retries) => {
                RestartPolicy { limit: Limit::Retries(retries), ..Preset::Docker.policy(when) }
            }
            Delays::Kubernetes => Preset::Kubernetes.policy(when),
            Delays::Supervisord(retries) => {
                RestartPolicy { limit: Limit::Retries(retries), ..Preset::Supervisord.policy(when) }
            }
            Delays::Systemd(starts) => {
                let (judged, then) = (Judged::AtStart, Exceeded::Fatal);
                let limit = Limit::Rate { starts, within: s(10), judged, then };
                RestartPolicy { limit, ..Preset::Systemd.policy(when) }
            }
        }
    }

    fn after(self, failures: u32) -> Duration {
        match self {
            Delays::Ours(_) => [ms(500), s(1), s(2), s(4), s(8)][failures as usize],
            Delays::AtOnce(_) => ms(0),
            Delays::Docker | Delays::DockerOf(_) => [ms(100), ms(200), ms(400), ms(800), ms(1600)][failures as usize],
            Delays::Kubernetes => [s(0), s(10), s(20), s(40), s(80)][failures as usize],
            Delays::Supervisord(_) => [s(1), s(2), s(3), s(4), s(5)][failures as usize],
            Delays::Systemd(_) => ms(100),
        }
    }
}

/// The history that a policy considers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    pub failures: u32,
    /// The same count, never reset.
    in_life: u32,
    /// The starts within the window that the first of them opened.
    starts: Vec<Time>,
    /// When a rule restarted it at once.
    pub at_once: Vec<Time>,
    /// When a rule restarted everything.
    pub all_restarted: Option<Time>,
}

/// A run's end without a request.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub up_for: Duration,
    pub was_running: bool,
    pub is_success: bool,
    pub was_spawned: bool,
}

/// The consequence of an end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    RunAfter(Duration),
    Nothing,
    GivenUp,
}

impl Past {
    /// A manual start.
    pub fn is_forgiven(&mut self, delays: &Delays) {
        let starts = std::mem::take(&mut self.starts);
        *self = Past { all_restarted: self.all_restarted, ..Past::default() };
        if matches!(delays, Delays::Systemd(_)) {
            self.starts = starts;
        }
    }

    pub fn note_start(&mut self, delays: &Delays, now: Time) {
        if matches!(delays, Delays::Systemd(_)) {
            if self.starts.first().is_some_and(|first| now.since(*first) > s(10)) {
                self.starts.clear();
            }
            self.starts.push(now);
        }
    }

    /// Whether an automatic start is refused.
    pub fn refuses_start(&self, delays: &Delays, now: Time) -> bool {
        match *delays {
            Delays::Systemd(starts) => {
                let is_within = self.starts.first().is_some_and(|first| now.since(*first) <= s(10));
                is_within && self.starts.len() >= starts as usize
            }
            _ => false,
        }
    }

    /// A rule restarts it as if this run had not been.
    pub fn is_not_counted(&mut self, delays: &Delays, end: End) {
        if is_anew(delays, end) {
            self.failures = 0;
        }
        self.starts.pop();
    }

    /// How many restarts the limit has counted.
    pub fn counted(&self, delays: &Delays) -> u32 {
        if matches!(delays, Delays::Docker | Delays::DockerOf(_)) { self.in_life } else { self.failures }
    }

    pub fn next_after(&mut self, delays: &Delays, when: RestartWhen, end: End) -> Next {
        let End { up_for, was_running, is_success, was_spawned } = end;
        if is_anew(delays, end) {
            self.failures = 0;
        }
        let never_came_up = matches!(delays, Delays::Supervisord(_)) && !was_running;
        let wants_more = match when {
            RestartWhen::Never => never_came_up,
            RestartWhen::OnFailure => never_came_up || !is_success,
            RestartWhen::Always | RestartWhen::UnlessStopped => true,
        };
        match *delays {
            _ if !wants_more => Next::Nothing,
            Delays::Docker | Delays::DockerOf(_) if !was_spawned => Next::GivenUp,
            Delays::Supervisord(_) if was_running => Next::RunAfter(s(1).saturating_sub(up_for)),
            Delays::Ours(_) | Delays::AtOnce(_) if is_success => {
                self.failures = 0;
                Next::RunAfter(delays.after(0))
            }
            Delays::Ours(most) | Delays::AtOnce(most) | Delays::Supervisord(most) | Delays::DockerOf(most)
                if self.counted(delays) >= most =>
            {
                Next::GivenUp
            }
            _ => {
                let delay = delays.after(self.failures);
                self.failures += 1;
                self.in_life += 1;
                Next::RunAfter(delay)
            }
        }
    }
}

/// Whether failures before this end are forgotten.
fn is_anew(delays: &Delays, End { up_for, was_running, .. }: End) -> bool {
    match delays {
        Delays::Supervisord(_) => was_running,
        Delays::Docker | Delays::DockerOf(_) => up_for >= s(10),
        Delays::Kubernetes => up_for > s(600),
        Delays::Systemd(_) => false,
        Delays::AtOnce(_) => was_running && up_for >= s(1),
        Delays::Ours(_) => was_running && up_for >= s(10),
    }
}
