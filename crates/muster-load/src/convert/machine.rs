//! The machine that a converted configuration is for: often another one than this, such as an image, so users and groups
//! are not looked up.

use std::io;
use std::path::Path;

use muster_config::Role;
use muster_import::supervisord::{Account, User, World};

use super::bounded;
use crate::config_files;
use crate::this_machine::ThisMachine;

/// Variables, directories, files and the host of this machine, and no users.
pub(super) struct WithoutUsers<'o>(ThisMachine<'o>);

impl WithoutUsers<'_> {
    pub(super) fn new() -> WithoutUsers<'static> {
        WithoutUsers(ThisMachine::new(Path::new(""), &config_files::open))
    }
}

impl World for WithoutUsers<'_> {
    fn variables(&self) -> Vec<(String, String)> {
        self.0.variables()
    }

    fn cwd(&self) -> String {
        self.0.cwd()
    }

    fn host(&self) -> String {
        self.0.host()
    }

    fn uid(&self) -> u32 {
        self.0.uid()
    }

    fn user(&self, _: Account<'_>) -> Option<User> {
        None
    }

    fn group(&self, _: Account<'_>) -> Option<u32> {
        None
    }

    fn is_dir(&self, path: &str) -> bool {
        self.0.is_dir(path)
    }

    fn exists(&self, path: &str) -> bool {
        self.0.exists(path)
    }

    fn entries(&self, directory: &str) -> Vec<String> {
        self.0.entries(directory)
    }

    fn read(&self, path: &str, most: usize) -> io::Result<Vec<u8>> {
        bounded(config_files::open_again(Path::new(path), Role::Named)?, most)
    }
}
