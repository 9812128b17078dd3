//! Every story of two programs that are stopped and restarted singly and together, to depth four from both up.
//!
//! There is no model here: the promises are held against each step, and from every step on, once everybody cooperates, all
//! must come to rest and every request must have its answer.

use std::rc::Rc;

use muster_core::restart::RestartWhen;
use muster_core::spec::ProgramSpec;
use muster_core::{Exit, Input, InstanceId, RequestId, ShutdownReason, Signal, State, Supervisor, Time, Verb};

use crate::common::programs::{SETTINGS, quick, when};
use crate::common::witness::Witness;

const BOTH: [InstanceId; 2] = [InstanceId(0), InstanceId(1)];

#[derive(Clone, Copy, Debug)]
enum Step {
    Asked(Verb, &'static str),
    TermComes,
    IsSpawned(InstanceId),
    Fails(InstanceId),
    TreeIsGone(InstanceId),
    TimePasses,
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
}

fn opening(priorities: [i64; 2]) -> Scene {
    let named = |name, priority| Rc::new(ProgramSpec { priority, restart: when(RestartWhen::Always), ..quick(name) });
    let programs = [named("app", priorities[0]), named("db", priorities[1])];
    let core = Supervisor::new(SETTINGS, &programs, 0);
    let mut scene = Scene { core, witness: Witness::new(SETTINGS, &programs), now: Time::ZERO, requests: 0 };
    scene.hand(Input::Booted).expect("nothing can go wrong yet");
    BOTH.into_iter().for_each(|id| scene.take(Step::IsSpawned(id)).expect("nothing can go wrong yet"));
    scene
}

impl Scene {
    fn can_happen(&self, step: Step) -> bool {
        let is_new = |id: InstanceId| self.core.instance(id).state() == State::Starting;
        match step {
            Step::Asked(..) | Step::TermComes => true,
            Step::IsSpawned(id) => is_new(id),
            Step::Fails(id) => self.core.instance(id).run_began().is_some(),
            Step::TreeIsGone(id) => self.core.instance(id).has_leftovers(),
            Step::TimePasses => self.core.poll_timeout().is_some(),
        }
    }

    fn take(&mut self, step: Step) -> Result<(), String> {
        let run = |id: InstanceId| self.core.instance(id).run().expect("there is a run");
        let input = match step {
            Step::Asked(verb, select) => {
                self.requests += 1;
                let select = select.parse().expect("a selector");
                Input::Commanded { request: RequestId(self.requests), select, verb, wait: true }
            }
            Step::TermComes => Input::ShutdownAsked { reason: ShutdownReason::Signal(Signal::TERM), timeout: None },
            Step::IsSpawned(id) => Input::Spawned { run: run(id) },
            Step::Fails(id) => Input::Exited { run: run(id), exit: Exit::Code(1) },
            Step::TreeIsGone(id) => Input::TreeGone { run: run(id) },
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
        }
        self.witness.looks(&self.core)
    }

    /// Everything that is due happens, what is asked to stop stops, and nothing else ends.
    fn comes_to_rest(mut self) -> Result<(), String> {
        for _ in 0..60 {
            if self.witness.has_exited.is_some() {
                return Ok(());
            }
            let is_being_stopped =
                |id: InstanceId| self.core.instance(id).state() == State::Stopping || self.witness.was_killed(id);
            let happens = BOTH.into_iter().flat_map(|id| [Step::TreeIsGone(id), Step::Fails(id), Step::IsSpawned(id)]);
            // A program that was killed before it was executed is found dead, not spawned.
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
            return Err(format!("{} stays {} for ever", one.name(), one.state()));
        }
        match self.witness.open().next() {
            Some(request) => Err(format!("all is at rest, and {request:?} has no answer")),
            None => Ok(()),
        }
    }
}

fn walk(scene: &Scene, told: &mut Vec<Step>, steps: &[Step], depth: usize) -> Result<usize, String> {
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
        let outcome = next.take(step).and_then(|()| next.clone().comes_to_rest());
        outcome.map_err(|broken| format!("\n{told:#?}\n{broken}\n"))?;
        count += walk(&next, told, steps, depth - 1)?;
        told.pop();
    }
    Ok(count)
}

#[test]
fn every_story_of_two_programs_keeps_the_promises() {
    for priorities in [[2, 1], [1, 1]] {
        let tell = |depth| walk(&opening(priorities), &mut Vec::new(), &steps(), depth);
        // The shorter ones first, so that a story that ends badly is the shortest.
        for depth in 1..=4 {
            let count = tell(depth).unwrap_or_else(|bad| panic!("with the priorities {priorities:?}: {bad}"));
            assert!(depth < 4 || count > 1000, "only {count} stories: the tree has been cut down");
        }
    }
}
