//! Where a daemon runs: as PID 1 of a pid namespace, or as a plain process; and which of these the machine allows.
//!
//! No process can escape from a pid namespace: when its init is killed, the kernel kills the rest. Root can always
//! create one; other users can inside a user namespace, if the kernel allows it. Where neither is possible, a plain
//! daemon runs below a subreaper, and tests that need PID 1 are skipped with a message.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where a daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A process with a parent: below a keeper, which reaps what the daemon leaves behind and does nothing else.
    Plain,
    /// The init of a pid namespace, as in a container.
    Pid1,
}

/// The command to prepend to create a pid namespace here, if that is possible.
fn enclosure() -> Option<&'static [&'static str]> {
    static FOUND: OnceLock<Option<&[&str]>> = OnceLock::new();
    const WAYS: [&[&str]; 2] = [
        &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"],
        &["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc", "--"],
    ];
    *FOUND.get_or_init(|| WAYS.into_iter().find(|way| works(way)))
}

fn works(way: &[&str]) -> bool {
    let mut command = Command::new(way[0]);
    command.args(&way[1..]).arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether pid namespaces can be created here.
pub fn can_enclose() -> bool {
    enclosure().is_some()
}

/// A command that runs this program as PID 1 of its own pid namespace. Check [`can_enclose`] first.
pub fn enclosed(program: impl AsRef<OsStr>) -> Command {
    let words = enclosing_words();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(program);
    command
}

/// The command that creates the enclosure; empty if there is none.
pub(super) fn enclosing_words() -> &'static [&'static str] {
    enclosure().unwrap_or_default()
}

/// The places that this machine has. Reports a missing one.
pub fn both_places() -> Vec<Place> {
    if can_enclose() {
        return vec![Place::Plain, Place::Pid1];
    }
    super::skip("no pid namespace can be made here (neither root nor user namespaces), so nothing runs as PID 1");
    vec![Place::Plain]
}

/// The tests' user as a daemon sees it: without the right to create a pid namespace, the tests enter a user namespace
/// and are root there.
pub fn own_uid() -> u32 {
    if can_enclose() { 0 } else { nix::unistd::geteuid().as_raw() }
}

/// Whether the tests run as root, so that processes they start can drop root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
