//! The machine on which the configuration will run, which need not be this one: its users and directories exist, and
//! variables that this machine lacks have a stand-in of the right type.

use std::cell::RefCell;
use std::collections::BTreeMap;

use muster_import::supervisord::{Account, User, World};

/// A machine on which every user and directory exists.
pub(super) struct Lenient<'w> {
    world: &'w dyn World,
    /// Files that take the place of the world's.
    files: &'w BTreeMap<String, Vec<u8>>,
    /// The variables that texts name, each with the type of the first key that uses it.
    named: RefCell<BTreeMap<String, Standin>>,
    /// Variables besides the world's.
    standins: Vec<(String, String)>,
}

/// A value for a variable that is not set; the strictest type wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standin {
    Text,
    Path,
    Word(&'static str),
}

impl<'w> Lenient<'w> {
    pub(super) fn new(world: &'w dyn World, files: &'w BTreeMap<String, Vec<u8>>) -> Lenient<'w> {
        Lenient { world, files, named: RefCell::default(), standins: Vec::new() }
    }

    /// After one reading: stand-ins for the variables that the texts name and the world lacks. Returns their names.
    pub(super) fn fill_in(&mut self) -> Vec<String> {
        let known: std::collections::HashSet<String> =
            self.world.variables().into_iter().map(|(name, _)| name).collect();
        let named = self.named.take().into_iter().filter(|(name, _)| !known.contains(name));
        let standins = named.map(|(name, standin)| {
            let value = match standin {
                Standin::Text => name.to_ascii_lowercase(),
                Standin::Path => format!("/{}", name.to_ascii_lowercase()),
                Standin::Word(word) => word.to_owned(),
            };
            (name, value)
        });
        self.standins = standins.collect();
        self.standins.iter().map(|(name, _)| name.clone()).collect()
    }

    fn look_for_variables(&self, text: &[u8]) {
        let mut key = String::new();
        let mut named = self.named.borrow_mut();
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            if line.first().is_some_and(|first| !first.is_ascii_whitespace())
                && let Some(end) = line.iter().position(|byte| matches!(byte, b'=' | b':'))
            {
                key = String::from_utf8_lossy(&line[..end]).trim().to_ascii_lowercase();
            }
            let mut rest = line;
            while let Some(at) = find(rest, b"%(ENV_") {
                rest = &rest[at + 6..];
                let Some(end) = rest.iter().position(|byte| *byte == b')') else { break };
                let name = String::from_utf8_lossy(&rest[..end]).into_owned();
                let standin = standin(&key);
                named.entry(name).and_modify(|old| *old = standin.max(*old)).or_insert(standin);
            }
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The type of a key's value.
fn standin(key: &str) -> Standin {
    match key {
        "startsecs" | "startretries" | "stopwaitsecs" | "numprocs" | "priority" | "exitcodes" | "minfds"
        | "minprocs" | "buffer_size" => Standin::Word("1"),
        "numprocs_start" => Standin::Word("0"),
        "umask" | "chmod" => Standin::Word("022"),
        "port" => Standin::Word("9001"),
        "stopsignal" => Standin::Word("TERM"),
        "loglevel" => Standin::Word("info"),
        "user" | "chown" => Standin::Word("root"),
        "autostart" | "autorestart" | "stopasgroup" | "killasgroup" | "redirect_stderr" | "nodaemon" | "silent"
        | "nocleanup" | "strip_ansi" => Standin::Word("true"),
        "socket" => Standin::Word("unix:///run/app.sock"),
        key if key.ends_with("_maxbytes") => Standin::Word("1MB"),
        key if key.ends_with("_backups") => Standin::Word("1"),
        key if key.ends_with("_enabled") || key.ends_with("_syslog") => Standin::Word("false"),
        key if key.ends_with("logfile") || matches!(key, "file" | "directory" | "pidfile" | "childlogdir") => {
            Standin::Path
        }
        _ => Standin::Text,
    }
}

impl World for Lenient<'_> {
    fn variables(&self) -> Vec<(String, String)> {
        self.world.variables().into_iter().chain(self.standins.iter().cloned()).collect()
    }

    fn cwd(&self) -> String {
        self.world.cwd()
    }

    fn host(&self) -> String {
        self.world.host()
    }

    fn uid(&self) -> u32 {
        0
    }

    fn user(&self, key: Account<'_>) -> Option<User> {
        let made = |id, name: &str| User { id, name: name.to_owned(), group: id, home: format!("/home/{name}") };
        self.world.user(key).or_else(|| match key {
            Account::Name(name) if is_name(name) => Some(made(65_000, name)),
            Account::Name(_) => None,
            Account::Id(id) => Some(made(id, &id.to_string())),
        })
    }

    fn group(&self, key: Account<'_>) -> Option<u32> {
        self.world.group(key).or_else(|| match key {
            Account::Name(name) => is_name(name).then_some(65_000),
            Account::Id(id) => Some(id),
        })
    }

    fn is_dir(&self, _: &str) -> bool {
        true
    }

    fn exists(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.world.exists(path)
    }

    fn entries(&self, directory: &str) -> Vec<String> {
        self.world.entries(directory)
    }

    fn read(&self, path: &str, most: usize) -> std::io::Result<Vec<u8>> {
        let bytes = match self.files.get(path) {
            Some(bytes) => bytes.clone(),
            None => self.world.read(path, most)?,
        };
        self.look_for_variables(&bytes);
        Ok(bytes)
    }
}

fn is_name(name: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_start) && name.chars().all(|c| is_start(c) || c.is_ascii_digit() || ".-$".contains(c))
}
