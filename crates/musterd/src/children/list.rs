//! Processes in the words of the API.

use muster_api::{ProcessInfo, ProcessState};
use muster_sys::signal::Pid;
use muster_sys::tree;

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
