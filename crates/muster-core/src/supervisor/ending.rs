//! Shutdown: how it begins, how it is hurried, and the daemon's exit.

use std::time::Duration;

use muster_spec::{ExitStatus, InstanceId, ShutdownBudget, ShutdownOrder, Signal, State};

use super::Supervisor;
use crate::batch::Purpose;
use crate::cause::ShutdownReason;
use crate::effect::Effect;
use crate::event::Event;
use crate::order::Wave;
use crate::program::{FinalEnd, Instance};
use crate::restart::Verdict;
use crate::serial::critical;
use crate::shutdown::{Shutdown, Wish};
use crate::time::Time;

impl Supervisor {
    pub(super) fn ask_shutdown(&mut self, now: Time, reason: ShutdownReason, timeout: Option<ShutdownBudget>) {
        let is_ignored = reason.signal().is_some_and(|signal| self.ignores_signal(signal));
        match &mut self.shutdown {
            None => {
                let code = if matches!(reason, ShutdownReason::Program { .. }) { self.failure_code() } else { 0 };
                self.begin_shutdown(now, reason, timeout, code);
            }
            Some(_) if is_ignored => {}
            Some(shutdown) => {
                if reason.signal().is_some() && shutdown.is_signalled_again() {
                    self.hurry_shutdown(now);
                } else if let Some(timeout) = timeout.filter(|&timeout| shutdown.would_be_shorter(now, timeout)) {
                    self.shorten_shutdown(now, reason, timeout);
                }
            }
        }
    }

    /// Whether a signal that asks for a shutdown is a repeated one that has no effect.
    pub fn ignores_signal(&self, signal: Signal) -> bool {
        self.shutdown.as_ref().is_some_and(Shutdown::was_signalled) && !self.settings.second_signal.hurries(signal)
    }

    pub(super) fn begin_shutdown(
        &mut self,
        now: Time,
        reason: ShutdownReason,
        timeout: Option<ShutdownBudget>,
        code: u8,
    ) {
        let timeout = timeout.unwrap_or(self.settings.shutdown_timeout);
        self.tell_shutdown(&reason, timeout);
        let all = self.everybody();
        let waves = self.shutdown_waves(&all);
        let wishes = self.wishes(now, &waves);
        self.shutdown = Some(Shutdown::begin(now, timeout, reason, code, wishes));
        self.lower_goals(now, &all);
        self.begin_waves(now, &all, waves, Purpose::Shutdown);
    }

    /// A later request sets a shorter timeout. Instances that are already being stopped continue, with less time.
    fn shorten_shutdown(&mut self, now: Time, reason: ShutdownReason, timeout: ShutdownBudget) {
        self.tell_shutdown(&reason, timeout);
        let all = self.everybody();
        let waves = self.shutdown_waves(&all);
        let wishes = self.wishes(now, &waves);
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.share_anew(now, timeout, wishes);
        }
        // Their batch ends here. Taking out one member after another would let it continue.
        for batch in self.instances.iter_mut().filter_map(|instance| instance.batch.take()) {
            self.batches.end(batch);
        }
        self.begin_waves(now, &all, waves, Purpose::Shutdown);
    }

    fn tell_shutdown(&mut self, reason: &ShutdownReason, timeout: ShutdownBudget) {
        let (reason, why) = (reason.clone(), self.explain_exit(reason, 0).into());
        self.effects.push_back(Effect::Publish(Event::ShutdownBegan { reason, why, timeout }));
    }

    fn everybody(&self) -> Vec<InstanceId> {
        self.instances.iter().map(Instance::id).collect()
    }

    /// The time each instance needs of the budget for these waves, by place.
    fn wishes(&self, now: Time, waves: &[Wave]) -> Vec<Option<Wish>> {
        if self.settings.shutdown_order == ShutdownOrder::Serial {
            return self.serial_wishes(now, waves);
        }
        let patience = |instance: &Instance| instance.is_live().then(|| instance.patience(now));
        let patience: Vec<Option<Duration>> = self.instances.iter().map(patience).collect();
        let critical = self.graph.critical(|place| patience[place].unwrap_or_default());
        let wish = |(place, patience): (usize, &Option<Duration>)| {
            let own = (*patience)?;
            let rank = self.graph.rank(place).unwrap_or(self.instances[place].program().rank());
            let critical = self.graph.node(place).map_or(own, |node| critical[node]);
            Some(Wish { rank, critical })
        };
        patience.iter().enumerate().map(wish).collect()
    }

    fn serial_wishes(&self, now: Time, waves: &[Wave]) -> Vec<Option<Wish>> {
        let mut wishes = vec![None; self.instances.len()];
        let patience = |id| Some(self.instance(id)).filter(|one| one.is_live()).map(|one| one.patience(now));
        for wave in waves {
            for (id, critical) in critical(wave, patience) {
                wishes[self.place(id)] = Some(Wish { rank: wave.rank, critical });
            }
        }
        wishes
    }

    /// A second signal: every program gets SIGKILL now.
    pub(super) fn hurry_shutdown(&mut self, now: Time) {
        self.shutdown.iter_mut().for_each(|shutdown| shutdown.hurry(now));
        self.effects.push_back(Effect::Publish(Event::ShutdownHurried));
        self.kill_all(now);
    }

    pub(super) fn kill_all(&mut self, now: Time) -> Vec<InstanceId> {
        let live = self.instances.iter().filter(|instance| instance.is_live()).map(Instance::id);
        let live: Vec<InstanceId> = live.collect();
        for &id in &live {
            self.tell(now, id, |instance, turn| instance.kill_run(turn));
        }
        live
    }

    /// Finishes the shutdown: everything has stopped, or the budget is used up.
    pub(super) fn finish(&mut self, now: Time) {
        // Processes that outlived the budget must not outlive the daemon.
        let left = self.kill_all(now);
        let Some(shutdown) = self.shutdown.take().filter(|_| !self.has_exited) else { return };
        self.has_exited = true;
        let finished = self.requests.end_all();
        self.reply_all(finished);
        self.effects.push_back(Effect::SignalStrays { signal: Signal::KILL });
        let mut account = shutdown.into_account(left, |reason, code| self.explain_exit(reason, code));
        if self.settings.exit_status == ExitStatus::Zero {
            account.code = 0;
        }
        let code = account.code;
        self.effects.push_back(Effect::Publish(Event::ShutdownEnded(Box::new(account))));
        self.effects.push_back(Effect::Exit { code });
    }
}

/// Exiting when all programs are done.
impl Supervisor {
    /// The container's exit code if all programs are done: there is at least one autostarted program, every one of them
    /// has exited and will not be restarted or waits for a condition that cannot be met, and nothing else runs or is
    /// about to. It is the code of the first failure, or 0.
    pub(super) fn done_code(&self) -> Option<u8> {
        if !self.settings.exit_when_done || self.shutdown.is_some() || self.live > 0 {
            return None;
        }
        if self.instances.iter().any(Instance::is_armed) {
            return None;
        }
        // With no run left, every chain of waiting instances starts at one that has ended.
        // A client may come at any time.
        let starts_by_itself = |one: &Instance| one.awaits_turn() || one.start_delay_until().is_some();
        let waits = |instance: &Instance| {
            instance.state() == State::Waiting && !instance.awaits_contact() && !starts_by_itself(instance)
        };
        if self.unsettled > 0 && !self.instances.iter().all(|one| one.state().is_final() || waits(one)) {
            return None;
        }
        // A program that was stopped by hand may be started again, and its dependents would continue.
        let needs_a_hand = |one: &Instance| {
            self.graph.missing(self.place(one.id())).any(|(need, _)| self.instances[need].is_left_down())
        };
        if self.instances.iter().any(|one| waits(one) && needs_a_hand(one)) {
            return None;
        }
        let mut autostarted =
            self.instances.iter().filter(|one| one.program().autostart && !one.is_leaving()).peekable();
        autostarted.peek()?;
        let is_done = autostarted.all(|one| one.final_end().is_some() || waits(one));
        let is_vain = self.instances.iter().any(waits);
        is_done.then(|| self.first_failure().map_or(u8::from(is_vain), |(_, end)| end.code))
    }

    /// The first final end that was a failure, and its instance. A program that is not autostarted counts only if
    /// others waited for it in vain.
    pub(crate) fn first_failure(&self) -> Option<(InstanceId, FinalEnd)> {
        let is_missed = |one: &Instance| {
            self.graph.dependents(self.place(one.id())).any(|place| self.instances[place].final_end().is_none())
        };
        let counts = |one: &&Instance| !one.is_leaving() && (one.program().autostart || is_missed(one));
        let ends = self.instances.iter().filter(counts).filter_map(|one| Some((one.id(), one.final_end()?)));
        ends.filter(|(_, end)| !end.success).min_by_key(|(_, end)| (end.at, end.run))
    }
}

/// Exiting after a signal from one of the daemon's own programs.
impl Supervisor {
    /// The last failure of all instances: an unexpected end of a run, or the end of the last retry.
    fn last_failure(&self) -> Option<(InstanceId, FinalEnd)> {
        let counts = self.settings.exit_status == ExitStatus::Failures;
        let ends = self.instances.iter().filter(|_| counts).filter_map(|one| Some((one.id(), one.last_failure()?)));
        ends.max_by_key(|(_, end)| (end.at, end.run))
    }

    fn failure_code(&self) -> u8 {
        self.last_failure().map_or(0, |(_, end)| end.code)
    }

    fn explain_sender(&self, signal: Option<Signal>, sender: Option<InstanceId>, code: u8) -> String {
        let sender = sender.and_then(|id| self.get(id)).map(|instance| format!("{:?}", instance.name()));
        let what = signal.map_or("a request".to_owned(), |signal| signal.to_string());
        let by = format!("stopped by {what} from {}", sender.as_deref().unwrap_or("a program"));
        match self.last_failure().filter(|_| code != 0).and_then(|(id, _)| self.get(id)) {
            Some(failed) => format!("{by}; {:?} failed last", failed.name()),
            None => by,
        }
    }
}

impl Supervisor {
    /// Why the daemon exits with this code, in words: its last log line.
    fn explain_exit(&self, reason: &ShutdownReason, code: u8) -> String {
        match reason {
            ShutdownReason::Signal(signal) => format!("stopped by {signal}"),
            ShutdownReason::Program { signal, sender } => self.explain_sender(*signal, *sender, code),
            ShutdownReason::Command(_) => "stopped by musterctl".to_owned(),
            ShutdownReason::Probe(id) => format!("a probe of {:?} failed for good", self.instance(*id).name()),
            ShutdownReason::Memory(id) => format!("{:?} had too much memory", self.instance(*id).name()),
            ShutdownReason::Done if code == 0 => "every program has succeeded".to_owned(),
            ShutdownReason::Done if self.exit_cause(reason).is_none() => self.explain_vain_wait(),
            ShutdownReason::Essential(_) | ShutdownReason::OnExit(_) | ShutdownReason::Done => {
                let end = self.exit_cause(reason).and_then(|id| {
                    let instance = self.instance(id);
                    instance.past().next_back().map(|past| (instance.name(), past.end.to_string(), past.verdict))
                });
                match (end, reason) {
                    (Some((name, end, Verdict::Ruled { rule, .. })), ShutdownReason::OnExit(_)) => {
                        format!("{name:?} ended, and on_exit {} ends all: {end}", rule.on)
                    }
                    (Some((name, end, _)), ShutdownReason::Essential(_)) => {
                        format!("the essential program {name:?} ended: {end}")
                    }
                    (Some((name, end, _)), _) => format!("{name:?} failed first: {end}"),
                    (None, _) => String::new(),
                }
            }
        }
    }

    /// The instance that caused the exit and determines its code: the essential one, or the first failure if all
    /// programs have ended.
    pub fn exit_cause(&self, reason: &ShutdownReason) -> Option<InstanceId> {
        match reason {
            ShutdownReason::Signal(_) | ShutdownReason::Command(_) => None,
            ShutdownReason::Program { .. } => self.last_failure().map(|(id, _)| id),
            ShutdownReason::Essential(id)
            | ShutdownReason::OnExit(id)
            | ShutdownReason::Probe(id)
            | ShutdownReason::Memory(id) => Some(*id),
            ShutdownReason::Done => self.first_failure().map(|(id, _)| id),
        }
    }

    /// The reason if no program has failed and not all have ended.
    fn explain_vain_wait(&self) -> String {
        let has_waited = |instance: &&Instance| instance.program().autostart && instance.final_end().is_none();
        match self.snapshot().iter().find(has_waited) {
            Some(instance) => format!("{:?} waited for a dependency that cannot be met", instance.name()),
            None => "no program is left to run".to_owned(),
        }
    }
}
