//! From inputs to effects, for a turn: the core hears one input, and everything it answers is carried out before the next.

use std::time::{Duration, Instant};

use muster_core::Effect;
use tracing::trace;

use super::EventLoop;
use crate::secrets;

/// After how many effects in a row children are reaped. Of a thousand programs that are stopped together, those that die
/// while the others get their signal are taken in by then, not one after another when all are dead and no other
/// processor has anything to do. What that means for the core it hears after the last effect, as always.
const REAP_AFTER: usize = 64;

/// So long effects are carried out before the loop looks at its sources again. What is left goes on right after that.
const TURN: Duration = Duration::from_millis(10);

impl EventLoop {
    /// Until nothing is left to carry out, to tell the core and to sweep, or the turn is over: false then.
    ///
    /// The core's contract holds either way: it hears the next input when every effect of the last one is carried out.
    pub(super) fn settle(&mut self) -> bool {
        let end = Instant::now() + TURN;
        loop {
            self.has_effects = !self.drain_effects(end);
            if self.has_effects {
                // Sweeps wait for nobody.
                self.send_sweeps();
                return false;
            }
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
                // Who they are that are signalled may be news for the core.
                self.send_sweeps();
            }
            let Some(input) = self.inputs.next().map(secrets::masked) else { return true };
            trace!(?input);
            let now = self.shared.clock.now();
            self.shared.supervisor.borrow_mut().handle_input(now, input);
        }
    }

    /// False when the turn is over before the effects are.
    fn drain_effects(&mut self, end: Instant) -> bool {
        let mut carried_out: usize = 0;
        let is_drained = loop {
            // The borrow must end before the effect is carried out, which reads the supervisor itself.
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
            if matches!(effect, Effect::Spawn { .. }) && !self.may_start() {
                self.held = Some(effect);
                break false;
            }
            self.carry_out(effect);
            carried_out += 1;
            if carried_out.is_multiple_of(REAP_AFTER) {
                self.reap();
            }
            if Instant::now() >= end {
                // With the last effect all is done, however late: the sources must have their turn then.
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

    /// Whether an effect, or the end of all of them, need not wait for a signal that is on its way to a tree.
    fn is_its_turn(&self, effect: Option<&Effect>) -> bool {
        let children = self.shared.children.borrow();
        effect.map_or(!children.is_sending(), |effect| children.may_precede_sending(effect))
    }
}
