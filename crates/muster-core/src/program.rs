//! One instance of a program: its goal, its state, its run, and every transition between states.
//!
//! Read this first. The supervisor passes each input to the instance it concerns; the instance changes its state in
//! [`Instance::enter`], the only writer, and emits effects through a [`Turn`]. It knows nothing of other instances: the
//! supervisor decides when it is to be stopped, and whether its start must be held back.
//!
//! # States and inputs
//!
//! Each cell says which state the instance enters and what the shell is ordered to do: `-` is neither, and `n/a` cannot
//! happen. *spawn*: start a run. *signal*: send the stop signal to the main process or its group. *sweep*: send the
//! stop signal to every process of the run's tree. *kill*: send SIGKILL to every process of the tree. *disown*: the run
//! is over, whatever is left of its tree. With `stop_kill`, sweep and kill go to the main process or its group. In every
//! state, start and restart raise the goal, and stop and shutdown lower it. When several programs stop one after another, the
//! goal is lowered at once, and the cells of stop and shutdown apply when the instance's turn has come.
//! `tests/stories/table.rs` checks every cell.
//!
//! The instance has no run:
//!
//! | input                  | STOPPED         | EXITED          | FATAL           | WAITING         | BACKOFF         |
//! |------------------------|-----------------|-----------------|-----------------|-----------------|-----------------|
//! | start, restart         | STARTING, spawn | STARTING, spawn | STARTING, spawn | -               | STARTING, spawn |
//! | start while unmet      | WAITING         | WAITING         | WAITING         | -               | WAITING         |
//! | dependency met         | -               | -               | -               | STARTING, spawn | -               |
//! | delay over             | -               | -               | -               | -               | STARTING, spawn |
//! | delay over while unmet | -               | -               | -               | -               | WAITING         |
//! | stop, shutdown         | -               | -               | -               | STOPPED         | STOPPED         |
//! | message of an old run  | -               | -               | -               | -               | -               |
//!
//! The main process of its run is alive. The deadlines: a program must be executed within [`EXEC_DEADLINE`], is up
//! after `startsecs`, must report that it is ready within `start_timeout`, and must exit within its patience after the
//! stop signal:
//!
//! | input                                    | STARTING         | STARTING, executed | RUNNING          | STOPPING        |
//! |------------------------------------------|------------------|--------------------|------------------|-----------------|
//! | start                                    | -                | -                  | -                | -               |
//! | stop, restart, shutdown                  | STOPPING, signal | STOPPING, signal   | STOPPING, signal | -               |
//! | second shutdown                          | STOPPING, kill   | STOPPING, kill     | STOPPING, kill   | kill            |
//! | `Spawned`                                | -                | -                  | -                | -               |
//! | `Spawned`, `startsecs = 0`               | RUNNING          | n/a                | -                | -               |
//! | `Ready`, `ready` is configured           | -                | RUNNING            | -                | -               |
//! | deadline                                 | kill             | RUNNING            | -                | kill            |
//! | deadline, not ready                      | kill             | signal             | -                | kill            |
//! | probe failed too often                   | -                | signal             | signal           | -               |
//! | `WatchdogTripped`                        | signal           | signal             | signal           | -               |
//! | `SpawnFailed`                            | BACKOFF          | n/a                | n/a              | STOPPED         |
//! | `Exited`, expected                       | EXITED, sweep    | EXITED, sweep      | EXITED, sweep    | sweep           |
//! | `Exited`, failure                        | BACKOFF, sweep   | BACKOFF, sweep     | BACKOFF, sweep   | sweep           |
//! | `Exited`, no retry left                  | FATAL, sweep     | FATAL, sweep       | FATAL, sweep     | sweep           |
//! | `Exited`, goal down                      | STOPPING, sweep  | STOPPING, sweep    | STOPPING, sweep  | sweep           |
//! | `Exited`, `leftovers = "keep"`           | BACKOFF, disown  | BACKOFF, disown    | BACKOFF, disown  | sweep           |
//! | `Exited`, `stop_kill = "group"`          | BACKOFF, sweep   | BACKOFF, sweep     | BACKOFF, sweep   | sweep           |
//! | `Exited`, `stop_kill = "main"`           | BACKOFF, sweep   | BACKOFF, sweep     | BACKOFF, sweep   | STOPPED, disown |
//! | `MainLost`                               | BACKOFF, sweep   | BACKOFF, sweep     | BACKOFF, sweep   | sweep           |
//! | `TreeGone`                               | -                | -                  | -                | -               |
//! | `Extended`, `TimeLost`, `WatchdogPinged` | -                | -                  | -                | -               |
//!
//! The main process has ended, and other processes of the run's tree are alive:
//!
//! | input                  | WAITING         | BACKOFF         | STOPPING | STOPPING, goal up | EXITED  | FATAL   |
//! |------------------------|-----------------|-----------------|----------|-------------------|---------|---------|
//! | start, restart         | -               | WAITING         | -        | -                 | WAITING | WAITING |
//! | stop, shutdown         | STOPPING        | STOPPING        | -        | -                 | -       | -       |
//! | second shutdown        | n/a             | n/a             | kill     | kill              | kill    | kill    |
//! | delay over             | -               | -               | -        | -                 | -       | -       |
//! | patience over          | kill            | kill            | kill     | kill              | kill    | kill    |
//! | `LeftBehind`           | -               | -               | -        | -                 | -       | -       |
//! | `TreeGone`             | STARTING, spawn | -               | STOPPED  | STARTING, spawn   | -       | -       |
//! | `TreeGone`, delay over | STARTING, spawn | STARTING, spawn | STOPPED  | STARTING, spawn   | -       | -       |
//!
//! A run that has lasted `max_runtime` is treated like one whose probe failed too often. A rule of `on_exit` about an end decides
//! between BACKOFF, EXITED and FATAL instead of the policy; with `restart-all` BACKOFF becomes WAITING at once.
//!
//! With hooks ([`hooks`]) a run has more phases, and the cells above apply when a phase is over. A second shutdown kills
//! the hook of any phase.
//!
//! - `pre_start`, in STARTING without a main process, delays the spawn. A stop ends it, in STOPPING.
//! - `post_start`, in STARTING once the run is ready and has lasted, delays RUNNING. A stop ends it, in STOPPING.
//! - `pre_stop`, in STOPPING or where a run fails, delays the stop signal until its timeout.
//! - `post_stop`, after `TreeGone`, delays STOPPED and the next spawn. The state is entered before it.
//!
//! A program with a schedule ([`schedule`]) is WAITING for its time instead of being spawned by the start of the daemon.
//! `start_delay` ([`start_delay`]) and `max_parallel_starts` ([`queue`]) also have a start wait in WAITING.
//! With `start_on = "connection"` ([`contact`]) a start also waits, in WAITING, for a client, and an exit with success leads
//! there instead of EXITED or BACKOFF. A delay that is over starts the next run at once, as above.

mod begin;
mod checks;
mod configure;
mod contact;
mod ending;
mod hooks;
mod life;
mod memory;
mod queue;
mod run;
mod schedule;
mod start_delay;
mod stopping;
mod view;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{Exit, Goal, InstanceId, InstanceSpec, Kind, ProgramSpec, RunEnd, RunId, SpawnError, State};

use crate::batch::BatchId;
use crate::cause::StopCause;
use crate::effect::Effect;
use crate::event::Event;
use crate::random::Random;
use crate::request::Change;
use crate::restart::Tally;
use crate::time::Time;
use crate::timers::{Slot, Timers};

use queue::Queued;
use run::{Run, Stage};
use schedule::Job;
use start_delay::{StartDelay, Waits};

pub(crate) use ending::FinalEnd;
pub use run::PastRun;
pub(crate) use schedule::Start;

/// How long a new process may take to execute its program before it is considered hung and is killed: a working
/// directory or a program on a dead network file system blocks forever. There is no upstream default; systemd's
/// DefaultTimeoutStartSec=90s is of the same order of magnitude.
pub const EXEC_DEADLINE: Duration = Duration::from_secs(60);

/// Number of past runs kept per instance.
pub const HISTORY: usize = 20;

/// The context of one input: where an instance puts its effects.
pub(crate) struct Turn<'a> {
    pub(crate) now: Time,
    pub(crate) effects: &'a mut VecDeque<Effect>,
    pub(crate) changes: &'a mut VecDeque<Change>,
    pub(crate) next_run: &'a mut u64,
    /// When a rule of `on_exit` restarted all programs last.
    pub(crate) all_restarted: Option<Time>,
    /// Whether its program has a dependency that does not hold.
    pub(crate) is_blocked: bool,
    /// Whether one more instance may be STARTING.
    pub(crate) has_room: bool,
    pub(crate) random: &'a mut Random,
}

/// One instance of a program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Instance {
    id: InstanceId,
    #[serde(skip, default = "crate::blank::no_program")]
    program: Arc<ProgramSpec>,
    #[serde(skip, default = "crate::blank::no_instance")]
    spec: Arc<InstanceSpec>,
    goal: Goal,
    state: State,
    since: Time,
    run: Option<Run>,
    last_run: Option<RunId>,
    timers: Timers,
    tally: Tally,
    past: VecDeque<PastRun>,
    final_end: Option<FinalEnd>,
    /// The last unexpected end of a run, or when its retries were used up.
    last_failure: Option<FinalEnd>,
    is_held: bool,
    /// Whether it waits for a client and for nothing else.
    awaits_contact: bool,
    start_delay: StartDelay,
    /// Its place among those that wait for their turn to start, if it waits for that and for nothing else.
    queued: Option<Queued>,
    /// Whether it is WAITING before a retry.
    is_retry: bool,
    is_leaving: bool,
    was_stopped_by_hand: bool,
    /// Whether it has done its work, if that is to be done once.
    is_done_once: bool,
    /// Whether the end of its run is final, because it is being stopped for a failed probe.
    fails_for_good: bool,
    /// Whether its last end restarts all programs; the supervisor has yet to do that.
    wants_all_restarted: bool,
    /// Whether `pre_start` has succeeded before.
    was_prepared: bool,
    /// Its memory if it has a schedule.
    job: Job,
    /// The stop batch it belongs to.
    pub(crate) batch: Option<BatchId>,
}

/// Inputs from the supervisor.
impl Instance {
    pub(crate) fn new(id: InstanceId, program: Arc<ProgramSpec>, spec: Arc<InstanceSpec>) -> Instance {
        Instance {
            id,
            program,
            spec,
            goal: Goal::Down,
            state: State::Stopped,
            since: Time::ZERO,
            run: None,
            last_run: None,
            timers: Timers::default(),
            tally: Tally::default(),
            past: VecDeque::new(),
            final_end: None,
            last_failure: None,
            is_held: false,
            awaits_contact: false,
            start_delay: StartDelay::Over,
            queued: None,
            is_retry: false,
            is_leaving: false,
            was_stopped_by_hand: false,
            is_done_once: false,
            fails_for_good: false,
            wants_all_restarted: false,
            was_prepared: false,
            job: Job::default(),
            batch: None,
        }
    }

    pub(crate) fn final_end(&self) -> Option<FinalEnd> {
        self.final_end
    }

    pub(crate) fn last_failure(&self) -> Option<FinalEnd> {
        self.last_failure
    }

    pub(crate) fn mark_stopped_by_hand(&mut self) {
        self.was_stopped_by_hand = true;
    }

    /// Marks it as being stopped for a failed probe, not to be started again.
    pub(crate) fn mark_failed_for_good(&mut self) {
        self.fails_for_good = true;
    }

    /// Its earliest deadline.
    pub fn earliest_deadline(&self) -> Option<Time> {
        let others = self.job.deadline().into_iter().chain(self.start_delay_until());
        self.timers.earliest().into_iter().chain(others).min()
    }

    /// Raises the goal. A run continues; a delay is cut short; an instance that is being stopped starts again
    /// afterwards.
    fn start(&mut self, turn: &mut Turn<'_>, waits: Waits) {
        let was_wanted = std::mem::replace(&mut self.goal, Goal::Up) == Goal::Up;
        let was_delayed = self.start_delay != StartDelay::Over;
        self.consider_start_delay(was_wanted, waits);
        let hastened = was_delayed && self.start_delay == StartDelay::Over;
        self.was_stopped_by_hand = false;
        self.fails_for_good = false;
        let awaited = std::mem::take(&mut self.job.awaits_time);
        if !was_wanted {
            self.arm(turn);
        }
        match self.state {
            State::Stopped | State::Exited | State::Fatal | State::Backoff => {
                self.forgive();
                self.final_end = None;
                self.begin_run_or_wait(turn);
            }
            State::Waiting if awaited || hastened => {
                self.forgive();
                self.begin_run_or_wait(turn);
            }
            State::Waiting | State::Stopping => self.forgive(),
            // It had yet to be stopped. Requests that wait for the stop must fail.
            State::Starting | State::Running if !was_wanted => self.tell_change(turn),
            State::Starting | State::Running => {}
        }
    }

    /// Resets the restart history for a manual start, if that is configured. A program that was given up could not be
    /// retried at all otherwise.
    fn forgive(&mut self) {
        let policy = &self.program.restart;
        if policy.forgive_on_start || self.state == State::Fatal {
            self.tally.start_by_hand(policy.limit);
        } else {
            self.tally.keep_by_hand();
        }
    }

    /// Forgets its history and any command, as if it had just been configured. A run continues.
    pub(crate) fn forget(&mut self, turn: &mut Turn<'_>) {
        self.tally = Tally::default();
        (self.final_end, self.last_failure) = (None, None);
        (self.job.is_queued, self.job.succeeded) = (false, None);
        (self.was_stopped_by_hand, self.fails_for_good) = (false, false);
        let is_idle = matches!(self.state, State::Exited | State::Fatal | State::Backoff | State::Waiting);
        if is_idle && self.run.is_none() {
            self.enter(turn, State::Stopped);
        }
    }

    /// Raises the goal for a new run and resets the restart history; the supervisor stops the current run.
    pub(crate) fn restart(&mut self, turn: &mut Turn<'_>) {
        self.renew(turn, Waits::Never);
    }

    fn renew(&mut self, turn: &mut Turn<'_>, waits: Waits) {
        self.forgive();
        self.start(turn, waits);
    }

    /// Lowers the goal. A run continues until [`Instance::stop_run`]; a waiting instance is down at once.
    pub(crate) fn lower_goal(&mut self, turn: &mut Turn<'_>) {
        let was_wanted = std::mem::replace(&mut self.goal, Goal::Down) == Goal::Up;
        self.is_held = false;
        self.start_delay = StartDelay::Over;
        if was_wanted {
            self.disarm(turn);
        }
        if matches!(self.state, State::Waiting | State::Backoff) {
            let down = if self.run.is_some() { State::Stopping } else { State::Stopped };
            self.enter(turn, down);
            self.rearm_stop();
        } else if was_wanted {
            // The run may go on for a while, but requests that wait for it to come up can be answered now.
            self.tell_change(turn);
        }
    }

    /// Holds its start until the others that are restarted with it are down.
    pub(crate) fn hold(&mut self) {
        self.is_held = true;
    }

    /// Starts if it was waiting for its dependencies, which hold now.
    pub(crate) fn unblock(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::Waiting {
            self.begin_run_or_wait(turn);
        }
    }

    /// Whether its last end restarts all programs, once.
    pub(crate) fn take_restart_of_all(&mut self) -> bool {
        std::mem::take(&mut self.wants_all_restarted)
    }

    /// Starts together with others once all of them are down, and keeps its count.
    pub(crate) fn wait_for_others(&mut self, turn: &mut Turn<'_>) {
        self.hold();
        self.begin_run_or_wait(turn);
    }

    /// The kernel has killed a process for lack of memory; the end of the run may follow.
    pub(crate) fn out_of_memory(&mut self) {
        self.run.iter_mut().for_each(|run| run.is_out_of_memory = true);
    }

    /// Ends the hold: the others are down.
    pub(crate) fn release(&mut self, turn: &mut Turn<'_>) {
        self.is_held = false;
        if self.state == State::Waiting {
            self.begin_run_or_wait(turn);
        }
    }

    /// The program has been executed.
    pub(crate) fn executed(&mut self, turn: &mut Turn<'_>) {
        let Some(run) = self.run.as_mut().filter(|run| !run.is_executed) else { return };
        run.is_executed = true;
        run.executed = turn.now;
        self.tally.shortages = 0;
        if self.state != State::Starting || run.stop.is_some() {
            return;
        }
        if self.program.startsecs.is_zero() || self.program.kind == Kind::Oneshot {
            self.timers.disarm(Slot::Start);
        } else {
            self.timers.arm(Slot::Start, turn.now + self.program.startsecs);
        }
        self.limit_life(turn);
        self.arm_recycling(turn);
        self.begin_checks(turn);
        self.come_up(turn);
    }

    /// The run could not be started, and no process is left.
    pub(crate) fn not_spawned(&mut self, turn: &mut Turn<'_>, error: SpawnError) {
        if self.run_began().is_some() {
            self.end_run(turn, RunEnd::NotSpawned(error));
            self.tree_gone(turn);
        }
    }

    /// The main process has ended. The rest of the tree is stopped the same way.
    pub(crate) fn exited(&mut self, turn: &mut Turn<'_>, exit: Exit) {
        if self.run_began().is_some() {
            self.end_run(turn, RunEnd::Exited(exit));
            self.sweep_leftovers(turn);
        }
    }

    /// The exit status of the main process cannot be known. The rest of the tree is stopped the same way.
    pub(crate) fn main_lost(&mut self, turn: &mut Turn<'_>) {
        if self.run_began().is_some() {
            self.end_run(turn, RunEnd::MainLost);
            self.sweep_leftovers(turn);
        }
    }

    /// No process of the tree is left.
    pub(crate) fn tree_gone(&mut self, turn: &mut Turn<'_>) {
        if let Some(run) = self.run.as_mut().filter(|run| run.stage == Stage::Leftovers) {
            run.stage = Stage::Gone;
            self.disarm_stop();
            self.run_post_stop(turn);
        }
    }

    /// No process of the run is left, and all its hooks have ended.
    fn run_is_over(&mut self, turn: &mut Turn<'_>) {
        self.run = None;
        if self.state == State::Stopping {
            self.enter(turn, State::Stopped);
        } else {
            self.tell_change(turn);
        }
        // Requests that wait for it to be down must see that it was, even if only for a moment.
        let is_due = match self.state {
            State::Stopped => self.goal == Goal::Up,
            State::Waiting => true,
            State::Backoff => self.timers.get(Slot::Delay).is_none_or(|at| at <= turn.now),
            _ => false,
        };
        if is_due {
            self.begin_run_or_wait(turn);
        }
    }

    /// Handles one deadline that is due. Returns false if there is none.
    pub(crate) fn handle_deadline(&mut self, turn: &mut Turn<'_>) -> bool {
        match self.timers.take_due(turn.now) {
            None => return self.start_delay_deadline(turn) || self.schedule_deadline(turn),
            Some(Slot::Start) => self.start_deadline(turn),
            // With leftovers of the last run, the next one starts when they are gone.
            Some(Slot::Delay) if self.run.is_some() => {}
            Some(Slot::Delay) => self.begin_run_or_wait(turn),
            Some(Slot::Stop) => self.take_stop_step(turn),
            Some(Slot::Ready) => self.fail_run(turn, StopCause::StartTimeout),
            Some(Slot::Watchdog) => self.watchdog_expired(turn),
            Some(Slot::Check) => self.start_checks(turn),
            Some(Slot::Hook) => self.hook_deadline(turn),
            Some(Slot::Life) => self.life_deadline(turn),
            Some(Slot::Recycle) => self.become_due(),
        }
        true
    }
}

/// State transitions.
impl Instance {
    /// The only writer of the state. Leaving a state clears all timer slots.
    fn enter(&mut self, turn: &mut Turn<'_>, to: State) {
        let from = std::mem::replace(&mut self.state, to);
        self.since = turn.now;
        self.awaits_contact = false;
        self.queued = None;
        self.is_retry = to == State::Waiting && from == State::Backoff;
        if to == State::Running {
            self.timers.clear_for_running();
        } else {
            self.timers.clear();
            self.stop_checks(turn);
        }
        self.rearm_hook();
        if from != to {
            turn.effects.push_back(Effect::Publish(Event::State { instance: self.id, from, to, run: self.last_run }));
        }
        self.tell_change(turn);
    }

    fn tell_change(&self, turn: &mut Turn<'_>) {
        turn.changes.push_back(self.change());
    }

    pub(crate) fn change(&self) -> Change {
        Change {
            instance: self.id,
            state: self.state,
            goal: self.goal,
            run: self.last_run,
            is_live: self.is_live(),
            awaits_contact: self.awaits_contact,
            is_ready: self.can_serve(),
            is_healthy: self.can_serve() && self.is_well(),
            last_end: self.last_end(),
        }
    }
}
