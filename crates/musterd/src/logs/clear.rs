//! Emptying the log files of an instance.
//!
//! They are cut to nothing where they are, so that whoever has one open goes on writing to it: appending begins at the new
//! end. A disk may be slow or gone, so a thread does it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use muster_core::spec::{InstanceSpec, Sink, Target};
use tokio::sync::oneshot;

/// Empties every file that this instance writes to; the error names the first that cannot be emptied.
pub(crate) async fn empty_files(spec: &InstanceSpec) -> Result<(), String> {
    let files = files(spec);
    if files.is_empty() {
        return Ok(());
    }
    let (done, is_done) = oneshot::channel();
    let thread = std::thread::Builder::new().name("logs-clear".to_owned());
    let work = move || {
        // Who has gone away wants no answer.
        let _ = done.send(files.iter().try_for_each(|path| empty(path)));
    };
    thread.spawn(work).map_err(|error| format!("cannot start a thread: {error}"))?;
    is_done.await.unwrap_or_else(|_| Err("the thread that empties log files has ended".to_owned()))
}

fn files(spec: &InstanceSpec) -> Vec<PathBuf> {
    let targets = [Some(&spec.output.stdout), spec.output.stderr.as_ref()];
    let sinks = targets.into_iter().flatten().filter_map(|target| match target {
        Target::Capture(sinks) => Some(sinks),
        _ => None,
    });
    let paths = sinks.flatten().filter_map(|sink| match sink {
        Sink::File(path) => Some(path.clone()),
        _ => None,
    });
    paths.collect()
}

fn empty(path: &Path) -> Result<(), String> {
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let emptied = match OpenOptions::new().write(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        // A device or a FIFO holds nothing.
        Ok(file) if file.metadata().is_ok_and(|about| !about.is_file()) => Ok(()),
        Ok(file) => file.set_len(0),
    };
    emptied.map_err(|error| format!("cannot empty {}: {error}", path.display()))
}
