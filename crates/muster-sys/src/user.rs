//! Users and groups by name or number, read directly from /etc/passwd and /etc/group.
//!
//! The C library is deliberately not used: a statically linked getpwnam(3) would load NSS plugins at run time and
//! crash or find no user, and in an image made FROM scratch there is nothing to load. Users that exist only in LDAP or
//! similar are therefore not found; their numbers work. Both files may be missing: numbers work without them.
//!
//! A file is reread only when its inode, size or times have changed, so a lookup for each spawn costs two stat(2).

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use muster_spec::UserSpec;

/// An identity that a process can assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// All groups, including the primary one.
    pub groups: Vec<u32>,
    /// `LOGNAME` and `USER`: the name, or the number of a user without one.
    pub name: String,
    /// `HOME`; `/` for a user without an entry.
    pub home: String,
    /// `SHELL`; `/bin/sh` if the entry has none.
    pub shell: String,
}

/// The call that kept this process from becoming another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// setgroups(2), with its error number.
    Groups(i32),
    /// setresgid(2), with its error number.
    Group(i32),
    /// setresuid(2), with its error number.
    User(i32),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (call, errno) = match self {
            Refused::Groups(errno) => ("setgroups(2)", errno),
            Refused::Group(errno) => ("setresgid(2)", errno),
            Refused::User(errno) => ("setresuid(2)", errno),
        };
        write!(f, "{call}: {}", crate::spawn::reason(*errno))
    }
}

impl Account {
    /// Makes this process one of the account's, for good. To be called before the first other thread: a thread that exists stays
    /// as it is.
    pub fn take_over(&self) -> Result<(), Refused> {
        // The primary group comes first: some systems lose the first one at the next call.
        let others = self.groups.iter().copied().filter(|group| *group != self.gid);
        let groups: Vec<u32> = [self.gid].into_iter().chain(others).collect();
        let (gid, uid) = (self.gid, self.uid);
        // The C library's functions signal all threads, and ours have every signal blocked. There is one thread.
        // SAFETY: the kernel reads as many numbers as the length says, and the others are no pointers.
        unsafe {
            succeed(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr())).map_err(Refused::Groups)?;
            succeed(libc::syscall(libc::SYS_setresgid, gid, gid, gid)).map_err(Refused::Group)?;
            succeed(libc::syscall(libc::SYS_setresuid, uid, uid, uid)).map_err(Refused::User)
        }
    }
}

fn succeed(result: libc::c_long) -> Result<(), i32> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)) }
}

/// Why a user or group could not be found.
#[derive(Debug)]
pub enum LookupError {
    /// There is no user of this name, and it is not a number.
    NoSuchUser(String),
    /// There is no group of this name, and it is not a number.
    NoSuchGroup(String),
    /// A number that no user or group can have.
    InvalidNumber(String),
    /// A number without an entry and without an explicit group: it would get root's group.
    NoGroup(String),
    /// A file that exists but cannot be read.
    Unreadable(PathBuf, io::Error),
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LookupError::NoSuchUser(name) => write!(f, "no such user: {name:?}"),
            LookupError::NoSuchGroup(name) => write!(f, "no such group: {name:?}"),
            LookupError::InvalidNumber(number) => write!(f, "not a user or group number: {number}"),
            LookupError::NoGroup(number) => write!(
                f,
                "user {number} has no entry in /etc/passwd, and without a group it would run with root's (0): \
                 name one, user = \"{number}:{number}\""
            ),
            LookupError::Unreadable(path, error) => write!(f, "cannot read {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for LookupError {}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PasswdEntry {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
    shell: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct GroupEntry {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// The users and groups of this system.
#[derive(Debug)]
pub struct Accounts {
    passwd: CachedFile<PasswdEntry>,
    group: CachedFile<GroupEntry>,
}

impl Default for Accounts {
    fn default() -> Accounts {
        Accounts::in_files("/etc/passwd", "/etc/group")
    }
}

impl Accounts {
    /// Reads these files instead of the system's.
    pub fn in_files(passwd: impl Into<PathBuf>, group: impl Into<PathBuf>) -> Accounts {
        Accounts {
            passwd: CachedFile::new(passwd.into(), passwd_entry),
            group: CachedFile::new(group.into(), group_entry),
        }
    }

    /// Resolves `spec`.
    ///
    /// A number without an entry is used as it is; its group is then `own_gid`, the caller's, unless one is given. Docker
    /// accepts `USER 1000`, which keeps root's group; here that must be explicit, as `1000:0`. The caller's own user
    /// changes nothing and needs no group.
    pub fn account(&mut self, spec: &UserSpec, own_gid: u32) -> Result<Account, LookupError> {
        let account = self.owner(spec, own_gid)?;
        let gets_roots_group = spec.group.is_none() && account.gid == 0 && account.uid != 0;
        if gets_roots_group && account.uid != own_uid() && self.name(account.uid).is_none() {
            return Err(LookupError::NoGroup(spec.user.clone()));
        }
        Ok(account)
    }

    /// Like [`account`](Self::account), for a file that is only to be owned by this user.
    pub fn owner(&mut self, spec: &UserSpec, own_gid: u32) -> Result<Account, LookupError> {
        let entry = self.find_user(&spec.user)?;
        let uid = match &entry {
            Some(entry) => entry.uid,
            None => number(&spec.user)?.ok_or_else(|| LookupError::NoSuchUser(spec.user.clone()))?,
        };
        let gid = match &spec.group {
            Some(group) => self.gid(group)?,
            None => entry.as_ref().map_or(own_gid, |entry| entry.gid),
        };
        let groups = self.groups_of(entry.as_ref().map(|entry| entry.name.as_str()), gid)?;
        Ok(match entry {
            Some(PasswdEntry { name, home, shell, .. }) => Account { uid, gid, groups, name, home, shell },
            None => Account {
                uid,
                gid,
                groups,
                name: uid.to_string(),
                home: String::from("/"),
                shell: String::from("/bin/sh"),
            },
        })
    }

    /// The number of a user given by name or number.
    pub fn uid(&mut self, user: &str) -> Result<u32, LookupError> {
        match self.find_user(user)? {
            Some(entry) => Ok(entry.uid),
            None => number(user)?.ok_or_else(|| LookupError::NoSuchUser(user.to_owned())),
        }
    }

    /// The number of a group given by name or number.
    pub fn gid(&mut self, group: &str) -> Result<u32, LookupError> {
        if let Some(entry) = self.group.entries()?.iter().find(|entry| entry.name == group) {
            return Ok(entry.gid);
        }
        number(group)?.ok_or_else(|| LookupError::NoSuchGroup(group.to_owned()))
    }

    /// The name of a user, if it has one.
    pub fn name(&mut self, uid: u32) -> Option<String> {
        let entries = self.passwd.entries().ok()?;
        entries.iter().find(|entry| entry.uid == uid).map(|entry| entry.name.clone())
    }

    /// Whether a group has this number.
    pub fn has_group(&mut self, gid: u32) -> bool {
        self.group.entries().is_ok_and(|entries| entries.iter().any(|entry| entry.gid == gid))
    }

    /// By name first, like chown(1), then by number.
    fn find_user(&mut self, user: &str) -> Result<Option<PasswdEntry>, LookupError> {
        let entries = self.passwd.entries()?;
        if let Some(entry) = entries.iter().find(|entry| entry.name == user) {
            return Ok(Some(entry.clone()));
        }
        let uid = number(user)?;
        Ok(entries.iter().find(|entry| Some(entry.uid) == uid).cloned())
    }

    /// Like initgroups(3): the primary group, and every group that lists the user as a member.
    fn groups_of(&mut self, user: Option<&str>, gid: u32) -> Result<Vec<u32>, LookupError> {
        let mut groups = BTreeSet::from([gid]);
        if let Some(user) = user {
            let with_member = |entry: &&GroupEntry| entry.members.iter().any(|member| member == user);
            groups.extend(self.group.entries()?.iter().filter(with_member).map(|entry| entry.gid));
        }
        Ok(groups.into_iter().collect())
    }
}

fn own_uid() -> u32 {
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// A user or group number, or `None` for a text that is a name. The largest number means "no change" to the
/// kernel and is refused.
fn number(text: &str) -> Result<Option<u32>, LookupError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(number) if number != u32::MAX => Ok(Some(number)),
        _ => Err(LookupError::InvalidNumber(text.to_owned())),
    }
}

/// `name:password:uid:gid:comment:home:shell`. Malformed lines are skipped, as in the C libraries.
fn passwd_entry(line: &str) -> Option<PasswdEntry> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with(['+', '-', '#']))?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1).filter(|home| !home.is_empty()).unwrap_or("/");
    let shell = fields.next().filter(|shell| !shell.is_empty()).unwrap_or("/bin/sh");
    Some(PasswdEntry { name: name.to_owned(), uid, gid, home: home.to_owned(), shell: shell.to_owned() })
}

/// `name:password:gid:member,member`.
fn group_entry(line: &str) -> Option<GroupEntry> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with(['+', '-', '#']))?;
    let gid = fields.nth(1)?.parse().ok()?;
    let members = fields.next().unwrap_or("").split(',').filter(|member| !member.is_empty());
    Some(GroupEntry { name: name.to_owned(), gid, members: members.map(str::to_owned).collect() })
}

/// The state of a file when it was read: device, inode, size, and both times to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp([i64; 7]);

impl Stamp {
    fn of(about: &fs::Metadata) -> Stamp {
        Stamp([
            about.dev() as i64,
            about.ino() as i64,
            about.size() as i64,
            about.mtime(),
            about.mtime_nsec(),
            about.ctime(),
            about.ctime_nsec(),
        ])
    }
}

#[derive(Debug)]
struct CachedFile<T> {
    path: PathBuf,
    parse: fn(&str) -> Option<T>,
    stamp: Option<Stamp>,
    entries: Vec<T>,
}

impl<T> CachedFile<T> {
    fn new(path: PathBuf, parse: fn(&str) -> Option<T>) -> CachedFile<T> {
        CachedFile { path, parse, stamp: None, entries: Vec::new() }
    }

    fn entries(&mut self) -> Result<&[T], LookupError> {
        let unreadable = |error| LookupError::Unreadable(self.path.clone(), error);
        let stamp = stamp_of(&self.path).map_err(unreadable)?;
        if stamp != self.stamp {
            let text = if stamp.is_some() { fs::read(&self.path).map_err(unreadable)? } else { Vec::new() };
            // Comments in another encoding must not hide the users around them.
            self.entries = String::from_utf8_lossy(&text).lines().filter_map(self.parse).collect();
            self.stamp = stamp;
        }
        Ok(&self.entries)
    }
}

/// `None` for a missing file, which has no entries.
fn stamp_of(path: &Path) -> io::Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(about) => Ok(Some(Stamp::of(&about))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n# comment\nbroken line\nweb:x:1000:1000::/srv/web:\n\
                          123:x:77:77::/named-like-a-number:/bin/zsh\nlatin:x:5:5:\u{fffd}::\n+nis::::::\n";
    const GROUP: &str = "root:x:0:\nweb:x:1000:\nlog:x:4:web,other\ndocker:x:999:web\nalone:x:8\n";

    fn files(passwd: &str, group: &str) -> (tempfile::TempDir, Accounts) {
        let directory = tempfile::tempdir().unwrap();
        let (users, groups) = (directory.path().join("passwd"), directory.path().join("group"));
        fs::write(&users, passwd).unwrap();
        fs::write(&groups, group).unwrap();
        (directory, Accounts::in_files(users, groups))
    }

    fn spec(user: &str, group: Option<&str>) -> UserSpec {
        UserSpec { user: user.to_owned(), group: group.map(str::to_owned) }
    }

    #[test]
    fn a_user_is_found_with_its_groups_and_its_home() {
        let (_directory, mut accounts) = files(PASSWD, GROUP);
        let web = accounts.account(&spec("web", None), 0).unwrap();
        assert_eq!((web.uid, web.gid, web.groups.as_slice()), (1000, 1000, &[4, 999, 1000][..]));
        assert_eq!((web.name.as_str(), web.home.as_str(), web.shell.as_str()), ("web", "/srv/web", "/bin/sh"));
        assert_eq!(accounts.account(&spec("1000", None), 0).unwrap(), web);
        let grouped = accounts.account(&spec("web", Some("root")), 7).unwrap();
        assert_eq!((grouped.gid, grouped.groups), (0, vec![0, 4, 999]));
    }

    #[test]
    fn a_number_without_an_entry_stands_for_itself() {
        let (_directory, mut accounts) = files(PASSWD, GROUP);
        let stranger = accounts.account(&spec("4294967294", None), 3).unwrap();
        assert_eq!((stranger.uid, stranger.gid, stranger.groups), (4294967294, 3, vec![3]));
        assert_eq!((stranger.name.as_str(), stranger.home.as_str()), ("4294967294", "/"));
        let mut nothing = Accounts::in_files("/nonexistent/passwd", "/nonexistent/group");
        let both = nothing.account(&spec("12", Some("34")), 0).unwrap();
        assert_eq!((both.uid, both.gid, both.groups), (12, 34, vec![34]));
    }

    #[test]
    fn a_number_without_an_entry_never_gets_roots_group_unasked() {
        let (_directory, mut accounts) = files(&format!("{PASSWD}wheel:x:70:0::/:\n"), GROUP);
        let refused = accounts.account(&spec("4242", None), 0).unwrap_err().to_string();
        assert!(refused.contains("user = \"4242:4242\""), "{refused}");
        for (user, group, gid) in [("4242", Some("0"), 0), ("4242", Some("root"), 0), ("4242", Some("7"), 7)] {
            assert_eq!(accounts.account(&spec(user, group), 0).unwrap().gid, gid);
        }
        assert_eq!(accounts.account(&spec("wheel", None), 0).unwrap().gid, 0, "its entry says so");
        assert_eq!(accounts.account(&spec("0", None), 0).unwrap().gid, 0);
        assert_eq!(accounts.account(&spec("4242", None), 5).unwrap().gid, 5);
        assert_eq!(accounts.owner(&spec("4242", None), 0).unwrap().gid, 0, "only to belong to it");
    }

    #[test]
    fn a_name_made_of_digits_is_a_name_first() {
        let (_directory, mut accounts) = files(PASSWD, GROUP);
        assert_eq!(accounts.uid("123").unwrap(), 77);
        assert_eq!(accounts.name(77).as_deref(), Some("123"));
        assert_eq!(accounts.name(4242), None);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let (_directory, mut accounts) = files(PASSWD, GROUP);
        for (user, group, expected) in [
            ("webb", None, "no such user: \"webb\""),
            ("", None, "no such user: \"\""),
            ("-1", None, "no such user: \"-1\""),
            ("nis", None, "no such user: \"nis\""),
            ("web", Some("wheel"), "no such group: \"wheel\""),
            ("4294967295", None, "not a user or group number: 4294967295"),
            ("web", Some("99999999999"), "not a user or group number: 99999999999"),
        ] {
            assert_eq!(accounts.account(&spec(user, group), 0).unwrap_err().to_string(), expected);
        }
        let mut nothing = Accounts::in_files("/nonexistent/passwd", "/nonexistent/group");
        assert!(matches!(nothing.uid("root"), Err(LookupError::NoSuchUser(_))));
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_removed_one_forgotten() {
        let (directory, mut accounts) = files(PASSWD, GROUP);
        assert!(accounts.uid("late").is_err());
        let path = directory.path().join("passwd");
        fs::write(directory.path().join("new"), "late:x:55:55::/:/bin/sh\n").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        assert_eq!(accounts.uid("late").unwrap(), 55);
        assert!(accounts.uid("web").is_err());
        fs::remove_file(path).unwrap();
        assert!(accounts.uid("late").is_err());
    }
}
