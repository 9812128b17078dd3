//! `start_delay`: when there is a wait, and what ends it.

use muster_core::{Done, Outcome, Settings, Verb};
use muster_spec::{DependencyCondition, ProgramSpec, StartDelay, StartOn, State};

use crate::common::programs::{SETTINGS, job, ms, needs, quick, s, several, with_command};
use crate::play::Play;

fn delayed(program: ProgramSpec, seconds: u64) -> ProgramSpec {
    ProgramSpec { start_delay: StartDelay { delay: s(seconds), ..StartDelay::NONE }, ..program }
}

#[test]
fn the_first_run_waits_and_a_retry_or_restart_does_not() {
    let mut play = Play::plain([delayed(quick("web"), 2)]);
    play.waits_for("web", "its start delay, 2s");
    play.later(ms(600));
    play.waits_for("web", "its start delay, 1.4s");
    assert!(!play.core.is_ready());
    play.later(ms(1399));
    assert!(play.spawned.is_empty());
    play.later(ms(1));
    assert_eq!((play.state("web"), play.spawned.as_slice()), (State::Starting, &["web".to_owned()][..]));
    play.is_spawned("web");
    play.exits("web", 1);
    play.later(ms(500));
    assert_eq!(play.spawned, ["web"], "a retry has the delay of its policy only");
    play.is_spawned("web");
    play.ask("web", Verb::Restart);
    play.exits("web", 0);
    assert_eq!(play.spawned, ["web"], "nor does a restart wait");
    play.is_spawned("web");
    play.ask("web", Verb::Stop);
    play.exits("web", 0);
    play.ask("web", Verb::Restart);
    assert_eq!(play.spawned, ["web"], "also of one that is down");
}

#[test]
fn a_stop_is_immediate_and_a_second_start_ends_the_wait() {
    let mut play = Play::plain([delayed(quick("web"), 2)]);
    play.later(s(1));
    let request = play.ask("web", Verb::Stop);
    assert_eq!(play.state("web"), State::Stopped);
    assert!(play.replies.contains_key(&request) && play.core.poll_timeout().is_none(), "nothing is left to wait for");
    let first = play.ask("web", Verb::Start);
    play.waits_for("web", "its start delay, 2s");
    assert!(!play.replies.contains_key(&first), "it is answered when the program is up");
    play.later(s(1));
    let second = play.ask("web", Verb::Start);
    assert_eq!(play.spawned, ["web"]);
    play.is_spawned("web");
    for request in [first, second] {
        let Some(Outcome::Results(results)) = play.replies.get(&request) else { panic!("it is answered") };
        assert_eq!(results[0].1, Ok(Done::Started));
    }
    assert!(play.core.poll_timeout().is_none(), "the deadline is gone");
}

#[test]
fn one_that_has_ended_for_good_waits_when_it_is_started() {
    let mut play = Play::plain([delayed(job("migrate"), 3)]);
    play.later(s(3));
    play.is_spawned("migrate");
    play.exits("migrate", 0);
    assert_eq!(play.state("migrate"), State::Exited);
    play.ask("migrate", Verb::Start);
    play.waits_for("migrate", "its start delay, 3s");
}

#[test]
fn a_start_during_the_stop_waits_after_it_and_one_more_start_does_not() {
    for (starts, waits) in [(1, true), (2, false)] {
        let mut play = Play::plain([delayed(quick("web"), 2)]);
        play.later(s(2));
        play.is_spawned("web");
        play.ask("web", Verb::Stop);
        for _ in 0..starts {
            play.ask("web", Verb::Start);
        }
        play.exits("web", 0);
        assert_eq!((play.state("web") == State::Waiting, play.spawned.is_empty()), (waits, waits));
    }
}

#[test]
fn each_instance_waits_longer_than_the_one_before() {
    let start_delay = StartDelay { delay: s(1), stagger: ms(500) };
    let mut play = Play::plain([ProgramSpec { start_delay, ..several(quick("web"), 3) }]);
    let mut starts = Vec::new();
    for step in 0..8 {
        play.later(ms(250));
        starts.extend(play.spawned.iter().map(|name| (name.clone(), 250 * (step + 1))));
    }
    assert_eq!(starts, [("web:0", 1000), ("web:1", 1500), ("web:2", 2000)].map(|(name, at)| (name.to_owned(), at)));
}

#[test]
fn it_begins_when_the_dependencies_hold() {
    let app = needs(delayed(quick("app"), 2), &[("db", DependencyCondition::Started)]);
    let mut play = Play::plain([quick("db"), app]);
    play.waits_for("app", "db to run");
    play.later(s(10));
    play.is_spawned("db");
    play.waits_for("app", "its start delay, 2s");
    // The dependency is lost, and comes back when the wait is over.
    play.exits("db", 1);
    play.later(ms(500));
    play.waits_for("app", "db to run and its start delay, 1.5s");
    play.later(ms(1500));
    play.waits_for("app", "db to run");
    play.is_spawned("db");
    assert_eq!(play.spawned, ["app"], "it waits once");
}

#[test]
fn a_program_that_starts_on_connection_waits_before_it_waits_for_a_client() {
    let mut play = Play::plain([delayed(ProgramSpec { start_on: StartOn::Connection, ..quick("web") }, 2)]);
    assert!(!play.one("web").awaits_contact());
    play.later(s(2));
    assert!(play.one("web").awaits_contact() && play.spawned.is_empty());
}

#[test]
fn a_reload_changes_the_rest_of_the_wait_and_does_not_end_it() {
    let mut play = Play::plain([delayed(quick("web"), 10)]);
    play.later(s(1));
    play.reload(SETTINGS, vec![with_command(delayed(quick("web"), 10), "another")]);
    play.waits_for("web", "its start delay, 9s");
    play.reload(SETTINGS, vec![delayed(quick("web"), 3)]);
    play.waits_for("web", "its start delay, 2s");
    play.later(s(2));
    assert_eq!(play.spawned, ["web"]);
    // A new program waits, too.
    play.reload(SETTINGS, vec![delayed(quick("web"), 3), delayed(quick("new"), 1)]);
    play.waits_for("new", "its start delay, 1s");
}

#[test]
fn a_container_in_which_one_waits_is_not_done() {
    let until_done = Settings { exit_when_done: true, ..SETTINGS };
    let mut play = Play::of(until_done, [job("first"), delayed(job("second"), 60)]);
    play.is_spawned("first");
    play.exits("first", 0);
    play.waits_for("second", "its start delay, 60s");
    assert!(!play.core.is_shutting_down());
    play.later(s(60));
    play.is_spawned("second");
    play.exits("second", 0);
    assert_eq!(play.exit, Some(0));
}

#[test]
fn time_during_which_the_daemon_did_not_run_does_not_count() {
    let mut play = Play::plain([delayed(quick("web"), 2)]);
    play.now = play.now + s(30);
    play.hand(muster_core::Input::TimeLost { by: s(30) });
    play.waits_for("web", "its start delay, 2s");
}
