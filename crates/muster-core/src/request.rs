//! Requests for instances, and when they are complete.
//!
//! A request names instances and a [`Verb`]. For each of them it holds a [`Condition`] until a change of that instance
//! meets it; when none is left the request is replied to, exactly once. Knows nothing of sockets and timeouts: the
//! client's side says when it no longer waits.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use muster_spec::{Goal, InstanceId, RunEnd, RunId, Signal, SignalScope, State};

use crate::plan::ReloadPlan;

/// Identifies a request, assigned by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// An action on the selected instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Start them.
    Start,
    /// Have those that have a schedule start at their times.
    StartLater,
    /// Stop them.
    Stop,
    /// Stop those that run, then start all of them; one after another where the program says so.
    Restart,
    /// The same, one after another.
    Roll {
        /// How many instances of a program at a time.
        parallel: NonZeroU32,
    },
    /// Send a signal to those that run.
    Signal {
        /// The signal.
        signal: Signal,
        /// The processes to signal.
        scope: SignalScope,
    },
    /// Send those that run their configured reload signal, and restart those that have none.
    Reload,
    /// Do nothing, and reply once they meet this condition.
    Await(Awaited),
}

/// A condition that a client can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// RUNNING, or EXITED with success.
    Running,
    /// Ready to serve: RUNNING and, with a readiness rule or probe, ready; or a oneshot that has succeeded.
    Ready,
    /// Its liveness and readiness probes have passed and are not failing; without any, ready.
    Healthy,
    /// EXITED or FATAL: ended by itself and not to be restarted.
    Exited,
    /// Not running, for whatever reason.
    Stopped,
}

impl Awaited {
    /// Whether the condition is that it comes up, rather than that it ends.
    pub fn is_up(self) -> bool {
        matches!(self, Awaited::Running | Awaited::Ready | Awaited::Healthy)
    }
}

/// The reply to a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// This pattern of the selector selects nothing; nothing was done.
    NoSuchProgram(String),
    /// The result for each selected instance, in the order of the table.
    Results(Vec<(InstanceId, Result<Done, Failure>)>),
    /// A new configuration is active; these are its changes.
    Reloaded(Arc<ReloadPlan>),
    /// Nothing was done: the daemon is shutting down.
    ShuttingDown,
}

/// The result of a successful action on an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// It is running now.
    Started,
    /// It was running already.
    AlreadyRunning,
    /// It is no longer running.
    Stopped,
    /// It was not running.
    NotRunning,
    /// It was restarted.
    Restarted,
    /// It was restarted, though not in turn with others as the request wanted: no other instance of its program would have served
    /// meanwhile, or it is restarted together with others.
    RestartedAtOnce,
    /// It starts when a client comes.
    AwaitsContact,
    /// The signal was sent.
    Signalled,
    /// It will start at its times.
    Armed,
    /// The condition it was waited for is met.
    Reached,
}

/// Why a request was not met for an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The new run ended at once, or could not be started.
    Ended(RunEnd),
    /// A later request asked for the opposite.
    Cancelled,
    /// There is no process to signal.
    NotRunning,
    /// It has no schedule.
    NotScheduled,
    /// The daemon is shutting down.
    ShuttingDown,
    /// Accepted and under way.
    Pending,
    /// It is waiting for these conditions.
    Waiting(Vec<String>),
    /// It is waiting for these conditions, which cannot be met without intervention.
    InVain(Vec<String>),
    /// Its rolling restart ended with it, for this reason.
    RollFailed(String),
    /// It keeps its process, since the rolling restart has ended before its turn.
    RollEnded {
        /// The instance with which it ended, and the reason.
        by: String,
    },
}

/// The condition that completes a request for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// A run later than this one has come up, or failed to.
    Up {
        /// The last run that does not count.
        after: Option<RunId>,
        /// The result once it is up.
        done: Done,
    },
    /// It has no run.
    Down,
    /// The condition that a client waits for is met.
    Awaited(Awaited),
    /// Its turn in a rolling restart is over, as [`Requests::decide`] says.
    Rolled,
}

/// A change of an instance, as requests see it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The instance.
    pub instance: InstanceId,
    /// Its state after the change.
    pub state: State,
    /// Its goal after the change.
    pub goal: Goal,
    /// Its latest run.
    pub run: Option<RunId>,
    /// Whether it waits for a client and for nothing else.
    pub awaits_contact: bool,
    /// Whether any process of it was left.
    pub is_live: bool,
    /// Whether it was ready: see [`Awaited::Ready`].
    pub is_ready: bool,
    /// Whether it was healthy: see [`Awaited::Healthy`].
    pub is_healthy: bool,
    /// How its latest run ended, and whether that was a success.
    pub last_end: Option<(RunEnd, bool)>,
}

impl Condition {
    /// The result of the condition after this change; `None` if it is still pending.
    pub fn judge(self, change: &Change) -> Option<Result<Done, Failure>> {
        match self {
            Condition::Up { .. } | Condition::Rolled if change.goal == Goal::Down => Some(Err(Failure::Cancelled)),
            Condition::Up { .. } if change.awaits_contact => Some(Ok(Done::AwaitsContact)),
            Condition::Up { after, .. } if change.run <= after => None,
            Condition::Up { done, .. } => judge_up(done, change),
            Condition::Down if !change.is_live => Some(Ok(Done::Stopped)),
            // It was started again before it could be stopped.
            Condition::Down if change.goal == Goal::Up && matches!(change.state, State::Starting | State::Running) => {
                Some(Err(Failure::Cancelled))
            }
            Condition::Down => None,
            Condition::Awaited(awaited) => judge_awaited(awaited, change),
            Condition::Rolled => None,
        }
    }
}

fn judge_up(done: Done, change: &Change) -> Option<Result<Done, Failure>> {
    match change.state {
        State::Running => Some(Ok(done)),
        State::Backoff | State::Fatal | State::Exited => match &change.last_end {
            // A oneshot that has done its work. A quick end after which the policy restarts, even with an expected exit
            // status, does not count as up.
            Some((_, true)) if change.state == State::Exited => Some(Ok(done)),
            Some((end, _)) => Some(Err(Failure::Ended(end.clone()))),
            None => None,
        },
        State::Stopped | State::Waiting | State::Starting | State::Stopping => None,
    }
}

fn judge_awaited(awaited: Awaited, change: &Change) -> Option<Result<Done, Failure>> {
    // A oneshot that has done its work; `status` and `health` agree.
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
        // Both are final: the condition could only be met after a command that may never come.
        (false, _, State::Exited | State::Fatal, Some((end, _))) => Some(Err(Failure::Ended(end.clone()))),
        _ => None,
    }
}

/// A pending request.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Request {
    pending: BTreeMap<InstanceId, Condition>,
    results: BTreeMap<InstanceId, Result<Done, Failure>>,
}

impl Request {
    fn settle(&mut self, instance: InstanceId, result: Result<Done, Failure>) {
        self.pending.remove(&instance);
        self.results.insert(instance, result);
    }

    /// Whether the request is complete: all results are known, or an instance that is only waited for has failed, and
    /// with it the whole request.
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

/// All pending requests.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Requests {
    requests: BTreeMap<RequestId, Request>,
    waiting: BTreeMap<InstanceId, Vec<RequestId>>,
}

/// A completed request with its reply.
pub type Finished = (RequestId, Outcome);

impl Requests {
    /// Adds a request with the results known already, and returns it if that completes it.
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

    /// Checks a change against every request that waits for this instance.
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

    /// Ends a request as it stands, with this failure for each pending instance. `None` if it has been replied to.
    pub fn expire(&mut self, id: RequestId, why: impl Fn(InstanceId) -> Failure) -> Option<Finished> {
        let request = self.requests.remove(&id)?;
        for &instance in request.pending.keys() {
            self.forget(instance, id);
        }
        Some((id, request.give_up(why)))
    }

    /// Settles an instance of a rolling restart. An instance that is settled already keeps its result.
    pub fn decide(&mut self, id: RequestId, instance: InstanceId, result: Result<Done, Failure>) -> Option<Finished> {
        let request = self.requests.get_mut(&id)?;
        if request.pending.get(&instance) != Some(&Condition::Rolled) {
            return None;
        }
        request.settle(instance, result);
        self.forget(instance, id);
        self.take_if_complete(id)
    }

    /// Whether no request is pending.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Fails the starts of an instance that cannot come up without intervention.
    pub fn fail_start(&mut self, instance: InstanceId, why: &Failure) -> Vec<Finished> {
        let is_start = |condition: Condition| matches!(condition, Condition::Up { .. });
        self.fail(instance, is_start, why)
    }

    /// Fails the waits for an instance that cannot come up without intervention.
    pub fn fail_watch(&mut self, instance: InstanceId, why: &Failure) -> Vec<Finished> {
        let is_up = |condition: Condition| matches!(condition, Condition::Awaited(awaited) if awaited.is_up());
        self.fail(instance, is_up, why)
    }

    /// Ends the requests for an instance that is no longer configured.
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

    /// The instances that a pending request waits for.
    pub fn pending(&self, id: RequestId) -> impl Iterator<Item = InstanceId> {
        self.requests.get(&id).into_iter().flat_map(|request| request.pending.keys().copied())
    }

    /// Ends every request as it stands: whatever is pending will not be done.
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
