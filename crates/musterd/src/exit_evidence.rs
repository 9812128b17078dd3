//! What is known of the ends of runs beyond what the core knows: whether memory ran out.
//!
//! Kept for onlookers only, bounded by the number of runs that are remembered. The kernel's counter is read when a run dies
//! by a SIGKILL that we did not send, and then only: it tells how many were killed since the last look, not whom.

use std::collections::BTreeMap;

use muster_spec::{Exit, RunEnd, RunId, Signal};
use muster_sys::oom::Kills;

/// How many runs are remembered at most.
const MOST: usize = 4096;

/// Whether the kernel killed for want of memory about when a run died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfMemory {
    /// It killed so many processes of this cgroup since the last look.
    Killed(u64),
    /// It killed nobody.
    No,
    /// It does not tell.
    Untold,
}

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Deaths {
    kills: Kills,
    memory: BTreeMap<RunId, OutOfMemory>,
}

impl Deaths {
    pub(crate) fn new() -> Deaths {
        Deaths { kills: Kills::of_own_cgroup(), memory: BTreeMap::new() }
    }

    /// A run ended, not because we ended it. Whether memory had run out. `signalled` is the signal that a client had sent
    /// to the run last.
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

    /// What was found out about the end of this run, if there was a reason to look.
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
        let mut deaths = Deaths::new();
        assert_eq!(deaths.look_into(RunId(1), &killed_by(Signal::KILL), Some(Signal::KILL)), None);
        assert_eq!(deaths.look_into(RunId(2), &killed_by(Signal::TERM), None), None);
        assert_eq!(deaths.look_into(RunId(2), &RunEnd::Exited(Exit::Code(137)), None), None);
        let found = deaths.look_into(RunId(3), &killed_by(Signal::KILL), Some(Signal::HUP));
        assert!(found.is_some(), "HUP did not kill it");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut map = BTreeMap::new();
        (0..MOST as u64 + 10).for_each(|run| remember(&mut map, RunId(run), ()));
        assert_eq!((map.len(), map.first_key_value()), (MOST, Some((&RunId(10), &()))));
    }
}
