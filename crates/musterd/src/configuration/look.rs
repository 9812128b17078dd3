//! Files and directories that a configuration was read from, as they were then, to find out whether they have changed.

use std::fs;
use std::os::unix::fs::MetadataExt;

use muster_config::LookedAt;

/// A file or directory, and its metadata when it was read.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) at: LookedAt,
    seen: Option<Seen>,
}

impl Look {
    /// Whether its metadata differs by now.
    pub(crate) fn has_changed(&self) -> bool {
        seen(&self.at) != self.seen
    }
}

/// Device, inode, time of the last change, size: what differs if something was written or replaced.
type Seen = (u64, u64, i64, i64, u64);

/// Reads the metadata of all of these.
pub(crate) fn look(all: Vec<LookedAt>) -> Vec<Look> {
    all.into_iter().map(|at| Look { seen: seen(&at), at }).collect()
}

fn seen(at: &LookedAt) -> Option<Seen> {
    let (LookedAt::File(path) | LookedAt::Directory(path)) = at;
    let about = fs::metadata(path).ok()?;
    Some((about.dev(), about.ino(), about.mtime(), about.mtime_nsec(), about.size()))
}
