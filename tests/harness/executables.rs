//! Files that the tests execute: the executables under test, and those that the tests create.

// Suites without a harness use this file alone.
#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The executable `musterd` under test. `MUSTER_BIN_DIR` names a directory with other ones than those just built, such
/// as `/usr/bin` after a package was installed.
pub fn musterd() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| chosen("musterd", env!("CARGO_BIN_EXE_musterd")))
}

/// The executable `musterctl` under test.
pub fn musterctl() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| chosen("musterctl", env!("CARGO_BIN_EXE_musterctl")))
}

/// The executable `muster` under test, which is both.
pub fn muster() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| chosen("muster", env!("CARGO_BIN_EXE_muster")))
}

/// A missing file is an error, not a reason to test something else.
fn chosen(name: &str, built: &str) -> String {
    let Some(directory) = std::env::var_os("MUSTER_BIN_DIR").filter(|directory| !directory.is_empty()) else {
        return built.to_owned();
    };
    // Tests run in directories of their own. Only the directory is resolved: the executables tell by their names, which
    // may be links to one file, what they are to be.
    let directory =
        fs::canonicalize(&directory).unwrap_or_else(|error| panic!("MUSTER_BIN_DIR {directory:?}: {error}"));
    let path = directory.join(name);
    assert!(path.is_file(), "MUSTER_BIN_DIR has no {name}: {}", path.display());
    path.into_os_string().into_string().expect("MUSTER_BIN_DIR is UTF-8")
}

/// Writes a file that can be executed as soon as this returns. The kernel refuses to execute a file that is open for
/// writing (ETXTBSY), and a child forked by another test inherits this process's descriptors until it executes its own
/// program. So a child process does the writing.
pub fn write_executable(path: &Path, content: &[u8]) {
    let mut writer = Command::new("sh");
    writer.args(["-c", "cat >\"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = writer.spawn().expect("sh is installed");
    writer.stdin.take().expect("it was piped").write_all(content).expect("cat reads");
    assert!(writer.wait().expect("it is a child of this process").success(), "{} cannot be written", path.display());
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the test owns the file");
}
