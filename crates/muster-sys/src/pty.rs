//! Pseudo-terminals: a pair of descriptors, one of which is a terminal to the program that has it.
//!
//! A program gets its terminal by [`Spawner::spawn_on_terminal`](crate::spawn::Spawner::spawn_on_terminal), which makes it the
//! controlling one of the program's own session. The daemon never has a controlling terminal: `O_NOCTTY` everywhere.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::fd::{self, check, set_nonblocking};

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

/// Prepares a terminal, by the program's end, for a program whose output is kept: input is not echoed, and output is passed on as
/// it is written. Only its owner may open it: a message of another user is no output of the program.
///
/// Output processing is off as a whole, and `ONLCR` stays set without effect. A program that draws the screen itself, as with
/// curses, clears it, so [`lacks_carriage_returns`] can tell such a program from one that writes lines. `IXON` is cleared, or a
/// ctrl-S would stop the program until a client sends ctrl-Q.
pub fn make_quiet(theirs: BorrowedFd<'_>) -> io::Result<()> {
    let mut modes = modes(theirs)?;
    modes.c_lflag &= !(libc::ECHO | libc::ECHONL);
    modes.c_oflag &= !libc::OPOST;
    modes.c_oflag |= libc::ONLCR;
    modes.c_iflag &= !(libc::IXON | libc::IXOFF);
    modes.c_iflag |= libc::IUTF8;
    // SAFETY: the kernel reads one `termios`, which lives through the call.
    check(unsafe { libc::tcsetattr(theirs.as_raw_fd(), libc::TCSANOW, &raw const modes) })?;
    // SAFETY: fchmod touches no memory of ours.
    check(unsafe { libc::fchmod(theirs.as_raw_fd(), 0o600) }).map(drop)
}

/// Whether a screen has to return to the first column at each newline by itself, by either end of the terminal: its program writes
/// lines, and the terminal passes them on as they are.
pub fn lacks_carriage_returns(end: BorrowedFd<'_>) -> bool {
    modes(end).is_ok_and(|modes| modes.c_oflag & libc::OPOST == 0 && modes.c_oflag & libc::ONLCR != 0)
}

/// The modes of a terminal. At the daemon's end they are those of the program's.
fn modes(end: BorrowedFd<'_>) -> io::Result<libc::termios> {
    // SAFETY: all-zero bytes are a valid `termios`, numbers only, and the kernel fills it.
    unsafe {
        let mut modes: libc::termios = std::mem::zeroed();
        check(libc::tcgetattr(end.as_raw_fd(), &raw mut modes))?;
        Ok(modes)
    }
}

/// The current size.
pub fn size(ours: BorrowedFd<'_>) -> io::Result<Size> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ fills one `winsize`, which lives through the call.
    check(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok(Size { rows: size.ws_row, columns: size.ws_col })
}

/// Reads what is available, `WouldBlock` if nothing is, 0 at the end: when no process has the program's end open.
///
/// One read returns at most a page, so several are made.
pub fn read(ours: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    let mut was_closed = false;
    while count < buffer.len() {
        match fd::read(ours, &mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => (count, was_closed) = (count + more, false),
            // The kernel looks for output first and for a closed end then: what was written in between is found by
            // another read.
            Err(error) if error.raw_os_error() == Some(libc::EIO) && !was_closed => was_closed = true,
            Err(error) if error.raw_os_error() == Some(libc::EIO) => break,
            // Anything else will be found again by the next read.
            Err(error) if count == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(count)
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

    #[test]
    fn a_quiet_terminal_passes_on_what_is_written_and_its_modes_are_seen_at_both_ends() {
        let Ok((ours, theirs)) = open(Size { rows: 24, columns: 80 }) else { return };
        make_quiet(theirs.as_fd()).unwrap();
        assert_eq!(size(ours.as_fd()).unwrap(), Size { rows: 24, columns: 80 });
        assert!(lacks_carriage_returns(ours.as_fd()));
        assert_eq!(fd::write(ours.as_fd(), b"typed\r").unwrap(), 6);
        assert_eq!(fd::write(theirs.as_fd(), b"a\nb\n").unwrap(), 4);
        let mut bytes = [0; 64];
        assert_eq!(fd::read(theirs.as_fd(), &mut bytes).unwrap(), 6);
        assert_eq!(&bytes[..6], b"typed\n");
        let count = read(ours.as_fd(), &mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"a\nb\n");
        // As curses does.
        let mut modes = modes(theirs.as_fd()).unwrap();
        modes.c_oflag &= !libc::ONLCR;
        // SAFETY: the kernel reads one `termios`.
        check(unsafe { libc::tcsetattr(theirs.as_raw_fd(), libc::TCSANOW, &raw const modes) }).unwrap();
        assert!(!lacks_carriage_returns(ours.as_fd()));
    }

    #[test]
    fn what_was_written_before_the_last_copy_is_closed_is_read_before_the_end() {
        for _ in 0..200 {
            let Ok((ours, theirs)) = open(Size { rows: 24, columns: 80 }) else { return };
            make_quiet(theirs.as_fd()).unwrap();
            let writing = std::thread::spawn(move || {
                let mut left = &[b'x'; 10_000][..];
                while !left.is_empty() {
                    left = &left[fd::write(theirs.as_fd(), left).unwrap()..];
                }
            });
            let (mut buffer, mut count) = (vec![0; 1 << 16], 0);
            loop {
                match read(ours.as_fd(), &mut buffer) {
                    Ok(0) => break,
                    Ok(more) => count += more,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            writing.join().unwrap();
            assert_eq!(count, 10_000);
        }
    }

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
