//! Tracks secrets that came from variables and files.
//!
//! While a configuration is read, [`Noted`] records the value of each variable that looks secret. A configuration value
//! that uses one is read a second time with a mask in its place, and that copy is shown ([`Disguise`]). In text produced
//! elsewhere, such as an error or a process's command line, [`Secrets`] finds the values again.

use muster_spec::arrange;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use muster_spec::InstanceSpec;

use crate::disguise::secrets_in;
use crate::redact::{MASK, is_secret};
use crate::source::File;

/// Shorter values match too much: they are masked only as whole words.
const SHORT: usize = 4;
/// The number of values kept, longest first: only reloads with ever new values could exceed it.
const MOST: usize = 4096;

/// The secrets recorded during a load.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    values: RefCell<BTreeSet<String>>,
    was_used: Cell<bool>,
}

impl Noted {
    /// Records a secret that a value uses.
    pub(crate) fn note(&self, value: &str) {
        self.was_used.set(true);
        if !value.is_empty() {
            self.values.borrow_mut().insert(value.to_owned());
        }
    }

    /// Records a secret that no value uses so far, unless it is too short to be distinguished from ordinary text.
    pub(crate) fn keep(&self, value: &str) {
        if value.len() >= SHORT {
            self.values.borrow_mut().insert(value.to_owned());
        }
    }

    /// Records the secrets in a variable, judged by its name or its value.
    pub(crate) fn keep_variable(&self, name: &str, value: &str) {
        if is_secret(name) {
            self.keep(value);
        } else {
            secrets_in(value).into_iter().for_each(|secret| self.keep(secret));
        }
    }

    /// Records a text that uses a short secret, which can be recognized only with its surroundings.
    pub(crate) fn note_around(&self, text: &str) {
        let is_short = |value: &String| value.len() < SHORT && text.contains(value.as_str());
        if text.len() >= SHORT && self.values.borrow().iter().any(is_short) {
            self.keep(text);
        }
    }

    /// Whether a secret was used since the last call.
    pub(crate) fn take_used(&self) -> bool {
        self.was_used.replace(false)
    }

    pub(crate) fn into_secrets(self) -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add(self.values.into_inner());
        secrets
    }
}

/// Values that must not be shown.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// Longest first, so that masking a shorter one leaves no part of a longer one.
    values: Vec<String>,
}

impl Secrets {
    /// Adds values.
    pub fn add(&mut self, values: impl IntoIterator<Item = String>) {
        for value in values {
            // As in a command line, and as messages quote it.
            let quoted = format!("{value:?}");
            let quoted = quoted[1..quoted.len() - 1].to_owned();
            for form in [value.trim().to_owned(), quoted] {
                if !form.is_empty() && !is_common(&form) {
                    self.values.push(form);
                }
            }
        }
        arrange::sort_by(&mut self.values, |one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        self.values.dedup();
        self.values.truncate(MOST);
    }

    /// The secrets in an environment.
    pub fn of_environment(variables: impl IntoIterator<Item = (String, String)>) -> Secrets {
        let noted = Noted::default();
        variables.into_iter().for_each(|(name, value)| noted.keep_variable(&name, &value));
        noted.into_secrets()
    }

    /// Adds the values of another set.
    pub fn merge(&mut self, other: Secrets) {
        self.add(other.values);
    }

    /// The values, the longest first.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(String::as_str)
    }

    /// The values for which `keep` returns true.
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Secrets {
        Secrets { values: self.values.iter().filter(|value| keep(value)).cloned().collect() }
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Masks the beginning of a longer text, including the start of a secret that was cut off at its end.
    pub fn mask_beginning(&self, text: &str) -> String {
        // A character that was cut is decoded as the replacement character.
        let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        let longest = self.values.iter().filter_map(|value| {
            let ends = value.char_indices().map(|(end, c)| end + c.len_utf8()).rev();
            ends.map(|end| &value[..end]).find(|part| whole.ends_with(part)).map(str::len)
        });
        let start = longest.max().map(|length| self.before_those_around(whole, whole.len() - length));
        start.map_or_else(|| self.mask(text), |start| self.mask(&whole[..start]) + MASK)
    }

    /// Masks the end of a longer text, including the rest of a secret that was cut off at its beginning.
    pub fn mask_end(&self, text: &str) -> String {
        let whole = text.trim_start_matches(char::REPLACEMENT_CHARACTER);
        let longest = self.values.iter().filter_map(|value| {
            value.char_indices().map(|(start, _)| &value[start..]).find(|part| whole.starts_with(part)).map(str::len)
        });
        let end = longest.max().map(|end| self.behind_those_around(whole, end));
        end.map_or_else(|| self.mask(text), |end| MASK.to_owned() + &self.mask(&whole[end..]))
    }

    /// The start of the first secret that spans this place, extended by those that span that start.
    fn before_those_around(&self, text: &str, mut place: usize) -> usize {
        while let Some(start) = self.around(text, place).map(|found| found.start).min() {
            place = start;
        }
        place
    }

    fn behind_those_around(&self, text: &str, mut place: usize) -> usize {
        while let Some(end) = self.around(text, place).map(|found| found.end).max() {
            place = end;
        }
        place
    }

    /// The occurrences that begin before this place and end after it.
    fn around<'a>(&'a self, text: &'a str, place: usize) -> impl Iterator<Item = Range<usize>> + 'a {
        let all = self.values.iter().flat_map(move |value| {
            let near = text.floor_char_boundary(place.saturating_sub(value.len()));
            let far = text.ceil_char_boundary(text.len().min(place + value.len()));
            text[near..far].match_indices(value.as_str()).map(move |(at, found)| near + at..near + at + found.len())
        });
        all.filter(move |found| found.start < place && place < found.end)
    }

    /// Masks every secret in a text.
    pub fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.values {
            if text.contains(value.as_str()) {
                text = without(&text, value);
            }
        }
        text
    }
}

/// Values so common that masking them would only garble text.
fn is_common(value: &str) -> bool {
    value.len() < SHORT && value.bytes().all(|byte| byte.is_ascii_digit())
        || ["true", "false", "none", "null", "yes", "no", "on", "off", "***"].contains(&value)
}

fn without(text: &str, value: &str) -> String {
    let mut copy = String::with_capacity(text.len());
    let mut at = 0;
    for (start, _) in text.match_indices(value) {
        let end = start + value.len();
        let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let stands_alone = !touches(text[..start].chars().next_back()) && !touches(text[end..].chars().next());
        if value.len() >= SHORT || stands_alone {
            copy.push_str(&text[at..start]);
            copy.push_str(MASK);
            at = end;
        }
    }
    copy.push_str(&text[at..]);
    copy
}

/// The masked copy of an instance's configuration.
#[derive(Clone, Debug)]
pub struct Disguise {
    /// The real configuration.
    pub real: Arc<InstanceSpec>,
    /// The copy, with a mask in place of each secret.
    pub shown: InstanceSpec,
    /// The keys that failed to parse with a mask in them, which are hidden completely.
    pub hidden: Vec<&'static str>,
}

/// Of a configuration, the parts that hold secrets, and where the keys of its programs came from: what is needed to show it,
/// and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Disguises {
    /// Instances with secrets in them.
    pub instances: Vec<Disguise>,
    /// Keys of programs' rules with secrets in them, by the program's name.
    pub rules: Vec<(String, &'static str)>,
    /// Keys of `[musterd]` with secrets in them.
    pub musterd: Vec<&'static str>,
    /// Keys of `[http]` with secrets in them.
    pub http: Vec<&'static str>,
    /// Keys of notifiers with secrets in them, by the notifier's name.
    pub notifiers: Vec<(String, &'static str)>,
    /// The values of all secrets.
    pub secrets: Secrets,
    /// The keys of each program, by its name, each with the file it came from, as a place in the list of files that were read.
    /// A key that is merged over several files is there several times, in order. Empty for other languages.
    pub origins: Origins,
}

impl Disguises {
    /// Replaces the numbers of files by their places among those that were read.
    pub(crate) fn place_origins(&mut self, texts: &[File]) {
        let before = |file: u32| texts.iter().take(file as usize).filter(|file| file.was_read).count();
        let places: Vec<u32> = (0..texts.len() as u32).map(|file| before(file) as u32).collect();
        for (_, file) in self.origins.values_mut().flatten() {
            *file = places.get(*file as usize).copied().unwrap_or_default();
        }
    }
}

/// The keys of each program and their files.
pub type Origins = BTreeMap<String, Vec<(&'static str, u32)>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add(values.iter().map(|&value| value.to_owned()));
        secrets
    }

    #[test]
    fn a_secret_is_found_wherever_it_went() {
        let all = secrets(&["hunter2", "hunter2222", "ab", "quo\"te", "true", "1"]);
        for (text, expected) in [
            ("app --x hunter2", "app --x ***"),
            ("xhunter2222y", "x***y"),
            ("ab cab ab=1", "*** cab ***=1"),
            ("\"quo\\\"te\" quo\"te", "\"***\" ***"),
            ("true 1", "true 1"),
        ] {
            assert_eq!(all.mask(text), expected);
        }
    }

    #[test]
    fn what_is_left_of_a_secret_that_was_cut_is_masked() {
        let all = secrets(&["hunter2", "two words", "2xyz", "pässword"]);
        for (text, expected) in [
            ("app --x hunter", "app --x ***"),
            ("app --x h", "app --x ***"),
            ("app hunter2", "app ***"),
            ("app hunter2x", "app ***"),
            ("app hunter2 and two wo", "app *** and ***"),
            ("app p\u{fffd}", "app ***"),
            ("app --port 8", "app --port 8"),
        ] {
            assert_eq!(all.mask_beginning(text), expected);
        }
        for (text, expected) in [
            ("unter2 said", "*** said"),
            ("words hunter2", "*** ***"),
            ("\u{fffd}ssword x", "*** x"),
            ("8 tries", "8 tries"),
        ] {
            assert_eq!(all.mask_end(text), expected);
        }
    }

    #[test]
    fn a_short_secret_is_known_by_what_is_around_it() {
        let noted = Noted::default();
        noted.note("x7");
        noted.note_around("--pin=x7y");
        let secrets = noted.into_secrets();
        assert_eq!(secrets.mask("app --pin=x7y x7 ax7"), "app *** *** ax7");
    }

    #[test]
    fn their_number_has_a_bound() {
        let mut secrets = Secrets::default();
        secrets.add((0..10 * MOST).map(|number| format!("secret-{number}")));
        assert!(secrets.values.len() <= MOST);
    }
}
