//! Pseudo-terminals: a pair of descriptors, one of which is a terminal to the program that has it.
//!
//! A program gets its terminal by [`Spawner::spawn_on_terminal`](crate::spawn::Spawner::spawn_on_terminal), which makes it the
//! controlling one of the program's own session. The daemon never has a controlling terminal: `O_NOCTTY` everywhere.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::fd::{check, set_nonblocking};

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its height.
    pub rows: u16,
    /// Its width.
    pub columns: u16,
}

/// Opens a pseudo-terminal of this size: the daemon's end, which does not block, and the program's.
///
/// The program's end is opened through the daemon's and not by a path: in a container `/dev/pts` may be that of another
/// instance of the file system.
pub fn open(size: Size) -> io::Result<(OwnedFd, OwnedFd)> {
    let ours = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open("/dev/ptmx")?;
    let ours = OwnedFd::from(ours);
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int, and `unlocked` is one that lives through the call.
    check(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes flags by value and touches no memory.
    let theirs = check(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the descriptor was just opened and has no other owner.
    let theirs = unsafe { OwnedFd::from_raw_fd(theirs) };
    resize(ours.as_fd(), size)?;
    set_nonblocking(ours.as_fd())?;
    Ok((ours, theirs))
}

/// Changes the size. The kernel sends SIGWINCH to the foreground group if it differs.
pub fn resize(ours: BorrowedFd<'_>, size: Size) -> io::Result<()> {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one `winsize`, which lives through the call.
    check(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fd;

    #[test]
    fn what_is_written_at_one_end_is_read_at_the_other_until_the_last_copy_is_closed() {
        let Ok((ours, theirs)) = open(Size { rows: 24, columns: 80 }) else { return };
        assert_eq!(fd::write(theirs.as_fd(), b"hello").unwrap(), 5);
        let mut read = [0; 16];
        assert_eq!(fd::read(ours.as_fd(), &mut read).unwrap(), 5);
        let nothing = fd::read(ours.as_fd(), &mut read).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        resize(ours.as_fd(), Size { rows: 10, columns: 20 }).unwrap();
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCGWINSZ fills one `winsize`.
        check(unsafe { libc::ioctl(theirs.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) }).unwrap();
        assert_eq!((size.ws_row, size.ws_col), (10, 20));
        drop(theirs);
        assert_eq!(fd::read(ours.as_fd(), &mut read).unwrap_err().raw_os_error(), Some(libc::EIO));
    }
}
