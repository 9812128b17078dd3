//! A reload: which instances the new configuration affects.

use super::*;

impl Witness {
    /// Removed instances stop, new ones start, those that need a new process are restarted; no other is affected.
    pub(super) fn takes_configuration(&mut self) {
        let Some(programs) = self.coming.take() else { return };
        let (mut restarted, mut started, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        let mut changed = BTreeSet::new();
        let (boots_again, mut lowered) = (self.boots_again, Vec::new());
        let mut left: BTreeSet<usize> = (0..self.watched.len()).collect();
        let kinship = Arc::new(Kinship::of(&programs));
        let ranks: Vec<i64> = self.watched.iter().map(|one| one.program.rank()).collect();
        let turns = if boots_again { self.serial_turns() } else { None };
        let (mut changes, mut additional) = (Vec::new(), Vec::new());
        // Whether an instance of the program is to be up, by what was there before.
        let mut up: BTreeMap<String, bool> = BTreeMap::new();
        for one in self.watched.iter().filter(|one| !one.is_leaving) {
            *up.entry(one.program.name.clone()).or_default() |= one.is_wanted;
        }
        let mut booted: BTreeSet<String> = BTreeSet::new();
        let mut next: Vec<&str> = programs.iter().filter(|it| it.autostart).map(|it| it.name.as_str()).collect();
        while let Some(name) = next.pop() {
            if booted.insert(name.to_owned()) {
                next.extend(kinship.needs(name).map(|(need, _)| need));
            }
        }
        for (program, spec) in programs.iter().flat_map(|program| program.instances.iter().map(move |it| (program, it)))
        {
            let is_it = |one: &Watched| one.program.name == program.name && one.spec.index == spec.index;
            match left.iter().copied().find(|&id| is_it(&self.watched[id]) && !self.is_forgotten(id)) {
                Some(id) => {
                    left.remove(&id);
                    changes.push((id, Arc::clone(program), Arc::clone(spec)));
                }
                None => {
                    match boots_again {
                        true => restarted.extend(booted.contains(&program.name).then_some(self.watched.len())),
                        false => additional.push((self.watched.len(), Arc::clone(program))),
                    }
                    self.watched.push(Watched::new(program, spec));
                }
            }
        }
        let is_changed = |(id, _, spec): &&(usize, Arc<ProgramSpec>, Arc<InstanceSpec>)| {
            needs_another(&self.watched[*id].spec, spec) && !self.watched[*id].is_leaving
        };
        let with: BTreeSet<String> = changes
            .iter()
            .filter(is_changed)
            .flat_map(|(_, program, _)| kinship.restarted_with(&program.name))
            .collect();
        for (id, program, spec) in changes {
            let one = &mut self.watched[id];
            let made_of = one.run.as_ref().filter(|run| run.has_main).map_or(&one.spec, |run| &run.spec);
            let (is_new, is_another) = (needs_another(&one.spec, &spec), needs_another(made_of, &spec));
            let stays_down = one.was_stopped_by_hand && program.restart.when == RestartWhen::UnlessStopped;
            let was_off = !one.program.autostart && !one.was_stopped_by_hand;
            let has_run = one.run.is_some();
            changed.extend((is_new && !one.is_leaving).then_some(id));
            if boots_again {
                one.was_stopped_by_hand = false;
                if booted.contains(&program.name) { restarted.push(id) } else { lowered.push(id) }
            } else if one.is_wanted && one.state == State::Exited {
                started.extend((is_new && program.autostart).then_some(id));
            } else if one.is_wanted {
                restarted.extend((has_run && (is_new || with.contains(&program.name))).then_some(id));
                started.extend((!has_run && is_new).then_some(id));
            } else if program.autostart && !stays_down && (one.is_leaving || is_new || was_off) {
                let is_up = matches!(one.state, State::Starting | State::Running);
                if is_up && is_another { restarted.push(id) } else { started.push(id) }
            }
            one.is_leaving = false;
            // An instance that is already being stopped keeps its stop plan.
            if one.run.as_ref().is_none_or(|run| run.asked.is_empty()) {
                one.steps = program.stop.steps.clone().into();
                one.run.iter_mut().filter(|run| run.killed.is_none()).for_each(|run| run.ends = program.stop.kill);
            }
            one.gets_probes(&spec);
            (one.program, one.spec) = (program, spec);
        }
        let is_up = |id: &usize| (self.watched[*id].program.name.clone(), true);
        up.extend(started.iter().chain(&restarted).map(is_up));
        for (id, program) in additional {
            started.extend(up.get(&program.name).copied().unwrap_or(program.autostart).then_some(id));
        }
        for id in left {
            if !self.watched[id].is_leaving {
                removed.push(id);
            }
            self.watched[id].is_leaving = true;
        }
        let old = std::mem::replace(&mut self.kinship, kinship);
        if !boots_again {
            self.lets_take_turns(&changed, &mut restarted, &mut started);
        }
        let all: Vec<usize> = removed.iter().chain(&restarted).chain(&lowered).copied().collect();
        self.begin_batch(&all, true);
        // They stop in the order of the configuration before, also a program that had been removed and returns.
        self.watched
            .iter_mut()
            .zip(ranks)
            .filter(|(one, _)| one.batch == Some(self.batches.len() - 1))
            .for_each(|(one, rank)| one.stops_at = rank);
        self.batches.iter_mut().last().into_iter().for_each(|batch| {
            batch.order = Arc::clone(&old);
            batch.turns.clone_from(&turns);
        });
        removed.iter().chain(&lowered).for_each(|&id| self.watched[id].is_wanted = false);
        restarted.iter().for_each(|&id| self.watched[id].was_stopped_by_hand = false);
        if !boots_again {
            self.needs_are_wanted(&restarted);
        }
        self.is_started(&started);
    }

    /// Whether it is no longer configured and nothing of it is left.
    pub(super) fn is_forgotten(&self, id: usize) -> bool {
        let one = &self.watched[id];
        one.is_leaving && one.run.is_none() && one.state.is_final()
    }
}

impl Watched {
    /// Carries over to new probes the results that the core has published of its run.
    fn gets_probes(&mut self, spec: &InstanceSpec) {
        // Without probes and without a rule, a run is ready when it is up, and there is no event about it.
        let is_up_and_ready = self.state == State::Running && !self.has_to_say();
        let was = &self.spec.probes;
        let Some(run) = self.run.as_mut().filter(|_| was != &spec.probes) else { return };
        run.is_ready |= is_up_and_ready;
        // A probe keeps its results with its name and kind. Those of a healthy run all pass; one that is new has none.
        let is_known = |probe: &ProbeSpec| was.iter().any(|it| it.name == probe.name && it.kind == probe.kind);
        run.is_healthy &= !spec.probes.is_empty() && spec.probes.iter().all(is_known);
    }
}

/// Whether a process cannot continue under another configuration.
fn needs_another(was: &InstanceSpec, spec: &InstanceSpec) -> bool {
    let output = |spec: &InstanceSpec| (spec.output.stdout.clone(), spec.output.stderr.clone());
    let is_made_alike = was.process == spec.process && output(was) == output(spec);
    !is_made_alike || was.ready != spec.ready || was.watchdog != spec.watchdog
}
