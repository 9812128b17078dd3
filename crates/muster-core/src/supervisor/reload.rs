//! Reload: from the active configuration to a new one, without touching anything that does not differ.
//!
//! A manual start or stop survives a reload only if configured: what the reload starts or restarts follows its
//! `autostart`, except that with `restart = "unless-stopped"` a program stopped by hand stays down. A running program
//! that must be restarted is started again whatever its `autostart`. An additional instance does as the others of its
//! program do. All stops are one batch, in the order of the
//! configuration the programs were started by; restarted programs start once all of them are down.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use muster_spec::{Goal, InstanceId, InstanceSpec, ProgramSpec, RestartWhen, State};

use super::{NOWHERE, Supervisor, depend};
use crate::batch::Purpose;
use crate::cause::{Asker, Principal};
use crate::effect::Effect;
use crate::event::Event;
use crate::graph::Graph;
use crate::order::{Group, Wave};
use crate::plan::{Difference, ReloadPlan, difference, plan, plan_of_restart};
use crate::program::{Instance, Start};
use crate::request::{Outcome, RequestId};
use crate::settings::Settings;
use crate::time::Time;

/// The actions of a reload.
#[derive(Default)]
struct Steps {
    /// The new table.
    members: Vec<(InstanceId, Arc<ProgramSpec>, Arc<InstanceSpec>)>,
    /// No longer configured.
    removed: Vec<InstanceId>,
    /// To be restarted with a new process.
    restarted: Vec<InstanceId>,
    /// To be started.
    started: Vec<InstanceId>,
    /// To be stopped, though still configured.
    lowered: Vec<InstanceId>,
    /// New ones that start once everything else is down.
    fresh: Vec<InstanceId>,
}

impl Supervisor {
    /// The changes a reload with these programs would make.
    pub fn plan(&self, programs: &[Arc<ProgramSpec>]) -> ReloadPlan {
        plan(&self.programs, programs)
    }

    pub(super) fn reload(
        &mut self,
        now: Time,
        (request, by): (Option<RequestId>, Option<Principal>),
        programs: Vec<Arc<ProgramSpec>>,
        (settings, restarts_all): (Settings, bool),
    ) {
        if self.is_shutting_down() {
            return self.reply_all(request.map(|request| (request, Outcome::ShuttingDown)));
        }
        let plan = if restarts_all { plan_of_restart(&self.programs, &programs) } else { self.plan(&programs) };
        let plan = Arc::new(plan);
        self.reply_all(request.map(|request| (request, Outcome::Reloaded(Arc::clone(&plan)))));
        self.effects.push_back(Effect::Publish(Event::Configured { plan: Arc::clone(&plan) }));
        self.settings = settings;
        if !plan.is_empty() {
            let steps = self.steps(&programs, &plan, restarts_all);
            match restarts_all {
                true => self.boot_again(now, programs, steps, by),
                false => self.converge(now, programs, steps, by),
            }
        }
    }

    /// Compares the current instances with the new configuration, and assigns numbers to new instances.
    fn steps(&mut self, programs: &[Arc<ProgramSpec>], plan: &ReloadPlan, restarts_all: bool) -> Steps {
        let restarted: HashSet<&str> = plan.restarted.iter().map(String::as_str).collect();
        let at = |instance: &Instance| (instance.program().name.clone(), instance.spec().index);
        let mut known: HashMap<(String, u32), InstanceId> =
            self.instances.iter().map(|instance| (at(instance), instance.id())).collect();
        let mut steps = Steps::default();
        let mut additional = Vec::new();
        let booted = if restarts_all { started_at_boot(programs) } else { HashSet::new() };
        for (program, spec) in programs.iter().flat_map(|program| program.instances.iter().map(move |it| (program, it)))
        {
            let id = match known.remove(&(program.name.clone(), spec.index)) {
                Some(id) if restarts_all => {
                    let starts = booted.contains(program.name.as_str());
                    let list = if starts { &mut steps.restarted } else { &mut steps.lowered };
                    list.push(id);
                    id
                }
                Some(id) => {
                    self.compare(id, program, spec, restarted.contains(spec.name.as_str()), &mut steps);
                    id
                }
                None => {
                    let id = InstanceId(self.places.len() as u32);
                    self.places.push(NOWHERE);
                    if booted.contains(program.name.as_str()) {
                        steps.fresh.push(id);
                    } else {
                        additional.push((id, program));
                    }
                    id
                }
            };
            steps.members.push((id, Arc::clone(program), Arc::clone(spec)));
        }
        let up = if additional.is_empty() {
            HashMap::new()
        } else {
            self.up_after(steps.started.iter().chain(&steps.restarted))
        };
        let does_as_others =
            |program: &ProgramSpec| up.get(program.name.as_str()).copied().unwrap_or(program.autostart);
        let starting = additional.into_iter().filter(|(_, program)| does_as_others(program));
        steps.started.extend(starting.map(|(id, _)| id).collect::<Vec<_>>());
        let gone = known.into_values().filter(|&id| !self.instance(id).is_leaving());
        steps.removed = gone.collect();
        steps.removed.sort_unstable();
        steps
    }

    /// Whether any instance of a program is to be up, for each program that has instances, once these have been started.
    fn up_after<'a>(&self, started: impl Iterator<Item = &'a InstanceId>) -> HashMap<&str, bool> {
        let mut up = HashMap::new();
        for instance in self.instances.iter().filter(|instance| !instance.is_leaving()) {
            *up.entry(instance.program().name.as_str()).or_default() |= instance.goal() == Goal::Up;
        }
        up.extend(started.map(|&id| (self.instance(id).program().name.as_str(), true)));
        up
    }

    /// Decides what happens to an instance that stays, which may have to be restarted.
    fn compare(&self, id: InstanceId, program: &ProgramSpec, spec: &InstanceSpec, restarts: bool, steps: &mut Steps) {
        let instance = self.instance(id);
        let differs = |was| difference(instance.program(), was, program, spec) == Difference::Process;
        let has_changed = differs(instance.spec());
        let must_stay_down = instance.was_stopped_by_hand() && program.restart.when == RestartWhen::UnlessStopped;
        let was_off = !instance.program().autostart && !instance.was_stopped_by_hand();
        let is_wanted_again = instance.is_leaving() || has_changed || was_off;
        match (instance.goal(), instance.state()) {
            (Goal::Up, State::Exited) if has_changed && program.autostart && !instance.stays_done(spec) => {
                steps.started.push(id);
            }
            (Goal::Up, State::Exited) => {}
            (Goal::Up, _) if (has_changed || restarts) && instance.is_live() => steps.restarted.push(id),
            (Goal::Up, _) if has_changed => steps.started.push(id),
            (Goal::Up, _) => {}
            (Goal::Down, _) if !program.autostart || must_stay_down => {}
            // It had yet to be stopped, and its process may still be of an earlier configuration.
            (Goal::Down, State::Starting | State::Running) if is_wanted_again && differs(instance.made_of()) => {
                steps.restarted.push(id);
            }
            (Goal::Down, _) if is_wanted_again => steps.started.push(id),
            (Goal::Down, _) => {}
        }
    }

    fn converge(&mut self, now: Time, programs: Vec<Arc<ProgramSpec>>, steps: Steps, by: Option<Principal>) {
        let Steps { members, removed, mut restarted, mut started, .. } = steps;
        let parts = self.take_turns(&programs, &members, &mut restarted, &mut started);
        let stopping: Vec<InstanceId> = removed.iter().chain(&restarted).copied().collect();
        // In the order of the old configuration, by which they were started.
        let waves = self.stop_waves(&stopping);
        self.replace_table(now, programs, members);
        let recalled = self.recall_last(now);
        started.retain(|id| !recalled.contains(id));
        self.lower_goals(now, &removed);
        removed.iter().for_each(|&id| self.give_up_requests_for(id));
        if restarted.len() + removed.len() > 1 {
            for &id in &restarted {
                self.tell(now, id, |instance, _| instance.hold());
            }
        }
        for &id in &restarted {
            self.tell(now, id, |instance, turn| instance.restart(turn));
        }
        let wanted = [restarted, started.clone()].concat();
        self.keep_what_is_needed(now, &wanted);
        self.begin_waves(now, &stopping, waves, Purpose::Restart(Asker::Reload(by)));
        let mut to_start = self.needed_by(&wanted);
        to_start.extend(started);
        to_start.retain(|id| !recalled.contains(id));
        self.start_in_turn(now, self.in_boot_order(to_start), |_| Start::AtBoot);
        self.begin_roll(Asker::Reload(by), None, parts, wanted);
        // Instances whose dependencies were changed may be able to start.
        let waiting = self.instances.iter().filter(|instance| instance.state() == State::Waiting).map(Instance::id);
        for id in self.in_start_order(waiting.collect::<Vec<_>>()) {
            self.tell(now, id, |instance, turn| instance.unblock(turn));
        }
    }

    /// Stops everything in the order of a shutdown, and then starts what is to start by itself.
    fn boot_again(&mut self, now: Time, programs: Vec<Arc<ProgramSpec>>, steps: Steps, by: Option<Principal>) {
        let Steps { members, removed, restarted, lowered, fresh, .. } = steps;
        self.cancel_rolls(&[restarted.as_slice(), &lowered].concat());
        let mut stopping: Vec<InstanceId> = removed.iter().chain(&restarted).chain(&lowered).copied().collect();
        self.remembered.clear();
        let mut waves = self.shutdown_waves(&stopping);
        // The first element is the last wave.
        let last = Group { members: fresh.clone(), ..Group::default() };
        waves.insert(0, Wave { rank: i64::MIN, groups: vec![last] });
        self.replace_table(now, programs, members);
        self.lower_goals(now, &removed);
        self.lower_goals(now, &lowered);
        removed.iter().for_each(|&id| self.give_up_requests_for(id));
        for &id in restarted.iter().chain(&lowered) {
            self.tell(now, id, |instance, turn| instance.forget(turn));
        }
        stopping.extend(&fresh);
        let wanted = [restarted, fresh].concat();
        for &id in &wanted {
            self.tell(now, id, |instance, _| instance.hold());
        }
        for &id in &wanted {
            self.tell(now, id, |instance, turn| instance.restart_as(turn, Start::AtBoot));
        }
        self.begin_waves(now, &stopping, waves, Purpose::Boot(Asker::Reload(by)));
    }

    /// Builds the table of the new configuration: old instances keep their runs at new places, and instances that are
    /// leaving come last.
    fn replace_table(
        &mut self,
        now: Time,
        programs: Vec<Arc<ProgramSpec>>,
        members: Vec<(InstanceId, Arc<ProgramSpec>, Arc<InstanceSpec>)>,
    ) {
        let mut old: BTreeMap<InstanceId, (Instance, Option<Time>)> = std::mem::take(&mut self.instances)
            .into_iter()
            .zip(std::mem::take(&mut self.armed))
            .map(|(instance, armed)| (instance.id(), (instance, armed)))
            .collect();
        let mut stayed = Vec::new();
        for (id, program, spec) in members {
            let (instance, armed) = match old.remove(&id) {
                None => (Instance::new(id, program, spec), None),
                Some(known) => {
                    stayed.push((id, program, spec));
                    known
                }
            };
            self.instances.push(instance);
            self.armed.push(armed);
        }
        self.leaving = old.len();
        for (mut instance, armed) in old.into_values() {
            instance.leave_configuration();
            self.instances.push(instance);
            self.armed.push(armed);
        }
        let others = self.instances.iter().filter(|instance| instance.is_leaving());
        self.graph = Graph::new(&programs, others.map(|instance| instance.program().name.as_str()));
        self.programs = programs;
        self.find_places();
        for (id, program, spec) in stayed {
            self.tell(now, id, |instance, turn| instance.reconfigure(turn, program, spec));
        }
        self.name_all();
    }

    fn find_places(&mut self) {
        for (place, instance) in (0..).zip(&self.instances) {
            self.places[instance.id().0 as usize] = place;
        }
        for place in 0..self.instances.len() {
            self.graph.observe(place, depend::conditions_met(&self.instances[place]));
        }
    }

    fn name_all(&mut self) {
        self.names = self.instances.iter().rev().map(|instance| (instance.name().to_owned(), instance.id())).collect();
    }

    /// Ends the requests for an instance that is no longer configured and has no processes left.
    pub(super) fn give_up_requests_for(&mut self, id: InstanceId) {
        if is_gone(self.instance(id)) {
            let finished = self.requests.forget_instance(id);
            self.reply_all(finished);
        }
    }

    /// Removes the instances that are no longer configured and have no processes left. This is deferred, because the
    /// shell may look them up while it carries out the effects of their end.
    pub(super) fn forget_those_that_left(&mut self) {
        // The account of a shutdown names them.
        let is_kept = self.leaving == 0 || self.is_shutting_down();
        if is_kept || !self.instances.iter().rev().take(self.leaving).any(is_gone) {
            return;
        }
        let first = self.instances.len() - self.leaving;
        for place in
            (first..self.instances.len()).rev().filter(|&place| is_gone(&self.instances[place])).collect::<Vec<_>>()
        {
            let mut instance = self.instances.remove(place);
            let id = instance.id();
            if let Some(batch) = instance.batch.take() {
                self.batches.leave(batch, id);
            }
            self.armed.remove(place);
            self.graph.remove(place);
            self.places[id.0 as usize] = NOWHERE;
            self.leaving -= 1;
        }
        for (place, instance) in (0..).zip(&self.instances) {
            self.places[instance.id().0 as usize] = place;
        }
        self.name_all();
    }
}

/// The programs that start by themselves, and those that they need.
fn started_at_boot(programs: &[Arc<ProgramSpec>]) -> HashSet<&str> {
    let by_name: HashMap<&str, &ProgramSpec> =
        programs.iter().map(|program| (program.name.as_str(), &**program)).collect();
    let mut to_visit: Vec<&ProgramSpec> = by_name.values().copied().filter(|program| program.autostart).collect();
    let mut booted = HashSet::new();
    while let Some(program) = to_visit.pop() {
        if booted.insert(program.name.as_str()) {
            to_visit.extend(program.depends_on.iter().filter_map(|needs| by_name.get(needs.program.as_str())));
        }
    }
    booted
}

fn is_gone(instance: &Instance) -> bool {
    instance.is_leaving() && !instance.is_live() && instance.state().is_final()
}
