//! Watched files of a program have changed: what that means for each of its instances.
//!
//! It acts like a command and never against one: an instance whose goal is down stays down, and so does one that waits for
//! something, since it will begin with the files as they are then.

use std::sync::Arc;

use muster_spec::{Goal, IdentityName, InstanceId, Kind, SignalScope, State, WatchAction};

use super::Supervisor;
use crate::cause::{Asker, Principal};
use crate::program::{Instance, Start};
use crate::time::Time;

/// The effect on an instance.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// None.
    Nothing,
    /// The configured action, on its process.
    Action,
    /// A restart, whatever the action: its process may not be ready for a signal.
    Restart,
    /// A start.
    Start,
}

impl Supervisor {
    /// Acts on each instance of the program.
    pub(super) fn follow_files(&mut self, now: Time, program: &str, file: Arc<str>, at: Time) {
        let Some(watch) = self.programs.iter().find(|one| one.name == program).and_then(|one| one.watch.as_ref())
        else {
            return;
        };
        if self.is_shutting_down() {
            return;
        }
        let action = watch.action;
        let is_of = |one: &&Instance| one.program().name == program && !one.is_leaving();
        let effects: Vec<(InstanceId, Effect)> =
            self.instances.iter().filter(is_of).map(|one| (one.id(), effect(one, at))).collect();
        let of = |wanted: Effect| effects.iter().filter(move |(_, it)| *it == wanted).map(|(id, _)| *id);
        let mut restarted: Vec<InstanceId> = of(Effect::Restart).collect();
        for id in of(Effect::Action) {
            let signal = match action {
                WatchAction::Restart => None,
                WatchAction::Reload => self.instance(id).program().reload_signal,
                WatchAction::Signal(signal) => Some(signal),
            };
            match signal {
                Some(signal) => self.signal(id, signal, SignalScope::Main, Principal::Identity(IdentityName::of(BY))),
                None => restarted.push(id),
            }
        }
        let started: Vec<InstanceId> = of(Effect::Start).collect();
        self.restart_for_files(now, program, &restarted, Asker::Files(file));
        if !started.is_empty() {
            self.start(now, &started, Start::Again);
        }
    }

    /// Restarts instances that are up, one after another if the program says so.
    fn restart_for_files(&mut self, now: Time, program: &str, ids: &[InstanceId], asker: Asker) {
        if ids.is_empty() {
            return;
        }
        let first = self.instance(ids[0]).program();
        let is_up = |one: &&Instance| one.program().name == program && one.goal() == Goal::Up;
        let serves = first.kind == Kind::Service && self.instances.iter().filter(is_up).count() > 1;
        match first.rolling.filter(|_| serves) {
            Some(rule) => {
                // Rolls must not pile up: one that has yet to begin restarts all of these.
                let last_runs: Vec<_> = ids.iter().map(|&id| (id, self.instance(id).last_run())).collect();
                if self.rolls.renew(program, &last_runs) {
                    return;
                }
                let part = self.part(program, rule, ids.to_vec());
                self.begin_roll(asker, None, vec![part], Vec::new());
            }
            None => drop(self.restart_together(now, ids, asker)),
        }
    }
}

/// The sender of signals, in `why`. No login can have this name.
const BY: &str = "a change of watched files";

fn effect(instance: &Instance, at: Time) -> Effect {
    if instance.goal() == Goal::Down || instance.is_held() || instance.is_idle_job() {
        return Effect::Nothing;
    }
    match instance.state() {
        State::Starting | State::Running if instance.run_began().is_some_and(|began| began > at) => Effect::Nothing,
        State::Stopped | State::Waiting | State::Stopping => Effect::Nothing,
        State::Starting => Effect::Restart,
        // It is being ended, and takes no signal.
        State::Running if instance.is_failing() => Effect::Restart,
        State::Running => Effect::Action,
        State::Backoff | State::Exited | State::Fatal => Effect::Start,
    }
}
