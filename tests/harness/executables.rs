//! Files that the tests create and execute.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

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
