//! Every story of two programs that are stopped and restarted singly and together, to depth four with both up; and of
//! two where one depends on the other's readiness, with probes, a watchdog and reloads, from boot.
//!
//! There is no model here: the witness checks each step, and from every step on, if all programs cooperate, all must
//! come to rest and every request must get its reply.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;

use muster_core::{Effect, Input, Instance, ProbeOutcome, RequestId, Settings, ShutdownReason, Supervisor, Time, Verb};
use muster_spec::{
    DependencyCondition, Exit, Goal, InstanceId, ProbeKind, ProbeSpec, ProgramSpec, Recycle, RestartWhen, Rolling,
    RunId, ShutdownBudget, ShutdownOrder, Signal, State,
};

use crate::common::programs::{
    ROOT, SETTINGS, needs, notifying, probe, probed, quick, restarted_with, s, several, when, with, with_command,
};
use crate::common::witness::Witness;
use crate::extra_depth;

const BOTH: [InstanceId; 2] = [InstanceId(0), InstanceId(1)];

#[derive(Clone, Copy, Debug)]
enum Step {
    Asked(Verb, &'static str),
    TermComes,
    IsSpawned(InstanceId),
    Fails(InstanceId),
    TreeIsGone(InstanceId),
    TimePasses,
    SaysReady(InstanceId),
    IsChecked(InstanceId, bool),
    Pings(InstanceId),
    /// Replaces the active configuration with another of the scene's.
    IsReconfigured(usize),
    /// The same, and everything starts again as at boot: supervisord's HUP.
    BootsAgain(usize),
}

fn steps() -> Vec<Step> {
    let asked = [
        Step::Asked(Verb::Restart, "all"),
        Step::Asked(Verb::Stop, "all"),
        Step::Asked(Verb::Start, "app"),
        Step::Asked(Verb::Stop, "app"),
        Step::Asked(Verb::Restart, "app"),
        Step::Asked(Verb::Start, "db"),
        Step::Asked(Verb::Restart, "db"),
        Step::BootsAgain(0),
        Step::TermComes,
        Step::TimePasses,
    ];
    let happens = BOTH.into_iter().flat_map(|id| [Step::IsSpawned(id), Step::Fails(id), Step::TreeIsGone(id)]);
    asked.into_iter().chain(happens).collect()
}

#[derive(Clone)]
struct Scene {
    core: Supervisor,
    witness: Witness,
    now: Time,
    requests: u64,
    settings: Settings,
    configurations: Rc<[Vec<Arc<ProgramSpec>>]>,
    /// The unanswered probes.
    checks: BTreeSet<(RunId, usize)>,
}

fn scene_of(configurations: Vec<Vec<Arc<ProgramSpec>>>, settings: Settings) -> Scene {
    let core = Supervisor::new(settings, &configurations[0], 0);
    let witness = Witness::new(settings, &configurations[0]);
    let (now, requests, checks) = (Time::ZERO, 0, BTreeSet::new());
    let mut scene = Scene { core, witness, now, requests, settings, configurations: configurations.into(), checks };
    scene.hand(Input::Booted).expect("nothing can go wrong yet");
    scene
}

fn opening(priorities: [i64; 2], settings: Settings) -> Scene {
    let named = |name, priority| Arc::new(ProgramSpec { priority, restart: when(RestartWhen::Always), ..quick(name) });
    let programs = [named("app", priorities[0]), named("db", priorities[1])];
    let mut scene = scene_of(vec![programs.to_vec()], settings);
    BOTH.into_iter().for_each(|id| scene.take(Step::IsSpawned(id)).expect("nothing can go wrong yet"));
    scene
}

impl Scene {
    fn can_happen(&self, step: Step) -> bool {
        let is = |id: InstanceId, fits: &dyn Fn(&Instance) -> bool| self.core.get(id).is_some_and(fits);
        match step {
            Step::Asked(..) | Step::TermComes | Step::IsReconfigured(_) | Step::BootsAgain(_) => true,
            Step::IsSpawned(id) => is(id, &|it| it.state() == State::Starting) && !self.witness.is_executed(id),
            Step::Fails(id) => is(id, &|it| it.run_began().is_some()),
            Step::TreeIsGone(id) => is(id, &Instance::has_leftovers),
            Step::SaysReady(id) | Step::Pings(id) => is(id, &|it| it.run_began().is_some()),
            Step::IsChecked(id, _) => self.check_of(id).is_some(),
            Step::TimePasses => self.core.poll_timeout().is_some(),
        }
    }

    fn check_of(&self, id: InstanceId) -> Option<(RunId, usize)> {
        let run = self.core.get(id)?.run()?;
        self.checks.iter().copied().find(|&(of, _)| of == run)
    }

    fn take(&mut self, step: Step) -> Result<(), String> {
        let run = |id: InstanceId| self.core.instance(id).run().expect("there is a run");
        let input = match step {
            Step::Asked(verb, select) => {
                self.requests += 1;
                let select = select.parse().expect("a selector");
                Input::Commanded { request: RequestId(self.requests), select, verb, wait: true, by: ROOT }
            }
            Step::TermComes => Input::ShutdownAsked { reason: ShutdownReason::Signal(Signal::TERM), timeout: None },
            Step::IsSpawned(id) => Input::Spawned { run: run(id) },
            Step::Fails(id) => Input::Exited { run: run(id), exit: Exit::Code(1) },
            Step::TreeIsGone(id) => Input::TreeGone { run: run(id) },
            Step::SaysReady(id) => Input::Ready { run: run(id) },
            Step::Pings(id) => Input::WatchdogPinged { run: run(id) },
            Step::IsChecked(id, success) => {
                let (run, probe) = self.check_of(id).expect("there is a check");
                self.checks.remove(&(run, probe));
                Input::ProbeFinished { run, probe, outcome: ProbeOutcome { success, detail: String::new() } }
            }
            Step::IsReconfigured(which) | Step::BootsAgain(which) => {
                self.requests += 1;
                let (request, programs) = (Some(RequestId(self.requests)), self.configurations[which].clone());
                let restarts_all = matches!(step, Step::BootsAgain(_));
                Input::Reloaded { request, by: None, programs, settings: self.settings, restarts_all }
            }
            Step::TimePasses => {
                self.now = self.core.poll_timeout().unwrap_or(self.now);
                self.core.handle_timeout(self.now);
                return self.drain();
            }
        };
        self.hand(input)
    }

    fn hand(&mut self, input: Input) -> Result<(), String> {
        self.witness.hears(&input, &self.core);
        self.core.handle_input(self.now, input);
        self.drain()
    }

    fn drain(&mut self) -> Result<(), String> {
        while let Some(effect) = self.core.poll_effect() {
            self.witness.sees(self.now, &effect)?;
            match effect {
                Effect::StartProbe { run, probe, .. } => drop(self.checks.insert((run, probe))),
                Effect::StopProbes { run } => self.checks.retain(|&(of, _)| of != run),
                _ => {}
            }
        }
        self.witness.looks(&self.core)
    }

    /// The same with repeated probes: all programs are healthy, and each reaches its goal.
    fn comes_to_order(mut self) -> Result<(), String> {
        for _ in 0..120 {
            if self.witness.has_exited.is_some() || self.is_in_order() {
                return Ok(());
            }
            let is_to_end = |id: InstanceId| {
                let is_being_stopped = |it: &Instance| it.state() == State::Stopping || it.is_failing();
                self.core.get(id).is_some_and(is_being_stopped) || self.witness.was_killed(id)
            };
            let all = (0..8).map(InstanceId);
            let happens = all.flat_map(|id| {
                [
                    Step::TreeIsGone(id),
                    Step::Fails(id),
                    Step::IsSpawned(id),
                    Step::SaysReady(id),
                    Step::IsChecked(id, true),
                ]
            });
            let mut happens = happens.chain([Step::TimePasses]);
            let is_next = |step: &Step| match *step {
                Step::Fails(id) => is_to_end(id) && self.can_happen(*step),
                Step::SaysReady(id) => {
                    self.core.get(id).is_some_and(|it| it.state() == State::Starting) && !is_to_end(id)
                }
                _ => self.can_happen(*step),
            };
            match happens.find(is_next) {
                Some(step) => self.take(step)?,
                None => break,
            }
        }
        let states: Vec<String> =
            self.core.snapshot().iter().map(|one| format!("{} {}", one.name(), one.state())).collect();
        let open: Vec<RequestId> = self.witness.open().collect();
        Err(format!("it never comes to order: {} and no answer to {open:?}", states.join(", ")))
    }

    /// Whether every program that is wanted is up, completed or waits for an unmet dependency, the others are down, and
    /// no request is open.
    fn is_in_order(&self) -> bool {
        let is_settled = |one: &Instance| match one.state() {
            State::Running => one.goal() == Goal::Up && !one.is_failing(),
            State::Waiting => self.core.waiting_for(one.id(), self.now).iter().any(|on| on.contains("which")),
            state => state.is_final() && !one.is_live(),
        };
        self.witness.open().next().is_none() && self.core.snapshot().iter().all(is_settled)
    }

    /// Every due event happens, programs that got a stop signal exit, and nothing else ends.
    fn comes_to_rest(mut self) -> Result<(), String> {
        for _ in 0..60 {
            if self.witness.has_exited.is_some() {
                return Ok(());
            }
            let is_being_stopped =
                |id: InstanceId| self.core.instance(id).state() == State::Stopping || self.witness.was_killed(id);
            let happens = BOTH.into_iter().flat_map(|id| [Step::TreeIsGone(id), Step::Fails(id), Step::IsSpawned(id)]);
            // A program that was killed before exec is reported as exited, not as spawned.
            let next = happens.into_iter().find(|&step| match step {
                Step::Fails(id) => is_being_stopped(id) && self.can_happen(step),
                _ => self.can_happen(step),
            });
            match next {
                Some(step) => self.take(step)?,
                None if self.core.poll_timeout().is_some() => self.take(Step::TimePasses)?,
                None => return self.is_at_rest(),
            }
        }
        Err("it never comes to rest".to_owned())
    }

    fn is_at_rest(&self) -> Result<(), String> {
        let is_settled = |state: State| state.is_final() || state == State::Running;
        let restless = self.core.snapshot().iter().find(|one| !is_settled(one.state()));
        if let Some(one) = restless {
            return Err(format!("{} never leaves {}", one.name(), one.state()));
        }
        match self.witness.open().next() {
            Some(request) => Err(format!("all is at rest, and {request:?} has no answer")),
            None => Ok(()),
        }
    }
}

/// Two instances of a program that report readiness and take turns by configuration or by command.
fn rolled_steps() -> Vec<Step> {
    let asked = [
        Step::Asked(Verb::Restart, "web:*"),
        Step::Asked(Verb::Roll { parallel: NonZeroU32::MIN }, "web:*"),
        Step::Asked(Verb::Restart, "web:1"),
        Step::Asked(Verb::Stop, "web:0"),
        Step::Asked(Verb::Start, "web:*"),
        Step::IsReconfigured(0),
        Step::IsReconfigured(1),
        Step::IsReconfigured(2),
        Step::BootsAgain(1),
        Step::TermComes,
        Step::TimePasses,
    ];
    let happens = BOTH
        .into_iter()
        .flat_map(|id| [Step::IsSpawned(id), Step::Fails(id), Step::TreeIsGone(id), Step::SaysReady(id)]);
    asked.into_iter().chain(happens).collect()
}

type Ending = fn(Scene) -> Result<(), String>;

fn walk(scene: &Scene, told: &mut Vec<Step>, steps: &[Step], depth: usize, ending: Ending) -> Result<usize, String> {
    let mut count = 1;
    if depth == 0 || scene.witness.has_exited.is_some() {
        return Ok(count);
    }
    for &step in steps {
        if !scene.can_happen(step) {
            continue;
        }
        told.push(step);
        let mut next = scene.clone();
        let outcome = next.take(step).and_then(|()| ending(next.clone()));
        outcome.map_err(|broken| format!("\n{told:#?}\n{broken}\n"))?;
        count += walk(&next, told, steps, depth - 1, ending)?;
        told.pop();
    }
    Ok(count)
}

#[test]
fn every_story_of_two_programs_keeps_the_promises() {
    let unlimited = Settings { shutdown_timeout: ShutdownBudget::Unlimited, ..SETTINGS };
    let serial = Settings { shutdown_order: ShutdownOrder::Serial, ..SETTINGS };
    let both = Settings { shutdown_order: ShutdownOrder::Serial, ..unlimited };
    let cases = [([2, 1], SETTINGS), ([1, 1], SETTINGS), ([2, 1], unlimited), ([1, 1], serial), ([1, 1], both)];
    for (priorities, settings) in cases {
        let tell = |depth| walk(&opening(priorities, settings), &mut Vec::new(), &steps(), depth, Scene::comes_to_rest);
        // Lower depths first, so that a failing story is the shortest.
        for depth in 1..=4 {
            let count =
                tell(depth).unwrap_or_else(|bad| panic!("with the priorities {priorities:?} and {settings:?}: {bad}"));
            assert!(depth < 4 || count > 1000, "only {count} stories: the tree was cut short");
        }
    }
}

/// A program that depends on the readiness of another and restarts with it. The other one reports readiness, is probed,
/// and has a watchdog.
fn watched_pair() -> [ProgramSpec; 2] {
    let app = restarted_with(needs(quick("app"), &[("db", DependencyCondition::Ready)]), &["db"]);
    let live = ProbeSpec { failure_threshold: 1, ..probe("live", ProbeKind::Liveness) };
    let db = with(probed(notifying(quick("db")), &[live]), |spec| spec.watchdog = Some(s(20)));
    [app, db]
}

fn watched_steps() -> Vec<Step> {
    const DB: InstanceId = InstanceId(1);
    let asked = [
        Step::Asked(Verb::Restart, "db"),
        Step::Asked(Verb::Stop, "db"),
        Step::Asked(Verb::Start, "app"),
        Step::Asked(Verb::Stop, "app"),
        Step::SaysReady(DB),
        Step::IsChecked(DB, true),
        Step::IsChecked(DB, false),
        Step::Pings(DB),
        Step::IsReconfigured(0),
        Step::IsReconfigured(1),
        Step::IsReconfigured(2),
        Step::BootsAgain(0),
        Step::BootsAgain(1),
        Step::BootsAgain(2),
        Step::TermComes,
        Step::TimePasses,
    ];
    let happens = BOTH.into_iter().flat_map(|id| [Step::IsSpawned(id), Step::Fails(id), Step::TreeIsGone(id)]);
    asked.into_iter().chain(happens).collect()
}

#[test]
fn every_story_of_a_dependent_and_its_dependency_keeps_the_promises() {
    let [app, db] = watched_pair();
    // The configuration at boot; with another command and other settings of the one; without the one, and the other
    // without dependencies.
    let configurations = vec![
        vec![Arc::new(app.clone()), Arc::new(db.clone())],
        vec![Arc::new(several(app.clone(), 2)), Arc::new(with_command(db, "another"))],
        vec![Arc::new(needs(app, &[]))],
    ];
    let mut up = scene_of(configurations.clone(), SETTINGS);
    for step in [Step::IsSpawned(BOTH[1]), Step::SaysReady(BOTH[1]), Step::IsSpawned(BOTH[0])] {
        up.take(step).expect("nothing can go wrong yet");
    }
    for opening in [scene_of(configurations, SETTINGS), up] {
        for depth in 1..=4 {
            let told = walk(&opening, &mut Vec::new(), &watched_steps(), depth, Scene::comes_to_order);
            let count = told.unwrap_or_else(|bad| panic!("{bad}"));
            assert!(depth < 4 || count > 10_000, "only {count} stories: the tree was cut short");
        }
    }
}

#[test]
fn every_story_of_two_instances_that_take_turns_keeps_the_promises() {
    let web = ProgramSpec { rolling: Some(Rolling::DEFAULT), ..notifying(several(quick("web"), 2)) };
    let recycled = ProgramSpec { recycle_after: Some(Recycle::after(s(30))), rolling: None, ..web.clone() };
    let configurations =
        vec![vec![Arc::new(web.clone())], vec![Arc::new(with_command(web, "another"))], vec![Arc::new(recycled)]];
    let mut up = scene_of(configurations.clone(), SETTINGS);
    for step in BOTH.into_iter().flat_map(|id| [Step::IsSpawned(id), Step::SaysReady(id)]) {
        up.take(step).expect("nothing can go wrong yet");
    }
    let mut rolls = up.clone();
    rolls.take(Step::Asked(Verb::Restart, "web:*")).expect("nothing can go wrong yet");
    for (opening, deepest) in [(scene_of(configurations, SETTINGS), 4), (up, 4), (rolls, 4 + extra_depth())] {
        for depth in 1..=deepest {
            let told = walk(&opening, &mut Vec::new(), &rolled_steps(), depth, Scene::comes_to_order);
            let count = told.unwrap_or_else(|bad| panic!("{bad}"));
            assert!(depth < 4 || count > 5_000, "only {count} stories: the tree was cut short");
            println!("depth {depth}: {count} stories");
        }
    }
}
