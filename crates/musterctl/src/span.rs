//! Durations on the command line: `30s`, `1m30s`, `500ms`, or a number of seconds.

use std::time::Duration;

use muster_api::MAX_WAIT;

/// Parses a duration; the error says what is allowed.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let span = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?,
        Err(_) => humantime::parse_duration(text)
            .map_err(|_| "not a duration: write 30s, 1m30s, 500ms or a number of seconds".to_owned())?,
    };
    if span > MAX_WAIT { Err("more than eleven days".to_owned()) } else { Ok(span) }
}

/// Formats a duration: `30s`, `1m 30s`, `500ms`.
pub(crate) fn format(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}

/// Formats an uptime like supervisorctl: `0:00:05`, `1 day, 2:03:04`.
pub(crate) fn format_uptime(seconds: f64) -> String {
    // Casting saturates, so NaN and infinity are harmless.
    let whole = seconds as u64;
    let (days, rest) = (whole / 86_400, whole % 86_400);
    let clock = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        _ => format!("{days} days, {clock}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_spellings_are_read() {
        for (text, ms) in [("30s", 30_000), ("1m30s", 90_000), ("500ms", 500), ("10", 10_000), ("0.25", 250), ("0", 0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", "soon", "-1", "nan", "inf", "1e30", "30 parsecs", "100days"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn uptimes_are_pythons_timedeltas() {
        for (seconds, text) in [
            (0.0, "0:00:00"),
            (5.9, "0:00:05"),
            (3_661.0, "1:01:01"),
            (93_784.0, "1 day, 2:03:04"),
            (180_000.0, "2 days, 2:00:00"),
            (f64::NAN, "0:00:00"),
            (-3.0, "0:00:00"),
        ] {
            assert_eq!(format_uptime(seconds), text);
        }
    }
}
