//! Configurations that can be read only once, such as a pipe: `musterd -c <(generate)`.
//!
//! A reload needs their text again, if only because a source has another version, so it is kept. Reading it may
//! take as long as the program at the other end of the pipe does, so this happens before the daemon runs, and only then.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use muster_sys::heap;
use nix::sys::memfd::{MFdFlags, memfd_create};

/// The texts by their absolute paths.
static KEPT: Mutex<BTreeMap<PathBuf, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// One byte more than a file of a configuration may have: too much is still too much.
const MOST: u64 = (16 << 20) + 1;

/// Reads it to its end, keeps its text, and returns a file with it.
pub(crate) fn keep(path: &Path) -> io::Result<File> {
    heap::lasting(|| {
        let mut text = Vec::new();
        File::open(path)?.take(MOST).read_to_end(&mut text)?;
        let file = file_with(&text)?;
        kept().insert(std::path::absolute(path)?, text);
        Ok(file)
    })
}

/// A file with the text that was kept of it, if one was.
pub(crate) fn again(path: &Path) -> Option<io::Result<File>> {
    kept().get(path).map(|text| file_with(text))
}

fn kept() -> MutexGuard<'static, BTreeMap<PathBuf, Vec<u8>>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn file_with(text: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"configuration", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(text)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_there_again_as_often_as_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(again(&path).is_none());
        let writer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, "hello").unwrap()
        });
        let read = |mut file: File| {
            let mut text = String::new();
            file.read_to_string(&mut text).map(|_| text)
        };
        assert_eq!(read(keep(&path).unwrap()).unwrap(), "hello");
        writer.join().unwrap();
        for _ in 0..2 {
            assert_eq!(read(again(&path).unwrap().unwrap()).unwrap(), "hello");
        }
    }
}
