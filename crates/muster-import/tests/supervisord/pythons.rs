//! The Pythons that have the original. `MUSTER_SUPERVISOR_PYTHON` names the only one.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use crate::machine::skipped;

/// Where a test run finds supervisor 4.3.0, if it was put there: `python3 -m venv`, `pip install supervisor==4.3.0`.
const NEWER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/clients/venv/bin/python");

/// The Pythons that have supervisor: the named one, or the first in the path or Debian's, with 4.2.5, and 4.3.0.
pub(crate) fn originals() -> Vec<OsString> {
    let has_supervisor = |python: &OsString| {
        let import = ["-W", "ignore", "-c", "import supervisor.options"];
        let status = Command::new(python).args(import).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if let Some(named) = std::env::var_os("MUSTER_SUPERVISOR_PYTHON") {
        return vec![named];
    }
    let usual = ["python3", "/usr/bin/python3"].map(OsString::from).into_iter().find(has_supervisor);
    let newer = Some(OsString::from(NEWER)).filter(has_supervisor);
    if usual.is_none() {
        skipped("no Python has supervisor (Debian's package supervisor)");
    }
    if newer.is_none() {
        skipped("there is no supervisor 4.3.0 in target/clients: tests/clients/install puts it there");
    }
    usual.into_iter().chain(newer).collect()
}
