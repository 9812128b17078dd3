//! The commands that clients execute: starting, signalling and ending them.

use muster_exec::relay::Command;
use muster_load::secrets;
use muster_spec::{Signal, SignalScope};
use tokio::sync::oneshot;
use tracing::info;

use super::EventLoop;
use crate::execs::{Ask, Exec, NotStarted};

/// The longest name of a command in the log, in bytes.
const SHOWN: usize = 256;

impl EventLoop {
    /// Starts a client's command. A client that is gone sends its hangup behind this order.
    pub(super) fn begin_exec(&mut self, serial: u64, ask: Ask, reply: oneshot::Sender<Result<Command, NotStarted>>) {
        let begun = self.try_exec(serial, ask);
        // A client that is gone does not receive it; its hangup follows, and closing the streams here does no harm.
        let _ = reply.send(begun);
    }

    fn try_exec(&mut self, serial: u64, mut ask: Ask) -> Result<Command, NotStarted> {
        if self.shared.supervisor.borrow().is_shutting_down() {
            return Err(NotStarted::ShuttingDown);
        }
        if self.shared.execs.borrow().is_full() {
            return Err(NotStarted::TooMany);
        }
        let prepared = std::mem::take(&mut ask.prepared);
        let (id, command) = self.shared.children.borrow_mut().spawn_exec(&ask, prepared).map_err(NotStarted::Failed)?;
        let name = secrets::mask(ask.process.command.first().map_or("", String::as_str));
        let name = name[..name.floor_char_boundary(SHOWN)].to_owned();
        let pid = self.shared.children.borrow().pid_of(id);
        let (program, client, user) = (&ask.spec.name, ask.by, ask.process.user.as_ref());
        let user = user.map(|user| tracing::field::display(&user.user));
        info!(%program, %client, user, command = %name, pid, has_terminal = ask.terminal.is_some(), "executing a command");
        let exec = Exec { id, program: program.clone(), by: client, command: name };
        self.shared.execs.borrow_mut().begin(serial, exec);
        Ok(command)
    }

    /// Sends a signal of its client to a command.
    pub(super) fn signal_exec(&mut self, serial: u64, signal: Signal) {
        let Some(id) = self.shared.execs.borrow().id(serial) else { return };
        let mut children = self.shared.children.borrow_mut();
        children.signal(id, signal, SignalScope::MainGroup, &mut self.inputs.of_programs);
        drop(children);
        self.tell_refused();
    }

    /// The client is gone: what is left of the command is asked to end, and killed if it does not.
    pub(super) fn hang_up(&mut self, serial: u64) {
        if let Some(id) = self.shared.execs.borrow().id(serial) {
            self.sweeps.hang_up(id);
        }
    }

    /// Signals all commands in a shutdown, as the processes of no program.
    pub(super) fn signal_execs(&mut self, signal: Signal) {
        let ids: Vec<_> = self.shared.execs.borrow().iter().map(|exec| exec.id).collect();
        match signal {
            Signal::KILL => self.sweeps.kill(ids),
            _ => ids.into_iter().for_each(|id| self.sweeps.ask(id, signal)),
        }
    }

    /// Forgets a client's command without remaining processes.
    pub(super) fn end_exec(&self, id: muster_spec::RunId) {
        if let Some(Exec { program, by, command, .. }) = self.shared.execs.borrow_mut().forget(id) {
            info!(%program, client = %by, %command, "an executed command has ended");
        }
    }
}
