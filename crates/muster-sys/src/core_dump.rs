//! Where the kernel puts the core of a process that crashed: `kernel.core_pattern`, see core(5).
//!
//! The pattern belongs to the host, whatever the container. Its meaning after a crash is known except for a few
//! words, such as the name of the thread that crashed; the file is then found by the rest of its name. Looking for it may
//! wait for a slow disk: never do that on the loop. Reading the pattern waits for nothing.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use muster_spec::Signal;

use crate::trusted::{Identity, as_user};

/// Smaller limits of a core file write none: a page, `min_coredump` of the kernel's ELF loader.
pub const LEAST: u64 = 4096;

/// How many names of a directory are looked at.
const MOST_NAMES: usize = 10_000;

/// The kernel's limit of the name of a thread, without the NUL.
const LONGEST_NAME: usize = 15;

/// The meaning of `kernel.core_pattern`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// A program of the host gets the core.
    Handler(String),
    /// A program of the host that listens on this socket gets it.
    Socket(String),
    /// It is written to a file.
    File(Vec<u8>),
    /// It is written nowhere.
    Nowhere,
}

/// A process that crashed.
#[derive(Clone, Debug)]
pub struct Crashed {
    /// Its pid.
    pub pid: u32,
    /// Its user and group.
    pub user: (u32, u32),
    /// The signal.
    pub signal: Signal,
    /// The program that it executed.
    pub program: PathBuf,
    /// Its working directory.
    pub directory: PathBuf,
}

/// Part of a name that a pattern stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Known(Vec<u8>),
    /// Most likely this.
    Guessed(Vec<u8>),
    Unknown,
}

/// The name of a core file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreFile {
    directory: PathBuf,
    name: Vec<Part>,
}

impl Pattern {
    /// The current one.
    pub fn current() -> io::Result<Pattern> {
        let text = fs::read("/proc/sys/kernel/core_pattern")?;
        let adds_pid = fs::read("/proc/sys/kernel/core_uses_pid").is_ok_and(|text| text.first() != Some(&b'0'));
        Ok(Pattern::parse(text.trim_ascii_end(), adds_pid))
    }

    fn parse(text: &[u8], adds_pid: bool) -> Pattern {
        let first_word = |text: &[u8]| {
            let word = text.trim_ascii_start().split(u8::is_ascii_whitespace).next().unwrap_or_default();
            String::from_utf8_lossy(word).into_owned()
        };
        match text {
            [b'|', handler @ ..] => Pattern::Handler(first_word(handler)),
            [b'@', socket @ ..] => Pattern::Socket(first_word(socket.strip_prefix(b"@").unwrap_or(socket))),
            [] if !adds_pid => Pattern::Nowhere,
            _ if adds_pid && !text.windows(2).any(|pair| pair == b"%p") => Pattern::File([text, b".%p"].concat()),
            _ => Pattern::File(text.to_vec()),
        }
    }

    /// The file that the core of this process was written to, if it is one.
    pub fn file_of(&self, crashed: &Crashed) -> Option<CoreFile> {
        let Pattern::File(pattern) = self else { return None };
        let split = pattern.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        let directory = as_bytes(&fill(&pattern[..split], crashed), b"");
        let directory = crashed.directory.join(OsString::from_vec(directory));
        Some(CoreFile { directory, name: fill(&pattern[split..], crashed) })
    }
}

/// Replaces the words of a pattern.
fn fill(pattern: &[u8], crashed: &Crashed) -> Vec<Part> {
    let number = |number: u32| Part::Known(number.to_string().into_bytes());
    let name = crashed.program.file_name().unwrap_or_default().as_bytes();
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = pattern.iter().copied();
    while let Some(byte) = rest.next() {
        let part = match byte {
            b'%' => match rest.next() {
                // A single one at the end is dropped.
                None => break,
                Some(b'%') => Part::Known(b"%".to_vec()),
                Some(b'p') => number(crashed.pid),
                Some(b'u') => number(crashed.user.0),
                Some(b'g') => number(crashed.user.1),
                Some(b's') => number(crashed.signal.number().unsigned_abs()),
                Some(b'h') => match fs::read("/proc/sys/kernel/hostname") {
                    Ok(name) => Part::Known(escaped(name.trim_ascii_end())),
                    Err(_) => Part::Unknown,
                },
                // The thread and the file, which are others after an exec(2).
                Some(b'e') => Part::Guessed(escaped(&name[..name.len().min(LONGEST_NAME)])),
                Some(b'f') => Part::Guessed(escaped(name)),
                Some(b'E') => Part::Guessed(escaped(crashed.program.as_os_str().as_bytes())),
                // Threads, pids of the host, the time, limits, the processor.
                Some(b't' | b'i' | b'I' | b'P' | b'd' | b'c' | b'C' | b'F') => Part::Unknown,
                // The kernel leaves out any other.
                Some(_) => continue,
            },
            other => match parts.last_mut() {
                Some(Part::Known(text)) => {
                    text.push(other);
                    continue;
                }
                _ => Part::Known(vec![other]),
            },
        };
        match (parts.last_mut(), part) {
            // Known texts are never neighbours, so that each is looked for as a whole.
            (Some(Part::Known(text)), Part::Known(more)) => text.extend(more),
            (_, part) => parts.push(part),
        }
    }
    parts
}

/// As the kernel makes a name of any text: no `/`, and no name that begins with a dot.
fn escaped(text: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> = text.iter().map(|&byte| if byte == b'/' { b'!' } else { byte }).collect();
    if let Some(first) = text.first_mut().filter(|first| **first == b'.') {
        *first = b'!';
    }
    text
}

fn as_bytes(parts: &[Part], unknown: &[u8]) -> Vec<u8> {
    let text = |part: &Part| match part {
        Part::Known(text) | Part::Guessed(text) => text.clone(),
        Part::Unknown => unknown.to_vec(),
    };
    parts.iter().flat_map(text).collect()
}

impl CoreFile {
    /// Its path, with `*` for each part that is unknown.
    pub fn path(&self) -> PathBuf {
        self.directory.join(OsString::from_vec(as_bytes(&self.name, b"*")))
    }

    /// The newest file of this name and its size, seen with the privileges of the user that crashed. A symbolic link is none.
    pub fn find(&self, user: Option<&Identity>) -> io::Result<Option<(PathBuf, u64)>> {
        as_user(user, || {
            if !self.name.contains(&Part::Unknown)
                && let Some(size) = size_of(&self.path())
            {
                return Ok(Some((self.path(), size)));
            }
            if self.name.iter().all(|part| matches!(part, Part::Known(_))) {
                return Ok(None);
            }
            let names = match fs::read_dir(&self.directory) {
                Ok(names) => names,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let names = names.take(MOST_NAMES).filter_map(Result::ok).map(|entry| entry.file_name());
            let paths = names.filter(|name| self.may_be(name)).map(|name| self.directory.join(name));
            let newest = paths.filter_map(|path| Some((fs::symlink_metadata(&path).ok()?, path)));
            let newest = newest.filter(|(about, _)| about.is_file()).max_by_key(|(about, _)| about.mtime());
            Ok(newest.map(|(about, path)| (path, about.len())))
        })
    }

    /// Whether a name has all known parts in their order, and something else in place of the others.
    fn may_be(&self, name: &OsStr) -> bool {
        fits(&self.name, name.as_bytes())
    }
}

/// The earliest place of each part is as good as any other, so nothing is tried twice.
fn fits(parts: &[Part], name: &[u8]) -> bool {
    let (mut rest, mut unknown) = (name, 0);
    for (place, part) in parts.iter().enumerate() {
        let Part::Known(text) = part else {
            unknown += 1;
            continue;
        };
        let is_last = place + 1 == parts.len();
        let at = match unknown {
            0 => rest.starts_with(text).then_some(0),
            _ if is_last => rest.ends_with(text).then(|| rest.len() - text.len()).filter(|&at| at >= unknown),
            _ => (unknown..rest.len()).find(|&at| rest[at..].starts_with(text)),
        };
        let Some(at) = at else { return false };
        (rest, unknown) = (&rest[at + text.len()..], 0);
    }
    if unknown == 0 { rest.is_empty() } else { rest.len() >= unknown }
}

fn size_of(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|about| about.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crashed(directory: &Path) -> Crashed {
        let (program, directory) = (PathBuf::from("/usr/bin/a.program-of-many"), directory.to_owned());
        Crashed { pid: 42, user: (1000, 50), signal: Signal::QUIT, program, directory }
    }

    fn path(pattern: &str) -> String {
        let pattern = Pattern::parse(pattern.as_bytes(), false);
        pattern.file_of(&crashed(Path::new("/srv"))).unwrap().path().display().to_string()
    }

    #[test]
    fn a_pattern_is_a_handler_a_socket_a_file_or_nothing() {
        let parse = |text: &str, adds_pid| Pattern::parse(text.as_bytes(), adds_pid);
        let handler = "/usr/lib/systemd/systemd-coredump".to_owned();
        assert_eq!(parse("|/usr/lib/systemd/systemd-coredump %P %u", true), Pattern::Handler(handler));
        assert_eq!(parse("@@/run/coredump.socket", false), Pattern::Socket("/run/coredump.socket".to_owned()));
        assert_eq!(parse("", false), Pattern::Nowhere);
        assert_eq!(parse("core", false), Pattern::File(b"core".to_vec()));
        assert_eq!(parse("core", true), Pattern::File(b"core.%p".to_vec()));
        assert_eq!(parse("core.%p", true), Pattern::File(b"core.%p".to_vec()));
    }

    #[test]
    fn the_words_of_a_pattern_are_replaced_as_the_kernel_does() {
        assert_eq!(path("core"), "/srv/core");
        assert_eq!(path("/var/crash/%u.%g/core.%s.%p%%"), "/var/crash/1000.50/core.3.42%");
        // 15 bytes of the name.
        assert_eq!(path("%e-%f"), "/srv/a.program-of-ma-a.program-of-many");
        assert_eq!(path("%E"), "/srv/!usr!bin!a.program-of-many");
        assert_eq!(path("core.%t.%p"), "/srv/core.*.42");
        assert_eq!(path("core.%z%p%"), "/srv/core.42");
    }

    #[test]
    fn the_file_is_found_by_what_is_known_of_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let find = |pattern: &str| {
            let file = Pattern::parse(pattern.as_bytes(), false).file_of(&crashed(directory.path())).unwrap();
            let found = file.find(None).unwrap();
            found.map(|(path, size)| (path.file_name().unwrap().to_string_lossy().into_owned(), size))
        };
        assert_eq!(find("core.%e.%t.%p"), None);
        fs::write(directory.path().join("core.other.17.43"), "x").unwrap();
        fs::write(directory.path().join("core.thread.17.42"), "four").unwrap();
        assert_eq!(find("core.%e.%t.%p"), Some(("core.thread.17.42".to_owned(), 4)));
        assert_eq!(find("core.%p"), None);
        assert_eq!(find("core.%t.%p"), Some(("core.thread.17.42".to_owned(), 4)));
        assert_eq!(find("core.%t%t.thread.%t.%p"), None);
        std::os::unix::fs::symlink("core.thread.17.42", directory.path().join("core.42")).unwrap();
        assert_eq!(find("core.%p"), None, "the kernel writes to no link");
    }
}
