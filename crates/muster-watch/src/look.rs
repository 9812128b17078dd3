//! Looking at the files of a program: on a thread, since a disk may be slow, and with the program's privileges.
//!
//! The directories are walked without following symbolic links, but for those on a path that the configuration names and for
//! files that match and are links: the paths of these are traced, so that the swap of a link on the way is a change (Kubernetes
//! exchanges a whole ConfigMap by its link `..data`). The tree belongs to the program, so a link in it may lead anywhere: the kernel
//! refuses what the program's user may not read, and where the daemon's own privileges are needed, only links of root and
//! the daemon's user are followed.
//!
//! Everything is bounded: directories, names, links, and what is kept of them.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use muster_sys::rights::Rights;
use muster_sys::trusted::{Identity, as_user};
use nix::errno::Errno;

use crate::pattern::{Patterns, States};
use crate::queue::{Queue, Token};

/// The most directories of a program.
pub const MOST_DIRECTORIES: usize = 8192;
/// The most names that one look reads.
const MOST_NAMES: usize = 1 << 18;
/// The most bytes that their paths have together.
const MOST_TEXT: usize = 2 << 20;
/// The most links of a program whose paths are traced.
const MOST_LINKS: usize = 1024;
/// The most links on one path, as in the kernel.
const MOST_HOPS: usize = 40;
/// The most problems that one look reports.
const MOST_PROBLEMS: usize = 3;

/// Files of a program that are looked at with the same privileges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The files.
    pub patterns: Patterns,
    /// The user that looks; `None` is the daemon's own.
    pub user: Option<Identity>,
    /// Whether links of any owner are followed.
    pub trusts_links: bool,
    /// Whether a change needs a reload of the configuration.
    pub is_configuration: bool,
}

/// A look to be made.
pub struct Look {
    /// The files.
    pub(crate) sources: Arc<[Source]>,
    /// Where to ask for reports; `None` only looks.
    pub(crate) queue: Option<Queue>,
    /// Files that are being written: they count when they are closed.
    pub(crate) open: HashSet<(PathBuf, OsString)>,
}

/// The result of a look.
#[derive(Debug, Default)]
pub struct Looked {
    /// A sum over the metadata of all files.
    pub(crate) digest: u64,
    /// The directories that reports come from, each with why it matters.
    pub(crate) places: Vec<(Token, Place)>,
    /// The files that cannot be watched, in words.
    pub problems: Vec<String>,
}

/// Why a directory matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of its source.
    pub(crate) source: usize,
    pub(crate) directory: PathBuf,
    /// How messages name it; empty for the directory that a pattern begins in.
    pub(crate) label: PathBuf,
    /// The places in the patterns, for each name in it.
    pub(crate) states: States,
    /// Names in it on the way to a file, each with how messages name that.
    pub(crate) names: BTreeMap<OsString, PathBuf>,
}

impl Look {
    /// Looks. May take long.
    pub fn run(&self) -> Looked {
        let mut looked = Looked::default();
        let own_uid = Rights::own().uid;
        for (number, source) in self.sources.iter().enumerate() {
            let mut walk = Walk {
                look: self,
                source,
                number,
                found: BTreeMap::new(),
                bound: Bound::default(),
                own_uid,
                looked: &mut looked,
            };
            let done = as_user(source.user.as_ref(), || {
                walk.all();
                walk.register();
                Ok(())
            });
            if let Err(error) = done {
                looked.report(format!("cannot take on the privileges of the program's user: {error}"));
            }
        }
        looked
    }
}

impl Looked {
    fn report(&mut self, problem: String) {
        if self.problems.len() < MOST_PROBLEMS && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// How much a walk has read.
#[derive(Default)]
struct Bound {
    directories: usize,
    names: usize,
    links: usize,
    /// Bytes of the paths of all directories.
    text: usize,
}

/// A directory that a walk has found to matter.
#[derive(Default)]
struct Found {
    /// Whether every change in it is reported, or only that it is moved or removed.
    everything: bool,
    /// Whether failing to watch it is a problem.
    is_wanted: bool,
    label: PathBuf,
    states: States,
    names: BTreeMap<OsString, PathBuf>,
}

struct Walk<'a> {
    look: &'a Look,
    source: &'a Source,
    number: usize,
    found: BTreeMap<PathBuf, Found>,
    bound: Bound,
    /// The daemon's user.
    own_uid: u32,
    looked: &'a mut Looked,
}

impl Walk<'_> {
    fn all(&mut self) {
        let mut left: Vec<(PathBuf, PathBuf, States)> = Vec::new();
        for (base, states) in self.source.patterns.bases() {
            let label = PathBuf::new();
            if let Some(real) = self.trace(base, &label, base.file_name().unwrap_or_default().as_ref()) {
                left.push((real, label, states));
            }
        }
        while let Some((directory, label, states)) = left.pop() {
            self.bound.directories += 1;
            match self.source.patterns.exact(&states) {
                Some(names) => self.look_for(&directory, &label, &states, names, &mut left),
                None => self.list(&directory, &label, &states, &mut left),
            }
        }
    }

    /// Looks for certain names in a directory.
    fn look_for(
        &mut self,
        directory: &Path,
        label: &Path,
        states: &States,
        names: Vec<&OsStr>,
        left: &mut Vec<(PathBuf, PathBuf, States)>,
    ) {
        let mut everything = false;
        for name in names {
            let about = fs::symlink_metadata(directory.join(name));
            // A directory itself says when it is moved or removed.
            everything |= !about.as_ref().is_ok_and(Metadata::is_dir);
            if let Ok(about) = about {
                self.take((directory, label, states), name, Some(&about), left);
            }
        }
        self.watch(directory, label, states, everything);
    }

    /// Looks at every name in a directory.
    fn list(&mut self, directory: &Path, label: &Path, states: &States, left: &mut Vec<(PathBuf, PathBuf, States)>) {
        // Before reading it: a file that appears meanwhile is reported.
        self.watch(directory, label, states, true);
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => return self.cannot(directory, &error),
        };
        for entry in entries.flatten() {
            self.bound.names += 1;
            if self.bound.names > MOST_NAMES {
                let problem = format!("more than {MOST_NAMES} names: new directories beyond them are not noticed");
                return self.looked.report(problem);
            }
            let name = entry.file_name();
            let Ok(kind) = entry.file_type() else { continue };
            // Most names do not matter: their metadata is not read.
            let matters = match kind.is_dir() {
                true => !self.source.patterns.below(states, &name).is_empty(),
                false => kind.is_symlink() || self.source.patterns.has_file(states, &name),
            };
            if matters {
                let about = (!kind.is_dir()).then(|| fs::symlink_metadata(entry.path()));
                match about {
                    None => self.go_on((directory, label, states), &name, directory.join(&name), left),
                    Some(Ok(about)) => self.take((directory, label, states), &name, Some(&about), left),
                    Some(Err(_)) => {}
                }
            }
        }
    }

    /// Takes in a name: sums up a file, and goes on in a directory.
    fn take(
        &mut self,
        (directory, label, states): (&Path, &Path, &States),
        name: &OsStr,
        about: Option<&Metadata>,
        left: &mut Vec<(PathBuf, PathBuf, States)>,
    ) {
        let Some(about) = about else { return };
        let path = directory.join(name);
        if about.is_dir() {
            return self.go_on((directory, label, states), name, path, left);
        }
        let is_exact = self.source.patterns.exact(states).is_some();
        let is_file = self.source.patterns.has_file(states, name);
        if self.source.patterns.is_excluded(directory, name) || !(is_file || is_exact) {
            return;
        }
        if !about.is_symlink() {
            if is_file {
                self.sum_up(directory, name, about);
            }
            return;
        }
        let Some(real) = self.trace_link(&path, &label.join(name)) else {
            return self.sum_up(directory, name, about);
        };
        match fs::metadata(&real) {
            Ok(target) if target.is_dir() && is_exact => {
                self.sum_up(directory, name, about);
                self.go_on((directory, label, states), name, real, left);
            }
            Ok(target) => {
                self.sum_up(directory, name, about);
                self.sum_up(directory, name, &target);
            }
            Err(_) => self.sum_up(directory, name, about),
        }
    }

    fn go_on(
        &mut self,
        (directory, label, states): (&Path, &Path, &States),
        name: &OsStr,
        path: PathBuf,
        left: &mut Vec<(PathBuf, PathBuf, States)>,
    ) {
        let below = self.source.patterns.below(states, name);
        if below.is_empty() || self.source.patterns.is_excluded(directory, name) {
            return;
        }
        if self.bound.directories + left.len() >= MOST_DIRECTORIES || !self.has_room(&path) {
            return self.too_many();
        }
        // A path that names a directory begins there.
        let begins = self.source.patterns.exact(states).is_some() && self.source.patterns.exact(&below).is_none();
        left.push((path, if begins { label.to_owned() } else { label.join(name) }, below));
    }

    /// Whether one more path may be kept.
    fn has_room(&mut self, path: &Path) -> bool {
        self.bound.text += path.as_os_str().len();
        self.bound.text <= MOST_TEXT && self.found.len() < MOST_DIRECTORIES
    }

    fn too_many(&mut self) {
        let problem = format!("more than {MOST_DIRECTORIES} directories: changes in the others are not noticed");
        self.looked.report(problem);
    }

    /// The entry of a directory on the way.
    fn on_the_way(&mut self, directory: &Path) -> Option<&mut Found> {
        if !self.found.contains_key(directory) && !self.has_room(directory) {
            self.too_many();
            return None;
        }
        Some(self.found.entry(directory.to_owned()).or_default())
    }

    /// Adds the metadata of a file, in any order.
    fn sum_up(&mut self, directory: &Path, name: &OsStr, about: &Metadata) {
        let kind = about.file_type();
        // One that is being written counts when it is closed. A second name, or a link, is there as a whole.
        let is_open = || self.look.open.contains(&(directory.to_owned(), name.to_owned()));
        if kind.is_file() && about.nlink() == 1 && is_open() {
            return;
        }
        let mut hasher = DefaultHasher::new();
        (self.number, directory, name, about.dev(), about.ino()).hash(&mut hasher);
        // Others change when they are used.
        if kind.is_file() || kind.is_symlink() {
            (about.size(), about.mtime(), about.mtime_nsec()).hash(&mut hasher);
        }
        (kind.is_fifo(), kind.is_socket()).hash(&mut hasher);
        self.looked.digest = self.looked.digest.wrapping_add(hasher.finish());
    }

    /// Asks for reports about a directory, now if nothing was asked before: what follows is read after that.
    fn watch(&mut self, directory: &Path, label: &Path, states: &States, everything: bool) {
        let found = self.found.entry(directory.to_owned()).or_default();
        found.everything |= everything;
        found.is_wanted = true;
        if found.states.is_empty() {
            label.clone_into(&mut found.label);
        }
        found.states.extend(states.iter().filter(|state| !found.states.contains(state)).copied().collect::<Vec<_>>());
        if let Some(queue) = self.look.queue.as_ref().filter(|_| everything) {
            let _ = queue.add(directory, true);
        }
    }

    /// The real directory of a path. Every link on it, and where it ends if it does not exist, matters.
    fn trace(&mut self, path: &Path, label: &Path, shown: &Path) -> Option<PathBuf> {
        let mut rest = parts(path);
        let (mut at, mut hops) = (PathBuf::from("/"), 0);
        while let Some(part) = rest.pop_front() {
            if part == "/" {
                at = PathBuf::from("/");
                continue;
            }
            if part == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            match fs::symlink_metadata(&next) {
                Ok(about) if about.is_symlink() => {
                    self.name(&at, &part, label.join(shown));
                    hops += 1;
                    let target = fs::read_link(&next).ok().filter(|_| hops <= MOST_HOPS && self.trusts(&about))?;
                    parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
                }
                Ok(about) if about.is_dir() => {
                    at = next;
                    self.on_the_way(&at)?;
                }
                // A file, at its end.
                Ok(_) if rest.is_empty() => {
                    self.name(&at, &part, label.join(shown));
                    return Some(next);
                }
                Ok(_) => {
                    self.name(&at, &part, label.join(shown));
                    return None;
                }
                Err(error) => {
                    self.name(&at, &part, label.join(shown));
                    if error.kind() != io::ErrorKind::NotFound {
                        self.cannot(&next, &error);
                    }
                    return None;
                }
            }
        }
        Some(at)
    }

    /// The real path of a link that is a file of the program.
    fn trace_link(&mut self, path: &Path, label: &Path) -> Option<PathBuf> {
        self.bound.links += 1;
        if self.bound.links > MOST_LINKS {
            self.looked.report(format!("more than {MOST_LINKS} links, of which the others are not followed"));
            return None;
        }
        self.trace(path, Path::new(""), label)
    }

    /// Whether a link may be followed: the daemon's privileges are not lent to the user who made it.
    fn trusts(&self, link: &Metadata) -> bool {
        self.source.trusts_links || link.uid() == 0 || link.uid() == self.own_uid
    }

    /// A name in a directory matters.
    fn name(&mut self, directory: &Path, name: &OsStr, label: PathBuf) {
        let Some(found) = self.on_the_way(directory) else { return };
        found.everything = true;
        found.names.entry(name.to_owned()).or_insert(label);
    }

    /// Asks for reports about every directory that was found.
    fn register(&mut self) {
        let Some(queue) = self.look.queue.clone() else { return };
        let mut is_full = false;
        for (directory, found) in std::mem::take(&mut self.found) {
            if directory == Path::new("/") && !found.everything {
                continue;
            }
            match queue.add(&directory, found.everything) {
                Ok(token) => {
                    let Found { label, states, names, .. } = found;
                    self.looked.places.push((token, Place { source: self.number, directory, label, states, names }));
                }
                // It has just been removed, which is reported.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(Errno::ENOSPC) => {
                    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").unwrap_or_default();
                    let problem = format!(
                        "the limit fs.inotify.max_user_watches ({}) is reached at {}: changes there are not noticed",
                        limit.trim(),
                        directory.display()
                    );
                    // Directories that are watched already still are.
                    if !std::mem::replace(&mut is_full, true) {
                        self.looked.report(problem);
                    }
                }
                Err(error) if found.is_wanted || found.everything => self.cannot(&directory, &error.into()),
                Err(_) => {}
            }
        }
    }

    fn cannot(&mut self, path: &Path, error: &io::Error) {
        // It is gone, which was reported.
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            return;
        }
        let who = match &self.source.user {
            Some(user) => format!(" as the program's user {}", user.uid),
            None => String::new(),
        };
        self.looked.report(format!("cannot look at {}{who}: {}", path.display(), reason(error)));
    }
}

/// `permission denied`, without the number.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |part: Component<'_>| match part {
        Component::CurDir | Component::Prefix(_) => None,
        other => Some(other.as_os_str().to_owned()),
    };
    path.components().filter_map(part).collect()
}
