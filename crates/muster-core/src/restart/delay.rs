//! The length of the delay before a run: how it grows with failures, and how jitter changes it.
//!
//! Delays are whole microseconds, so that they are the same on every machine, however its floating-point library rounds
//! the last bit.

use std::time::Duration;

use muster_spec::{Backoff, Growth, Jitter};

use crate::restart::DelayRule;

/// The nominal delay after `failures` earlier failures, before jitter.
pub fn nominal(backoff: &Backoff, failures: u32) -> Duration {
    match step(backoff, failures) {
        None => Duration::ZERO,
        Some(step) => delay_of(backoff, step),
    }
}

/// Number of times the delay has grown; `None` without an earlier failure.
fn step(backoff: &Backoff, failures: u32) -> Option<u32> {
    if backoff.first_at_once { failures.checked_sub(1) } else { Some(failures) }
}

fn delay_of(backoff: &Backoff, step: u32) -> Duration {
    let first = backoff.delay.as_secs_f64();
    let grown = match backoff.growth {
        Growth::Factor(factor) => first * factor.powi(i32::try_from(step).unwrap_or(i32::MAX)),
        Growth::Linear => first * (f64::from(step) + 1.0),
        Growth::Steps(steps) if step < steps => {
            first * (backoff.max.as_secs_f64() / first).powf(f64::from(step) / f64::from(steps))
        }
        Growth::Steps(_) => backoff.max.as_secs_f64(),
    };
    // The comparison also handles a product too large for a Duration, including infinity. Zero times an infinite factor
    // is not a number, and must be zero all the same.
    if backoff.delay.is_zero() {
        Duration::ZERO
    } else if grown < backoff.max.as_secs_f64() {
        Duration::try_from_secs_f64(grown).map_or(backoff.max, whole_micros)
    } else {
        backoff.max
    }
}

/// The rule that yields the nominal delay after `failures` earlier failures.
pub(super) fn rule(backoff: &Backoff, failures: u32) -> DelayRule {
    let Some(step) = step(backoff, failures) else { return DelayRule::FirstAtOnce };
    // A first delay equal to the cap was not capped.
    let capped = (delay_of(backoff, step) == backoff.max && backoff.delay < backoff.max).then_some(backoff.max);
    match backoff.growth {
        Growth::Factor(factor) => DelayRule::Power { delay: backoff.delay, factor, step, capped },
        Growth::Linear => DelayRule::Linear { delay: backoff.delay, times: step.saturating_add(1), capped },
        Growth::Steps(steps) => {
            DelayRule::Steps { delay: backoff.delay, max: backoff.max, step: step.min(steps), of: steps }
        }
    }
}

/// The shortest and the longest delay that jitter can choose; `last` is the previous delay, zero if there was none.
pub(super) fn range(backoff: &Backoff, nominal: Duration, last: Duration) -> (Duration, Duration) {
    let added = |span: Duration| (nominal, nominal.saturating_add(span));
    match backoff.jitter {
        Jitter::UpTo(span) => added(span),
        Jitter::Add(part) => added(scaled(nominal, part)),
        // A restart without delay stays without delay.
        _ if nominal.is_zero() => (nominal, nominal),
        Jitter::Full => (Duration::ZERO, nominal),
        Jitter::Equal => (whole_micros(nominal / 2), nominal),
        Jitter::Decorrelated => {
            let most = last.max(backoff.delay).saturating_mul(3).min(backoff.max);
            (backoff.delay, most.max(backoff.delay))
        }
    }
}

/// The delay chosen by jitter; `random` is from 0 to 1.
pub(super) fn chosen((least, most): (Duration, Duration), random: f64) -> Duration {
    least.saturating_add(scaled(most.saturating_sub(least), random))
}

fn scaled(span: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(span.as_secs_f64() * factor).map_or(Duration::MAX, whole_micros)
}

/// Rounds to the nearest microsecond.
fn whole_micros(span: Duration) -> Duration {
    let micros = u64::from((span.subsec_nanos() + 500) / 1000);
    Duration::from_secs(span.as_secs()).saturating_add(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_spec::Preset;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// 2^1024 is infinite in floating point, and a program without a delay fails that often within seconds.
    #[test]
    fn no_delay_is_no_delay_after_any_number_of_failures() {
        for growth in [Growth::Factor(2.0), Growth::Linear, Growth::Steps(3)] {
            let at_once = Backoff { delay: Duration::ZERO, growth, ..Backoff::DEFAULT };
            for failures in [0, 1, 1023, 1024, u32::MAX] {
                assert_eq!(nominal(&at_once, failures), Duration::ZERO, "{growth:?} {failures}");
            }
        }
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let growing = Backoff { max: Duration::MAX, ..Backoff::DEFAULT };
        assert_eq!(nominal(&growing, u32::MAX), Duration::MAX);
        assert_eq!(nominal(&Preset::Systemd.backoff(), u32::MAX), ms(100));
    }

    /// Source: systemd 254, service.c, `service_restart_usec_next`, with RestartSec=100ms, RestartMaxDelaySec=60s and
    /// RestartSteps=9: the delays of the restarts from the first on.
    #[test]
    fn steps_have_equal_ratios() {
        let backoff = Backoff { growth: Growth::Steps(9), ..Preset::Systemd.backoff() };
        let told = (0..12).map(|failures| (nominal(&backoff, failures).as_secs_f64() * 1000.0).round());
        let expected = [100, 204, 414, 843, 1717, 3495, 7114, 14_481, 29_476, 60_000, 60_000, 60_000];
        assert_eq!(told.collect::<Vec<_>>(), expected.map(f64::from));
    }

    #[test]
    fn each_jitter_has_its_range() {
        let drawn = |jitter, nominal, last| range(&Backoff { jitter, ..Backoff::DEFAULT }, ms(nominal), ms(last));
        for (jitter, nominal, last, expected) in [
            (Jitter::Add(0.0), 1000, 0, (1000, 1000)),
            (Jitter::Add(0.25), 1000, 0, (1000, 1250)),
            (Jitter::UpTo(ms(300)), 1000, 0, (1000, 1300)),
            (Jitter::UpTo(ms(300)), 0, 0, (0, 300)),
            (Jitter::Full, 1000, 0, (0, 1000)),
            (Jitter::Equal, 1000, 0, (500, 1000)),
            (Jitter::Decorrelated, 1000, 0, (500, 1500)),
            (Jitter::Decorrelated, 1000, 700, (500, 2100)),
            (Jitter::Decorrelated, 1000, 40_000, (500, 60_000)),
            (Jitter::Decorrelated, 0, 700, (0, 0)),
        ] {
            assert_eq!(drawn(jitter, nominal, last), (ms(expected.0), ms(expected.1)), "{jitter:?} of {nominal} ms");
        }
    }

    #[test]
    fn delays_are_whole_microseconds() {
        let third = Backoff { delay: ms(100), growth: Growth::Factor(1.0 / 0.3), ..Backoff::DEFAULT };
        assert_eq!(nominal(&third, 1), Duration::from_micros(333_333));
        assert_eq!(chosen((ms(100), ms(101)), 0.123_456_7), Duration::from_micros(100_123));
    }
}
