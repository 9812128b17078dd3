//! A part of a log by its offset in bytes: from the file of a stream, or from memory where it has none.
//!
//! Files are read on a thread, since a disk may be slow or dead, and with the trust of the program that writes to them. A
//! stream without a file is like a file of everything that was written to it since it was cleared, of which only the
//! end can be read.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use muster_spec::{InstanceSpec, Rotation};
use muster_sys::trusted::{Access, Missing};
use muster_sys::user::Accounts;
use tokio::sync::oneshot;

use super::memory::Memory;
use super::policy::{self, FilePolicy};
use super::rotate::Names;
use super::{Source, captured};

/// A part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The size of the whole log.
    pub size: u64,
}

/// A log that can be read in parts.
#[derive(Debug)]
pub enum PartialLog {
    /// In a file.
    File(FilePart),
    /// In memory.
    Memory(Source),
    /// There is none: the stream is not captured, or is part of the other one.
    None,
}

/// The file of a log.
#[derive(Debug)]
pub struct FilePart {
    names: Names,
}

impl PartialLog {
    /// That of a stream. A program whose user does not exist has none.
    pub fn of(spec: &InstanceSpec, source: Source) -> PartialLog {
        let Some(sinks) = source.target(&spec.output).and_then(captured) else { return PartialLog::None };
        match policy::files(spec, source, sinks, &mut Accounts::default()) {
            Ok(files) => match files.into_iter().next() {
                Some((path, policy)) => PartialLog::File(FilePart { names: Names::new(&path, policy) }),
                None => PartialLog::Memory(source),
            },
            Err(_) => PartialLog::None,
        }
    }
}

impl FilePart {
    /// The daemon's own log file.
    pub fn own(path: &Path) -> FilePart {
        FilePart { names: Names::new(path, FilePolicy::own(Rotation::DEFAULT)) }
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.names.path.clone()
    }

    /// Reads a part: `choose` gets the size, and returns offset and length.
    pub async fn read(self, choose: impl FnOnce(u64) -> (u64, u64) + Send + 'static) -> io::Result<Part> {
        on_a_thread(move || read(&self.names, choose)).await
    }

    /// Empties the file in place, so that whatever has it open continues at the new end.
    pub async fn empty(self) -> Result<(), String> {
        on_a_thread(move || Ok(super::clear::empty(&self.names))).await.map_err(|error| error.to_string())?
    }
}

fn read(names: &Names, choose: impl FnOnce(u64) -> (u64, u64)) -> io::Result<Part> {
    let place = names.place(Missing::Fail)?;
    let opened = place.open_sibling("", Access::Read, names.policy.creation.mode)?;
    let size = if opened.is_regular { opened.size } else { 0 };
    let (offset, length) = choose(size);
    let length = usize::try_from(length.min(size.saturating_sub(offset))).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    let mut read = 0;
    while read < bytes.len() {
        match opened.file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // It may have been emptied in the meantime.
    bytes.truncate(read);
    Ok(Part { bytes, size })
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let (done, is_done) = oneshot::channel();
    let thread = std::thread::Builder::new().name("logs-part".to_owned());
    thread.spawn(move || {
        // The client may have disconnected.
        let _ = done.send(work());
    })?;
    is_done.await.unwrap_or_else(|_| Err(io::Error::other("the thread that reads a log file has ended")))
}

impl Memory {
    /// Reads a part of a stream: `choose` gets the number of bytes since it was cleared, and returns offset and length. The
    /// part before the kept output is left out.
    pub fn read_part(&self, source: Source, choose: impl FnOnce(u64) -> (u64, u64)) -> Part {
        let (held, size) = self.held(source);
        let (offset, length) = choose(size);
        let start = size - held.len() as u64;
        let within = |place: u64| usize::try_from(place.saturating_sub(start)).unwrap_or(usize::MAX).min(held.len());
        let (from, to) = (within(offset), within(offset.saturating_add(length)));
        Part { bytes: held[from..to].to_vec(), size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn memory_is_read_like_a_file_of_which_only_the_end_is_left() {
        let memory = Memory::of_size(4096);
        let push = |source, bytes: &[u8]| memory.push(source, 1, SystemTime::UNIX_EPOCH, bytes);
        push(Source::Stdout, b"first\n");
        push(Source::Stderr, b"other\n");
        push(Source::Stdout, b"second\n");
        let part = |choose: fn(u64) -> (u64, u64)| {
            let part = memory.read_part(Source::Stdout, choose);
            (String::from_utf8(part.bytes).unwrap(), part.size)
        };
        assert_eq!(part(|size| (0, size)), ("first\nsecond\n".to_owned(), 13));
        assert_eq!(part(|_| (3, 4)), ("st\ns".to_owned(), 13));
        assert_eq!(part(|_| (u64::MAX, u64::MAX)), (String::new(), 13));
        for _ in 0..1000 {
            push(Source::Stdout, b"and more\n");
        }
        let (text, size) = part(|size| (0, size));
        assert!(text.ends_with("and more\n") && text.len() < 4096, "{text:?}");
        assert_eq!((size, part(|size| (size - 5, 5)).0), (9013, "more\n".to_owned()));
        memory.clear();
        assert_eq!(part(|size| (0, size)), (String::new(), 0));
        push(Source::Stdout, b"new\n");
        assert_eq!(part(|size| (0, size)), ("new\n".to_owned(), 4));
    }

    #[test]
    fn a_file_is_read_from_an_offset() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = |choose: fn(u64) -> (u64, u64)| runtime.block_on(FilePart::own(&path).read(choose));
        assert_eq!(read(|_| (0, 1)).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "abcdef").unwrap();
        assert_eq!(read(|size| (size - 2, 2)).unwrap(), Part { bytes: b"ef".to_vec(), size: 6 });
        assert_eq!(read(|_| (4, u64::MAX)).unwrap(), Part { bytes: b"ef".to_vec(), size: 6 });
        assert_eq!(read(|_| (9, 9)).unwrap(), Part { bytes: Vec::new(), size: 6 });
        runtime.block_on(FilePart::own(&path).empty()).unwrap();
        assert_eq!(read(|_| (0, 9)).unwrap(), Part::default());
    }
}
