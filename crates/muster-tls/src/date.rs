//! Dates of certificates, in UTC.

use muster_api::calendar::{civil_from_days, days_from_civil};

/// Seconds since 1970 as `2026-11-29 08:15 UTC`.
pub(crate) fn date(seconds: i64) -> String {
    let (days, within) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", within / 3600, within % 3600 / 60)
}

/// Seconds since 1970 of a time in UTC, or `None` if there is no such time.
pub(crate) fn seconds(year: i64, month: i64, day: i64, clock: [i64; 3]) -> Option<i64> {
    let [hour, minute, second] = clock;
    let is_valid = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    is_valid.then(|| days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (at, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_795_939_200, "2026-11-29 08:00 UTC"),
            (-1, "1969-12-31 23:59 UTC"),
        ] {
            assert_eq!(date(at), text);
        }
        assert_eq!(seconds(2026, 11, 29, [8, 0, 0]), Some(1_795_939_200));
        assert_eq!(seconds(2026, 13, 1, [0, 0, 0]), None);
        assert_eq!(seconds(2026, 1, 1, [24, 0, 0]), None);
    }
}
