//! Long random stories of one program with hooks, checked by the referee: what the exhaustive ones are too short for, such as
//! many runs in a row, restarts during each hook, and shutdowns at any moment.

use muster_core::random::Random;
use muster_spec::{Hook, Kind, Limit, ProgramSpec, RestartPolicy, RestartWhen};

use crate::common::programs::{ms, program, s, with};
use crate::exhaustive::{STEPS, Step};
use crate::stage::{Stage, all_hooks, changed, hooked, only};

const STORIES: u64 = 4000;

/// A program with some of the hooks, and random rules.
fn any_program(dice: &mut Random) -> ProgramSpec {
    let mut hooks = all_hooks();
    let chosen: Vec<Hook> = Hook::EVERY.into_iter().filter(|_| !dice.next_bits().is_multiple_of(4)).collect();
    if !chosen.is_empty() && dice.next_bits().is_multiple_of(2) {
        hooks = only(&chosen);
    }
    for hook in Hook::EVERY {
        if hooks.get(hook).is_some() && dice.next_bits().is_multiple_of(3) {
            hooks = changed(hooks, hook, |spec| spec.timeout = s(30));
        }
        if hooks.get(hook).is_some() && hook.may_fail() && dice.next_bits().is_multiple_of(4) {
            hooks = changed(hooks, hook, |spec| spec.ignores_failure = true);
        }
    }
    let when = [RestartWhen::Always, RestartWhen::OnFailure, RestartWhen::Never][(dice.next_bits() % 3) as usize];
    let limit = Limit::Retries((dice.next_bits() % 5) as u32);
    let kind = if dice.next_bits().is_multiple_of(5) { Kind::Oneshot } else { Kind::Service };
    let startsecs = ms(1000 * (dice.next_bits() % 2));
    let spec =
        ProgramSpec { restart: RestartPolicy { when, limit, ..RestartPolicy::DEFAULT }, startsecs, ..program("web") };
    // A oneshot is never RUNNING for long, so post_start is a mistake there.
    if kind == Kind::Oneshot {
        hooks.post_start = None;
    }
    let watchdog = dice.next_bits().is_multiple_of(3).then(|| s(4));
    with(hooked(ProgramSpec { kind, ..spec }, &hooks), |spec| spec.watchdog = watchdog)
}

/// Mostly what has to happen next, so that stories come far; a shutdown ends most of them.
fn next_step(stage: &Stage, dice: &mut Random) -> Option<Step> {
    let possible: Vec<Step> = STEPS.into_iter().filter(|&step| stage.can_happen(step)).collect();
    let step = possible[(dice.next_bits() % possible.len() as u64) as usize];
    let is_rare = step == Step::TermComes && !dice.next_bits().is_multiple_of(20);
    (!is_rare).then_some(step)
}

fn tell(seed: u64) -> Result<u64, String> {
    let mut dice = Random::seeded(seed);
    let mut stage = Stage::booted(any_program(&mut dice));
    let (mut told, mut runs) = (Vec::new(), 0);
    for _ in 0..20 + dice.next_bits() % 150 {
        if stage.referee.has_exited {
            return Ok(runs);
        }
        let Some(step) = next_step(&stage, &mut dice) else { continue };
        told.push(step);
        stage.take(step).map_err(|broken| format!("{seed}: {told:?}\n{broken}"))?;
        runs = runs.max(stage.referee.run.as_ref().map_or(0, |run| run.id.0));
        if dice.next_bits().is_multiple_of(30) {
            let late = stage.clone().ignores_what_is_late();
            late.map_err(|broken| format!("{seed}: {told:?}\n{broken}"))?;
        }
    }
    stage.comes_to_rest().map_err(|broken| format!("{seed}: {told:?}\n{broken}"))?;
    Ok(runs)
}

#[test]
fn every_promise_about_hooks_holds_in_long_random_stories() {
    let runs: Result<Vec<u64>, String> = (0..STORIES).map(tell).collect();
    match runs {
        Ok(runs) => assert!(runs.iter().sum::<u64>() > 5 * STORIES, "hardly any runs: {}", runs.iter().sum::<u64>()),
        Err(broken) => panic!("{broken}"),
    }
}
