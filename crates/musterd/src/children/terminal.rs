//! The terminal of a run with `tty`: opened for its process, read by the logs' thread, and shown to clients of `musterctl fg`.
//!
//! The daemon keeps the program's end open as long as the main process lives, so that a program may close all its copies and open
//! `/dev/tty` again. When the run is over the terminal hangs up, whatever processes still have it.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use muster_exec::relay::{Command, Streams};
use muster_logs::{ReadyMatcher, Screen, Seat, Unbound, captured};
use muster_spec::{Exit, InstanceSpec, RunId, SpawnError};
use muster_sys::pty;
use tokio::sync::oneshot;

use super::exec::no_terminal;
use super::stdin::StdinPipe;
use super::{Children, no_pipe};

/// The daemon's hold on the terminal of a run.
pub(super) struct Terminal {
    theirs: OwnedFd,
    screen: Arc<Screen>,
    /// The clients that are shown it.
    clients: RefCell<Vec<oneshot::Sender<Result<Exit, SpawnError>>>>,
}

/// A terminal for a process that is about to be created.
pub(super) struct Opened {
    pub(super) terminal: Terminal,
    /// Writes to it.
    pub(super) input: StdinPipe,
    pub(super) reading: Unbound,
}

impl Terminal {
    /// The program's end.
    pub(super) fn theirs(&self) -> BorrowedFd<'_> {
        self.theirs.as_fd()
    }

    /// The main process has exited.
    pub(super) fn end(self, exit: Exit) {
        // Clients may be gone.
        self.clients.into_inner().into_iter().for_each(|client| drop(client.send(Ok(exit))));
    }
}

impl Children {
    /// Opens the terminal of a process, if it has one.
    pub(super) fn open_terminal(
        &self,
        run: RunId,
        spec: &InstanceSpec,
        matcher: Option<&ReadyMatcher>,
    ) -> Result<Option<Opened>, SpawnError> {
        let Some(wanted) = &spec.process.terminal else { return Ok(None) };
        let size = pty::Size { rows: wanted.rows, columns: wanted.columns };
        let (ours, theirs) = pty::open(size).map_err(no_terminal)?;
        pty::make_quiet(theirs.as_fd()).map_err(no_terminal)?;
        let input = StdinPipe::of_terminal(ours.try_clone().map_err(no_pipe)?).map_err(no_terminal)?;
        // It is read whatever becomes of its output: the program must not wait.
        let sinks = captured(&spec.output.stdout).unwrap_or_default();
        let (reading, screen) = self.logs.open_terminal(run, spec, sinks, matcher.cloned(), ours);
        Ok(Some(Opened { terminal: Terminal { theirs, screen, clients: RefCell::default() }, input, reading }))
    }

    /// This run is over, whatever is left of it.
    pub(super) fn hang_up(&mut self, run: RunId) {
        if self.terminals.remove(&run) {
            self.logs.hang_up(run);
        }
    }

    /// Shows the terminal of a run to a client from now on; `None` if it has none. `size` is that of the client's terminal, which
    /// shows the bytes as they are.
    pub(crate) fn show_terminal(&self, run: RunId, size: Option<pty::Size>) -> io::Result<Option<(Seat, Command)>> {
        let Some(child) = self.children.get(&run) else { return Ok(None) };
        let (Some(terminal), Some(input)) = (&child.terminal, &child.stdin) else { return Ok(None) };
        let Some((output, seat)) = terminal.screen.watch(size.is_some())? else { return Ok(None) };
        let (ours, (tell, ended)) = (input.descriptor().try_clone_to_owned()?, oneshot::channel());
        if let Some(size) = size {
            show_again(ours.as_fd(), size);
        }
        let mut clients = terminal.clients.borrow_mut();
        clients.retain(|client| !client.is_closed());
        clients.push(tell);
        Ok(Some((seat, Command { streams: Streams::Shown { terminal: ours, output }, ended })))
    }
}

/// Gives a terminal this size, and makes it differ for a moment if it has it: a program that draws its screen draws it again.
fn show_again(ours: BorrowedFd<'_>, size: pty::Size) {
    let is_same = pty::size(ours).is_ok_and(|current| current == size);
    let other = pty::Size { columns: if size.columns > 1 { size.columns - 1 } else { 2 }, ..size };
    // The client sends its size again once the program has drawn, which may look only once at two changes in a row.
    let _ = pty::resize(ours, if is_same { other } else { size });
}
