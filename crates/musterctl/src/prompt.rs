//! Asks for a password on the terminal, without showing it.
//!
//! Keys that usually raise signals are read as characters meanwhile, so no way out leaves the terminal without echo.

use std::fs::File;
use std::io::{self, Read, Write};

use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

/// Maximum length of a password.
const LENGTH_MAX: usize = 1024;

const INTERRUPT: u8 = 0x03;
const END_OF_INPUT: u8 = 0x04;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];
const ERASE_LINE: u8 = 0x15;

/// A terminal that is restored when this is dropped.
struct Silent {
    terminal: File,
    saved: Termios,
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.saved);
        let _ = self.terminal.write_all(b"\n");
    }
}

/// Asks for a password.
pub(crate) fn password(question: &str) -> io::Result<String> {
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let saved = tcgetattr(&terminal)?;
    let mut silent = Silent { terminal, saved };
    let mut changed = silent.saved.clone();
    changed.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
    tcsetattr(&silent.terminal, SetArg::TCSAFLUSH, &changed)?;
    silent.terminal.write_all(question.as_bytes())?;
    let read = read_line(&mut silent.terminal);
    drop(silent);
    match read? {
        Some(line) => String::from_utf8(line).map_err(|_| io::Error::other("it is not UTF-8")),
        None => {
            raise(Signal::SIGINT)?;
            Err(io::ErrorKind::Interrupted.into())
        }
    }
}

/// A line; `None` if it was interrupted.
fn read_line(terminal: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut key = [0];
    loop {
        if terminal.read(&mut key)? == 0 {
            return Ok(Some(line));
        }
        match key[0] {
            b'\r' | b'\n' | END_OF_INPUT => return Ok(Some(line)),
            INTERRUPT => return Ok(None),
            ERASE_LINE => line.clear(),
            key if BACKSPACE.contains(&key) => {
                // A character of several bytes goes as a whole.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            _ if line.len() >= LENGTH_MAX => return Err(io::Error::other("it is too long")),
            key => line.push(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_edit_the_line() {
        for (keys, line) in [
            (&b"secret\r"[..], Some(&b"secret"[..])),
            (b"se\x7fcret\n", Some(b"scret")),
            ("sé\x7fx\n".as_bytes(), Some(b"sx")),
            (b"old\x15new\x04", Some(b"new")),
            (b"sec\x03", None),
            (b"end", Some(b"end")),
        ] {
            assert_eq!(read_line(&mut &keys[..]).unwrap().as_deref(), line, "{keys:?}");
        }
        assert!(read_line(&mut io::repeat(b'x')).is_err());
    }
}
