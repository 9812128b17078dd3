//! A log file: what a stream writes, as it is.
//!
//! Opened when there is something to write, and opened again after an error, at most once a second. A file that cannot be
//! written loses bytes and never stops the program: what was lost is counted, and said once when it begins and once when
//! it is over.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::warn;

const RETRY: Duration = Duration::from_secs(1);

/// A log file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: Option<File>,
    lost_bytes: u64,
    retry_at: Option<Instant>,
}

impl LogFile {
    pub(super) fn at(path: &Path) -> LogFile {
        LogFile { path: path.to_owned(), file: None, lost_bytes: 0, retry_at: None }
    }

    /// Lets go of the file that is open; the next bytes open it anew.
    pub(super) fn close(&mut self) {
        self.file = None;
        self.retry_at = None;
    }

    /// Appends bytes, or counts them as lost.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            self.lost_bytes += bytes.len() as u64;
            return;
        }
        match self.try_append(bytes) {
            Ok(()) => self.tell_recovery(),
            Err((written, error)) => self.lose(bytes.len() - written, &error),
        }
    }

    /// How many bytes were written before it failed is part of the error: a disk may fill up in the middle.
    fn try_append(&mut self, mut bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let whole = bytes.len();
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open(&self.path).map_err(|error| (0, error))?),
        };
        while !bytes.is_empty() {
            match file.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((whole - bytes.len(), error)),
            }
        }
        Ok(())
    }

    fn lose(&mut self, bytes: usize, error: &io::Error) {
        if self.lost_bytes == 0 {
            warn!(file = %self.path.display(), %error, "cannot write a log file, its lines are lost until it works again");
        }
        self.lost_bytes += bytes as u64;
        self.file = None;
        self.retry_at = Some(Instant::now() + RETRY);
    }

    fn tell_recovery(&mut self) {
        if self.lost_bytes > 0 {
            warn!(file = %self.path.display(), lost_bytes = self.lost_bytes, "a log file can be written again");
            self.lost_bytes = 0;
        }
        self.retry_at = None;
    }
}

/// Opens for appending without ever waiting: a FIFO that nobody reads is an error, not a hang. Directories are made when
/// the one above them is there.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o644).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY);
    match (options.open(path), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir(parent)?;
            options.open(path)
        }
        (result, _) => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_appended_and_the_directory_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log/web.log");
        for bytes in [b"one\n", b"two\n"] {
            LogFile::at(&path).append(bytes);
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_file_recovers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.log");
        std::fs::create_dir(&path).unwrap();
        let mut log = LogFile::at(&path);
        log.append(b"lost\n");
        log.append(b"lost too\n");
        assert_eq!(log.lost_bytes, 14);
        std::fs::remove_dir(&path).unwrap();
        log.retry_at = None;
        log.append(b"kept\n");
        assert_eq!(log.lost_bytes, 0);
        assert_eq!(std::fs::read(&path).unwrap(), b"kept\n");
    }

    #[test]
    fn a_fifo_without_reader_is_an_error_and_not_a_hang() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut log = LogFile::at(&path);
        log.append(b"lost\n");
        assert_eq!(log.lost_bytes, 5);
    }

    #[test]
    fn a_full_device_loses_what_does_not_fit() {
        let mut log = LogFile::at(Path::new("/dev/full"));
        log.append(b"lost\n");
        assert_eq!(log.lost_bytes, 5);
    }
}
