//! Spans of time in words.

use std::fmt;
use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
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
