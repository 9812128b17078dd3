//! Emptying the log files of an instance.
//!
//! They are truncated in place, so that every process that has one open continues to append to it at the new
//! end. A disk may be slow or dead, so a thread does it. A file that the program may not write is not emptied.

use std::io;

use muster_spec::{InstanceSpec, Target};
use muster_sys::trusted::{Access, Missing};
use muster_sys::user::Accounts;
use tokio::sync::oneshot;

use super::rotate::Names;
use super::{Source, policy};

/// Empties every file that this instance writes to; the error is about the first that cannot be emptied.
pub async fn empty_files(spec: &InstanceSpec) -> Result<(), String> {
    let files = files(spec)?;
    if files.is_empty() {
        return Ok(());
    }
    let (done, is_done) = oneshot::channel();
    let thread = std::thread::Builder::new().name("logs-clear".to_owned());
    let work = move || {
        // The client may have disconnected.
        let _ = done.send(files.iter().try_for_each(empty));
    };
    thread.spawn(work).map_err(|error| format!("cannot start a thread: {error}"))?;
    is_done.await.unwrap_or_else(|_| Err("the thread that empties log files has ended".to_owned()))
}

fn files(spec: &InstanceSpec) -> Result<Vec<Names>, String> {
    let mut accounts = Accounts::default();
    let mut names = Vec::new();
    for source in Source::BOTH {
        let sinks = source.target(&spec.output).map_or(&[][..], Target::sinks);
        let files = policy::files(spec, source, sinks, &mut accounts).map_err(|error| error.to_string())?;
        names.extend(files.into_iter().map(|(path, policy)| Names::new(&path, policy)));
    }
    Ok(names)
}

pub(super) fn empty(names: &Names) -> Result<(), String> {
    let opened = names.place(Missing::Fail).and_then(|place| place.open(Access::Write, None));
    let emptied = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        // A device or a FIFO has no content.
        Ok(opened) if !opened.is_regular => Ok(()),
        Ok(opened) => opened.file.set_len(0),
    };
    emptied.map_err(|error| format!("cannot empty {}: {error}", names.path.display()))
}
