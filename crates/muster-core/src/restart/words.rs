//! Verdicts as sentences: the numbers of the decision in the order in which it was computed.

use std::fmt;
use std::time::Duration;

use muster_spec::{Changed, Exceeded, Jitter, Judged, Limit, RestartWhen, Span};

use super::verdict::{Again, CountReset, DelayRule, Verdict};
use rules::write_rule;

mod rules;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Stopped => f.write_str("not restarted: it was being stopped"),
            Verdict::Idle => f.write_str("starts again when a client comes: start_on = \"connection\""),
            Verdict::Held => f.write_str("starts again once the programs restarted with it are down"),
            Verdict::Final { by: Some(rule), when, success } => {
                write_rule(f, *rule)?;
                Verdict::Final { by: None, when: *when, success: *success }.fmt(f)
            }
            Verdict::Ruled { rule, .. } => rules::write_final(f, *rule),
            Verdict::Final { when: RestartWhen::Never, .. } => f.write_str("not restarted: restart = \"no\""),
            Verdict::Final { when, success: true, .. } => {
                write!(f, "not restarted: a success, and restart = \"{}\" restarts failures only", when.name())
            }
            // Only "no" does not restart a failure, and that was handled above.
            Verdict::Final { when, success: false, .. } => write!(f, "not restarted: restart = \"{}\"", when.name()),
            Verdict::Again(again) => again.fmt(f),
            Verdict::NeverStarted => {
                f.write_str("given up: it could not be started, and start_failures = \"final\" does not retry")
            }
            Verdict::GivenUp { limit, used, window, reset, by } => {
                by.map_or(Ok(()), |rule| write_rule(f, rule))?;
                match limit {
                    Limit::Rate { starts, within, .. } => write!(
                        f,
                        "given up: {} allowed in {}, {used} used in the last {}",
                        Counted(*starts, "start"),
                        Span(*within),
                        Span(*window)
                    )?,
                    Limit::Retries(0) => f.write_str("given up: startretries = 0")?,
                    Limit::Retries(retries) if used != retries => {
                        write!(f, "given up: {} so far, startretries = {retries}", Counted(*used, "restart"))?;
                    }
                    Limit::Retries(1) => f.write_str("given up: its one retry is used up")?,
                    Limit::Retries(_) | Limit::Unlimited => write!(f, "given up: all {used} retries used up")?,
                }
                write_reset(f, *reset)
            }
        }
    }
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ruled.map_or(Ok(()), |ruled| rules::write_ruled(f, ruled))?;
        if self.rule != DelayRule::RestartNow {
            self.write_count(f)?;
        }
        match self.rule {
            DelayRule::RestartNow => match self.min_interval {
                None => f.write_str("restart at once")?,
                Some(apart) => {
                    write!(f, "restart after {}: starts are at least {} apart", Span(self.delay), Span(apart))?;
                }
            },
            DelayRule::RestartAll => {}
            DelayRule::AtOnceAfterRunning => match self.min_interval {
                None => f.write_str(" at once: it had been RUNNING")?,
                Some(apart) => {
                    write!(
                        f,
                        " after {}: it had been RUNNING, and starts are at least {} apart",
                        Span(self.delay),
                        Span(apart)
                    )?;
                }
            },
            DelayRule::FirstAtOnce => f.write_str(", at once: the first restart has no delay")?,
            DelayRule::FailedStart => {
                write!(f, ", next delay {}: the minimum after a failed start", Span(self.delay))?;
            }
            DelayRule::Shortage => {
                write!(
                    f,
                    " in {}: the daemon was out of resources to start it, which is not counted",
                    Span(self.delay)
                )?;
            }
            DelayRule::AfterSuccess(delay) => write!(f, ", next delay {}", Span(delay))?,
            DelayRule::Power { delay, factor: 1.0, .. } => write!(f, ", next delay {}", Span(delay))?,
            DelayRule::Power { delay, factor, step, capped } => {
                write!(f, ", next delay {} × {factor}^{step}", Span(delay))?;
                write_product(f, capped, delay.mul_f64(factor.powi(i32::try_from(step).unwrap_or(i32::MAX)).min(1e9)))?;
            }
            DelayRule::Linear { delay, times, capped } => {
                write!(f, ", next delay {} × {times}", Span(delay))?;
                write_product(f, capped, delay.saturating_mul(times))?;
            }
            DelayRule::Steps { delay, max, step, of } => {
                write!(f, ", next delay step {step} of {of} from {} to {}", Span(delay), Span(max))?;
                if matches!(self.jitter, Jitter::Add(0.0)) {
                    write!(f, " = {}", Span(self.delay))?;
                }
            }
        }
        self.write_chance(f)?;
        if let Some(within) = self.waits_out {
            write!(f, ", but waits {} until the window of {} is over", Span(self.delay), Span(within))?;
        }
        if let Some((preset, changed)) = self.preset {
            write!(f, " (preset {}", preset.name())?;
            changed
                .keys()
                .enumerate()
                .try_for_each(|(n, key)| write!(f, "{} {key}", if n == 0 { "," } else { " and" }))?;
            f.write_str(if changed == Changed::default() { ")" } else { " changed)" })?;
        }
        match (self.success, self.rule) {
            (true, DelayRule::AfterSuccess(_)) => {
                write!(f, ": a success is not counted, and restart = \"{}\" restarts it", self.when.name())?;
            }
            (true, _) if self.ruled.is_some_and(|ruled| ruled.rule.then.restarts()) => {}
            (true, _) => write!(f, "; restart = \"{}\" also restarts a success", self.when.name())?,
            (false, _) => {}
        }
        if self.is_failed_start {
            f.write_str("; an end before RUNNING is a failed start, whatever its status")?;
        }
        write_reset(f, self.reset)
    }
}

impl Again {
    /// Number of this restart, and the limit.
    fn write_count(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.attempt, self.limit) {
            (_, Limit::Rate { starts, within, judged: Judged::AtStart, then: Exceeded::Fatal })
                if self.start_in_window > starts =>
            {
                let allowed = Counted(starts, "start");
                write!(f, "start {} in {}, with {allowed} allowed", self.start_in_window, Span(within))
            }
            (_, Limit::Rate { starts, within, .. }) => {
                write!(f, "start {} of {starts} in {}", self.start_in_window, Span(within))
            }
            (0, _) => f.write_str("restarted"),
            (attempt, Limit::Retries(limit)) => write!(f, "attempt {attempt} of {limit}"),
            (attempt, Limit::Unlimited) => write!(f, "attempt {attempt}, no limit"),
        }
    }

    /// Whether the delay is randomized.
    pub fn is_random(&self) -> bool {
        self.delay_min != self.delay_max
    }

    fn write_chance(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (Span(self.delay_min), Span(self.delay_max));
        match self.jitter {
            _ if !self.is_random() => Ok(()),
            Jitter::Add(_) | Jitter::UpTo(_) => {
                let added = Span(self.delay_max.saturating_sub(self.delay_min));
                write!(f, ", + up to {added} of jitter; here {}", Span(self.delay))
            }
            Jitter::Full | Jitter::Equal | Jitter::Decorrelated => {
                write!(f, ", by jitter from {least} to {most}; here {}", Span(self.delay))
            }
        }
    }
}

fn write_product(f: &mut fmt::Formatter<'_>, capped: Option<Duration>, product: Duration) -> fmt::Result {
    match capped {
        Some(max) => write!(f, ", capped at max {}", Span(max)),
        None => write!(f, " = {}", Span(product)),
    }
}

fn write_reset(f: &mut fmt::Formatter<'_>, reset: Option<CountReset>) -> fmt::Result {
    match reset {
        // A program that had been RUNNING is restarted at once, which was said already.
        None | Some(CountReset::WasRunning) => Ok(()),
        Some(CountReset::Up { uptime, reset_after }) => {
            write!(f, "; counter reset: was up {} ≥ reset_after {}", Span(uptime), Span(reset_after))
        }
        Some(CountReset::Lasted { uptime, over, beyond }) => {
            let sign = if beyond { ">" } else { "≥" };
            write!(f, "; delay reset: lasted {} {sign} {}", Span(uptime), Span(over))
        }
    }
}

struct Counted(u32, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restart::{self, Ended, Tally};
    use crate::time::Time;
    use muster_spec::{Backoff, Preset, RestartPolicy};

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// The verdicts of several quick failures, as sentences.
    fn told(policy: RestartPolicy, count: u32) -> Vec<String> {
        let (mut tally, mut now, mut told) = (Tally::default(), Time::ZERO, Vec::new());
        for _ in 0..count {
            tally.count_start(policy.limit, now);
            let ended =
                Ended { at: now, uptime: Duration::ZERO, was_spawned: true, was_running: false, success: false };
            let verdict = restart::judge(&policy, &mut tally, ended, 0.0);
            told.push(verdict.to_string());
            let Verdict::Again(again) = verdict else { break };
            now = now + again.delay;
        }
        told
    }

    fn as_preset(preset: Preset) -> RestartPolicy {
        preset.policy(RestartWhen::OnFailure)
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
            "attempt 2, no limit, next delay 100ms × 2^1 = 200ms (preset docker)"
        );
        let kubernetes = told(as_preset(Preset::Kubernetes), 2);
        assert_eq!(kubernetes[0], "attempt 1, no limit, at once: the first restart has no delay (preset kubernetes)");
        assert_eq!(kubernetes[1], "attempt 2, no limit, next delay 10s × 2^0 = 10s (preset kubernetes)");
        assert_eq!(
            told(as_preset(Preset::Supervisord), 2)[1],
            "attempt 2 of 3, next delay 1s × 2 = 2s (preset supervisord)"
        );
        let systemd = told(as_preset(Preset::Systemd), 9);
        assert_eq!(systemd[0], "start 2 of 5 in 10s, next delay 100ms (preset systemd)");
        assert_eq!(systemd[4], "start 6 in 10s, with 5 starts allowed, next delay 100ms (preset systemd)");
        // It is refused when it is due.
        let (mut tally, policy) = (Tally::default(), as_preset(Preset::Systemd));
        (0..5).for_each(|_| tally.count_start(policy.limit, Time::ZERO));
        let ended =
            Ended { at: Time::ZERO, uptime: Duration::ZERO, was_spawned: true, was_running: false, success: false };
        restart::judge(&policy, &mut tally, ended, 0.0);
        let refused =
            restart::refuse_start(&policy, &tally, Time::from_origin(ms(100))).expect("five starts were allowed");
        assert_eq!(refused.to_string(), "given up: 5 starts allowed in 10s, 5 used in the last 100ms");
    }

    #[test]
    fn a_preset_is_named_where_it_was_asked_for_and_with_what_was_changed() {
        let original = as_preset(Preset::Docker);
        let changed = |backoff: Backoff| told(RestartPolicy { backoff, ..original }, 1).remove(0);
        let slower = Backoff { max: Duration::from_secs(30), ..original.backoff };
        let expected = "attempt 1, no limit, next delay 100ms × 2^0 = 100ms (preset docker, max changed)";
        assert_eq!(changed(slower), expected);
        let both = Backoff { delay: ms(200), ..slower };
        assert!(changed(both).ends_with("(preset docker, delay and max changed)"));
        let unnamed = RestartPolicy { preset: None, ..original };
        assert_eq!(told(unnamed, 1), ["attempt 1, no limit, next delay 100ms × 2^0 = 100ms"]);
    }

    #[test]
    fn numbers_are_told_in_good_english() {
        let given_up = |limit, used| {
            Verdict::GivenUp { limit: Limit::Retries(limit), used, window: Duration::ZERO, reset: None, by: None }
                .to_string()
        };
        assert_eq!(given_up(0, 0), "given up: startretries = 0");
        assert_eq!(given_up(1, 1), "given up: its one retry is used up");
        assert_eq!(given_up(8, 8), "given up: all 8 retries used up");
        assert_eq!(given_up(2, 5), "given up: 5 restarts so far, startretries = 2");
    }

    #[test]
    fn a_reset_is_told_where_there_was_something_to_reset() {
        let ended = Ended {
            at: Time::ZERO,
            uptime: Duration::from_secs(12),
            was_spawned: true,
            was_running: true,
            success: false,
        };
        let counted = || {
            let mut tally = Tally::default();
            let failed = Ended { uptime: Duration::ZERO, was_running: false, ..ended };
            restart::judge(&RestartPolicy::DEFAULT, &mut tally, failed, 0.0);
            tally
        };
        let verdict = restart::judge(&RestartPolicy::DEFAULT, &mut counted(), ended, 0.0);
        let expected = "attempt 1 of 10, next delay 500ms × 2^0 = 500ms; counter reset: was up 12s ≥ reset_after 10s";
        assert_eq!(verdict.to_string(), expected);
        let first = restart::judge(&RestartPolicy::DEFAULT, &mut Tally::default(), ended, 0.0);
        assert_eq!(first.to_string(), "attempt 1 of 10, next delay 500ms × 2^0 = 500ms");
        let supervisord = restart::judge(&as_preset(Preset::Supervisord), &mut counted(), ended, 0.0);
        assert_eq!(supervisord.to_string(), "restarted at once: it had been RUNNING (preset supervisord)");
    }

    #[test]
    fn jitter_is_told_as_a_range_with_what_came_of_it() {
        let ended =
            Ended { at: Time::ZERO, uptime: Duration::ZERO, was_spawned: true, was_running: false, success: false };
        let told = |jitter| {
            let backoff = Backoff { jitter, delay: Duration::from_secs(1), ..Backoff::DEFAULT };
            let policy = RestartPolicy { backoff, ..RestartPolicy::DEFAULT };
            let mut tally = Tally::default();
            restart::judge(&policy, &mut tally, ended, 0.0);
            restart::judge(&policy, &mut tally, ended, 0.5).to_string()
        };
        let sum = "attempt 2 of 10, next delay 1s × 2^1 = 2s";
        for (jitter, words) in [
            (Jitter::Add(0.0), ""),
            (Jitter::Add(0.5), ", + up to 1s of jitter; here 2.5s"),
            (Jitter::UpTo(ms(300)), ", + up to 300ms of jitter; here 2.15s"),
            (Jitter::Full, ", by jitter from 0s to 2s; here 1s"),
            (Jitter::Equal, ", by jitter from 1s to 2s; here 1.5s"),
            (Jitter::Decorrelated, ", by jitter from 1s to 3s; here 2s"),
        ] {
            assert_eq!(told(jitter), format!("{sum}{words}"));
        }
    }

    #[test]
    fn successes_are_told() {
        let ended =
            Ended { at: Time::ZERO, uptime: Duration::ZERO, was_spawned: true, was_running: false, success: true };
        let always = RestartPolicy { when: RestartWhen::Always, ..RestartPolicy::DEFAULT };
        let expected = "restarted, next delay 500ms: a success is not counted, and restart = \"always\" restarts it";
        assert_eq!(restart::judge(&always, &mut Tally::default(), ended, 1.0).to_string(), expected);
        let docker = restart::judge(&Preset::Docker.policy(RestartWhen::Always), &mut Tally::default(), ended, 1.0);
        let expected = "attempt 1, no limit, next delay 100ms × 2^0 = 100ms (preset docker); \
                        restart = \"always\" also restarts a success";
        assert_eq!(docker.to_string(), expected);
        let never = restart::judge(&Preset::Supervisord.policy(RestartWhen::Never), &mut Tally::default(), ended, 1.0);
        let expected = "attempt 1 of 3, next delay 1s × 1 = 1s (preset supervisord); \
                        an end before RUNNING is a failed start, whatever its status";
        assert_eq!(never.to_string(), expected);
        let on_failure = restart::judge(&RestartPolicy::DEFAULT, &mut Tally::default(), ended, 0.0);
        assert_eq!(
            on_failure.to_string(),
            "not restarted: a success, and restart = \"on-failure\" restarts failures only"
        );
    }
}
