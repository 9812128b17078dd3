//! The commands of notifiers: processes in the daemon's own context, with process trees of their own.

use std::os::fd::AsFd;

use muster_spec::{ProcessSpec, RunId, SpawnError};
use muster_sys::fd;
use muster_sys::spawn::{Launch, Stdio};
use muster_sys::tree;

use super::commands::Command;
use super::stdin::StdinPipe;
use super::{Children, no_pipe};

impl Children {
    /// Spawns the command of a notifier. Returns the id of its tree, the command, and the writing end of its standard input.
    pub(crate) fn spawn_messenger(
        &mut self,
        process: &ProcessSpec,
        variables: &[(&str, String)],
    ) -> Result<(RunId, Command, StdinPipe), SpawnError> {
        let (id, uid) = (self.commands.next_id(), self.uid_of(process));
        let marker = self.marker_of(id);
        let own = variables.iter().map(|(name, value)| (*name, value.as_str()));
        let markers: Vec<_> = own.chain([(tree::MARKER, marker.as_str())]).collect();
        let (reading, stdin) = StdinPipe::open().map_err(no_pipe)?;
        let (output, writing) = fd::output_pipe().map_err(no_pipe)?;
        let launch = Launch {
            process,
            secrets: &[],
            markers: &markers,
            own_pid: [None; 2],
            tag: self.trees.tag(id),
            stdout: Stdio::Fd(writing.as_fd()),
            stderr: Stdio::Fd(writing.as_fd()),
            passed: &[],
        };
        let spawning = self.spawner.spawn_reading(&launch, Some(reading.as_fd()))?;
        let ended = self.begin_command(id, uid, marker, spawning);
        Ok((id, Command { output, ended }, stdin))
    }
}
