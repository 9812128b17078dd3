//! All log files that streams write to, each open once, however many streams share it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::compress::Compressor;
use super::file::{LogFile, Piece};
use super::policy::FilePolicy;

/// The files, by their paths.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: HashMap<PathBuf, Shared>,
    compressor: Arc<Compressor>,
}

#[derive(Debug)]
struct Shared {
    file: LogFile,
    streams: usize,
}

impl Files {
    /// One more stream writes to this file, which is there from now on.
    pub(super) fn attach(&mut self, path: &Path, policy: FilePolicy) {
        let compressor = &self.compressor;
        let open = || Shared { file: LogFile::at(path, policy, compressor), streams: 0 };
        let shared = self.files.entry(path.to_owned()).or_insert_with(open);
        shared.streams += 1;
        shared.file.set_policy(policy);
        shared.file.prepare(Instant::now());
    }

    /// One stream less does.
    pub(super) fn detach(&mut self, path: &Path) {
        let Some(shared) = self.files.get_mut(path) else { return };
        shared.streams -= 1;
        if shared.streams == 0 {
            shared.file.end();
            self.files.remove(path);
        }
    }

    /// Gives back what the file refused.
    pub(super) fn append<'a>(&mut self, path: &Path, piece: Piece<'a>) -> &'a [u8] {
        self.files.get_mut(path).map_or(&[], |shared| shared.file.append(piece))
    }

    pub(super) fn change_policy(&mut self, path: &Path, policy: FilePolicy) {
        if let Some(shared) = self.files.get_mut(path) {
            shared.file.set_policy(policy);
        }
    }

    pub(super) fn reopen(&mut self, now: Instant) {
        self.files.values_mut().for_each(|shared| shared.file.reopen(now));
    }
}
