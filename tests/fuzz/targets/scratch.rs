//! Files for the parsers that take paths, in memory where the machine has a tmpfs for it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A directory for this process.
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let directory = parent.join(format!("muster-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a scratch directory can be made");
        directory
    })
}

/// A file with this content.
pub fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = directory().join(name);
    std::fs::write(&path, content).expect("a scratch file can be written");
    path
}

/// The environment for the files: one ordinary variable, and one that is a secret.
pub fn variable(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/root".to_owned()),
        "API_TOKEN" => Some("s3cret value".to_owned()),
        _ => None,
    }
}
