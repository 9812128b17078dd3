//! The last inputs of a supervisor, and the state before the first of them: enough to make every decision again.
//!
//! A [`Recorder`] notes each call before it is made. It is bounded by number and size; an input that no longer fits is
//! handed to a supervisor of its own, which is thus always in the state before the first input that is left. A reload is not
//! recorded, since it brings programs with private values: a new recording begins after it.

use std::collections::VecDeque;

use muster_spec::State;
use serde::{Deserialize, Serialize};

use crate::effect::{Effect, Input};
use crate::supervisor::{Checkpoint, Supervisor};
use crate::time::Time;

/// A call to a supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// [`Supervisor::handle_input`].
    Input(Input),
    /// [`Supervisor::handle_deadlines`] with this number of them.
    Deadlines(usize),
}

impl Call {
    /// Makes the call.
    pub fn apply(self, supervisor: &mut Supervisor, now: Time) {
        match self {
            Call::Input(input) => supervisor.handle_input(now, input),
            Call::Deadlines(most) => supervisor.handle_deadlines(now, most),
        }
    }

    /// Its memory outside of itself, in bytes.
    fn heap(&self) -> usize {
        let Call::Input(input) = self else { return 0 };
        match input {
            Input::Commanded { select, .. } => select.patterns().map(|pattern| pattern.len() + 24).sum(),
            Input::SpawnFailed { error, .. } => error.message.len(),
            Input::ProbeFinished { outcome, .. } => outcome.detail.len(),
            Input::MemoryExceeded { detail, .. } => detail.len(),
            Input::FilesChanged { program, file, .. } => program.len() + file.len(),
            Input::LeftBehind { left, .. } => left.named.iter().map(|(name, _)| name.len() + 32).sum(),
            _ => 0,
        }
    }
}

/// A call and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The time passed with it.
    pub at: Time,
    /// The call.
    #[serde(flatten)]
    pub call: Call,
}

/// A supervisor's state, and the calls that followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recording {
    /// The state before the first call.
    pub state: Checkpoint,
    /// The calls.
    pub steps: Vec<Step>,
    /// The state of each instance after the last call, by name.
    pub end: Vec<(String, State)>,
}

/// Keeps the last calls.
#[derive(Clone, Debug)]
pub struct Recorder {
    most: usize,
    /// In the state before the first call; `None` before there is any.
    base: Option<Supervisor>,
    steps: VecDeque<Step>,
    bytes: usize,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder::keeping(Recorder::MOST_STEPS)
    }
}

impl Recorder {
    /// Keeps at most this number of calls.
    pub fn keeping(most: usize) -> Recorder {
        Recorder { most, base: None, steps: VecDeque::new(), bytes: 0 }
    }

    /// The most calls.
    pub const MOST_STEPS: usize = 4096;
    /// The most memory of all calls, in bytes.
    pub const MOST_BYTES: usize = 512 * 1024;

    /// Notes a call that is about to be made.
    pub fn note(&mut self, supervisor: &Supervisor, at: Time, call: &Call) {
        if matches!(call, Call::Input(Input::Reloaded { .. })) {
            return self.forget();
        }
        self.base.get_or_insert_with(|| supervisor.clone());
        let step = Step { at, call: call.clone() };
        self.bytes += size_of_step(&step);
        while self.steps.len() >= self.most || self.bytes > Recorder::MOST_BYTES {
            let Some(step) = self.steps.pop_front() else { break };
            self.bytes -= size_of_step(&step);
            if let Some(base) = &mut self.base {
                let _ = replay(base, step);
            }
        }
        self.steps.push_back(step);
    }

    /// Forgets everything: a new recording begins with the next call.
    pub fn forget(&mut self) {
        *self = Recorder::keeping(self.most);
    }

    /// Whether nothing is recorded, so that there is nothing to forget.
    pub fn is_empty(&self) -> bool {
        self.base.is_none()
    }

    /// The recording so far. `supervisor` has handled all calls.
    pub fn recording(&self, supervisor: &Supervisor) -> Recording {
        let end = supervisor.snapshot().iter().map(|instance| (instance.name().to_owned(), instance.state()));
        Recording {
            state: self.base.as_ref().unwrap_or(supervisor).checkpoint(),
            steps: self.steps.iter().cloned().collect(),
            end: end.collect(),
        }
    }
}

/// Makes a call again, and returns its effects.
pub fn replay(supervisor: &mut Supervisor, step: Step) -> Vec<Effect> {
    step.call.apply(supervisor, step.at);
    std::iter::from_fn(|| supervisor.poll_effect()).collect()
}

fn size_of_step(step: &Step) -> usize {
    size_of::<Step>() + step.call.heap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use muster_spec::RunId;
    use std::time::Duration;

    fn noted(count: u64, input: impl Fn(RunId) -> Input) -> Recorder {
        let supervisor = Supervisor::new(Settings::DEFAULT, &[], 1);
        let mut recorder = Recorder::default();
        for number in 0..count {
            let at = Time::from_origin(Duration::from_secs(number));
            recorder.note(&supervisor, at, &Call::Input(input(RunId(number))));
        }
        recorder
    }

    #[test]
    fn the_last_calls_are_kept_within_both_bounds() {
        let many = noted(10_000, |run| Input::Ready { run });
        assert_eq!(many.steps.len(), Recorder::MOST_STEPS);
        assert_eq!(many.steps.back().expect("it is full").at, Time::from_origin(Duration::from_secs(9999)));
        assert!(many.bytes <= Recorder::MOST_BYTES);
        let detail = "x".repeat(10_000);
        let large = noted(1000, |run| {
            let outcome = crate::ProbeOutcome { success: false, detail: detail.clone() };
            Input::ProbeFinished { run, probe: 0, outcome }
        });
        assert!(large.bytes <= Recorder::MOST_BYTES && large.steps.len() > 40, "{}", large.steps.len());
    }

    #[test]
    fn a_reload_begins_a_new_recording() {
        let mut recorder = noted(3, |run| Input::Ready { run });
        let supervisor = Supervisor::new(Settings::DEFAULT, &[], 1);
        let (programs, settings) = (Vec::new(), Settings::DEFAULT);
        let reload = Input::Reloaded { request: None, by: None, programs, settings, restarts_all: false };
        recorder.note(&supervisor, Time::ZERO, &Call::Input(reload));
        assert!(recorder.is_empty() && recorder.recording(&supervisor).steps.is_empty());
    }

    #[test]
    fn a_step_is_a_line_of_data() {
        let step = Step { at: Time::ZERO, call: Call::Deadlines(32) };
        assert_eq!(serde_json::to_string(&step).expect("it is data"), r#"{"at":{"secs":0,"nanos":0},"deadlines":32}"#);
    }
}
