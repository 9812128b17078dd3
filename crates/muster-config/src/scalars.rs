//! Numbers, durations and other single values of a [`Field`], within their bounds.
//!
//! A number or a boolean may be given as text if that text is a template (`numprocs = "${WORKERS:-2}"`); plain
//! text in its place is a mistake, with the hint to leave out the quotes.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use muster_spec::Span;

use crate::diagnostic::Severity;
use crate::field::{Field, Text};
use crate::units::{parse_octal, parse_size};
use crate::value::Content;
use crate::words;

impl<'a> Field<'a> {
    /// The text that a template comes to, for a value that should be a number or a boolean.
    fn computed(&self) -> Option<Option<Text<'a>>> {
        match &self.value.content {
            Content::Text(text) if text.literal().is_none() => Some(self.text()),
            _ => None,
        }
    }

    /// True or false.
    pub fn flag(&self) -> Option<bool> {
        const EXPECTED: &str = "true or false";
        if let Some(flag) = self.value.as_bool() {
            return Some(flag);
        }
        if let Some(computed) = self.computed() {
            let text = computed?;
            let flag = text.text.trim().parse().ok();
            if flag.is_none() {
                self.text_expected(EXPECTED, &text, None);
            }
            return flag;
        }
        let guess = match self.value.as_str().unwrap_or_default().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        };
        match guess {
            Some(flag) => self.expected_with_hint(EXPECTED, format!("{} = {flag}", self.name)),
            None => self.expected(EXPECTED),
        }
        None
    }

    /// A whole number within bounds.
    pub fn integer(&self, bounds: RangeInclusive<i64>) -> Option<i64> {
        let number = match &self.value.content {
            Content::Integer(number) => number.value(),
            Content::Text(raw) => match self.computed() {
                Some(computed) => computed?.text.trim().parse().ok(),
                None => {
                    self.no_number(raw.as_str());
                    return None;
                }
            },
            _ => None,
        };
        match number {
            Some(number) if bounds.contains(&number) => return number.into(),
            Some(number) if number < 0 && *bounds.start() == 0 => self.negative(),
            _ => self.expected(&bounded("a whole number", &bounds)),
        }
        None
    }

    fn no_number(&self, raw: &str) {
        match raw.trim().parse::<i64>() {
            Ok(number) => {
                self.expected_with_hint("a number", format!("write it without quotes: {} = {number}", self.name))
            }
            Err(_) => self.expected("a number"),
        }
    }

    fn negative(&self) {
        let problem = format!("must not be negative: {}", self.shown());
        self.tell(Severity::Error, problem, self.default_hint());
    }

    /// `leave it out for the default of 10 seconds`.
    fn default_hint(&self) -> Option<String> {
        let default = self.key.map(|key| key.default).filter(|default| !["", "\"\""].contains(default))?;
        let seconds = self.key.is_some_and(|key| key.value == "duration") && default.parse::<f64>().is_ok();
        let unit = match (seconds, default) {
            (true, "1") => " second",
            (true, _) => " seconds",
            (false, _) => "",
        };
        Some(format!("leave it out for the default of {default}{unit}"))
    }

    /// A number within bounds.
    pub fn number(&self, bounds: RangeInclusive<f64>) -> Option<f64> {
        let number: Option<f64> = match &self.value.content {
            Content::Integer(number) => number.value().map(|n| n as f64),
            Content::Float(number) => number.parse().ok(),
            Content::Text(_) => match self.computed() {
                Some(computed) => computed?.text.trim().parse().ok(),
                None => None,
            },
            _ => None,
        };
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            self.expected(&bounded("a number", &bounds));
        }
        number
    }

    /// A span of time, zero included.
    pub fn duration(&self) -> Option<Duration> {
        const EXPECTED: &str = "a duration";
        const SPELLING: &str = "a number of seconds, or text such as \"500ms\", \"2m\", \"1h30m\"";
        let seconds: Option<f64> = match &self.value.content {
            Content::Integer(number) => number.value().map(|n| n as f64),
            Content::Float(number) => number.parse().ok(),
            Content::Text(_) => {
                let text = self.text()?;
                let duration = text.text.parse().ok().map(|Span(duration)| duration);
                if duration.is_none() && text.text.trim_start().starts_with('-') {
                    self.negative();
                } else if duration.is_none() {
                    self.text_expected(EXPECTED, &text, Some(SPELLING.to_owned()));
                }
                return duration;
            }
            _ => None,
        };
        match seconds {
            Some(seconds) if seconds < 0.0 => self.negative(),
            Some(seconds) if seconds > Span::LONGEST.as_secs_f64() => {
                self.error(format_args!("must not be longer than ten years: {}", self.shown()));
            }
            Some(seconds) if seconds.is_finite() => return Span::of_seconds(seconds).map(|span| span.0),
            _ => self.expected_with_hint(EXPECTED, SPELLING),
        }
        None
    }

    /// A duration that is at least this long.
    pub(crate) fn duration_of_at_least(&self, shortest: Duration) -> Option<Duration> {
        let duration = self.duration()?;
        if duration < shortest {
            self.error(format_args!("must be at least {}: {}", Span(shortest), self.shown()));
            return None;
        }
        Some(duration)
    }

    /// A size or count: a whole number, or text with a unit.
    pub(crate) fn size(&self) -> Option<u64> {
        const SPELLING: &str = "a number, or text such as \"10MB\" or \"1GiB\", 1024-based";
        match &self.value.content {
            Content::Text(_) => {
                let text = self.text()?;
                let size = parse_size(&text.text);
                if size.is_none() {
                    self.text_expected("a size", &text, Some(SPELLING.to_owned()));
                }
                size
            }
            Content::Integer(_) => self.integer(0..=i64::MAX).map(i64::unsigned_abs),
            _ => {
                self.expected_with_hint("a size", SPELLING);
                None
            }
        }
    }

    /// An octal number: text, or an integer written in octal.
    pub(crate) fn octal(&self) -> Option<u32> {
        const EXPECTED: &str = "an octal number in quotes";
        match &self.value.content {
            Content::Text(_) => {
                let text = self.text()?;
                let number = parse_octal(text.text.trim());
                if number.is_none() {
                    self.text_expected(EXPECTED, &text, Some(format!("{} = \"022\"", self.name)));
                }
                number
            }
            Content::Integer(number) if number.radix == 8 => {
                let parsed = u32::from_str_radix(&number.digits, 8).ok().filter(|&mode| mode <= 0o7777);
                if parsed.is_none() {
                    self.expected(EXPECTED);
                }
                parsed
            }
            Content::Integer(number) => {
                self.expected_with_hint(EXPECTED, format!("{} = \"0{}\"", self.name, number.digits));
                None
            }
            _ => {
                self.expected(EXPECTED);
                None
            }
        }
    }

    /// One of several words.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(word, _)| *word == text.text).map(|&(_, value)| value);
        if found.is_none() {
            let all: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            let nearest = words::nearest(&text.text, choices.iter().map(|&(word, _)| word));
            let hint = nearest.map(|word| format!("did you mean {word:?}?"));
            self.text_expected(&words::alternatives(&all), &text, hint);
        }
        found
    }
}

fn bounded<T: Display + PartialEq + Bound>(what: &str, bounds: &RangeInclusive<T>) -> String {
    let (low, high) = (bounds.start(), bounds.end());
    match (low.is_extreme(), high.is_extreme()) {
        (true, true) => what.to_owned(),
        (false, true) => format!("{what} of at least {low}"),
        (true, false) => format!("{what} of at most {high}"),
        (false, false) => format!("{what} from {low} to {high}"),
    }
}

/// Bounds that may be those of the type itself.
trait Bound {
    fn is_extreme(&self) -> bool;
}

impl Bound for i64 {
    fn is_extreme(&self) -> bool {
        *self == i64::MIN || *self == i64::MAX
    }
}

impl Bound for f64 {
    fn is_extreme(&self) -> bool {
        !self.is_finite()
    }
}
