//! Every input and effect of the core, for people who look into the daemon: the recording, and traces that clients follow.
//!
//! Only while `[http] debug` is on; otherwise it keeps nothing and costs the question whether it is. The event loop tells it
//! of each call and effect, in order. It never acts, and a trace that is not read loses lines instead of growing.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use muster_api::Timestamp;
use muster_core::recording::{Call, Recorder, Recording};
use muster_core::{Effect, Supervisor, Time};
use muster_spec::{InstanceId, RunId};
use serde_json::{Value, json};

use crate::clock::Clock;

/// The most text that waits for the client of a trace, in bytes.
const MOST_WAITING: usize = 1024 * 1024;

/// The number of calls that are kept for having taken longest.
const SLOWEST: usize = 10;

/// The recording and the traces.
#[derive(Default)]
pub(crate) struct Inspection {
    recorder: RefCell<Recorder>,
    /// The call whose effects are being carried out.
    current: RefCell<Option<(Time, Call)>>,
    /// The calls that took longest, together with their effects, the longest first.
    slowest: RefCell<Vec<(Duration, Time, Call)>>,
    traces: RefCell<Vec<Weak<Trace>>>,
}

/// Lines for one client.
#[derive(Default)]
pub(crate) struct Trace {
    text: RefCell<Vec<u8>>,
    /// The number of lines since the last one for which there was no room.
    missed: Cell<u64>,
    is_over: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Inspection {
    /// Notes a call to the core that is about to be made.
    pub(crate) fn note_call(&self, clock: Clock, now: Time, call: &Call, supervisor: &Supervisor) {
        self.recorder.borrow_mut().note(supervisor, now, call);
        self.note_done(now);
        *self.current.borrow_mut() = Some((now, call.clone()));
        if self.is_traced() {
            self.put(&line(clock, now, json!(call), supervisor));
        }
    }

    /// Notes an effect that is about to be carried out.
    pub(crate) fn note_effect(&self, clock: Clock, effect: &Effect, supervisor: &Supervisor) {
        if self.is_traced() {
            self.put(&line(clock, clock.now(), json!({ "effect": effect }), supervisor));
        }
    }

    /// Notes that the effects of the last call have been carried out.
    pub(crate) fn note_done(&self, now: Time) {
        let Some((began, call)) = self.current.take() else { return };
        let (took, mut slowest) = (now.since(began), self.slowest.borrow_mut());
        let place = slowest.partition_point(|(known, ..)| *known >= took);
        if place < SLOWEST {
            slowest.insert(place, (took, began, call));
            slowest.truncate(SLOWEST);
        }
    }

    /// The calls that took longest: how long, when, and which.
    pub(crate) fn slowest(&self) -> Vec<Value> {
        let shown = |(took, at, call): &(Duration, Time, Call)| {
            let mut value = json!(call);
            value["took"] = json!(took.as_secs_f64());
            value["at"] = json!(at.since_origin().as_secs_f64());
            value
        };
        self.slowest.borrow().iter().map(shown).collect()
    }

    /// Forgets everything and ends every trace.
    pub(crate) fn stop(&self) {
        self.current.take();
        self.slowest.take();
        if !self.recorder.borrow().is_empty() {
            self.recorder.borrow_mut().forget();
        }
        for trace in self.traces.take().iter().filter_map(Weak::upgrade) {
            trace.is_over.set(true);
            trace.wake();
        }
    }

    /// The recording so far.
    pub(crate) fn recording(&self, supervisor: &Supervisor) -> Recording {
        self.recorder.borrow().recording(supervisor)
    }

    /// Whether a client follows.
    fn is_traced(&self) -> bool {
        !self.traces.borrow().is_empty()
    }

    /// Begins a trace, which lasts as long as the client keeps it.
    pub(crate) fn trace(&self) -> Rc<Trace> {
        let trace = Rc::new(Trace::default());
        self.traces.borrow_mut().push(Rc::downgrade(&trace));
        trace
    }

    fn put(&self, line: &Value) {
        let line = format!("{line}\n");
        self.traces.borrow_mut().retain(|trace| trace.upgrade().inspect(|trace| trace.put(&line)).is_some());
    }
}

impl Trace {
    fn put(&self, line: &str) {
        let mut text = self.text.borrow_mut();
        if text.len() + line.len() > MOST_WAITING {
            return self.missed.set(self.missed.get() + 1);
        }
        if self.missed.get() > 0 {
            text.extend_from_slice(format!("{}\n", json!({ "missed": self.missed.take() })).as_bytes());
        }
        text.extend_from_slice(line.as_bytes());
        drop(text);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The lines since the last call; `None` when it is over.
    pub(crate) fn poll_lines(&self, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        let text = self.text.take();
        if !text.is_empty() {
            return Poll::Ready(Some(text));
        }
        if self.is_over.get() {
            return Poll::Ready(None);
        }
        *self.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

/// A line of a trace: when, which instance, and the call or effect.
fn line(clock: Clock, at: Time, mut value: Value, supervisor: &Supervisor) -> Value {
    let name = value.as_object().and_then(|it| it.values().next()).and_then(|it| name_in(it, supervisor));
    value["at"] = json!(at.since_origin().as_secs_f64());
    value["time"] = json!(Timestamp::from(clock.date(at)));
    if let Some(name) = name {
        value["name"] = json!(name);
    }
    value
}

/// The name of the instance that an input, effect or event is about, by its number or its run.
fn name_in(value: &Value, supervisor: &Supervisor) -> Option<String> {
    let fields = value.as_object()?.values().next()?;
    let instance = fields["instance"].as_u64().and_then(|id| supervisor.get(InstanceId(u32::try_from(id).ok()?)));
    let of_run = || supervisor.instance_of(RunId(fields["run"].as_u64()?));
    instance.or_else(of_run).map(|instance| instance.name().to_owned()).or_else(|| name_in(fields, supervisor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_is_not_read_loses_lines_and_says_how_many() {
        let inspection = Inspection::default();
        let trace = inspection.trace();
        let line = json!({ "input": "x".repeat(1000) });
        (0..2000).for_each(|_| inspection.put(&line));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(text)) = trace.poll_lines(&mut context) else { panic!("there is text") };
        assert!(text.len() <= MOST_WAITING);
        inspection.put(&line);
        let Poll::Ready(Some(rest)) = trace.poll_lines(&mut context) else { panic!("there is more") };
        let kept = text.split(|&byte| byte == b'\n').count() - 1;
        assert!(rest.starts_with(format!("{{\"missed\":{}}}\n", 2000 - kept).as_bytes()));
        inspection.stop();
        assert!(matches!(trace.poll_lines(&mut context), Poll::Ready(None)));
    }

    #[test]
    fn the_calls_that_took_longest_are_kept_in_order() {
        let inspection = Inspection::default();
        let at = |ms: u64| Time::from_origin(Duration::from_millis(ms));
        let supervisor = Supervisor::new(muster_core::Settings::DEFAULT, &[], 1);
        // Each takes until the next one begins: 1 ms, 2 ms and so on.
        for number in 0..20 {
            inspection.note_call(
                Clock::start(),
                at(number * (number + 1) / 2),
                &Call::Deadlines(number as usize),
                &supervisor,
            );
        }
        let slowest = inspection.slowest();
        let numbers: Vec<u64> = slowest.iter().filter_map(|one| one["deadlines"].as_u64()).collect();
        assert_eq!(numbers, [18, 17, 16, 15, 14, 13, 12, 11, 10, 9]);
        assert_eq!(slowest[0]["took"], 0.019);
    }

    #[test]
    fn nothing_is_kept_for_a_client_that_is_gone() {
        let inspection = Inspection::default();
        drop(inspection.trace());
        inspection.put(&json!({}));
        assert!(!inspection.is_traced());
    }
}
