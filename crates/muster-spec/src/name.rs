//! Names and identifiers of programs, instances and runs, and selectors of instances.
//!
//! A program `web` with one instance has the instance `web`; with `numprocs = n` it has `web:0` to `web:n-1`.

use std::fmt;
use std::str::FromStr;

/// An instance, as an index into the supervisor's table. Not reused while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u32);

/// A run of any instance. Never reused, so a late message about an old run cannot affect a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// A selection of instances: `web`, `web:0`, `web:*`, `all`, a glob with `*` and `?`, or a comma-separated list of
/// these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    patterns: Vec<String>,
}

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
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-:*?".contains(&byte);
        let patterns: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        let valid = patterns.iter().all(|part| !part.is_empty() && part.bytes().all(allowed));
        if valid { Ok(Selector { patterns }) } else { Err(InvalidSelector(text.to_owned())) }
    }
}

impl Selector {
    /// The individual patterns, in the order given.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(String::as_str)
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
    if pattern == "all" || pattern == "*" || pattern == instance || pattern == program {
        return true;
    }
    match pattern.split_once(':') {
        Some((owner, rest)) => {
            let member = instance.split_once(':').map_or(instance, |(_, number)| number);
            let owned = glob_matches(owner, program) && (instance.contains(':') || rest == "*");
            (owned && glob_matches(rest, member))
                || groups.into_iter().any(|group| glob_matches(owner, group) && glob_matches(rest, instance))
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
    fn a_selector_of_nothing_or_of_odd_characters_is_refused() {
        for text in ["", ",", "web,", "we b", "web/x", "w\u{e9}b"] {
            assert_eq!(text.parse::<Selector>(), Err(InvalidSelector(text.to_owned())));
        }
        let both = "web, db:*".parse::<Selector>().unwrap();
        assert_eq!(both.patterns().collect::<Vec<_>>(), ["web", "db:*"]);
    }
}
