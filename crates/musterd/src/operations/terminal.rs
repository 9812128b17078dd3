//! Connecting clients to the terminals of programs.

use std::rc::Rc;

use muster_access::Client;
use muster_api::{Problem, ProblemKind, TerminalSize};
use muster_exec::relay::Command;
use muster_logs::Seat;
use muster_server::budget::MOST_SHOWN;
use muster_sys::pty;
use tracing::info;

use super::select;
use crate::shared::Shared;

/// A client that is connected to a terminal, for as long as this lives.
pub(crate) struct Connected {
    program: String,
    client: Client,
    _seat: Seat,
    _counted: Rc<()>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        info!(program = %self.program, client = %self.client.principal, "a client disconnected from the terminal");
    }
}

/// Connects a client to the terminal of an instance. `size` is that of its own, if it has one.
pub(crate) fn connect(
    shared: &Rc<Shared>,
    client: Client,
    name: &str,
    size: Option<TerminalSize>,
) -> Result<(Connected, Command), Problem> {
    let supervisor = shared.supervisor.borrow();
    let instance = select::one(&supervisor, name)?;
    let none = |detail: String| Problem::new(ProblemKind::NoStdin, detail);
    if instance.spec().process.terminal.is_none() {
        let hint = "tty = true in its configuration gives it one";
        return Err(none(format!("{name} has no terminal")).with_hint(hint));
    }
    // One is the daemon's own.
    if Rc::strong_count(&shared.shown_terminals) > MOST_SHOWN {
        let detail = format!("{MOST_SHOWN} clients are connected to terminals already");
        return Err(Problem::new(ProblemKind::Busy, detail));
    }
    let size = size.map(|size| pty::Size { rows: size.rows, columns: size.columns });
    let run = instance.run().ok_or_else(|| none(format!("{name} is not running")))?;
    let shown = shared.children.borrow().show_terminal(run, size).map_err(|error| {
        Problem::new(ProblemKind::Internal, format!("cannot connect to the terminal of {name}: {error}"))
    })?;
    // It has ended, or was started before its configuration had a terminal.
    let (seat, command) = shown.ok_or_else(|| none(format!("{name} has no terminal now")))?;
    info!(program = %name, client = %client.principal, "a client connected to the terminal");
    let counted = Rc::clone(&shared.shown_terminals);
    Ok((Connected { program: name.to_owned(), client, _seat: seat, _counted: counted }, command))
}
