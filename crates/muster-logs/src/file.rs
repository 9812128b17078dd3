//! A log file: the unchanged output of streams.
//!
//! Opened when a stream is attached to it, and reopened after an error, at most once a second. A file that cannot be
//! written loses bytes and never stops the program: losses are counted, and reported when they begin, once a minute, and
//! when they are over. A file that is not safe to use is refused, and its lines are returned to be shown elsewhere. If another
//! process moved, removed or truncated the file, that is noticed within a second of writing. It is rotated at the end of a line, and
//! reopened there, or after a second; [`rotate`](super::rotate) handles the names.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use memchr::memchr;
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

/// How soon a failed file is retried, and how often a healthy one is checked for outside changes.
const RETRY: Duration = Duration::from_secs(1);

/// How soon a failed rotation is retried.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);

/// A log file.
#[derive(Debug)]
pub(super) struct LogFile {
    names: Names,
    compressor: Arc<Compressor>,
    /// Held while this file and its predecessors are renamed.
    numbers: Arc<Mutex<()>>,
    open: Option<Open>,
    loss: Option<Loss>,
    /// The file is not safe to use, which was reported; it is retried at this time.
    refused_until: Option<Instant>,
    /// Limits reports of refusals.
    refusals: Refusals,
    /// Limits reports of the file being moved or removed.
    moves: Refusals,
    /// When a loss was last reported, and unreported losses since.
    told_at: Option<Instant>,
    untold: (u64, u64),
    rotate_not_before: Option<Instant>,
    /// Reopen at the end of the current line, or at this time.
    reopen_by: Option<Instant>,
    /// Whether the last byte written, or lost, was the end of a line.
    ends_line: bool,
}

/// Bytes for a file: whole lines, or a part of a very long one.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    /// Where a loss is counted.
    pub(super) counters: &'a Counters,
    pub(super) now: Instant,
}

/// The part of a piece that was not written but is not lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left<'a> {
    Nothing,
    /// The reader has no room now: see [`LogFile::wait_for_room`].
    NoRoom(&'a [u8]),
    /// The file is not safe to use: show it elsewhere.
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

    /// Applies the configuration of another run of its program.
    pub(super) fn set_policy(&mut self, policy: FilePolicy) {
        self.names.policy = policy;
    }

    /// Opens the file before there is anything to write, so that it exists and any error is reported now.
    pub(super) fn prepare(&mut self, now: Instant) {
        match self.open_if_closed(now) {
            // A FIFO may get its reader in time for the first byte.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => {}
            Err(error) if Refusal::of(&error).is_some() => self.refuse(now, &error),
            Err(error) => self.fail(now, &error),
            Ok(()) => {}
        }
    }

    /// Closes the file; the next bytes reopen it.
    pub(super) fn reopen(&mut self, now: Instant) {
        self.let_go(now);
        self.refused_until = self.refused_until.map(|_| now);
        if let Some(loss) = &mut self.loss {
            loss.retry_at = now;
        }
    }

    /// Closes the file, or first waits for the rest of its unfinished line, so that no line is torn if that comes soon.
    fn let_go(&mut self, now: Instant) {
        if self.ends_line {
            self.open = None;
        } else {
            self.reopen_by.get_or_insert(now + RETRY);
        }
    }

    /// Appends bytes, or counts them as lost; returns those that were neither written nor lost.
    pub(super) fn append<'a>(&mut self, piece: Piece<'a>) -> Left<'a> {
        if self.refused_until.is_some_and(|at| piece.now < at) {
            return Left::Refused(piece.bytes);
        }
        let mut rest = self.after_loss(piece);
        while !rest.is_empty() {
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
                Ok(()) => {}
            }
        }
        Left::Nothing
    }

    /// The device that the file is on, if it is open and on one.
    pub(super) fn device(&self) -> Option<u64> {
        self.open.as_ref().filter(|open| open.opened.is_regular).map(|open| open.opened.inode.device)
    }

    /// Waits until the reader of a FIFO or of a terminal has made room, or has closed it.
    pub(super) fn wait_for_room(&self) {
        if let Some(open) = &self.open {
            let mut wanted = [PollFd::new(open.opened.file.as_fd(), PollFlags::POLLOUT)];
            // An error shows at the next write.
            let _ = nix::poll::poll(&mut wanted, PollTimeout::NONE);
        }
    }

    /// After a failure everything is lost until the next attempt, and then up to the end of a line.
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

    /// Writes what fits into the current file, and rotates it when it is full.
    fn append_some(&mut self, rest: &mut &[u8], now: Instant) -> io::Result<()> {
        if self.reopen_by.is_some_and(|by| self.ends_line || now >= by) {
            self.open = None;
        }
        self.look_from_outside(now);
        self.open_if_closed(now)?;
        if self.loss.is_some() && !self.ends_line {
            // The line that lost its end must not absorb the next one.
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
        self.tell_recovery();
        if is_full {
            self.rotate(now);
            // Its successor exists from now on, empty.
            self.open_if_closed(now)?;
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

    /// How many of these bytes fit into the current file, and whether the next file follows.
    fn cut(&self, bytes: &[u8], now: Instant) -> (usize, bool) {
        let Some(open) = &self.open else { return (bytes.len(), false) };
        if self.reopen_by.is_some() {
            return (memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1), false);
        }
        let limit = self.names.policy.rotation.max_size;
        let room = usize::try_from(limit.saturating_sub(open.size)).unwrap_or(usize::MAX);
        let is_held_back = self.rotate_not_before.is_some_and(|at| now < at);
        if limit == 0 || bytes.len() < room || !open.is_rotatable() || is_held_back {
            return (bytes.len(), false);
        }
        // The line that reaches the limit is the last one in the file, unless it is very long.
        let before = room.saturating_sub(1);
        match memchr(b'\n', &bytes[before..]) {
            Some(end) => (before + end + 1, true),
            None => (bytes.len(), open.size + bytes.len() as u64 > limit.saturating_add(LONGEST as u64)),
        }
    }

    /// Writes everything, or leaves what could not be written: a disk may fill up midway.
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

    /// Checks once a second, and only when something is written, whether another process moved or truncated the file.
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
                    info!(%file, suppressed, "a log file was moved or removed, reopening it");
                }
                self.let_go(now);
            }
        }
    }

    fn rotate(&mut self, now: Instant) {
        let Some(open) = &mut self.open else { return };
        let (place, policy, names) = (open.place.clone(), self.names.policy, Arc::clone(&self.numbers));
        let rotated =
            (Job { place, policy, names }).shift(open.opened.inode, &self.compressor).and_then(|is_rotated| {
                if is_rotated && policy.rotation.max_files == 0 {
                    open.opened.file.set_len(0)?;
                }
                Ok(is_rotated)
            });
        match rotated {
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

    /// Refuses the file as unsafe. Reported once, until it is safe.
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
        // A disk that fills up repeatedly is reported once a minute.
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

    /// Closes the file for good.
    pub(super) fn end(&mut self) {
        let (lost_lines, lost_bytes) = self.loss.take().map_or(self.untold, |loss| (loss.lines, loss.bytes));
        if lost_bytes > 0 {
            warn!(file = %self.names.path.display(), lost_lines, lost_bytes, "lines of a log file were lost");
        }
    }
}

#[cfg(test)]
mod tests;
