//! Ends that are final: which are a success, and what follows when an instance is given up.

use super::{Instance, Turn};
use crate::effect::{Effect, Event};
use crate::exit::{Exit, RunEnd};
use crate::explain::Verdict;
use crate::name::RunId;
use crate::spec::{Kind, ProgramSpec};
use crate::state::State;
use crate::time::Time;

/// An end that the policy does not follow with another run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FinalEnd {
    pub(crate) at: Time,
    pub(crate) run: RunId,
    pub(crate) code: u8,
    pub(crate) success: bool,
}

impl Instance {
    /// The policy would go on, but its limit does not let the next run begin.
    pub(super) fn refuse(&mut self, turn: &mut Turn<'_>, verdict: Verdict) {
        let Some(past) = self.past.back_mut() else { return };
        past.verdict = verdict;
        let (run, code) = (past.run, past.end.shell_code());
        self.give_up(turn, run, code, verdict);
    }

    pub(super) fn give_up(&mut self, turn: &mut Turn<'_>, run: RunId, code: u8, verdict: Verdict) {
        self.final_end = Some(FinalEnd::failure(turn.now, run, code));
        self.enter(turn, State::Fatal);
        turn.effects.push_back(Effect::Publish(Event::Final { instance: self.id, run, verdict: Box::new(verdict) }));
    }
}

impl FinalEnd {
    /// What has failed for good is never told as a success, however its last run ended.
    pub(super) fn failure(at: Time, run: RunId, code: u8) -> FinalEnd {
        FinalEnd { at, run, code: if code == 0 { 1 } else { code }, success: false }
    }
}

impl ProgramSpec {
    /// Whether this end is what the program was meant to come to.
    pub fn counts_as_success(&self, end: &RunEnd) -> bool {
        match end {
            RunEnd::Exited(Exit::Code(code)) => self.exit_codes.contains(code),
            RunEnd::Exited(Exit::Signal { signal, .. }) => {
                self.kind == Kind::Service && self.restart.clean_signals.contains(*signal)
            }
            RunEnd::MainLost | RunEnd::NotSpawned(_) => false,
        }
    }
}
