//! `on_exit`: what certain ends of a run mean, whatever `restart` says.
//!
//! A rule names ends and an action. Where several rules hold, the most specific one applies: a status, then a named signal,
//! then an OOM kill, then a range, then a class.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::exit::{Exit, RunEnd};
use crate::signal::Signal;

/// The ends that a rule is about, in the order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitMatch {
    /// This exit status.
    Status(u8),
    /// This signal killed it.
    Signal(Signal),
    /// The kernel killed it for lack of memory.
    OutOfMemory,
    /// An exit status in this range, both ends included.
    Range {
        /// The first status.
        first: u8,
        /// The last status.
        last: u8,
    },
    /// Any signal killed it.
    AnySignal,
    /// An exit status outside `exitcodes`.
    Failure,
    /// It could not be started.
    SpawnError,
}

/// The consequence of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitAction {
    /// It counts as a success, and `restart` decides.
    Success,
    /// It counts as a failure, and `restart` decides.
    Failure,
    /// It is restarted with the policy's delay and counter, whatever `restart` says.
    Restart,
    /// It is restarted at once and not counted, a few times in a row.
    RestartNow,
    /// It is not restarted.
    Stop,
    /// It is given up.
    Fatal,
    /// It is not restarted, and the container exits with its code.
    Exit,
    /// Every program whose goal is up is restarted.
    RestartAll,
}

/// A rule: some ends, and what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExitRule {
    /// The ends.
    pub on: ExitMatch,
    /// Their meaning.
    pub then: ExitAction,
}

/// The rules of a program, in the order of precedence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRules(Vec<ExitRule>);

impl ExitMatch {
    /// Whether both could be about the same end without one being more specific.
    fn conflicts(self, other: ExitMatch) -> bool {
        match (self, other) {
            (ExitMatch::Range { first, last }, ExitMatch::Range { first: other, last: other_last }) => {
                first <= other_last && other <= last
            }
            _ => self == other,
        }
    }

    fn holds(self, end: &RunEnd, is_out_of_memory: bool, exit_codes: &[u8]) -> bool {
        match (self, end) {
            (ExitMatch::Status(wanted), RunEnd::Exited(Exit::Code(code))) => wanted == *code,
            (ExitMatch::Range { first, last }, RunEnd::Exited(Exit::Code(code))) => (first..=last).contains(code),
            (ExitMatch::Failure, RunEnd::Exited(Exit::Code(code))) => !exit_codes.contains(code),
            (ExitMatch::Signal(wanted), RunEnd::Exited(Exit::Signal { signal, .. })) => wanted == *signal,
            (ExitMatch::OutOfMemory, RunEnd::Exited(Exit::Signal { .. })) => is_out_of_memory,
            (ExitMatch::AnySignal, RunEnd::Exited(Exit::Signal { .. })) => true,
            // A shortage of the daemon's own is no fault of the program, and is retried in any case.
            (ExitMatch::SpawnError, RunEnd::NotSpawned(error)) => !error.is_shortage(),
            _ => false,
        }
    }
}

impl fmt::Display for ExitMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitMatch::Status(code) => code.fmt(f),
            ExitMatch::Signal(signal) => f.write_str(signal.to_string().trim_start_matches("SIG")),
            ExitMatch::OutOfMemory => f.write_str("oom"),
            ExitMatch::Range { first, last } => write!(f, "{first}-{last}"),
            ExitMatch::AnySignal => f.write_str("signal"),
            ExitMatch::Failure => f.write_str("failure"),
            ExitMatch::SpawnError => f.write_str("spawn-error"),
        }
    }
}

impl ExitAction {
    /// Whether another run follows, whatever `restart` says.
    pub const fn restarts(self) -> bool {
        matches!(self, ExitAction::Restart | ExitAction::RestartNow | ExitAction::RestartAll)
    }

    /// Whether the end counts as a success, if the action says so.
    pub const fn success(self) -> Option<bool> {
        match self {
            ExitAction::Success => Some(true),
            ExitAction::Failure => Some(false),
            _ => None,
        }
    }
}

impl ExitRules {
    /// Adds a rule. Returns the one that it contradicts, if there is one.
    pub fn add(&mut self, rule: ExitRule) -> Result<(), ExitMatch> {
        if let Some(other) = self.0.iter().find(|other| other.on.conflicts(rule.on)) {
            return Err(other.on);
        }
        let at = self.0.partition_point(|other| other.on < rule.on);
        self.0.insert(at, rule);
        Ok(())
    }

    /// The rule for this end.
    pub fn rule(&self, end: &RunEnd, is_out_of_memory: bool, exit_codes: &[u8]) -> Option<ExitRule> {
        self.iter().find(|rule| rule.on.holds(end, is_out_of_memory, exit_codes))
    }

    /// All rules, in the order of precedence.
    pub fn iter(&self) -> impl Iterator<Item = ExitRule> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{SpawnError, SpawnStep};

    fn rules(list: &[(ExitMatch, ExitAction)]) -> ExitRules {
        let mut rules = ExitRules::default();
        for &(on, then) in list {
            assert_eq!(rules.add(ExitRule { on, then }), Ok(()));
        }
        rules
    }

    const ALL: [(ExitMatch, ExitAction); 7] = [
        (ExitMatch::SpawnError, ExitAction::Fatal),
        (ExitMatch::Failure, ExitAction::Failure),
        (ExitMatch::AnySignal, ExitAction::Restart),
        (ExitMatch::Range { first: 70, last: 79 }, ExitAction::Stop),
        (ExitMatch::OutOfMemory, ExitAction::Exit),
        (ExitMatch::Signal(Signal::HUP), ExitAction::Success),
        (ExitMatch::Status(75), ExitAction::RestartNow),
    ];

    #[test]
    fn the_most_specific_rule_applies() {
        let rules = rules(&ALL);
        let code = |code| RunEnd::Exited(Exit::Code(code));
        let killed = |signal| RunEnd::Exited(Exit::Signal { signal, core_dumped: false });
        let then = |end: RunEnd, oom| rules.rule(&end, oom, &[0]).map(|rule| rule.then);
        assert_eq!(then(code(75), false), Some(ExitAction::RestartNow));
        assert_eq!(then(code(74), false), Some(ExitAction::Stop));
        assert_eq!(then(code(1), false), Some(ExitAction::Failure));
        assert_eq!(then(code(0), false), None);
        assert_eq!(then(killed(Signal::HUP), true), Some(ExitAction::Success));
        assert_eq!(then(killed(Signal::KILL), true), Some(ExitAction::Exit));
        assert_eq!(then(killed(Signal::KILL), false), Some(ExitAction::Restart));
        assert_eq!(then(RunEnd::MainLost, false), None);
        let error = |errno| RunEnd::NotSpawned(SpawnError { step: SpawnStep::Fork, errno, message: String::new() });
        assert_eq!(then(error(1), false), Some(ExitAction::Fatal));
        assert_eq!(then(error(11), false), None, "the daemon is out of processes");
    }

    #[test]
    fn rules_about_the_same_ends_contradict_each_other() {
        let mut rules = rules(&ALL);
        let mut add = |on| rules.add(ExitRule { on, then: ExitAction::Stop });
        assert_eq!(add(ExitMatch::Status(75)), Err(ExitMatch::Status(75)));
        let overlapping = [(79, 90), (60, 70), (72, 73), (0, 255)];
        for (first, last) in overlapping {
            assert_eq!(add(ExitMatch::Range { first, last }), Err(ExitMatch::Range { first: 70, last: 79 }));
        }
        assert_eq!(add(ExitMatch::Range { first: 80, last: 80 }), Ok(()));
        assert_eq!(add(ExitMatch::Status(80)), Ok(()), "a status is more specific than a range");
        assert_eq!(add(ExitMatch::AnySignal), Err(ExitMatch::AnySignal));
    }
}
