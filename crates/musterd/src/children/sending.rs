//! Signals to more than a main process: in slices, so that the loop serves its sources in between.
//!
//! The core's effects are carried out in order. Consecutive signals of the same kind become one pass over all their
//! trees; any other effect waits until that pass is complete. Sweeps of the remaining trees are independent of that
//! order.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use muster_core::{Effect, Input};
use muster_spec::{RunId, Signal, SignalScope};
use muster_sys::tree::{Errand, LastHunt, Signalled};
use tracing::{debug, info};

use super::Children;

/// How long the last hunt may take to stop and kill all remaining processes, in addition to the time for stopping.
const LAST_HUNT: Duration = Duration::from_millis(1500);

/// A requested signal that is not completely sent.
#[derive(Debug)]
pub(super) enum Sending {
    /// More runs with the same signal may be added.
    Gathering { runs: Vec<RunId>, signal: Signal, scope: SignalScope, woken: HashSet<RunId> },
    /// Being sent.
    Signal(Errand, SignalScope),
    /// SIGKILL to all remaining processes, before the daemon exits.
    LastHunt(LastHunt),
}

impl Children {
    /// Sends a signal to a run whose main process has not been reaped. A signal to the main process alone, or to its
    /// group, is sent at once; for the others see [`Children::go_on_sending`].
    ///
    /// If the main process turns out to be lost, what is left of the run is swept instead.
    pub(crate) fn signal(&mut self, run: RunId, signal: Signal, scope: SignalScope, inputs: &mut VecDeque<Input>) {
        if !self.has_main(run) {
            return;
        }
        if self.has_lost_main(run) {
            self.lose_main(run, inputs);
            return self.logs.drain(vec![run]);
        }
        if is_of_main(scope) && self.trees.wears_tag(run) {
            return self.signal_main_of(run, signal, scope);
        }
        match &mut self.sending {
            Some(Sending::Gathering { runs, .. }) => runs.push(run),
            _ => {
                let (runs, woken) = (vec![run], HashSet::new());
                self.sending = Some(Sending::Gathering { runs, signal, scope, woken });
            }
        }
    }

    /// Continues the stopped processes of a run that has just been asked to stop.
    pub(crate) fn wake_tree(&mut self, run: RunId, scope: SignalScope, inputs: &mut VecDeque<Input>) {
        match &mut self.sending {
            Some(Sending::Gathering { woken, .. }) => drop(woken.insert(run)),
            _ => self.signal(run, Signal::CONT, scope, inputs),
        }
    }

    /// Whether this effect may be carried out before the pending signal.
    pub(crate) fn may_precede_sending(&self, effect: &Effect) -> bool {
        let Some(sending) = &self.sending else { return true };
        let Sending::Gathering { runs, signal: gathered, scope: meant, woken } = sending else { return false };
        match effect {
            Effect::Signal { run, signal, scope } => signal == gathered && scope == meant && !runs.contains(run),
            Effect::Wake { run, scope } => scope == meant && runs.last() == Some(run) && !woken.contains(run),
            Effect::Publish(_) => true,
            _ => false,
        }
    }

    /// Whether a requested signal is pending.
    pub(crate) fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    /// Continues the pending signal until then; returns whether it is complete.
    pub(crate) fn go_on_sending(&mut self, until: Instant) -> bool {
        self.sending = match self.sending.take() {
            None => None,
            Some(Sending::Gathering { mut runs, signal, scope, woken }) => {
                runs.retain(|&run| self.has_main(run));
                let errand = Errand::to(runs, signal, scope).waking(woken);
                self.go_on_with(errand, scope, until)
            }
            Some(Sending::Signal(errand, scope)) => self.go_on_with(errand, scope, until),
            Some(Sending::LastHunt(mut hunt)) => match self.trees.go_on_hunting(&mut hunt, until) {
                None => Some(Sending::LastHunt(hunt)),
                Some(strays) => {
                    tell_of_strays(Signal::KILL, strays);
                    None
                }
            },
        };
        self.sending.is_none()
    }

    fn go_on_with(&mut self, mut errand: Errand, scope: SignalScope, until: Instant) -> Option<Sending> {
        if !self.trees.go_on(&mut errand, Some(until)) {
            return Some(Sending::Signal(errand, scope));
        }
        let (runs, signal) = (errand.runs().to_vec(), errand.signal());
        if is_of_main(scope) {
            runs.into_iter().for_each(|run| self.signal_main_of(run, signal, scope));
            return None;
        }
        match errand.result() {
            Ok(sent) if runs.is_empty() => tell_of_strays(signal, sent.count),
            Ok(sent) if sent.refused > 0 => self.note_refused(&runs, signal, None),
            Ok(_) => {}
            Err(error) => self.note_refused(&runs, signal, Some(&error)),
        }
        None
    }

    fn signal_main_of(&mut self, run: RunId, signal: Signal, scope: SignalScope) {
        if !self.has_main(run) {
            return;
        }
        if let Err(error) = self.signal_main(run, signal, scope) {
            self.note_refused(&[run], signal, Some(&error));
        }
    }

    /// Signals what is left of the process group of a run's main process, which has been reaped. A main process that was
    /// lost gets the signal, too.
    pub(crate) fn sweep_group(&mut self, run: RunId, signal: Signal) {
        self.signal_lost(&[run], signal);
        let sent = self.trees.signal_group(run, signal).and_then(|sent| match signal {
            Signal::KILL => Ok(sent),
            _ => self.trees.signal_group(run, Signal::CONT),
        });
        if let Err(error) = sent {
            self.note_refused(&[run], signal, Some(&error));
        }
    }

    /// Signals the processes of no program. SIGKILL comes last in a shutdown and starts the last hunt.
    pub(crate) fn signal_strays(&mut self, signal: Signal) {
        self.sending = Some(match signal {
            Signal::KILL => Sending::LastHunt(LastHunt::until(Instant::now() + LAST_HUNT)),
            _ => Sending::Signal(Errand::to_strays(signal), SignalScope::Tree),
        });
    }

    /// Signals every process of these runs' trees. SIGKILL is sent at once for a limited time, and true is returned if
    /// it must be repeated soon; any other signal is sent by [`Children::go_on_asking`].
    pub(crate) fn sweep(&mut self, runs: &[RunId], signal: Signal) -> bool {
        self.signal_lost(runs, signal);
        if signal != Signal::KILL {
            self.asking.push_back(Errand::to_the_rest(runs.to_vec(), signal, SignalScope::Tree));
            return false;
        }
        self.asking.iter_mut().for_each(|errand| errand.leave_out(runs));
        match self.trees.signal_all(runs, signal, SignalScope::Tree) {
            Ok(sent) => {
                self.note_sent(runs, signal, sent);
                sent.is_unfinished
            }
            Err(error) => {
                self.note_refused(runs, signal, Some(&error));
                false
            }
        }
    }

    /// Continues the pending sweeps until then; returns whether all are complete.
    pub(crate) fn go_on_asking(&mut self, until: Instant) -> bool {
        while let Some(mut errand) = self.asking.pop_front() {
            if !self.trees.go_on(&mut errand, Some(until)) {
                self.asking.push_front(errand);
                return false;
            }
            let (runs, signal) = (errand.runs().to_vec(), errand.signal());
            match errand.result() {
                Ok(sent) => self.note_sent(&runs, signal, sent),
                Err(error) => self.note_refused(&runs, signal, Some(&error)),
            }
        }
        true
    }

    fn note_sent(&mut self, runs: &[RunId], signal: Signal, sent: Signalled) {
        debug!(?runs, %signal, processes = sent.count, refused = sent.refused, "signalled trees");
        if sent.refused > 0 {
            self.note_refused(runs, signal, None);
        }
    }
}

/// Whether the signal needs no look at the tree.
fn is_of_main(scope: SignalScope) -> bool {
    matches!(scope, SignalScope::Main | SignalScope::MainGroup)
}

fn tell_of_strays(signal: Signal, count: usize) {
    if count > 0 {
        info!(%signal, processes = count, "signalled processes that belong to no program");
    }
}
