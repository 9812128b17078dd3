//! The text of a schedule: a cron expression, perhaps with a zone before it, or an interval.

use std::time::Duration;

use muster_spec::{ScheduleTimes, Span};

use crate::{Cron, Mistake};

/// The shortest interval: a shorter one is a service rather than a job.
const LEAST: Duration = Duration::from_secs(1);

/// Reads a text such as `*/5 * * * *`, `TZ=Europe/Berlin 30 2 * * *`, `@hourly` or `@every 90s`; without a zone of its own
/// it is in this one.
pub fn parse(text: &str, timezone: &str) -> Result<ScheduleTimes, Mistake> {
    let begin = text.len() - text.trim_start().len();
    let trimmed = text.trim();
    if let Some(interval) = trimmed.strip_prefix("@every") {
        let at = begin + trimmed.len() - interval.trim_start().len();
        return every(interval.trim()).map_err(|mistake| mistake.moved(at));
    }
    let zone = ["TZ=", "CRON_TZ="].into_iter().find_map(|prefix| {
        let rest = trimmed.strip_prefix(prefix)?;
        let (zone, expression) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        Some((prefix.len(), zone, expression.trim_start()))
    });
    let (expression, timezone) = match zone {
        Some((at, zone, expression)) => {
            crate::check_zone(zone).map_err(|mistake| mistake.moved(begin + at))?;
            (expression, zone)
        }
        None => (trimmed, timezone),
    };
    let at = begin + trimmed.len() - expression.len();
    Cron::new(expression, timezone).map_err(|mistake| mistake.moved(at))?;
    Ok(ScheduleTimes::Cron { expression: expression.to_owned(), timezone: timezone.to_owned() })
}

fn every(interval: &str) -> Result<ScheduleTimes, Mistake> {
    const HINT: &str = "@every 90s, @every 2h30m";
    match interval.parse::<Span>() {
        Ok(Span(interval)) if interval >= LEAST => Ok(ScheduleTimes::Every(interval)),
        Ok(_) => Err(Mistake::new(0..interval.len(), format!("has an interval of less than 1s: {interval}"), HINT)),
        Err(_) => Err(Mistake::new(0..interval.len(), format!("has no such interval: {interval}"), HINT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(expression: &str, timezone: &str) -> Result<ScheduleTimes, Mistake> {
        Ok(ScheduleTimes::Cron { expression: expression.to_owned(), timezone: timezone.to_owned() })
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(parse("*/5 * * * *", "UTC"), cron("*/5 * * * *", "UTC"));
        assert_eq!(parse(" @hourly ", "+02:00"), cron("@hourly", "+02:00"));
        assert_eq!(parse("TZ=Europe/Berlin 30 2 * * *", "UTC"), cron("30 2 * * *", "Europe/Berlin"));
        assert_eq!(parse("CRON_TZ=UTC  1 2 3 4 5 6", "+02:00"), cron("1 2 3 4 5 6", "UTC"));
        assert_eq!(parse("@every 1h30m", "UTC"), Ok(ScheduleTimes::Every(Duration::from_secs(5400))));
    }

    #[test]
    fn a_mistake_is_shown_where_it_is_in_the_whole_text() {
        let check = |text: &str, part: &str, message: &str| {
            let mistake = parse(text, "UTC").expect_err(text);
            assert_eq!((text.get(mistake.at), mistake.message.as_str()), (Some(part), message), "{text}");
        };
        check("TZ=Europe/Berln 30 2 * * *", "Europe/Berln", "has no such time zone: Europe/Berln");
        check(" CRON_TZ=UTC 61 * * * *", "61", "has no such minute: 61");
        check("TZ=UTC", "", "is empty");
        check("@every 0", "0", "has an interval of less than 1s: 0");
        check("@every soon", "soon", "has no such interval: soon");
        check("0 0 31 2 *", "0 0 31 2 *", "never comes");
        check("0 0 31 2,4,6,9,11 *", "0 0 31 2,4,6,9,11 *", "never comes");
    }
}
