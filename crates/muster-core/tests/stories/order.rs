//! Several programs: start order, stop waves, and restarting together.

use muster_core::Input;
use muster_spec::{Exit, GroupOrder, ProgramSpec, Signal};

use crate::common::programs::{killed_by, program, quick, ranked, s, several};
use crate::stage::Stage;

fn three() -> Stage {
    Stage::booted([ranked("app", 20), ranked("db", 10), ranked("web", 20)])
}

#[test]
fn starting_is_by_ascending_priority_without_waiting() {
    let mut stage = Stage::of([ranked("app", 20), ranked("db", -1), ranked("web", 20), ranked("log", 10)]);
    stage.hand(Input::Booted);
    stage.did("spawn db, spawn log, spawn app, spawn web");
    let mut stage = Stage::of([ranked("app", 20), ranked("db", -1)]);
    stage.start("app,db");
    stage.did("spawn db, spawn app");
}

#[test]
fn stopping_is_the_reverse_wave_by_wave() {
    let mut stage = three();
    let stop = stage.stop("all");
    stage.did("TERM app, TERM web");
    stage.is_killed("app", Signal::TERM);
    stage.forget_deeds();
    stage.main_ends("web", killed_by(Signal::TERM));
    stage.did("sweep web with TERM");
    stage.tree_gone("web");
    stage.did("TERM db");
    stage.is_killed("db", Signal::TERM);
    stage.answered(stop, "app Stopped, db Stopped, web Stopped");
}

#[test]
fn a_wave_without_live_members_is_skipped() {
    let mut stage = three();
    stage.exits("app", 0);
    stage.exits("web", 0);
    stage.forget_deeds();
    stage.stop("all");
    stage.did("TERM db");
}

#[test]
fn a_crash_before_the_turn_to_stop_is_not_followed_by_a_restart() {
    let mut stage = three();
    stage.stop("all");
    stage.main_ends("db", Exit::Code(1));
    stage.stands("db STOPPING");
    stage.tree_gone("db");
    stage.stands("db STOPPED");
    stage.after(s(5));
    stage.did("TERM app, TERM web, sweep db with TERM");
}

#[test]
fn several_restart_in_order_when_all_of_them_are_down() {
    let mut stage = three();
    let restart = stage.restart("all");
    stage.did("TERM app, TERM web");
    stage.is_killed("web", Signal::TERM);
    stage.stands("web WAITING");
    stage.is_killed("app", Signal::TERM);
    stage.did("sweep web with TERM, sweep app with TERM, TERM db");
    stage.is_killed("db", Signal::TERM);
    stage.did("sweep db with TERM, spawn db, spawn app, spawn web");
    for name in ["app", "db", "web"] {
        stage.not_answered(restart);
        stage.spawned(name);
    }
    stage.answered(restart, "app Restarted, db Restarted, web Restarted");
}

#[test]
fn a_restart_of_several_starts_those_that_were_down() {
    let mut stage =
        Stage::booted([ranked("app", 20), ranked("db", 10), ProgramSpec { autostart: false, ..ranked("off", 20) }]);
    stage.exits("app", 0);
    stage.forget_deeds();
    let restart = stage.restart("all");
    stage.did("TERM db");
    stage.stands("app WAITING, db STOPPING, off WAITING");
    stage.is_killed("db", Signal::TERM);
    stage.did("sweep db with TERM, spawn db, spawn app, spawn off");
    for name in ["app", "db", "off"] {
        stage.spawned(name);
    }
    stage.answered(restart, "app Started, db Restarted, off Started");
}

#[test]
fn a_restart_of_several_that_are_all_down_starts_them_at_once() {
    let off = |name| ProgramSpec { autostart: false, ..quick(name) };
    let mut stage = Stage::booted([off("a"), off("b")]);
    stage.restart("all");
    stage.did("spawn a, spawn b");
}

#[test]
fn a_restart_of_one_instance_leaves_the_others_alone() {
    let mut stage = Stage::booted([several(quick("web"), 3)]);
    stage.restart("web:1");
    stage.did("TERM web:1");
    stage.is_killed("web:1", Signal::TERM);
    stage.did("sweep web:1 with TERM, spawn web:1");
    stage.stands("web:0 RUNNING, web:2 RUNNING");
}

/// It waits with the others instead of going through its backoff, and does not start early.
#[test]
fn a_member_that_ends_during_a_joint_restart_waits_for_the_others() {
    let mut stage = three();
    let restart = stage.restart("all");
    stage.exits("db", 1);
    stage.stands("db WAITING");
    stage.is_killed("app", Signal::TERM);
    stage.is_killed("web", Signal::TERM);
    stage.forget_deeds();
    for name in ["app", "db", "web"] {
        stage.spawned(name);
    }
    stage.answered(restart, "app Restarted, db Restarted, web Restarted");
    assert_eq!(stage.failures("db"), 0);
}

/// Its turn came while its leftovers were still dying: the wave waits for their end.
#[test]
fn leftovers_of_one_do_not_hang_a_restart_of_several() {
    let mut stage = three();
    stage.main_ends("db", Exit::Code(1));
    stage.stands("db BACKOFF");
    stage.forget_deeds();
    stage.restart("all");
    stage.stands("db WAITING");
    stage.is_killed("app", Signal::TERM);
    stage.is_killed("web", Signal::TERM);
    stage.did("TERM app, TERM web, sweep app with TERM, sweep web with TERM");
    stage.tree_gone("db");
    stage.did("spawn db, spawn app, spawn web");
}

/// The first restart was down to its last member when the second took over all of them.
#[test]
fn a_restart_during_a_restart_starts_no_program_early() {
    let mut stage = Stage::booted([quick("a"), quick("b")]);
    let first = stage.restart("all");
    stage.is_killed("b", Signal::TERM);
    let second = stage.restart("all");
    stage.stands("a STOPPING, b WAITING");
    stage.is_killed("a", Signal::TERM);
    stage.did("TERM a, TERM b, sweep b with TERM, sweep a with TERM, spawn a, spawn b");
    stage.spawned("a");
    stage.spawned("b");
    stage.answered(first, "a Restarted, b Restarted");
    stage.answered(second, "a Restarted, b Started");
}

#[test]
fn a_stop_of_one_takes_it_out_of_a_restart_of_several() {
    let mut stage = Stage::booted([quick("a"), quick("b")]);
    let restart = stage.restart("all");
    stage.stop("a");
    stage.is_killed("b", Signal::TERM);
    stage.did("TERM a, TERM b, sweep b with TERM, spawn b");
    stage.spawned("b");
    stage.answered(restart, "a Cancelled!, b Restarted");
    stage.is_killed("a", Signal::TERM);
    stage.stands("a STOPPED, b RUNNING");
}

#[test]
fn a_stop_of_all_ends_a_restart_of_all() {
    let mut stage = three();
    let restart = stage.restart("all");
    let stop = stage.stop("all");
    stage.answered(restart, "app Cancelled!, db Cancelled!, web Cancelled!");
    for name in ["app", "web", "db"] {
        stage.is_killed(name, Signal::TERM);
    }
    stage.answered(stop, "app Stopped, db Stopped, web Stopped");
    stage.stands("app STOPPED, db STOPPED, web STOPPED");
}

#[test]
fn a_start_of_one_does_not_wait_for_the_others_of_its_restart() {
    let mut stage = Stage::booted([quick("a"), quick("b")]);
    stage.restart("all");
    stage.is_killed("a", Signal::TERM);
    stage.stands("a WAITING");
    stage.forget_deeds();
    stage.start("a");
    stage.did("spawn a");
    stage.is_killed("b", Signal::TERM);
    stage.did("sweep b with TERM, spawn b");
}

#[test]
fn one_that_fails_to_come_up_fails_alone() {
    let mut stage = Stage::booted([program("a"), quick("b")]);
    stage.after(s(1));
    let restart = stage.restart("all");
    stage.is_killed("a", Signal::TERM);
    stage.is_killed("b", Signal::TERM);
    stage.spawned("a");
    stage.spawned("b");
    stage.exits("a", 7);
    stage.answered(restart, "a failed: exit status 7, b Restarted");
}

/// A program in a group with a priority of its own, and its place at boot.
fn grouped(name: &str, (group, place): (i64, u32), priority: i64) -> ProgramSpec {
    ProgramSpec { order: Some(GroupOrder { priority: group, place }), ..ranked(name, priority) }
}

fn two_groups() -> [ProgramSpec; 4] {
    // The configuration is sorted by name; "late" is first in the order of its group.
    [
        grouped("cron", (5, 0), 999),
        grouped("app", (10, 1), 20),
        grouped("late", (10, 0), 30),
        grouped("web", (10, 2), 10),
    ]
}

#[test]
fn at_boot_groups_start_by_their_priority_and_members_in_the_order_of_their_group() {
    let mut stage = Stage::of(two_groups());
    stage.hand(Input::Booted);
    stage.did("spawn cron, spawn late, spawn app, spawn web");
}

#[test]
fn a_command_starts_the_members_of_a_group_by_their_own_priority() {
    let mut stage = Stage::of(two_groups());
    stage.start("all");
    stage.did("spawn cron, spawn web, spawn app, spawn late");
}

#[test]
fn groups_of_equal_priority_stop_together_the_highest_process_priority_first() {
    let mut stage = Stage::booted(two_groups());
    stage.signal_to_daemon(Signal::TERM);
    stage.did("TERM late, TERM app, TERM web");
    for name in ["late", "app", "web"] {
        stage.stands(&format!("{name} STOPPING, cron RUNNING"));
        stage.is_killed(name, Signal::TERM);
    }
    stage.forget_deeds();
    stage.stands("cron STOPPING");
}

#[test]
fn a_group_of_a_new_configuration_starts_in_its_own_order() {
    let mut stage = Stage::booted([grouped("cron", (5, 0), 999)]);
    stage.reload(two_groups());
    stage.did("spawn late, spawn app, spawn web");
}
