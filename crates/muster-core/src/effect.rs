//! The interface between the core and its shell: inputs, effects and events.
//!
//! Inputs are in the past tense, effects are orders, events are facts. The contract: pass one input, then carry out
//! every effect in order, then wait; never wait in between.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{
    Exit, Hook, InstanceId, InstanceSpec, ProgramSpec, RunEnd, RunId, ScheduleSpec, Selector, ShutdownBudget, Signal,
    SignalScope, SpawnError,
};

use crate::cause::{Principal, ShutdownReason};
use crate::event::Event;
use crate::health::ProbeOutcome;
use crate::leftover::LeftBehind;
use crate::memory::Memory;
use crate::request::{Outcome, RequestId, Verb};
use crate::settings::Settings;
use crate::time::Time;

/// An event the shell reports to the core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The daemon remembers this of instances from an earlier life. It precedes [`Input::Booted`], or the first configuration
    /// if that comes later; what concerns no instance by then is forgotten.
    Remembered {
        /// The memory of each.
        instances: Vec<Memory>,
    },
    /// The daemon is up: start the autostarted programs.
    Booted,
    /// A client sent a command.
    Commanded {
        /// Identifies the reply.
        request: RequestId,
        /// The instances it concerns.
        select: Selector,
        /// The action to take on them.
        verb: Verb,
        /// Whether to reply when it is done, or as soon as it is accepted.
        wait: bool,
        /// The client that sent it.
        by: Principal,
    },
    /// The client no longer waits: reply with the progress so far.
    RequestExpired {
        /// The request. An unknown one has been replied to already.
        request: RequestId,
    },
    /// Shut down. The second time: at once.
    ShutdownAsked {
        /// The reason.
        reason: ShutdownReason,
        /// Replaces the configured budget.
        timeout: Option<ShutdownBudget>,
    },
    /// The program of this run has been executed.
    Spawned {
        /// The run.
        run: RunId,
    },
    /// The run could not be started, and no process of it is left.
    SpawnFailed {
        /// The run.
        run: RunId,
        /// The reason.
        error: SpawnError,
    },
    /// A client has sent something to a socket of an instance that waits for that, or none of its sockets could be opened:
    /// then its start fails and says why. The answer to [`Effect::AwaitContact`].
    Contacted {
        /// The instance.
        instance: InstanceId,
    },
    /// The main process of this run has exited, which is reported next, and a socket of its program has a client that no
    /// process has taken.
    LeftContact {
        /// The run.
        run: RunId,
    },
    /// The main process of this run exited or was killed.
    Exited {
        /// The run.
        run: RunId,
        /// Its exit status or signal.
        exit: Exit,
    },
    /// The kernel has killed a process for lack of memory, probably the main process of this run: its `Exited` follows.
    OutOfMemory {
        /// The run.
        run: RunId,
    },
    /// The PID recorded as this run's main process no longer belongs to it, and no other process replaces it.
    MainLost {
        /// The run.
        run: RunId,
    },
    /// The main process has ended and no process of the tree is left, or of the group that is swept.
    TreeGone {
        /// The run.
        run: RunId,
    },
    /// The answer to [`Effect::NameLeftovers`], if there were any.
    LeftBehind {
        /// The run.
        run: RunId,
        /// The processes left behind.
        left: LeftBehind,
    },
    /// A hook of this run has ended, and no process of its tree is left.
    HookFinished {
        /// The run.
        run: RunId,
        /// The hook.
        hook: Hook,
        /// Its exit, or why it could not be executed.
        end: Result<Exit, SpawnError>,
        /// The last line of its output; empty if there is none.
        said: Box<str>,
    },
    /// The run reported that it is ready.
    Ready {
        /// The run.
        run: RunId,
    },
    /// The run needs more time to become ready, or to stop.
    Extended {
        /// The run.
        run: RunId,
        /// Additional time, from now.
        by: Duration,
    },
    /// A check has finished.
    ProbeFinished {
        /// The run.
        run: RunId,
        /// The check: see [`InstanceSpec::check`].
        probe: usize,
        /// Its result.
        outcome: ProbeOutcome,
    },
    /// A check could not be made, through no fault of the run: it is not counted and is repeated.
    ProbeNotMade {
        /// The run.
        run: RunId,
        /// The check.
        probe: usize,
    },
    /// The daemon was not running for a while (stopped, frozen, suspended, starved): postpone every deadline.
    TimeLost {
        /// How long it was not running.
        by: Duration,
    },
    /// The run sent a watchdog notification.
    WatchdogPinged {
        /// The run.
        run: RunId,
    },
    /// The run triggered its watchdog.
    WatchdogTripped {
        /// The run.
        run: RunId,
    },
    /// The processes of the run had more memory than [`InstanceSpec::memory_max`] allows, for longer than it allows.
    MemoryExceeded {
        /// The run.
        run: RunId,
        /// How much, in words.
        detail: String,
    },
    /// The run set its watchdog interval.
    WatchdogChanged {
        /// The run.
        run: RunId,
        /// The new interval; zero disables the watchdog.
        interval: Duration,
    },
    /// A time of this instance's schedule has come.
    Due {
        /// The instance.
        instance: InstanceId,
        /// How long until the next one; `None` if there is none.
        next_in: Option<Duration>,
    },
    /// Times of this instance's schedule passed without being due: the clock was set, or the daemon did not run.
    DueMissed {
        /// The instance.
        instance: InstanceId,
        /// Their number.
        times: u32,
    },
    /// Files that a program watches have changed, and none has for a while.
    FilesChanged {
        /// The program.
        program: String,
        /// The files, in words.
        file: String,
        /// When the last of the changes was noticed. It does not concern runs that began later.
        at: Time,
    },
    /// The configuration was read again.
    Reloaded {
        /// Identifies the reply, if a client waits for it.
        request: Option<RequestId>,
        /// The client that asked for it, if one did.
        by: Option<Principal>,
        /// All programs of the new configuration.
        #[serde(skip)]
        programs: Vec<Arc<ProgramSpec>>,
        /// The daemon settings that the core uses.
        settings: Settings,
        /// Whether everything is stopped first, and then started as at boot with nothing remembered.
        restarts_all: bool,
    },
}

/// An order to the shell.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Start a process; answer with `Spawned` or `SpawnFailed`.
    Spawn {
        /// The new run.
        run: RunId,
        /// The instance it belongs to.
        instance: InstanceId,
        /// The process to execute.
        #[serde(skip)]
        spec: Arc<InstanceSpec>,
    },
    /// Run a hook in the context of the program, as a process tree of its own; answer with `HookFinished` exactly once,
    /// when no process of the tree is left.
    RunHook {
        /// The run.
        run: RunId,
        /// The instance it belongs to.
        instance: InstanceId,
        /// The hook: see [`muster_spec::Hooks::get`].
        hook: Hook,
        /// The configuration of the hook and its context.
        #[serde(skip)]
        spec: Arc<InstanceSpec>,
        /// The run that has ended, for `post_stop`.
        after: Option<Box<AfterRun>>,
    },
    /// Signal every process of the tree of a hook.
    EndHook {
        /// The run.
        run: RunId,
        /// The hook.
        hook: Hook,
        /// The signal, TERM or KILL.
        signal: Signal,
    },
    /// Watch the sockets of an instance, which are opened if they are not open, without accepting; answer with `Contacted` when
    /// a client has sent something, which may be at once. Each order asks for one answer, and it is void when the instance no longer
    /// waits: see [`Instance::awaits_contact`](crate::Instance::awaits_contact).
    AwaitContact {
        /// The instance.
        instance: InstanceId,
    },
    /// Signal a run whose main process is alive.
    Signal {
        /// The run.
        run: RunId,
        /// The signal.
        signal: Signal,
        /// The processes to signal.
        scope: SignalScope,
    },
    /// Continue stopped (SIGSTOP) processes of a run, so that they can act on the stop signal sent before.
    Wake {
        /// The run.
        run: RunId,
        /// The processes to continue.
        scope: SignalScope,
    },
    /// Signal every process of the tree, whether or not its main process is alive, and continue those that are stopped;
    /// answer with `TreeGone` as soon as the main process has ended or is lost and no process is left, which may be at
    /// once.
    Sweep {
        /// The run.
        run: RunId,
        /// The signal.
        signal: Signal,
    },
    /// The main process has ended: signal what is left of its process group, and continue those processes that are
    /// stopped; answer with `TreeGone` as soon as no process of the group is left, which may be at once. The others of
    /// the tree are kept, as with [`Effect::Disown`]. Without a signal, the group had it already.
    SweepGroup {
        /// The run.
        run: RunId,
        /// The signal.
        signal: Option<Signal>,
    },
    /// The main process has ended or is lost, and so has the run, even if processes of its tree are left. They are kept:
    /// they belong to no run, and no answer follows.
    Disown {
        /// The run.
        run: RunId,
    },
    /// The main process has ended, and an [`Effect::Sweep`] follows that should be reported: answer with `LeftBehind`,
    /// unless no process of the tree is left.
    NameLeftovers {
        /// The run.
        run: RunId,
        /// Whether they are killed now, or get the stop signal.
        killed: bool,
    },
    /// Run a check; answer with `ProbeFinished` or `ProbeNotMade`, exactly once unless the run ends or `StopProbes`
    /// comes before.
    StartProbe {
        /// The run.
        run: RunId,
        /// The instance it belongs to.
        instance: InstanceId,
        /// The check: see [`InstanceSpec::check`].
        probe: usize,
        /// The configuration of the checks.
        #[serde(skip)]
        spec: Arc<InstanceSpec>,
    },
    /// Abandon all checks of this run, and kill the commands they execute.
    StopProbes {
        /// The run.
        run: RunId,
    },
    /// Answer with `Due` at each time of the wall clock that this schedule has from now on, until `Disarm`; replaces an
    /// earlier schedule of the instance. The core itself counts intervals.
    Arm {
        /// The instance.
        instance: InstanceId,
        /// Its schedule.
        schedule: Box<ScheduleSpec>,
    },
    /// The schedule of this instance no longer counts.
    Disarm {
        /// The instance.
        instance: InstanceId,
    },
    /// Signal the processes that belong to no program. Only sent while shutting down.
    SignalStrays {
        /// The signal.
        signal: Signal,
    },
    /// Reply to a request; each gets exactly one reply.
    Reply {
        /// The request.
        request: RequestId,
        /// The reply.
        outcome: Outcome,
    },
    /// Publish an event.
    Publish(Event),
    /// Exit the daemon. Always the last effect.
    Exit {
        /// The container's exit code.
        code: u8,
    },
}

/// A run that has ended, for its `post_stop`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AfterRun {
    /// How it ended.
    pub end: RunEnd,
    /// Why the supervisor ended it, in one word: see [`StopCause::word`](crate::cause::StopCause::word); `itself` if it did not.
    pub cause: &'static str,
    /// Whether no other run follows, as far as is known now.
    pub is_final: bool,
    /// How long it lasted.
    pub uptime: Duration,
}
