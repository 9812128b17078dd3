//! Small things that are done to descriptors: pipes, flags, numbers out of the way of 0, 1 and 2.
//!
//! Everything made here is close-on-exec, so nothing reaches a child that was not promised to it. What waits for
//! descriptors is [`crate::async_fd`] and [`crate::pollset`].

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Turns the -1 of a C function into the error it stands for.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A pipe for a child's output: the reading end does not block, the writing end does, as programs expect of their
/// stdout.
pub fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe_with(libc::O_CLOEXEC)?;
    set_nonblocking(reader.as_fd())?;
    Ok((reader, writer))
}

/// A pipe whose ends both have `flags`.
pub(crate) fn pipe_with(flags: libc::c_int) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two numbers that pipe2 writes.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) })?;
    // SAFETY: both descriptors were made just now and belong to nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Makes reads and writes return `WouldBlock` instead of waiting. The flag belongs to the open file description, so
/// everyone who shares it is affected: never for an inherited stdout.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_GETFL and F_SETFL touch no memory of ours.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// Reads what is there, `WouldBlock` when nothing is, 0 at the end.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`.
        let count = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
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

/// A copy of the descriptor, close-on-exec, with a number of 3 or more: it can be put on 0, 1 and 2 in any order.
pub(crate) fn copy_above_stdio(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC touches no memory of ours.
    let copy = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the copy was made just now and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Whether this is a pipe without a name, as opposed to a FIFO in some directory.
pub(crate) fn is_anonymous_pipe(fd: BorrowedFd<'_>) -> bool {
    // From <linux/magic.h>; libc lacks it.
    const PIPEFS_MAGIC: u64 = 0x5049_5045;
    let mut about = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: fstatfs fills `about` when it returns 0, and only then is it read.
    unsafe {
        libc::fstatfs(fd.as_raw_fd(), about.as_mut_ptr()) == 0 && about.assume_init().f_type as u64 == PIPEFS_MAGIC
    }
}

/// Gives the file behind the descriptor to a user.
pub(crate) fn change_owner(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: fchown touches no memory of ours.
    check(unsafe { libc::fchown(fd.as_raw_fd(), uid, gid) }).map(drop)
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
