//! Evidence about exits that the core does not have: whether memory ran out, and what became of the core of a crash.
//!
//! For display only, and bounded. The kernel's counter is read only when a run was killed by a SIGKILL that musterd
//! did not send: it is the number of processes killed since the last reading, and does not identify them.

use std::collections::BTreeMap;

use muster_spec::{Exit, RunEnd, RunId, Signal};
use muster_sys::oom::Kills;

use crate::core_dumps::CoreDump;

/// The maximum number of runs that are kept.
const MOST: usize = 4096;

/// Whether the kernel OOM-killed a process at about the time a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfMemory {
    /// The number of processes of this cgroup that it killed since the last reading.
    Killed(u64),
    /// It killed none.
    No,
    /// It does not report the number.
    Untold,
}

/// The evidence about recent runs.
#[derive(Debug)]
pub(crate) struct ExitEvidence {
    kills: Kills,
    memory: BTreeMap<RunId, OutOfMemory>,
    cores: BTreeMap<RunId, CoreDump>,
}

impl ExitEvidence {
    pub(crate) fn new() -> ExitEvidence {
        ExitEvidence { kills: Kills::of_own_cgroup(), memory: BTreeMap::new(), cores: BTreeMap::new() }
    }

    /// Records whether memory ran out when a run ended that musterd did not end. `signalled` is the last signal that a
    /// client had sent to the run.
    pub(crate) fn look_into(&mut self, run: RunId, end: &RunEnd, signalled: Option<Signal>) -> Option<OutOfMemory> {
        let RunEnd::Exited(Exit::Signal { signal: Signal::KILL, .. }) = end else { return None };
        if signalled == Some(Signal::KILL) {
            return None;
        }
        let found = match self.kills.since_last_look() {
            None => OutOfMemory::Untold,
            Some(0) => OutOfMemory::No,
            Some(kills) => OutOfMemory::Killed(kills),
        };
        remember(&mut self.memory, run, found);
        Some(found)
    }

    /// Records what is known about the core of a run that crashed.
    pub(crate) fn keep_core(&mut self, run: RunId, dump: CoreDump) {
        remember(&mut self.cores, run, dump);
    }

    /// The facts about the core of this run, if it crashed.
    pub(crate) fn core(&self, run: RunId) -> Option<&CoreDump> {
        self.cores.get(&run)
    }

    /// The evidence about this run's exit, if there was a reason to check.
    pub(crate) fn memory(&self, run: RunId) -> Option<OutOfMemory> {
        self.memory.get(&run).copied()
    }
}

fn remember<T>(map: &mut BTreeMap<RunId, T>, run: RunId, value: T) {
    map.insert(run, value);
    if map.len() > MOST {
        map.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn killed_by(signal: Signal) -> RunEnd {
        RunEnd::Exited(Exit::Signal { signal, core_dumped: false })
    }

    #[test]
    fn only_a_sigkill_that_nobody_asked_for_is_looked_into() {
        let mut exit_evidence = ExitEvidence::new();
        assert_eq!(exit_evidence.look_into(RunId(1), &killed_by(Signal::KILL), Some(Signal::KILL)), None);
        assert_eq!(exit_evidence.look_into(RunId(2), &killed_by(Signal::TERM), None), None);
        assert_eq!(exit_evidence.look_into(RunId(2), &RunEnd::Exited(Exit::Code(137)), None), None);
        let found = exit_evidence.look_into(RunId(3), &killed_by(Signal::KILL), Some(Signal::HUP));
        assert!(found.is_some(), "HUP did not kill it");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut map = BTreeMap::new();
        (0..MOST as u64 + 10).for_each(|run| remember(&mut map, RunId(run), ()));
        assert_eq!((map.len(), map.first_key_value()), (MOST, Some((&RunId(10), &()))));
    }
}
