//! The commands of notifiers, and the last notifications before the daemon exits.

use std::time::{Duration, Instant};

use muster_load::secrets;
use muster_spec::RunId;
use tracing::debug;

use super::EventLoop;
use crate::messengers::{Begun, Messenger, Reply};

/// How long the last notifications may delay the exit.
const PARTING: Duration = Duration::from_secs(1);

/// How long their commands may take to exit after SIGKILL.
const DYING: Duration = Duration::from_millis(200);

impl EventLoop {
    /// Starts the command of a notifier.
    pub(super) fn begin_messenger(&mut self, messenger: &Messenger, reply: Reply) {
        if self.kills_messengers {
            return;
        }
        let spawned = self.shared.children.borrow_mut().spawn_messenger(&messenger.process, &messenger.variables);
        let begun = spawned.map(|(id, command, stdin)| {
            let pid = self.shared.children.borrow().pid_of(id);
            let name = secrets::mask(messenger.process.command.first().map_or("", String::as_str));
            debug!(notifier = %messenger.notifier, command = %name, pid, "executing a command");
            let (serial, ended) = self.messengers.begin(id);
            Begun { serial, command, stdin, ended }
        });
        // Its notifier is gone only while the daemon exits.
        let _ = reply.send(begun);
    }

    /// Kills what is left of the command of a notifier.
    pub(super) fn end_messenger(&mut self, serial: u64) {
        self.sweeps.kill(self.messengers.id(serial));
    }

    /// No process of this command is left, which may be that of a notifier.
    pub(super) fn messenger_is_gone(&mut self, id: RunId) {
        self.messengers.forget(id);
    }

    /// Whether the exit that was ordered has to wait for the last notifications: for a while, and no longer than the
    /// shutdown may take. Commands that are still running then are killed.
    pub(super) fn awaits_notifications(&mut self) -> bool {
        if self.kills_messengers {
            return !self.messengers.is_empty() && self.parting.is_some_and(|until| Instant::now() < until);
        }
        if self.shared.notifiers.are_idle() {
            return false;
        }
        let now = Instant::now();
        let until = *self.parting.get_or_insert_with(|| {
            self.shared.notifiers.end();
            let until = now + PARTING;
            self.budget.map_or(until, |end| end.min(until))
        });
        if now < until {
            return true;
        }
        self.kills_messengers = true;
        self.parting = Some(now + DYING);
        self.sweeps.kill(self.messengers.ids());
        !self.messengers.is_empty()
    }
}
