//! Rolling restarts: one instance of a program after another, each only while the others serve.
//!
//! Before each step the other instances must be as ready as they were at the beginning. A member whose new run fails, or
//! is not ready in time, ends the roll: the rest keeps its processes. So does a stop of any instance of the program, its
//! removal, and a shutdown. [`crate::rolling`] keeps the account.

use std::collections::{BTreeSet, VecDeque};

use muster_spec::{Goal, InstanceId, Kind, Rolling, RollingWait, Span, State};

use super::Supervisor;
use crate::batch::Purpose;
use crate::cause::{Asker, StopCause};
use crate::effect::Effect;
use crate::event::{Event, RollingStep, StepOutcome};
use crate::program::{Instance, PastRun, Start};
use crate::request::{Condition, Done, Failure, RequestId, Verb};
use crate::restart::Verdict;
use crate::rolling::{Member, Part, Progress, Roll, Step};
use crate::time::Time;

/// Whether the others allow the next step.
enum Others {
    Steady,
    NotYet,
    /// One of them is down for good.
    Lost(InstanceId),
}

/// How a step is going.
enum Going {
    On,
    Well,
    Wrong(String),
}

/// The instances of a restart.
#[derive(Default)]
pub(super) struct Sorted {
    /// To be restarted one after another.
    pub(super) parts: Vec<Part>,
    /// Down, and not to be started by a roll.
    pub(super) passed_over: Vec<InstanceId>,
    /// To be restarted together.
    pub(super) together: Vec<InstanceId>,
}

impl Sorted {
    /// The condition that completes the restart of an instance that takes its turn; the result of one that is passed over.
    pub(super) fn wanted(&self, id: InstanceId) -> Option<Result<Condition, Result<Done, Failure>>> {
        if self.passed_over.contains(&id) {
            return Some(Err(Ok(Done::NotRunning)));
        }
        let mut members = self.parts.iter().flat_map(|part| &part.left);
        members.any(|member| member.id == id).then_some(Ok(Condition::Rolled))
    }
}

/// Beginning and ending rolls.
impl Supervisor {
    /// How far the rolling restart of this instance's program is, if there is one.
    pub fn rolling(&self, id: InstanceId) -> Option<Progress> {
        self.rolls.progress(&self.get(id)?.program().name)
    }

    /// Whether a rolling restart has yet to restart instances of this program.
    pub fn is_rolling(&self, program: &str) -> bool {
        self.rolls.is_rolling(program)
    }

    /// Decides which instances of a restart take turns. A single instance does not: there is no other to serve meanwhile.
    pub(super) fn sort_restart(&self, ids: &[InstanceId], verb: Verb) -> Sorted {
        let parallel = match verb {
            Verb::Roll { parallel } => Some(parallel),
            _ => None,
        };
        let mut sorted = Sorted::default();
        let mut left = self.in_start_order(ids.iter().copied());
        while let Some(&first) = left.first() {
            let program = self.instance(first).program();
            let (mut own, others): (Vec<InstanceId>, Vec<InstanceId>) =
                left.into_iter().partition(|&id| self.instance(id).program().name == program.name);
            left = others;
            own.sort_by_key(|&id| self.instance(id).spec().index);
            let (up, down): (Vec<_>, Vec<_>) = own.iter().partition(|&&id| self.instance(id).goal() == Goal::Up);
            let rule = program.rolling.or(parallel.map(|_| Rolling::DEFAULT));
            match rule.filter(|_| up.len() > 1 && program.kind == Kind::Service) {
                Some(rule) => {
                    let rule = Rolling { parallel: parallel.unwrap_or(rule.parallel), ..rule };
                    sorted.parts.push(self.part(&program.name, rule, up));
                    sorted.passed_over.extend(down);
                }
                None => sorted.together.extend(own),
            }
        }
        // An instance that is restarted with others needs no second restart.
        let together = self.with_those_that_restart_with(&sorted.together);
        let (at_once, parts) =
            sorted.parts.into_iter().partition(|part| part.left.iter().any(|member| together.contains(&member.id)));
        sorted.parts = parts;
        let at_once: Vec<Part> = at_once;
        sorted.together.extend(at_once.iter().flat_map(|part| part.left.iter().map(|member| member.id)));
        sorted
    }

    pub(super) fn part(&self, program: &str, rule: Rolling, ids: Vec<InstanceId>) -> Part {
        let members = ids.into_iter().map(|id| (id, self.instance(id).last_run()));
        Part::of(program, rule, members.collect())
    }

    pub(super) fn begin_roll(
        &mut self,
        asker: Asker,
        request: Option<RequestId>,
        parts: Vec<Part>,
        after: Vec<InstanceId>,
    ) {
        if !parts.is_empty() {
            self.rolls.begin(Roll { asker, request, after, parts: parts.into(), restarted: Vec::new() });
        }
    }

    /// Ends the rolls of the programs of these instances: they are to be stopped or removed.
    pub(super) fn cancel_rolls(&mut self, ids: &[InstanceId]) {
        if self.rolls.is_idle() {
            return;
        }
        let programs: BTreeSet<String> =
            ids.iter().filter_map(|&id| self.get(id)).map(|instance| instance.program().name.clone()).collect();
        for roll in programs.iter().flat_map(|program| self.rolls.take_of(program)).collect::<Vec<_>>() {
            if let Some((part, next)) = roll.parts.front().and_then(|part| Some((part, part.pending().next()?))) {
                self.tell_step(part, next, StepOutcome::Cancelled);
            }
            for member in roll.parts.iter().flat_map(Part::pending) {
                self.decide(&roll, member.id, Err(Failure::Cancelled));
            }
            // Its end restarts those that restart with what it has restarted.
            if !roll.restarted.is_empty() {
                self.rolls.begin(Roll { request: None, after: Vec::new(), parts: VecDeque::new(), ..roll });
            }
        }
    }

    fn decide(&mut self, roll: &Roll, id: InstanceId, result: Result<Done, Failure>) {
        let finished = roll.request.and_then(|request| self.requests.decide(request, id, result));
        self.reply_all(finished);
    }

    fn tell_step(&mut self, part: &Part, member: Member, outcome: StepOutcome) {
        let (instance, step, of) = (member.id, member.number, part.of);
        let event = Event::Rolling(Box::new(RollingStep { instance, step, of, outcome }));
        self.effects.push_back(Effect::Publish(event));
    }
}

/// Step by step.
impl Supervisor {
    /// Handles a deadline of a roll. Returns false if none is due.
    pub(super) fn take_roll_deadline(&mut self, now: Time) -> bool {
        let is_due = self.rolls.deadline().is_some_and(|at| at <= now);
        if is_due {
            self.rolls.stir();
        }
        is_due
    }

    /// Takes every step that is due of all rolls.
    pub(super) fn advance_rolls(&mut self, now: Time) {
        let mut place = 0;
        while place < self.rolls.len() {
            if self.rolls.is_queued(place) {
                place += 1;
                continue;
            }
            let mut roll = self.rolls.take(place);
            if !self.is_over(now, &mut roll) {
                self.rolls.put_back(place, roll);
                place += 1;
            }
        }
        self.recycle();
    }

    /// Takes every step that is due of a roll. Returns whether it has ended.
    fn is_over(&mut self, now: Time, roll: &mut Roll) -> bool {
        roll.after.retain(|&id| !self.is_at_rest(id));
        while roll.after.is_empty() {
            let Some(mut part) = roll.parts.pop_front() else {
                self.restart_followers(now, &roll.restarted);
                return true;
            };
            let goes_on = self.take_steps(now, roll, &mut part);
            let has_failed = part.failed.is_some() && part.current.is_empty();
            let is_done = part.pending().next().is_none() && part.pause_until.is_none();
            if has_failed {
                roll.restarted.extend(part.failed.iter().map(|(member, _)| member.id));
                self.fail(roll, part);
                self.restart_followers(now, &roll.restarted);
                return true;
            }
            if !is_done {
                roll.parts.push_front(part);
            }
            if !goes_on {
                return false;
            }
        }
        false
    }

    /// Judges the current step of a program, and begins the next one. Returns whether the program is done.
    fn take_steps(&mut self, now: Time, roll: &mut Roll, part: &mut Part) -> bool {
        if part.steady.is_none() {
            part.steady = Some(self.those_up(part).collect());
        }
        let was_under_way = !part.current.is_empty();
        for mut step in std::mem::take(&mut part.current) {
            match self.judge(now, &mut step, part.rule.wait) {
                Going::On => part.current.push(step),
                Going::Well => self.note_done(roll, part, step.member, Done::Restarted),
                Going::Wrong(why) => part.failed = Some((step.member, why)),
            }
        }
        if !part.current.is_empty() || part.failed.is_some() {
            return false;
        }
        if was_under_way && !part.left.is_empty() && !part.rule.pause.is_zero() {
            part.pause_until = Some(now + part.rule.pause);
        }
        if part.pause_until.is_some_and(|at| now < at) {
            return false;
        }
        part.pause_until = None;
        match self.others(part) {
            _ if part.left.is_empty() => return true,
            Others::Steady => self.begin_step(now, roll, part),
            Others::NotYet => {}
            Others::Lost(id) => {
                let state = self.instance(id).state().to_string();
                part.failed = Some((Member { id, number: part.done + 1, before: None }, state));
            }
        }
        part.left.is_empty() && part.current.is_empty()
    }

    /// Restarts the next members, as many as may be down together.
    fn begin_step(&mut self, now: Time, roll: &mut Roll, part: &mut Part) {
        while let Some(&member) = part.left.front().filter(|_| part.current.len() < part.rule.parallel.get() as usize) {
            let instance = self.instance(member.id);
            match instance.state() {
                // It has no process of before.
                State::Waiting | State::Stopped => {
                    part.left.pop_front();
                    self.rolls.stir();
                    self.note_done(roll, part, member, Done::NotRunning);
                }
                State::Starting | State::Stopping => return,
                State::Running if instance.is_failing() || instance.is_held() => return,
                State::Running if instance.last_run() > member.before => {
                    part.left.pop_front();
                    let after = instance.past().next_back().map(|past| past.run);
                    part.current.push(Step { member, after, until: None });
                    self.rolls.stir();
                }
                State::Running | State::Backoff | State::Exited | State::Fatal => {
                    part.left.pop_front();
                    part.current.push(Step { member, after: instance.last_run(), until: None });
                    self.tell_step(part, member, StepOutcome::Began);
                    self.restart_one(now, member.id, roll.asker.clone());
                }
            }
        }
    }

    fn restart_one(&mut self, now: Time, id: InstanceId, asker: Asker) {
        if !self.instance(id).is_live() {
            return self.start(now, &[id], Start::Again);
        }
        self.hold_for_restart(now, &[id]);
        self.keep_what_is_needed(now, &[id]);
        self.begin_batch(now, &[id], Purpose::Restart(asker));
        let needed = self.needed_by(&[id]);
        self.start_these(now, needed);
    }

    fn judge(&self, now: Time, step: &mut Step, wait: RollingWait) -> Going {
        let Some(instance) = self.get(step.member.id) else { return Going::Wrong("removed".to_owned()) };
        let until = step.until.take();
        // A run may have ended and another begun since the last look.
        while let Some(past) = instance.past().find(|past| Some(past.run) > step.after) {
            if !was_asked(past) {
                return Going::Wrong(how_it_failed(past));
            }
            step.after = Some(past.run);
        }
        match instance.state() {
            State::Running if instance.last_run() <= step.after || instance.is_failing() => Going::On,
            State::Running if meets(instance, wait) => Going::Well,
            State::Running => {
                let timeout = instance.spec().start_timeout;
                let until = until.unwrap_or(instance.since() + timeout);
                if now >= until {
                    return Going::Wrong(format!("not {} within {}", wait.name(), Span(timeout)));
                }
                step.until = Some(until);
                Going::On
            }
            State::Exited | State::Fatal => Going::Wrong(instance.state().to_string()),
            // Its next client starts it.
            State::Waiting if instance.awaits_contact() => Going::Well,
            State::Waiting if self.waits_in_vain(instance.id()) => {
                Going::Wrong(format!("waiting for {}", self.waiting_for(instance.id(), now).join(" and ")))
            }
            _ => Going::On,
        }
    }

    fn note_done(&mut self, roll: &mut Roll, part: &mut Part, member: Member, done: Done) {
        part.done += 1;
        if done == Done::Restarted {
            part.steady.get_or_insert_default().insert(member.id);
            roll.restarted.push(member.id);
        }
        self.tell_step(part, member, StepOutcome::Done);
        self.decide(roll, member.id, Ok(done));
    }

    /// Ends a roll: the others keep their processes.
    fn fail(&mut self, roll: &Roll, part: Part) {
        let Some((member, why)) = part.failed.clone() else { return };
        let by = format!("{}: {why}", self.get(member.id).map_or("", Instance::name));
        self.decide(roll, member.id, Err(Failure::RollFailed(why.clone())));
        self.tell_step(&part, member, StepOutcome::Failed(why));
        for other in part.pending().chain(roll.parts.iter().flat_map(Part::pending)) {
            self.decide(roll, other.id, Err(Failure::RollEnded { by: by.clone() }));
        }
    }

    /// The instances of a program, except those of the current and the next step.
    fn those_beside(&self, part: &Part) -> impl Iterator<Item = &Instance> {
        let next = part.left.iter().take(part.rule.parallel.get() as usize).map(|member| member.id);
        let stepping: Vec<InstanceId> = part.current.iter().map(|step| step.member.id).chain(next).collect();
        let is_of = |one: &&Instance| one.program().name == part.program && !one.is_leaving();
        self.instances.iter().filter(is_of).filter(move |one| !stepping.contains(&one.id()))
    }

    fn those_up(&self, part: &Part) -> impl Iterator<Item = InstanceId> {
        let is_up = |one: &&Instance| one.program().name == part.program && meets(one, part.rule.wait);
        self.instances.iter().filter(is_up).map(Instance::id)
    }

    fn others(&self, part: &Part) -> Others {
        let is_steady = |one: &&Instance| part.steady.as_ref().is_some_and(|steady| steady.contains(&one.id()));
        let mut missing =
            self.those_beside(part).filter(is_steady).filter(|one| !meets(one, part.rule.wait)).peekable();
        if missing.peek().is_none() {
            return Others::Steady;
        }
        let lost = missing.find(|one| matches!(one.state(), State::Exited | State::Fatal));
        lost.map_or(Others::NotYet, |one| Others::Lost(one.id()))
    }

    /// Whether a roll may begin without waiting for it: it is up, or will not come up soon.
    fn is_at_rest(&self, id: InstanceId) -> bool {
        self.get(id).is_none_or(|instance| match instance.state() {
            State::Starting | State::Stopping => false,
            State::Waiting => instance.awaits_contact() || instance.awaits_time() || self.waits_in_vain(id),
            State::Running => !instance.is_held() && !instance.is_failing(),
            State::Stopped | State::Backoff | State::Exited | State::Fatal => true,
        })
    }

    /// Restarts, together and once, what is restarted with these and has been up for longer than they have.
    fn restart_followers(&mut self, now: Time, restarted: &[InstanceId]) {
        let is_up = |id: InstanceId| self.get(id).is_some_and(|instance| instance.goal() == Goal::Up);
        let leaders: Vec<InstanceId> = restarted.iter().copied().filter(|&id| is_up(id)).collect();
        let began = leaders.iter().filter_map(|&id| self.get(id)?.run_began()).max();
        let Some(began) = began.filter(|_| !self.is_shutting_down()) else { return };
        self.restart_older(now, &leaders, began);
    }
}

/// Recycling.
impl Supervisor {
    /// Begins to recycle the runs that are due, of each program one at a time and only while its other instances are ready.
    fn recycle(&mut self) {
        for id in self.rolls.due().collect::<Vec<_>>() {
            let Some(instance) = self.get(id).filter(|instance| instance.is_due()) else {
                self.rolls.forget_due(id);
                continue;
            };
            // Its stop has yet to come, and may be called off.
            if instance.goal() == Goal::Down {
                continue;
            }
            let program = instance.program();
            let is_up = instance.state() == State::Running && !instance.is_failing() && !instance.is_held();
            let is_idle = is_up && !self.is_shutting_down();
            if !is_idle || self.rolls.is_rolling(&program.name) {
                continue;
            }
            let rule = program.rolling.unwrap_or(Rolling::DEFAULT);
            let part = self.part(&program.name, rule, vec![id]);
            let is_wanted = |one: &&Instance| one.goal() == Goal::Up;
            if self.those_beside(&part).filter(is_wanted).all(|one| meets(one, rule.wait)) {
                self.rolls.forget_due(id);
                self.begin_roll(Asker::Recycle, None, vec![part], Vec::new());
            }
        }
    }
}

fn meets(instance: &Instance, wait: RollingWait) -> bool {
    // One that waits for a client takes it.
    let is_up = instance.state() == State::Running || instance.awaits_contact();
    let is_to_go = instance.goal() == Goal::Down || instance.is_failing() || instance.is_held();
    is_up
        && !is_to_go
        && match wait {
            RollingWait::Running => true,
            RollingWait::Ready => instance.can_serve(),
            RollingWait::Healthy => instance.can_serve() && instance.is_well(),
        }
}

/// Whether the end of a run was requested, or it had served its client, and another one follows.
fn was_asked(past: &PastRun) -> bool {
    matches!(past.verdict, Verdict::Stopped | Verdict::Held | Verdict::Idle)
}

fn how_it_failed(past: &PastRun) -> String {
    match past.cause.as_ref().filter(|cause| cause.is_failure()) {
        Some(StopCause::Hook { .. }) | None => past.reason(),
        Some(cause) => cause.word().to_owned(),
    }
}
