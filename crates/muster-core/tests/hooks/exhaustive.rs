//! Every story of one program with hooks to depth six, from boot and from RUNNING: the referee checks each step, and from
//! every step on, if all cooperate, the program comes to rest and every request gets its reply.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};

use muster_core::{Input, ShutdownReason, Verb};
use muster_spec::{
    Exit, Hook, Kind, Leftovers, Limit, ProgramSpec, RestartPolicy, RestartWhen, Signal, State, StopKill, StopSpec,
};

use crate::common::programs::{missing, ms, program, s, with};
use crate::stage::{Stage, all_hooks, changed, hooked, only};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    HookSucceeds,
    HookFails,
    Asked(Verb),
    TermComes,
    IsSpawned,
    IsNotSpawned,
    ExitsWell,
    Fails,
    TreeIsGone,
    TripsWatchdog,
    TimePasses,
}

pub const STEPS: [Step; 13] = [
    Step::HookSucceeds,
    Step::HookFails,
    Step::Asked(Verb::Start),
    Step::Asked(Verb::Stop),
    Step::Asked(Verb::Restart),
    Step::TermComes,
    Step::IsSpawned,
    Step::IsNotSpawned,
    Step::ExitsWell,
    Step::Fails,
    Step::TreeIsGone,
    Step::TripsWatchdog,
    Step::TimePasses,
];

impl Stage {
    pub fn can_happen(&self, step: Step) -> bool {
        let referee = &self.referee;
        match step {
            Step::HookSucceeds | Step::HookFails => referee.hook().is_some(),
            Step::Asked(_) | Step::TermComes => true,
            Step::IsSpawned | Step::IsNotSpawned => referee.has_main() && !referee.is_executed(),
            Step::ExitsWell | Step::TripsWatchdog => referee.is_executed(),
            Step::Fails => referee.has_main(),
            Step::TreeIsGone => referee.is_swept(),
            Step::TimePasses => self.core.poll_timeout().is_some(),
        }
    }

    pub fn take(&mut self, step: Step) -> Result<(), String> {
        let exit = |code| Exit::Code(code);
        let input = match step {
            Step::HookSucceeds | Step::HookFails => {
                let (run, hook) = self.referee.hook().ok_or("no hook")?;
                let code = u8::from(step == Step::HookFails);
                Input::HookFinished { run, hook, end: Ok(exit(code)), said: "".into() }
            }
            Step::Asked(verb) => return self.ask(verb),
            Step::TermComes => Input::ShutdownAsked { reason: ShutdownReason::Signal(Signal::TERM), timeout: None },
            Step::IsSpawned => Input::Spawned { run: self.run() },
            Step::IsNotSpawned => Input::SpawnFailed { run: self.run(), error: missing() },
            Step::ExitsWell => Input::Exited { run: self.run(), exit: exit(0) },
            Step::Fails => Input::Exited { run: self.run(), exit: exit(1) },
            Step::TreeIsGone => Input::TreeGone { run: self.run() },
            Step::TripsWatchdog => Input::WatchdogTripped { run: self.run() },
            Step::TimePasses => return self.handle_next_deadline(),
        };
        self.try_hand(input)
    }

    /// Late and duplicate messages change nothing.
    pub fn ignores_what_is_late(mut self) -> Result<(), String> {
        let before = format!("{:?}", self.core);
        let current = self.one().run().map_or(0, |run| run.0);
        let mut late = Vec::new();
        for hook in Hook::EVERY {
            for run in [current, current.saturating_sub(1), current + 1] {
                let run = muster_spec::RunId(run);
                if self.referee.hook() != Some((run, hook)) {
                    late.push(Input::HookFinished { run, hook, end: Ok(Exit::Code(1)), said: "late".into() });
                }
            }
        }
        let run = muster_spec::RunId(current);
        if !self.referee.has_main() {
            late.push(Input::Exited { run, exit: Exit::Code(7) });
            late.push(Input::Ready { run });
            late.push(Input::WatchdogTripped { run });
            late.push(Input::SpawnFailed { run, error: missing() });
        }
        for input in late {
            self.core.handle_input(self.now, input.clone());
            if let Some(effect) = self.core.poll_effect() {
                return Err(format!("{input:?} is late, and brings about {effect:?}"));
            }
        }
        if before == format!("{:?}", self.core) { Ok(()) } else { Err("a late message changes something".to_owned()) }
    }

    /// Hooks succeed, a program that is asked to end does, time passes, and nothing else ends.
    pub fn comes_to_rest(mut self) -> Result<(), String> {
        for _ in 0..80 {
            let state = self.one().state();
            if self.referee.has_exited {
                return Ok(());
            }
            let is_next = |step: &Step| match step {
                Step::HookSucceeds | Step::IsSpawned | Step::TreeIsGone => self.can_happen(*step),
                Step::Fails => self.referee.is_to_end() && self.can_happen(*step),
                _ => false,
            };
            match STEPS.iter().copied().find(is_next) {
                Some(step) => self.take(step)?,
                None if self.core.poll_timeout().is_some() => self.take(Step::TimePasses)?,
                None if self.open > 0 => return Err(format!("all is at rest in {state}, and a request has no answer")),
                None if state.is_final() || state == State::Running => return Ok(()),
                None => return Err(format!("it never leaves {state}")),
            }
        }
        Err("it never comes to rest".to_owned())
    }
}

struct Fingerprint(DefaultHasher);

impl Write for Fingerprint {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

type Known = HashMap<u64, usize>;

fn walk(stage: &Stage, told: &mut Vec<Step>, known: &mut Known, depth: usize) -> Result<usize, String> {
    let mut count = 1;
    if depth == 0 || stage.referee.has_exited {
        return Ok(count);
    }
    let mut hasher = Fingerprint(DefaultHasher::new());
    let _ = write!(hasher, "{:?}{:?}", stage.core, stage.referee.run);
    let reached = known.entry(hasher.0.finish()).or_default();
    if *reached >= depth {
        return Ok(0);
    }
    let is_new = *reached == 0;
    *reached = depth;
    if is_new {
        let outcome = stage.clone().comes_to_rest().and_then(|()| stage.clone().ignores_what_is_late());
        outcome.map_err(|broken| format!("\n{told:?}\n{broken}\n"))?;
    }
    for step in STEPS {
        if !stage.can_happen(step) {
            continue;
        }
        told.push(step);
        let mut next = stage.clone();
        next.take(step).map_err(|broken| format!("\n{told:?}\n{broken}\n"))?;
        count += walk(&next, told, known, depth - 1)?;
        told.pop();
    }
    Ok(count)
}

const DEPTH: usize = 6;

pub fn always(program: ProgramSpec) -> ProgramSpec {
    let policy = RestartPolicy::DEFAULT;
    let restart = RestartPolicy { when: RestartWhen::Always, limit: Limit::Retries(1), ..policy };
    ProgramSpec { restart, ..program }
}

fn tell_all(program: &ProgramSpec, depth: usize) {
    let booted = Stage::booted(program.clone());
    let mut up = booted.clone();
    let happens = [Step::HookSucceeds, Step::IsSpawned, Step::TimePasses];
    for _ in 0..8 {
        if up.one().state() != State::Running
            && let Some(step) = happens.into_iter().find(|&step| up.can_happen(step))
        {
            up.take(step).expect("nothing can go wrong yet");
        }
    }
    for opening in [booted, up] {
        let tell = |depth| walk(&opening, &mut Vec::new(), &mut HashMap::new(), depth);
        match tell(depth) {
            Ok(count) => assert!(count > 1000, "only {count} stories: the tree was cut short"),
            Err(found) => {
                let shortest = (1..depth).find_map(|depth| tell(depth).err()).unwrap_or(found);
                panic!("{shortest}");
            }
        }
    }
}

#[test]
fn every_story_of_a_program_with_all_hooks_is_as_promised() {
    tell_all(&always(hooked(program("web"), &all_hooks())), DEPTH);
}

#[test]
fn every_story_of_hooks_whose_failure_is_ignored_is_as_promised() {
    let mut hooks = all_hooks();
    for hook in [Hook::PreStart, Hook::PostStart] {
        hooks = changed(hooks, hook, |spec| spec.ignores_failure = true);
    }
    tell_all(&always(hooked(program("web"), &hooks)), DEPTH - 1);
}

#[test]
fn every_story_of_single_hooks_is_as_promised() {
    for hook in Hook::EVERY {
        let quick = ProgramSpec { startsecs: ms(0), ..program("web") };
        tell_all(&always(hooked(quick, &only(&[hook]))), DEPTH - 1);
    }
    let hooks = only(&[Hook::PreStart, Hook::PreStop, Hook::PostStop]);
    tell_all(&hooked(ProgramSpec { kind: Kind::Oneshot, ..program("web") }, &hooks), DEPTH - 1);
}

#[test]
fn every_story_of_hooks_of_a_stop_that_ends_less_than_the_tree_is_as_promised() {
    for (kill, leftovers) in [(StopKill::Main, Leftovers::Keep), (StopKill::Group, Leftovers::Stop)] {
        let program = hooked(program("web"), &all_hooks());
        let stop = StopSpec { kill, leftovers, ..program.stop.clone() };
        tell_all(&always(ProgramSpec { stop, ..program }), DEPTH - 1);
    }
}

#[test]
fn every_story_of_hooks_that_may_take_longer_than_a_shutdown_is_as_promised() {
    let mut hooks = all_hooks();
    for hook in Hook::EVERY {
        hooks = changed(hooks, hook, |spec| spec.timeout = s(30));
    }
    let watched = with(hooked(program("web"), &hooks), |spec| spec.watchdog = Some(s(4)));
    tell_all(&always(watched), DEPTH - 1);
}
