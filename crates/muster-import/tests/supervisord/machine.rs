//! A machine in memory, whose files, users and directories a test names.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use muster_import::supervisord::{Account, Configuration, Mistakes, Mode, User, World, read};

/// The machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) cwd: String,
    pub(crate) host: String,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Whether every name that could be one is a user, and every path a directory.
    pub(crate) has_everything: bool,
    /// Whether patterns find the files.
    pub(crate) is_listed: bool,
}

impl Machine {
    /// The machine of the small cases: root alone, a few directories, files below `/D`.
    pub(crate) fn small() -> Machine {
        Machine {
            variables: vec![("HOME".to_owned(), "/root".to_owned()), ("PATH".to_owned(), "/bin".to_owned())],
            cwd: "/".to_owned(),
            host: "vm".to_owned(),
            files: BTreeMap::new(),
            has_everything: false,
            is_listed: true,
        }
    }

    /// The machine that a case of the corpus was recorded on, and the main file.
    pub(crate) fn of_case(case: &Path, truth: &Value) -> (Machine, String) {
        let text = |key: &str| truth[key].as_str().unwrap().to_owned();
        let variables = truth["env"].as_object().unwrap().iter();
        let mut machine = Machine {
            variables: variables.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
            cwd: text("cwd"),
            host: text("host_node_name"),
            files: BTreeMap::new(),
            has_everything: true,
            is_listed: truth.get("bundle").is_some(),
        };
        let source = case.with_extension("");
        let main = match truth.get("bundle") {
            Some(_) => {
                add(&source.join("root"), "", &mut machine.files);
                text("main")
            }
            None => {
                let main = format!("{}/{}", text("here"), source.file_name().unwrap().to_string_lossy());
                machine.files.insert(main.clone(), std::fs::read(&source).unwrap());
                main
            }
        };
        (machine, main)
    }

    /// The same with a file.
    pub(crate) fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Machine {
        self.files.insert(path.to_owned(), bytes.into());
        self
    }

    /// The same with a variable.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Machine {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Reads `/D/s.conf` with this text.
    pub(crate) fn read(self, text: impl Into<Vec<u8>>) -> Result<Configuration, Mistakes> {
        let machine = self.file("/D/s.conf", text);
        read("/D/s.conf", Mode::Main, &machine)
    }
}

/// The recorded results of real configurations, from the folder that `MUSTER_CORPUS` names; none, said loudly, without
/// it.
pub(crate) fn corpus() -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os("MUSTER_CORPUS") else {
        skipped("MUSTER_CORPUS names no folder of real configurations");
        return Vec::new();
    };
    let mut cases = Vec::new();
    find(Path::new(&folder), &mut cases);
    cases.sort();
    assert!(!cases.is_empty(), "MUSTER_CORPUS has no case");
    cases
}

fn find(folder: &Path, cases: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            cases.push(path);
        } else if path.is_dir() && !path.join("main").exists() {
            find(&path, cases);
        }
    }
}

/// The files below a folder, by their paths there.
fn add(folder: &Path, path: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{path}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            add(&entry.path(), &path, files);
        } else {
            files.insert(path, std::fs::read(entry.path()).unwrap());
        }
    }
}

/// Says on standard error, past the capture of output, that a test was skipped.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

pub(crate) fn number_of(name: &str) -> u32 {
    let hash = name.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    if name == "root" { 0 } else { 1000 + hash % 50_000 }
}

impl World for Machine {
    fn variables(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }

    fn cwd(&self) -> String {
        self.cwd.clone()
    }

    fn host(&self) -> String {
        self.host.clone()
    }

    fn uid(&self) -> u32 {
        0
    }

    fn user(&self, key: Account<'_>) -> Option<User> {
        let (id, name) = match key {
            Account::Name(name) => (number_of(name), name.to_owned()),
            Account::Id(0) => (0, "root".to_owned()),
            Account::Id(id) => (id, id.to_string()),
        };
        // The system's own users have low numbers on every machine.
        let exists = id <= 10 || self.has_everything && is_name(&name);
        exists.then(|| User {
            id,
            group: id,
            home: if id == 0 { "/root".into() } else { format!("/home/{name}") },
            name,
        })
    }

    fn group(&self, key: Account<'_>) -> Option<u32> {
        match key {
            Account::Name(name) => (name == "root" || self.has_everything && is_name(name)).then(|| number_of(name)),
            Account::Id(id) => (id == 0 || self.has_everything).then_some(id),
        }
    }

    fn is_dir(&self, path: &str) -> bool {
        let absolute = if path.starts_with('/') { path.to_owned() } else { format!("{}{path}", self.cwd) };
        let below = format!("{}/", absolute.trim_end_matches('/'));
        self.has_everything
            || ["/", "/tmp", "/root"].contains(&absolute.as_str()) && !path.is_empty()
            || !path.is_empty() && self.files.keys().any(|file| file.starts_with(&below))
    }

    fn exists(&self, path: &str) -> bool {
        self.files.contains_key(path) || !self.has_everything && self.is_dir(path)
    }

    fn entries(&self, directory: &str) -> Vec<String> {
        let below = format!("{}/", directory.trim_end_matches('/'));
        let files = self.files.keys().filter_map(|file| file.strip_prefix(&below)).filter(|_| self.is_listed);
        let mut names: Vec<String> = files.map(|rest| rest.split('/').next().unwrap_or(rest).to_owned()).collect();
        names.dedup();
        names
    }

    fn read(&self, path: &str, _: usize) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}
