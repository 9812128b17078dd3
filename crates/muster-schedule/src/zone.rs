//! Time zones by name: the system's, else those in the executable, if it has any.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use crate::Mistake;

/// How alike the name must be that is suggested.
const SIMILAR: f64 = 0.8;

/// Checks the name of a zone.
pub fn check(name: &str) -> Result<(), Mistake> {
    find(name).map(drop)
}

/// A moment as a zone's clock shows it, with its offset; in UTC if the zone is not known.
pub fn local(at: i64, timezone: &str) -> String {
    let zone = find(timezone).unwrap_or(TimeZone::UTC);
    let Ok(at) = Timestamp::from_second(at) else { return String::new() };
    let offset = zone.to_offset(at);
    if zone == TimeZone::UTC { at.to_string() } else { at.display_with_offset(offset).to_string() }
}

/// The seconds since 1970 of a date and time with an offset, such as `2026-03-28T23:00+01:00`.
pub fn seconds_of(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

pub(crate) fn find(name: &str) -> Result<TimeZone, Mistake> {
    let whole = 0..name.len();
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    if name.starts_with(['+', '-']) {
        return offset(name).map(TimeZone::fixed).ok_or_else(|| {
            Mistake::new(whole, format!("has no such offset: {name}"), "+02:00 and -03:30 are offsets from UTC")
        });
    }
    let zones = jiff::tz::db();
    let is_name = !name.is_empty()
        && !name.starts_with('/')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-+".contains(&byte));
    if let Some(zone) = zones.get(name).ok().filter(|_| is_name) {
        return Ok(zone);
    }
    Err(Mistake::new(whole, format!("has no such time zone: {name}"), hint(zones, name)))
}

fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = text.split_at_checked(1)?;
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at(2),
        None => (digits, "00"),
    };
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    if hours > 23 || minutes > 59 || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return None;
    }
    let seconds = (i32::from(hours) * 60 + i32::from(minutes)) * 60;
    Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()
}

fn hint(zones: &TimeZoneDatabase, name: &str) -> String {
    if zones.is_definitively_empty() || zones.get("Europe/Berlin").is_err() {
        return "this system has no zones: install tzdata, or use UTC or an offset such as +02:00".to_owned();
    }
    let folded = name.to_ascii_lowercase();
    let likeness = |known: &str| {
        let known = known.to_ascii_lowercase();
        let city = known.rsplit('/').next().unwrap_or_default();
        strsim::jaro_winkler(&known, &folded).max(strsim::jaro_winkler(city, &folded))
    };
    let names = zones.available().map(|known| known.as_str().to_owned());
    let nearest = names.map(|known| (likeness(&known), known)).max_by(|(one, _), (other, _)| one.total_cmp(other));
    match nearest.filter(|(likeness, _)| *likeness > SIMILAR) {
        Some((_, known)) => format!("did you mean {known:?}?"),
        None => "a name such as Europe/Berlin, UTC, or an offset such as +02:00".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_names_or_are_offsets() {
        for good in ["UTC", "Europe/Berlin", "+02:00", "-0330", "+05"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, hint) in [
            ("Europe/Berln", "did you mean \"Europe/Berlin\"?"),
            ("berlin", "did you mean \"Europe/Berlin\"?"),
            ("+25:00", "+02:00 and -03:30 are offsets from UTC"),
            ("+2", "+02:00 and -03:30 are offsets from UTC"),
            ("../../etc/passwd", "a name such as Europe/Berlin, UTC, or an offset such as +02:00"),
        ] {
            assert_eq!(check(bad).expect_err(bad).hint, hint, "{bad}");
        }
    }

    #[test]
    fn a_moment_is_shown_with_the_offset_of_then() {
        let at = seconds_of("2026-03-29T00:59:59Z").expect("it is a time");
        assert_eq!(local(at, "Europe/Berlin"), "2026-03-29T01:59:59+01:00");
        assert_eq!(local(at + 1, "Europe/Berlin"), "2026-03-29T03:00:00+02:00");
        assert_eq!(local(at, "UTC"), "2026-03-29T00:59:59Z");
        assert_eq!(seconds_of("2026-03-28T23:00+01:00"), seconds_of("2026-03-28T22:00:00Z"));
        assert_eq!(seconds_of("tomorrow"), None);
    }
}
