//! Names and identifiers of programs, instances and runs, and selectors of instances.
//!
//! A program `web` with one instance has the instance `web`; with `numprocs = n` it has `web:0` to `web:n-1`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An instance, as an index into the supervisor's table. Not reused while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId(pub u32);

/// A run of any instance. Never reused, so a late message about an old run cannot affect a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whether a text is a valid name of a program or a group: `[A-Za-z0-9_.-]+`, and not the word `all`.
pub fn is_valid_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !name.is_empty() && name != "all" && name.bytes().all(allowed)
}

/// A selection of instances: `web`, `web:0`, `web:*`, `all`, a glob with `*` and `?`, `=NAME` for exactly this instance
/// whatever characters its name has, or a comma-separated list of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    patterns: Vec<String>,
}

/// The mark of a pattern that is an exact name.
const EXACTLY: char = '=';

/// The error for a selector that is empty or contains an invalid name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSelector(pub String);

impl fmt::Display for InvalidSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a name, a glob or a comma-separated list of them: {:?}", self.0)
    }
}

impl std::error::Error for InvalidSelector {}

impl FromStr for Selector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Selector, InvalidSelector> {
        Selector::parse(text, |_| false)
    }
}

impl Selector {
    /// Parses a selection. A text, or a part of a list, that `is_name` knows as the name of an instance selects exactly
    /// that one, also if it has the characters of a pattern.
    pub fn parse(text: &str, is_name: impl Fn(&str) -> bool) -> Result<Selector, InvalidSelector> {
        let exactly = |name: &str| format!("{EXACTLY}{name}");
        let behind_mark = || text.strip_prefix(EXACTLY).filter(|name| is_name(name));
        if let Some(name) = Some(text).filter(|name| is_name(name)).or_else(behind_mark) {
            return Ok(Selector { patterns: vec![exactly(name)] });
        }
        let parts = text.split(',').map(str::trim);
        let patterns: Vec<String> =
            parts.map(|part| if is_name(part) { exactly(part) } else { part.to_owned() }).collect();
        // An exact name cannot match by accident, and may have any characters.
        let is_pattern = |part: &String| !part.is_empty() && !part.chars().any(char::is_control);
        let valid = |part: &String| part.starts_with(EXACTLY) || is_pattern(part);
        if patterns.iter().all(valid) { Ok(Selector { patterns }) } else { Err(InvalidSelector(text.to_owned())) }
    }

    /// The individual patterns, in the order given.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(String::as_str)
    }

    /// Whether it names an instance or its program, rather than selecting it with others: `web`, `web:0` and `web:*` do,
    /// `all`, `w*` and a group do not.
    pub fn is_name_of(&self, program: &str, instance: &str) -> bool {
        let is_name = |name: &str| name == program || name == instance;
        self.patterns().any(|pattern| match (pattern.strip_prefix(EXACTLY), pattern.split_once(':')) {
            (Some(name), _) => is_name(name),
            (None, Some((owner, rest))) => owner == program || is_name(pattern) || is_name(rest),
            (None, None) => is_name(pattern),
        })
    }
}

/// Whether one pattern of a selector selects the instance `instance` of the program `program` in one of `groups`.
///
/// A bare program name selects all its instances; `group:*` selects a group.
pub fn pattern_matches<'a>(
    pattern: &str,
    program: &str,
    instance: &str,
    groups: impl IntoIterator<Item = &'a str>,
) -> bool {
    if let Some(name) = pattern.strip_prefix(EXACTLY) {
        return name == instance;
    }
    if pattern == "all" || pattern == "*" || pattern == instance || pattern == program {
        return true;
    }
    match pattern.split_once(':') {
        Some((owner, rest)) => {
            let member = instance.split_once(':').map_or(instance, |(_, number)| number);
            let owned = glob_matches(owner, program) && (instance.contains(':') || rest == "*");
            // A member's name is `GROUP:NAME` if the programs are named so.
            let in_group = |group: &str| instance.strip_prefix(group).and_then(|rest| rest.strip_prefix(':'));
            let is_meant = |group| {
                glob_matches(owner, group)
                    && (glob_matches(rest, instance) || in_group(group).is_some_and(|name| glob_matches(rest, name)))
            };
            (owned && glob_matches(rest, member)) || groups.into_iter().any(is_meant)
        }
        None => glob_matches(pattern, program),
    }
}

/// Whether `text` matches `pattern`, where `*` matches any sequence of characters and `?` any single one.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to backtrack to on a mismatch: one past the last star, and how far that star has matched.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after_star, swallowed)) = retry else { return false };
                retry = Some((after_star, swallowed + 1));
                p = after_star;
                t = swallowed + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("w*b", "web", true),
            ("w*b", "webs", false),
            ("?eb", "web", true),
            ("?eb", "eb", false),
            ("*a*b*", "xxaybz", true),
            ("*a*b*", "xxby", false),
            ("web", "web", true),
        ] {
            assert_eq!(glob_matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn selections_choose_what_their_users_expect() {
        let pool = |pattern| pattern_matches(pattern, "web", "web:3", ["front"]);
        let single = |pattern| pattern_matches(pattern, "db", "db", []);
        for pattern in ["all", "*", "web", "web:3", "web:*", "w*", "w*:3", "front:*"] {
            assert!(pool(pattern), "{pattern} chooses web:3");
        }
        for pattern in ["web:4", "we", "front", "front:4", "db", "db:*"] {
            assert!(!pool(pattern), "{pattern} does not choose web:3");
        }
        for (pattern, expected) in [("db", true), ("db:*", true), ("db:0", false), ("d?", true), ("web", false)] {
            assert_eq!(single(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn a_selector_of_nothing_or_with_control_characters_is_refused() {
        for text in ["", ",", "web,", "we\nb", "web,\x1b"] {
            assert_eq!(text.parse::<Selector>(), Err(InvalidSelector(text.to_owned())));
        }
        let both = "web, db:*".parse::<Selector>().unwrap();
        assert_eq!(both.patterns().collect::<Vec<_>>(), ["web", "db:*"]);
    }

    #[test]
    fn an_existing_name_selects_exactly_that_instance() {
        let names = ["a*", "x,y", "w\u{e9}b 1", "front:p*", "=odd", "", "front:", "a\u{1b}b\n", "50%/x"];
        let chosen = |text: &str| -> Vec<&str> {
            let selector = Selector::parse(text, |name| names.contains(&name)).unwrap();
            let is_chosen = |name: &&str| {
                let group = name.split_once(':').map_or(*name, |(group, _)| group);
                selector.patterns().any(|pattern| pattern_matches(pattern, name, name, [group]))
            };
            names.into_iter().chain(["ab", "front:pq"]).filter(is_chosen).collect()
        };
        for name in names {
            assert_eq!(chosen(name), [name]);
            assert_eq!(chosen(&format!("={name}")), [name]);
        }
        assert_eq!(chosen("a?"), ["a*", "ab"]);
        assert_eq!(chosen("x,y, ab"), Vec::<&str>::from(["ab"]));
        assert_eq!(chosen("front:*"), ["front:p*", "front:", "front:pq"]);
        assert_eq!(chosen("front:?q"), ["front:pq"]);
        assert_eq!(chosen("a*,ab"), ["a*", "ab"]);
    }
}
