//! Durations on the command line: `30s`, `1m30s`, `500ms`, or a number of seconds.

use std::time::Duration;

use muster_api::MAX_WAIT;
use muster_spec::{Span, Uptime};

/// Parses a duration; the error says what is allowed.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let Span(span) = text.parse().map_err(|error: muster_spec::NotASpan| error.to_string())?;
    if span > MAX_WAIT { Err("more than eleven days".to_owned()) } else { Ok(span) }
}

/// Formats an uptime like supervisorctl: `0:00:05`, `1 day, 2:03:04`.
pub(crate) fn format_uptime(seconds: f64) -> String {
    // Casting saturates, so NaN and infinity are harmless.
    Uptime(Duration::from_secs(seconds as u64)).to_string()
}

#[cfg(test)]
mod tests {
    use muster_api::Since;

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

    /// `muster-api` has its own parser of durations, because it uses no other crate.
    #[test]
    fn the_api_reads_spans_the_same_way() {
        for text in ["90", "0", "5m", "1h30m", "250ms", "2d1s", "", "m", "5x", "5m3", "-5m", "yesterday"] {
            let ago = match text.parse() {
                Ok(Since::Ago(span)) => Some(Span(span)),
                Ok(Since::At(_)) | Err(()) => None,
            };
            assert_eq!(ago, text.parse().ok(), "{text}");
        }
    }
}
