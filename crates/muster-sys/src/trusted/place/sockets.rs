//! Unix sockets at a judged place.
//!
//! bind(2) takes a path and follows links in it. The path is the real one that was judged: in a directory of root's
//! or the daemon's user no other user can change it, and in one of another user bind(2) runs with that user's
//! privileges, so a redirected one does nothing that the user could not do.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;

use muster_spec::UnixKind;

use super::{Creation, Inode, TrustedPlace};
use crate::fd::{check, connect_to};
use crate::trusted::Refusal;

impl TrustedPlace {
    /// The socket that has this name; `None` if the name is free. An error if it is anything but a socket.
    pub(crate) fn socket(&self) -> io::Result<Option<Inode>> {
        self.look_at_socket()?.as_ref().map(Inode::of).transpose()
    }

    fn look_at_socket(&self) -> io::Result<Option<File>> {
        let Some(file) = self.level.look(&self.name)? else { return Ok(None) };
        if !file.metadata()?.file_type().is_socket() {
            let reason = format!("{} is not a socket", self.path().display());
            return Err(Refusal::new(reason, "remove it, or name another path").into());
        }
        Ok(Some(file))
    }

    /// Gives a socket this name, with a mode and an owner, before anything can connect: it does not listen yet.
    pub(crate) fn bind(&self, socket: BorrowedFd<'_>, creation: Creation) -> io::Result<Inode> {
        let path = self.path();
        // SAFETY: all zeros are a valid sockaddr_un.
        let mut address: libc::sockaddr_un = unsafe { zeroed() };
        let bytes = path.as_os_str().as_bytes();
        if bytes.len() >= address.sun_path.len() {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        address.sun_path.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from as libc::c_char);
        let length = offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
        debug_assert!(length <= size_of::<libc::sockaddr_un>());
        self.act(|| {
            // SAFETY: umask touches no memory of ours.
            let before = unsafe { libc::umask(!creation.mode & 0o777) };
            // SAFETY: the kernel reads `length` bytes of `address`, which is as large at least.
            let bound = check(unsafe {
                libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length as libc::socklen_t)
            });
            // SAFETY: as above.
            unsafe { libc::umask(before) };
            bound
        })?;
        // Before it is given away, and by descriptor from then on: its owner may exchange what has the name.
        let file = self.look_at_socket()?.ok_or(io::ErrorKind::NotFound)?;
        self.give(&file, creation).inspect_err(|_| drop(self.remove("")))?;
        Inode::of(&file)
    }

    /// Whether a process has the socket of this name open; only a refused connection says that none has.
    pub(crate) fn has_listener(&self, kind: UnixKind) -> io::Result<bool> {
        let kind = match kind {
            UnixKind::Stream => libc::SOCK_STREAM,
            UnixKind::Datagram => libc::SOCK_DGRAM,
            UnixKind::Sequential => libc::SOCK_SEQPACKET,
        };
        let path = self.path();
        match self.act(|| connect_to(&path, kind)) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNREFUSED | libc::ENOENT)) => Ok(false),
            // Of another kind, or with a full queue.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPROTOTYPE | libc::EAGAIN)) => Ok(true),
            Err(error) => Err(self.explain("", error)),
            Ok(()) => Ok(true),
        }
    }

    /// The error of a path whose socket another process has open.
    pub(crate) fn refuse_taken(&self) -> io::Error {
        let reason = format!("a process listens on {} already", self.path().display());
        Refusal::new(reason, "stop that process, or name another path").into()
    }

    /// Changes the mode and owner of a socket that has this name. The file that is changed is the one that was looked at,
    /// whatever has the name meanwhile.
    pub(crate) fn dress_socket(&self, inode: Inode, creation: Creation) -> io::Result<()> {
        let file = self.level.look(&self.name)?.ok_or(io::ErrorKind::NotFound)?;
        if Inode::of(&file)? != inode {
            let reason = format!("{} is another file by now", self.path().display());
            return Err(Refusal::new(reason, "remove it, the next start makes a new socket").into());
        }
        // fchmod(2) refuses a descriptor that is opened for inspection only.
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let change = || {
            // The mode first: the owner may be one that only root can set.
            // SAFETY: `path` is a C string that lives through the call.
            check(unsafe { libc::chmod(path.as_ptr(), creation.mode & 0o777) })?;
            creation.owner.map_or(Ok(()), |owner| give(&file, owner))
        };
        self.act(change)
    }

    fn give(&self, file: &File, creation: Creation) -> io::Result<()> {
        let Some((uid, gid)) = creation.owner else { return Ok(()) };
        match (self.act(|| give(file, (uid, gid))), self.works_as()) {
            (Ok(_), _) => Ok(()),
            (Err(error), None) => Err(error),
            (Err(error), Some(owner)) => {
                let path = self.path();
                let reason = format!("{} cannot be given to uid {uid} by uid {owner}: {error}", path.display());
                Err(Refusal::new(reason, "put the socket in a directory that belongs to root").into())
            }
        }
    }
}

/// Changes the owner of a file that may be opened for inspection only.
fn give(file: &File, (uid, gid): (u32, u32)) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH;
    // SAFETY: the empty name is a C string.
    check(unsafe { libc::fchownat(file.as_raw_fd(), c"".as_ptr(), uid, gid, flags) }).map(drop)
}
