//! Read access to an instance. Nothing here changes anything.

use std::sync::Arc;

use muster_spec::{Exit, Goal, Hook, InstanceId, InstanceSpec, Kind, ProgramSpec, RunEnd, RunId, Signal, State};

use super::{Instance, PastRun, Stage};
use crate::cause::Principal;
use crate::health::{Health, Readiness};
use crate::restart;
use crate::restart::Verdict;
use crate::time::Time;
use crate::timers::Slot;

impl Instance {
    /// Its id.
    pub fn id(&self) -> InstanceId {
        self.id
    }

    /// Its name, `web` or `web:3`.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its program.
    pub fn program(&self) -> &Arc<ProgramSpec> {
        &self.program
    }

    /// Its configuration.
    pub fn spec(&self) -> &Arc<InstanceSpec> {
        &self.spec
    }

    /// Its goal.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// When it entered its state.
    pub fn since(&self) -> Time {
        self.since
    }

    /// Its run, from the order to spawn it until no process of its tree is left.
    pub fn run(&self) -> Option<RunId> {
        self.run.as_ref().map(|run| run.id)
    }

    /// Its latest run, whether or not any process of it is left.
    pub fn last_run(&self) -> Option<RunId> {
        self.last_run
    }

    /// When its run started, as long as the main process is alive.
    pub fn run_began(&self) -> Option<Time> {
        self.run.as_ref().filter(|run| run.main_lives()).map(|run| run.began)
    }

    /// Whether its main process is alive and the supervisor has not begun to end it: an exit now is its own.
    pub fn ends_by_itself(&self) -> bool {
        self.state != State::Stopping && self.run.as_ref().is_some_and(|run| run.main_lives() && run.cause.is_none())
    }

    /// The last signal that a client had sent to its run.
    pub fn signalled(&self) -> Option<Signal> {
        self.run.as_ref()?.signalled.as_deref().map(|&(signal, _)| signal)
    }

    /// Whether its run's main process has exited and only other processes of the tree are left.
    pub fn has_leftovers(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.stage == Stage::Leftovers)
    }

    /// The hook of its run that is running.
    pub fn phase(&self) -> Option<Hook> {
        self.run.as_ref().and_then(|run| run.hook.as_ref()).map(|hook| hook.kind)
    }

    /// When the next run is due, in BACKOFF.
    pub fn next_start(&self) -> Option<Time> {
        self.timers.get(Slot::Delay)
    }

    /// When its run will have lasted as long as `max_runtime` allows.
    pub fn must_end_by(&self) -> Option<Time> {
        self.program.max_runtime.and_then(|_| self.timers.get(Slot::Life))
    }

    /// Restarts as the policy's limit would count them at `now`.
    pub fn failures(&self, now: Time) -> u32 {
        let up = self.run_began().filter(|_| self.state == State::Running).map(|began| now.since(began));
        match up {
            Some(up) if restart::would_reset(&self.program.restart, up) => 0,
            _ => restart::used(&self.program.restart, &self.tally),
        }
    }

    /// Its past runs, the latest last.
    pub fn past(&self) -> impl DoubleEndedIterator<Item = &PastRun> {
        self.past.iter()
    }

    /// Whether it has a run or may be about to start one.
    pub fn is_live(&self) -> bool {
        self.run.is_some()
    }

    /// Whether an operator stopped it after its last start.
    pub fn was_stopped_by_hand(&self) -> bool {
        self.was_stopped_by_hand
    }

    /// Whether it is down because it was never started or was stopped, rather than ended by itself.
    pub(crate) fn is_left_down(&self) -> bool {
        self.state == State::Stopped && self.final_end.is_none()
    }

    /// Whether it is down for good because a probe failed (`on_failure = "stop"`).
    pub fn was_stopped_for_failure(&self) -> bool {
        self.state == State::Stopped && self.final_end.is_some()
    }

    /// Whether it is ready, a oneshot that has succeeded, or waits for a client.
    pub fn can_serve(&self) -> bool {
        match self.state {
            State::Running => self.ready() == Readiness::Ready,
            State::Exited => self.program.kind == Kind::Oneshot && self.has_ended_well(),
            State::Waiting => self.awaits_contact,
            _ => false,
        }
    }

    /// Whether its probes, if any, have passed and are not failing.
    pub(crate) fn is_well(&self) -> bool {
        self.spec.probes.is_empty() || self.awaits_contact || self.health() == Health::Healthy
    }

    /// Whether it waits for a client and for nothing else: `start_on = "connection"`.
    pub fn awaits_contact(&self) -> bool {
        self.awaits_contact
    }

    /// Whether its run is to be recycled as soon as that is possible.
    pub(crate) fn is_due(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.is_due && run.main_lives())
    }

    /// Whether it waits for others that are restarted with it.
    pub fn is_held(&self) -> bool {
        self.is_held
    }
}

impl PastRun {
    /// How it ended and, if the supervisor ended it for a failure, why.
    pub fn reason(&self) -> String {
        match self.cause.as_ref().filter(|cause| cause.is_failure()) {
            Some(cause) => format!("{cause} ({})", self.end),
            None => self.end.to_string(),
        }
    }
}

impl PastRun {
    /// The client that sent this signal, if it was the last one that a client sent.
    pub fn signalled_by(&self, signal: Signal) -> Option<Principal> {
        self.signalled.filter(|(sent, _)| *sent == signal).map(|(_, by)| by)
    }

    /// The policy's decision about it and the reason, including the exit status.
    pub fn explain(&self, exit_codes: &[u8]) -> String {
        let success = match (&self.end, self.verdict) {
            (RunEnd::Exited(Exit::Code(code)), Verdict::Final { success: true, by: None, .. }) => Some(code),
            _ => None,
        };
        match success {
            Some(code) => {
                let codes: Vec<String> = exit_codes.iter().map(u8::to_string).collect();
                format!("exit status {code} is in exitcodes [{}]: {}", codes.join(", "), self.verdict)
            }
            None => self.verdict.to_string(),
        }
    }
}
