//! Outputs: every effect, checked against the guarantees when it is carried out.

use muster_core::restart::{DelayRule, Verdict};

use super::*;

impl Witness {
    pub fn sees(&mut self, now: Time, effect: &Effect) -> Result<(), Broken> {
        promise!(self.has_exited.is_none(), "Exit is the last effect of all, but after it comes {effect:?}");
        match effect {
            Effect::Spawn { run, instance, .. } => self.sees_spawn(now, *run, instance.0 as usize),
            Effect::Signal { run, signal: Signal::KILL, scope } => {
                let (one, is_for) = (self.sees_main(*run, "SIGKILL")?, *scope);
                let ends = one.run.as_ref().map(|run| run.ends);
                let fits = matches!(
                    (ends, is_for),
                    (Some(StopKill::Main), SignalScope::Main) | (Some(StopKill::Group), SignalScope::MainGroup)
                );
                promise!(fits, "SIGKILL to the {is_for:?} of {run:?}, of which the {ends:?} is ended");
                self.sees_kill(now, *run)
            }
            Effect::Signal { run, signal, .. } => self.sees_signal(now, *run, *signal),
            Effect::Wake { run, .. } => self.sees_main(*run, "waking").map(drop),
            Effect::Sweep { run, signal } => {
                self.sees_end_of_others(*run, StopKill::Tree)?;
                match *signal {
                    Signal::KILL => self.sees_kill(now, *run),
                    signal => self.sees_sweep(now, *run, signal),
                }
            }
            Effect::SweepGroup { run, signal } => {
                self.sees_end_of_others(*run, StopKill::Group)?;
                match *signal {
                    None => {
                        let run = self.of_run(*run).and_then(|one| one.run.as_ref());
                        promise!(run.is_some_and(|run| !run.asked.is_empty()), "the group of {run:?} had no signal");
                        Ok(())
                    }
                    Some(Signal::KILL) => self.sees_kill(now, *run),
                    Some(signal) => self.sees_sweep(now, *run, signal),
                }
            }
            Effect::Disown { run } => self.sees_disowned(*run),
            Effect::NameLeftovers { run, .. } => {
                let run = self.of_run(*run).and_then(|one| one.run.as_ref());
                promise!(run.is_some_and(|run| !run.has_main), "{run:?} has a main process, or is gone: no leftovers");
                Ok(())
            }
            Effect::StartProbe { run, probe, .. } => self.sees_check(*run, *probe),
            Effect::AwaitContact { instance } => self.sees_wait(instance.0 as usize),
            Effect::StopProbes { run } => {
                let Some(one) = self.watched.iter_mut().find(|one| one.run.as_ref().is_some_and(|it| it.id == *run))
                else {
                    return Err(format!("the checks of {run:?} are stopped, of which nothing is left"));
                };
                one.run.iter_mut().for_each(|run| (run.is_checked, run.under_way) = (false, BTreeSet::new()));
                Ok(())
            }
            // The suite of hooks has a witness of its own.
            Effect::RunHook { .. } | Effect::EndHook { .. } => Err("no program has a hook".to_owned()),
            // So has the suite of schedules.
            Effect::Arm { .. } | Effect::Disarm { .. } => Err("no program has a schedule".to_owned()),
            Effect::SignalStrays { .. } => {
                promise!(self.closing.is_some(), "strays are left alone until the shutdown");
                Ok(())
            }
            Effect::Reply { request, .. } => {
                promise!(self.open.remove(request), "{request:?} is answered twice, or was never asked");
                Ok(())
            }
            Effect::Publish(event) => self.sees_event(now, event),
            Effect::Exit { code } => {
                self.has_exited = Some(*code);
                promise!(self.open.is_empty(), "the daemon ends and {:?} have no answer", self.open);
                promise!(self.closing.is_some(), "the daemon ends without a shutdown");
                let unkilled = self.watched.iter().find(|one| one.run.as_ref().is_some_and(|run| run.killed.is_none()));
                promise!(unkilled.is_none(), "the daemon ends and leaves behind {unkilled:?}");
                Ok(())
            }
        }
    }

    /// It waits for a client when nothing else is missing.
    fn sees_wait(&mut self, id: usize) -> Result<(), Broken> {
        let missing = self.missing(id);
        let one = &mut self.watched[id];
        promise!(one.program.start_on == StartOn::Connection, "instance {id} waits for a client, and starts at boot");
        promise!(one.is_wanted && one.run.is_none(), "instance {id} waits for a client: {one:?}");
        promise!(missing.is_empty(), "instance {id} waits for a client before what it depends on holds: {missing:?}");
        one.awaits_contact = true;
        Ok(())
    }

    pub(super) fn sees_spawn(&mut self, now: Time, run: RunId, id: usize) -> Result<(), Broken> {
        let one = &self.watched[id];
        promise!(one.run.is_none(), "instance {id} is spawned while {:?} is not gone", one.run);
        promise!(one.is_wanted, "instance {id} is spawned and its goal is down");
        promise!(self.closing.is_none(), "instance {id} is spawned while everything is being stopped");
        promise!(run > self.latest_run, "{run:?} is not a new run");
        promise!(!one.is_leaving, "instance {id} is spawned and no longer configured");
        let missing = self.missing(id);
        promise!(missing.is_empty(), "instance {id} is spawned before what it depends on holds: {missing:?}");
        if let Some(batch) = one.batch.filter(|&batch| self.batches[batch].is_restart) {
            let is_alone = self.batches[batch].members.len() == 1;
            let all_down = self.members(batch).all(|member| member.run.is_none());
            promise!(
                is_alone || all_down || self.batches[batch].is_released,
                "instance {id} is restarted with others and spawned before they are down"
            );
            self.batches[batch].is_released = true;
            self.watched[id].batch = None;
        }
        self.latest_run = run;
        self.watched[id].steps = self.watched[id].program.stop.steps.clone().into();
        self.watched[id].run = Some(Run {
            id: run,
            spec: Arc::clone(&self.watched[id].spec),
            born: now,
            is_executed: false,
            has_main: true,
            asked: Vec::new(),
            killed: None,
            shortened: None,
            is_failing: false,
            is_ready: false,
            is_healthy: false,
            under_way: BTreeSet::new(),
            is_checked: false,
            ends: self.watched[id].program.stop.kill,
        });
        if self.watched[id].was_asked == Some(false) && !self.rolling.contains(&id) {
            self.others_are_restarted(now, id);
        }
        Ok(())
    }

    /// An instance started by itself: those that restart with it and are older than its run are restarted.
    pub(super) fn others_are_restarted(&mut self, now: Time, id: usize) {
        let name = self.watched[id].program.name.clone();
        let is_older = |other: usize| {
            let it = &self.watched[other];
            let is_up = matches!(it.state, State::Starting | State::Running) && it.is_wanted;
            let is_held =
                it.batch.is_some_and(|batch| self.batches[batch].is_restart && self.batches[batch].members.len() > 1);
            // Those that a roll restarts after its last step are held as well, which shows with their stop signal.
            let is_held = is_held || self.may_follow_a_roll(other);
            other != id && is_up && !is_held && it.run.as_ref().is_some_and(|run| run.has_main && run.born < now)
        };
        let with = |other: &usize| {
            is_older(*other) && self.kinship.is_restarted_with(&self.watched[*other].program.name, &name)
        };
        let others: Vec<usize> = (0..self.watched.len()).filter(with).collect();
        let others = self.with_followers(&others, &is_older);
        if !others.is_empty() {
            self.begin_batch(&others, true);
        }
    }

    /// A probe is started only for a run that is up, got no stop signal, and has answered the previous one.
    pub(super) fn sees_check(&mut self, run: RunId, probe: usize) -> Result<(), Broken> {
        let Some(one) = self.of_run(run) else { return Err(format!("a check of {run:?}, of which nothing is left")) };
        let (state, count) = (one.state, one.spec.probes.len());
        // Its process may be of an earlier configuration, and has the readiness rule of that.
        let ready = one.run.as_ref().and_then(|run| run.spec.ready.clone());
        let has_probe = InstanceSpec { ready, ..InstanceSpec::clone(&one.spec) }.check(probe).is_some();
        let Some(run) = &mut one.run else { return Ok(()) };
        promise!(has_probe, "a check {probe} of {run:?}, which has {count}");
        promise!(run.has_main && run.is_executed, "a check of {run:?}, which is not running");
        promise!(run.asked.is_empty() && run.killed.is_none(), "a check of {run:?}, which is being stopped");
        promise!(matches!(state, State::Starting | State::Running), "a check of {run:?} in {state}");
        promise!(run.under_way.insert(probe), "check {probe} of {run:?} is begun before its last answer");
        run.is_checked = true;
        Ok(())
    }

    /// Only a live main process is signalled or woken.
    pub(super) fn sees_main(&mut self, run: RunId, what: &str) -> Result<&Watched, Broken> {
        let Some(one) = self.of_run(run) else { return Err(format!("{what} to {run:?}, of which nothing is left")) };
        let has_main = one.run.as_ref().is_some_and(|run| run.has_main);
        promise!(has_main, "{what} to {run:?}, whose main process has ended");
        Ok(one)
    }

    pub(super) fn sees_signal(&mut self, now: Time, run: RunId, signal: Signal) -> Result<(), Broken> {
        let one = self.sees_main(run, &signal.to_string())?;
        let is_first = one.run.as_ref().is_some_and(|run| run.asked.is_empty() && !run.is_failing);
        if signal == OPERATORS_SIGNAL {
            return Ok(());
        }
        if is_first {
            self.joins_followers_of_a_roll(run);
            self.sees_first_signal(now, run)?;
        }
        self.sees_step(now, run, signal)
    }

    pub(super) fn sees_first_signal(&self, now: Time, run: RunId) -> Result<(), Broken> {
        let mut all = self.watched.iter();
        let Some(one) = all.find(|one| one.run.as_ref().is_some_and(|it| it.id == run)) else { return Ok(()) };
        let Some(batch) = one.batch else { return Err(format!("{run:?} is stopped without a request")) };
        // A shutdown signals the next wave before these have ended if its budget is shorter than the total of all
        // timeouts, or if these have used up theirs and asked for more.
        let is_short = !self.is_budget_ample();
        let has_had_its_time = |one: &Watched, run: &Run| {
            let first = run.asked.first();
            first.is_some_and(|&first| is_short || now + SLACK >= first + patience(&one.steps))
        };
        let is_given_up =
            |one: &Watched, run: &Run| self.closing.is_some() && (run.killed.is_some() || has_had_its_time(one, run));
        let mut before = self.members(batch).filter(|member| self.goes_before(batch, member, one));
        let first = before.find(|member| member.run.as_ref().is_some_and(|run| !is_given_up(member, run)));
        let first = first.map(|first| (&first.spec.name, &first.run));
        promise!(first.is_none(), "{run:?} is stopped before what must go down before it: {first:?}");
        Ok(())
    }

    /// Whether the first must be down before the second gets its stop signal.
    pub(super) fn goes_before(&self, batch: usize, first: &Watched, second: &Watched) -> bool {
        let order = &self.batches[batch].order;
        let rank = |one: &Watched| order.rank(&one.program.name, one.stops_at);
        let is_member =
            |name: &str| self.batches[batch].members.iter().any(|&id| self.watched[id].program.name == name);
        if let Some(turns) = &self.batches[batch].turns {
            let turn = |one: &Watched| (std::cmp::Reverse(rank(one)), turns.get(&one.program.name));
            return turn(first) < turn(second);
        }
        let (higher, lower) = (rank(first), rank(second));
        higher > lower || higher == lower && order.depends(&first.program.name, &second.program.name, &is_member)
    }

    /// A signal of the stop plan: the next one, once the timeout of the one before has expired.
    pub(super) fn sees_step(&mut self, now: Time, run: RunId, signal: Signal) -> Result<(), Broken> {
        let is_closing = self.closing.is_some();
        let Some(one) = self.of_run(run) else { return Err(format!("{signal} to {run:?}, of which nothing is left")) };
        let steps = one.plan();
        let Some(run) = &mut one.run else { return Ok(()) };
        let done = run.asked.len();
        promise!(steps.get(done).is_some_and(|step| step.signal == signal), "{signal} is not step {done} of {run:?}");
        if let Some(&last) = run.asked.last() {
            let is_due = now + SLACK >= last + steps[done - 1].patience;
            promise!(is_due || is_closing, "{signal} to {run:?} comes too early");
        }
        run.asked.push(now);
        Ok(())
    }

    /// Only the processes that a stop ends are signalled; those that a run left behind by itself are ended as a tree, or
    /// kept.
    fn sees_end_of_others(&mut self, run: RunId, swept: StopKill) -> Result<(), Broken> {
        let Some(one) = self.of_run(run) else { return Err(format!("{run:?} is swept, of which nothing is left")) };
        let keeps = one.program.stop.leftovers == Leftovers::Keep;
        let Some(run) = &one.run else { return Ok(()) };
        let is_by_itself = run.shortened.is_some();
        promise!(
            !(is_by_itself && run.asked.is_empty() && keeps),
            "{run:?} is swept, and its leftovers are to be kept"
        );
        let ends = if is_by_itself { StopKill::Tree } else { run.ends };
        promise!(swept == ends, "the {swept:?} of {run:?} is swept, of which the {ends:?} is ended");
        Ok(())
    }

    /// A run is over with its main process only where the others are to be kept.
    fn sees_disowned(&mut self, run: RunId) -> Result<(), Broken> {
        let Some(one) = self.of_run(run) else { return Err(format!("{run:?} is disowned, and is gone")) };
        let leftovers = one.program.stop.leftovers;
        let Some(current) = &one.run else { return Ok(()) };
        promise!(!current.has_main, "{run:?} is disowned while its main process lives");
        let is_kept = match current.shortened {
            Some(_) => leftovers == Leftovers::Keep,
            None => current.ends == StopKill::Main,
        };
        promise!(is_kept, "{current:?} is disowned, and the rest of its tree was to be stopped");
        one.run = None;
        Ok(())
    }

    pub(super) fn sees_sweep(&mut self, now: Time, run: RunId, signal: Signal) -> Result<(), Broken> {
        let Some(one) = self.of_run(run) else { return Err(format!("{signal} to {run:?}, of which nothing is left")) };
        let Some(current) = &one.run else { return Ok(()) };
        promise!(!current.has_main, "{run:?} is swept with {signal} while its main process lives");
        let last = current.asked.len().checked_sub(1).map(|last| one.steps[last].signal);
        // The main process ended during this step: the others get its signal too.
        if last == Some(signal) { Ok(()) } else { self.sees_step(now, run, signal) }
    }

    pub(super) fn sees_kill(&mut self, now: Time, run: RunId) -> Result<(), Broken> {
        let (is_hurried, is_over) = (self.is_hurried, self.closing.is_some_and(|end| end <= now));
        // At most a moment is reserved at the end of a budget.
        let is_spent = self.closing.is_some_and(|end| now + SLACK + MOMENT >= end);
        let Some(one) = self.of_run(run) else { return Err(format!("SIGKILL to {run:?}, of which nothing is left")) };
        let (total, steps) = (patience(&one.plan()), one.steps.len());
        let Some(run) = &mut one.run else { return Ok(()) };
        let is_asked_in_vain =
            run.asked.len() == steps && run.asked.first().is_some_and(|&first| now + SLACK >= first + total);
        let is_hung = !run.is_executed && run.asked.is_empty() && now >= run.born + EXEC_DEADLINE;
        let is_cut_short = is_spent && !run.asked.is_empty();
        let is_again = run.killed.is_some_and(|killed| !run.has_main || now >= killed + KILL_RETRY);
        promise!(
            is_again || is_asked_in_vain || is_hung || is_cut_short || is_hurried || is_over,
            "SIGKILL to {run:?} comes too early"
        );
        run.killed = Some(now);
        Ok(())
    }

    /// Whether the shutdown leaves each program its full timeout, even if all must stop one after another.
    pub(super) fn is_budget_ample(&self) -> bool {
        if self.is_serial {
            let all = self.watched.iter().map(|one| patience(&one.steps).saturating_add(MOMENT));
            let total = all.fold(MOMENT, Duration::saturating_add);
            return !self.is_late && total <= self.timeout;
        }
        let rank = |one: &Watched| self.kinship.rank(&one.program.name, one.program.rank());
        let mut ranks: BTreeMap<i64, Duration> = BTreeMap::new();
        let mut longest = 1;
        for one in &self.watched {
            let (total, length) = self.chain(&one.program.name);
            let wave = ranks.entry(rank(one)).or_default();
            *wave = (*wave).max(total).max(patience(&one.steps));
            longest = longest.max(length);
        }
        let total = ranks.values().copied().fold(Duration::ZERO, Duration::saturating_add);
        // A program killed after its full timeout takes a moment to end, and a reserve is kept.
        let moments = MOMENT.min(self.timeout / 10) * (ranks.len() as u32 * longest + 1);
        !self.is_late && total.saturating_add(moments) <= self.timeout
    }

    /// How long stopping this program and then all of its dependencies may take, and how many of them are in a row.
    pub(super) fn chain(&self, program: &str) -> (Duration, u32) {
        let own = self.ids_of(program).into_iter().map(|id| patience(&self.watched[id].steps)).max();
        let below = self.kinship.needs(program).map(|(need, _)| self.chain(need));
        let (below, length) =
            below.fold((Duration::ZERO, 0), |(longest, most), (it, count)| (longest.max(it), most.max(count)));
        (own.unwrap_or_default().saturating_add(below), length + 1)
    }

    pub(super) fn sees_event(&mut self, now: Time, event: &Event) -> Result<(), Broken> {
        match event {
            Event::State { instance, from, to, .. } => {
                let is_held = self.is_in_restart(instance.0 as usize);
                let one = &mut self.watched[instance.0 as usize];
                // It has served its client: the next one's run is no restart that others follow.
                let is_idle = matches!(from, State::Starting | State::Running) && *to == State::Waiting && !is_held;
                if is_idle && one.program.start_on == StartOn::Connection {
                    one.was_asked = None;
                }
                promise!(one.state == *from, "{instance:?} goes from {from} to {to}, but it was {}", one.state);
                let is_forgotten = self.boots_again && from.is_final() && *to == State::Stopped;
                promise!(
                    is_forgotten || is_a_transition(*from, *to, &one.program),
                    "{instance:?} goes from {from} to {to}"
                );
                one.state = *to;
                one.awaits_contact &= *to == State::Waiting;
            }
            Event::Ended(ended) => {
                let one = &mut self.watched[ended.instance.0 as usize];
                one.last_success = ended.expected;
                one.was_asked = Some(matches!(ended.cause, Some(muster_core::StopCause::Asked(_))));
            }
            Event::Failing { instance, run, cause } => {
                let run = self.of_run(*run).and_then(|one| one.run.as_mut());
                run.into_iter().for_each(|run| run.is_failing = true);
                let spec = &self.watched[instance.0 as usize].spec;
                let reaction =
                    |name: &str| spec.probes.iter().find(|probe| probe.name == *name).map(|probe| probe.on_failure);
                let reaction = match cause {
                    muster_core::StopCause::Probe { name, .. } => reaction(name),
                    muster_core::StopCause::Memory { .. } => spec.memory_max.map(|limit| limit.action),
                    _ => None,
                };
                let is_its_end = reaction == Some(OnFailure::Stop);
                if is_its_end && self.closing.is_none() {
                    self.begin_batch(&[instance.0 as usize], false);
                }
            }
            Event::Ready { run, is_ready, .. } => {
                let run = self.of_run(*run).and_then(|one| one.run.as_mut());
                run.into_iter().for_each(|run| run.is_ready = *is_ready);
            }
            Event::Health { run, health, .. } => {
                let run = self.of_run(*run).and_then(|one| one.run.as_mut());
                run.into_iter().for_each(|run| run.is_healthy = *health == Health::Healthy);
            }
            Event::Retry { instance, verdict, .. } => {
                if matches!(&**verdict, Verdict::Again(again) if again.rule == DelayRule::RestartAll) {
                    let all = 0..self.watched.len();
                    let ids: Vec<usize> =
                        all.filter(|&id| self.watched[id].is_wanted && !self.watched[id].is_leaving).collect();
                    let mut together = self.those_restarted_together(Verb::Restart, &ids);
                    let ended = instance.0 as usize;
                    together.extend((!together.contains(&ended)).then_some(ended));
                    if together.len() > 1 {
                        self.begin_batch(&together, true);
                    }
                }
            }
            Event::Configured { .. } => self.takes_configuration(),
            Event::Rolling(step) => self.sees_rolling(step)?,
            Event::ShutdownBegan { timeout, .. } => {
                let timeout = timeout.limit().unwrap_or(Duration::MAX);
                let end = now + MOMENT.max(timeout);
                promise!(
                    self.closing.is_none_or(|earlier| end < earlier),
                    "a second shutdown begins, and is no shorter"
                );
                self.closing = Some(end);
                self.timeout = timeout;
                self.begin_shutdown();
            }
            Event::Killed { run, waited, cut_short, .. } => {
                let is_urgent = self.closing.is_some();
                let Some(one) = self.of_run(*run) else { return Err(format!("{run:?} is killed, and gone")) };
                let (total, was_asked) =
                    (patience(&one.plan()), one.run.as_ref().is_some_and(|run| !run.asked.is_empty()));
                let is_short = was_asked && *waited + SLACK < total;
                promise!(*cut_short || !is_short, "{run:?} had {waited:?} of {total:?}, and that is not told");
                promise!(is_urgent || !*cut_short, "{run:?} is cut short without need");
            }
            _ => {}
        }
        Ok(())
    }
}
