//! Rules for safe directories, links and files, without system calls.

use std::path::Path;

use super::{Access, Identity, Refusal};

/// The acceptable owners of a path, besides root and the daemon's own user.
#[derive(Clone, Debug)]
pub struct Trust {
    pub(super) own_uid: u32,
    pub(super) own_gid: u32,
    /// The program's user.
    pub(super) user: Option<Identity>,
    /// Whether a directory may belong to any single other user, whose privileges are then used.
    pub(super) accepts_strangers: bool,
    /// The owner of files whose owner does not exist in this user namespace.
    pub(super) unmapped_uid: Option<u32>,
    /// The owner of new files.
    pub(super) file_owner: Option<u32>,
}

impl Trust {
    /// For the daemon's own files: only root and the daemon's user.
    pub fn own() -> Trust {
        // SAFETY: these calls always succeed and touch no memory.
        let (own_uid, own_gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        let unmapped_uid = unmapped_uid();
        Trust { own_uid, own_gid, user: None, accepts_strangers: false, unmapped_uid, file_owner: None }
    }

    /// For files of a program: its user, too. A program without a user runs as the daemon; it may drop privileges
    /// itself, so its directory may belong to any single user.
    pub fn program(user: Option<Identity>) -> Trust {
        let own = Trust::own();
        let user = user.filter(|user| user.uid != own.own_uid);
        Trust { accepts_strangers: user.is_none(), user, ..own }
    }

    /// For files whose content is trusted: only root, the daemon's user and this one.
    pub fn only(user: Identity) -> Trust {
        let own = Trust::own();
        Trust { user: Some(user).filter(|user| !own.is_superior(user.uid)), ..own }
    }

    /// Files that are given to this user on creation may belong to it.
    pub fn with_file_owner(self, uid: Option<u32>) -> Trust {
        Trust { file_owner: uid, ..self }
    }

    /// Root and the daemon's own user: their files are as trusted as the daemon's configuration.
    pub(super) fn is_superior(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own_uid || Some(uid) == self.unmapped_uid
    }
}

/// The number that stands for all users from outside this user namespace, if no user inside can have it.
fn unmapped_uid() -> Option<u32> {
    const OVERFLOW: u32 = 65_534;
    let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
    let is_mapped = map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.nth(1)) {
            (Some(Ok(first)), Some(Ok(count))) => (first..first.saturating_add(count)).contains(&u64::from(OVERFLOW)),
            _ => true,
        }
    });
    (!is_mapped).then_some(OVERFLOW)
}

/// The relevant part of fstat(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Including the file type.
    pub(super) mode: u32,
    pub(super) links: u64,
}

impl About {
    pub(super) fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }
}

/// A directory that is safe to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The user whose privileges are used for everything below; `None` for the daemon's own.
    pub(super) works_as: Option<u32>,
    /// Whether it is sticky, like /tmp: other users may add names to it, and only remove their own.
    pub(super) is_shared: bool,
    /// Whether it and all directories above it belong to root or the daemon's user.
    pub(super) is_superior: bool,
}

impl Verdict {
    /// Records that this user can write to the directory, too.
    pub(super) fn give_to(&mut self, uid: u32) {
        self.works_as = Some(uid);
        self.is_superior = false;
    }
}

const OWNERS: &str = "let it belong to root or to the user of the program";
const WRITERS: &str = "take the right to write from others: chmod go-w";

/// `nogroup`, which is no user's own.
const NO_GROUP: u32 = 65_534;

/// Judges a directory, given its parent's verdict. `primary_group` is that of its owner, from /etc/passwd.
pub(super) fn directory(
    path: &Path,
    about: About,
    parent: &Verdict,
    trust: &Trust,
    primary_group: impl FnOnce() -> Option<u32>,
) -> Result<Verdict, Refusal> {
    let user = trust.user.as_ref();
    let is_superior = trust.is_superior(about.uid);
    let shown = path.display();
    let mut works_as = parent.works_as;
    if !is_superior {
        let is_known = match (user, works_as) {
            (Some(user), _) => user.uid == about.uid,
            (None, Some(stranger)) => stranger == about.uid,
            // Any user may create a directory in a shared one: it does not determine who should own the files.
            (None, None) => trust.accepts_strangers && !parent.is_shared,
        };
        if !is_known {
            return Err(Refusal::new(format!("directory {shown} belongs to another user, uid {}", about.uid), OWNERS));
        }
        works_as = Some(about.uid);
    }
    let (is_sticky, for_group, for_others) =
        (about.mode & 0o1000 != 0, about.mode & 0o020 != 0, about.mode & 0o002 != 0);
    let is_users_group = |user: &Identity| user.gid == about.gid || (about.gid == 0 && user.groups.contains(&0));
    if for_others && !is_sticky {
        return Err(Refusal::new(format!("every user can replace files in directory {shown}"), WRITERS));
    }
    if for_group && !is_sticky {
        let is_superiors = about.gid == 0 || about.gid == trust.own_gid;
        let is_owners = || is_private_group(about, trust, primary_group);
        if !is_superiors && !user.is_some_and(is_users_group) && !is_owners() {
            let reason = format!("group {} can replace files in directory {shown}", about.gid);
            return Err(Refusal::new(reason, WRITERS));
        }
        if let Some(user) = user.filter(|user| is_users_group(user)) {
            works_as = Some(user.uid);
        }
    }
    Ok(Verdict {
        works_as,
        is_shared: is_sticky && (for_group || for_others),
        is_superior: is_superior && works_as.is_none(),
    })
}

/// Judges a symbolic link in a directory: only an administrator's is followed.
pub(super) fn link(path: &Path, about: About, directory: &Verdict, trust: &Trust) -> Result<(), Refusal> {
    // In a directory that a user can write, the user can create another name of a foreign link.
    if trust.is_superior(about.uid) && directory.is_superior && (!directory.is_shared || about.links == 1) {
        return Ok(());
    }
    let reason = format!("{} is a symbolic link that its user could have made", path.display());
    Err(Refusal::new(reason, "name the real file, or make the link as root in a directory of root's"))
}

/// The requirements for an existing file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) access: Access,
    /// Whether the configuration names this very file, so that it may be a FIFO or a character device.
    pub(super) may_be_special: bool,
    /// The mode of files that the daemon creates.
    pub(super) mode: u32,
}

/// Judges a file that has been opened.
pub(super) fn file(
    path: &Path,
    about: About,
    directory: &Verdict,
    trust: &Trust,
    expected: Expected,
) -> Result<(), Refusal> {
    const FILES: &str = "remove it, the daemon makes a new one";
    let shown = path.display();
    let refuse = |reason: String, hint| Err(Refusal::new(reason, hint));
    let is_device = about.kind() == libc::S_IFCHR;
    match about.kind() {
        libc::S_IFREG => {}
        libc::S_IFIFO | libc::S_IFCHR if expected.may_be_special => {}
        _ => return refuse(format!("{shown} is not a regular file"), FILES),
    }
    let is_users = trust.user.as_ref().is_some_and(|user| user.uid == about.uid)
        || Some(about.uid) == directory.works_as
        || Some(about.uid) == trust.file_owner;
    // Only root creates devices, and a terminal belongs to the user who is logged in on it.
    let is_placed_by_root = is_device && directory.is_superior && !directory.is_shared;
    if !trust.is_superior(about.uid) && !is_users && !is_placed_by_root {
        return refuse(format!("{shown} belongs to another user, uid {}", about.uid), FILES);
    }
    if about.kind() != libc::S_IFREG || expected.access == Access::Read && directory.is_superior && !directory.is_shared
    {
        return Ok(());
    }
    if about.links != 1 {
        return refuse(format!("{shown} has {} names", about.links), FILES);
    }
    if is_users {
        return Ok(());
    }
    if about.mode & 0o6000 != 0 && expected.access != Access::Read {
        return refuse(format!("{shown} is a setuid or setgid file"), FILES);
    }
    // Another name of a private file of root's, whose first name was removed, cannot be recognized in any other way.
    let is_odd = about.mode & 0o7777 != expected.mode && trust.file_owner.is_none();
    if is_odd && (directory.is_shared || !directory.is_superior) && directory.works_as.is_none() {
        return refuse(format!("{shown} was not made by the daemon, its mode is {:04o}", about.mode & 0o7777), FILES);
    }
    Ok(())
}

/// Judges a file whose content is trusted: only its owner and trusted users may write to it. `primary_group` is that
/// of its owner, from /etc/passwd.
pub(super) fn guarded(
    path: &Path,
    about: About,
    trust: &Trust,
    primary_group: impl FnOnce() -> Option<u32>,
) -> Result<(), Refusal> {
    let shown = path.display();
    if about.mode & 0o002 != 0 {
        return Err(Refusal::new(format!("every user can write to {shown}"), WRITERS));
    }
    let is_trusted = about.gid == 0
        || about.gid == trust.own_gid
        || trust.user.as_ref().is_some_and(|user| user.gid == about.gid)
        || is_private_group(about, trust, primary_group);
    if about.mode & 0o020 != 0 && !is_trusted {
        return Err(Refusal::new(format!("group {} can write to {shown}", about.gid), WRITERS));
    }
    Ok(())
}

/// Many systems give every user a private group with the same number.
fn is_private_group(about: About, trust: &Trust, primary_group: impl FnOnce() -> Option<u32>) -> bool {
    about.gid != NO_GROUP
        && !trust.is_superior(about.uid)
        && (about.gid == about.uid || primary_group() == Some(about.gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: u32 = 0;
    const USER: u32 = 1000;
    const OTHER: u32 = 2000;
    /// The primary group of a directory's owner.
    const PRIMARY: u32 = 3000;

    fn trust(user: bool) -> Trust {
        let user = user.then(|| Identity { uid: USER, gid: USER, groups: vec![USER, 44] });
        let accepts_strangers = user.is_none();
        Trust { own_uid: 0, own_gid: 0, user, accepts_strangers, unmapped_uid: None, file_owner: None }
    }

    fn verdict(works_as: Option<u32>, is_shared: bool) -> Verdict {
        Verdict { works_as, is_shared, is_superior: works_as.is_none() }
    }

    fn about(uid: u32, gid: u32, mode: u32) -> About {
        About { uid, gid, mode, links: 1 }
    }

    /// `None` for a refusal, otherwise the user whose privileges are used (0 for the daemon's own) and whether it is shared.
    fn check_directory(
        has_user: bool,
        parent: Verdict,
        (uid, gid, mode): (u32, u32, u32),
        expected: Option<(u32, bool)>,
    ) {
        let about = about(uid, gid, libc::S_IFDIR | mode);
        let found = directory(Path::new("/d"), about, &parent, &trust(has_user), || Some(PRIMARY));
        let found = found.ok().map(|found| (found.works_as.unwrap_or(0), found.is_shared));
        assert_eq!(found, expected, "user {has_user} parent {parent:?} uid {uid} gid {gid} mode {mode:o}");
    }

    #[test]
    fn directories_are_judged_by_owner_and_mode() {
        let top = || verdict(None, false);
        for (has_user, directory, expected) in [
            (true, (ROOT, ROOT, 0o755), Some((0, false))),
            (true, (ROOT, OTHER, 0o755), Some((0, false))),
            (true, (ROOT, ROOT, 0o777), None),
            (true, (ROOT, ROOT, 0o1777), Some((0, true))),
            (true, (ROOT, ROOT, 0o775), Some((0, false))),
            (true, (ROOT, OTHER, 0o775), None),
            (true, (ROOT, 44, 0o775), None),
            (true, (ROOT, USER, 0o775), Some((USER, false))),
            (true, (USER, USER, 0o755), Some((USER, false))),
            (true, (USER, USER, 0o777), None),
            (true, (USER, OTHER, 0o775), None),
            (true, (OTHER, OTHER, 0o755), None),
            (false, (OTHER, OTHER, 0o755), Some((OTHER, false))),
            (false, (OTHER, OTHER, 0o777), None),
            (false, (ROOT, OTHER, 0o2775), None),
            (true, (USER, PRIMARY, 0o775), Some((USER, false))),
            (true, (ROOT, PRIMARY, 0o775), None),
            (true, (OTHER, OTHER, 0o775), None),
            (false, (OTHER, OTHER, 0o2775), Some((OTHER, false))),
            (false, (OTHER, PRIMARY, 0o775), Some((OTHER, false))),
            (false, (OTHER, OTHER, 0o777), None),
            (false, (OTHER, USER, 0o775), None),
            (false, (NO_GROUP, NO_GROUP, 0o775), None),
        ] {
            check_directory(has_user, top(), directory, expected);
        }
    }

    #[test]
    fn rights_never_grow_on_the_way_down_and_two_strangers_are_refused() {
        check_directory(true, verdict(Some(USER), false), (ROOT, ROOT, 0o755), Some((USER, false)));
        check_directory(false, verdict(Some(OTHER), false), (ROOT, ROOT, 0o755), Some((OTHER, false)));
        check_directory(false, verdict(Some(OTHER), false), (USER, USER, 0o755), None);
        check_directory(false, verdict(None, true), (OTHER, OTHER, 0o755), None);
        check_directory(true, verdict(None, true), (USER, USER, 0o755), Some((USER, false)));
        check_directory(true, verdict(None, true), (OTHER, OTHER, 0o755), None);
    }

    #[test]
    fn only_an_administrators_links_are_followed() {
        let follow = |uid, links, directory: Verdict| {
            let about = About { uid, gid: 0, mode: libc::S_IFLNK | 0o777, links };
            link(Path::new("/d/l"), about, &directory, &trust(true)).is_ok()
        };
        assert!(follow(ROOT, 1, verdict(None, false)) && follow(ROOT, 1, verdict(None, true)));
        assert!(!follow(ROOT, 2, verdict(None, true)), "a second name of root's link");
        assert!(!follow(USER, 1, verdict(None, false)) && !follow(USER, 1, verdict(None, true)));
        assert!(!follow(ROOT, 1, verdict(Some(USER), false)), "moved into the user's directory");
    }

    #[test]
    fn files_are_judged_by_kind_owner_links_and_mode() {
        let regular = |uid, mode, links| About { uid, gid: 0, mode: libc::S_IFREG | mode, links };
        let special = |uid, kind| About { uid, gid: 0, mode: kind | 0o666, links: 1 };
        let (top, shared, users) = (verdict(None, false), verdict(None, true), verdict(Some(USER), false));
        for (about, directory, named, expected) in [
            (regular(ROOT, 0o600, 1), &top, true, true),
            (regular(USER, 0o644, 1), &top, true, true),
            (regular(OTHER, 0o644, 1), &top, true, false),
            (regular(ROOT, 0o644, 2), &top, true, false),
            (regular(ROOT, 0o4755, 1), &top, true, false),
            (regular(ROOT, 0o644, 1), &shared, true, true),
            (regular(ROOT, 0o600, 1), &shared, true, false),
            (regular(USER, 0o4777, 1), &users, true, true),
            (regular(USER, 0o644, 2), &users, true, false),
            (regular(OTHER, 0o666, 1), &users, true, false),
            (special(ROOT, libc::S_IFIFO), &top, true, true),
            (special(USER, libc::S_IFIFO), &users, true, true),
            (special(USER, libc::S_IFIFO), &users, false, false),
            (special(OTHER, libc::S_IFIFO), &shared, true, false),
            (special(OTHER, libc::S_IFCHR), &top, true, true),
            (special(OTHER, libc::S_IFCHR), &shared, true, false),
            (special(ROOT, libc::S_IFCHR), &top, false, false),
            (special(ROOT, libc::S_IFBLK), &top, true, false),
            (special(ROOT, libc::S_IFDIR), &top, true, false),
            (special(ROOT, libc::S_IFSOCK), &top, true, false),
        ] {
            let expected_of_it = Expected { access: Access::Append, may_be_special: named, mode: 0o644 };
            let found = file(Path::new("/d/f"), about, directory, &trust(true), expected_of_it);
            assert_eq!(found.is_ok(), expected, "{about:?} {directory:?} {named}: {found:?}");
        }
    }
}
