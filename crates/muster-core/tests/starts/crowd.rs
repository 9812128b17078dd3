//! `max_parallel_starts`: how many are STARTING, whose turn is next, and that each has its turn.

use muster_core::{Input, Settings, Verb, random::Random};
use muster_spec::{Backoff, DependencyCondition, Limit, ProgramSpec, RestartPolicy, RestartWhen, StartDelay, State};

use crate::common::programs::{SETTINGS, job, missing, ms, needs, program, quick, s, several};
use crate::play::Play;

fn starting(play: &Play) -> Vec<&str> {
    let all = play.core.snapshot().iter().filter(|one| one.state() == State::Starting);
    all.map(|one| one.name()).collect()
}

#[test]
fn the_others_wait_by_priority_until_one_is_up() {
    let ranked = |name: &str, priority| ProgramSpec { priority, ..program(name) };
    let mut play = Play::at_most(2, [ranked("d", 40), ranked("c", 30), ranked("b", 20), ranked("a", 10)]);
    assert_eq!(play.spawned, ["a", "b"]);
    play.waits_for("c", "its turn to start");
    assert!(!play.core.is_ready());
    play.is_spawned("a");
    play.is_spawned("b");
    assert_eq!(starting(&play), ["b", "a"], "STARTING lasts for startsecs");
    play.later(s(1));
    assert_eq!((play.spawned.as_slice(), play.state("a")), (&["c".to_owned(), "d".to_owned()][..], State::Running));
}

#[test]
fn a_stop_makes_room_and_one_that_waits_is_stopped_at_once() {
    let mut play = Play::at_most(1, [program("a"), program("b"), program("c")]);
    assert_eq!(play.spawned, ["a"]);
    play.ask("b", Verb::Stop);
    assert_eq!(play.state("b"), State::Stopped);
    play.ask("a", Verb::Stop);
    assert_eq!((play.state("a"), play.spawned.as_slice()), (State::Stopping, &["c".to_owned()][..]));
    play.ask("b", Verb::Start);
    play.waits_for("b", "its turn to start");
    play.shutdown();
    assert_eq!(play.state("b"), State::Stopped);
}

#[test]
fn a_program_that_fails_at_once_keeps_none_from_starting() {
    let restart = RestartPolicy {
        when: RestartWhen::Always,
        limit: Limit::Unlimited,
        backoff: Backoff { delay: ms(0), ..Backoff::DEFAULT },
        ..RestartPolicy::DEFAULT
    };
    let crashing = |name: &str| ProgramSpec { priority: 1, restart, ..program(name) };
    let mut play = Play::at_most(1, [crashing("crash"), crashing("burn"), program("web")]);
    let mut order = play.spawned.clone();
    for _ in 0..8 {
        let name = starting(&play)[0].to_owned();
        play.is_spawned(&name);
        if name == "web" {
            play.later(s(1));
        } else {
            play.exits(&name, 1);
        }
        order.extend(play.spawned.clone());
    }
    assert_eq!(order[..6], ["crash", "burn", "web", "crash", "burn", "crash"], "{order:?}");
    assert_eq!(play.state("web"), State::Running);
}

#[test]
fn a_failed_start_makes_room_during_its_delay() {
    let mut play = Play::at_most(1, [program("a"), program("b")]);
    let run = play.one("a").run().expect("it is starting");
    play.hand(Input::SpawnFailed { run, error: missing() });
    assert_eq!((play.state("a"), play.spawned.as_slice()), (State::Backoff, &["b".to_owned()][..]));
    play.later(ms(500));
    play.waits_for("a", "its turn to start");
    play.is_spawned("b");
    play.later(s(1));
    assert_eq!(play.spawned, ["a"]);
}

#[test]
fn dependents_do_not_take_the_turns_of_what_they_wait_for() {
    let app = needs(ProgramSpec { priority: 1, ..program("app") }, &[("db", DependencyCondition::Started)]);
    let mut play = Play::at_most(1, [app, program("db"), program("other")]);
    assert_eq!(play.spawned, ["db"]);
    play.waits_for("app", "db to run");
    play.is_spawned("db");
    play.later(s(1));
    assert_eq!(play.spawned, ["app"], "it has the lower priority of the two that wait");
}

#[test]
fn the_delay_of_a_start_comes_before_the_turn() {
    let late = ProgramSpec { start_delay: StartDelay { delay: s(2), ..StartDelay::NONE }, ..program("late") };
    let mut play = Play::at_most(1, [late, program("web")]);
    assert_eq!(play.spawned, ["web"]);
    play.later(s(2));
    play.waits_for("late", "its turn to start");
    play.is_spawned("web");
    play.later(s(1));
    assert_eq!(play.spawned, ["late"]);
}

#[test]
fn a_reload_may_change_the_number() {
    let all = || vec![program("a"), program("b"), program("c"), program("d")];
    let with = |max_parallel_starts| Settings { max_parallel_starts, ..SETTINGS };
    let mut play = Play::of_list(with(1), all());
    assert_eq!(play.spawned, ["a"]);
    play.reload(with(3), all());
    assert_eq!(play.spawned, ["b", "c"]);
    play.reload(with(2), all());
    assert!(play.spawned.is_empty());
    play.is_spawned("a");
    play.later(s(1));
    assert!(play.spawned.is_empty(), "two others are still STARTING");
    play.reload(SETTINGS, all());
    assert_eq!(play.spawned, ["d"]);
}

#[test]
fn a_oneshot_needs_its_turn_until_it_is_executed() {
    let mut play = Play::at_most(1, [job("one"), job("two")]);
    play.is_spawned("one");
    assert_eq!((play.state("one"), play.spawned.as_slice()), (State::Running, &["two".to_owned()][..]));
}

/// The place of one that waits, as the documentation has it: fresh ones by priority, then those that retry.
fn is_before(play: &Play, first: &str, second: &str) -> bool {
    let key = |name: &str| (play.retrying.get(name).copied().unwrap_or(false), play.one(name).program().priority);
    let (one, two) = (key(first), key(second));
    !one.0 && two.0 || one.0 == two.0 && !one.0 && one.1 < two.1
}

#[test]
fn random_stories_of_many_keep_the_number_and_the_order() {
    let mut dice = Random::seeded(5);
    let mut below = move |n: u64| dice.next_bits() % n;
    let mut turns = 0;
    for story in 0..400 {
        let most = 1 + below(4) as u32;
        let one = |number: u64, below: &mut dyn FnMut(u64) -> u64| {
            let restart =
                RestartPolicy { limit: Limit::Unlimited, when: RestartWhen::Always, ..RestartPolicy::DEFAULT };
            let spec = ProgramSpec { priority: 1 + below(4) as i64, restart, ..program(&format!("p{number}")) };
            let spec = if below(3) == 0 { several(spec, 2) } else { spec };
            let spec = if below(4) == 0 {
                ProgramSpec { start_delay: StartDelay { delay: ms(300), stagger: ms(100) }, ..spec }
            } else {
                spec
            };
            if number > 0 && below(4) == 0 {
                needs(spec, &[(&format!("p{}", below(number)), DependencyCondition::Started)])
            } else {
                spec
            }
        };
        let programs: Vec<ProgramSpec> = (0..6).map(|number| one(number, &mut below)).collect();
        let mut play = Play::of_list(Settings { max_parallel_starts: most, ..SETTINGS }, programs);
        for _ in 0..120 {
            let queued: Vec<String> =
                play.core.snapshot().iter().filter(|one| one.awaits_turn()).map(|one| one.name().to_owned()).collect();
            let names: Vec<String> = play.core.snapshot().iter().map(|one| one.name().to_owned()).collect();
            let name = names[below(names.len() as u64) as usize].clone();
            let has_main = play.one(&name).run_began().is_some();
            let is_gone = play.one(&name).run().is_some() && !has_main;
            match below(9) {
                0 => drop(play.ask(&name, Verb::Start)),
                1 => drop(play.ask(&name, Verb::Stop)),
                2 => drop(play.ask(&name, Verb::Restart)),
                3 | 4 if has_main => play.is_spawned(&name),
                5 if has_main => play.main_ends(&name, 1),
                6 if is_gone => play.is_gone(&name),
                _ => play.later(ms(below(900))),
            }
            let count = starting(&play).len();
            assert!(count <= most as usize, "{count} of {most} in story {story}");
            let left: Vec<&str> =
                play.core.snapshot().iter().filter(|one| one.awaits_turn()).map(|one| one.name()).collect();
            assert!(left.is_empty() || count == most as usize, "{left:?} wait in vain in story {story}");
            // Of those that waited before this step and still wait, none was to come before one that had its turn. Time
            // steps have several turns, between which others may have come.
            for had in play.spawned.iter().filter(|name| queued.contains(name)) {
                for waits in left.iter().filter(|name| queued.iter().any(|it| it == *name)) {
                    assert!(!is_before(&play, waits, had), "{had} before {waits} in story {story}");
                }
                turns += 1;
            }
        }
        // In the end each of them has its turn, if all start well.
        for _ in 0..60 {
            for name in starting(&play).into_iter().map(str::to_owned).collect::<Vec<_>>() {
                play.is_spawned(&name);
            }
            play.later(s(2));
            // Those that took too long to be executed are being killed.
            for name in starting(&play).into_iter().map(str::to_owned).collect::<Vec<_>>() {
                if play.one(&name).run_began().is_some_and(|began| play.now.since(began) >= s(2)) {
                    play.exits(&name, 1);
                }
            }
        }
        assert!(!play.core.snapshot().iter().any(|one| one.awaits_turn()), "story {story}");
    }
    assert!(turns > 1000, "{turns} turns were given");
}

#[test]
fn a_thousand_start_in_their_order() {
    let programs = vec![several(quick("web"), 1000)];
    let mut play = Play::of_list(Settings { max_parallel_starts: 10, ..SETTINGS }, programs);
    let mut order = play.spawned.clone();
    let mut next = 0;
    while next < order.len() {
        let name = order[next].clone();
        play.is_spawned(&name);
        order.extend(play.spawned.clone());
        next += 1;
    }
    assert_eq!(order, (0..1000).map(|number| format!("web:{number}")).collect::<Vec<_>>());
}
