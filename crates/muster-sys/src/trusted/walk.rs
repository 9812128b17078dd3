//! Walks a path one component at a time, and judges each directory before it is entered.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::acl::{self, Writers};
use super::identity::as_user;
use super::judge::{self, About, Verdict};
use super::{Identity, Refusal, Trust};
use crate::fd::{change_owner, check};

/// The same number of symbolic links as the kernel follows.
const MOST_LINKS: u32 = 40;

/// The handling of directories that do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Fail with `NotFound`.
    Fail,
    /// Create them, mode 0755, owned by the program's user if there is one.
    Make,
}

/// A directory that was judged.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) directory: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) verdict: Verdict,
    /// The user whose privileges are used here.
    pub(super) rights: Option<Identity>,
}

/// Returns the real directory of a path and the name in it, which may or may not exist and is not currently a symbolic link.
pub(super) fn walk(path: &Path, trust: &Trust, missing: Missing) -> io::Result<(Level, OsString)> {
    let mut walk = Walk { trust, missing, levels: Vec::new(), rest: Vec::new(), links_left: MOST_LINKS };
    walk.begin(path)?;
    walk.go()
}

/// Returns the real directory of a path that names one.
pub(super) fn walk_into(path: &Path, trust: &Trust) -> io::Result<Level> {
    let missing = Missing::Fail;
    let mut walk = Walk { trust, missing, levels: Vec::new(), rest: Vec::new(), links_left: MOST_LINKS };
    walk.begin(path)?;
    while let Some(name) = walk.rest.pop() {
        if name == ".." {
            walk.leave()?;
            continue;
        }
        let here = walk.here()?;
        let path = here.path.join(&name);
        match here.look(&name)? {
            Some(file) if file.metadata()?.is_symlink() => walk.follow(&here, &file, &path)?,
            Some(directory) => walk.enter(directory, path)?,
            None => return Err(io::ErrorKind::NotFound.into()),
        }
    }
    walk.here()
}

struct Walk<'a> {
    trust: &'a Trust,
    missing: Missing,
    levels: Vec<Level>,
    /// The remaining components, the last one first.
    rest: Vec<OsString>,
    links_left: u32,
}

impl Walk<'_> {
    /// Puts a path before the rest; an absolute one starts at the root again.
    fn begin(&mut self, path: &Path) -> io::Result<()> {
        let names = path.components().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        });
        self.rest.extend(names.rev());
        if path.is_absolute() {
            self.levels.clear();
            self.enter_base(c"/", Path::new("/"))?;
        } else if self.levels.is_empty() {
            self.enter_base(c".", Path::new(""))?;
        }
        Ok(())
    }

    fn enter_base(&mut self, name: &CStr, path: &Path) -> io::Result<()> {
        // SAFETY: AT_FDCWD is always valid and never closed.
        let here = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };
        let directory = open_at(here, name, libc::O_PATH | libc::O_DIRECTORY)?;
        self.enter(directory, path.to_owned())
    }

    fn go(mut self) -> io::Result<(Level, OsString)> {
        loop {
            let Some(name) = self.rest.pop() else {
                return Err(io::Error::from_raw_os_error(libc::EISDIR));
            };
            if name == ".." {
                self.leave()?;
                continue;
            }
            let (here, is_last) = (self.here()?, self.rest.is_empty());
            let path = here.path.join(&name);
            match here.look(&name)? {
                Some(file) if file.metadata()?.is_symlink() => self.follow(&here, &file, &path)?,
                _ if is_last => return Ok((here, name)),
                Some(directory) => self.enter(directory, path)?,
                None if self.missing == Missing::Make => {
                    let made = here.make_directory(&name, self.trust)?;
                    self.enter(made, path)?;
                }
                None => return Err(io::ErrorKind::NotFound.into()),
            }
        }
    }

    fn here(&self) -> io::Result<Level> {
        self.levels.last().cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Judges a directory, given the last one.
    fn enter(&mut self, directory: File, path: PathBuf) -> io::Result<()> {
        let about = directory.metadata()?;
        if !about.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
        }
        let top = Verdict { works_as: None, is_shared: false, is_superior: true };
        let parent = self.levels.last().map_or(&top, |level| &level.verdict);
        let primary_group = || Identity::primary_group(about.uid());
        let mut judged = About::of(&about);
        if is_read_only(directory.as_fd()) {
            // A read-only mount cannot be written: configuration mounted by Kubernetes has mode 0777.
            judged.mode &= !0o022;
        }
        let mut verdict = judge::directory(&path, judged, parent, self.trust, primary_group)?;
        // The group bits may be the mask of an access control list.
        if judged.mode & 0o1020 == 0o020 {
            match acl::writers(directory.as_fd(), self.trust)? {
                Writers::Others => {
                    let path = path.display();
                    let reason = format!("the access control list of directory {path} lets others write to it");
                    return Err(Refusal::new(reason, "take that right away: setfacl -b").into());
                }
                Writers::User(uid) => verdict.give_to(uid),
                Writers::Nobody => {}
            }
        }
        let known = self.levels.last().and_then(|level| level.rights.clone());
        let rights = verdict.works_as.map(|uid| {
            let users = self.trust.user.clone().or(known).filter(|user| user.uid == uid);
            users.unwrap_or_else(|| Identity::of_owner(uid))
        });
        self.levels.push(Level { directory: Arc::new(directory), path, verdict, rights });
        Ok(())
    }

    /// `..`: goes back to the parent, and above the starting directory.
    fn leave(&mut self) -> io::Result<()> {
        if self.levels.len() > 1 {
            self.levels.pop();
            return Ok(());
        }
        let here = self.here()?;
        let parent = open_at(here.directory.as_fd(), c"..", libc::O_PATH | libc::O_DIRECTORY)?;
        self.levels.clear();
        self.enter(parent, if here.path == Path::new("/") { here.path } else { here.path.join("..") })
    }

    fn follow(&mut self, here: &Level, link: &File, path: &Path) -> io::Result<()> {
        judge::link(path, About::of(&link.metadata()?), &here.verdict, self.trust)?;
        self.links_left = self.links_left.checked_sub(1).ok_or_else(|| io::Error::from_raw_os_error(libc::ELOOP))?;
        let target = read_link(link.as_fd())?;
        // /proc/PID/fd: the text stands for something that has no path.
        if here.path.starts_with("/proc") && target.is_relative() && target.as_os_str().as_bytes().contains(&b'[') {
            let reason = format!("{} is an open descriptor without a path", path.display());
            return Err(Refusal::new(reason, "use \"console\" for the daemon's own output").into());
        }
        self.begin(&target)
    }
}

impl Level {
    /// The file of this name, opened only for inspection; `None` if there is none.
    pub(super) fn look(&self, name: &OsStr) -> io::Result<Option<File>> {
        let name = c_name(name)?;
        let opened = as_user(self.rights.as_ref(), || open_at(self.directory.as_fd(), &name, libc::O_PATH));
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make_directory(&self, name: &OsStr, trust: &Trust) -> io::Result<File> {
        let name = c_name(name)?;
        let (made, directory) = as_user(self.rights.as_ref(), || {
            // SAFETY: `name` is a C string that lives through the call.
            let made = check(unsafe { libc::mkdirat(self.directory.as_raw_fd(), name.as_ptr(), 0o700) });
            match made {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            let directory = open_at(self.directory.as_fd(), &name, libc::O_RDONLY | libc::O_DIRECTORY)?;
            if made.is_ok() {
                // With the same privileges: by now the user may have put another directory under the name.
                // SAFETY: fchmod touches no memory of ours.
                check(unsafe { libc::fchmod(directory.as_raw_fd(), 0o755) })?;
            }
            Ok((made.is_ok(), directory))
        })?;
        if let (true, Some(user), None) = (made, &trust.user, &self.rights) {
            change_owner(directory.as_fd(), user.uid, user.gid)?;
        }
        Ok(directory)
    }
}

impl About {
    pub(super) fn of(file: &Metadata) -> About {
        About { uid: file.uid(), gid: file.gid(), mode: file.mode(), links: file.nlink() }
    }
}

pub(super) fn c_name(name: &OsStr) -> io::Result<CString> {
    CString::new(name.as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Opens one name in a directory, without following a link or waiting.
pub(super) fn open_at(directory: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> io::Result<File> {
    let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    loop {
        // SAFETY: `name` is a C string that lives through the call.
        match check(unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags, 0o600) }) {
            // SAFETY: the descriptor was just created and has no other owner.
            Ok(fd) => return Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) })),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the mount is read-only, or its file system. Only a user who may mount could change it.
pub(super) fn is_read_only(opened: BorrowedFd<'_>) -> bool {
    // SAFETY: all zeros are a valid statvfs.
    let mut about: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one statvfs into `about`.
    let asked = unsafe { libc::fstatvfs(opened.as_raw_fd(), &raw mut about) };
    asked == 0 && about.f_flag & libc::ST_RDONLY != 0
}

fn read_link(link: BorrowedFd<'_>) -> io::Result<PathBuf> {
    let mut target = vec![0_u8; libc::PATH_MAX as usize];
    // SAFETY: the kernel writes at most `target.len()` bytes into `target`, and the name is an empty C string.
    let count = unsafe { libc::readlinkat(link.as_raw_fd(), c"".as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    target.truncate(count);
    Ok(PathBuf::from(OsString::from_vec(target)))
}
