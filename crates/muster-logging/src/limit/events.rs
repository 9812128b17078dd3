//! Which of the core's events pass the rate limits, for the log and for followers of events.
//!
//! Events that a client requested always pass: that takes the right to control. Events that a program causes are
//! limited: its runs as a whole, and within a run its probe results.

use muster_core::{Asker, Event, Instance, StopCause, Supervisor};
use muster_spec::{Goal, InstanceId, RunId, State};

use super::{DAEMON, Limits, Notice};

impl Limits {
    /// The number suppressed before this event, or `None` if it is suppressed, too.
    pub fn pass_event(&self, supervisor: &Supervisor, event: &Event) -> Option<u64> {
        let limited = |id: &InstanceId, notice| self.pass(supervisor.instance(*id).name(), notice);
        let of_run = |id: &InstanceId, run: &RunId| self.pass_run(supervisor.instance(*id).name(), *run);
        match event {
            Event::State { instance, from, to, .. } => self.pass_state(supervisor.instance(*instance), *from, *to),
            Event::Retry { instance, .. } => {
                let instance = supervisor.instance(*instance);
                let ended = instance.past().next_back().map(|past| past.run);
                ended.map_or(Some(0), |run| self.pass_run(instance.name(), run))
            }
            Event::Ended(ended) if ended.cause.as_ref().is_some_and(is_asked_for) => Some(0),
            Event::Ended(ended) => of_run(&ended.instance, &ended.run),
            Event::Failing { instance, run, .. } => of_run(instance, run),
            Event::Hook(ended) => of_run(&ended.instance, &ended.run),
            Event::Killed { instance, run, .. } => {
                let is_asked = supervisor.instance(*instance).cause().is_some_and(is_asked_for);
                if is_asked { Some(0) } else { of_run(instance, run) }
            }
            Event::LeftBehind { instance, run, .. } => of_run(instance, run),
            Event::Final { instance, .. } => limited(instance, Notice::Final),
            Event::Ready { instance, run, .. } => of_run(instance, run).and_then(|_| limited(instance, Notice::Ready)),
            Event::Health { instance, run, .. } => {
                of_run(instance, run).and_then(|_| limited(instance, Notice::Health))
            }
            Event::ProbeFailed { instance, .. } => limited(instance, Notice::CheckFailed),
            Event::Waiting { instance, .. } => limited(instance, Notice::Waiting),
            Event::Stuck { instance, run, .. } => of_run(instance, run),
            // A crash loop causes none of them.
            Event::Rolling(_) => Some(0),
            Event::Configured { plan } if plan.is_empty() => self.pass(DAEMON, Notice::Unchanged),
            Event::Configured { .. }
            | Event::ShutdownBegan { .. }
            | Event::ShutdownOverlaps { .. }
            | Event::ShutdownHurried
            | Event::ShutdownEnded(_) => Some(0),
        }
    }

    fn pass_state(&self, instance: &Instance, from: State, to: State) -> Option<u64> {
        let name = instance.name();
        let past = instance.past().next_back();
        let cause = instance.cause().or_else(|| past.and_then(|past| past.cause.as_ref()));
        let is_down = matches!(from, State::Stopped | State::Exited | State::Fatal);
        let begins = matches!(to, State::Starting | State::Waiting);
        match (to, instance.last_run()) {
            _ if instance.goal() == Goal::Down => Some(0),
            (State::Fatal, _) => self.pass(name, Notice::GaveUp),
            (State::Stopping | State::Stopped, _) if cause.is_some_and(is_asked_for) => Some(0),
            (_, Some(run)) if begins && cause.is_some_and(is_asked_for) => Some(self.say_run(name, run)),
            // A program that was down is started by a command or a reload, with the daemon, or together with another
            // program.
            (_, Some(run)) if begins && is_down && cause != Some(&StopCause::Asked(Asker::RestartWith)) => {
                Some(self.say_run(name, run))
            }
            (State::Starting | State::Running, Some(run)) => self.pass_run(name, run),
            (_, Some(run)) => self.pass_run(name, past.map_or(run, |past| past.run)),
            (_, None) => Some(0),
        }
    }
}

/// Whether a client needs the right to control to end a run for this reason.
fn is_asked_for(cause: &StopCause) -> bool {
    matches!(
        cause,
        StopCause::Asked(
            Asker::Stop(_) | Asker::Restart(_) | Asker::Probe | Asker::Memory | Asker::Reload(_) | Asker::Recycle,
        ) | StopCause::Shutdown
    )
}
