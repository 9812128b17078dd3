//! Where a daemon runs: as PID 1 of a pid namespace, or as a plain process; and what this machine allows of that.
//!
//! A pid namespace is the one enclosure that nothing gets out of: when its init is killed, the kernel kills the rest. As
//! root it is simply made; other users get one inside of a user namespace where the kernel lets them. Where neither is
//! possible a plain daemon runs below a subreaper of ours, and what needs PID 1 is skipped, saying so.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where a daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A process with a parent: below a keeper, which reaps what the daemon leaves behind and never interferes.
    Plain,
    /// The init of a pid namespace, as in a container.
    Pid1,
}

/// How to make a pid namespace here: the command to prepend, if there is a way.
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

/// Whether pid namespaces can be made here.
pub fn can_enclose() -> bool {
    enclosure().is_some()
}

/// A command that runs this program as PID 1 of a pid namespace of its own. Ask [`can_enclose`] first.
pub fn enclosed(program: impl AsRef<OsStr>) -> Command {
    let words = enclosing_words();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(program);
    command
}

/// The command that makes the enclosure; nothing where there is none to be had.
pub(super) fn enclosing_words() -> &'static [&'static str] {
    enclosure().unwrap_or_default()
}

/// The places that this machine has. The missing one is told.
pub fn both_places() -> Vec<Place> {
    if can_enclose() {
        return vec![Place::Plain, Place::Pid1];
    }
    super::skip("no pid namespace can be made here (neither root nor user namespaces), so nothing runs as PID 1");
    vec![Place::Plain]
}

/// The user of the tests, as a daemon sees it: who may not make a pid namespace is root in a user namespace that holds one.
pub fn own_uid() -> u32 {
    if can_enclose() { 0 } else { nix::unistd::geteuid().as_raw() }
}

/// Whether the tests run as root, which what they start then can stop being.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
