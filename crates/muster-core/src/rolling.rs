//! Rolling restarts under way: whose turn it is, who is left, and when the next step is due.
//!
//! A [`Roll`] belongs to one command, reload or recycling, and goes through its programs one after another. Rolls of the same
//! program take turns. Knows nothing of states: `supervisor/rolling.rs` decides on each step.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{InstanceId, Rolling, RunId};

use crate::cause::Asker;
use crate::request::RequestId;
use crate::time::Time;

/// An instance of a roll.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) id: InstanceId,
    /// Its number among the members of its program, from 1.
    pub(crate) number: u32,
    /// Its last run when the roll was ordered. A later one needs no restart.
    pub(crate) before: Option<RunId>,
}

/// An instance whose restart is under way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) member: Member,
    /// Its last run that does not count.
    pub(crate) after: Option<RunId>,
    /// When its new run, which is RUNNING, must be as ready as it has to be.
    pub(crate) until: Option<Time>,
}

/// The instances of one program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) program: String,
    pub(crate) rule: Rolling,
    pub(crate) left: VecDeque<Member>,
    /// Number of all members.
    pub(crate) of: u32,
    /// Number of those that have been restarted.
    pub(crate) done: u32,
    pub(crate) current: Vec<Step>,
    /// The instances of the program that must be up before the next step; `None` before the first.
    pub(crate) steady: Option<BTreeSet<InstanceId>>,
    pub(crate) pause_until: Option<Time>,
    /// The member that has failed, and how.
    pub(crate) failed: Option<(Member, String)>,
}

impl Part {
    pub(crate) fn of(program: &str, rule: Rolling, members: Vec<(InstanceId, Option<RunId>)>) -> Part {
        let of = members.len() as u32;
        let left = (1..).zip(members).map(|(number, (id, before))| Member { id, number, before });
        Part {
            program: program.to_owned(),
            rule,
            left: left.collect(),
            of,
            done: 0,
            current: Vec::new(),
            steady: None,
            pause_until: None,
            failed: None,
        }
    }

    /// Takes out a member that needs no turn.
    pub(crate) fn take_out(&mut self, id: InstanceId) {
        self.left.retain(|member| member.id != id);
        (1..).zip(&mut self.left).for_each(|(number, member)| member.number = number);
        self.of = self.left.len() as u32;
    }

    /// Its members that are not done.
    pub(crate) fn pending(&self) -> impl Iterator<Item = Member> {
        self.current.iter().map(|step| step.member).chain(self.left.iter().copied())
    }

    fn deadlines(&mut self) -> impl Iterator<Item = &mut Time> {
        self.pause_until.iter_mut().chain(self.current.iter_mut().filter_map(|step| step.until.as_mut()))
    }
}

/// One command, reload or recycling that restarts instances one after another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Roll {
    pub(crate) asker: Asker,
    pub(crate) request: Option<RequestId>,
    /// Instances that the same command or reload starts or restarts together; they come to rest before the first step.
    pub(crate) after: Vec<InstanceId>,
    /// Its programs, the current one first.
    pub(crate) parts: VecDeque<Part>,
    /// The instances that it has restarted.
    pub(crate) restarted: Vec<InstanceId>,
}

/// How far the rolling restart of a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The step, from 1.
    pub step: u32,
    /// The number of steps.
    pub of: u32,
    /// Whether it waits until another rolling restart of the program has ended.
    pub is_queued: bool,
}

/// All rolls, the oldest first, and the instances that are to be recycled.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rolls {
    rolls: Vec<Roll>,
    /// In the order in which they became due: where restarts take longer than `recycle_after`, each instance has its turn.
    due: Vec<InstanceId>,
    is_stirred: bool,
}

impl Rolls {
    pub(crate) fn len(&self) -> usize {
        self.rolls.len()
    }

    /// Notes that something has changed on which the next step of a roll may depend.
    pub(crate) fn stir(&mut self) {
        self.is_stirred = true;
    }

    /// Whether there is no roll, and nothing to recycle.
    pub(crate) fn is_idle(&self) -> bool {
        self.rolls.is_empty() && self.due.is_empty()
    }

    /// Whether something has changed since the last call.
    pub(crate) fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.is_stirred)
    }

    pub(crate) fn begin(&mut self, roll: Roll) {
        self.rolls.push(roll);
        self.stir();
    }

    /// Whether an older roll has yet to restart a program of this one.
    pub(crate) fn is_queued(&self, place: usize) -> bool {
        let is_of_older = |part: &Part| self.rolls[..place].iter().any(|older| older.has(&part.program));
        self.rolls[place].parts.iter().any(is_of_older)
    }

    /// Takes a roll out, to be put back unless it is over.
    pub(crate) fn take(&mut self, place: usize) -> Roll {
        self.rolls.remove(place)
    }

    pub(crate) fn put_back(&mut self, place: usize, roll: Roll) {
        self.rolls.insert(place, roll);
    }

    /// Takes out all rolls of this program.
    pub(crate) fn take_of(&mut self, program: &str) -> Vec<Roll> {
        self.rolls.extract_if(.., |roll| roll.has(program)).collect()
    }

    /// Whether a roll has yet to restart instances of this program.
    pub(crate) fn is_rolling(&self, program: &str) -> bool {
        self.rolls.iter().any(|roll| roll.has(program))
    }

    /// Has a roll of this program that has yet to begin also restart these runs, the last ones of its members. Returns whether
    /// there is one with all of them.
    pub(crate) fn renew(&mut self, program: &str, last_runs: &[(InstanceId, Option<RunId>)]) -> bool {
        let has_all = |part: &Part| {
            let is_new = part.program == program && part.done == 0 && part.current.is_empty() && part.failed.is_none();
            is_new && last_runs.iter().all(|(id, _)| part.left.iter().any(|member| member.id == *id))
        };
        let mut parts = self.rolls.iter_mut().flat_map(|roll| &mut roll.parts);
        let Some(part) = parts.find(|part| has_all(part)) else { return false };
        for member in &mut part.left {
            let last = last_runs.iter().find(|(id, _)| *id == member.id);
            last.into_iter().for_each(|(_, run)| member.before = *run);
        }
        true
    }

    /// Whether this instance is being restarted by a roll.
    pub(crate) fn is_current(&self, id: InstanceId) -> bool {
        let parts = self.rolls.iter().filter_map(|roll| roll.parts.front());
        parts.flat_map(|part| &part.current).any(|step| step.member.id == id)
    }

    /// How far the first roll of this program is.
    pub(crate) fn progress(&self, program: &str) -> Option<Progress> {
        let place = self.rolls.iter().position(|roll| roll.has(program))?;
        let part = self.rolls[place].parts.iter().find(|part| part.program == program)?;
        let is_queued = self.is_queued(place) || self.rolls[place].parts.front().is_none_or(|it| it.program != program);
        Some(Progress { step: (part.done + 1).min(part.of), of: part.of, is_queued })
    }

    /// Notes that an instance is to be recycled when that is possible.
    pub(crate) fn note_due(&mut self, id: InstanceId) {
        if !self.due.contains(&id) {
            self.due.push(id);
        }
        self.stir();
    }

    pub(crate) fn due(&self) -> impl Iterator<Item = InstanceId> {
        self.due.iter().copied()
    }

    pub(crate) fn forget_due(&mut self, id: InstanceId) {
        self.due.retain(|it| *it != id);
    }

    /// The earliest deadline of all rolls.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let parts = self.rolls.iter().filter_map(|roll| roll.parts.front());
        parts.flat_map(|part| part.pause_until.into_iter().chain(part.current.iter().filter_map(|it| it.until))).min()
    }

    /// Postpones all deadlines.
    pub(crate) fn lose(&mut self, by: Duration) {
        let parts = self.rolls.iter_mut().filter_map(|roll| roll.parts.front_mut());
        parts.flat_map(Part::deadlines).for_each(|at| *at = *at + by);
    }
}

impl Roll {
    pub(crate) fn has(&self, program: &str) -> bool {
        self.parts.iter().any(|part| part.program == program)
    }
}
