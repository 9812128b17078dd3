//! A name in a judged directory, and operations on it and its siblings.

mod input;
mod own_files;
mod secrets;
mod sockets;

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::acl::{self, Writers};
use super::identity::as_user;
use super::judge::{self, About, Expected};
use super::walk::{Level, c_name, is_read_only, open_at, walk};
use super::{Identity, Missing, Refusal, Trust};
use crate::fd::{change_owner, check};
pub use own_files::random_name;

/// The maximum mode of any file: no execute permission, and no setuid, setgid or sticky bit.
const MOST_MODE: u32 = 0o666;

/// The access mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Writing, always at the end.
    Append,
    /// Reading and writing.
    Write,
}

/// The properties of a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creation {
    /// Its mode, at most 0666, whatever the umask.
    pub mode: u32,
    /// Its user and group, if not the creator's.
    pub owner: Option<(u32, u32)>,
}

impl Default for Creation {
    fn default() -> Creation {
        Creation { mode: 0o644, owner: None }
    }
}

/// Identifies a file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inode {
    /// The file system.
    pub device: u64,
    /// The inode number in it.
    pub number: u64,
}

impl Inode {
    /// The identity of an open file.
    pub fn of(file: &File) -> io::Result<Inode> {
        file.metadata().map(|about| Inode { device: about.dev(), number: about.ino() })
    }
}

/// An open file that was judged.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// Its identity.
    pub inode: Inode,
    /// Its size when it was opened.
    pub size: u64,
    /// Whether it is neither a FIFO nor a device.
    pub is_regular: bool,
    /// Whether it was just created.
    pub is_new: bool,
}

/// The real directory of a path, and the name in it. Siblings are identified by their suffix: `""` is
/// the file itself, `".1"` the file with that suffix.
#[derive(Clone, Debug)]
pub struct TrustedPlace {
    level: Level,
    name: OsString,
    trust: Trust,
}

impl TrustedPlace {
    /// Resolves a path, relative ones from the working directory. The name itself need not exist.
    pub fn resolve(path: &Path, trust: &Trust, missing: Missing) -> io::Result<TrustedPlace> {
        let (mut level, name) = walk(path, trust, missing)?;
        // In a directory where any user may add names, files of a program belong to its user.
        if level.verdict.is_shared && level.rights.is_none() {
            level.rights.clone_from(&trust.user);
        }
        Ok(TrustedPlace { level, name, trust: trust.clone() })
    }

    /// The real path, without symbolic links.
    pub fn path(&self) -> PathBuf {
        self.level.path.join(&self.name)
    }

    /// The user whose privileges are used here, if not the daemon's own.
    pub fn works_as(&self) -> Option<u32> {
        self.level.rights.as_ref().map(|rights| rights.uid)
    }

    /// Whether names here belong to the kernel, so that nothing is renamed or removed.
    pub fn is_kernels(&self) -> bool {
        ["/dev", "/proc", "/sys"].iter().any(|top| self.level.path.starts_with(top))
    }

    /// Opens the file that the path names. It may be a FIFO or a character device. Creates it if necessary.
    pub fn open(&self, access: Access, creation: Option<Creation>) -> io::Result<Opened> {
        for _ in 0..8 {
            match (self.open_existing("", access, true, creation.unwrap_or_default().mode), creation) {
                (Err(error), Some(creation)) if error.kind() == io::ErrorKind::NotFound => {
                    match self.create("", access, creation) {
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        created => return created,
                    }
                }
                (opened, _) => return opened,
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Opens an existing sibling, without ever waiting. It must be a regular file.
    pub fn open_sibling(&self, suffix: &str, access: Access, mode: u32) -> io::Result<Opened> {
        self.open_existing(suffix, access, false, mode)
    }

    /// Opens a regular file whose content is trusted: only its owner and the users that the place trusts may write to it.
    pub fn open_guarded(&self) -> io::Result<File> {
        let file = self.open_sibling("", Access::Read, Creation::default().mode)?.file;
        self.check_writers(&file).map(|()| file)
    }

    fn check_writers(&self, file: &File) -> io::Result<()> {
        if is_read_only(file.as_fd()) {
            return Ok(());
        }
        let about = About::of(&file.metadata()?);
        judge::guarded(&self.path(), about, &self.trust, || Identity::primary_group(about.uid))?;
        // The group bits may be the mask of an access control list.
        if about.mode & 0o020 != 0 && acl::writers_of_open(file.as_fd(), &self.trust)? == Writers::Others {
            let reason = format!("the access control list of {} lets others write to it", self.path().display());
            return Err(Refusal::new(reason, "take that right away: setfacl -b").into());
        }
        Ok(())
    }

    fn open_existing(&self, suffix: &str, access: Access, may_be_special: bool, mode: u32) -> io::Result<Opened> {
        let expected = Expected { access, may_be_special, mode };
        let judge = |file: &File| {
            let about = About::of(&file.metadata()?);
            Ok::<_, io::Error>(judge::file(&self.sibling(suffix), about, &self.level.verdict, &self.trust, expected)?)
        };
        // Opening a FIFO or a device can have side effects, so check it first.
        let name = self.with(suffix);
        judge(&self.level.look(&name)?.ok_or(io::ErrorKind::NotFound)?)?;
        let flags = flags(access);
        let file = self.act(|| open_at(self.level.directory.as_fd(), &c_name(&name)?, flags));
        let file = file.map_err(|error| self.explain(suffix, error))?;
        judge(&file)?;
        opened(file, false)
    }

    /// Creates a new file; `AlreadyExists` if it exists.
    pub fn create(&self, suffix: &str, access: Access, creation: Creation) -> io::Result<Opened> {
        let name = c_name(&self.with(suffix))?;
        let flags = flags(access) | libc::O_CREAT | libc::O_EXCL;
        let file = self.act(|| open_at(self.level.directory.as_fd(), &name, flags));
        let file = file.map_err(|error| self.explain(suffix, error))?;
        if let Err(error) = self.dress(&file, creation) {
            let _ = self.act(|| self.unlink(&name));
            return Err(error);
        }
        opened(file, true)
    }

    /// Creates a file under an unpredictable name, and returns its suffix.
    pub fn create_temporary(&self, suffix: &str, access: Access, creation: Creation) -> io::Result<(Opened, String)> {
        let suffix = format!("{suffix}.{:016x}", random()?);
        Ok((self.create(&suffix, access, creation)?, suffix))
    }

    fn dress(&self, file: &File, creation: Creation) -> io::Result<()> {
        if let Some((uid, gid)) = creation.owner {
            change_owner(file.as_fd(), uid, gid)?;
        }
        // SAFETY: fchmod touches no memory of ours.
        check(unsafe { libc::fchmod(file.as_raw_fd(), creation.mode & MOST_MODE) }).map(drop)
    }

    /// The current identity of a sibling; `None` if there is none.
    pub fn inode(&self, suffix: &str) -> io::Result<Option<Inode>> {
        self.level.look(&self.with(suffix))?.as_ref().map(Inode::of).transpose()
    }

    /// Renames a sibling, replacing an existing file. Returns `false` if there is no such sibling.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<bool> {
        let (from, to) = (c_name(&self.with(from))?, c_name(&self.with(to))?);
        let directory = self.level.directory.as_raw_fd();
        // SAFETY: both names are C strings that live through the call.
        let renamed = self.act(|| check(unsafe { libc::renameat(directory, from.as_ptr(), directory, to.as_ptr()) }));
        existing(renamed.map(drop))
    }

    /// Removes a sibling. Returns `false` if there is none.
    pub fn remove(&self, suffix: &str) -> io::Result<bool> {
        let name = c_name(&self.with(suffix))?;
        existing(self.act(|| self.unlink(&name)))
    }

    fn unlink(&self, name: &CString) -> io::Result<()> {
        // SAFETY: `name` is a C string that lives through the call.
        check(unsafe { libc::unlinkat(self.level.directory.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
    }

    fn act<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        as_user(self.level.rights.as_ref(), work)
    }

    fn with(&self, suffix: &str) -> OsString {
        let mut name = self.name.clone();
        name.push(suffix);
        name
    }

    fn sibling(&self, suffix: &str) -> PathBuf {
        self.level.path.join(self.with(suffix))
    }

    /// Explains what the kernel refused to a user other than the daemon's.
    fn explain(&self, suffix: &str, error: io::Error) -> io::Error {
        match (&self.level.rights, error.raw_os_error()) {
            (Some(Identity { uid, .. }), Some(libc::EACCES | libc::EPERM)) => {
                let reason = format!("{} cannot be opened as uid {uid}: {error}", self.sibling(suffix).display());
                Refusal::new(reason, "let the file belong to the user that owns its directory: chown").into()
            }
            (_, Some(libc::ELOOP)) => {
                let reason = format!("{} became a symbolic link", self.sibling(suffix).display());
                Refusal::new(reason, "remove it, the daemon makes a new file").into()
            }
            _ => error,
        }
    }
}

fn flags(access: Access) -> libc::c_int {
    match access {
        Access::Read => libc::O_RDONLY,
        Access::Append => libc::O_WRONLY | libc::O_APPEND,
        Access::Write => libc::O_RDWR,
    }
}

fn opened(file: File, is_new: bool) -> io::Result<Opened> {
    let about = file.metadata()?;
    let inode = Inode { device: about.dev(), number: about.ino() };
    Ok(Opened { file, inode, size: about.size(), is_regular: about.is_file(), is_new })
}

fn existing(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// From getrandom(2), or from its device if a seccomp profile forbids the call.
pub(crate) fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: the kernel writes at most 8 bytes into `bytes`, and so few come whole once the pool is ready.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if count != 8 {
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    }
    Ok(u64::from_ne_bytes(bytes))
}

/// An unpredictable key.
pub fn random_key() -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    for part in key.chunks_exact_mut(8) {
        part.copy_from_slice(&random()?.to_ne_bytes());
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use tempfile::TempDir;

    const USER: u32 = 4_242;
    const OTHER: u32 = 4_343;

    /// A directory owned by root that any user may search. `None` without root, with a message.
    fn scene() -> Option<TempDir> {
        // SAFETY: geteuid touches no memory.
        if unsafe { libc::geteuid() } != 0 {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"SKIPPED: needs root\n");
            return None;
        }
        let scene = tempfile::tempdir().unwrap();
        fs::set_permissions(scene.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Some(scene)
    }

    fn directory(scene: &TempDir, name: &str, owner: u32, mode: u32) -> PathBuf {
        let path = scene.path().join(name);
        fs::create_dir(&path).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn file(path: &Path, owner: u32, mode: u32) {
        fs::write(path, "old\n").unwrap();
        chown(path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn trust() -> Trust {
        Trust::program(Some(Identity { uid: USER, gid: USER, groups: vec![USER] }))
    }

    fn append(path: &Path, trust: &Trust) -> Result<Opened, String> {
        let place = TrustedPlace::resolve(path, trust, Missing::Make).map_err(|error| error.to_string())?;
        let mut opened = place.open(Access::Append, Some(Creation::default())).map_err(|error| error.to_string())?;
        opened.file.write_all(b"new\n").map_err(|error| error.to_string())?;
        Ok(opened)
    }

    fn owner_and_mode(path: &Path) -> (u32, u32) {
        let about = fs::symlink_metadata(path).unwrap();
        (about.uid(), about.mode() & 0o7777)
    }

    #[test]
    fn files_are_made_with_the_rights_of_the_directorys_user_and_a_mode_of_their_own() {
        let Some(scene) = scene() else { return };
        let (users, others) = (directory(&scene, "user", USER, 0o755), directory(&scene, "other", OTHER, 0o755));
        append(&users.join("log"), &trust()).unwrap();
        assert_eq!(owner_and_mode(&users.join("log")), (USER, 0o644));
        append(&scene.path().join("log"), &trust()).unwrap();
        assert_eq!(owner_and_mode(&scene.path().join("log")), (0, 0o644));
        append(&others.join("log"), &Trust::program(None)).unwrap();
        assert_eq!(owner_and_mode(&others.join("log")), (OTHER, 0o644));
        let refused = append(&others.join("log"), &trust()).unwrap_err();
        assert!(refused.contains("belongs to another user, uid 4343"), "{refused}");
        assert!(append(&users.join("log"), &Trust::own()).is_err());
    }

    #[test]
    fn missing_directories_are_made_for_the_user() {
        let Some(scene) = scene() else { return };
        append(&scene.path().join("a/b/log"), &trust()).unwrap();
        for (name, expected) in [("a", (USER, 0o755)), ("a/b", (USER, 0o755)), ("a/b/log", (USER, 0o644))] {
            assert_eq!(owner_and_mode(&scene.path().join(name)), expected, "{name}");
        }
        append(&scene.path().join("r/s/log"), &Trust::program(None)).unwrap();
        assert_eq!(owner_and_mode(&scene.path().join("r/s")), (0, 0o755));
    }

    #[test]
    fn what_a_user_put_in_the_way_is_refused_and_untouched() {
        let Some(scene) = scene() else { return };
        let users = directory(&scene, "user", USER, 0o755);
        let secret = scene.path().join("secret");
        file(&secret, 0, 0o600);
        let log = users.join("log");
        let put: [(&str, &dyn Fn()); 5] = [
            ("symbolic link", &|| symlink(&secret, &log).unwrap()),
            ("root's symbolic link that was moved there", &|| {
                symlink(&secret, scene.path().join("link")).unwrap();
                fs::rename(scene.path().join("link"), &log).unwrap();
            }),
            ("hard link", &|| fs::hard_link(&secret, &log).unwrap()),
            ("root's file", &|| file(&log, 0, 0o600)),
            ("directory", &|| fs::create_dir(&log).unwrap()),
        ];
        for (what, put) in put {
            put();
            let refused = append(&log, &trust()).map(drop);
            assert!(refused.is_err(), "{what}");
            assert_eq!(fs::read_to_string(&secret).unwrap(), "old\n", "{what}");
            fs::remove_file(&log).or_else(|_| fs::remove_dir(&log)).unwrap();
        }
    }

    #[test]
    fn in_a_shared_directory_only_ones_own_files_are_used() {
        let Some(scene) = scene() else { return };
        let shared = directory(&scene, "tmp", 0, 0o1777);
        let (trust, log) = (trust(), shared.join("log"));
        let no_user = Trust::program(None);
        file(&log, OTHER, 0o666);
        assert!(append(&log, &trust).is_err() && append(&log, &no_user).is_err());
        fs::remove_file(&log).unwrap();
        // Another name of a secret, and then its only one.
        file(&scene.path().join("secret"), 0, 0o600);
        fs::hard_link(scene.path().join("secret"), &log).unwrap();
        assert!(append(&log, &no_user).is_err());
        fs::remove_file(scene.path().join("secret")).unwrap();
        assert!(append(&log, &no_user).is_err());
        fs::remove_file(&log).unwrap();
        append(&log, &no_user).unwrap();
        append(&log, &no_user).unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "new\nnew\n");
        directory(&scene, "tmp/theirs", OTHER, 0o755);
        assert!(append(&shared.join("theirs/log"), &no_user).is_err(), "any user can create a directory there");
    }

    #[test]
    fn an_administrators_links_are_followed_to_the_real_directory() {
        let Some(scene) = scene() else { return };
        let (real, link) = (directory(&scene, "real", USER, 0o755), scene.path().join("web.log"));
        symlink("real/../real/./target", &link).unwrap();
        let place = TrustedPlace::resolve(&link, &trust(), Missing::Fail).unwrap();
        assert_eq!((place.path(), place.works_as()), (real.canonicalize().unwrap().join("target"), Some(USER)));
        symlink("loop", scene.path().join("loop")).unwrap();
        let error = TrustedPlace::resolve(&scene.path().join("loop"), &trust(), Missing::Fail).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn a_list_that_lets_the_user_write_leaves_only_the_users_rights() {
        let Some(scene) = scene() else { return };
        let (shared, secret) = (directory(&scene, "shared", 0, 0o755), scene.path().join("secret"));
        let entries: [(u16, u16, u32); 5] =
            [(1, 7, u32::MAX), (2, 7, USER), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 5, u32::MAX)];
        let mut list = 2_u32.to_ne_bytes().to_vec();
        for (tag, permissions, id) in entries {
            list.extend([tag.to_ne_bytes(), permissions.to_ne_bytes()].concat());
            list.extend(id.to_ne_bytes());
        }
        let path = CString::new(shared.to_str().unwrap()).unwrap();
        let name = c"system.posix_acl_access".as_ptr();
        // SAFETY: both are C strings, and the kernel reads `list.len()` bytes from `list`.
        let set = unsafe { libc::setxattr(path.as_ptr(), name, list.as_ptr().cast(), list.len(), 0) };
        if set != 0 {
            return eprintln!("SKIPPED: needs a file system with access control lists");
        }
        file(&secret, 0, 0o600);
        fs::hard_link(&secret, shared.join("log")).unwrap();
        let place = TrustedPlace::resolve(&shared.join("log"), &trust(), Missing::Fail).unwrap();
        assert_eq!(place.works_as(), Some(USER));
        assert!(place.open_sibling("", Access::Read, 0o644).is_err(), "another name of a secret");
        fs::remove_file(shared.join("log")).unwrap();
        symlink(&secret, shared.join("log")).unwrap();
        assert!(append(&shared.join("log"), &trust()).is_err(), "root's link, moved there");
        fs::remove_file(shared.join("log")).unwrap();
        append(&shared.join("log"), &trust()).unwrap();
        assert_eq!(owner_and_mode(&shared.join("log")), (USER, 0o644));
    }

    #[test]
    fn a_fifo_is_used_only_where_the_path_names_it() {
        let Some(scene) = scene() else { return };
        let users = directory(&scene, "user", USER, 0o755);
        let place = TrustedPlace::resolve(&users.join("log"), &trust(), Missing::Fail).unwrap();
        let name = CString::new(users.join("log.1").to_str().unwrap()).unwrap();
        // SAFETY: `name` is a C string that lives through the call.
        check(unsafe { libc::mkfifo(name.as_ptr(), 0o666) }).unwrap();
        assert!(place.open_sibling(".1", Access::Read, 0o644).is_err());
        chown(users.join("log.1"), Some(USER), None).unwrap();
        fs::rename(users.join("log.1"), users.join("log")).unwrap();
        let no_reader = place.open(Access::Append, None).unwrap_err();
        assert_eq!(no_reader.raw_os_error(), Some(libc::ENXIO));
    }

    #[test]
    fn temporary_files_are_new_and_renamed_within_the_directory() {
        let Some(scene) = scene() else { return };
        let place = TrustedPlace::resolve(&scene.path().join("log"), &Trust::own(), Missing::Fail).unwrap();
        let creation = Creation { mode: 0o4777, owner: Some((USER, OTHER)) };
        let (temporary, suffix) = place.create_temporary(".gz", Access::Write, creation).unwrap();
        assert!(temporary.is_new && place.rename(&suffix, ".1.gz").unwrap());
        assert_eq!(place.inode(".1.gz").unwrap(), Some(temporary.inode));
        assert_eq!(owner_and_mode(&scene.path().join("log.1.gz")), (USER, 0o666));
        assert!(!place.rename(&suffix, ".2").unwrap() && place.remove(".1.gz").unwrap());
        assert_eq!(place.inode(".1.gz").unwrap(), None);
    }
}
