//! What ought to happen to one program, written down from the promises alone.
//!
//! Built otherwise than the rules it judges: there are no states and no timers here. It keeps facts (is it wanted, what
//! lives, what the last end led to, when each stop signal falls due) and derives the state and the next deadline from
//! them. Where the two disagree, one of them has misread the promise.

use std::time::Duration;

use muster_core::{Done, Failure, Time, program::EXEC_DEADLINE, stop::KILL_RETRY};
use muster_spec::{Exit, RestartWhen, RunEnd, Signal, SignalScope, SpawnError, State, StopStep};

use crate::policy::{Delays, End, Next, Past};

/// What the promises depend on.
#[derive(Clone, Debug)]
pub struct Rules {
    pub when: RestartWhen,
    pub delays: Delays,
    pub startsecs: Duration,
    pub is_oneshot: bool,
    pub steps: Vec<StopStep>,
    /// How long what a run leaves behind may take, when nobody asked it to end.
    pub leftover_wait: Duration,
    pub shutdown_timeout: Duration,
    pub exit_when_done: bool,
    pub is_essential: bool,
    /// Whether it must say that it is ready, and in which time.
    pub must_say: Option<Duration>,
    /// Whether it may ask for more time.
    pub asks_for_time: bool,
    /// How often it must say that it lives.
    pub watchdog: Option<Duration>,
    /// How often its liveness is checked; the first failure counts.
    pub checked: Option<Duration>,
}

/// What is to be done or answered, as far as the promises fix it.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Spawn(u64),
    Signal(u64, Signal, SignalScope),
    Wake(u64, SignalScope),
    Sweep(u64, Signal),
    Strays(Signal),
    Exit(u8),
    Reply(u64, Result<Done, Failure>),
}

/// What of the latest run is there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Body {
    Nothing,
    /// Its main process. It was born and perhaps executed then; `is_up` once it has lasted.
    Main {
        born: Time,
        executed: Option<Time>,
        is_up: bool,
    },
    /// Other processes of its tree.
    Leftovers,
}

/// What is expected of a run that is executed, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Vigil {
    has_lasted: bool,
    has_said: bool,
    /// Until then it may take to say it, because it has asked for so long.
    may_say_until: Time,
    /// When it must have said that it lives.
    sign_by: Option<Time>,
    check_at: Option<Time>,
    /// Since when a check has no answer.
    check_since: Option<Time>,
    is_found_well: bool,
}

/// What the absence of a main process means.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rest {
    Down,
    /// Another run will follow then; `is_ripe` when that moment has passed.
    Again {
        at: Time,
        is_ripe: bool,
    },
    Ended,
    GivenUp,
    /// Wanted again, as soon as nothing is left of the last run.
    Queued,
}

/// The signals that are still to come, each with its moment, then SIGKILL again and again.
#[derive(Clone, Debug, PartialEq)]
struct Demise {
    to_come: Vec<(Time, Signal)>,
    /// The signal that was sent last.
    asking: Option<Signal>,
    kill_at: Time,
    has_killed: bool,
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

    /// Whether it has done what a oneshot is for.
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

    /// When something falls due if nothing happens before.
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

/// What is expected of a run by then.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Lasting,
    Word,
    Sign,
    Check,
}

/// Readiness and health.
impl Model {
    /// In the order in which they count where several are due at the same time.
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

    /// It runs, and nothing says that it should not.
    pub fn is_ready(&self) -> bool {
        self.state() == State::Running && self.demise.is_none()
    }

    /// As far as it is checked, that has been found.
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

    /// Until when the signal sent last may be waited for, where everything must be over in time.
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

    /// What comes next comes no earlier than that, and everything after it so much later.
    fn wait(&mut self, until: Time) {
        let by = until.since(self.next());
        self.to_come.iter_mut().for_each(|(at, _)| *at = *at + by);
        self.kill_at = self.kill_at + by;
    }
}

/// What somebody asks.
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
        self.past.is_forgiven(&self.rules.delays);
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
            Body::Main { .. } => self.past.is_forgiven(&self.rules.delays),
            Body::Leftovers => {
                self.past.is_forgiven(&self.rules.delays);
                if self.rest != Rest::Down {
                    self.rest = Rest::Queued;
                }
            }
            Body::Nothing => {
                self.past.is_forgiven(&self.rules.delays);
                self.spawn();
            }
        }
    }

    /// Nobody wants it any more: what was only planned is called off.
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

    /// What is kept back of the budget so that the last SIGKILL can still do its work.
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
            self.acts.push(Act::Sweep(self.runs, Signal::KILL));
        }
        self.acts.push(Act::Strays(Signal::KILL));
        self.acts.push(Act::Exit(closing.code));
    }
}

/// Stopping.
impl Model {
    /// The first signal now, unless it has been sent; with a budget, SIGKILL within it.
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
        self.demise = Some(Demise { to_come, asking: None, kill_at: at, has_killed: false });
        self.send_due();
    }

    fn kill(&mut self) {
        if self.body == Body::Nothing {
            return;
        }
        if self.has_main() {
            self.is_being_stopped = true;
        }
        let now = self.now;
        let demise =
            self.demise.get_or_insert(Demise { to_come: Vec::new(), asking: None, kill_at: now, has_killed: false });
        if !demise.has_killed {
            demise.to_come.clear();
            demise.kill_at = now;
            self.send_due();
        }
    }

    fn send_due(&mut self) {
        let (now, run, has_main) = (self.now, self.runs, self.has_main());
        let Some(demise) = &mut self.demise else { return };
        if demise.to_come.first().is_some_and(|&(at, _)| at <= now) {
            let (_, signal) = demise.to_come.remove(0);
            demise.asking = Some(signal);
            if has_main {
                self.acts.push(Act::Signal(run, signal, SignalScope::Main));
                self.acts.push(Act::Wake(run, SignalScope::Main));
            } else {
                self.acts.push(Act::Sweep(run, signal));
            }
        } else if demise.kill_at <= now {
            demise.has_killed = true;
            demise.kill_at = now + KILL_RETRY;
            self.acts.push(Act::Sweep(run, Signal::KILL));
        }
    }
}

/// What happens to processes.
impl Model {
    /// A start that nobody asked for, which some limits look at only now.
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
        match &self.demise {
            None => self.begin_demise(Some(self.rules.leftover_wait)),
            Some(demise) => {
                let signal = demise.asking.filter(|_| !demise.has_killed).unwrap_or(Signal::KILL);
                self.acts.push(Act::Sweep(self.runs, signal));
            }
        }
        if self.rules.is_essential && self.verdict.is_some() && self.is_wanted && self.closing.is_none() {
            self.close(self.verdict.unwrap_or(0), false);
        }
    }

    fn is_clean(&self, signal: Signal) -> bool {
        matches!(self.rules.delays, Delays::Systemd(_)) && !self.rules.is_oneshot && signal == Signal::TERM
    }

    fn end(&mut self, end: RunEnd, is_expected: bool) {
        let Body::Main { born, is_up, .. } = self.body else { return };
        // What the core itself had to kill has not succeeded, whatever it says.
        let is_success = is_expected && self.demise.is_none();
        let was_asked = self.is_being_stopped || !self.is_wanted;
        self.body = Body::Leftovers;
        self.is_being_stopped = false;
        if was_asked {
            self.rest = Rest::Down;
            return;
        }
        let up_for = self.now.since(born);
        let was_spawned = matches!(end, RunEnd::Exited(_));
        let facts = End { up_for, was_running: is_up, is_success, was_spawned };
        let next = self.past.next_after(&self.rules.delays, self.rules.when, facts);
        // A start that failed is not attempted again at once, whatever the policy.
        let floor = if was_spawned { Duration::ZERO } else { Duration::from_millis(100) };
        self.rest = match next {
            Next::RunAfter(delay) => Rest::Again { at: self.now + delay.max(floor), is_ripe: false },
            Next::Nothing if was_spawned => Rest::Ended,
            Next::Nothing | Next::GivenUp => Rest::GivenUp,
        };
        self.last_code = end.shell_code();
        match self.rest {
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

    /// The end of the only program is the end of the container, if it is to be.
    fn come_to_an_end(&mut self) {
        let Some(code) = self.verdict.filter(|_| self.closing.is_none()) else { return };
        if (self.rules.is_essential && self.is_wanted) || self.rules.exit_when_done {
            self.close(code, false);
        }
    }

    /// Nothing of it lives any more.
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
    /// It is this late now: everything up to then falls due.
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
            // It hangs before its program: there is nobody who could act on a polite signal.
            _ => {
                let kill_at = self.now;
                self.demise = Some(Demise { to_come: Vec::new(), asking: None, kill_at, has_killed: false });
                self.send_due();
            }
        }
    }
}
