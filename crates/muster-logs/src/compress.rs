//! Compression of rotated files in the background, by a thread that exits when there is no work left.
//!
//! It runs at the lowest priority (nice 19). A file is compressed under a temporary name, synced, and renamed when
//! complete; only then is the original removed. If the machine crashes at any point, nothing is lost, and unfinished
//! work is done with the next rotation. Meanwhile a file may be renumbered: it is found by its inode. Files that
//! another process put there and that are not log files of a plausible size are left alone.

use std::collections::BTreeMap;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::Compression;
use flate2::write::GzEncoder;
use muster_sys::trusted::{Access, Inode, Opened, Refusal, TrustedPlace};
use tracing::{debug, warn};

use super::console_format::LONGEST;
use super::policy::FilePolicy;
use super::rotate::{self, compressed, plain};

/// The temporary name of a file being compressed.
const UNFINISHED: &str = ".gz.unfinished";

/// Compresses rotated files.
#[derive(Debug, Default)]
pub(super) struct Compressor {
    work: Mutex<Work>,
}

#[derive(Debug, Default)]
struct Work {
    wanted: BTreeMap<PathBuf, Job>,
    is_running: bool,
}

/// A file and its predecessors, some of which are to be compressed.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) place: TrustedPlace,
    pub(super) policy: FilePolicy,
    /// Held while these files are renamed.
    pub(super) names: Arc<Mutex<()>>,
}

impl Job {
    /// Renumbers a file and its predecessors, and has them compressed if configured. Returns `false` if the
    /// full file no longer exists.
    pub(super) fn shift(self, full: Inode, compressor: &Arc<Compressor>) -> io::Result<bool> {
        let rotation = self.policy.rotation;
        let shifted = {
            let _names = lock(&self.names);
            rotate::shift(&self.place, rotation, full)
        };
        if matches!(shifted, Ok(true)) && rotation.compress && rotation.max_files > 0 {
            compressor.ask(self);
        }
        shifted
    }

    /// The oldest first: it is the next to be removed, and may be gone before its turn.
    fn compress_all(&self) -> io::Result<()> {
        while let Some(original) = self.oldest_plain()? {
            let inode = original.inode;
            let (unfinished, suffix) = self.create_unfinished()?;
            let done = compress(original, unfinished).and_then(|()| self.replace(inode, &suffix));
            if done.is_err() {
                let _ = self.place.remove(&suffix);
            }
            done?;
        }
        Ok(())
    }

    fn oldest_plain(&self) -> io::Result<Option<Opened>> {
        let _names = lock(&self.names);
        for number in (1..=self.policy.rotation.max_files).rev() {
            match self.place.open_sibling(&plain(number), Access::Read, self.policy.creation.mode) {
                Ok(opened) if opened.size <= self.largest() => return Ok(Some(opened)),
                Ok(opened) => {
                    let file = self.place.path();
                    debug!(file = %file.display(), number, bytes = opened.size, "a rotated file is too large, it stays");
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if Refusal::of(&error).is_some() => {
                    debug!(file = %self.place.path().display(), number, %error, "a rotated file is not ours, it stays");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// A file larger than any that was rotated here belongs to another process: a sparse one may have terabytes.
    fn largest(&self) -> u64 {
        self.policy.rotation.max_size.saturating_mul(2).saturating_add(2 * LONGEST as u64)
    }

    /// Removes the remains of an earlier attempt. If that fails, uses another name.
    fn create_unfinished(&self) -> io::Result<(Opened, String)> {
        let creation = self.policy.creation;
        let removed = self.place.remove(UNFINISHED);
        match removed.and_then(|_| self.place.create(UNFINISHED, Access::Append, creation)) {
            Ok(opened) => Ok((opened, UNFINISHED.to_owned())),
            Err(_) => self.place.create_temporary(UNFINISHED, Access::Append, creation),
        }
    }

    /// The compressed file replaces the original, which may have been renumbered or removed.
    fn replace(&self, original: Inode, unfinished: &str) -> io::Result<()> {
        let _names = lock(&self.names);
        let is_it = |number: &u32| matches!(self.place.inode(&plain(*number)), Ok(Some(inode)) if inode == original);
        match (1..=self.policy.rotation.max_files).find(is_it) {
            Some(number) => {
                // If another process removed the compressed one, the original stays.
                if !self.place.rename(unfinished, &compressed(number))? {
                    return Err(io::ErrorKind::NotFound.into());
                }
                self.place.remove(&plain(number)).map(drop)
            }
            None => self.place.remove(unfinished).map(drop),
        }
    }
}

impl Compressor {
    fn ask(self: &Arc<Compressor>, job: Job) {
        let mut work = lock(&self.work);
        work.wanted.insert(job.place.path(), job);
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
        // Best effort: the work is done without it, too.
        let _ = muster_sys::limits::make_thread_idle();
        while let Some(job) = self.next() {
            if let Err(error) = job.compress_all() {
                let file = job.place.path();
                warn!(file = %file.display(), %error, "cannot compress rotated log files, they stay as they are");
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut work = lock(&self.work);
        let next = work.wanted.pop_first();
        work.is_running = next.is_some();
        next.map(|(_, job)| job)
    }
}

/// The values are consistent even if a thread panicked while it held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads at most the size that the file had when it was opened: another process may still write to it.
fn compress(original: Opened, unfinished: Opened) -> io::Result<()> {
    let mut encoder = GzEncoder::new(BufWriter::new(unfinished.file), Compression::default());
    let original_bytes = original.file.take(original.size);
    io::copy(&mut BufReader::with_capacity(64 * 1024, original_bytes), &mut encoder)?;
    let mut written = encoder.finish()?;
    written.flush()?;
    written.get_ref().sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::path::Path;
    use std::time::{Duration, Instant};

    use flate2::read::GzDecoder;
    use muster_spec::Rotation;
    use muster_sys::trusted::Missing;
    use tempfile::TempDir;

    use super::super::rotate::Names;

    struct Scene {
        directory: TempDir,
        compressor: Arc<Compressor>,
        names: Arc<Mutex<()>>,
        rotation: Rotation,
    }

    impl Scene {
        fn of(max_files: u32) -> Scene {
            let rotation = Rotation { max_size: 1 << 20, max_files, compress: true };
            let directory = tempfile::tempdir().unwrap();
            Scene { directory, compressor: Arc::default(), names: Arc::default(), rotation }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn shift(&self) {
            let names = Names::new(&self.at("log"), self.rotation);
            let place = names.place(Missing::Fail).unwrap();
            let full = place.inode("").unwrap().unwrap();
            let job = Job { place, policy: names.policy, names: Arc::clone(&self.names) };
            assert!(job.shift(full, &self.compressor).unwrap());
        }

        fn wait_until_idle(&self) {
            let began = Instant::now();
            while lock(&self.compressor.work).is_running {
                assert!(began.elapsed() < Duration::from_secs(30), "it does not end");
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    fn unpacked(path: &Path) -> String {
        let mut text = String::new();
        GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn rotated_files_are_compressed_however_fast_they_come() {
        let scene = Scene::of(30);
        for number in 0..20 {
            fs::write(scene.at("log"), format!("{number} ").repeat(2_000)).unwrap();
            scene.shift();
        }
        scene.wait_until_idle();
        for number in 0..20 {
            let place = 20 - number;
            assert!(unpacked(&scene.at(&format!("log.{place}.gz"))) == format!("{number} ").repeat(2_000));
            assert!(!scene.at(&format!("log.{place}")).exists());
        }
        assert!(!scene.at("log.gz.unfinished").exists());
    }

    #[test]
    fn what_was_left_unfinished_is_done_with_the_next_rotation() {
        let scene = Scene::of(5);
        fs::write(scene.at("log.1"), "older").unwrap();
        fs::write(scene.at("log.gz.unfinished"), "half of somet").unwrap();
        fs::write(scene.at("log"), "newer").unwrap();
        scene.shift();
        scene.wait_until_idle();
        assert_eq!(
            (unpacked(&scene.at("log.2.gz")), unpacked(&scene.at("log.1.gz"))),
            ("older".into(), "newer".into())
        );
        assert!(!scene.at("log.gz.unfinished").exists());
    }

    #[test]
    fn what_somebody_else_put_under_the_names_is_neither_read_nor_waited_for() {
        let scene = Scene::of(9);
        let file = File::create(scene.at("log.1")).unwrap();
        file.set_len(1 << 42).unwrap();
        nix::unistd::mkfifo(&scene.at("log.2"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/zero", scene.at("log.3")).unwrap();
        fs::create_dir(scene.at("log.gz.unfinished")).unwrap();
        fs::write(scene.at("log"), "ours").unwrap();
        scene.shift();
        scene.wait_until_idle();
        assert_eq!(unpacked(&scene.at("log.1.gz")), "ours");
        for number in 2..=4 {
            assert!(!scene.at(&format!("log.{number}.gz")).exists(), "{number}");
            assert!(fs::symlink_metadata(scene.at(&format!("log.{number}"))).is_ok(), "{number} stays");
        }
    }
}
