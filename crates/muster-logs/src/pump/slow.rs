//! Files that take less than they are given.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use memchr::memchr_iter;
use tracing::warn;

use super::super::backlog::{Backlog, Origin, Waiting};
use super::super::file::{Left, LogFile, Piece};
use super::Order;
use super::driver::Driver;

impl Driver {
    /// A reader takes less than it is given, or a disk is stalled: the file gets a thread that waits.
    pub(super) fn give_away(&mut self, path: &Path, file: Box<LogFile>, left: &[u8], ends_line: bool, origin: &Origin) {
        let (give, given) = mpsc::channel::<(Box<LogFile>, Waiting)>();
        let backlog = Backlog::new(path.to_owned(), left.len(), ends_line, None);
        let (serving, own, for_thread) = (Arc::clone(&backlog), self.pump.clone(), path.to_owned());
        let thread = std::thread::Builder::new().name("logs-late".to_owned()).spawn(move || {
            if let Ok((file, first)) = given.recv() {
                serving.serve(file, &first, false);
                own.order(Order::Settle(for_thread));
            }
        });
        match thread {
            Ok(_) => {
                self.files.begin_late(path, backlog);
                let _ = give.send((file, Waiting::new(left, origin)));
            }
            Err(error) => {
                let lines = memchr_iter(b'\n', left).count() as u64;
                origin.counters.count_dropped(lines, left.len());
                self.files.put_back(path, file);
                warn!(file = %path.display(), %error, "cannot start a thread for a log file without room, lines are lost");
            }
        }
    }

    /// Waits for late files up to the deadline; stalled ones are abandoned.
    pub(super) fn wait_for_late_files(&self, deadline: Instant) {
        let began = Instant::now();
        for backlog in self.files.late() {
            backlog.wait_or_tell(began, deadline);
        }
    }
}

/// Writes as much as there is room for, and returns the rest. Bytes that the file refuses are shown elsewhere.
pub(super) fn append(file: &mut LogFile, pieces: [&[u8]; 3], origin: &Origin, now: Instant) -> Vec<u8> {
    let mut left = Vec::new();
    for bytes in pieces {
        if !left.is_empty() {
            left.extend_from_slice(bytes);
            continue;
        }
        match file.append(Piece { bytes, counters: &origin.counters, now }) {
            Left::Nothing => {}
            Left::NoRoom(rest) => left.extend_from_slice(rest),
            Left::Refused(rest) => origin.show_refused(rest),
        }
    }
    left
}
