//! Helpers for descriptors: pipes, flags, numbers above 0, 1 and 2.
//!
//! Every descriptor created here is close-on-exec, so children inherit only what they are given. To wait for
//! descriptors use [`crate::async_fd`] and [`crate::pollset`].

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Converts the -1 of a C function into the error.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A pipe for a child's output: the reading end is non-blocking, the writing end is blocking, as programs expect of their
/// stdout.
pub fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe_with(libc::O_CLOEXEC)?;
    set_new_nonblocking(reader.as_fd())?;
    Ok((reader, writer))
}

/// A pipe for a child's input: the writing end is non-blocking, the reading end is blocking, as programs expect of their stdin.
pub fn input_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe_with(libc::O_CLOEXEC)?;
    set_new_nonblocking(writer.as_fd())?;
    Ok((reader, writer))
}

/// A pipe within the daemon, whose ends both do not block.
pub fn inner_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    pipe_with(libc::O_CLOEXEC | libc::O_NONBLOCK)
}

/// Writes as much as there is room for, `WouldBlock` if there is none.
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads at most `bytes.len()` bytes from `bytes`.
    uninterrupted(|| unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })
}

/// Repeats a call that was interrupted by a signal.
pub(crate) fn uninterrupted(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        let count = call();
        match usize::try_from(count) {
            Ok(count) => return Ok(count),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// A pipe whose ends both have `flags`.
pub(crate) fn pipe_with(flags: libc::c_int) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two numbers that pipe2 writes.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) })?;
    // SAFETY: both descriptors were just created and have no other owner.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Makes room for this many descriptors in the process's table, as far as its limit allows.
///
/// The kernel enlarges the table by itself, but once a process has threads it waits for a grace period of every processor
/// each time: 15 to 150 ms on a busy machine. Call this before the first thread starts. An entry takes 8 bytes of the kernel's memory.
pub fn reserve_descriptors(count: u64) {
    let limit = crate::limits::OriginalLimits::current().map_or(0, |limits| limits.nofile_soft);
    let Ok(last) = libc::c_int::try_from(count.min(limit).saturating_sub(1)) else { return };
    let Ok(open) = std::fs::File::open("/dev/null") else { return };
    // SAFETY: fcntl touches no memory of ours. The copy is closed at once; where there is none, nothing was reserved.
    unsafe {
        let copy = libc::fcntl(open.as_raw_fd(), libc::F_DUPFD_CLOEXEC, last);
        if copy >= 0 {
            libc::close(copy);
        }
    }
}

/// Makes reads and writes return `WouldBlock` instead of waiting. The flag belongs to the open file description, so
/// every process that shares it is affected: never use it for an inherited stdout.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_GETFL and F_SETFL touch no memory of ours.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// The same for an end of a new pipe, which has no other flags that can be set.
fn set_new_nonblocking(end: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_SETFL touches no memory of ours.
    check(unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }).map(drop)
}

/// Makes reads and writes wait again.
pub(crate) fn set_blocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_GETFL and F_SETFL touch no memory of ours.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK) })?;
    Ok(())
}

/// Reads what is available, `WouldBlock` if nothing is, 0 at the end.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`.
    uninterrupted(|| unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) })
}

/// How many bytes can be read from a pipe now.
pub fn readable(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, and `count` is one that lives through the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// A copy of the descriptor, close-on-exec, with a number of 3 or more: it can be put on 0, 1 and 2 in any order.
pub(crate) fn copy_above_stdio(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    copy_above(fd, 2)
}

/// A copy of the descriptor, close-on-exec, with a number greater than this.
pub(crate) fn copy_above(fd: BorrowedFd<'_>, number: u32) -> io::Result<OwnedFd> {
    let least = libc::c_int::try_from(number).ok().and_then(|number| number.checked_add(1));
    let least = least.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: F_DUPFD_CLOEXEC touches no memory of ours.
    let copy = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) })?;
    // SAFETY: the copy was just created and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Whether this is an anonymous pipe, as opposed to a FIFO.
pub(crate) fn is_anonymous_pipe(fd: BorrowedFd<'_>) -> bool {
    // From <linux/magic.h>; libc lacks it.
    const PIPEFS_MAGIC: u64 = 0x5049_5045;
    let mut about = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: fstatfs fills `about` when it returns 0, and only then is it read.
    unsafe {
        libc::fstatfs(fd.as_raw_fd(), about.as_mut_ptr()) == 0 && about.assume_init().f_type as u64 == PIPEFS_MAGIC
    }
}

/// No group, in [`change_owner`]: the group stays.
pub(crate) const SAME_GROUP: u32 = u32::MAX;

/// Changes the owner of the file behind the descriptor.
pub(crate) fn change_owner(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: fchown touches no memory of ours.
    check(unsafe { libc::fchown(fd.as_raw_fd(), uid, gid) }).map(drop)
}

/// Whether a process listens on the Unix socket at this path. Never waits: a listener with a full backlog counts.
pub fn has_listener(path: &std::path::Path) -> bool {
    connect_to(path, libc::SOCK_STREAM).map_or_else(|error| error.raw_os_error() == Some(libc::EAGAIN), |()| true)
}

/// Connects to the Unix socket at this path and disconnects. Never waits.
pub(crate) fn connect_to(path: &std::path::Path, kind: libc::c_int) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: all-zero bytes are a valid sockaddr_un, numbers only.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (place, &byte) in address.sun_path.iter_mut().zip(bytes) {
        *place = byte as libc::c_char;
    }
    // SAFETY: socket touches no memory of ours.
    let socket = check(unsafe { libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) })?;
    // SAFETY: the descriptor was just created and has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the address lives through the call and has the given length.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pipe_without_a_name_is_anonymous() {
        let (reader, writer) = output_pipe().unwrap();
        assert!(is_anonymous_pipe(reader.as_fd()) && is_anonymous_pipe(writer.as_fd()));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(!is_anonymous_pipe(file.as_fd()));
    }

    #[test]
    fn a_full_input_pipe_takes_no_more_and_waits_for_nobody() {
        let (reader, writer) = input_pipe().unwrap();
        let bytes = vec![b'x'; 1 << 20];
        let taken = write(writer.as_fd(), &bytes).unwrap();
        assert!(taken < bytes.len());
        assert_eq!(write(writer.as_fd(), &bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(readable(reader.as_fd()).unwrap(), taken);
        drop(reader);
        // A process that another test is spawning holds a copy until it executes its program.
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let mut refused = io::ErrorKind::WouldBlock;
        while refused == io::ErrorKind::WouldBlock && std::time::Instant::now() < patience {
            refused = write(writer.as_fd(), &bytes).unwrap_err().kind();
        }
        assert_eq!(refused, io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_pipe_tells_how_much_is_in_it() {
        let (reader, writer) = output_pipe().unwrap();
        assert_eq!(readable(reader.as_fd()).unwrap(), 0);
        std::io::Write::write_all(&mut std::fs::File::from(writer), b"12345").unwrap();
        assert_eq!(readable(reader.as_fd()).unwrap(), 5);
    }

    #[test]
    fn the_reading_end_does_not_block_and_sees_the_end() {
        let (reader, writer) = output_pipe().unwrap();
        let mut buffer = [0; 8];
        assert_eq!(read(reader.as_fd(), &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(writer);
        assert_eq!(read(reader.as_fd(), &mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_copy_stays_clear_of_the_standard_streams() {
        let copy = copy_above_stdio(io::stdin().as_fd()).unwrap();
        assert!(copy.as_raw_fd() >= 3);
    }
}
