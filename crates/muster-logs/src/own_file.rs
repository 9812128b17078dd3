//! The file of `[musterd] logfile`: the daemon's own messages, written by a separate thread, managed like programs' log files.
//!
//! It is rotated, reopened and checked like any log file, but only in directories of root's or the daemon's own user. Refused
//! messages go to stderr. A stalled disk costs messages and never the daemon's time.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    is_to_be_reopened: Arc<AtomicBool>,
    stderr: Console,
}

impl OwnFile {
    /// Opens it; a daemon that cannot keep its log does not start.
    pub fn open(path: &Path, rotation: Rotation, stderr: Console) -> io::Result<OwnFile> {
        let mut file = LogFile::at(path, FilePolicy::own(rotation), &Arc::default());
        file.open_if_closed(Instant::now())?;
        Ok(OwnFile { file, counters: Counters::default(), is_to_be_reopened: Arc::default(), stderr })
    }

    /// Set when another process has moved the file away.
    pub(super) fn reopening(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_to_be_reopened)
    }

    pub(super) fn write(&mut self, lines: &[u8]) {
        let now = Instant::now();
        if self.is_to_be_reopened.swap(false, Ordering::AcqRel) {
            self.file.reopen(now);
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
