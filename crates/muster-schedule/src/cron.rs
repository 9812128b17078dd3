//! A cron expression in a time zone: its times.
//!
//! For daylight saving time it follows Vixie cron: a *fixed* expression, with one second, minute and hour, whose time is left
//! out runs at the first moment after the gap, and runs once where its time comes twice; any other runs at each moment
//! that the clock shows a time of it.

use croner::JobType;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::{Mistake, expression, zone};

/// A cron expression in a time zone.
#[derive(Clone, Debug)]
pub struct Cron {
    cron: croner::Cron,
    zone: TimeZone,
    is_fixed: bool,
    has_seconds: bool,
}

/// A moment to count from, to see whether there is any time at all: 2024-01-01.
const SOME_TIME: i64 = 1_704_067_200;

/// The years to look for one: the calendar repeats after 28. A longer search would hold up the reading of a long file.
const SOME_YEARS: &str = "2024-2063";

impl Cron {
    /// Reads an expression.
    pub fn new(expression: &str, timezone: &str) -> Result<Cron, Mistake> {
        let zone = zone::find(timezone)?;
        let whole = 0..expression.len();
        let (fields, shape) = expression::fields(expression)?;
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Optional);
        let parser = parser.dom_and_dow(shape.both_days).build();
        let read = |text: &str| {
            let wrong = |error| Mistake::new(whole.clone(), format!("is no cron expression: {error}"), "");
            parser.parse(text).map_err(wrong)
        };
        let cron = read(fields)?;
        let seconds = if shape.has_seconds { "" } else { "0 " };
        let within_years = read(&format!("{seconds}{fields} {SOME_YEARS}"))?;
        let is_fixed = cron.determine_job_type() == JobType::FixedTime;
        let cron = Cron { cron, zone, is_fixed, has_seconds: shape.has_seconds };
        if next(&within_years, &cron.zone, SOME_TIME).is_none() {
            return Err(Mistake::new(whole, "never comes", "there is no such day in any month"));
        }
        Ok(cron)
    }

    /// Its first time after this one.
    pub fn after(&self, at: i64) -> Option<i64> {
        next(&self.cron, &self.zone, at)
    }

    /// Whether it has one second, minute and hour, at which it is to run once in any day.
    pub fn is_fixed(&self) -> bool {
        self.is_fixed
    }

    /// Whether it says at which seconds.
    pub fn has_seconds(&self) -> bool {
        self.has_seconds
    }
}

fn next(cron: &croner::Cron, zone: &TimeZone, at: i64) -> Option<i64> {
    let from = Zoned::new(Timestamp::from_second(at).ok()?, zone.clone());
    let next = cron.find_next_occurrence(&from, false).ok()?.timestamp().as_second();
    // Whatever the zone does, time goes on.
    (next > at).then_some(next)
}
