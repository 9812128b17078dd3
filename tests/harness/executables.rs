//! Files that are made to be executed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a file that can be executed as soon as this returns. The kernel executes nothing that anybody has open for
/// writing, and what this process has open, a child of another test has as well until it has executed its own program. So
/// somebody else writes.
pub fn write_executable(path: &Path, content: &[u8]) {
    let mut writer = Command::new("sh");
    writer.args(["-c", "cat >\"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = writer.spawn().expect("there is a shell");
    writer.stdin.take().expect("it was piped").write_all(content).expect("cat reads");
    assert!(writer.wait().expect("it is our child").success(), "{} cannot be written", path.display());
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
}
