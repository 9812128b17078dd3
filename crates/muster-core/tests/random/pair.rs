//! A supervisor, and now and then another that was made from a recording of it and must decide the same from there on.
//!
//! That is slow, so only one story in sixteen has the other. A reload ends its part: its programs are reduced to what the rules
//! depend on, so each of them would count as changed.

use muster_core::recording::{Call, Recorder, Recording, replay};
use muster_core::{Effect, Input, Supervisor, Time};
use muster_spec::State;

/// Calls from one recording to the next.
const AFTER: u64 = 40;

/// Calls in a recording: older ones have been dropped.
const KEPT: usize = 25;

pub struct Pair {
    pub one: Supervisor,
    recorder: Recorder,
    other: Option<Supervisor>,
    is_told: bool,
    calls: u64,
}

impl Pair {
    pub fn new(one: Supervisor, seed: u64) -> Pair {
        let recorder = Recorder::keeping(KEPT);
        Pair { one, recorder, other: None, is_told: seed.is_multiple_of(16), calls: 0 }
    }

    pub fn handle_input(&mut self, now: Time, input: Input) {
        self.call(now, Call::Input(input));
    }

    pub fn handle_timeout(&mut self, now: Time) {
        self.call(now, Call::Deadlines(usize::MAX));
    }

    fn call(&mut self, now: Time, call: Call) {
        self.calls += 1;
        if self.is_told {
            if self.calls % AFTER == 1 {
                self.other = Some(played(&self.recorder.recording(&self.one)));
            }
            self.recorder.note(&self.one, now, &call);
        }
        if matches!(call, Call::Input(Input::Reloaded { .. })) {
            self.other = None;
        }
        if let Some(other) = &mut self.other {
            call.clone().apply(other, now);
        }
        call.apply(&mut self.one, now);
    }

    /// The next effect, or how the two differ.
    pub fn poll_effect(&mut self) -> Result<Option<Effect>, String> {
        let effect = self.one.poll_effect();
        if let Some(other) = &mut self.other {
            let [one, other] = [&effect, &other.poll_effect()].map(|it| serde_json::to_string(it).expect("it is data"));
            if one != other {
                return Err(format!("after call {} the other decides {other}, not {one}", self.calls));
            }
        }
        Ok(effect)
    }
}

fn played(recording: &Recording) -> Supervisor {
    let text = serde_json::to_string(recording).expect("it is data");
    let Recording { state, steps, end } = serde_json::from_str(&text).expect("it was written a line above");
    let mut supervisor = state.restore().expect("it is complete");
    for step in steps {
        replay(&mut supervisor, step);
    }
    let states = supervisor.snapshot().iter().map(|it| (it.name().to_owned(), it.state()));
    assert_eq!(states.collect::<Vec<(String, State)>>(), end);
    supervisor
}
