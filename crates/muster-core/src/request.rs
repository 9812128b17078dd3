//! What somebody asks of instances, and when it has been done.
//!
//! A request names instances and a [`Verb`]. For each of them it holds a [`Condition`] until a change of that instance
//! meets it; when none is left the request is replied to, exactly once. Knows nothing of sockets and patience: whoever
//! asked says when it no longer waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_spec::{Goal, InstanceId, RunEnd, RunId, Signal, SignalScope, State};

use crate::plan::Plan;

/// Which request, in the shell's numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What to do with the chosen instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Make them run.
    Start,
    /// Make them not run.
    Stop,
    /// Stop those that run, then start all.
    Restart,
    /// Send a signal to those that run.
    Signal {
        /// Which.
        signal: Signal,
        /// To whom of them.
        scope: SignalScope,
    },
    /// Send those that run their own signal for reading their configuration, and restart those that have none.
    Reload,
    /// Do nothing, and reply when they have come there.
    Await(Awaited),
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// RUNNING, or EXITED with success.
    Running,
    /// Able to serve: RUNNING and, where it says so, ready; a oneshot that has ended well.
    Ready,
    /// Its liveness and readiness probes have passed and do not fail; without any, ready.
    Healthy,
    /// EXITED or FATAL: ended for good by itself.
    Exited,
    /// Not running, for whatever reason.
    Stopped,
}

impl Awaited {
    /// Whether it is waited to come up, and not to end.
    pub fn is_up(self) -> bool {
        matches!(self, Awaited::Running | Awaited::Ready | Awaited::Healthy)
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// This part of the selection chooses nothing; nothing was done.
    NoSuchProgram(String),
    /// What became of each chosen instance, in the order of the table.
    Results(Vec<(InstanceId, Result<Done, Failure>)>),
    /// Another configuration is in force, and this is what it changed.
    Reloaded(Arc<Plan>),
    /// Nothing was done: the daemon is stopping everything.
    ShuttingDown,
}

/// What was done with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It runs now.
    Started,
    /// It ran already.
    AlreadyRunning,
    /// It runs no more.
    Stopped,
    /// It did not run.
    NotRunning,
    /// It runs again.
    Restarted,
    /// The signal was sent.
    Signalled,
    /// It has come there.
    Reached,
}

/// Why it was not done.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The new run ended at once, or never began.
    Ended(RunEnd),
    /// Somebody asked for the opposite meanwhile.
    Cancelled,
    /// There is nothing to signal.
    NotRunning,
    /// The daemon is stopping everything.
    ShuttingDown,
    /// Accepted and under way.
    Pending,
    /// It waits, and this is for what.
    Waiting(Vec<String>),
    /// It waits for this, which will not come by itself.
    InVain(Vec<String>),
}

/// What an instance must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A run later than this one has come up, or failed to.
    Up {
        /// The last run that does not count.
        after: Option<RunId>,
        /// What to say when it is up.
        done: Done,
    },
    /// Nothing of it runs.
    Down,
    /// It has come there.
    Awaited(Awaited),
}

/// A change of an instance, as requests see it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which instance.
    pub instance: InstanceId,
    /// Its state after the change.
    pub state: State,
    /// Its goal at that time.
    pub goal: Goal,
    /// Its latest run.
    pub run: Option<RunId>,
    /// Whether anything of it was left.
    pub is_live: bool,
    /// Whether it could serve: see [`Awaited::Ready`].
    pub is_ready: bool,
    /// Whether it was well: see [`Awaited::Healthy`].
    pub is_healthy: bool,
    /// How its latest run ended, and whether that was a success.
    pub last_end: Option<(RunEnd, bool)>,
}

impl Condition {
    /// What this change says of the condition; `None` is "not yet".
    pub fn judge(self, change: &Change) -> Option<Result<Done, Failure>> {
        match self {
            Condition::Up { .. } if change.goal == Goal::Down => Some(Err(Failure::Cancelled)),
            Condition::Up { after, .. } if change.run <= after => None,
            Condition::Up { done, .. } => judge_up(done, change),
            Condition::Down if !change.is_live => Some(Ok(Done::Stopped)),
            // Somebody started it before its turn to be stopped had come.
            Condition::Down if change.goal == Goal::Up && matches!(change.state, State::Starting | State::Running) => {
                Some(Err(Failure::Cancelled))
            }
            Condition::Down => None,
            Condition::Awaited(awaited) => judge_awaited(awaited, change),
        }
    }
}

fn judge_up(done: Done, change: &Change) -> Option<Result<Done, Failure>> {
    match change.state {
        State::Running => Some(Ok(done)),
        State::Backoff | State::Fatal | State::Exited => match &change.last_end {
            // It has done what it was started for. A quick end that the policy does not take for the last one, and be
            // it with an expected exit status, is none of that: it is not up.
            Some((_, true)) if change.state == State::Exited => Some(Ok(done)),
            Some((end, _)) => Some(Err(Failure::Ended(end.clone()))),
            None => None,
        },
        State::Stopped | State::Waiting | State::Starting | State::Stopping => None,
    }
}

fn judge_awaited(awaited: Awaited, change: &Change) -> Option<Result<Done, Failure>> {
    // It has done what it was there for, as `status` and `health` see it too.
    let has_done_it = change.state == State::Exited && matches!(change.last_end, Some((_, true)));
    let reached = match awaited {
        Awaited::Running => change.state == State::Running || has_done_it,
        Awaited::Ready => change.is_ready,
        Awaited::Healthy => change.is_healthy,
        Awaited::Exited => matches!(change.state, State::Exited | State::Fatal),
        Awaited::Stopped => change.state.is_final() && !change.is_live,
    };
    match (reached, awaited, change.state, &change.last_end) {
        (true, ..) => Some(Ok(Done::Reached)),
        (false, Awaited::Exited | Awaited::Stopped, ..) => None,
        // Both are final: who waits for it to run would wait for a command that may never come.
        (false, _, State::Exited | State::Fatal, Some((end, _))) => Some(Err(Failure::Ended(end.clone()))),
        _ => None,
    }
}

/// A request under way.
#[derive(Clone, Debug)]
struct Request {
    pending: BTreeMap<InstanceId, Condition>,
    results: BTreeMap<InstanceId, Result<Done, Failure>>,
}

impl Request {
    fn settle(&mut self, instance: InstanceId, result: Result<Done, Failure>) {
        self.pending.remove(&instance);
        self.results.insert(instance, result);
    }

    /// Whether nothing more is to be waited for: everything is known, or one of those that are only watched has failed, and
    /// so has the whole.
    fn is_over(&self) -> bool {
        let is_watched = |condition: &Condition| matches!(condition, Condition::Awaited(_));
        self.pending.is_empty() || self.results.values().any(Result::is_err) && self.pending.values().all(is_watched)
    }

    fn give_up(mut self, why: impl Fn(InstanceId) -> Failure) -> Outcome {
        let missed = self.pending.into_keys().map(|instance| (instance, Err(why(instance))));
        self.results.extend(missed);
        outcome(self.results)
    }
}

/// All requests under way.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    requests: BTreeMap<RequestId, Request>,
    waiting: BTreeMap<InstanceId, Vec<RequestId>>,
}

/// A request that has had its last answer.
pub type Finished = (RequestId, Outcome);

impl Requests {
    /// Takes a request in with what is known of each instance already, and gives it back if that is everything.
    pub fn begin(
        &mut self,
        id: RequestId,
        pending: BTreeMap<InstanceId, Condition>,
        results: BTreeMap<InstanceId, Result<Done, Failure>>,
    ) -> Option<Finished> {
        let request = Request { pending, results };
        if request.is_over() {
            return Some((id, request.give_up(|_| Failure::Pending)));
        }
        for &instance in request.pending.keys() {
            self.waiting.entry(instance).or_default().push(id);
        }
        self.requests.insert(id, request);
        None
    }

    /// Holds a change against every request that waits for this instance.
    pub fn observe(&mut self, change: &Change) -> Vec<Finished> {
        let Some(interested) = self.waiting.remove(&change.instance) else { return Vec::new() };
        let (met, unmet): (Vec<_>, Vec<_>) = interested.into_iter().partition(|&id| self.is_met(id, change));
        if !unmet.is_empty() {
            self.waiting.insert(change.instance, unmet);
        }
        met.into_iter().filter_map(|id| self.take_if_complete(id)).collect()
    }

    fn is_met(&mut self, id: RequestId, change: &Change) -> bool {
        let Some(request) = self.requests.get_mut(&id) else { return true };
        let Some(condition) = request.pending.get(&change.instance) else { return true };
        let Some(result) = condition.judge(change) else { return false };
        request.settle(change.instance, result);
        true
    }

    fn take_if_complete(&mut self, id: RequestId) -> Option<Finished> {
        if self.requests.get(&id).is_some_and(Request::is_over) { self.expire(id, |_| Failure::Pending) } else { None }
    }

    /// Ends a request as it stands, and says of each instance why. `None` where it has been replied to.
    pub fn expire(&mut self, id: RequestId, why: impl Fn(InstanceId) -> Failure) -> Option<Finished> {
        let request = self.requests.remove(&id)?;
        for &instance in request.pending.keys() {
            self.forget(instance, id);
        }
        Some((id, request.give_up(why)))
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// An instance that was to come up will not do so by itself.
    pub fn fail_start(&mut self, instance: InstanceId, why: &Failure) -> Vec<Finished> {
        let is_start = |condition: Condition| matches!(condition, Condition::Up { .. });
        self.fail(instance, is_start, why)
    }

    /// An instance that is watched until it is up will not come up by itself.
    pub fn fail_watch(&mut self, instance: InstanceId, why: &Failure) -> Vec<Finished> {
        let is_up = |condition: Condition| matches!(condition, Condition::Awaited(awaited) if awaited.is_up());
        self.fail(instance, is_up, why)
    }

    /// An instance is configured no more, and nothing will come of what is asked of it.
    pub fn forget_instance(&mut self, instance: InstanceId) -> Vec<Finished> {
        self.fail(instance, |_| true, &Failure::Cancelled)
    }

    fn fail(&mut self, instance: InstanceId, concerns: impl Fn(Condition) -> bool, why: &Failure) -> Vec<Finished> {
        let interested = self.waiting.get(&instance).cloned().unwrap_or_default();
        let mut finished = Vec::new();
        for id in interested {
            let Some(request) = self.requests.get_mut(&id) else { continue };
            if request.pending.get(&instance).is_some_and(|&condition| concerns(condition)) {
                request.settle(instance, Err(why.clone()));
                self.forget(instance, id);
                finished.extend(self.take_if_complete(id));
            }
        }
        finished
    }

    /// Whom a request under way waits for.
    pub fn pending(&self, id: RequestId) -> impl Iterator<Item = InstanceId> {
        self.requests.get(&id).into_iter().flat_map(|request| request.pending.keys().copied())
    }

    /// Ends every request as it stands: nothing will come of what is pending.
    pub fn end_all(&mut self) -> Vec<Finished> {
        self.waiting.clear();
        let requests = std::mem::take(&mut self.requests).into_iter();
        requests.map(|(id, request)| (id, request.give_up(|_| Failure::ShuttingDown))).collect()
    }

    fn forget(&mut self, instance: InstanceId, id: RequestId) {
        if let Some(waiting) = self.waiting.get_mut(&instance) {
            waiting.retain(|&other| other != id);
            if waiting.is_empty() {
                self.waiting.remove(&instance);
            }
        }
    }
}

fn outcome(results: BTreeMap<InstanceId, Result<Done, Failure>>) -> Outcome {
    Outcome::Results(results.into_iter().collect())
}
