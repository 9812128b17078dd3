//! Why the policy decided as it did: the rule behind a decision as data, and the sentence that says it.
//!
//! A [`Verdict`] is made with every decision and kept with the run it is about. It holds numbers only and allocates
//! nothing; the words are made when somebody asks for them. [`crate::restart`] decides, this tells.

use std::fmt;
use std::time::Duration;

use crate::effect::ShutdownReason;
use crate::exit::{Exit, RunEnd};
use crate::name::InstanceId;
use crate::program::PastRun;
use crate::restart::{Limit, Preset, RestartWhen};
use crate::supervisor::Supervisor;

/// What came of an end, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It was being stopped, so the policy was not asked.
    Stopped,
    /// It waits for others that are restarted with it, so the policy was not asked.
    Held,
    /// `restart` does not ask for another run after such an end.
    Final {
        /// The word of `restart`.
        when: RestartWhen,
        /// Whether the end was a success.
        success: bool,
    },
    /// It is started again.
    Again(Again),
    /// It would be started again, but the limit is used up.
    GivenUp {
        /// The limit.
        limit: Limit,
        /// How much of it was used: restarts in a row, or starts in the window.
        used: u32,
        /// How long ago the window of a rate limit was opened, when the next start would come.
        window: Duration,
        /// Why the count had gone back to zero with this very end, if it had.
        reset: Option<CountReset>,
    },
}

/// How a restart was worked out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Again {
    /// The delay before the next run, jitter included.
    pub delay: Duration,
    /// Which restart in a row it is, from 1; 0 where it is not counted.
    pub attempt: u32,
    /// How many there may be.
    pub limit: Limit,
    /// Which start within the window of a rate limit it will be, from 1.
    pub start_in_window: u32,
    /// Where the delay comes from.
    pub rule: DelayRule,
    /// What jitter added to it.
    pub jitter: Duration,
    /// The system whose delays these are, where they are exactly a preset's.
    pub preset: Option<Preset>,
    /// Why the count went back to zero with this end, if it did and was not zero before.
    pub reset: Option<CountReset>,
    /// The word of `restart`.
    pub when: RestartWhen,
    /// Whether the end was a success, which only `always` and `unless-stopped` restart.
    pub success: bool,
}

/// Where a delay comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DelayRule {
    /// It had been RUNNING: at once, and not counted, as in supervisord.
    AtOnceAfterRunning,
    /// The first restart comes without delay.
    FirstAtOnce,
    /// The least delay after a start that failed, where the policy has a shorter one.
    FailedStart,
    /// The daemon had nothing left to start it with, which is not counted.
    Shortage,
    /// `delay × factor^step`, at most `max`.
    Power {
        /// The first delay.
        delay: Duration,
        /// What it is multiplied by.
        factor: f64,
        /// How often.
        step: u32,
        /// The cap, where it was reached.
        capped: Option<Duration>,
    },
    /// `delay × n`, at most `max`.
    Linear {
        /// The first delay.
        delay: Duration,
        /// How many of it.
        times: u32,
        /// The cap, where it was reached.
        capped: Option<Duration>,
    },
}

/// Why the count of failures went back to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountReset {
    /// The run had been up for so long.
    Up {
        /// How long it was up.
        uptime: Duration,
        /// How long was enough.
        reset_after: Duration,
    },
    /// The run had been RUNNING.
    WasRunning,
}

impl Verdict {
    /// Whether the policy was asked at all.
    pub const fn is_policys(&self) -> bool {
        !matches!(self, Verdict::Stopped | Verdict::Held)
    }
}

impl RestartWhen {
    /// Its word in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            RestartWhen::Never => "no",
            RestartWhen::OnFailure => "on-failure",
            RestartWhen::Always => "always",
            RestartWhen::UnlessStopped => "unless-stopped",
        }
    }
}

impl Preset {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        Preset::ALL.iter().find(|(_, preset)| *preset == self).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Stopped => f.write_str("not restarted: it was being stopped"),
            Verdict::Held => f.write_str("starts again as soon as those that are restarted with it are down"),
            Verdict::Final { when: RestartWhen::Never, .. } => f.write_str("not restarted: restart = \"no\""),
            Verdict::Final { when, success: true } => {
                write!(f, "not restarted: a success, and restart = \"{}\" restarts failures only", when.name())
            }
            // No policy but "no" leaves a failure, which came above.
            Verdict::Final { when, success: false } => write!(f, "not restarted: restart = \"{}\"", when.name()),
            Verdict::Again(again) => again.fmt(f),
            Verdict::GivenUp { limit, used, window, reset } => {
                match limit {
                    Limit::Rate { starts, within } => write!(
                        f,
                        "given up: {} allowed in {}, {used} used in the last {}",
                        Counted(*starts, "start"),
                        Span(*within),
                        Span(*window)
                    )?,
                    Limit::Retries(0) => f.write_str("given up: startretries = 0")?,
                    _ => write!(f, "given up: all {used} retries used up")?,
                }
                write_reset(f, *reset)
            }
        }
    }
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.attempt, self.limit) {
            (0, _) => f.write_str("restarted")?,
            (_, Limit::Rate { starts, within }) => {
                write!(f, "start {} of {starts} in {}", self.start_in_window, Span(within))?;
            }
            (attempt, Limit::Retries(limit)) => write!(f, "attempt {attempt} of {limit}")?,
            (attempt, Limit::Unlimited) => write!(f, "attempt {attempt}, no limit")?,
        }
        match self.rule {
            DelayRule::AtOnceAfterRunning => f.write_str(" at once: it had been RUNNING")?,
            DelayRule::FailedStart => {
                write!(f, ", next delay {}: the least after a start that failed", Span(self.delay))?;
            }
            DelayRule::Shortage => {
                write!(f, " in {}: the daemon lacked the means to start it, which is not counted", Span(self.delay))?;
            }
            DelayRule::FirstAtOnce => f.write_str(", at once: the first restart has no delay")?,
            DelayRule::Power { delay, factor, step, capped } => {
                write!(f, ", next delay ")?;
                if factor == 1.0 {
                    write!(f, "{}", Span(delay))?;
                } else {
                    write!(f, "{} × {factor}^{step}", Span(delay))?;
                }
                self.write_sum(f, capped, factor != 1.0)?;
            }
            DelayRule::Linear { delay, times, capped } => {
                write!(f, ", next delay {} × {times}", Span(delay))?;
                self.write_sum(f, capped, true)?;
            }
        }
        if let Some(preset) = self.preset {
            write!(f, " (as {})", preset.name())?;
        }
        if self.success {
            write!(f, "; restart = \"{}\" restarts a success, too", self.when.name())?;
        }
        write_reset(f, self.reset)
    }
}

impl Again {
    fn write_sum(&self, f: &mut fmt::Formatter<'_>, capped: Option<Duration>, is_product: bool) -> fmt::Result {
        if let Some(max) = capped {
            write!(f, ", capped at max {}", Span(max))?;
        }
        if !self.jitter.is_zero() {
            write!(f, " + {} of jitter", Span(self.jitter))?;
        }
        let is_shown = (is_product && capped.is_none()) || !self.jitter.is_zero();
        if is_shown { write!(f, " = {}", Span(self.delay)) } else { Ok(()) }
    }
}

fn write_reset(f: &mut fmt::Formatter<'_>, reset: Option<CountReset>) -> fmt::Result {
    match reset {
        // What had been RUNNING is restarted at once, which has been told.
        None | Some(CountReset::WasRunning) => Ok(()),
        Some(CountReset::Up { uptime, reset_after }) => {
            write!(f, "; counter reset: was up {} ≥ reset_after {}", Span(uptime), Span(reset_after))
        }
    }
}

/// A span as the configuration would write it: `500ms`, `2s`, `15.5s`, `300s`, `10m`, `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = (self.0.as_nanos() + 500_000) / 1_000_000;
        match ms {
            0 => f.write_str("0s"),
            1..1000 => write!(f, "{ms}ms"),
            // Up to ten minutes seconds are what people count in.
            1000..600_000 => {
                let (whole, rest) = (ms / 1000, ms % 1000);
                match (rest, rest % 100, rest % 10) {
                    (0, ..) => write!(f, "{whole}s"),
                    (_, 0, _) => write!(f, "{whole}.{}s", rest / 100),
                    (.., 0) => write!(f, "{whole}.{:02}s", rest / 10),
                    _ => write!(f, "{whole}.{rest:03}s"),
                }
            }
            _ => {
                let seconds = ms / 1000;
                let parts =
                    [(seconds / 86400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
                parts.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
            }
        }
    }
}

struct Counted(u32, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

impl PastRun {
    /// What was decided about it and why, in words that know how it ended.
    pub fn explain(&self, exit_codes: &[u8]) -> String {
        let success = match (&self.end, self.verdict) {
            (RunEnd::Exited(Exit::Code(code)), Verdict::Final { success: true, .. }) => Some(code),
            _ => None,
        };
        match success {
            Some(code) => {
                let codes: Vec<String> = exit_codes.iter().map(u8::to_string).collect();
                format!("exit status {code} is in exitcodes [{}]: {}", codes.join(", "), self.verdict)
            }
            None => self.verdict.to_string(),
        }
    }
}

impl Supervisor {
    /// Why the container ends with this exit code, in words: the daemon's last line.
    pub fn explain_exit(&self, reason: &ShutdownReason, code: u8) -> String {
        match reason {
            ShutdownReason::Signal(signal) => format!("stopped by {signal}"),
            ShutdownReason::Command => "stopped by musterctl".to_owned(),
            ShutdownReason::Probe(id) => format!("a probe of {:?} failed for good", self.instance(*id).name()),
            ShutdownReason::Done if code == 0 => "every program has ended well".to_owned(),
            ShutdownReason::Essential(_) | ShutdownReason::Done => {
                let end = self.exit_cause(reason).and_then(|id| {
                    let instance = self.instance(id);
                    instance.past().next_back().map(|past| (instance.name(), past.end.to_string()))
                });
                match (end, reason) {
                    (Some((name, end)), ShutdownReason::Essential(_)) => {
                        format!("the essential program {name:?} ended: {end}")
                    }
                    (Some((name, end)), _) => format!("{name:?} failed first: {end}"),
                    (None, _) => String::new(),
                }
            }
        }
    }

    /// Whose end is the container's end, and gives it its exit code: the essential one's, or the first failure's where all
    /// have ended.
    pub fn exit_cause(&self, reason: &ShutdownReason) -> Option<InstanceId> {
        match reason {
            ShutdownReason::Signal(_) | ShutdownReason::Command => None,
            ShutdownReason::Essential(id) | ShutdownReason::Probe(id) => Some(*id),
            ShutdownReason::Done => {
                let failed = self.snapshot().iter().filter(|instance| instance.program().autostart);
                let failed = failed.filter_map(|instance| Some((instance, instance.past().next_back()?)));
                let first = failed.filter(|(_, past)| !past.success).min_by_key(|(_, past)| (past.ended, past.run));
                first.map(|(instance, _)| instance.id())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restart::{Backoff, Ended, RestartPolicy, Tally};
    use crate::time::Time;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// What each of several quick failures is answered with.
    fn told(policy: RestartPolicy, count: u32) -> Vec<String> {
        let (mut tally, mut now, mut told) = (Tally::default(), Time::ZERO, Vec::new());
        for _ in 0..count {
            tally.count_start(policy.limit, now);
            let ended = Ended { at: now, uptime: Duration::ZERO, was_running: false, success: false };
            let verdict = policy.judge(&mut tally, ended, 0.0);
            told.push(verdict.to_string());
            let Verdict::Again(again) = verdict else { break };
            now = now + again.delay;
        }
        told
    }

    fn as_preset(preset: Preset) -> RestartPolicy {
        RestartPolicy { when: RestartWhen::OnFailure, limit: preset.limit(), backoff: preset.backoff() }
    }

    #[test]
    fn a_delay_is_told_with_its_sum() {
        let policy = RestartPolicy { limit: Limit::Retries(8), ..RestartPolicy::DEFAULT };
        let told = told(policy, 9);
        assert_eq!(told[0], "attempt 1 of 8, next delay 500ms × 2^0 = 500ms");
        assert_eq!(told[2], "attempt 3 of 8, next delay 500ms × 2^2 = 2s");
        assert_eq!(told[7], "attempt 8 of 8, next delay 500ms × 2^7, capped at max 60s");
        assert_eq!(told[8], "given up: all 8 retries used up");
    }

    #[test]
    fn presets_are_told_in_their_own_rules() {
        assert_eq!(
            told(as_preset(Preset::Docker), 2)[1],
            "attempt 2, no limit, next delay 100ms × 2^1 = 200ms (as docker)"
        );
        let kubernetes = told(as_preset(Preset::Kubernetes), 2);
        assert_eq!(kubernetes[0], "attempt 1, no limit, at once: the first restart has no delay (as kubernetes)");
        assert_eq!(kubernetes[1], "attempt 2, no limit, next delay 10s × 2^0 = 10s (as kubernetes)");
        assert_eq!(
            told(as_preset(Preset::Supervisord), 2)[1],
            "attempt 2 of 3, next delay 1s × 2 = 2s (as supervisord)"
        );
        let systemd = told(as_preset(Preset::Systemd), 9);
        assert_eq!(systemd[0], "start 2 of 5 in 10s, next delay 100ms (as systemd)");
        assert_eq!(systemd[4], "given up: 5 starts allowed in 10s, 5 used in the last 500ms");
    }

    #[test]
    fn what_is_no_presets_any_more_is_not_told_as_one() {
        let backoff = Backoff { max: Duration::from_secs(30), ..Preset::Docker.backoff() };
        let told = told(RestartPolicy { backoff, ..as_preset(Preset::Docker) }, 1);
        assert_eq!(told, ["attempt 1, no limit, next delay 100ms × 2^0 = 100ms"]);
    }

    #[test]
    fn a_reset_is_told_where_there_was_something_to_reset() {
        let ended = Ended { at: Time::ZERO, uptime: Duration::from_secs(12), was_running: true, success: false };
        let counted = || {
            let mut tally = Tally::default();
            let failed = Ended { uptime: Duration::ZERO, was_running: false, ..ended };
            RestartPolicy::DEFAULT.judge(&mut tally, failed, 0.0);
            tally
        };
        let verdict = RestartPolicy::DEFAULT.judge(&mut counted(), ended, 0.0);
        let expected = "attempt 1 of 10, next delay 500ms × 2^0 = 500ms; counter reset: was up 12s ≥ reset_after 10s";
        assert_eq!(verdict.to_string(), expected);
        let first = RestartPolicy::DEFAULT.judge(&mut Tally::default(), ended, 0.0);
        assert_eq!(first.to_string(), "attempt 1 of 10, next delay 500ms × 2^0 = 500ms");
        let supervisord = as_preset(Preset::Supervisord).judge(&mut counted(), ended, 0.0);
        assert_eq!(supervisord.to_string(), "restarted at once: it had been RUNNING (as supervisord)");
    }

    #[test]
    fn jitter_and_successes_are_told() {
        let ended = Ended { at: Time::ZERO, uptime: Duration::ZERO, was_running: false, success: true };
        let backoff = Backoff { jitter: 0.5, ..Backoff::DEFAULT };
        let always = RestartPolicy { when: RestartWhen::Always, backoff, ..RestartPolicy::DEFAULT };
        let expected = "attempt 1 of 10, next delay 500ms × 2^0 + 250ms of jitter = 750ms; restart = \"always\" restarts a success, too";
        assert_eq!(always.judge(&mut Tally::default(), ended, 1.0).to_string(), expected);
        let on_failure = RestartPolicy::DEFAULT.judge(&mut Tally::default(), ended, 0.0);
        assert_eq!(
            on_failure.to_string(),
            "not restarted: a success, and restart = \"on-failure\" restarts failures only"
        );
    }

    #[test]
    fn spans_are_written_as_the_configuration_has_them() {
        for (span, expected) in [
            (ms(0), "0s"),
            (ms(500), "500ms"),
            (ms(15_500), "15.5s"),
            (ms(300_000), "300s"),
            (ms(600_000), "10m"),
            (ms(5_400_000), "1h30m"),
            (ms(86_400_000), "1d"),
            (Duration::from_micros(999_600), "1s"),
        ] {
            assert_eq!(Span(span).to_string(), expected);
        }
    }
}
