//! How a process is created: with a copy of the daemon's memory, or sharing it.
//!
//! The same code runs in the child either way; only the flags of clone(2) differ. Sharing costs the same however much
//! memory the daemon has. It is not used where something could leak back through the shared memory: see
//! [`Mechanism::choose`] and `docs/design/0002-spawn.md`, which has the measurements.

use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;

use muster_spec::{Privileges, ProcessSpec, Securebits};

use super::plan::Identity;
use super::raw;

/// A way to create a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Like fork(2): the child gets a copy.
    Copied,
    /// The child runs in the daemon's memory on its own stack, concurrently with the daemon.
    Shared,
    /// Like vfork(2): in the daemon's memory, and the daemon waits. For comparison only: a child that is stopped before it
    /// executes would freeze the daemon.
    SharedWaiting,
}

impl Mechanism {
    /// Shares unless one of these applies:
    ///
    /// - Another user: between setresuid(2) and execve(2) a process of that user would have the daemon's memory mapped.
    ///   The kernel protects it, by marking the memory (the daemon's, too) as not traceable, but a protection that is not
    ///   needed cannot fail.
    /// - Another OOM score: the kernel keeps the score equal among all processes that share memory, so the
    ///   daemon would get it as well.
    /// - Other capabilities: as with another user, a weaker process would have the daemon's memory mapped.
    pub(super) fn choose(can_share: bool, process: &ProcessSpec, identity: &Identity) -> Mechanism {
        let Privileges { capabilities, securebits, .. } = process.privileges;
        let changes_rights = capabilities.is_some() || securebits != Securebits::default();
        if can_share && process.oom_score_adj.is_none() && !identity.changes_credentials() && !changes_rights {
            Mechanism::Shared
        } else {
            Mechanism::Copied
        }
    }

    pub(super) fn flags(self) -> c_int {
        let sharing = match self {
            Mechanism::Copied => 0,
            Mechanism::Shared => libc::CLONE_VM,
            Mechanism::SharedWaiting => libc::CLONE_VM | libc::CLONE_VFORK,
        };
        sharing | libc::SIGCHLD
    }
}

/// Whether this machine and kernel support sharing.
///
/// Before Linux 5.16 a process that dumped core killed all processes that shared its memory: a SIGQUIT in the instant
/// between the unblocking of signals and execve(2) would have ended the daemon.
pub(super) fn can_share() -> bool {
    raw::CAN_SHARE && kernel_release().is_some_and(|release| release >= (5, 16))
}

fn kernel_release() -> Option<(u32, u32)> {
    let mut names = MaybeUninit::<libc::utsname>::uninit();
    // SAFETY: uname fills `names` when it returns 0, and only then is it read.
    let names = unsafe {
        if libc::uname(names.as_mut_ptr()) != 0 {
            return None;
        }
        names.assume_init()
    };
    // SAFETY: the kernel ends the field with a NUL.
    let release = unsafe { CStr::from_ptr(names.release.as_ptr()) };
    parse_release(release.to_str().ok()?)
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_in_every_spelling_and_compared_as_numbers() {
        for (release, expected) in [
            ("6.18.44-generic", Some((6, 18))),
            ("5.9.0", Some((5, 9))),
            ("5.16-rc1", Some((5, 16))),
            ("4.4.0", Some((4, 4))),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(parse_release(release), expected, "{release}");
        }
        assert!((5, 9) < (5, 16) && (6, 0) > (5, 16));
    }
}
