//! A log file: what streams write, as it is.
//!
//! Opened when a stream is attached to it, and opened again after an error, at most once a second. A file that cannot be
//! written loses bytes and never stops the program: what was lost is counted, and told when it begins, once a minute, and
//! when it is over. One that is not safe to use is refused, and its lines are given back to be shown elsewhere. A file that
//! somebody else has moved, removed or emptied is noticed within a second of writing. It is rotated at the end of a line, and
//! opened anew there, or after a second; [`rotate`](super::rotate) has the names.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use memchr::{memchr, memrchr};
use muster_sys::trusted::{Inode, Refusal};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use tracing::{info, warn};

use super::TELL_AGAIN;
use super::compress::{Compressor, Job};
use super::console_format::LONGEST;
use super::counters::Counters;
use super::loss::{Loss, Refusals};
use super::open::Open;
use super::policy::FilePolicy;
use super::rotate::Names;

/// How soon a file that failed is tried again, and how often a healthy one is looked at from outside.
const RETRY: Duration = Duration::from_secs(1);

/// How soon a rotation that failed is tried again.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);

/// A file that is full again and again without anything being written to it is not rotated any more for a while.
const IDLE_ROTATIONS: u32 = 2;

/// A log file.
#[derive(Debug)]
pub(super) struct LogFile {
    names: Names,
    compressor: Arc<Compressor>,
    /// Held while this file and its predecessors change their names.
    numbers: Arc<Mutex<()>>,
    open: Option<Open>,
    loss: Option<Loss>,
    /// The file is not safe to use, which was told; it is tried again at this time.
    refused_until: Option<Instant>,
    /// When a refusal was last told, how many have not been told since, and whether the last one was.
    refusals: Refusals,
    /// What was told of it being moved or removed.
    moves: Refusals,
    /// When a loss was last told, and what has been lost since without a word.
    told_at: Option<Instant>,
    untold: (u64, u64),
    rotate_not_before: Option<Instant>,
    /// It is to be opened anew at the end of the line that is being written, or at this time.
    reopen_by: Option<Instant>,
    /// What was written last, and what was lost last, was the end of a line.
    ends_line: bool,
}

/// Bytes on their way to a file: whole lines, or a part of one that is very long.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    /// Where a loss is counted.
    pub(super) counters: &'a Counters,
    pub(super) now: Instant,
}

/// What of a piece did not go into the file and is not lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left<'a> {
    Nothing,
    /// A reader has no room for it now: see [`LogFile::wait_for_room`].
    NoRoom(&'a [u8]),
    /// The file is not safe to use: it is to be shown elsewhere.
    Refused(&'a [u8]),
}

impl LogFile {
    pub(super) fn at(path: &Path, policy: impl Into<FilePolicy>, compressor: &Arc<Compressor>) -> LogFile {
        LogFile {
            names: Names::new(path, policy),
            compressor: Arc::clone(compressor),
            numbers: Arc::default(),
            open: None,
            loss: None,
            refused_until: None,
            refusals: Refusals::default(),
            moves: Refusals::default(),
            told_at: None,
            untold: (0, 0),
            rotate_not_before: None,
            reopen_by: None,
            ends_line: true,
        }
    }

    /// As another run of its program has it configured.
    pub(super) fn set_policy(&mut self, policy: FilePolicy) {
        self.names.policy = policy;
    }

    /// Opens the file before there is anything to write, so that it is there, and any error is told now.
    pub(super) fn prepare(&mut self, now: Instant) {
        match self.open_if_closed(now) {
            // A FIFO may get its reader in time for the first byte.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => {}
            Err(error) if Refusal::of(&error).is_some() => self.refuse(now, &error),
            Err(error) => self.fail(now, &error),
            Ok(()) => {}
        }
    }

    /// Lets go of the file that is open; the next bytes open it anew.
    pub(super) fn reopen(&mut self, now: Instant) {
        self.let_go(now);
        self.refused_until = self.refused_until.map(|_| now);
        if let Some(loss) = &mut self.loss {
            loss.retry_at = now;
        }
    }

    /// Lets go of the file, or of its unfinished line first: no line is torn if its rest comes soon.
    fn let_go(&mut self, now: Instant) {
        if self.ends_line {
            self.open = None;
        } else {
            self.reopen_by.get_or_insert(now + RETRY);
        }
    }

    /// Appends bytes, or counts them as lost; says what did not go in and is not lost.
    pub(super) fn append<'a>(&mut self, piece: Piece<'a>) -> Left<'a> {
        if self.refused_until.is_some_and(|at| piece.now < at) {
            return Left::Refused(piece.bytes);
        }
        let mut rest = self.after_loss(piece);
        let mut idle = 0;
        while !rest.is_empty() {
            let before = rest.len();
            match self.append_some(&mut rest, piece.now) {
                Err(error) if Refusal::of(&error).is_some() => {
                    self.refuse(piece.now, &error);
                    return Left::Refused(rest);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.open.is_some() => {
                    return Left::NoRoom(rest);
                }
                Err(error) => {
                    self.lose(rest, piece, &error);
                    break;
                }
                Ok(()) => idle = if rest.len() == before { idle + 1 } else { 0 },
            }
            if idle > IDLE_ROTATIONS {
                self.rotate_not_before = Some(piece.now + ROTATE_AGAIN);
            }
        }
        Left::Nothing
    }

    /// The device that the file is on, if it is open and on one.
    pub(super) fn device(&self) -> Option<u64> {
        self.open.as_ref().filter(|open| open.opened.is_regular).map(|open| open.opened.inode.device)
    }

    /// Waits until the reader of a FIFO or of a terminal has made room, or has gone.
    pub(super) fn wait_for_room(&self) {
        if let Some(open) = &self.open {
            let mut wanted = [PollFd::new(open.opened.file.as_fd(), PollFlags::POLLOUT)];
            // An error shows at the next write.
            let _ = nix::poll::poll(&mut wanted, PollTimeout::NONE);
        }
    }

    /// While it cannot be written, everything is lost until it is time to try again, and then up to the end of a line.
    fn after_loss<'a>(&mut self, piece: Piece<'a>) -> &'a [u8] {
        let Some(loss) = &mut self.loss else { return piece.bytes };
        let start = match (piece.now < loss.retry_at, loss.ends_line) {
            (true, _) => piece.bytes.len(),
            (false, true) => 0,
            (false, false) => memchr(b'\n', piece.bytes).map_or(piece.bytes.len(), |end| end + 1),
        };
        let (lost, rest) = piece.bytes.split_at(start);
        loss.add(lost, piece.counters);
        if self.told_at.is_none_or(|at| piece.now >= at + TELL_AGAIN) {
            self.told_at = Some(piece.now);
            loss.is_told = true;
            let path = self.names.path.display();
            warn!(file = %path, lost_lines = loss.lines, lost_bytes = loss.bytes, "a log file still cannot be written");
        }
        rest
    }

    /// Writes what goes into the current file, and rotates it when it is full.
    fn append_some(&mut self, rest: &mut &[u8], now: Instant) -> io::Result<()> {
        if self.reopen_by.is_some_and(|by| self.ends_line || now >= by) {
            self.open = None;
        }
        self.look_from_outside(now);
        self.open_if_closed(now)?;
        if self.loss.is_some() && !self.ends_line {
            // The line of which the end was lost must not take in the next one.
            self.write(&mut &b"\n"[..])?;
        }
        let (fits, is_full) = self.cut(rest, now);
        let (mut now_due, later) = rest.split_at(fits);
        let written = self.write(&mut now_due);
        if written.is_err() {
            *rest = &rest[fits - now_due.len()..];
            return written;
        }
        *rest = later;
        if fits > 0 {
            self.tell_recovery();
        }
        if is_full {
            self.rotate(now);
        }
        Ok(())
    }

    pub(super) fn open_if_closed(&mut self, now: Instant) -> io::Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        self.open = Some(Open::new(&self.names, now)?);
        self.reopen_by = None;
        if self.refused_until.take().is_some() && self.refusals.is_told {
            info!(file = %self.names.path.display(), "a log file that was refused is used again");
        }
        Ok(())
    }

    /// How many of these bytes go into the current file, and whether the next file follows.
    fn cut(&self, bytes: &[u8], now: Instant) -> (usize, bool) {
        let Some(open) = &self.open else { return (bytes.len(), false) };
        if self.reopen_by.is_some() {
            return (memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1), false);
        }
        let limit = self.names.policy.rotation.max_size;
        let room = usize::try_from(limit.saturating_sub(open.size)).unwrap_or(usize::MAX);
        let is_held_back = self.rotate_not_before.is_some_and(|at| now < at);
        if limit == 0 || bytes.len() <= room || !open.is_rotatable() || is_held_back {
            return (bytes.len(), false);
        }
        match memrchr(b'\n', &bytes[..room]) {
            Some(end) => (end + 1, true),
            None if self.ends_line && open.size > 0 => (0, true),
            // A line that is longer than the room goes in to its end, unless it has none for very long.
            None => match memchr(b'\n', bytes) {
                Some(end) => (end + 1, true),
                None => (bytes.len(), open.size + bytes.len() as u64 > limit.saturating_add(LONGEST as u64)),
            },
        }
    }

    /// Writes everything, or leaves what could not be written: a disk may fill up in the middle.
    fn write(&mut self, bytes: &mut &[u8]) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        while !bytes.is_empty() {
            match open.opened.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.ends_line = bytes[written - 1] == b'\n';
                    open.size += written as u64;
                    *bytes = &bytes[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Somebody may have moved the file away, or emptied it. One look a second, and none while nothing is written.
    fn look_from_outside(&mut self, now: Instant) {
        let Some(open) = &mut self.open else { return };
        if !open.opened.is_regular || now < open.looked_at + RETRY || self.reopen_by.is_some() {
            return;
        }
        open.looked_at = now;
        match std::fs::metadata(&self.names.path) {
            Ok(file) if (Inode { device: file.dev(), number: file.ino() }) == open.opened.inode => {
                open.size = file.size()
            }
            _ => {
                if self.moves.is_to_be_told(now) {
                    let (file, suppressed) = (self.names.path.display(), self.moves.take_untold());
                    info!(%file, suppressed, "a log file was moved or removed, it is opened anew");
                }
                self.let_go(now);
            }
        }
    }

    fn rotate(&mut self, now: Instant) {
        let Some(open) = &self.open else { return };
        let (place, policy, names) = (open.place.clone(), self.names.policy, Arc::clone(&self.numbers));
        match (Job { place, policy, names }).shift(open.opened.inode, &self.compressor) {
            Ok(is_rotated) => {
                self.open = None;
                if is_rotated {
                    self.rotate_not_before = None;
                }
            }
            Err(error) => {
                let path = self.names.path.display();
                warn!(file = %path, %error, "cannot rotate a log file, it goes on growing");
                self.rotate_not_before = Some(now + ROTATE_AGAIN);
            }
        }
    }

    /// The file is not safe to use. Told once, until it is.
    fn refuse(&mut self, now: Instant, error: &io::Error) {
        self.open = None;
        let is_new = self.refused_until.is_none();
        if is_new && self.refusals.is_to_be_told(now) {
            let (reason, hint) = Refusal::of(error).map_or(("", ""), |refusal| (refusal.reason.as_str(), refusal.hint));
            let path = self.names.path.display();
            let suppressed = std::mem::take(&mut self.refusals.untold);
            if suppressed == 0 {
                warn!(file = %path, reason, hint, "a log file is refused, its lines go to the console");
            } else {
                warn!(file = %path, reason, hint, suppressed, "a log file is refused again and again");
            }
        }
        self.refused_until = Some(now + RETRY);
    }

    fn lose(&mut self, lost: &[u8], piece: Piece<'_>, error: &io::Error) {
        self.fail(piece.now, error);
        if let Some(loss) = &mut self.loss {
            loss.add(lost, piece.counters);
        }
    }

    fn fail(&mut self, now: Instant, error: &io::Error) {
        self.open = None;
        let retry_at = now + RETRY;
        // A disk that is full again and again is told once a minute.
        let is_told = self.loss.is_some() || self.told_at.is_none_or(|at| now >= at + TELL_AGAIN);
        let (lines, bytes) = self.untold;
        let new = Loss { lines, bytes, ends_line: true, retry_at, is_told };
        if self.loss.is_none() && is_told {
            self.told_at = Some(now);
            let path = self.names.path.display();
            warn!(file = %path, %error, "cannot write a log file, its lines are lost until it works again");
        }
        self.untold = (0, 0);
        self.loss.get_or_insert(new).retry_at = retry_at;
    }

    fn tell_recovery(&mut self) {
        let Some(loss) = self.loss.take() else { return };
        if !loss.is_told {
            self.untold = (loss.lines, loss.bytes);
            return;
        }
        let path = self.names.path.display();
        warn!(file = %path, lost_lines = loss.lines, lost_bytes = loss.bytes, "a log file can be written again");
    }

    /// Nobody writes to it any more.
    pub(super) fn end(&mut self) {
        let (lost_lines, lost_bytes) = self.loss.take().map_or(self.untold, |loss| (loss.lines, loss.bytes));
        if lost_bytes > 0 {
            warn!(file = %self.names.path.display(), lost_lines, lost_bytes, "lines of a log file were lost");
        }
    }
}

#[cfg(test)]
mod tests;
