//! Looks for the command of a process, as the original does before every start that a client asks for.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_load::secrets::mask;
use muster_spec::{InstanceSpec, ProcessSpec};
use muster_supervisord::faults::Code;
use muster_supervisord::python::repr;
use muster_supervisord::xmlrpc::Fault;
use muster_sys::spawn::DEFAULT_PATH;

use crate::reload;

/// Why no start could succeed. Looks on a thread, since the file system may not respond.
pub(super) async fn unstartable(spec: Arc<InstanceSpec>) -> Option<Fault> {
    if let Some(reason) = &spec.process.refusal {
        return Some(Code::NotExecutable.with(reason));
    }
    // Without a thread, the start itself will show it.
    reload::on_a_thread(move || look(&spec.process)).await.ok().flatten()
}

fn look(process: &ProcessSpec) -> Option<Fault> {
    let command = process.command.first()?;
    let quoted = repr(&mask(command));
    let found = candidates(process, command).into_iter().find_map(|path| path.metadata().ok());
    match found {
        None => Some(Code::NoFile.with(format_args!("can't find command {quoted}"))),
        Some(found) if found.is_dir() => {
            Some(Code::NotExecutable.with(format_args!("command at {quoted} is a directory")))
        }
        Some(found) if !is_executable(&found) => {
            Some(Code::NotExecutable.with(format_args!("command at {quoted} is not executable")))
        }
        Some(_) => None,
    }
}

fn is_executable(found: &Metadata) -> bool {
    found.permissions().mode() & 0o111 != 0
}

/// The files that may be meant.
fn candidates(process: &ProcessSpec, command: &str) -> Vec<PathBuf> {
    if command.contains('/') {
        let path = Path::new(command);
        return vec![process.directory.as_ref().map_or_else(|| path.to_owned(), |directory| directory.join(path))];
    }
    let own = process.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.into());
    let path = own.or_else(|| std::env::var_os("PATH").filter(|_| !process.clean_environment));
    let path = path.unwrap_or_else(|| OsStr::from_bytes(DEFAULT_PATH).to_owned());
    let directories = path.as_bytes().split(|byte| *byte == b':').map(|bytes| Path::new(OsStr::from_bytes(bytes)));
    directories.map(|directory| directory.join(command)).collect()
}
