//! One turn from inputs to effects: the core gets one input, and all its effects are carried out before the next.

use std::time::{Duration, Instant};

use muster_core::{Effect, Input, Time};
use muster_load::secrets;
use muster_spec::{RunId, Signal};
use tracing::trace;

use super::EventLoop;
use crate::main_log_events;

/// The number of effects in a row after which children are reaped. When a thousand programs are stopped together, those that
/// exit while others get their signal are reaped in the meantime, and not all at the end when no other processor has
/// anything to do. The core still gets the resulting inputs after the last effect.
const REAP_AFTER: usize = 64;

/// How long effects are carried out before the loop polls its sources again. The rest follows right after that.
const TURN: Duration = Duration::from_millis(10);

impl EventLoop {
    /// Works until no input, effect or sweep is left. False if the turn was over before.
    ///
    /// The core's contract holds either way: it gets its next input when every effect of the last one is carried out.
    pub(super) fn settle(&mut self) -> bool {
        let end = Instant::now() + TURN;
        loop {
            self.has_effects = !self.drain_effects(end);
            if self.has_effects {
                // Sweeps never wait for effects.
                self.send_sweeps();
                return false;
            }
            self.note_done();
            let is_empty = self.inputs.is_empty();
            if !is_empty && Instant::now() >= end {
                self.take_gone_trees();
                self.send_sweeps();
                return false;
            }
            if is_empty {
                self.take_gone_trees();
            }
            if self.inputs.is_empty() {
                // Naming the processes that are about to be signalled may queue inputs.
                self.send_sweeps();
            }
            let Some(input) = self.inputs.next().map(secrets::masked) else { return true };
            let input = self.with_evidence(input);
            trace!(?input);
            match &input {
                Input::Spawned { run } => main_log_events::spawned(&self.shared, *run, true),
                Input::SpawnFailed { run, .. } => main_log_events::spawned(&self.shared, *run, false),
                _ => {}
            }
            let now = self.shared.clock.now();
            if let Input::Exited { run, .. } = input {
                self.tell_of_left_contact(now, run);
            }
            self.hand(now, input);
        }
    }

    /// Reports a client that a run leaves behind, before its end. That has no effects of its own.
    fn tell_of_left_contact(&self, now: Time, run: RunId) {
        let supervisor = self.shared.supervisor.borrow();
        let instance = supervisor.instance_of(run);
        let leaves_one = instance.is_some_and(|it| self.shared.children.borrow().leaves_contact(it));
        drop(supervisor);
        if leaves_one {
            self.hand(now, Input::LeftContact { run });
        }
    }

    /// False if the turn was over before all effects were carried out.
    fn drain_effects(&mut self, end: Instant) -> bool {
        let mut carried_out: usize = 0;
        let is_drained = loop {
            // The borrow must end before the effect is carried out, which borrows the supervisor itself.
            let effect = self.held.take().or_else(|| self.shared.supervisor.borrow_mut().poll_effect());
            if !self.is_its_turn(effect.as_ref()) {
                self.held = effect;
                let is_sent = self.shared.children.borrow_mut().go_on_sending(end);
                self.tell_refused();
                if !is_sent || Instant::now() >= end {
                    break false;
                }
                continue;
            }
            let Some(effect) = effect else { break true };
            if matches!(effect, Effect::Spawn { .. } | Effect::RunHook { .. }) && !self.may_start() {
                self.held = Some(effect);
                break false;
            }
            self.carry_out(effect);
            carried_out += 1;
            // Looking for an exit takes longer the more children there are.
            if carried_out.is_multiple_of(REAP_AFTER) && self.sources.signals.get_ref().is_pending(Signal::CHLD) {
                self.reap();
            }
            if Instant::now() >= end {
                // If that was the last effect, everything is done, and the sources come next, however late it is.
                self.held = self.shared.supervisor.borrow_mut().poll_effect();
                break self.held.is_none() && !self.shared.children.borrow().is_sending();
            }
        };
        if !self.to_wake.is_empty() && !self.shared.children.borrow().is_sending() {
            self.shared.children.borrow_mut().wake(&self.to_wake);
            self.to_wake.clear();
        }
        is_drained
    }

    /// Whether an effect, or the end of all of them, need not wait for the signal that is being sent to a tree.
    fn is_its_turn(&self, effect: Option<&Effect>) -> bool {
        let children = self.shared.children.borrow();
        effect.map_or(!children.is_sending(), |effect| children.may_precede_sending(effect))
    }
}
