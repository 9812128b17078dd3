//! The commands that clients execute in the context of a program.

use std::os::fd::AsFd;

use muster_exec::relay::{Command, Streams};
use muster_secrets::Prepared;
use muster_spec::{RunId, SpawnError, SpawnStep};
use muster_sys::fd;
use muster_sys::pty;
use muster_sys::spawn::{Launch, Stdio};

use super::{Children, no_pipe, secrets};
use crate::execs::Ask;

/// Tells a command that it is not a run of its program.
const MARKER: (&str, &str) = ("MUSTER_EXEC", "1");

impl Children {
    /// Spawns a client's command as a run of its program would be, with a process tree of its own, and without what belongs to
    /// runs: sockets and notifications.
    pub(crate) fn spawn_exec(&mut self, ask: &Ask, prepared: Prepared) -> Result<(RunId, Command), SpawnError> {
        if let Some(refusal) = &ask.process.refusal {
            return Err(SpawnError { step: SpawnStep::Prepare, errno: nix::libc::EINVAL, message: refusal.clone() });
        }
        let (id, uid) = (self.commands.next_id(), self.uid_of(&ask.process));
        let (marker, index) = (self.marker_of(id), ask.spec.index.to_string());
        let markers: Vec<_> = self
            .markers
            .of(&ask.spec, &marker, &index)
            .into_iter()
            .chain(secrets::variable(prepared.directory.as_ref()))
            .chain([MARKER])
            .collect();
        let secrets: Vec<_> = prepared.variables().collect();
        let launch = Launch { secrets: &secrets, ..self.launch_of_command(id, &ask.process, &markers) };
        let (spawning, streams) = if let Some(size) = ask.terminal {
            let (ours, theirs) = pty::open(size).map_err(no_terminal)?;
            let spawning = self.spawner.spawn_on_terminal(&launch, theirs.as_fd())?;
            (spawning, Streams::Terminal(ours))
        } else {
            let (stdout, out) = fd::output_pipe().map_err(no_pipe)?;
            let (stderr, err) = fd::output_pipe().map_err(no_pipe)?;
            let input = ask.stdin.then(fd::input_pipe).transpose().map_err(no_pipe)?;
            let launch = Launch { stdout: Stdio::Fd(out.as_fd()), stderr: Stdio::Fd(err.as_fd()), ..launch };
            let reading = input.as_ref().map(|(reading, _)| reading.as_fd());
            let spawning = self.spawner.spawn_reading(&launch, reading)?;
            (spawning, Streams::Pipes { stdin: input.map(|(_, writing)| writing), stdout, stderr })
        };
        self.keep_credentials(id, prepared);
        let ended = self.begin_command(id, uid, marker, spawning);
        Ok((id, Command { streams, ended }))
    }
}

pub(super) fn no_terminal(error: std::io::Error) -> SpawnError {
    let message = format!("cannot open a terminal: {error}");
    SpawnError { step: SpawnStep::Prepare, errno: error.raw_os_error().unwrap_or(0), message }
}
