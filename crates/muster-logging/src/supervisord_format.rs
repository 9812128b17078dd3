//! Lines as supervisord writes them: `2026-11-29 08:15:00,042 INFO spawned: 'web' with pid 7`, in local time.

use std::fmt::{self, Debug, Write};
use std::time::SystemTime;

use muster_api::Timestamp;
use muster_api::visible::Escaped;
use muster_spec::LogLevel;
use muster_sys::local_time;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::main_log::{CRITICAL, OUTPUT, TARGET};

/// The format.
pub(crate) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let about = event.metadata();
        put_time(&mut to, Timestamp::from(SystemTime::now()))?;
        write!(to, " {} ", level_name(about.target(), *about.level()))?;
        match about.target() {
            OUTPUT => event.record(&mut Output(&mut to)),
            _ => context.field_format().format_fields(to.by_ref(), event)?,
        }
        to.write_char('\n')
    }
}

/// Writes text of a program: line ends stay, whatever else controls a terminal is escaped.
struct Output<'a, 'w>(&'a mut Writer<'w>);

impl Visit for Output<'_, '_> {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        for (number, line) in text.split('\n').enumerate() {
            // Writing a message to memory cannot fail.
            let end = if number > 0 { "\n" } else { "" };
            let _ = self.0.write_str(end).and_then(|()| Escaped(&mut self.0).write_str(line));
        }
    }
}

fn put_time(to: &mut impl Write, now: Timestamp) -> fmt::Result {
    let local = now.in_zone(local_time::machines_offset(now.unix_ms().div_euclid(1000)));
    // 2026-11-29T08:15:00.042+01:00
    let (date, time) = local.split_once('T').unwrap_or((&local, ""));
    let (time, fraction) = time.split_once('.').unwrap_or((time, "000"));
    let (time, milliseconds) = (time.get(..8).unwrap_or(time), fraction.get(..3).unwrap_or("000"));
    write!(to, "{date} {time},{milliseconds}")
}

/// Messages of the daemon that supervisord does not have are one level less important, except warnings.
fn level_name(target: &str, level: Level) -> &'static str {
    match (target, level) {
        (CRITICAL, _) => "CRIT",
        (_, Level::ERROR) => "ERRO",
        (_, Level::WARN) => "WARN",
        (TARGET, Level::INFO) => "INFO",
        (TARGET | OUTPUT, Level::DEBUG) | (_, Level::INFO) => "DEBG",
        (_, Level::DEBUG) => "TRAC",
        (_, Level::TRACE) => "BLAT",
    }
}

/// The messages that a level shows.
pub(crate) fn filter(level: LogLevel) -> Targets {
    let (lines, own) = match level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::INFO),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    Targets::new().with_default(own).with_target(TARGET, lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_the_time_and_the_level() {
        let mut text = String::new();
        put_time(&mut text, Timestamp::from(SystemTime::UNIX_EPOCH)).unwrap();
        let digits = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
        assert_eq!(digits(&text), "0000-00-00 00:00:00,000");
        assert!(text.ends_with(",000"), "{text}");
        assert_eq!(level_name(CRITICAL, Level::ERROR), "CRIT");
        assert_eq!(level_name(TARGET, Level::INFO), "INFO");
        assert_eq!(level_name(OUTPUT, Level::DEBUG), "DEBG");
        assert_eq!(level_name("musterd::boot", Level::INFO), "DEBG");
        assert_eq!(level_name("musterd::boot", Level::WARN), "WARN");
    }

    #[test]
    fn own_messages_need_a_lower_level() {
        let info = filter(LogLevel::Info);
        assert!(info.would_enable(TARGET, &Level::INFO) && info.would_enable(CRITICAL, &Level::ERROR));
        assert!(!info.would_enable("musterd::boot", &Level::INFO) && info.would_enable("musterd::boot", &Level::WARN));
        assert!(!info.would_enable(OUTPUT, &Level::DEBUG));
        assert!(filter(LogLevel::Debug).would_enable(OUTPUT, &Level::DEBUG));
        assert!(filter(LogLevel::Debug).would_enable("musterd::boot", &Level::INFO));
    }
}
