//! Inputs: how each one changes the goals, the live processes and the open requests.

use super::serial::{Candidate, turns};
use super::*;

impl Witness {
    /// Time that the daemon was not running extends the budget.
    fn loses(&mut self, by: std::time::Duration) {
        self.closing = self.closing.map(|end| end + by);
    }

    pub fn hears(&mut self, input: &Input, core: &Supervisor) {
        if self.has_exited.is_some() {
            return;
        }
        match input {
            Input::Booted if self.closing.is_none() => {
                let ids: Vec<usize> =
                    (0..self.watched.len()).filter(|&id| self.watched[id].program.autostart).collect();
                self.is_started(&ids);
            }
            Input::Booted => {}
            Input::Commanded { request, select, verb, wait, .. } => {
                self.open.insert(*request);
                if !wait {
                    self.must_be_answered.push(*request);
                }
                let ids: Vec<usize> = core.select(select).into_iter().flatten().map(|id| id.0 as usize).collect();
                if self.closing.is_none() {
                    self.hears_verb(*verb, &ids);
                }
            }
            Input::RequestExpired { request } => self.must_be_answered.push(*request),
            Input::ShutdownAsked { reason, .. } => {
                self.signals += u32::from(matches!(reason, muster_core::ShutdownReason::Signal(_)));
                self.is_hurried = self.is_hurried || self.signals > 1;
            }
            Input::Spawned { run } => {
                let run = self.of_run(*run).and_then(|one| one.run.as_mut());
                run.into_iter().for_each(|run| run.is_executed = true);
            }
            Input::SpawnFailed { run, .. } => self.of_run(*run).into_iter().for_each(|one| one.run = None),
            Input::Exited { run, .. } | Input::MainLost { run } => {
                let Some(one) = self.of_run(*run) else { return };
                let steps = within(&one.steps, one.program.stop.leftover_wait);
                if let Some(run) = one.run.as_mut().filter(|run| run.has_main) {
                    run.has_main = false;
                    let is_by_itself = run.asked.is_empty() && run.killed.is_none();
                    run.shortened = is_by_itself.then_some(steps);
                }
            }
            Input::TreeGone { run } => {
                let one = self.of_run(*run).filter(|one| one.run.as_ref().is_some_and(|run| !run.has_main));
                one.into_iter().for_each(|one| one.run = None);
            }
            Input::ProbeFinished { run, probe, .. } | Input::ProbeNotMade { run, probe } => {
                let run = self.of_run(*run).and_then(|one| one.run.as_mut());
                run.into_iter().for_each(|run| run.under_way.retain(|it| it != probe));
            }
            Input::Reloaded { request, programs, restarts_all, .. } => {
                self.open.extend(request);
                self.must_be_answered.extend(request);
                if self.closing.is_none() {
                    self.coming = Some(programs.clone());
                    self.boots_again = *restarts_all;
                }
            }
            Input::TimeLost { by } => self.loses(*by),
            Input::FilesChanged { program, at, .. } => self.hears_files(program, *at, core),
            Input::Due { .. } | Input::DueMissed { .. } => {}
            Input::Contacted { instance } => {
                self.watched.get_mut(instance.0 as usize).into_iter().for_each(|one| one.awaits_contact = false);
            }
            Input::OutOfMemory { .. }
            | Input::Ready { .. }
            | Input::LeftContact { .. }
            | Input::HookFinished { .. }
            | Input::LeftBehind { .. }
            | Input::Extended { .. }
            | Input::WatchdogPinged { .. }
            | Input::WatchdogTripped { .. }
            | Input::MemoryExceeded { .. }
            | Input::WatchdogChanged { .. }
            | Input::Remembered { .. } => {}
        }
    }

    pub(super) fn hears_verb(&mut self, verb: Verb, ids: &[usize]) {
        match verb {
            Verb::Start => self.is_started(ids),
            Verb::Stop => {
                ids.iter().for_each(|&id| self.watched[id].was_stopped_by_hand = true);
                self.begin_batch(ids, false);
            }
            Verb::Restart | Verb::Roll { .. } => {
                let ids = self.those_restarted_together(verb, ids);
                match *ids {
                    [] => {}
                    [id] if self.watched[id].run.is_none() => self.is_started(&ids),
                    _ => {
                        let ids = self.with_those_that_restart_with(&ids);
                        ids.iter().for_each(|&id| self.watched[id].was_stopped_by_hand = false);
                        self.begin_batch(&ids, true);
                        self.needs_are_wanted(&ids);
                    }
                }
            }
            Verb::Reload => {
                let restarts = |id: &usize| {
                    let one = &self.watched[*id];
                    one.is_wanted && one.run.is_some() && one.program.reload_signal.is_none()
                };
                let ids: Vec<usize> = ids.iter().copied().filter(restarts).collect();
                if !ids.is_empty() {
                    self.hears_verb(Verb::Restart, &ids);
                }
            }
            Verb::Signal { .. } | Verb::Await(_) | Verb::StartLater => {}
        }
    }

    /// Those that are up and older than the change are restarted, and those that have ended start. The others stay as they are.
    fn hears_files(&mut self, program: &str, at: Time, core: &Supervisor) {
        if self.closing.is_some() {
            return;
        }
        let is_concerned = |id: &usize| {
            let one = &self.watched[*id];
            one.is_wanted && one.program.watch.is_some() && !self.is_in_restart(*id)
        };
        let ids: Vec<usize> = self.ids_of(program).into_iter().filter(is_concerned).collect();
        let began = |id: usize| core.get(InstanceId(id as u32)).and_then(muster_core::Instance::run_began);
        let is_restarted = |id: usize| {
            let one = &self.watched[id];
            let gets_signal = match one.program.watch.as_ref().map(|watch| watch.action) {
                Some(WatchAction::Signal(_)) => true,
                Some(WatchAction::Reload) => one.program.reload_signal.is_some(),
                Some(WatchAction::Restart) | None => false,
            };
            let is_failing = one.run.as_ref().is_some_and(|run| run.is_failing);
            let is_old = began(id).is_none_or(|began| began <= at);
            is_old && (one.state == State::Starting || one.state == State::Running && (is_failing || !gets_signal))
        };
        let up: Vec<usize> = ids.iter().copied().filter(|&id| is_restarted(id)).collect();
        let is_down = |id: &usize| matches!(self.watched[*id].state, State::Backoff | State::Exited | State::Fatal);
        let down: Vec<usize> = ids.into_iter().filter(is_down).collect();
        let is_rolled = |id: usize| {
            let spec = &self.watched[id].program;
            let wanted = self.ids_of(program).into_iter().filter(|&id| self.watched[id].is_wanted).count();
            spec.kind == Kind::Service && spec.rolling.is_some() && wanted > 1
        };
        let is_together = up.first().is_some_and(|&id| !is_rolled(id));
        if is_together {
            let together = self.with_those_that_restart_with(&up);
            self.begin_batch(&together, true);
            self.needs_are_wanted(&together);
        }
        if !down.is_empty() {
            self.is_started(&down);
        }
    }

    pub(super) fn is_started(&mut self, ids: &[usize]) {
        self.needs_are_wanted(ids);
        ids.iter().for_each(|&id| self.is_wanted_up(id));
    }

    pub(super) fn is_wanted_up(&mut self, id: usize) {
        let one = &mut self.watched[id];
        let is_up = matches!(one.state, State::Starting | State::Running);
        // A program that is up and wanted needs no start, and a restart that it waits for still happens.
        if !(is_up && one.is_wanted) {
            one.batch = None;
            one.was_stopped_by_hand = false;
        }
        one.is_wanted = true;
    }

    pub(super) fn ids_of(&self, program: &str) -> Vec<usize> {
        let is_of = |&id: &usize| self.watched[id].program.name == program && !self.watched[id].is_leaving;
        (0..self.watched.len()).filter(is_of).collect()
    }

    /// Missing dependencies of these become wanted, and theirs in turn.
    pub(super) fn needs_are_wanted(&mut self, ids: &[usize]) {
        let (mut seen, mut to_visit): (BTreeSet<usize>, Vec<usize>) = (ids.iter().copied().collect(), ids.to_vec());
        let mut needed = Vec::new();
        while let Some(id) = to_visit.pop() {
            for (need, _) in self.missing(id) {
                let one = &self.watched[need];
                let is_down = one.state.is_final() || !one.is_wanted;
                let is_up = matches!(one.state, State::Starting | State::Running);
                if seen.insert(need) && (is_down || one.state == State::Waiting) {
                    to_visit.extend((!is_up).then_some(need));
                    needed.extend(is_down.then_some(need));
                }
            }
        }
        needed.into_iter().for_each(|id| self.is_wanted_up(id));
    }

    /// The instances that keep this one from starting.
    pub(super) fn missing(&self, id: usize) -> Vec<(usize, DependencyCondition)> {
        let mut missing = Vec::new();
        for (need, condition) in self.kinship.needs(&self.watched[id].program.name) {
            let is_unmet = |&need: &usize| !self.watched[need].meets(condition) || self.is_to_be_restarted(need);
            let unmet = self.ids_of(need).into_iter().filter(is_unmet);
            missing.extend(unmet.map(|need| (need, condition)));
        }
        missing
    }

    /// Whether it is restarted together with others.
    pub(super) fn is_in_restart(&self, id: usize) -> bool {
        let batch = self.watched[id].batch.map(|batch| &self.batches[batch]);
        batch.is_some_and(|batch| batch.is_restart && batch.members.len() > 1)
    }

    /// Whether it waits for a client no longer, but for the others of its restart to be down.
    fn is_to_be_restarted(&self, id: usize) -> bool {
        let one = &self.watched[id];
        let is_going_on = |batch: usize| {
            let it = &self.batches[batch];
            it.is_restart && !it.is_released && it.members.len() > 1 && self.members(batch).any(|one| one.run.is_some())
        };
        one.awaits_contact && one.batch.is_some_and(is_going_on)
    }

    pub(super) fn with_those_that_restart_with(&self, ids: &[usize]) -> Vec<usize> {
        self.with_followers(ids, &|id| self.watched[id].run.is_some() && self.watched[id].is_wanted)
    }

    pub(super) fn with_followers(&self, ids: &[usize], concerns: &dyn Fn(usize) -> bool) -> Vec<usize> {
        let mut all = ids.to_vec();
        let mut next = 0;
        while let Some(&id) = all.get(next) {
            next += 1;
            for other in 0..self.watched.len() {
                let (one, it) = (&self.watched[id], &self.watched[other]);
                if concerns(other)
                    && !it.is_leaving
                    && !one.is_leaving
                    && self.kinship.is_restarted_with(&it.program.name, &one.program.name)
                    && !all.contains(&other)
                {
                    all.push(other);
                }
            }
        }
        all
    }

    pub(super) fn begin_batch(&mut self, ids: &[usize], is_restart: bool) {
        let place = self.batches.len();
        for &id in ids {
            self.watched[id].batch = Some(place);
            self.watched[id].is_wanted = is_restart;
            self.watched[id].stops_at = self.watched[id].program.rank();
        }
        let order = Arc::clone(&self.kinship);
        self.batches.push(Batch {
            members: ids.iter().copied().collect(),
            is_restart,
            is_released: false,
            order,
            turns: None,
        });
    }

    /// The step in which each program stops, if the daemon stops them one after another.
    pub(super) fn serial_turns(&self) -> Option<BTreeMap<String, usize>> {
        if !self.is_serial {
            return None;
        }
        let mut programs: BTreeMap<String, Candidate> = BTreeMap::new();
        for one in &self.watched {
            let name = one.program.name.clone();
            let rank = self.kinship.rank(&name, one.program.rank());
            let unit = one.program.stop_unit().to_owned();
            programs.entry(name.clone()).or_insert(Candidate { name, unit, rank });
        }
        Some(turns(&self.kinship, programs.into_values().collect()))
    }

    /// The batch of a shutdown: all instances.
    pub(super) fn begin_shutdown(&mut self) {
        let all: Vec<usize> = (0..self.watched.len()).collect();
        self.begin_batch(&all, false);
        let turns = self.serial_turns();
        self.batches.last_mut().into_iter().for_each(|batch| batch.turns = turns.clone());
    }

    pub(super) fn members(&self, batch: usize) -> impl Iterator<Item = &Watched> {
        let members = self.batches[batch].members.iter().map(|&id| &self.watched[id]);
        members.filter(move |one| one.batch == Some(batch))
    }
}
