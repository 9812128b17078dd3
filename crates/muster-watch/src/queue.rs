//! The kernel's reports of changes: one inotify(7) queue for all programs.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use muster_sys::async_fd::Watched;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

/// A directory that the kernel reports about.
pub(crate) type Token = WatchDescriptor;

/// A change that the kernel has reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The directory; `None` if reports were lost.
    pub(crate) token: Option<Token>,
    /// The name in it; `None` for the directory itself.
    pub(crate) name: Option<OsString>,
    pub(crate) kind: Kind,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file was created, and may be being written.
    Created,
    /// A file was written and closed, or appeared or disappeared as a whole.
    Changed,
    /// A directory appeared or disappeared, or the watched one itself moved.
    Directory,
    /// Nothing that matters.
    Nothing,
}

/// The queue. Clones share it.
#[derive(Clone)]
pub struct Queue(Arc<Inotify>);

/// The same, for waiting.
pub type Ready = Watched<OwnedFd>;

/// `IN_MASK_ADD`: programs may share a directory.
const ADD: AddWatchFlags = AddWatchFlags::from_bits_retain(0x2000_0000);

impl Queue {
    /// A new queue.
    pub fn new() -> io::Result<(Queue, Ready)> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let ready = Watched::for_reading(inotify.as_fd().try_clone_to_owned()?)?;
        Ok((Queue(Arc::new(inotify)), ready))
    }

    /// Takes some reports, as many as one call returns.
    pub fn read(&self) -> io::Result<Vec<Report>> {
        Ok(self.0.read_events()?.into_iter().map(report).collect())
    }

    /// Asks for reports about a directory: about everything in it, or only whether it is moved or removed itself.
    pub(crate) fn add(&self, directory: &Path, everything: bool) -> Result<Token, Errno> {
        let own = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_ONLYDIR | ADD;
        let names = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO;
        self.0.add_watch(directory, if everything { own | names } else { own })
    }

    /// Asks for no more reports about these.
    pub(crate) fn remove(&self, token: Token) {
        // The kernel has forgotten a directory that was removed.
        let _ = self.0.rm_watch(token);
    }
}

fn report(event: InotifyEvent) -> Report {
    let has = |flags: AddWatchFlags| event.mask.intersects(flags);
    let own = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_UNMOUNT;
    let kind = if has(own) || (has(AddWatchFlags::IN_ISDIR) && event.name.is_some()) {
        Kind::Directory
    } else if event.name.is_none() {
        Kind::Nothing
    } else if has(AddWatchFlags::IN_CREATE) {
        Kind::Created
    } else {
        Kind::Changed
    };
    let is_lost = has(AddWatchFlags::IN_Q_OVERFLOW);
    Report { token: (!is_lost).then_some(event.wd), name: event.name, kind }
}
