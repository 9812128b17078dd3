//! Hooks within the budget of a shutdown.

use muster_core::Input;
use muster_spec::{Hook, State};

use crate::common::programs::{ms, quick, s};
use crate::stage::{Stage, all_hooks, hooked, only};

fn up(hooks: &muster_spec::Hooks, budget: std::time::Duration) -> Stage {
    let mut stage = Stage::within(hooked(quick("web"), hooks), budget);
    stage.hand(Input::Booted);
    while stage.one().state() != State::Running {
        if stage.referee.hook().is_some() {
            stage.hook_ends(0);
        } else {
            stage.spawned();
        }
    }
    stage.clear_deeds();
    stage
}

/// 3 s, 5 s and 2 s are ten, of which 8.9 are left: each gets 89 % of its time.
#[test]
fn a_budget_shortens_hooks_and_signals_in_proportion() {
    let mut stage = up(&all_hooks(), s(9));
    stage.term();
    stage.after(ms(2669));
    stage.did("pre_stop");
    stage.after(ms(2));
    stage.did("TERM pre_stop, TERM");
    stage.hook_ends(1);
    stage.after(ms(4448));
    stage.did("(pre_stop failed, ignored: timed out after 2.67s)");
    stage.after(ms(2));
    stage.did("sweep KILL");
    stage.exits(1);
    stage.tree_gone();
    stage.did("sweep KILL, post_stop after exit status 1 by shutdown, final");
    stage.after(ms(1779));
    stage.did("TERM post_stop, KILL post_stop");
    stage.hook_ends(1);
    stage.did("(post_stop failed, ignored: timed out after 1.779s), KILL strays, exit 0");
}

#[test]
fn a_hook_that_ends_early_gives_its_rest_to_the_others() {
    let mut stage = up(&all_hooks(), s(9));
    stage.term();
    stage.hook_ends(0);
    stage.did("pre_stop, TERM");
    // All of its five seconds, and post_stop has its two.
    stage.after(ms(4999));
    stage.did("");
    stage.after(ms(1));
    stage.did("sweep KILL");
}

#[test]
fn a_budget_of_nothing_still_sends_the_stop_signal() {
    let mut stage = up(&all_hooks(), ms(0));
    stage.term();
    stage.after(ms(1));
    stage.did("pre_stop, TERM pre_stop, TERM, sweep KILL, KILL pre_stop");
}

#[test]
fn a_second_signal_kills_hook_and_program_and_runs_no_other_hook() {
    let mut stage = up(&all_hooks(), s(9));
    stage.term();
    stage.did("pre_stop");
    stage.term();
    stage.did("KILL pre_stop, sweep KILL");
    stage.exits(1);
    stage.tree_gone();
    stage.hook_ends(1);
    stage.did("sweep KILL, KILL strays, exit 0");
}

#[test]
fn a_shutdown_during_pre_start_ends_it() {
    let mut stage = Stage::of(hooked(quick("web"), &all_hooks()));
    stage.hand(Input::Booted);
    stage.term();
    stage.did("pre_start, TERM pre_start");
    stage.after(s(1));
    stage.did("KILL pre_start");
    stage.hook_ends(1);
    stage.did("post_stop after stopped before it was started by shutdown, final");
    stage.hook_ends(0);
    stage.did("KILL strays, exit 0");
}

/// The exit of the daemon waits for a `post_stop` that was running before.
#[test]
fn a_shutdown_waits_for_a_post_stop_that_is_running() {
    let mut stage = up(&only(&[Hook::PostStop]), s(9));
    stage.exits(1);
    stage.tree_gone();
    stage.term();
    stage.did("sweep TERM, post_stop after exit status 1 by itself, restart");
    stage.is(State::Stopping, Some(Hook::PostStop));
    stage.hook_ends(0);
    stage.did("KILL strays, exit 0");
}

#[test]
fn a_hook_that_no_signal_ends_is_left_at_the_end_of_the_budget() {
    let mut stage = up(&only(&[Hook::PreStop]), s(4));
    stage.term();
    stage.exits(0);
    stage.after(s(5));
    assert!(stage.referee.has_exited);
}
