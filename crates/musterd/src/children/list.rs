//! Process trees and their usage, in the types of the API.

use std::time::Instant;

use muster_api::{ProcessInfo, ProcessState};
use muster_spec::RunId;
use muster_sys::signal::Pid;
use muster_sys::tree;

use super::{Children, LOOKING};

impl Children {
    /// The trees of these runs, and with `strays` the processes of no program, to be listed on another thread.
    pub(crate) fn listing(&mut self, runs: &[RunId], strays: bool) -> tree::Listing {
        self.trees.listing(runs, strays, Some(Instant::now() + LOOKING))
    }

    /// Starts measuring the trees of these runs, in slices.
    pub(crate) fn measure(&mut self, runs: &[RunId]) -> tree::Measuring {
        self.trees.measure(runs, Some(Instant::now() + LOOKING))
    }

    /// Continues measuring until then. Returns the usage once all of it has been measured.
    pub(crate) fn go_on_measuring(
        &mut self,
        measuring: &mut tree::Measuring,
        until: Instant,
    ) -> Option<Vec<(RunId, tree::Usage)>> {
        self.trees.go_on_measuring(measuring, Some(until))
    }

    /// The usage of the daemon itself.
    pub(crate) fn own_usage(&mut self) -> Option<tree::Usage> {
        self.trees.own_usage()
    }
}

pub(crate) fn process_info(process: tree::Process) -> ProcessInfo {
    let number = |pid: Pid| u32::try_from(pid.0).unwrap_or(0);
    ProcessInfo {
        pid: number(process.pid),
        ppid: number(process.ppid),
        command: process.command,
        state: process_state(process.state),
        memory: process.rss_bytes,
        cpu: process.cpu_time.as_secs_f64(),
    }
}

fn process_state(state: tree::ProcessState) -> ProcessState {
    match state {
        tree::ProcessState::Running => ProcessState::Running,
        tree::ProcessState::Sleeping => ProcessState::Sleeping,
        tree::ProcessState::Disk => ProcessState::Blocked,
        tree::ProcessState::Stopped => ProcessState::Stopped,
        tree::ProcessState::Traced => ProcessState::Traced,
        tree::ProcessState::Zombie => ProcessState::Zombie,
        tree::ProcessState::Other => ProcessState::Unknown,
    }
}
