//! Variables and copies of files that a process gets at each start.

use std::path::PathBuf;

/// A variable with the content of a file. The file is read at each start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSpec {
    /// The name of the variable.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Whether the variable is left out if there is no such file. Otherwise that is a failed start.
    pub may_be_missing: bool,
}

impl SecretSpec {
    /// Maximum size of a value, in bytes.
    pub const LARGEST: usize = 64 * 1024;
}

/// A file, or a directory of files, of which a process gets a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSpec {
    /// The name of the copy.
    pub name: String,
    /// The original.
    pub path: PathBuf,
    /// Whether it is left out if it does not exist. Otherwise that is a failed start.
    pub may_be_missing: bool,
}

impl CredentialSpec {
    /// Maximum size of all copies of a process, in bytes.
    pub const LARGEST: usize = 1024 * 1024;
    /// The variable with the directory of the copies, as in systemd.
    pub const VARIABLE: &str = "CREDENTIALS_DIRECTORY";
    /// In a command, it stands for that directory.
    pub const PLACEHOLDER: &str = "{credentials}";
}
