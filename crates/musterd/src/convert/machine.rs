//! The machine that a conversion runs on. The configuration is often for another one, such as an image, so its users
//! and directories are not looked up here.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use muster_config::Role;
use muster_import::supervisord::{Account, User, World};

use super::bounded;
use crate::config_files;

/// Variables, files and the host of this machine.
pub(super) struct ThisMachine;

impl World for ThisMachine {
    fn variables(&self) -> Vec<(String, String)> {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
    }

    fn cwd(&self) -> String {
        std::env::current_dir().map_or_else(|_| "/".to_owned(), |path| path.to_string_lossy().into_owned())
    }

    fn host(&self) -> String {
        nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn uid(&self) -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    fn user(&self, _: Account<'_>) -> Option<User> {
        None
    }

    fn group(&self, _: Account<'_>) -> Option<u32> {
        None
    }

    fn is_dir(&self, path: &str) -> bool {
        Path::new(path).is_dir()
    }

    fn exists(&self, path: &str) -> bool {
        Path::new(path).symlink_metadata().is_ok()
    }

    fn entries(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(if directory.is_empty() { "." } else { directory });
        entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn read(&self, path: &str, most: usize) -> io::Result<Vec<u8>> {
        bounded(config_files::open_again(Path::new(path), Role::Named)?, most)
    }
}
