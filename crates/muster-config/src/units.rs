//! Parses durations, sizes and octal modes. Callers report errors.

use std::time::Duration;

/// The longest duration: ten years. A longer one is taken for a typo.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Parses a duration: a number of seconds, or numbers with the units `ms`, `s`, `m`, `h`, `d`, as in `1h30m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Some(seconds) = decimal(text) {
        return seconds_to_duration(seconds);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, tail) = rest.split_at(number);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = decimal(digits)? * seconds_in(unit)?;
        total = total.checked_add(seconds_to_duration(seconds)?)?;
        rest = tail.trim_start();
    }
    (!text.is_empty() && total <= LONGEST).then_some(total)
}

/// Converts seconds; `None` if they are negative, not a number, or longer than [`LONGEST`].
pub(crate) fn seconds_to_duration(seconds: f64) -> Option<Duration> {
    // Rounding to a nanosecond would show the float's error; to a microsecond gives the number as written.
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    let rounded = Duration::from_micros(u64::try_from((duration.as_nanos() + 500) / 1000).ok()?);
    (rounded <= LONGEST).then_some(rounded)
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

/// Parses a size: bytes, or a number with `K`, `KB`, `KiB` and so on to `T`, all of them 1024-based as in supervisord.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_uppercase();
    let shift = match unit.trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift);
    }
    let bytes = decimal(number)? * (1_u64 << shift) as f64;
    (shift > 0 && bytes.fract() == 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// Parses an octal number of at most four digits, as in umasks and file modes.
pub(crate) fn parse_octal(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let fits = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    if fits { u32::from_str_radix(digits, 8).ok() } else { None }
}

/// Formats a duration: `10 s`, `500 ms`, `5400 s`.
pub(crate) fn show_duration(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{} s", duration.as_secs())
    } else if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_secs_f64() * 1000.0)
    } else {
        format!("{} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_spelling() {
        for (text, expected) in [
            ("10", Some(10_000)),
            ("0.5", Some(500)),
            ("0", Some(0)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
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
            ("99999999999999999999999999", None),
        ] {
            assert_eq!(parse_duration(text), expected.map(Duration::from_millis), "{text:?}");
        }
        assert_eq!(seconds_to_duration(f64::NAN), None);
        assert_eq!(seconds_to_duration(0.1), Some(Duration::from_millis(100)));
    }

    #[test]
    fn sizes_are_1024_based_however_they_are_spelled() {
        for (text, expected) in [
            ("1024", Some(1024)),
            ("10MB", Some(10 << 20)),
            ("10mb", Some(10 << 20)),
            ("1GiB", Some(1 << 30)),
            ("1 K", Some(1024)),
            ("1.5K", Some(1536)),
            ("5B", Some(5)),
            ("1.5", None),
            ("", None),
            ("MB", None),
            ("10XB", None),
            ("-1", None),
            ("99999999T", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn octal_numbers_have_at_most_four_octal_digits() {
        for (text, expected) in [
            ("022", Some(0o22)),
            ("0o022", Some(0o22)),
            ("0777", Some(0o777)),
            ("8", None),
            ("", None),
            ("00000", None),
        ] {
            assert_eq!(parse_octal(text), expected, "{text:?}");
        }
    }
}
