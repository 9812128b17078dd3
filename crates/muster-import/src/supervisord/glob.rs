//! Patterns of `[include] files`, as Python's `glob.glob` finds their files.
//!
//! `*`, `?` and `[…]` match within one name; a name that begins with a dot only where the pattern does. There is no
//! `{}`, no `~`, and `**` is `*`. The order is that of the directories: the caller sorts.

use muster_supervisord::paths::join;

use super::world::World;

/// A search for files, bounded by the names that it looks at.
pub(super) struct Search<'a> {
    world: &'a dyn World,
    left: usize,
}

impl<'a> Search<'a> {
    /// A search that looks at this many names at most.
    pub(super) fn new(world: &'a dyn World, most: usize) -> Search<'a> {
        Search { world, left: most }
    }

    /// The paths that match an absolute pattern; `None` if there are too many names to look at.
    pub(super) fn glob(&mut self, pattern: &str) -> Option<Vec<String>> {
        self.find(pattern, false)
    }

    fn find(&mut self, pattern: &str, only_directories: bool) -> Option<Vec<String>> {
        let (directory, name) = split(pattern);
        if !has_magic(pattern) {
            self.spend(1)?;
            let is_there = if name.is_empty() { self.world.is_dir(directory) } else { self.world.exists(pattern) };
            return Some(Vec::from_iter(is_there.then(|| pattern.to_owned())));
        }
        let directories = match has_magic(directory) && directory != pattern {
            true => self.find(directory, true)?,
            false => vec![directory.to_owned()],
        };
        let mut found = Vec::new();
        for directory in directories {
            found.extend(self.in_directory(&directory, name, only_directories)?);
        }
        Some(found)
    }

    fn in_directory(&mut self, directory: &str, name: &str, only_directories: bool) -> Option<Vec<String>> {
        self.spend(1)?;
        if !has_magic(name) {
            let path = join(directory, name);
            let is_there = if name.is_empty() { self.world.is_dir(directory) } else { self.world.exists(&path) };
            return Some(Vec::from_iter(is_there.then_some(path)));
        }
        let wants_hidden = name.starts_with('.');
        let listed = self.world.entries(directory);
        self.spend(listed.len())?;
        let matching = listed.into_iter();
        let matching = matching
            .filter(|entry| (wants_hidden || !entry.starts_with('.')) && matches(name, entry))
            .map(|entry| join(directory, &entry))
            .filter(|path| !only_directories || self.world.is_dir(path));
        Some(matching.collect())
    }

    fn spend(&mut self, names: usize) -> Option<()> {
        self.left = self.left.checked_sub(names)?;
        Some(())
    }
}

fn has_magic(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Python's `os.path.split`: slashes at the end of the directory are left out, unless there is nothing else.
fn split(path: &str) -> (&str, &str) {
    let cut = path.rfind('/').map_or(0, |at| at + 1);
    let (directory, name) = path.split_at(cut);
    let trimmed = directory.trim_end_matches('/');
    (if trimmed.is_empty() { directory } else { trimmed }, name)
}

/// One element of a pattern.
enum Part {
    Any,
    One,
    Char(char),
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Part::Any | Part::One => true,
            Part::Char(own) => *own == c,
            Part::Set { negated, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
        }
    }
}

/// Whether a name matches a pattern: Python's `fnmatch.fnmatchcase`.
fn matches(pattern: &str, name: &str) -> bool {
    let parts = parts(&pattern.chars().collect::<Vec<_>>());
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut part) = (0, 0);
    // Behind the last star, and the first character that it has not taken so far.
    let mut retry: Option<(usize, usize)> = None;
    while at < name.len() || part < parts.len() {
        match parts.get(part) {
            Some(Part::Any) => {
                retry = Some((part + 1, at));
                part += 1;
                continue;
            }
            Some(one) if at < name.len() && one.takes(name[at]) => {
                at += 1;
                part += 1;
                continue;
            }
            _ => {}
        }
        match retry {
            Some((behind, taken)) if taken < name.len() => {
                retry = Some((behind, taken + 1));
                (part, at) = (behind, taken + 1);
            }
            _ => return false,
        }
    }
    true
}

fn parts(pattern: &[char]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < pattern.len() {
        let (part, length) = match pattern[at] {
            '*' => (Part::Any, 1),
            '?' => (Part::One, 1),
            '[' => set(&pattern[at..]),
            c => (Part::Char(c), 1),
        };
        parts.push(part);
        at += length;
    }
    parts
}

/// A set in brackets and its length; a bracket that is never closed is itself.
fn set(pattern: &[char]) -> (Part, usize) {
    let negated = pattern.get(1) == Some(&'!');
    let first = 1 + usize::from(negated);
    let from = first + usize::from(pattern.get(first) == Some(&']'));
    let Some(close) = (from..pattern.len()).find(|at| pattern[*at] == ']') else {
        return (Part::Char('['), 1);
    };
    let inside = &pattern[first..close];
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < inside.len() {
        match inside[at..] {
            [low, '-', high, ..] => {
                ranges.push((low, high));
                at += 3;
            }
            _ => {
                ranges.push((inside[at], inside[at]));
                at += 1;
            }
        }
    }
    (Part::Set { negated, ranges }, close + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_fnmatch() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        };
        check("*.conf", "a.conf", true);
        check("*.conf", "a.conf.bak", false);
        check("a*b*c", "aXbYbZc", true);
        check("a*b*c", "aXbYbZ", false);
        check("?", "ü", true);
        check("[a-c]x", "bx", true);
        check("[!a-c]x", "bx", false);
        check("[]]", "]", true);
        check("[x", "[x", true);
        check("{a,b}", "a", false);
        check("**", "ab", true);
        check("", "", true);
        check("[a-]", "-", true);
        check("[z-a]", "m", false);
    }

    #[test]
    fn many_stars_end_soon() {
        assert!(!matches(&"*a".repeat(200), &"a".repeat(5000).replace('a', "b")));
        assert!(!matches(&("*a".repeat(50) + "c"), &"a".repeat(2000)));
    }

    #[test]
    fn paths_are_split_as_python_does() {
        assert_eq!(split("/a/b"), ("/a", "b"));
        assert_eq!(split("/b"), ("/", "b"));
        assert_eq!(split("a//b"), ("a", "b"));
        assert_eq!(split("b"), ("", "b"));
    }
}
