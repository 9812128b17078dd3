//! The clients that watch the terminal of a run: each has a pipe, and the thread that reads the terminal writes into it.
//!
//! A client sees every byte as it was read, before anything is removed for logs. Nothing waits for a client: it misses what its
//! pipe has no room for. Without clients a read costs one look at a number.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_spec::{InstanceSpec, RunId, Sink};
use muster_sys::{fd, pty};
use nix::fcntl::{FcntlArg, fcntl};

use super::{Logs, ReadyMatcher, Source, Unbound};

/// The size of a client's pipe, where the kernel allows it.
const ROOM: i32 = 256 * 1024;

/// The clients of one terminal. Shared by the thread that reads it and the loop's.
#[derive(Debug, Default)]
pub struct Screen {
    /// The number of clients.
    count: AtomicUsize,
    last_id: AtomicU64,
    /// `None` once the terminal has been read to its end.
    watchers: Mutex<Option<Vec<Watcher>>>,
}

/// A client's place at a screen, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends what it is shown"]
pub struct Seat {
    screen: Arc<Screen>,
    id: u64,
}

/// A client.
#[derive(Debug)]
struct Watcher {
    id: u64,
    pipe: OwnedFd,
    /// Whether it shows the bytes on a terminal without output processing.
    is_raw: bool,
    /// The last byte it was sent.
    last: u8,
}

impl Logs {
    /// Prepares reading the terminal of a process that is about to be created, by the daemon's end: as its standard output, and for
    /// the clients of the screen that is returned.
    pub fn open_terminal(
        &self,
        run: RunId,
        spec: &InstanceSpec,
        sinks: &[Sink],
        matcher: Option<ReadyMatcher>,
        ours: OwnedFd,
    ) -> (Unbound, Arc<Screen>) {
        let screen = Screen::new();
        let from = (ours, Some(Arc::clone(&screen)));
        (self.prepare(run, spec, (Source::Stdout, sinks), matcher, from), screen)
    }

    /// This run is over, whatever is left of it: its terminal is read for the last time, and hangs up.
    pub fn hang_up(&self, run: RunId) {
        self.pump.hang_up(run.0);
    }
}

impl Screen {
    pub(super) fn new() -> Arc<Screen> {
        Arc::new(Screen { watchers: Mutex::new(Some(Vec::new())), ..Screen::default() })
    }

    /// Adds a client, and returns the reading end of its pipe; `None` if the terminal has ended. A raw one gets the carriage
    /// returns that the terminal does not add.
    pub fn watch(self: &Arc<Screen>, is_raw: bool) -> io::Result<Option<(OwnedFd, Seat)>> {
        let (reading, pipe) = fd::inner_pipe()?;
        // A smaller one does as well.
        let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(ROOM));
        let mut watchers = self.lock();
        let Some(all) = watchers.as_mut() else { return Ok(None) };
        let id = self.last_id.fetch_add(1, Ordering::Relaxed);
        all.push(Watcher { id, pipe, is_raw, last: b'\n' });
        self.count.store(all.len(), Ordering::Release);
        Ok(Some((reading, Seat { screen: Arc::clone(self), id })))
    }

    /// Passes on what was read from the terminal.
    pub(super) fn show(&self, terminal: BorrowedFd<'_>, bytes: &[u8]) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let lacks_returns = pty::lacks_carriage_returns(terminal);
        let mut watchers = self.lock();
        let Some(all) = watchers.as_mut() else { return };
        all.retain_mut(|watcher| watcher.show(bytes, lacks_returns));
        self.count.store(all.len(), Ordering::Release);
    }

    /// The terminal has ended.
    pub(super) fn close(&self) {
        self.count.store(0, Ordering::Release);
        *self.lock() = None;
    }

    /// A list of clients is whole even if a thread panicked while it held the lock.
    fn lock(&self) -> MutexGuard<'_, Option<Vec<Watcher>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut watchers = self.screen.lock();
        let Some(all) = watchers.as_mut() else { return };
        all.retain(|watcher| watcher.id != self.id);
        self.screen.count.store(all.len(), Ordering::Release);
    }
}

impl Watcher {
    /// False if it is gone.
    fn show(&mut self, bytes: &[u8], lacks_returns: bool) -> bool {
        let with_returns;
        let shown = if self.is_raw && lacks_returns {
            with_returns = add_returns(self.last, bytes);
            &with_returns[..]
        } else {
            bytes
        };
        self.last = bytes.last().copied().unwrap_or(self.last);
        match fd::write(self.pipe.as_fd(), shown) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

fn add_returns(mut last: u8, bytes: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    for &byte in bytes {
        if byte == b'\n' && last != b'\r' {
            shown.push(b'\r');
        }
        shown.push(byte);
        last = byte;
    }
    shown
}

/// Reads a terminal as a pipe is read.
pub(super) fn read(terminal: &File, buffer: &mut [u8]) -> io::Result<usize> {
    pty::read(terminal.as_fd(), buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(pipe: &OwnedFd) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let count = fd::read(pipe.as_fd(), &mut bytes).unwrap_or(0);
        bytes[..count].to_vec()
    }

    #[test]
    fn each_client_sees_what_comes_after_it_and_a_raw_one_gets_carriage_returns() {
        let Ok((ours, theirs)) = pty::open(pty::Size { rows: 24, columns: 80 }) else { return };
        pty::make_quiet(theirs.as_fd()).unwrap();
        let screen = Screen::new();
        screen.show(ours.as_fd(), b"nothing sees this");
        let (raw, raw_seat) = screen.watch(true).unwrap().unwrap();
        screen.show(ours.as_fd(), b"\none\ntwo\r");
        let (plain, _seat) = screen.watch(false).unwrap().unwrap();
        screen.show(ours.as_fd(), b"\nthree\n");
        assert_eq!(read_all(&raw), b"\r\none\r\ntwo\r\nthree\r\n");
        assert_eq!(read_all(&plain), b"\nthree\n");
        drop(raw_seat);
        assert_eq!(fd::read(raw.as_fd(), &mut [0; 8]).unwrap(), 0);
        screen.show(ours.as_fd(), b"four");
        assert_eq!(screen.count.load(Ordering::Acquire), 1);
        screen.close();
        assert_eq!(read_all(&plain), b"four");
        assert_eq!(fd::read(plain.as_fd(), &mut [0; 8]).unwrap(), 0);
        assert!(screen.watch(true).unwrap().is_none());
    }

    #[test]
    fn a_client_that_does_not_read_costs_its_pipe_and_nothing_more() {
        let Ok((ours, _theirs)) = pty::open(pty::Size { rows: 24, columns: 80 }) else { return };
        let screen = Screen::new();
        let (lazy, _seat) = screen.watch(false).unwrap().unwrap();
        (0..1000).for_each(|_| screen.show(ours.as_fd(), &[b'x'; 4096]));
        assert!(fd::readable(lazy.as_fd()).unwrap() <= ROOM as usize);
    }
}
