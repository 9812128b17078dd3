//! Rotated files are compressed in the background, by a thread that ends when there is nothing left to do.
//!
//! It works only when nobody else wants to (nice 19). A file is compressed under a name of its own, synced, and renamed when
//! it is whole; only then is the original removed. Whatever moment the machine stops at, nothing is lost, and what was not
//! finished is done with the next rotation. Meanwhile a file may be given another number: it is found by its inode.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::Compression;
use flate2::write::GzEncoder;
use tracing::warn;

use super::rotate::Names;

/// Renames files, and compresses them later.
#[derive(Debug, Default)]
pub(super) struct Compressor {
    /// Held while files change their names.
    names: Mutex<()>,
    work: Mutex<Work>,
}

#[derive(Debug, Default)]
struct Work {
    wanted: BTreeMap<PathBuf, Names>,
    is_running: bool,
}

impl Compressor {
    /// Gives a file and its predecessors their next numbers, and has them compressed where that is wanted.
    pub(super) fn shift(self: &Arc<Compressor>, names: &Names) -> io::Result<()> {
        let shifted = {
            let _names = lock(&self.names);
            names.shift()
        };
        if shifted.is_ok() && names.rotation.compress && names.rotation.max_files > 0 {
            self.ask(names);
        }
        shifted
    }

    fn ask(self: &Arc<Compressor>, names: &Names) {
        let mut work = lock(&self.work);
        work.wanted.insert(names.path.clone(), names.clone());
        if work.is_running {
            return;
        }
        let compressor = Arc::clone(self);
        let thread = std::thread::Builder::new().name("logs-compress".to_owned());
        match thread.spawn(move || compressor.run()) {
            Ok(_) => work.is_running = true,
            Err(error) => warn!(%error, "cannot compress rotated log files now"),
        }
    }

    fn run(&self) {
        // Without it the work is done all the same.
        let _ = muster_sys::limits::make_thread_idle();
        while let Some(names) = self.next() {
            if let Err(error) = self.compress_all(&names) {
                let _ = std::fs::remove_file(names.unfinished());
                warn!(file = %names.path.display(), %error, "cannot compress rotated log files, they stay as they are");
            }
        }
    }

    fn next(&self) -> Option<Names> {
        let mut work = lock(&self.work);
        let next = work.wanted.pop_first();
        work.is_running = next.is_some();
        next.map(|(_, names)| names)
    }

    /// The oldest first: it is the next to go, and may be gone before its turn.
    fn compress_all(&self, names: &Names) -> io::Result<()> {
        while let Some(original) = self.oldest_plain(names)? {
            let about = original.metadata()?;
            compress(original, names, about.mode() & 0o7777)?;
            self.replace(names, (about.dev(), about.ino()))?;
        }
        Ok(())
    }

    fn oldest_plain(&self, names: &Names) -> io::Result<Option<File>> {
        let _names = lock(&self.names);
        for number in (1..=names.rotation.max_files).rev() {
            match File::open(names.plain(number)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened.map(Some),
            }
        }
        Ok(None)
    }

    /// The compressed file takes the original's place, which may have moved on or be gone.
    fn replace(&self, names: &Names, identity: (u64, u64)) -> io::Result<()> {
        let _names = lock(&self.names);
        let is_it = |number: &u32| {
            std::fs::metadata(names.plain(*number)).is_ok_and(|file| (file.dev(), file.ino()) == identity)
        };
        match (1..=names.rotation.max_files).find(is_it) {
            Some(number) => {
                std::fs::rename(names.unfinished(), names.compressed(number))?;
                std::fs::remove_file(names.plain(number))
            }
            None => std::fs::remove_file(names.unfinished()),
        }
    }
}

/// A thread that panicked while it held the lock left whole values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn compress(original: File, names: &Names, mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(mode).open(names.unfinished())?;
    let mut encoder = GzEncoder::new(BufWriter::new(file), Compression::default());
    io::copy(&mut BufReader::with_capacity(64 * 1024, original), &mut encoder)?;
    let mut written = encoder.finish()?;
    written.flush()?;
    written.get_ref().sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::time::{Duration, Instant};

    use flate2::read::GzDecoder;
    use muster_core::spec::Rotation;

    fn names(directory: &tempfile::TempDir, max_files: u32) -> Names {
        Names::new(&directory.path().join("log"), Rotation { max_size: 1, max_files, compress: true })
    }

    fn unpacked(path: PathBuf) -> String {
        let mut text = String::new();
        GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    fn wait_until_idle(compressor: &Compressor) {
        let began = Instant::now();
        while lock(&compressor.work).is_running {
            assert!(began.elapsed() < Duration::from_secs(30), "it goes on for ever");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn rotated_files_are_compressed_however_fast_they_come() {
        let directory = tempfile::tempdir().unwrap();
        let (compressor, names) = (Arc::new(Compressor::default()), names(&directory, 30));
        for number in 0..20 {
            fs::write(&names.path, format!("{number} ").repeat(2_000)).unwrap();
            compressor.shift(&names).unwrap();
        }
        wait_until_idle(&compressor);
        for number in 0..20 {
            assert!(unpacked(names.compressed(20 - number)) == format!("{number} ").repeat(2_000));
            assert!(!names.plain(20 - number).exists());
        }
        assert!(!names.unfinished().exists());
    }

    #[test]
    fn what_was_left_unfinished_is_done_with_the_next_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let (compressor, names) = (Arc::new(Compressor::default()), names(&directory, 5));
        fs::write(names.plain(1), "older").unwrap();
        fs::write(names.unfinished(), "half of somet").unwrap();
        fs::write(&names.path, "newer").unwrap();
        compressor.shift(&names).unwrap();
        wait_until_idle(&compressor);
        assert_eq!((unpacked(names.compressed(2)), unpacked(names.compressed(1))), ("older".into(), "newer".into()));
        assert!(!names.unfinished().exists());
    }
}
