//! The commands of notifiers: processes in the daemon's own context, with process trees of their own.

use std::os::fd::AsFd;

use muster_spec::{ProcessSpec, RunId, SpawnError};
use muster_sys::tree;

use super::commands::{Command, spawn_read};
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
        let launch = self.launch_of_command(id, process, &markers);
        let (output, spawning) = spawn_read(&mut self.spawner, &launch, Some(reading.as_fd()))?;
        let ended = self.begin_command(id, uid, marker, spawning);
        Ok((id, Command { output, ended }, stdin))
    }
}
