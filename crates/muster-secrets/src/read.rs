//! Reading one file, within a deadline and a size, as the rules of [`TrustedPlace::open_secret`] allow.
//!
//! A path is not trusted because the configuration names it: the program's user may own a directory of it, and could put a
//! link to a file of root's there. The program's own user is tried first, then any single owner of a directory, always with
//! the privileges of that owner.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Instant;

use muster_spec::{SecretSpec, Stdin};
use muster_sys::trusted::{self, Identity, Missing, Refusal, Trust, TrustedPlace};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Secret;

/// The value of a variable: the content without one trailing newline.
pub(crate) fn value(path: &Path, user: Option<&Identity>, until: Instant) -> io::Result<Secret> {
    let mut value = content(path, user, SecretSpec::LARGEST + 1, until)?;
    if value.0.last() == Some(&b'\n') {
        value.0.pop();
    }
    if value.0.len() > SecretSpec::LARGEST {
        return Err(too_large(SecretSpec::LARGEST));
    }
    if value.0.contains(&0) {
        return Err(io::Error::other("has a NUL character, which no variable can have"));
    }
    Ok(value)
}

/// The content of a file of at most this size.
pub(crate) fn content(path: &Path, user: Option<&Identity>, largest: usize, until: Instant) -> io::Result<Secret> {
    let mut file = open(path, user)?;
    let about = file.metadata()?;
    let is_fifo = about.file_type().is_fifo();
    let expected = if is_fifo { largest } else { usize::try_from(about.len()).unwrap_or(largest) };
    // It must not grow, which would leave a copy behind, and one byte more shows that it has ended, or is too large.
    let mut content = Secret(vec![0; expected.min(largest) + 1]);
    let mut length = 0;
    while length < content.0.len() {
        if is_fifo {
            wait(&file, until)?;
        }
        match file.read(&mut content.0[length..]) {
            Ok(0) => {
                content.0.truncate(length);
                return Ok(content);
            }
            Ok(count) => length += count,
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    Err(if length > largest { too_large(largest) } else { io::Error::other("changed while it was read") })
}

/// The names in a directory, at most this many; `NotADirectory` if it is none.
pub(crate) fn names(path: &Path, user: Option<&Identity>, most: usize) -> io::Result<Vec<OsString>> {
    trusted::names(as_owner(user, |trust| trusted::open_directory(path, trust))?, most)
}

/// Opens the standard input of a process, with the rights of its user.
pub(crate) fn input((stdin, path): (Stdin, &Path), user: Option<&Identity>) -> io::Result<File> {
    let place = TrustedPlace::resolve(path, &Trust::program(user.cloned()), Missing::Fail)?;
    match stdin {
        Stdin::Fifo => place.open_fifo(user.map(|user| (user.uid, user.gid))),
        _ => place.open_input(),
    }
}

fn open(path: &Path, user: Option<&Identity>) -> io::Result<File> {
    as_owner(user, |trust| TrustedPlace::resolve(path, trust, Missing::Fail)?.open_secret())
}

/// Opens something as the program's user, or as the single owner of its directory.
fn as_owner(user: Option<&Identity>, open: impl Fn(&Trust) -> io::Result<File>) -> io::Result<File> {
    match (open(&Trust::program(user.cloned())), user) {
        (Err(error), Some(_)) if Refusal::of(&error).is_some() => open(&Trust::program(None)).map_err(|_| error),
        (opened, _) => opened,
    }
}

/// Waits until a FIFO has bytes, or its last writer has closed it. Without a writer so far, that is not its end.
fn wait(fifo: &File, until: Instant) -> io::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fifo.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) if Instant::now() >= until => return Err(io::ErrorKind::TimedOut.into()),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

pub(crate) fn too_large(largest: usize) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} KiB", largest / 1024))
}
