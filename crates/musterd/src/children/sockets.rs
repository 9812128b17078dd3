//! The listening sockets of programs: which are open, and what a process inherits of them.
//!
//! A socket is open as long as an instance that has it is wanted up and not given up, or still runs: clients queue during
//! restarts. With `keep = "always"` it is open as long as the instance is configured. [`muster_sys::sockets`] opens and closes.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use muster_core::{Input, Instance};
use muster_logging::main_log::{self, Level};
use muster_spec::{Goal, InstanceSpec, ProgramSpec, SocketKeep, SpawnError, SpawnStep, State};
use muster_sys::sockets::{Change, Key, NotOpened, Sockets};
use tracing::warn;

use super::Children;

/// The first descriptor of sd_listen_fds(3).
const FIRST: u32 = 3;

/// The sockets of a process that is being started.
pub(super) struct Inherited<'a> {
    pub(super) stdin: Option<BorrowedFd<'a>>,
    pub(super) passed: Vec<(BorrowedFd<'a>, u32)>,
    pub(super) variables: Vec<(&'static str, String)>,
    pub(super) own_pid: Option<&'static str>,
}

/// The open sockets of a process: one may be its standard input, the others are passed as in sd_listen_fds(3).
pub(super) fn inherited<'a>(sockets: &'a Sockets, instance: &'a InstanceSpec) -> Inherited<'a> {
    let open = |is_stdin| {
        let those = instance.process.sockets.iter().filter(move |spec| spec.is_stdin == is_stdin);
        those.filter_map(|spec| Some((spec.name.as_str(), sockets.get(&instance.name, spec)?)))
    };
    let passed: Vec<_> = open(false).zip(FIRST..).map(|((_, socket), number)| (socket, number)).collect();
    let stdin = open(true).next().map(|(_, socket)| socket);
    if passed.is_empty() {
        return Inherited { stdin, passed, variables: Vec::new(), own_pid: None };
    }
    let names: Vec<&str> = open(false).map(|(name, _)| name).collect();
    let variables = vec![("LISTEN_FDS", passed.len().to_string()), ("LISTEN_FDNAMES", names.join(":"))];
    Inherited { stdin, passed, variables, own_pid: Some("LISTEN_PID") }
}

impl Children {
    /// Opens the sockets of an instance that is about to start.
    pub(super) fn open_sockets_to_start(&mut self, instance: &InstanceSpec) -> Result<(), SpawnError> {
        // One that is opened again is another descriptor, which nothing watches.
        if self.sockets.has_broken(instance) {
            self.watch_nothing();
            self.note_change();
        }
        self.open_sockets(instance)
    }

    /// Opens the sockets of an instance that are closed, or broken.
    pub(super) fn open_sockets(&mut self, instance: &InstanceSpec) -> Result<(), SpawnError> {
        if instance.process.sockets.is_empty() {
            return Ok(());
        }
        let opened = self.sockets.open(instance, self.spawner.accounts());
        self.report_sockets();
        opened.map_err(|error| SpawnError {
            step: SpawnStep::Socket,
            errno: error.error.raw_os_error().unwrap_or(0),
            message: error.to_string(),
        })
    }

    /// Opens the sockets that a new configuration adds or changes. They are used once the configuration is.
    pub(crate) fn prepare_sockets(
        &mut self,
        active: &[Arc<ProgramSpec>],
        new: &[Arc<ProgramSpec>],
    ) -> Result<(), NotOpened> {
        self.sockets.prepare(instances(active), instances(new), self.spawner.accounts())
    }

    /// Closes the sockets that were prepared, since the configuration does not become active.
    pub(crate) fn discard_sockets(&mut self) {
        self.sockets.discard();
    }

    /// Uses the sockets that were prepared.
    pub(crate) fn adopt_sockets(&mut self) {
        self.watch_nothing();
        for error in self.sockets.adopt(self.spawner.accounts()) {
            warn!("{error}");
        }
        self.report_sockets();
        self.has_unwanted = true;
    }

    /// Notes that an instance may have changed its goal or state.
    pub(crate) fn note_change(&mut self) {
        self.has_unwanted = true;
    }

    /// Closes the sockets that no instance wants, and watches those whose clients start a program. Returns the inputs that are
    /// known at once.
    pub(crate) fn attend_sockets(&mut self, instances: &[Instance], is_shutting_down: bool) -> Vec<Input> {
        if !std::mem::take(&mut self.has_unwanted) {
            return Vec::new();
        }
        if !self.sockets.is_empty() {
            self.stop_watching(instances.iter());
            let wanted: HashSet<_> =
                instances.iter().flat_map(|instance| wanted_of(instance, is_shutting_down)).collect();
            self.sockets.retain(|key| wanted.contains(key));
            self.report_sockets();
        }
        self.watch_for(instances.iter())
    }

    /// Logs which sockets were opened and closed, where the log has lines for it.
    fn report_sockets(&mut self) {
        for change in self.sockets.take_changes() {
            let text = match change {
                Change::Opened(address) => format!("Creating socket {address}"),
                Change::Closed(address) => format!("Closing socket {address}"),
                Change::Mended(address) => {
                    warn!(%address, "a program has shut down its listening socket, which was opened again");
                    continue;
                }
            };
            if main_log::is_on() {
                main_log::line(Level::Info, text);
            }
        }
    }

    /// Closes all sockets, and removes their files.
    pub(crate) fn close_sockets(&mut self) {
        self.sockets.discard();
        self.sockets.retain(|_| false);
        self.report_sockets();
    }
}

/// The sockets that an instance wants open.
fn wanted_of(instance: &Instance, is_shutting_down: bool) -> impl Iterator<Item = Key> {
    let is_wanted = instance.goal() == Goal::Up && instance.state() != State::Fatal || instance.run().is_some();
    let keeps = !is_shutting_down && !instance.is_leaving();
    let sockets = instance.spec().process.sockets.iter();
    let wanted = sockets.filter(move |spec| is_wanted || keeps && spec.keep == SocketKeep::Always);
    wanted.map(|spec| Key::of(instance.name(), spec))
}

/// All instances.
pub(crate) fn instances(programs: &[Arc<ProgramSpec>]) -> impl Iterator<Item = &InstanceSpec> {
    programs.iter().flat_map(|program| &program.instances).map(|instance| &**instance)
}
