//! Durations as text: the only formatter and the only parser of what people read and write.
//!
//! Machines get numbers, with the unit in the field's name. `muster_api::Since` has its own parser, because `muster-api`
//! uses no other crate; a test in `musterctl` compares the two.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A span as the configuration would write it: `500ms`, `2s`, `15.5s`, `300s`, `10m`, `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// The longest duration: ten years. A longer one is taken for a typo.
    pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

    /// A measured duration: rounded down to a tenth of a second from one second on.
    pub fn about(span: Duration) -> Span {
        const TENTH: u128 = 100_000_000;
        if span < Duration::from_secs(1) {
            return Span(span);
        }
        let below = u64::try_from(span.as_nanos() % TENTH).unwrap_or_default();
        Span(span - Duration::from_nanos(below))
    }

    /// Converts seconds; `None` if they are negative, not a number, or longer than [`Span::LONGEST`].
    pub fn of_seconds(seconds: f64) -> Option<Span> {
        // Rounding to a nanosecond would show the float's error; to a microsecond gives the number as written.
        let span = Duration::try_from_secs_f64(seconds).ok()?;
        let rounded = Duration::from_micros(u64::try_from((span.as_nanos() + 500) / 1000).ok()?);
        (rounded <= Span::LONGEST).then_some(Span(rounded))
    }
}

/// The text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASpan;

impl fmt::Display for NotASpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a duration: write 30s, 1m30s, 500ms or a number of seconds")
    }
}

impl std::error::Error for NotASpan {}

impl FromStr for Span {
    type Err = NotASpan;

    /// Parses a number of seconds, or numbers with the units `ms`, `s`, `m`, `h`, `d`, as in `1h30m`.
    fn from_str(text: &str) -> Result<Span, NotASpan> {
        parse(text.trim()).ok_or(NotASpan)
    }
}

fn parse(text: &str) -> Option<Span> {
    if let Some(seconds) = decimal(text) {
        return Span::of_seconds(seconds);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, tail) = rest.split_at(number);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let part = Span::of_seconds(decimal(digits)? * seconds_in(unit)?)?;
        total = total.checked_add(part.0)?;
        rest = tail.trim_start();
    }
    (!text.is_empty() && total <= Span::LONGEST).then_some(Span(total))
}

fn seconds_in(unit: &str) -> Option<f64> {
    Some(match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" | "sec" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    })
}

/// A plain decimal number: no sign, exponent, `inf` or `nan`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !text.starts_with('.');
    if plain { text.parse().ok() } else { None }
}

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

/// An uptime formatted like supervisorctl: `0:00:05`, `2 days, 3:04:05`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uptime(pub Duration);

impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds / 86_400 {
            0 => {}
            1 => f.write_str("1 day, ")?,
            days => write!(f, "{days} days, ")?,
        }
        // In one piece: a list of a thousand programs has a thousand of them.
        let mut text = *b"00:00:00";
        for (place, number) in [(0, seconds / 3600 % 24), (3, seconds / 60 % 60), (6, seconds % 60)] {
            text[place] += (number / 10) as u8;
            text[place + 1] += (number % 10) as u8;
        }
        let text = if text[0] == b'0' { &text[1..] } else { &text[..] };
        f.write_str(str::from_utf8(text).unwrap_or_default())
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

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for span in [ms(0), ms(1), ms(500), ms(15_500), ms(599_999), ms(600_000), ms(5_400_000), ms(90_061_000)] {
            assert_eq!(Span(span).to_string().parse(), Ok(Span(span)));
        }
    }

    #[test]
    fn measured_spans_have_tenths_of_a_second() {
        for (span, expected) in [(0, "0s"), (999, "999ms"), (1_000, "1s"), (2_549, "2.5s"), (59_999, "59.9s")] {
            assert_eq!(Span::about(ms(span)).to_string(), expected);
        }
    }

    #[test]
    fn spans_are_read_in_every_spelling() {
        for (text, expected) in [
            ("10", Some(10_000)),
            ("0.5", Some(500)),
            ("0", Some(0)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("1m30s", Some(90_000)),
            ("1h30m", Some(5_400_000)),
            ("1h 30m", Some(5_400_000)),
            ("1.5s", Some(1500)),
            ("1d", Some(86_400_000)),
            ("", None),
            ("s", None),
            ("10 parsecs", None),
            ("-5", None),
            ("1e3", None),
            ("inf", None),
            ("nan", None),
            ("4000d", None),
            ("1.2.3s", None),
            ("10s5", None),
            ("99999999999999999999999999", None),
        ] {
            assert_eq!(text.parse().ok(), expected.map(|span| Span(ms(span))), "{text:?}");
        }
        assert_eq!(Span::of_seconds(f64::NAN), None);
        assert_eq!(Span::of_seconds(0.1), Some(Span(ms(100))));
    }

    #[test]
    fn uptimes_are_pythons_timedeltas() {
        for (seconds, text) in [
            (0, "0:00:00"),
            (5, "0:00:05"),
            (3_661, "1:01:01"),
            (90_061, "1 day, 1:01:01"),
            (93_784, "1 day, 2:03:04"),
            (180_000, "2 days, 2:00:00"),
            (200_000, "2 days, 7:33:20"),
        ] {
            assert_eq!(Uptime(Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
