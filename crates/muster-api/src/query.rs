//! The parameters of a query string, each taken at most once, with none left over.
//!
//! An unknown parameter is an error rather than ignored: `?wiat=5` should not silently mean "do not wait".

use std::str::FromStr;
use std::time::Duration;

use crate::percent;
use crate::route::{MAX_WAIT, RouteError};

/// The decoded query string.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

/// A request with more parameters than any route has is rejected undecoded.
const MAX_PARAMETERS: usize = 16;

impl Query {
    pub(crate) fn parse(text: &str) -> Result<Query, RouteError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let decode = |text| percent::decode(text).ok_or_else(|| bad("query", "has a broken escape", part));
            let (name, value) = (decode(name)?, decode(value)?);
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(bad(&name, "is given twice", &value));
            }
            if pairs.len() == MAX_PARAMETERS {
                return Err(bad(&name, "is one parameter too many", &value));
            }
            pairs.push((name, value));
        }
        Ok(Query { pairs })
    }

    /// Takes the value of this parameter, if it is given.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let place = self.pairs.iter().position(|(known, _)| known == name)?;
        Some(self.pairs.swap_remove(place).1)
    }

    /// Takes a number of seconds; zero if not given.
    pub(crate) fn take_seconds(&mut self, name: &str) -> Result<Duration, RouteError> {
        let Some(text) = self.take(name) else { return Ok(Duration::ZERO) };
        let refuse = || bad(name, "must be a number of seconds", &text);
        // `f64` also parses "inf", "nan" and "1e3"; only the first two are not durations.
        let seconds: f64 = text.parse().map_err(|_| refuse())?;
        let span = Duration::try_from_secs_f64(seconds).map_err(|_| refuse())?;
        if span > MAX_WAIT { Err(bad(name, "must be at most 1000000 seconds", &text)) } else { Ok(span) }
    }

    /// Takes a number, if it is given. `expected` says in words which ones fit.
    pub(crate) fn take_number<N: FromStr>(
        &mut self,
        name: &str,
        expected: &'static str,
        fits: impl Fn(&N) -> bool,
    ) -> Result<Option<N>, RouteError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let number = text.parse().ok().filter(fits);
        number.map(Some).ok_or_else(|| bad(name, expected, &text))
    }

    /// Takes a flag: `?dry_run`, `?dry_run=true`; false if not given.
    pub(crate) fn take_flag(&mut self, name: &str) -> Result<bool, RouteError> {
        match self.take(name).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(value) => Err(bad(name, "must be true or false", value)),
        }
    }

    /// Ignores the other parameters.
    pub(crate) fn ignore(&mut self) {
        self.pairs.clear();
    }

    /// Rejects parameters that were not taken.
    pub(crate) fn finish(self) -> Result<(), RouteError> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, value)) => Err(bad(name, "is not a parameter of this route", value)),
        }
    }
}

pub(crate) fn bad(name: &str, reason: &'static str, value: &str) -> RouteError {
    RouteError::BadParameter { name: name.to_owned(), reason, value: value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Result<Duration, RouteError> {
        Query::parse(text)?.take_seconds("wait")
    }

    #[test]
    fn seconds_are_read_whole_and_in_parts() {
        for (text, expected) in [
            ("", 0.0),
            ("wait=0", 0.0),
            ("wait=30", 30.0),
            ("wait=0.25", 0.25),
            ("wait=1e3", 1000.0),
            ("%77ait=3%30", 30.0),
        ] {
            assert_eq!(seconds(text), Ok(Duration::from_secs_f64(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["wait=", "wait", "wait=-1", "wait=nan", "wait=inf", "wait=5s", "wait=1000001", "wait=1e300"] {
            assert!(matches!(seconds(text), Err(RouteError::BadParameter { name, .. }) if name == "wait"), "{text}");
        }
    }

    #[test]
    fn twice_too_many_and_unknown_are_refused() {
        assert_eq!(Query::parse("a=1&a=2").unwrap_err(), bad("a", "is given twice", "2"));
        assert_eq!(Query::parse("wiat=5").unwrap().finish(), Err(bad("wiat", "is not a parameter of this route", "5")));
        let many: Vec<String> = (0..100).map(|number| format!("p{number}=1")).collect();
        assert!(Query::parse(&many.join("&")).is_err());
        assert_eq!(Query::parse("&&").unwrap().finish(), Ok(()));
    }
}
