//! Files at paths that a less privileged user may control: opened, created, renamed and removed without trusting them.
//!
//! A path is resolved once, component by component ([`walk`]). Every directory on it is judged by its owner and mode, and
//! only an administrator's symbolic links are followed ([`judge`]). The result is a [`TrustedPlace`]: the descriptor of the real
//! directory and a name in it. Everything that follows is relative to that descriptor, never follows a link and never
//! blocks. In a directory that the program's user can write to, operations use that user's privileges ([`identity`]),
//! so that the kernel refuses what the user may not do.
//!
//! Each step names a single component with `O_NOFOLLOW`, so openat2(2) would add nothing. Needs neither /proc nor
//! a capability. Decides nothing about content: the caller handles a refusal.

mod acl;
mod directory;
mod identity;
mod judge;
mod place;
mod walk;

use std::fmt;
use std::io;

pub use directory::{names, open_directory};
pub use identity::{Identity, as_user};
pub use judge::Trust;
pub(crate) use place::random;
pub use place::{Access, Creation, Inode, Opened, TrustedPlace, random_key, random_name};
pub use walk::Missing;

/// A path that is not safe to use: the reason, and a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, with the path concerned.
    pub reason: String,
    /// The advice for the administrator.
    pub hint: &'static str,
}

impl Refusal {
    fn new(reason: String, hint: &'static str) -> Refusal {
        Refusal { reason, hint }
    }

    /// The refusal in an error of this module, if it is one.
    pub fn of(error: &io::Error) -> Option<&Refusal> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; hint: {}", self.reason, self.hint)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, refusal)
    }
}
