//! The memory of the daemon across restarts of its container: `state_dir`.
//!
//! [`directory`] opens the directory, which must be the daemon's alone, and reads and replaces files in it. [`documents`] has the
//! documents, one file a subject, and reads them without trusting them. [`store`] holds them in memory and writes what has changed
//! on a thread, at most once a second. Nothing here knows of programs: the daemon says what is to be remembered.

#![forbid(unsafe_code)]

pub mod directory;
pub mod documents;
mod marks;
pub mod store;

pub use directory::{Directory, Refused};
pub use documents::{Done, Job, Life, LifeEnd, Memory, Run, Scale, scales_in};
pub use marks::hash;
pub use store::Store;

#[cfg(test)]
mod testing {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    /// A directory for a test alone, as the daemon's must be.
    pub(crate) fn place() -> tempfile::TempDir {
        let private = Permissions::from_mode(0o700);
        tempfile::Builder::new().permissions(private).tempdir().expect("there is room")
    }
}
