//! `watch = true`: notices that files of the configuration have changed (inotify(7)), and reloads.
//!
//! Every component of the path to a file is watched, symlinks included: this detects that Kubernetes has replaced a
//! whole ConfigMap by swapping a `..data` link, and files that appear later. Changes come in bursts: the reload
//! follows once no more arrive. Paths are examined on a thread, since a disk may be slow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use muster_config::LookedAt;
use muster_sys::async_fd::Watched;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::{How, Origin, reading, reload, tell};
use crate::configuration::look::Look;
use crate::shared::Shared;
use muster_logging::limit::{DAEMON, Notice, unless_none};

/// How long no change must occur before the configuration is read: an editor writes a file in several steps, and
/// people save twice.
const QUIET: Duration = Duration::from_millis(500);
/// The maximum delay if changes never stop.
const LONGEST: Duration = Duration::from_secs(5);
/// The maximum number of consecutive links, as in the kernel.
const MOST_LINKS: usize = 40;

/// Watches while the configuration says so. Ends with the daemon.
pub(crate) async fn watch(shared: Rc<Shared>) {
    let configuration = &shared.configuration;
    let mut watcher: Option<Watcher> = None;
    loop {
        if !configuration.in_force().daemon.watch {
            watcher = None;
            configuration.turned.notified().await;
            continue;
        }
        let looks = configuration.looks.borrow().clone();
        match have_changed(&mut watcher, looks, &configuration.turned).await {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => {
                warn!(%error, "cannot watch the configuration: changes are not noticed");
                configuration.turned.notified().await;
                continue;
            }
        }
        if let Some(suppressed) = shared.limits.pass(DAEMON, Notice::FilesChanged).map(unless_none) {
            info!(suppressed, "files of the configuration have changed");
        }
        reload_for_files(&shared).await;
    }
}

/// Reloads because files have changed, and logs the result. Returns whether the configuration is active that was read.
pub(crate) async fn reload_for_files(shared: &Rc<Shared>) -> bool {
    let answer = reload(shared, Origin::Files, How::default()).await;
    tell(shared, &answer, Origin::Files);
    answer.is_ok()
}

/// Waits until one of these has changed since it was read, and then nothing changes for a while. False if `turned` is notified
/// first. `watcher` is kept for the next time; an error drops it.
pub(super) async fn have_changed(watcher: &mut Option<Watcher>, looks: Vec<Look>, turned: &Notify) -> io::Result<bool> {
    let (followed, has_changed) = watcher.take().map_or_else(Watcher::new, Ok)?.follow(looks).await?;
    let watcher = watcher.insert(followed);
    if !has_changed {
        tokio::select! {
            () = turned.notified() => return Ok(false),
            () = watcher.change() => {}
        }
    }
    watcher.silence().await;
    Ok(true)
}

/// The relevant names of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Interest {
    /// These names in it.
    names: BTreeSet<OsString>,
    /// Every name in it, or it is a file itself.
    whole: bool,
}

type Interests = BTreeMap<WatchDescriptor, Interest>;

/// The kernel's watches, and why each is there.
pub(super) struct Watcher {
    inotify: Arc<Inotify>,
    /// The same queue, for waiting with tokio.
    ready: Watched<OwnedFd>,
    interests: Interests,
}

impl Watcher {
    fn new() -> io::Result<Watcher> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let ready = Watched::for_reading(inotify.as_fd().try_clone_to_owned()?)?;
        Ok(Watcher { inotify: Arc::new(inotify), ready, interests: Interests::new() })
    }

    /// Watches the paths to all of these, and no others. Returns whether one has changed since it was read.
    async fn follow(mut self, looks: Vec<Look>) -> io::Result<(Watcher, bool)> {
        let inotify = Arc::clone(&self.inotify);
        let old = std::mem::take(&mut self.interests);
        let followed = reading::on_a_thread(move || {
            let interests = add_watches(&inotify, &looks)?;
            for descriptor in old.into_keys().filter(|old| !interests.contains_key(old)) {
                // The watch of a removed directory no longer exists.
                let _ = inotify.rm_watch(descriptor);
            }
            // A change before the watch was added caused no event.
            Ok::<_, io::Error>((interests, looks.iter().any(Look::has_changed)))
        });
        let (interests, has_changed) = followed.await.map_err(io::Error::other)??;
        self.interests = interests;
        Ok((self, has_changed))
    }

    /// Waits until a relevant change occurs.
    async fn change(&self) {
        let read = |_: &OwnedFd| match self.inotify.read_events() {
            Ok(events) if events.iter().any(|event| self.matters(event.wd, event.name.as_deref())) => Ok(()),
            Ok(_) => Err(io::ErrorKind::Interrupted.into()),
            Err(error) => Err(error.into()),
        };
        loop {
            match self.ready.read_with(read).await {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The queue cannot fail while it is open; if it does, changes are no longer noticed.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// An event without a watch means that events were lost.
    fn matters(&self, descriptor: WatchDescriptor, name: Option<&OsStr>) -> bool {
        match self.interests.get(&descriptor) {
            Some(interest) => interest.whole || name.is_some_and(|name| interest.names.contains(name)),
            None => descriptor.as_raw() < 0,
        }
    }

    /// Waits until nothing has changed for a while.
    async fn silence(&self) {
        let end = Instant::now() + LONGEST;
        while timeout_at(end.min(Instant::now() + QUIET), self.change()).await.is_ok() {}
    }
}

fn add_watches(inotify: &Inotify, looks: &[Look]) -> io::Result<Interests> {
    let mut places: BTreeMap<PathBuf, Interest> = BTreeMap::new();
    looks.iter().for_each(|look| trace(&look.at, &mut places));
    let flags = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_MOVED_TO;
    let mut interests = Interests::new();
    for (path, interest) in places {
        match inotify.add_watch(&path, flags) {
            Ok(descriptor) => {
                // Two paths may lead to the same directory.
                let known = interests.entry(descriptor).or_default();
                known.names.extend(interest.names);
                known.whole |= interest.whole;
            }
            // A missing file is noticed through its parent when it appears; an unreadable one cannot be watched.
            Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR | nix::errno::Errno::EACCES) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(interests)
}

/// Adds every directory on the path, with the next name in it.
fn trace(look: &LookedAt, places: &mut BTreeMap<PathBuf, Interest>) {
    let (LookedAt::File(path) | LookedAt::Directory(path)) = look;
    let mut rest: VecDeque<OsString> = parts(path);
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    while let Some(part) = rest.pop_front() {
        if part == "/" {
            at = PathBuf::from("/");
        } else if part == ".." {
            at.pop();
        } else {
            let next = at.join(&part);
            places.entry(at.clone()).or_default().names.insert(part);
            match fs::read_link(&next) {
                Ok(target) if links < MOST_LINKS => {
                    links += 1;
                    parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
                }
                _ => at = next,
            }
        }
    }
    places.entry(at).or_default().whole = true;
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |part: Component<'_>| match part {
        Component::CurDir | Component::Prefix(_) => None,
        other => Some(other.as_os_str().to_owned()),
    };
    path.components().filter_map(part).collect()
}
