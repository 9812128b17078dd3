//! Processes that are kept when their run is over, and the process group of a main process, which may be all of a run
//! that a stop ends.
//!
//! As PID 1 the daemon takes all processes with it when it exits, so kept ones become strays, which get a stop signal
//! first. Elsewhere they are to survive the daemon: their run stays known, so that they are not taken for strays, until
//! no process of it is left.

use std::io;
use std::time::Instant;

use muster_spec::{RunId, Signal};

use super::signal::{Delivery, Signalled};
use super::{Trees, no_proc};
use crate::signal::{Pid, send_group};

impl Trees {
    /// Gives up a run whose main process has been reaped. The rest of it is never signalled again, except by a PID 1
    /// that exits.
    pub fn disown(&mut self, run: RunId) {
        if self.proc.this() == 1 {
            return self.end(run);
        }
        if let Some(about) = self.runs.get_mut(&run).filter(|about| !about.is_disowned) {
            about.is_disowned = true;
            self.disowned.push(run);
        }
    }

    /// Forgets disowned runs without processes. Only attributes orphans until then; the next call continues.
    pub fn forget_disowned(&mut self, until: Option<Instant>) {
        if self.disowned.is_empty() || !self.look_until(until) {
            return;
        }
        let (gone, left) = std::mem::take(&mut self.disowned).into_iter().partition(|&run| self.is_gone(run));
        self.disowned = left;
        Vec::into_iter(gone).for_each(|run| self.end(run));
    }

    /// Signals the process group that the main process of this run leads, or led, as a whole.
    pub fn signal_group(&mut self, run: RunId, signal: Signal) -> io::Result<Signalled> {
        let mut delivery = Delivery::default();
        if let Some(group) = self.group_of(run) {
            delivery.note(send_group(group, signal).map(|()| true));
        }
        delivery.result()
    }

    /// Of which of these runs the main process and all of its group have been reaped. `None` if new orphans could not be
    /// attributed until then: call it again.
    pub fn gone_groups(&mut self, runs: &[RunId], until: Option<Instant>) -> Option<Vec<RunId>> {
        // A new orphan may have taken the number of a group.
        if !runs.is_empty() && !self.look_until(until) {
            return None;
        }
        let is_led = |run: &RunId| self.runs.get(run).is_some_and(|about| about.is_leader_alive);
        Some(runs.iter().copied().filter(|run| !is_led(run) && self.group_of(*run).is_none()).collect())
    }

    /// The group of a main process, as long as a child of ours is in it: until that is reaped, the number is not reused.
    fn group_of(&self, run: RunId) -> Option<Pid> {
        let about = self.runs.get(&run).filter(|about| about.is_number_ours)?;
        no_proc::has_children_in_group(about.leader).then_some(Pid(about.leader))
    }
}
