//! The restart policies as their documentation tells them, each in its own words and with small limits.

use std::time::Duration;

use muster_core::Time;
use muster_core::restart::{Backoff, Limit, Preset, Reset};

use crate::common::programs::{ms, s};

/// The longest row of failed starts that the stories reach is shorter than these tables.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delays {
    /// 500 ms doubling; the count starts anew after 10 s up; so many retries.
    Ours(u32),
    /// The same with delays that are no delays.
    AtOnce(u32),
    /// 100 ms doubling, anew after 10 s up, for ever.
    Docker,
    /// At once, then 10 s doubling, anew after 10 min up, for ever.
    Kubernetes,
    /// 1, 2, 3 s for starts that fail, so many times; what was RUNNING at once and for ever.
    Supervisord(u32),
    /// 100 ms each time, so many starts in 10 s.
    Systemd(u32),
}

impl Delays {
    /// What the core is told of it.
    pub fn limit_and_backoff(self) -> (Limit, Backoff) {
        let preset = |preset: Preset| (preset.limit(), preset.backoff());
        match self {
            Delays::Ours(retries) => (Limit::Retries(retries), Backoff::DEFAULT),
            Delays::AtOnce(retries) => {
                let backoff = Backoff { delay: ms(0), reset: Reset::AfterUp(s(1)), ..Backoff::DEFAULT };
                (Limit::Retries(retries), backoff)
            }
            Delays::Docker => preset(Preset::Docker),
            Delays::Kubernetes => preset(Preset::Kubernetes),
            Delays::Supervisord(retries) => (Limit::Retries(retries), Preset::Supervisord.backoff()),
            Delays::Systemd(starts) => (Limit::Rate { starts, within: s(10) }, Preset::Systemd.backoff()),
        }
    }

    fn after(self, failures: u32) -> Duration {
        match self {
            Delays::Ours(_) => [ms(500), s(1), s(2), s(4), s(8)][failures as usize],
            Delays::AtOnce(_) => ms(0),
            Delays::Docker => [ms(100), ms(200), ms(400), ms(800), ms(1600)][failures as usize],
            Delays::Kubernetes => [s(0), s(10), s(20), s(40), s(80)][failures as usize],
            Delays::Supervisord(_) => [s(1), s(2), s(3), s(4), s(5)][failures as usize],
            Delays::Systemd(_) => ms(100),
        }
    }

    fn starts_anew_after(self) -> Duration {
        match self {
            Delays::Kubernetes => s(600),
            Delays::AtOnce(_) => s(1),
            _ => s(10),
        }
    }
}

/// What counts of the past.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    pub failures: u32,
    /// The starts within the window that the first of them opened.
    starts: Vec<Time>,
}

impl Past {
    pub fn note_start(&mut self, delays: &Delays, now: Time) {
        if matches!(delays, Delays::Systemd(_)) {
            if self.starts.first().is_some_and(|first| now.since(*first) >= s(10)) {
                self.starts.clear();
            }
            self.starts.push(now);
        }
    }

    /// How long to wait for the next run; `None` is no further run.
    pub fn delay_after_end(
        &mut self,
        delays: &Delays,
        now: Time,
        up_for: Duration,
        was_running: bool,
        wants_more: bool,
    ) -> Option<Duration> {
        let is_anew = match delays {
            Delays::Supervisord(_) => was_running,
            _ => was_running && up_for >= delays.starts_anew_after(),
        };
        if is_anew {
            self.failures = 0;
        }
        if !wants_more {
            return None;
        }
        if let (Delays::Supervisord(_), true) = (delays, was_running) {
            return Some(Duration::ZERO);
        }
        let delay = delays.after(self.failures);
        let is_used_up = match *delays {
            Delays::Ours(retries) | Delays::AtOnce(retries) | Delays::Supervisord(retries) => self.failures >= retries,
            Delays::Systemd(starts) => {
                let window = self.starts.first().is_some_and(|first| (now + delay).since(*first) < s(10));
                window && self.starts.len() >= starts as usize
            }
            Delays::Docker | Delays::Kubernetes => false,
        };
        if is_used_up {
            return None;
        }
        self.failures += 1;
        Some(delay)
    }
}
