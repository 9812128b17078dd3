//! Every story of some steps, and long random ones: the stage checks that no run begins with the goal down, beside another
//! one, or during the shutdown, that the shell's list of armed programs is the core's, and that each request has one answer.

use std::collections::HashSet;

use muster_core::{Instance, Verb};
use muster_spec::{Overlap, ProgramSpec, RestartWhen, State};

use crate::common::programs::{s, when};
use crate::stage::{Stage, timed};

const STEPS: [&str; 12] =
    ["due", "start", "later", "stop", "restart", "spawned", "succeeds", "fails", "gone", "wait", "shutdown", "reload"];

/// Whether the step is possible.
fn take(stage: &mut Stage, step: &str, programs: &[ProgramSpec; 2]) -> bool {
    let has_run = stage.one("job").run().is_some();
    let main_lives = stage.one("job").run_began().is_some();
    match step {
        "due" => stage.is_due("job"),
        "start" => drop(stage.order(Verb::Start, "job")),
        "later" => drop(stage.order(Verb::StartLater, "job")),
        "stop" => drop(stage.order(Verb::Stop, "job")),
        "restart" => drop(stage.order(Verb::Restart, "job")),
        "spawned" if main_lives => stage.spawned("job"),
        "succeeds" if main_lives => stage.main_ends("job", 0),
        "fails" if main_lives => stage.main_ends("job", 1),
        "gone" if has_run && !main_lives => stage.tree_gone("job"),
        "wait" => stage.after(s(20)),
        "shutdown" => stage.shutdown(),
        "reload" => {
            let is_first = stage.one("job").program().schedule == programs[0].schedule;
            stage.reload([programs[usize::from(is_first)].clone()]);
        }
        _ => return false,
    }
    true
}

/// The difference between stories, as far as later steps are concerned.
fn mark(stage: &Stage, depth: usize) -> String {
    let one = stage.one("job");
    format!("{depth} {:?} {one:?}", stage.core.poll_timeout())
}

fn walk(stage: &Stage, depth: usize, programs: &[ProgramSpec; 2], seen: &mut HashSet<String>, count: &mut usize) {
    *count += 1;
    if depth == 0 || stage.has_exited {
        return;
    }
    for step in STEPS {
        let mut next = stage.clone();
        if take(&mut next, step, programs) && (next.has_exited || seen.insert(mark(&next, depth))) {
            next.take_deeds();
            walk(&next, depth - 1, programs, seen, count);
        }
    }
}

fn pair(overlap: Overlap, restart: RestartWhen) -> [ProgramSpec; 2] {
    let with = |overlap| ProgramSpec { restart: when(restart), ..timed("job", overlap) };
    [with(overlap), with(if overlap == Overlap::Queue { Overlap::Skip } else { Overlap::Queue })]
}

#[test]
fn no_order_of_inputs_breaks_a_promise() {
    let mut count = 0;
    for overlap in [Overlap::Skip, Overlap::Queue, Overlap::Replace] {
        for restart in [RestartWhen::Never, RestartWhen::OnFailure] {
            let programs = pair(overlap, restart);
            let stage = Stage::booted([programs[0].clone()]);
            walk(&stage, 7, &programs, &mut HashSet::new(), &mut count);
        }
    }
    println!("{count} stories");
    assert!(count > 50_000, "{count}");
}

#[test]
fn nothing_breaks_a_promise_in_long_random_stories() {
    let mut seed = 7u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let overlaps = [Overlap::Skip, Overlap::Queue, Overlap::Replace];
    for _ in 0..300 {
        let restart = [RestartWhen::Never, RestartWhen::OnFailure, RestartWhen::Always][next(3)];
        let programs = pair(overlaps[next(3)], restart);
        let mut stage = Stage::booted([programs[0].clone()]);
        for _ in 0..200 {
            // A shutdown is the end of the story, so it comes late.
            let step = STEPS[next(STEPS.len())];
            if step != "shutdown" {
                take(&mut stage, step, &programs);
            }
        }
        stage.shutdown();
        stage.after(s(60));
        assert!(stage.has_exited, "{:?}", stage.one("job").state());
        let is_down = |one: &Instance| !matches!(one.state(), State::Waiting | State::Backoff);
        assert!(stage.core.snapshot().iter().all(is_down));
    }
}
