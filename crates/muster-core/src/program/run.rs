//! A run of an instance, and the record of one that has ended.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{Hook, InstanceSpec, RunEnd, RunId, Signal};

use super::hooks::RunningHook;
use crate::cause::{Principal, StopCause};
use crate::health::{Checks, Health};
use crate::leftover::LeftBehind;
use crate::restart::Verdict;
use crate::stop::StopPlan;
use crate::time::Time;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Its `pre_start` is running, and it has no process yet.
    Preparing,
    /// Its main process was ordered and has not ended.
    Main,
    /// Its main process has ended, and other processes of its tree may be left.
    Leftovers,
    /// No process of its tree is left, and a hook is running.
    Gone,
}

/// A run, from the order to prepare or spawn it until no process of its tree is left and its hooks have ended. Most instances are
/// in the middle of one, so the parts that only its begin and end have are boxed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) id: RunId,
    /// The configuration its process was spawned with, regardless of later reloads.
    #[serde(skip, default = "crate::blank::no_instance")]
    pub(super) spec: Arc<InstanceSpec>,
    pub(super) began: Time,
    pub(super) is_executed: bool,
    /// When its program was executed, if it was.
    pub(super) executed: Time,
    pub(super) stage: Stage,
    /// The hook that is running.
    pub(super) hook: Option<Box<RunningHook>>,
    /// Whether its `post_start`, if there is one, has been run.
    pub(super) has_come_up: bool,
    /// Whether everything of it must end now: no other hook is run.
    pub(super) is_hurried: bool,
    /// When everything of it must have ended, its hooks included.
    pub(super) end_by: Option<Time>,
    pub(super) failed_hooks: Vec<(Hook, Box<str>)>,
    pub(super) stop: Option<Box<StopPlan>>,
    /// Why the supervisor is ending it.
    pub(super) cause: Option<StopCause>,
    /// The signal that a client had sent to it last.
    pub(super) signalled: Option<Box<(Signal, Principal)>>,
    /// Whether the kernel is known to have killed a process for lack of memory at about the time it ends.
    pub(super) is_out_of_memory: bool,
    /// Whether its readiness rule has been met.
    pub(super) said_ready: bool,
    /// Whether it was ready at the last check, and whether it ever was.
    pub(super) was_ready_now: bool,
    pub(super) was_ready: bool,
    pub(super) health: Health,
    pub(super) checks: Option<Box<Checks>>,
    /// Whether it is to be recycled as soon as that is possible.
    pub(super) is_due: bool,
    /// Its watchdog interval.
    pub(super) watchdog: Option<Duration>,
}

impl Run {
    pub(super) fn begin(id: RunId, spec: Arc<InstanceSpec>, now: Time) -> Run {
        Run {
            id,
            spec,
            began: now,
            is_executed: false,
            executed: now,
            stage: Stage::Preparing,
            hook: None,
            has_come_up: false,
            is_hurried: false,
            end_by: None,
            failed_hooks: Vec::new(),
            stop: None,
            cause: None,
            signalled: None,
            is_out_of_memory: false,
            said_ready: false,
            was_ready_now: false,
            was_ready: false,
            health: Health::Unknown,
            checks: None,
            is_due: false,
            watchdog: None,
        }
    }

    pub(super) fn main_lives(&self) -> bool {
        self.stage == Stage::Main
    }
}

/// A run that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastRun {
    /// The run.
    pub run: RunId,
    /// When it started.
    pub began: Time,
    /// When its main process ended.
    pub ended: Time,
    /// How it ended.
    pub end: RunEnd,
    /// Whether that was a success: an expected exit status, or a requested stop.
    pub success: bool,
    /// Whether it was being stopped when it ended.
    pub was_stopping: bool,
    /// Why the supervisor ended it, if it did.
    pub cause: Option<StopCause>,
    /// The last signal that a client sent to it, and the client.
    pub signalled: Option<(Signal, Principal)>,
    /// The decision about its end, and the rule applied.
    pub verdict: Verdict,
    /// The processes it left behind, if any had to be signalled.
    pub left_behind: Option<Box<LeftBehind>>,
    /// Its hooks that failed, and how.
    pub failed_hooks: Vec<(Hook, Box<str>)>,
}
