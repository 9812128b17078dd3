//! An independent model of one program, derived from the documented guarantees alone.
//!
//! Built differently from the code it checks: it has no states and no timers. It keeps facts (whether the program is
//! wanted, what is alive, the consequence of the last exit, when each stop signal is due) and derives the state and the
//! next deadline from them. A disagreement means that one of the two implements a guarantee wrongly.

use std::time::Duration;

use muster_core::{Done, Failure, Time, program::EXEC_DEADLINE, stop::KILL_RETRY};
use muster_spec::{
    Exit, ExitAction, ExitMatch, Leftovers, RestartWhen, RunEnd, Signal, SignalScope, SpawnError, State, StopKill,
    StopScope, StopStep,
};

use crate::policy::{Delays, End, Next, Past};

/// The configuration that the guarantees depend on.
#[derive(Clone, Debug)]
pub struct Rules {
    pub when: RestartWhen,
    pub delays: Delays,
    /// Whether a manual start resets the failure count.
    pub forgives: bool,
    pub startsecs: Duration,
    pub is_oneshot: bool,
    pub steps: Vec<StopStep>,
    pub scope: StopScope,
    pub kill: StopKill,
    pub leftovers: Leftovers,
    /// How long leftovers of a run that ended without a stop request may take.
    pub leftover_wait: Duration,
    pub shutdown_timeout: Duration,
    pub exit_when_done: bool,
    pub is_essential: bool,
    /// The time within which it must report readiness, if it must.
    pub must_say: Option<Duration>,
    /// Whether it may ask for more time.
    pub asks_for_time: bool,
    /// The watchdog interval.
    pub watchdog: Option<Duration>,
    /// The period of its liveness probe; the first failure counts.
    pub checked: Option<Duration>,
    /// A rule of `on_exit`.
    pub on_exit: Option<(ExitMatch, ExitAction)>,
}

/// Effects and replies, as far as the guarantees determine them.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Spawn(u64),
    Signal(u64, Signal, SignalScope),
    Wake(u64, SignalScope),
    Sweep(u64, Signal),
    SweepGroup(u64, Option<Signal>),
    Disown(u64),
    Strays(Signal),
    Exit(u8),
    Reply(u64, Result<Done, Failure>),
}

/// The processes of the latest run that are alive.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Body {
    Nothing,
    /// The main process. `born` is the time of the fork, `executed` that of the exec; `is_up` once startsecs have
    /// passed.
    Main {
        born: Time,
        executed: Option<Time>,
        is_up: bool,
    },
    /// Other processes of the tree.
    Leftovers,
}

/// The expectations on an executed run, and their deadlines.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Vigil {
    has_lasted: bool,
    has_said: bool,
    /// The deadline for readiness, extended at the run's request.
    may_say_until: Time,
    /// The watchdog's deadline.
    sign_by: Option<Time>,
    check_at: Option<Time>,
    /// When the unanswered probe was started.
    check_since: Option<Time>,
    is_found_well: bool,
}

/// The reason for the absence of a main process.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rest {
    Down,
    /// The next run starts at `at`; `is_ripe` once that time has passed.
    Again {
        at: Time,
        is_ripe: bool,
    },
    Ended,
    GivenUp,
    /// Wanted again, as soon as the last run's leftovers are gone.
    Queued,
}

/// The pending stop signals with their times, followed by repeated SIGKILL.
#[derive(Clone, Debug, PartialEq)]
struct Demise {
    to_come: Vec<(Time, Signal)>,
    /// The signal that was sent last.
    asking: Option<Signal>,
    kill_at: Time,
    has_killed: bool,
    /// Whether it is for what a run left behind by itself, and so for the whole tree.
    is_for_leftovers: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Closing {
    end: Time,
    code: u8,
    was_signalled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    Up { from_run: u64, word: Done },
    Down,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub rules: std::sync::Arc<Rules>,
    pub now: Time,
    is_wanted: bool,
    body: Body,
    vigil: Vigil,
    is_being_stopped: bool,
    demise: Option<Demise>,
    rest: Rest,
    past: Past,
    has_ended_well: bool,
    verdict: Option<u8>,
    /// Whether a rule ends the container with its end.
    ends_all: bool,
    last_code: u8,
    closing: Option<Closing>,
    wishes: Vec<(u64, Wish)>,
    pub runs: u64,
    pub is_over: bool,
    pub acts: Vec<Act>,
}

impl Model {
    pub fn new(rules: Rules) -> Model {
        Model {
            rules: std::sync::Arc::new(rules),
            now: Time::ZERO,
            is_wanted: false,
            body: Body::Nothing,
            vigil: Vigil::default(),
            is_being_stopped: false,
            demise: None,
            rest: Rest::Down,
            past: Past::default(),
            has_ended_well: false,
            verdict: None,
            ends_all: false,
            last_code: 0,
            closing: None,
            wishes: Vec::new(),
            runs: 0,
            is_over: false,
            acts: Vec::new(),
        }
    }

    pub fn state(&self) -> State {
        match (self.body, self.rest) {
            (Body::Main { .. }, _) if self.is_being_stopped => State::Stopping,
            (Body::Main { is_up: true, .. }, _) => State::Running,
            (Body::Main { .. }, _) => State::Starting,
            (Body::Leftovers, Rest::Down) => State::Stopping,
            (Body::Nothing, Rest::Down) => State::Stopped,
            (_, Rest::Again { .. }) => State::Backoff,
            (_, Rest::Ended) => State::Exited,
            (_, Rest::GivenUp) => State::Fatal,
            (_, Rest::Queued) => State::Waiting,
        }
    }

    pub fn has_main(&self) -> bool {
        matches!(self.body, Body::Main { .. })
    }

    pub fn is_executed(&self) -> bool {
        matches!(self.body, Body::Main { executed: Some(_), .. })
    }

    pub fn has_leftovers(&self) -> bool {
        self.body == Body::Leftovers
    }

    /// Whether it is a oneshot that has completed.
    pub fn is_done(&self) -> bool {
        self.rules.is_oneshot && self.state() == State::Exited && self.has_ended_well
    }

    pub fn has_ended_well(&self) -> bool {
        self.has_ended_well
    }

    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    pub fn pending(&self) -> Vec<u64> {
        self.wishes.iter().map(|&(request, _)| request).collect()
    }

    /// The next deadline.
    pub fn deadline(&self) -> Option<Time> {
        let closing = self.closing.as_ref().filter(|_| !self.is_over).map(|closing| closing.end);
        self.own_deadline().into_iter().chain(closing).min()
    }

    fn own_deadline(&self) -> Option<Time> {
        let lasting = match self.body {
            Body::Main { .. } if self.demise.is_some() => None,
            Body::Main { born, executed: None, .. } => Some(born + EXEC_DEADLINE),
            Body::Main { executed: Some(executed), .. } => self.expectations(executed).map(|(at, _)| at).min(),
            _ => None,
        };
        let again = match self.rest {
            Rest::Again { at, is_ripe: false } if !self.has_main() => Some(at),
            _ => None,
        };
        let demise = self.demise.as_ref().filter(|_| self.body != Body::Nothing).map(Demise::next);
        [lasting, again, demise].into_iter().flatten().min()
    }
}

/// The event that a run is expected to show by a deadline.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Lasting,
    Word,
    Sign,
    Check,
}

/// Readiness and health.
impl Model {
    /// Ordered by precedence for deadlines at the same time.
    fn expectations(&self, executed: Time) -> impl Iterator<Item = (Time, Expected)> {
        let (rules, vigil) = (&self.rules, &self.vigil);
        let lasts = (!vigil.has_lasted).then(|| (executed + rules.startsecs, Expected::Lasting));
        let says = rules.must_say.filter(|_| !vigil.has_said).map(|span| (executed + span).max(vigil.may_say_until));
        let says = says.map(|at| (at, Expected::Word));
        let lives = vigil.sign_by.map(|at| (at, Expected::Sign));
        let is_checked = vigil.check_at.map(|at| (at, Expected::Check));
        [lasts, says, lives, is_checked].into_iter().flatten()
    }

    fn begin_vigil(&mut self) {
        self.vigil.has_lasted = self.rules.startsecs.is_zero() || self.rules.is_oneshot;
        if self.rules.must_say.is_none() || self.vigil.has_said {
            self.shows_a_sign();
        }
        self.vigil.check_since = self.rules.checked.map(|_| self.now);
        self.come_up();
    }

    fn come_up(&mut self) {
        let is_ready = self.rules.must_say.is_none() || self.vigil.has_said;
        if self.vigil.has_lasted && is_ready && matches!(self.body, Body::Main { is_up: false, .. }) {
            self.is_up();
        }
    }

    fn shows_a_sign(&mut self) {
        self.vigil.sign_by = self.rules.watchdog.map(|span| self.now + span);
    }

    fn is_watched(&self) -> bool {
        self.is_executed() && self.demise.is_none()
    }

    /// Whether it runs and is not being stopped.
    pub fn is_ready(&self) -> bool {
        self.state() == State::Running && self.demise.is_none()
    }

    /// Whether it is ready and its last probe, if it has one, passed.
    pub fn is_healthy(&self) -> bool {
        self.is_ready() && (self.rules.checked.is_none() || self.vigil.is_found_well)
    }

    pub fn says_ready(&mut self) {
        let is_news = !std::mem::replace(&mut self.vigil.has_said, true);
        if is_news && self.is_watched() {
            self.shows_a_sign();
            self.come_up();
        }
    }

    pub fn asks_for_time(&mut self, by: Duration) {
        let (until, spared_until) = (self.now + by, self.spared_until());
        if self.is_watched() {
            self.vigil.may_say_until = self.vigil.may_say_until.max(until);
        }
        if let Some(demise) = self.demise.as_mut().filter(|demise| !demise.has_killed) {
            demise.wait(spared_until.map_or(until, |at| at.min(until)));
        }
    }

    /// How long the wait after the last signal may be extended during a shutdown.
    fn spared_until(&self) -> Option<Time> {
        let (closing, demise) = self.closing.as_ref().zip(self.demise.as_ref())?;
        Some(closing.end - self.reserve() - demise.kill_at.since(demise.next()))
    }

    pub fn pings(&mut self) {
        if self.is_watched() {
            self.shows_a_sign();
        }
    }

    pub fn is_under_check(&self) -> bool {
        self.vigil.check_since.is_some() && self.is_watched()
    }

    pub fn check_ends(&mut self, success: bool) {
        let Some((since, period)) = self.vigil.check_since.take().zip(self.rules.checked) else { return };
        self.vigil.check_at = Some((since + period).max(self.now));
        self.vigil.is_found_well = success;
        if !success {
            self.begin_demise(None);
        }
    }

    fn expectation_is_due(&mut self, executed: Time) {
        let due = self.expectations(executed).filter(|&(at, _)| at <= self.now);
        match due.min_by_key(|&(at, _)| at) {
            Some((_, Expected::Lasting)) => {
                self.vigil.has_lasted = true;
                self.come_up();
            }
            Some((at, Expected::Check)) => {
                (self.vigil.check_at, self.vigil.check_since) = (None, Some(at.max(self.now)));
            }
            Some((_, Expected::Word | Expected::Sign)) => self.begin_demise(None),
            None => {}
        }
    }
}

impl Demise {
    fn next(&self) -> Time {
        self.to_come.first().map_or(self.kill_at, |&(at, _)| at.min(self.kill_at))
    }

    /// Delays the next signal until this time, and all later ones by the same amount.
    fn wait(&mut self, until: Time) {
        let by = until.since(self.next());
        self.to_come.iter_mut().for_each(|(at, _)| *at = *at + by);
        self.kill_at = self.kill_at + by;
    }
}

/// Requests.
impl Model {
    pub fn boot(&mut self) {
        self.wake();
    }

    pub fn start(&mut self, request: u64) {
        if self.closing.is_some() {
            return self.acts.push(Act::Reply(request, Err(Failure::ShuttingDown)));
        }
        match self.state() {
            State::Running => self.acts.push(Act::Reply(request, Ok(Done::AlreadyRunning))),
            State::Starting => self.wish_up(request, self.runs, Done::Started),
            _ => self.wish_up(request, self.runs + 1, Done::Started),
        }
        self.wake();
    }

    pub fn restart(&mut self, request: u64) {
        if self.closing.is_some() {
            return self.acts.push(Act::Reply(request, Err(Failure::ShuttingDown)));
        }
        let word = if self.body == Body::Nothing { Done::Started } else { Done::Restarted };
        self.wish_up(request, self.runs + 1, word);
        self.forgive();
        self.is_wanted = true;
        if self.has_main() {
            self.ask_to_stop(None);
        } else {
            self.wake();
        }
    }

    /// Everything is stopped and started as at boot; failures are forgotten, whatever the policy.
    pub fn boots_again(&mut self) {
        if self.closing.is_some() {
            return;
        }
        let all_restarted = self.past.all_restarted;
        self.past = Past::default();
        self.past.all_restarted = all_restarted;
        self.is_wanted = true;
        if self.has_main() {
            self.ask_to_stop(None);
        } else {
            self.wake();
        }
    }

    pub fn stop(&mut self, request: u64) {
        let is_down = self.body == Body::Nothing;
        if is_down && matches!(self.rest, Rest::Down | Rest::Ended | Rest::GivenUp) {
            self.acts.push(Act::Reply(request, Ok(Done::NotRunning)));
        } else {
            self.wishes.push((request, Wish::Down));
        }
        if self.closing.is_none() {
            self.give_up_wish();
            self.ask_to_stop(None);
        }
    }

    pub fn signal_to_daemon(&mut self) {
        match &mut self.closing {
            None => self.close(0, true),
            Some(closing) if !closing.was_signalled => closing.was_signalled = true,
            Some(_) => self.kill(),
        }
    }

    fn wish_up(&mut self, request: u64, from_run: u64, word: Done) {
        self.wishes.push((request, Wish::Up { from_run, word }));
    }

    fn wake(&mut self) {
        self.is_wanted = true;
        match self.body {
            Body::Main { .. } if !self.is_being_stopped => {}
            Body::Main { .. } => self.forgive(),
            Body::Leftovers => {
                self.forgive();
                if self.rest != Rest::Down {
                    self.rest = Rest::Queued;
                }
            }
            Body::Nothing => {
                self.forgive();
                self.spawn();
            }
        }
    }

    fn forgive(&mut self) {
        if self.rules.forgives || self.rest == Rest::GivenUp {
            self.past.is_forgiven(&self.rules.delays);
        }
    }

    /// The goal becomes down: planned starts are cancelled.
    fn give_up_wish(&mut self) {
        self.is_wanted = false;
        self.fulfil(|wish| matches!(wish, Wish::Up { .. }).then_some(Err(Failure::Cancelled)));
        if !self.has_main() && matches!(self.rest, Rest::Again { .. } | Rest::Queued) {
            self.rest = Rest::Down;
            if self.body == Body::Nothing {
                self.is_empty();
            }
        }
    }

    fn close(&mut self, code: u8, by_signal: bool) {
        let end = self.now + self.rules.shutdown_timeout;
        self.closing = Some(Closing { end, code, was_signalled: by_signal });
        self.give_up_wish();
        self.acts.push(Act::Strays(Signal::TERM));
        self.ask_to_stop(Some(self.rules.shutdown_timeout - self.reserve()));
        self.close_if_empty();
    }

    /// The part of the budget that is reserved for the last SIGKILL to take effect.
    fn reserve(&self) -> Duration {
        (self.rules.shutdown_timeout / 10).min(Duration::from_millis(100))
    }

    fn close_if_empty(&mut self) {
        if self.body == Body::Nothing && self.closing.is_some() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let Some(closing) = self.closing.clone().filter(|_| !self.is_over) else { return };
        self.is_over = true;
        for (request, _) in std::mem::take(&mut self.wishes) {
            self.acts.push(Act::Reply(request, Err(Failure::ShuttingDown)));
        }
        if self.body != Body::Nothing && self.demise.as_ref().is_none_or(|demise| !demise.has_killed) {
            self.acts.push(self.sends(Signal::KILL));
        }
        self.acts.push(Act::Strays(Signal::KILL));
        self.acts.push(Act::Exit(closing.code));
    }
}

/// Stopping.
impl Model {
    /// Sends the first signal now, unless it was sent; with a budget, SIGKILL within it.
    fn ask_to_stop(&mut self, budget: Option<Duration>) {
        if self.body == Body::Nothing {
            return;
        }
        if self.has_main() {
            self.is_being_stopped = true;
        }
        match &mut self.demise {
            None => self.begin_demise(budget),
            Some(demise) if !demise.has_killed => {
                if let Some(budget) = budget {
                    demise.kill_at = demise.kill_at.min(self.now + budget);
                    demise.to_come.retain(|&(at, _)| at < demise.kill_at);
                }
            }
            Some(_) => {}
        }
    }

    fn begin_demise(&mut self, budget: Option<Duration>) {
        let total: Duration = self.rules.steps.iter().map(|step| step.patience).sum();
        let part = budget.map_or(1.0, |budget| (budget.as_secs_f64() / total.as_secs_f64()).min(1.0));
        let (mut to_come, mut at) = (Vec::new(), self.now);
        for step in &self.rules.steps {
            to_come.push((at, step.signal));
            at = at + step.patience.mul_f64(part);
        }
        let is_for_leftovers = !self.has_main();
        self.demise = Some(Demise { to_come, asking: None, kill_at: at, has_killed: false, is_for_leftovers });
        self.send_due();
    }

    /// A demise that begins with SIGKILL, now.
    fn sudden(&self) -> Demise {
        let (to_come, kill_at) = (Vec::new(), self.now);
        Demise { to_come, asking: None, kill_at, has_killed: false, is_for_leftovers: false }
    }

    /// The processes that are ended.
    fn ends(&self) -> StopKill {
        let is_for_all = self.demise.as_ref().is_some_and(|demise| demise.is_for_leftovers);
        if is_for_all { StopKill::Tree } else { self.rules.kill }
    }

    /// The processes that get a signal that may be handled while the main process lives.
    fn asked(&self) -> SignalScope {
        match (self.rules.scope, self.rules.kill) {
            (StopScope::Main, _) => SignalScope::Main,
            (StopScope::Group, StopKill::Tree) => SignalScope::Group,
            (StopScope::Group, _) => SignalScope::MainGroup,
        }
    }

    /// A signal of the demise.
    fn sends(&self, signal: Signal) -> Act {
        let run = self.runs;
        match (self.ends(), self.has_main()) {
            (_, true) if signal != Signal::KILL => Act::Signal(run, signal, self.asked()),
            (StopKill::Main, true) => Act::Signal(run, signal, SignalScope::Main),
            (StopKill::Group, true) => Act::Signal(run, signal, SignalScope::MainGroup),
            (StopKill::Group, false) => Act::SweepGroup(run, Some(signal)),
            (StopKill::Main | StopKill::Tree, _) => Act::Sweep(run, signal),
        }
    }

    fn kill(&mut self) {
        if self.body == Body::Nothing {
            return;
        }
        if self.has_main() {
            self.is_being_stopped = true;
        }
        let (now, sudden) = (self.now, self.sudden());
        let demise = self.demise.get_or_insert(sudden);
        if !demise.has_killed {
            demise.to_come.clear();
            demise.kill_at = now;
            self.send_due();
        }
    }

    fn send_due(&mut self) {
        let (now, run) = (self.now, self.runs);
        let Some(demise) = &mut self.demise else { return };
        if demise.to_come.first().is_some_and(|&(at, _)| at <= now) {
            let (_, signal) = demise.to_come.remove(0);
            demise.asking = Some(signal);
            self.acts.push(self.sends(signal));
            if self.has_main() {
                self.acts.push(Act::Wake(run, self.asked()));
            }
        } else if demise.kill_at <= now {
            demise.has_killed = true;
            demise.kill_at = now + KILL_RETRY;
            self.acts.push(self.sends(Signal::KILL));
        }
    }
}

/// Process events.
impl Model {
    /// An automatic start; some limits are checked only at this point.
    fn spawn_by_itself(&mut self) {
        if self.past.refuses_start(&self.rules.delays, self.now) {
            self.rest = Rest::GivenUp;
            self.verdict = Some(self.last_code.max(1));
            self.come_to_an_end();
        } else {
            self.spawn();
        }
    }

    fn spawn(&mut self) {
        self.runs += 1;
        self.body = Body::Main { born: self.now, executed: None, is_up: false };
        self.vigil = Vigil::default();
        self.is_being_stopped = false;
        self.demise = None;
        self.rest = Rest::Down;
        self.verdict = None;
        self.past.note_start(&self.rules.delays, self.now);
        self.acts.push(Act::Spawn(self.runs));
    }

    pub fn spawned(&mut self) {
        let (now, is_dying) = (self.now, self.demise.is_some());
        if let Body::Main { executed, .. } = &mut self.body {
            *executed = Some(now);
            if !is_dying {
                self.begin_vigil();
            }
        }
    }

    fn is_up(&mut self) {
        if let Body::Main { is_up, .. } = &mut self.body {
            *is_up = true;
        }
        let runs = self.runs;
        self.fulfil(|wish| match wish {
            Wish::Up { from_run, word } if from_run <= runs => Some(Ok(word)),
            _ => None,
        });
    }

    pub fn not_spawned(&mut self, error: SpawnError) {
        self.end(RunEnd::NotSpawned(error), false);
        self.tree_gone();
    }

    pub fn exited(&mut self, exit: Exit) {
        let is_clean = exit == Exit::Code(0) || matches!(exit, Exit::Signal { signal, .. } if self.is_clean(signal));
        self.end(RunEnd::Exited(exit), is_clean);
        let asking = self.demise.as_ref().map(|demise| demise.asking.filter(|_| !demise.has_killed));
        let ends = match asking {
            None if self.rules.leftovers == Leftovers::Keep => StopKill::Main,
            None => StopKill::Tree,
            Some(_) => self.rules.kill,
        };
        match (ends, asking) {
            (StopKill::Main, _) => {
                self.acts.push(Act::Disown(self.runs));
                self.tree_gone();
            }
            (_, None) => self.begin_demise(Some(self.rules.leftover_wait)),
            (StopKill::Group, Some(Some(_))) if self.rules.scope == StopScope::Group => {
                self.acts.push(Act::SweepGroup(self.runs, None));
            }
            (_, Some(asking)) => self.acts.push(self.sends(asking.unwrap_or(Signal::KILL))),
        }
        if (self.rules.is_essential || self.ends_all)
            && self.verdict.is_some()
            && self.is_wanted
            && self.closing.is_none()
        {
            self.close(self.verdict.unwrap_or(0), false);
        }
    }

    fn is_clean(&self, signal: Signal) -> bool {
        matches!(self.rules.delays, Delays::Systemd(_)) && !self.rules.is_oneshot && signal == Signal::TERM
    }

    fn end(&mut self, end: RunEnd, is_expected: bool) {
        let Body::Main { born, is_up, .. } = self.body else { return };
        // A run that the core had to kill has not succeeded, whatever its exit status.
        let was_asked = self.is_being_stopped || !self.is_wanted;
        let action = if was_asked || self.demise.is_some() { None } else { self.rules.action(&end) };
        let is_success = match action {
            Some(ExitAction::Success) => true,
            Some(ExitAction::Failure) => false,
            _ => is_expected && self.demise.is_none(),
        };
        self.body = Body::Leftovers;
        self.is_being_stopped = false;
        if was_asked {
            self.rest = Rest::Down;
            return;
        }
        let up_for = self.now.since(born);
        let was_spawned = matches!(end, RunEnd::Exited(_));
        let facts = End { up_for, was_running: is_up, is_success, was_spawned };
        let (delays, when) = (self.rules.delays, self.rules.when);
        let (next, is_bare) = match action {
            None => (self.past.next_after(&delays, when, facts), false),
            Some(action) => self.past.next_by(&delays, when, facts, (action, self.now)),
        };
        self.ends_all = action == Some(ExitAction::Exit);
        let may_end = was_spawned || action == Some(ExitAction::Stop);
        // A failed start is not retried immediately, whatever the policy; by some rules it is.
        let floor = if was_spawned || is_bare { Duration::ZERO } else { Duration::from_millis(100) };
        self.rest = match next {
            Next::RunAfter(delay) => Rest::Again { at: self.now + delay.max(floor), is_ripe: false },
            Next::Nothing if may_end => Rest::Ended,
            Next::Nothing | Next::GivenUp => Rest::GivenUp,
        };
        self.last_code = end.shell_code();
        match self.rest {
            Rest::Ended if action == Some(ExitAction::Failure) => self.verdict = Some(end.shell_code().max(1)),
            Rest::Ended => self.verdict = Some(end.shell_code()),
            Rest::GivenUp => self.verdict = Some(end.shell_code().max(1)),
            _ => {}
        }
        let (runs, answer) = (self.runs, Failure::Ended(end));
        self.has_ended_well = is_success;
        let has_ended_well = is_success && self.rest == Rest::Ended;
        self.fulfil(|wish| match wish {
            Wish::Up { from_run, word } if from_run <= runs && has_ended_well => Some(Ok(word)),
            Wish::Up { from_run, .. } if from_run <= runs => Some(Err(answer.clone())),
            _ => None,
        });
    }

    pub fn tree_gone(&mut self) {
        self.body = Body::Nothing;
        self.demise = None;
        match self.rest {
            Rest::Down | Rest::Queued => self.is_empty(),
            Rest::Again { at, is_ripe } if is_ripe || at <= self.now => self.spawn_by_itself(),
            Rest::Again { .. } => {}
            Rest::Ended | Rest::GivenUp => {
                self.is_empty();
                self.come_to_an_end();
            }
        }
        if matches!(self.rest, Rest::Queued)
            || (self.rest == Rest::Down && self.body == Body::Nothing && self.is_wanted)
        {
            self.spawn();
        }
        self.close_if_empty();
    }

    /// The end of the only program ends the container, if so configured.
    fn come_to_an_end(&mut self) {
        let Some(code) = self.verdict.filter(|_| self.closing.is_none()) else { return };
        let is_its_own = (self.rules.is_essential || self.ends_all) && self.is_wanted;
        if is_its_own || self.rules.exit_when_done {
            // All programs have succeeded, whatever their codes.
            let is_well = self.has_ended_well && self.rest == Rest::Ended;
            self.close(if is_well && !is_its_own { 0 } else { code }, false);
        }
    }

    /// No process of it is left.
    fn is_empty(&mut self) {
        self.fulfil(|wish| (wish == Wish::Down).then_some(Ok(Done::Stopped)));
    }

    fn fulfil(&mut self, answer: impl Fn(Wish) -> Option<Result<Done, Failure>>) {
        let wishes = std::mem::take(&mut self.wishes);
        for (request, wish) in wishes {
            match answer(wish) {
                Some(result) => self.acts.push(Act::Reply(request, result)),
                None => self.wishes.push((request, wish)),
            }
        }
    }
}

/// Time.
impl Model {
    /// Advances the clock: everything due until then takes effect.
    pub fn time_passes(&mut self, now: Time) {
        self.now = now;
        while !self.is_over && self.own_deadline().is_some_and(|at| at <= now) {
            self.fall_due();
        }
        if self.closing.as_ref().is_some_and(|closing| closing.end <= now) {
            self.finish();
        }
    }

    fn fall_due(&mut self) {
        if let Rest::Again { at, is_ripe: false } = self.rest
            && !self.has_main()
            && at <= self.now
        {
            self.rest = Rest::Again { at, is_ripe: true };
            if self.body == Body::Nothing {
                self.spawn_by_itself();
            }
            return;
        }
        match self.body {
            _ if self.demise.is_some() => self.send_due(),
            Body::Main { executed: Some(executed), .. } => self.expectation_is_due(executed),
            // It hangs before exec, so no program is running that could handle a stop signal.
            _ => {
                self.demise = Some(self.sudden());
                self.send_due();
            }
        }
    }
}
