//! An open log file, with the real directory that contains it.

use std::io;
use std::time::Instant;

use muster_sys::trusted::{Access, Inode, Missing, Opened, Refusal, TrustedPlace};

use super::rotate::Names;

/// An open log file.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) place: TrustedPlace,
    pub(super) opened: Opened,
    pub(super) size: u64,
    /// When it was last seen under its path.
    pub(super) looked_at: Instant,
}

impl Open {
    /// Opens for appending without ever waiting: a FIFO without a reader is an error, not a hang. Missing directories
    /// are created.
    pub(super) fn new(names: &Names, now: Instant) -> io::Result<Open> {
        let place = names.place(Missing::Make)?;
        let opened = place.open(Access::Append, Some(names.policy.creation))?;
        if opened.is_regular && is_own(opened.inode) {
            let reason = format!("{} is the daemon's own output", place.path().display());
            return Err(Refusal { reason, hint: "\"console\" is the name for it" }.into());
        }
        Ok(Open { size: opened.size, place, opened, looked_at: now })
    }

    pub(super) fn is_rotatable(&self) -> bool {
        self.opened.is_regular && !self.place.is_kernels()
    }
}

/// Whether the daemon's own stdout or stderr writes to this file.
fn is_own(inode: Inode) -> bool {
    let is_it = |about: nix::Result<nix::sys::stat::FileStat>| {
        about.is_ok_and(|about| (Inode { device: about.st_dev, number: about.st_ino }) == inode)
    };
    is_it(nix::sys::stat::fstat(io::stdout())) || is_it(nix::sys::stat::fstat(io::stderr()))
}
