//! The file of `[musterd] logfile`: the daemon's own messages, written by a separate thread, managed like programs' log files.
//!
//! It is rotated, reopened and checked like any log file, but only in directories of root's or the daemon's own user. Refused
//! messages go to stderr. A stalled disk costs messages and never the daemon's time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use muster_spec::Rotation;

use super::console::Console;
use super::counters::Counters;
use super::file::{Left, LogFile, Piece};
use super::policy::FilePolicy;

/// The file, and the commands for its thread.
#[derive(Debug)]
pub struct OwnFile {
    file: LogFile,
    counters: Counters,
    orders: Arc<Orders>,
    stderr: Console,
}

/// The commands for the file's thread, carried out before its next line.
#[derive(Debug, Default)]
pub(super) struct Orders {
    is_to_be_reopened: AtomicBool,
    /// Another place for the file, and its rotation.
    place: Mutex<Option<(PathBuf, Rotation)>>,
}

impl Orders {
    pub(super) fn reopen(&self) {
        self.is_to_be_reopened.store(true, Ordering::Release);
    }

    pub(super) fn move_to(&self, path: &Path, rotation: Rotation) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some((path.to_owned(), rotation));
        self.reopen();
    }
}

impl OwnFile {
    /// Opens it; a daemon that cannot keep its log does not start.
    pub fn open(path: &Path, rotation: Rotation, stderr: Console) -> io::Result<OwnFile> {
        let mut file = LogFile::at(path, FilePolicy::own(rotation), &Arc::default());
        file.open_if_closed(Instant::now())?;
        Ok(OwnFile { file, counters: Counters::default(), orders: Arc::default(), stderr })
    }

    pub(super) fn orders(&self) -> Arc<Orders> {
        Arc::clone(&self.orders)
    }

    /// Opens it again, or the file that takes its place. One that cannot be opened changes nothing.
    fn open_again(&mut self, now: Instant) {
        let place = self.orders.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((path, rotation)) = place else { return self.file.reopen(now) };
        let mut file = LogFile::at(&path, FilePolicy::own(rotation), &Arc::default());
        match file.open_if_closed(now) {
            Ok(_) => self.file = file,
            Err(error) => {
                self.stderr.append(format!("cannot open {}: {error}\n", path.display()).as_bytes());
                self.file.reopen(now);
            }
        }
    }

    pub(super) fn write(&mut self, lines: &[u8]) {
        let now = Instant::now();
        if self.orders.is_to_be_reopened.swap(false, Ordering::AcqRel) {
            self.open_again(now);
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match self.file.append(Piece { bytes: rest, counters: &self.counters, now }) {
                Left::Nothing => return,
                Left::Refused(lines) => return self.stderr.append(lines),
                Left::NoRoom(left) => rest = left,
            }
            self.file.wait_for_room();
        }
    }
}
