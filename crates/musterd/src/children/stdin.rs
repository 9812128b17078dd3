//! The standard input of a program with `stdin = "pipe"` or `tty`, or of an event listener.
//!
//! The daemon keeps the writing end open as long as the main process lives, so the program sees an end of file only
//! when it is stopping anyway. Writers take turns, so their input is not mixed. A program that does not read delays
//! only its writers, and each of them for at most its own timeout.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use muster_spec::{InstanceSpec, RunId, SpawnError, Stdin};
use muster_sys::async_fd::Watched;
use muster_sys::fd;
use tokio::sync::Mutex;

use super::{Children, no_pipe};

/// The writing end of one run's pipe, or of its terminal.
pub(crate) struct StdinPipe {
    writing: Watched<OwnedFd>,
    turn: Mutex<()>,
}

/// Why a write was incomplete.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The program does not read.
    NotRead,
    /// The program has closed its standard input.
    Closed,
    /// The write failed.
    Failed(io::Error),
}

/// Opens the pipe of a process, if it has one.
pub(super) fn open(spec: &InstanceSpec) -> Result<Option<(OwnedFd, StdinPipe)>, SpawnError> {
    match spec.process.stdin {
        Stdin::Nothing | Stdin::Fifo | Stdin::File => Ok(None),
        Stdin::Pipe | Stdin::Feed | Stdin::Events => StdinPipe::open().map(Some).map_err(no_pipe),
    }
}

impl Children {
    /// The writing end of a run's standard input, if that is a pipe or a terminal.
    pub(crate) fn stdin_of(&self, run: RunId) -> Option<Rc<StdinPipe>> {
        self.children.get(&run).and_then(|child| child.stdin.clone())
    }
}

impl std::fmt::Debug for StdinPipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StdinPipe").finish_non_exhaustive()
    }
}

impl StdinPipe {
    /// Returns the reading end, for a process, and the writing end. Must be called within the runtime.
    pub(super) fn open() -> io::Result<(OwnedFd, StdinPipe)> {
        let (reading, writing) = fd::input_pipe()?;
        Ok((reading, StdinPipe { writing: Watched::for_writing(writing)?, turn: Mutex::new(()) }))
    }

    /// The daemon's end of a terminal, for writing. Must be called within the runtime.
    pub(super) fn of_terminal(ours: OwnedFd) -> io::Result<StdinPipe> {
        Ok(StdinPipe { writing: Watched::for_writing(ours)?, turn: Mutex::new(()) })
    }

    /// The descriptor that is written to.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.writing.get_ref().as_fd()
    }

    /// Writes what there is room for, and returns how much that was. An error if the program has closed it.
    pub(crate) fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        match fd::write(self.writing.get_ref().as_fd(), bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }

    /// Writes all bytes within this time, or returns how many were written and why no more.
    pub(crate) async fn write(&self, bytes: &[u8], patience: Duration) -> Result<(), (usize, Unwritten)> {
        let written = Cell::new(0);
        let writing = async {
            let _turn = self.turn.lock().await;
            while written.get() < bytes.len() {
                let rest = &bytes[written.get()..];
                let count = self.writing.write_with(|pipe| fd::write(pipe.as_fd(), rest)).await?;
                written.set(written.get() + count);
            }
            Ok(())
        };
        let unwritten = match tokio::time::timeout(patience, writing).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if io::Error::kind(&error) == io::ErrorKind::BrokenPipe => Unwritten::Closed,
            Ok(Err(error)) => Unwritten::Failed(error),
            Err(_) => Unwritten::NotRead,
        };
        Err((written.get(), unwritten))
    }
}
