//! Patterns of paths: `*` and `?` within a name, `**` for any number of directories.
//!
//! A walk carries the places that it has reached in each pattern ([`States`]), so each name is compared only with what can come
//! next. Wildcards match no hidden name and no backup of an editor: a save must not be two changes, and what version control keeps is
//! no source. Comparing takes time in proportion to both lengths, whatever the name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `**`: directories, any number of them; at the end every file below.
    Deep,
    /// Exactly this name.
    Exact(Box<[u8]>),
    /// A name with wildcards.
    Wild(Box<[u8]>),
}

/// A pattern, split where its first wildcard is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// The directory that the walk begins in.
    base: PathBuf,
    parts: Vec<Part>,
}

/// Something that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Excluded {
    /// A name, at any depth.
    Name(Box<[u8]>),
    /// A path, with everything below it.
    Path(Vec<Part>),
}

/// A place in a pattern: its number, and the part that the next name is compared with. Beyond the last part, everything below
/// counts.
pub type States = Vec<(u16, u16)>;

/// The patterns of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    all: Vec<Pattern>,
    excluded: Vec<Excluded>,
}

impl Patterns {
    /// Adds an absolute pattern.
    pub fn add(&mut self, pattern: &str) {
        self.put(pattern.split('/').filter(|part| !part.is_empty()).map(part_of).collect());
    }

    /// Adds an absolute path in which no character has another meaning.
    pub fn add_path(&mut self, path: &Path) {
        let names = path.components().filter_map(|part| match part {
            std::path::Component::Normal(name) => Some(Part::Exact(name.as_bytes().into())),
            _ => None,
        });
        self.put(names.collect());
    }

    fn put(&mut self, mut parts: Vec<Part>) {
        let is_exact = |part: &&Part| matches!(part, Part::Exact(_));
        let exact = parts.iter().take_while(is_exact).count().min(parts.len().saturating_sub(1));
        let mut base = PathBuf::from("/");
        for part in parts.drain(..exact) {
            if let Part::Exact(name) = part {
                base.push(OsStr::from_bytes(&name));
            }
        }
        if !parts.is_empty() && self.all.len() < usize::from(u16::MAX) {
            self.all.push(Pattern { base, parts });
        }
    }

    /// Adds a name, or an absolute pattern, that does not count.
    pub fn exclude(&mut self, pattern: &str) {
        self.excluded.push(match pattern.contains('/') {
            true => Excluded::Path(pattern.split('/').filter(|part| !part.is_empty()).map(part_of).collect()),
            false => Excluded::Name(pattern.as_bytes().into()),
        });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The directories in which walks begin.
    pub(crate) fn bases(&self) -> BTreeMap<&Path, States> {
        let mut bases: BTreeMap<&Path, States> = BTreeMap::new();
        for (number, pattern) in (0..).zip(&self.all) {
            bases.entry(&pattern.base).or_default().push((number, 0));
        }
        bases.into_iter().map(|(base, states)| (base, self.closed(states))).collect()
    }

    /// `**` may also be no directory.
    fn closed(&self, mut states: States) -> States {
        let mut next = 0;
        while let Some(&(pattern, at)) = states.get(next) {
            next += 1;
            let parts = &self.all[usize::from(pattern)].parts;
            let further = (pattern, at + 1);
            let is_passed = parts.get(usize::from(at)) == Some(&Part::Deep) && usize::from(at) + 1 < parts.len();
            if is_passed && !states.contains(&further) {
                states.push(further);
            }
        }
        states.sort_unstable();
        states.dedup();
        states
    }

    fn part(&self, (pattern, at): (u16, u16)) -> (Option<&Part>, bool) {
        let parts = &self.all[usize::from(pattern)].parts;
        (parts.get(usize::from(at)), usize::from(at) + 1 >= parts.len())
    }

    /// Whether a file of this name counts.
    pub(crate) fn has_file(&self, states: &States, name: &OsStr) -> bool {
        let name = name.as_bytes();
        states.iter().any(|&state| match self.part(state) {
            (None | Some(Part::Deep), true) => !is_passed_over(name),
            (Some(part), true) => fits(part, name),
            _ => false,
        })
    }

    /// Where a walk goes on in a directory of this name; nowhere if it does not matter.
    pub(crate) fn below(&self, states: &States, name: &OsStr) -> States {
        let name = name.as_bytes();
        let mut below = States::new();
        for &(pattern, at) in states {
            match self.part((pattern, at)) {
                (None | Some(Part::Deep), _) => below.extend((!is_passed_over(name)).then_some((pattern, at))),
                // A path to a directory stands for everything in it.
                (Some(part @ Part::Exact(_)), true) => below.extend(fits(part, name).then_some((pattern, at + 1))),
                (Some(_), true) => {}
                (Some(part), false) => below.extend(fits(part, name).then_some((pattern, at + 1))),
            }
        }
        self.closed(below)
    }

    /// The names to look for where no wildcard can come next; `None` if every name has to be looked at.
    pub(crate) fn exact<'a>(&'a self, states: &States) -> Option<Vec<&'a OsStr>> {
        let exact = |&state: &(u16, u16)| match self.part(state).0 {
            Some(Part::Exact(name)) => Some(OsStr::from_bytes(name)),
            _ => None,
        };
        states.iter().map(exact).collect()
    }

    /// Whether a file or directory does not count.
    pub(crate) fn is_excluded(&self, directory: &Path, name: &OsStr) -> bool {
        self.excluded.iter().any(|excluded| match excluded {
            Excluded::Name(pattern) => is_like(pattern, name.as_bytes()),
            Excluded::Path(parts) => {
                let names = directory.iter().filter(|part| *part != "/").chain([name]);
                is_path_like(parts, names.map(OsStrExt::as_bytes))
            }
        })
    }
}

fn part_of(text: &str) -> Part {
    match text {
        "**" => Part::Deep,
        text if text.contains(['*', '?']) => Part::Wild(text.as_bytes().into()),
        text => Part::Exact(text.as_bytes().into()),
    }
}

fn fits(part: &Part, name: &[u8]) -> bool {
    match part {
        Part::Deep => !is_passed_over(name),
        Part::Exact(exact) => **exact == *name,
        Part::Wild(pattern) => {
            (!is_hidden(name) || pattern.first() == Some(&b'.')) && !is_backup(name) && is_like(pattern, name)
        }
    }
}

fn is_passed_over(name: &[u8]) -> bool {
    is_hidden(name) || is_backup(name)
}

fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.')
}

/// `name~` of many editors, `#name#` of emacs, and 4913, with which vim tries whether it may write.
fn is_backup(name: &[u8]) -> bool {
    name.last() == Some(&b'~') || (name.len() > 1 && name.starts_with(b"#") && name.ends_with(b"#")) || name == b"4913"
}

/// Whether a name is like a pattern with `*` and `?`.
fn is_like(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut of) = (0, 0);
    // Where to go on if what follows the last `*` does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while of < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, of));
                at += 1;
            }
            Some(b'?') => {
                at += 1;
                of += 1;
                // The rest of a character.
                while name.get(of).is_some_and(|byte| byte & 0xc0 == 0x80) {
                    of += 1;
                }
            }
            Some(byte) if *byte == name[of] => (at, of) = (at + 1, of + 1),
            _ => match &mut retry {
                Some((after, from)) => {
                    *from += 1;
                    (at, of) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Whether a path, or a directory on it, is like these parts.
fn is_path_like<'a>(parts: &[Part], names: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut states = vec![0];
    close(parts, &mut states);
    for name in names {
        let mut next: Vec<usize> = Vec::new();
        for &at in &states {
            match &parts[at] {
                Part::Deep => next.push(at),
                Part::Exact(exact) => next.extend((**exact == *name).then_some(at + 1)),
                Part::Wild(pattern) => next.extend(is_like(pattern, name).then_some(at + 1)),
            }
        }
        close(parts, &mut next);
        if next.contains(&parts.len()) {
            return true;
        }
        states = next;
    }
    false
}

fn close(parts: &[Part], states: &mut Vec<usize>) {
    let mut next = 0;
    while let Some(&at) = states.get(next) {
        next += 1;
        if parts.get(at) == Some(&Part::Deep) && !states.contains(&(at + 1)) {
            states.push(at + 1);
        }
    }
    states.sort_unstable();
    states.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a file counts, by walking to it.
    fn counts(patterns: &Patterns, path: &str) -> bool {
        let path = Path::new(path);
        patterns.bases().into_iter().any(|(base, mut states)| {
            let Ok(rest) = path.strip_prefix(base) else { return false };
            let names: Vec<&OsStr> = rest.iter().collect();
            let Some((file, directories)) = names.split_last() else { return false };
            let mut at = base.to_owned();
            for name in directories {
                if patterns.is_excluded(&at, name) {
                    return false;
                }
                states = patterns.below(&states, name);
                at.push(name);
            }
            patterns.has_file(&states, file) && !patterns.is_excluded(&at, file)
        })
    }

    fn check(pattern: &str, expected: &[(&str, bool)]) {
        let mut patterns = Patterns::default();
        patterns.add(pattern);
        for (path, counted) in expected {
            assert_eq!(counts(&patterns, path), *counted, "{pattern} {path}");
        }
    }

    #[test]
    fn names_and_directories_are_matched() {
        check("/app/a.py", &[("/app/a.py", true), ("/app/b.py", false), ("/app/a.py/x", true), ("/a.py", false)]);
        check("/app", &[("/app", true), ("/app/x", true), ("/app/x/y", true), ("/app/.git/y", false), ("/apq", false)]);
        check("/app/*.py", &[("/app/a.py", true), ("/app/x/a.py", false), ("/app/a.pyc", false)]);
        check("/app/*", &[("/app/a", true), ("/app/x/a", false), ("/app/.a", false), ("/app/a~", false)]);
        let deep = [("/app/a.py", true), ("/app/x/a.py", true), ("/app/x/y/z/a.py", true), ("/app/a.rs", false)];
        check("/app/**/*.py", &deep);
        check("/app/**", &[("/app/a", true), ("/app/x/a", true), ("/app/.x/a", false), ("/app/4913", false)]);
        let between = [("/app/t/a", true), ("/app/x/t/a", true), ("/app/t/x/t/a", true), ("/app/t/x", false)];
        check("/app/**/t/a", &between);
        check("/app/v?/x", &[("/app/v1/x", true), ("/app/vä/x", true), ("/app/v12/x", false)]);
        check("/app/.env*", &[("/app/.env", true), ("/app/.env.local", true), ("/app/x", false)]);
    }

    #[test]
    fn saves_of_editors_leave_files_that_do_not_count() {
        let names = ["/app/.a.py.swp", "/app/.#a.py", "/app/#a.py#", "/app/a.py~", "/app/4913", "/app/.git/index"];
        for pattern in ["/app", "/app/**", "/app/**/*"] {
            check(pattern, &names.map(|name| (name, false)));
        }
    }

    #[test]
    fn excluded_names_and_paths_do_not_count() {
        let mut patterns = Patterns::default();
        patterns.add("/app/**/*.py");
        for pattern in ["test_*", "node_modules", "/app/gen/**/x.py", "/app/old"] {
            patterns.exclude(pattern);
        }
        for (path, counted) in [
            ("/app/a.py", true),
            ("/app/test_a.py", false),
            ("/app/node_modules/a.py", false),
            ("/app/gen/x.py", false),
            ("/app/gen/y/x.py", false),
            ("/app/gen/y.py", true),
            ("/app/old/y/z.py", false),
            ("/app/older/z.py", true),
        ] {
            assert_eq!(counts(&patterns, path), counted, "{path}");
        }
    }

    #[test]
    fn a_path_has_no_wildcards_and_names_may_be_any_bytes() {
        let mut patterns = Patterns::default();
        patterns.add_path(Path::new("/run/secrets/a*"));
        assert!(counts(&patterns, "/run/secrets/a*") && !counts(&patterns, "/run/secrets/ab"));
        let mut patterns = Patterns::default();
        patterns.add("/app/*.py");
        let (_, states) = patterns.bases().pop_first().unwrap();
        assert!(patterns.has_file(&states, OsStr::from_bytes(b"\xff\xfe.py")));
        assert!(!patterns.has_file(&states, OsStr::from_bytes(b"\xff")));
    }

    #[test]
    fn long_names_and_many_stars_take_no_time() {
        let (pattern, name) = ("*a".repeat(100), "a".repeat(255) + "b");
        let began = std::time::Instant::now();
        (0..1000).for_each(|_| assert!(!is_like(pattern.as_bytes(), name.as_bytes())));
        assert!(began.elapsed() < std::time::Duration::from_secs(30));
    }
}
