//! The privileges of another user, for file operations of one thread.
//!
//! Linux keeps credentials per thread, and the C library's functions change those of all threads: these are the raw
//! system calls. Changing fsuid away from 0 also removes the file capabilities (CAP_DAC_OVERRIDE, CAP_FOWNER and so on) from
//! the effective set, and changing it back restores them: see capabilities(7).

use std::io;
use std::marker::PhantomData;
use std::sync::OnceLock;

use muster_spec::UserSpec;

use crate::rights::groups;
use crate::user::{Account, Accounts};

/// A user with all its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// The group of a user without an entry in /etc/passwd: `nogroup`.
const NO_GROUP: u32 = 65_534;

impl From<&Account> for Identity {
    fn from(account: &Account) -> Identity {
        Identity { uid: account.uid, gid: account.gid, groups: account.groups.clone() }
    }
}

impl Identity {
    /// The primary group of a user, if there is an entry for it in /etc/passwd.
    pub(super) fn primary_group(uid: u32) -> Option<u32> {
        let gid = Identity::of_owner(uid).gid;
        (gid != NO_GROUP).then_some(gid)
    }

    /// The user that owns a file or directory, with its groups from /etc/group.
    pub fn of_owner(uid: u32) -> Identity {
        let spec = UserSpec { user: uid.to_string(), group: None };
        match Accounts::default().account(&spec, NO_GROUP) {
            // A user whose name is another user's number is not the owner.
            Ok(account) if account.uid == uid => Identity::from(&account),
            _ => Identity { uid, gid: NO_GROUP, groups: vec![NO_GROUP] },
        }
    }
}

/// Performs file operations with the privileges of a user, or with the thread's own for `None`.
///
/// A daemon that may not change its credentials (not root, or without CAP_SETUID and CAP_SETGID) keeps its own: it then has no
/// power over other users' files that the checks of owner, type and links would not cover.
pub fn as_user<T>(user: Option<&Identity>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _assumed = user.map(Assumed::assume).transpose()?;
    work()
}

/// Another user's privileges on this thread; dropping it restores the thread's own.
struct Assumed {
    own: Option<Identity>,
    /// Credentials belong to the thread.
    _not_send: PhantomData<*const ()>,
}

impl Assumed {
    fn assume(user: &Identity) -> io::Result<Assumed> {
        let own = Identity { uid: fsuid(), gid: fsgid(), groups: groups()? };
        if own.uid == user.uid {
            return Ok(Assumed::nothing());
        }
        // Read before the first change clears it.
        IS_DUMPABLE.get_or_init(is_dumpable);
        match set_groups(&user.groups) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(Assumed::nothing()),
            Err(error) => return Err(error),
        }
        let assumed = Assumed { own: Some(own), _not_send: PhantomData };
        let is_set = set_fsgid(user.gid) && set_fsuid(user.uid) && groups()?.len() == user.groups.len();
        // Dropping it restores what was changed, if only one of the two may be changed.
        if is_set { Ok(assumed) } else { Ok(Assumed::nothing()) }
    }

    fn nothing() -> Assumed {
        Assumed { own: None, _not_send: PhantomData }
    }
}

impl Drop for Assumed {
    fn drop(&mut self) {
        let Some(own) = &self.own else { return };
        let is_restored = set_fsuid(own.uid) && set_fsgid(own.gid) && set_groups(&own.groups).is_ok();
        restore_dumpable();
        assert!(is_restored || std::thread::panicking(), "a thread has its own rights again: it kept the capabilities");
    }
}

/// Whether the process may be inspected by its own user. The kernel clears that with every change of credentials; it is
/// restored, otherwise the daemon could not use parts of its own /proc/self in a user namespace.
static IS_DUMPABLE: OnceLock<bool> = OnceLock::new();

fn is_dumpable() -> bool {
    // SAFETY: PR_GET_DUMPABLE touches no memory of ours.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) == 1 }
}

fn restore_dumpable() {
    if IS_DUMPABLE.get() == Some(&true) {
        // SAFETY: PR_SET_DUMPABLE touches no memory of ours.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
    }
}

/// Not a valid user or group id: the calls then only return the current one.
const ASK: u32 = u32::MAX;

fn fsuid() -> u32 {
    // SAFETY: setfsuid touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_setfsuid, ASK) as u32 }
}

fn fsgid() -> u32 {
    // SAFETY: setfsgid touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_setfsgid, ASK) as u32 }
}

/// The call reports no errors, so the result is read back.
fn set_fsuid(uid: u32) -> bool {
    // SAFETY: setfsuid touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_setfsuid, uid) };
    fsuid() == uid
}

fn set_fsgid(gid: u32) -> bool {
    // SAFETY: setfsgid touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_setfsgid, gid) };
    fsgid() == gid
}

fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the kernel reads `groups.len()` numbers from `groups`.
    match unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Identity {
        Identity { uid: fsuid(), gid: fsgid(), groups: groups().unwrap() }
    }

    #[test]
    fn rights_are_assumed_for_the_work_only_and_by_one_thread_only() {
        let before = own();
        if before.uid != 0 {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"SKIPPED: needs root\n");
            return;
        }
        let user = Identity { uid: 4_242, gid: 4_343, groups: vec![4_343, 4_444] };
        let inside = as_user(Some(&user), || {
            let elsewhere = std::thread::scope(|scope| scope.spawn(fsuid_of_process).join().unwrap());
            assert_eq!(elsewhere, 0, "the process keeps its rights");
            Ok(own())
        });
        assert_eq!((inside.unwrap(), own()), (user.clone(), before.clone()));
        let failed: io::Result<()> = as_user(Some(&user), || Err(io::ErrorKind::Other.into()));
        assert!(failed.is_err() && own() == before);
        let panicked = std::panic::catch_unwind(|| as_user(Some(&user), || -> io::Result<()> { panic!("work") }));
        assert!(panicked.is_err() && own() == before);
        assert!(is_dumpable());
    }

    /// A new thread inherits the privileges of its creator, so those of the main thread are read.
    fn fsuid_of_process() -> u32 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
        line.split_whitespace().last().unwrap().parse().unwrap()
    }
}
