//! A point in wall-clock time, written as RFC 3339 in UTC with milliseconds: `2026-11-23T00:34:05.120Z`.
//!
//! For display and tools only: no decision depends on it. Written by hand because a status list holds thousands of them
//! and each must cost nanoseconds.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::calendar::{civil_from_days, days_from_civil};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const LENGTH: usize = "2026-11-23T00:34:05.120Z".len();
const DAY_MS: i64 = 86_400_000;
/// From 0000-01-01 to the last millisecond of 9999: the years with four digits.
const RANGE_MS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// Milliseconds since 1970 in UTC, within the years 0 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time `ms` milliseconds after the Unix epoch, clamped to the years 0 to 9999.
    pub fn from_unix_ms(ms: i64) -> Timestamp {
        Timestamp(ms.clamp(*RANGE_MS.start(), *RANGE_MS.end()))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Parses any RFC 3339 time: with or without fractions of a second, in UTC or with an offset.
    pub fn parse_rfc3339(text: &str) -> Result<Timestamp, InvalidTimestamp> {
        let (date, rest) = text.split_at_checked(19).ok_or(InvalidTimestamp)?;
        let date = date.replacen(['t', ' '], "T", 1);
        let seconds: Timestamp = format!("{date}.000Z").parse()?;
        let (fraction, offset) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("0", rest),
        };
        if fraction.is_empty() {
            return Err(InvalidTimestamp);
        }
        let ms = format!("{fraction:0<3}")[..3].parse::<i64>().map_err(|_| InvalidTimestamp)?;
        Ok(Timestamp::from_unix_ms(seconds.0 + ms - parse_offset(offset)? * 60_000))
    }

    /// The time with an offset of local time from UTC in seconds, rounded to minutes: `2026-11-23T01:34:05.120+01:00`.
    pub fn in_zone(self, offset: i32) -> String {
        let minutes = offset / 60;
        let mut text = Timestamp::from_unix_ms(self.0 + i64::from(minutes) * 60_000).to_string();
        if minutes != 0 {
            let (sign, ahead) = if minutes < 0 { ('-', -minutes) } else { ('+', minutes) };
            text.truncate(LENGTH - 1);
            text.push_str(&format!("{sign}{:02}:{:02}", ahead / 60, ahead % 60));
        }
        text
    }

    fn write(self) -> [u8; LENGTH] {
        let (days, ms) = (self.0.div_euclid(DAY_MS), self.0.rem_euclid(DAY_MS));
        let (year, month, day) = civil_from_days(days);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        put(&mut text[0..4], year);
        put(&mut text[5..7], month);
        put(&mut text[8..10], day);
        put(&mut text[11..13], ms / 3_600_000);
        put(&mut text[14..16], ms / 60_000 % 60);
        put(&mut text[17..19], ms / 1000 % 60);
        put(&mut text[20..23], ms % 1000);
        text
    }
}

/// Parses `Z` or `+01:00` into the minutes local time is ahead of UTC.
fn parse_offset(text: &str) -> Result<i64, InvalidTimestamp> {
    if text.eq_ignore_ascii_case("z") {
        return Ok(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..).and_then(|text| text.split_once(':')).ok_or(InvalidTimestamp)?;
    let number = |digits: &str, most: i64| {
        let digits = Some(digits).filter(|it| it.len() == 2 && it.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|it| it.parse().ok()).filter(|&number: &i64| number <= most).ok_or(InvalidTimestamp)
    };
    if !text.starts_with(['+', '-']) {
        return Err(InvalidTimestamp);
    }
    Ok(sign * (number(hours, 23)? * 60 + number(minutes, 59)?))
}

fn put(digits: &mut [u8], mut value: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        let ms = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => saturating_ms(after),
            Err(before) => -saturating_ms(before.duration()),
        };
        Timestamp::from_unix_ms(ms)
    }
}

fn saturating_ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.write();
        f.write_str(std::str::from_utf8(&text).expect("only ASCII was written"))
    }
}

/// The error for a text in another format than the one written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTimestamp;

impl fmt::Display for InvalidTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a time like 2026-11-23T00:34:05.120Z")
    }
}

impl std::error::Error for InvalidTimestamp {}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Accepts exactly the format written here.
    fn from_str(text: &str) -> Result<Timestamp, InvalidTimestamp> {
        let number = |range| {
            let digits: &str = text.get(range).ok_or(InvalidTimestamp)?;
            let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
            if all_digits { digits.parse::<i64>().map_err(|_| InvalidTimestamp) } else { Err(InvalidTimestamp) }
        };
        let days = days_from_civil(number(0..4)?, number(5..7)?, number(8..10)?);
        let seconds = number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
        let read = Timestamp::from_unix_ms(days * DAY_MS + seconds * 1000 + number(20..23)?);
        // Formatting it again reveals every value out of range and every misplaced character.
        if read.write() == text.as_bytes() { Ok(read) } else { Err(InvalidTimestamp) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.write();
        serializer.serialize_str(std::str::from_utf8(&text).expect("only ASCII was written"))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time like 2026-11-23T00:34:05.120Z")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from `date -u -d @SECONDS +%FT%T`.
    #[test]
    fn known_times_are_written_as_date_writes_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_393_445_120, "2026-11-23T00:24:05.120Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
            (i64::MIN, "0000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp::from_unix_ms(ms).to_string(), text);
        }
    }

    #[test]
    fn every_day_from_1600_to_2400_is_read_back() {
        for days in days_from_civil(1600, 1, 1)..days_from_civil(2400, 12, 31) {
            let time = Timestamp::from_unix_ms(days * DAY_MS + (days * 7919).rem_euclid(DAY_MS));
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn local_times_say_how_far_they_are_ahead() {
        let time = Timestamp::from_unix_ms(1_795_435_200_120);
        for (offset, expected) in [
            (0, "2026-11-23T12:00:00.120Z"),
            (3600, "2026-11-23T13:00:00.120+01:00"),
            (-12_600, "2026-11-23T08:30:00.120-03:30"),
            (50_400, "2026-11-24T02:00:00.120+14:00"),
        ] {
            assert_eq!(time.in_zone(offset), expected);
            assert_eq!(Timestamp::parse_rfc3339(expected), Ok(time));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-11-23",
            "2026-02-29T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-11-23T24:00:00.000Z",
            "2026-11-23T00:34:05.120+",
            "2026-11-23 00:34:05.120Z",
            "2026-11-23T00:34:05.120Zx",
            "+026-11-23T00:34:05.120Z",
            "2026\u{e9}11-23T00:34:05.12Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(InvalidTimestamp), "{text}");
        }
    }

    #[test]
    fn every_form_of_rfc_3339_is_read() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t00:00:01.5z", 1500),
            ("1970-01-01 00:00:01.123456+00:00", 1123),
            ("1970-01-01T01:30:00+01:30", 0),
            ("1969-12-31T16:00:00.25-08:00", 250),
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), Ok(Timestamp::from_unix_ms(ms)), "{text}");
        }
        for text in [
            "",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+1:00",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:0é",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), Err(InvalidTimestamp), "{text}");
        }
    }

    #[test]
    fn system_time_and_json_agree() {
        let time = Timestamp::from(UNIX_EPOCH + Duration::from_millis(1_795_393_445_120));
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2026-11-23T00:24:05.120Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>("\"2026-11-23T00:24:05.120Z\"").unwrap(), time);
    }
}
