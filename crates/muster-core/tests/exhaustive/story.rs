//! The tree of stories of one program: the possible next steps, their effect on the core and the model, and the report
//! of a failing story.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use muster_core::{
    Awaited, Done, Effect, Failure, Input, Outcome, ProbeOutcome, RequestId, Settings, ShutdownReason, Supervisor,
    Time, Verb,
};
use muster_spec::{
    Essential, Exit, Goal, InstanceId, Kind, ProbeKind, ProbeSpec, ProgramSpec, ReadySpec, RestartPolicy, RunId,
    ShutdownBudget, Signal, State, StopSpec,
};

use crate::common::programs::{ROOT, killed_by, missing, ms, probe, program, s, with};
use crate::common::witness::{OPERATORS_SIGNAL, Witness};
use crate::model::{Act, Model, Rules};
use crate::step::{STEPS, Step};

const ONE: InstanceId = InstanceId(0);

const A_LITTLE: Duration = ms(1);
/// Longer than any timeout of the stories, and less than two of them within a shutdown's budget.
const MORE_TIME: Duration = s(7);

#[derive(Clone)]
struct Scene {
    programs: [Arc<ProgramSpec>; 1],
    settings: Settings,
    core: Supervisor,
    model: Model,
    witness: Witness,
    request: u64,
    /// The core's effects of the last step.
    heard: Vec<Act>,
}

/// Plays every story up to this depth. A failure is reported with the shortest story.
pub fn tell_all(rules: Rules, depth: usize) {
    let opening = opening(&rules);
    let tell = |depth| walk(&opening, &mut Vec::new(), &mut Known::default(), depth);
    match tell(depth) {
        Ok(count) => assert!(count > 1000, "only {count} stories: the tree was cut short"),
        Err(found) => {
            let shortest = (1..depth).find_map(|depth| tell(depth).err()).unwrap_or(found);
            panic!("{}", retell(&rules, &shortest));
        }
    }
}

/// A failing story, and the guarantee that it violates.
struct BadEnd {
    told: Vec<Step>,
    broken: String,
}

fn opening(rules: &Rules) -> Scene {
    let spec = ProgramSpec {
        kind: if rules.is_oneshot { Kind::Oneshot } else { Kind::Service },
        restart: RestartPolicy { forgive_on_start: rules.forgives, ..rules.delays.policy(rules.when) },
        startsecs: rules.startsecs,
        on_exit: rules.rules_of_exits(),
        essential: if rules.is_essential { Essential::Yes } else { Essential::No },
        stop: StopSpec {
            steps: rules.steps.clone(),
            scope: rules.scope,
            kill: rules.kill,
            leftovers: rules.leftovers,
            leftover_wait: rules.leftover_wait,
        },
        ..program("web")
    };
    let period = rules.checked.unwrap_or_default();
    let live = ProbeSpec { period, failure_threshold: 1, ..probe("live", ProbeKind::Liveness) };
    let spec = with(spec, |it| {
        it.ready = rules.must_say.map(|_| ReadySpec::Notify);
        it.start_timeout = rules.must_say.unwrap_or_default();
        it.watchdog = rules.watchdog;
        it.probes = rules.checked.map(|_| live.clone()).into_iter().collect();
    });
    let settings = Settings {
        shutdown_timeout: ShutdownBudget::Within(rules.shutdown_timeout),
        exit_when_done: rules.exit_when_done,
        ..Settings::DEFAULT
    };
    let programs = [Arc::new(spec)];
    Scene {
        core: Supervisor::new(settings, &programs, 0),
        witness: Witness::new(settings, &programs),
        programs,
        settings,
        model: Model::new(rules.clone()),
        request: 0,
        heard: Vec::new(),
    }
}

#[derive(Default)]
struct Known {
    /// The depth to which the continuations of a scene were played, by the scene's fingerprint.
    depths: HashMap<u64, usize>,
    /// Hashing a whole text takes half as long as hashing its thousand pieces.
    text: Vec<u8>,
}

impl Known {
    /// The same for equivalent scenes, in which core and model agree in every respect that later steps depend on.
    fn fingerprint(&mut self, scene: &Scene) -> u64 {
        self.text.clear();
        // The text of a checkpoint: a core with the same text decides alike.
        serde_json::to_writer(&mut self.text, &scene.core).expect("the core is data");
        write!(self.text, "{:?}", scene.model).expect("memory takes everything");
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.text);
        hasher.finish()
    }
}

fn walk(scene: &Scene, told: &mut Vec<Step>, known: &mut Known, depth: usize) -> Result<usize, BadEnd> {
    let mut count = 1;
    // Most steps are last ones: comparing their scenes costs more than it saves.
    if depth == 0 {
        return Ok(count);
    }
    let fingerprint = known.fingerprint(scene);
    match known.depths.entry(fingerprint) {
        Entry::Occupied(reached) if *reached.get() >= depth => return Ok(0),
        Entry::Occupied(mut reached) => *reached.get_mut() = depth,
        Entry::Vacant(place) => {
            place.insert(depth);
            if !told.is_empty() {
                let outcome = scene.clone().nothing_else_changes_it();
                outcome.map_err(|broken| BadEnd { told: told.clone(), broken })?;
            }
        }
    }
    for step in STEPS {
        if !can_happen(scene, told, step) {
            continue;
        }
        let mut next = scene.clone();
        told.push(step);
        next.take(step).map_err(|broken| BadEnd { told: told.clone(), broken })?;
        count += walk(&next, told, known, depth - 1)?;
        told.pop();
    }
    Ok(count)
}

fn can_happen(scene: &Scene, told: &[Step], step: Step) -> bool {
    let model = &scene.model;
    if model.is_over {
        return false;
    }
    match step {
        Step::Boots => told.is_empty(),
        Step::StartIsAsked | Step::StopIsAsked | Step::RestartIsAsked | Step::TermComes => true,
        // A daemon that has not booted reads nothing again.
        Step::BootsAgain => told.first() == Some(&Step::Boots),
        Step::IsSpawned | Step::IsNotSpawned => model.has_main() && !model.is_executed(),
        // It may be killed before it has executed its program, but cannot succeed.
        Step::ExitsWell => model.has_main() && model.is_executed(),
        Step::Fails => model.has_main(),
        Step::TreeIsGone => model.has_leftovers(),
        Step::TimePasses => model.deadline().is_some(),
        Step::AlmostEnoughTimePasses => {
            let already = told.last() == Some(&Step::AlmostEnoughTimePasses);
            !already && model.deadline().is_some_and(|at| at.since(model.now) > A_LITTLE)
        }
        Step::SaysReady => model.has_main() && model.rules.must_say.is_some(),
        Step::AsksForTime => model.has_main() && model.rules.asks_for_time,
        Step::Pings => model.has_main() && model.rules.watchdog.is_some(),
        Step::CheckSucceeds | Step::CheckFails => model.is_under_check(),
    }
}

impl Scene {
    fn take(&mut self, step: Step) -> Result<(), String> {
        let pending = self.model.pending();
        self.request = (1..).find(|request| !pending.contains(request)).unwrap_or_default();
        let run = RunId(self.model.runs);
        let model = &mut self.model;
        let input = match step {
            Step::Boots => {
                model.boot();
                Input::Booted
            }
            Step::StartIsAsked => {
                model.start(self.request);
                command(self.request, Verb::Start)
            }
            Step::StopIsAsked => {
                model.stop(self.request);
                command(self.request, Verb::Stop)
            }
            Step::RestartIsAsked => {
                model.restart(self.request);
                command(self.request, Verb::Restart)
            }
            Step::BootsAgain => {
                model.boots_again();
                let (programs, settings) = (self.programs.to_vec(), self.settings);
                Input::Reloaded { request: None, by: None, programs, settings, restarts_all: true }
            }
            Step::TermComes => {
                model.signal_to_daemon();
                Input::ShutdownAsked { reason: ShutdownReason::Signal(Signal::TERM), timeout: None }
            }
            Step::IsSpawned => {
                model.spawned();
                Input::Spawned { run }
            }
            Step::SaysReady => {
                model.says_ready();
                Input::Ready { run }
            }
            Step::AsksForTime => {
                model.asks_for_time(MORE_TIME);
                Input::Extended { run, by: MORE_TIME }
            }
            Step::Pings => {
                model.pings();
                Input::WatchdogPinged { run }
            }
            Step::CheckSucceeds | Step::CheckFails => {
                let success = step == Step::CheckSucceeds;
                model.check_ends(success);
                let outcome = ProbeOutcome { success, detail: String::new() };
                Input::ProbeFinished { run, probe: 0, outcome }
            }
            Step::IsNotSpawned => {
                model.not_spawned(missing());
                Input::SpawnFailed { run, error: missing() }
            }
            Step::ExitsWell => {
                model.exited(Exit::Code(0));
                Input::Exited { run, exit: Exit::Code(0) }
            }
            Step::Fails => {
                let exit = if run.0 % 2 == 1 { Exit::Code(1) } else { killed_by(Signal::TERM) };
                model.exited(exit);
                Input::Exited { run, exit }
            }
            Step::TreeIsGone => {
                model.tree_gone();
                Input::TreeGone { run }
            }
            Step::TimePasses | Step::AlmostEnoughTimePasses => return self.pass_time(step),
        };
        self.witness.hears(&input, &self.core);
        self.core.handle_input(self.model.now, input);
        self.compare()
    }

    fn pass_time(&mut self, step: Step) -> Result<(), String> {
        // Shortened timeouts are rounded differently by the core and the model; the later of both is late enough.
        let due = self.model.deadline().max(self.core.poll_timeout()).unwrap_or(self.model.now);
        let now = if step == Step::TimePasses { due } else { due - A_LITTLE };
        self.model.time_passes(now);
        self.core.handle_timeout(now);
        self.compare()
    }

    fn compare(&mut self) -> Result<(), String> {
        let now = self.model.now;
        self.heard.clear();
        while let Some(effect) = self.core.poll_effect() {
            self.witness.sees(now, &effect)?;
            self.heard.extend(act(effect));
        }
        self.witness.looks(&self.core)?;
        let acts = std::mem::take(&mut self.model.acts);
        let (model, core) = (&self.model, self.core.instance(ONE));
        let (told, ought) = (in_order(&self.heard), in_order(&acts));
        if told != ought {
            return Err(format!("the rules do {told:?}\n  it ought to be {ought:?}"));
        }
        if core.state() != model.state() {
            return Err(format!("the rules say {}, it ought to be {}", core.state(), model.state()));
        }
        if (core.goal() == Goal::Up) != model.is_wanted() && !model.is_over {
            return Err(format!("the goal is {:?}, wanted: {}", core.goal(), model.is_wanted()));
        }
        let (deadline, due) = (self.core.poll_timeout(), if model.is_over { None } else { model.deadline() });
        if !is_about(deadline, due) {
            return Err(format!("the next deadline is {deadline:?}, it ought to be {due:?}"));
        }
        Ok(())
    }

    /// Late and duplicate inputs, a signal to the program, waiting and abandoned waits: none of them changes anything.
    fn nothing_else_changes_it(&mut self) -> Result<(), String> {
        if self.model.is_over {
            return Ok(());
        }
        let before = self.look();
        for input in self.late_inputs() {
            self.witness.hears(&input, &self.core);
            self.core.handle_input(self.model.now, input.clone());
            if let Some(effect) = self.core.poll_effect() {
                return Err(format!("{input:?} is late, and brings about {effect:?}"));
            }
            if self.look() != before {
                return Err(format!("{input:?} is late, and changes {before:?} into {:?}", self.look()));
            }
        }
        self.signal_and_wait()?;
        let pending = self.model.pending();
        for &request in &pending {
            let answer = self.ask(Input::RequestExpired { request: RequestId(request) })?;
            if answer != [Act::Reply(request, Err(Failure::Pending))] {
                return Err(format!("who gives up waiting for {request} hears {answer:?}"));
            }
        }
        if self.look() != before {
            return Err(format!("asking changes {before:?} into {:?}", self.look()));
        }
        Ok(())
    }

    fn late_inputs(&self) -> Vec<Input> {
        let mut inputs = Vec::new();
        for run in [0, self.model.runs.saturating_sub(1), self.model.runs + 1] {
            let run = RunId(run);
            inputs.push(Input::Spawned { run });
            inputs.push(Input::SpawnFailed { run, error: missing() });
            inputs.push(Input::Exited { run, exit: Exit::Code(0) });
            inputs.push(Input::MainLost { run });
            inputs.push(Input::TreeGone { run });
            inputs.push(Input::Ready { run });
            inputs.push(Input::Extended { run, by: MORE_TIME });
            inputs.push(Input::WatchdogPinged { run });
            inputs.push(Input::WatchdogTripped { run });
        }
        let run = RunId(self.model.runs);
        if !self.model.is_under_check() {
            let outcome = ProbeOutcome { success: false, detail: String::new() };
            inputs.push(Input::ProbeFinished { run, probe: 0, outcome });
        }
        if self.model.has_main() {
            inputs.push(Input::TreeGone { run });
        } else {
            inputs.push(Input::Spawned { run });
            inputs.push(Input::Exited { run, exit: Exit::Code(7) });
            inputs.push(Input::MainLost { run });
            inputs.push(Input::Extended { run, by: MORE_TIME });
        }
        if self.model.is_executed() {
            inputs.push(Input::Spawned { run });
        }
        inputs.push(Input::RequestExpired { request: RequestId(u64::MAX) });
        inputs
    }

    fn signal_and_wait(&mut self) -> Result<(), String> {
        let (request, run, scope) = (1000, self.model.runs, muster_spec::SignalScope::Tree);
        let told = self.ask(command(request, Verb::Signal { signal: OPERATORS_SIGNAL, scope }))?;
        let ought = if self.model.has_main() {
            vec![Act::Signal(run, OPERATORS_SIGNAL, scope), Act::Reply(request, Ok(Done::Signalled))]
        } else {
            vec![Act::Reply(request, Err(Failure::NotRunning))]
        };
        if in_order(&told) != in_order(&ought) {
            return Err(format!("a signal does {told:?}, it ought to be {ought:?}"));
        }
        for (request, awaited) in (1001..).zip(Awaited::ALL) {
            self.wait_for(request, awaited)?;
        }
        Ok(())
    }

    fn wait_for(&mut self, request: u64, awaited: Awaited) -> Result<(), String> {
        let (state, is_gone) = (self.model.state(), !self.model.has_main() && !self.model.has_leftovers());
        let is_there = match awaited {
            Awaited::Running => state == State::Running || state == State::Exited && self.model.has_ended_well(),
            Awaited::Ready => self.model.is_ready() || self.model.is_done(),
            Awaited::Healthy => self.model.is_healthy() || self.model.is_done(),
            Awaited::Exited => matches!(state, State::Exited | State::Fatal),
            Awaited::Stopped => is_gone && matches!(state, State::Stopped | State::Exited | State::Fatal),
        };
        let wants_it_up = !matches!(awaited, Awaited::Exited | Awaited::Stopped);
        let is_hopeless = wants_it_up && !is_there && matches!(state, State::Exited | State::Fatal);
        let told = self.ask(command(request, Verb::Await(awaited)))?;
        let fits = match told.as_slice() {
            [Act::Reply(_, Ok(Done::Reached))] => is_there,
            [Act::Reply(_, Err(Failure::Ended(_)))] => is_hopeless,
            [] => !is_there && !is_hopeless,
            _ => false,
        };
        if !fits {
            return Err(format!("who waits for {awaited:?} in {state} hears {told:?}"));
        }
        self.ask(Input::RequestExpired { request: RequestId(request) }).map(drop)
    }

    fn ask(&mut self, input: Input) -> Result<Vec<Act>, String> {
        self.witness.hears(&input, &self.core);
        self.core.handle_input(self.model.now, input);
        let mut acts = Vec::new();
        while let Some(effect) = self.core.poll_effect() {
            self.witness.sees(self.model.now, &effect)?;
            acts.extend(act(effect));
        }
        Ok(acts)
    }

    fn look(&self) -> (State, Goal, Option<RunId>, u32, Option<Time>, Time) {
        let one = self.core.instance(ONE);
        let failures = one.failures(self.model.now);
        (one.state(), one.goal(), one.run(), failures, self.core.poll_timeout(), one.since())
    }
}

fn command(request: u64, verb: Verb) -> Input {
    let select = "web".parse().expect("a plain name is a selector");
    Input::Commanded { request: RequestId(request), select, verb, wait: true, by: ROOT }
}

fn act(effect: Effect) -> Option<Act> {
    match effect {
        Effect::Spawn { run, .. } => Some(Act::Spawn(run.0)),
        Effect::Signal { run, signal, scope } => Some(Act::Signal(run.0, signal, scope)),
        Effect::Wake { run, scope } => Some(Act::Wake(run.0, scope)),
        Effect::Sweep { run, signal } => Some(Act::Sweep(run.0, signal)),
        Effect::SweepGroup { run, signal } => Some(Act::SweepGroup(run.0, signal)),
        Effect::Disown { run } => Some(Act::Disown(run.0)),
        Effect::SignalStrays { signal } => Some(Act::Strays(signal)),
        Effect::Exit { code } => Some(Act::Exit(code)),
        Effect::Reply { request, outcome: Outcome::Results(results) } => {
            results.into_iter().next().map(|(_, result)| Act::Reply(request.0, result))
        }
        Effect::Reply { .. }
        | Effect::Publish(_)
        | Effect::StartProbe { .. }
        | Effect::AwaitContact { .. }
        | Effect::StopProbes { .. }
        | Effect::RunHook { .. }
        | Effect::Arm { .. }
        | Effect::Disarm { .. }
        | Effect::EndHook { .. }
        | Effect::NameLeftovers { .. } => None,
    }
}

/// Replies may come before or after effects, and in any order; effects are ordered.
fn in_order(acts: &[Act]) -> (Vec<&Act>, Vec<&Act>) {
    let (mut replies, done): (Vec<_>, Vec<_>) = acts.iter().partition(|act| matches!(act, Act::Reply(..)));
    replies.sort_by_key(|act| if let Act::Reply(request, _) = act { *request } else { 0 });
    (done, replies)
}

fn is_about(told: Option<Time>, ought: Option<Time>) -> bool {
    match (told, ought) {
        (Some(told), Some(ought)) => told.since(ought) + ought.since(told) < Duration::from_micros(1),
        (told, ought) => told == ought,
    }
}

/// The story from its beginning, step by step: the effects, and the states of core and model.
fn retell(rules: &Rules, end: &BadEnd) -> String {
    let mut scene = opening(rules);
    let mut text = format!("\nwith {rules:?}\n");
    for &step in &end.told {
        let _ = scene.take(step);
        let (now, state, ought) = (scene.model.now, scene.core.instance(ONE).state(), scene.model.state());
        let _ = writeln!(text, "{now:>10}  {step:?}: {:?}, then {state} (it ought to be {ought})", scene.heard);
    }
    text + &end.broken + "\n"
}
