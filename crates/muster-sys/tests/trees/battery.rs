//! Every way in which programs try to survive a stop.

use std::time::Instant;

use muster_spec::{Exit, Signal, SignalScope};

use crate::isolation::{skip, wait_for_end};
use crate::processes::fork;
use crate::world::{GRACE, TERM, World};

const DEAF: &str = r#"trap "" TERM; while :; do sleep 1000; done"#;

crate::scenarios! {
    ALL_WAYS fn a_leader_killed_by_term_leaves_no_process_behind(world) {
        // In its group, in a session of its own, and double-forked: all three ignore TERM, and consist of two processes
        // each.
        let run = world.run(&format!("sh -c '{DEAF}' & setsid sh -c '{DEAF}' & (setsid sh -c '{DEAF}' &); wait"));
        world.wait_for(run, 7, 3);
        world.stop(run);
    }

    ALL_WAYS fn a_leader_that_ignores_term_is_killed_with_all(world) {
        let run = world.run(&format!("trap '' TERM; setsid sh -c '{DEAF}' & while :; do sleep 1000; done"));
        world.wait_for(run, 4, 2);
        world.stop(run);
        let exit = world.ended[&world.leader(run).0];
        assert_eq!(exit, Exit::Signal { signal: Signal::KILL, core_dumped: false });
    }

    ALL_WAYS fn a_cleaned_environment_does_not_help_while_the_ancestry_is_visible(world) {
        let run = world.run(&format!("env -i setsid sh -c '{DEAF}' & wait"));
        world.wait_for(run, 3, 1);
        world.stop(run);
    }

    TAGGED_WAYS fn a_daemon_that_hid_before_anyone_looked_is_known_by_its_tag(world) {
        let run = world.run(&format!("(env -i setsid sh -c '{DEAF}' &); exit 0"));
        world.wait_until("the leader is dead", |world| world.is_leader_dead(run));
        world.wait_for(run, 2, 1);
        assert_eq!(world.trees.gone(&[run]), []);
        world.kill(run);
    }

    ALL_WAYS fn each_process_gets_the_stop_signal_of_its_group_once(world) {
        let directory = tempfile::tempdir().unwrap();
        let told = directory.path().join("told");
        let counts = format!(r#"trap "echo TERM >> {0}" TERM; echo begins >> {0}; while :; do sleep 0.01; done"#, told.display());
        let run = world.run(&format!("sh -c '{counts}' & setsid sh -c '{counts}' & exec sleep 1000"));
        let lines = |word: &str| std::fs::read_to_string(&told).map_or(0, |text| text.lines().filter(|line| *line == word).count());
        world.wait_until("both listen", |_| lines("begins") == 2);
        world.trees.stop(run, TERM, SignalScope::Group).unwrap();
        world.wait_until("the leader is dead", |world| world.is_leader_dead(run) && lines("TERM") == 2);
        world.trees.stop(run, TERM, SignalScope::Tree).unwrap();
        // A second TERM would be handled before what comes after it.
        world.trees.signal(run, Signal::USR1, SignalScope::Tree).unwrap();
        world.wait_until("USR1 has ended them", |world| world.trees.gone(&[run]) == [run]);
        assert_eq!(lines("TERM"), 2);
        world.trees.end(run);
    }

    ALL_WAYS fn a_stopped_leader_gets_its_signal(world) {
        let run = world.run("sleep 1000 & wait");
        world.wait_for(run, 2, 1);
        world.trees.signal(run, Signal::STOP, SignalScope::Main).unwrap();
        wait_for_stopped(world, run, 1);
        let started = Instant::now();
        world.trees.stop(run, TERM, SignalScope::Main).unwrap();
        world.wait_until("the leader is dead", |world| world.is_leader_dead(run));
        assert_eq!(world.ended[&world.leader(run).0], Exit::Signal { signal: TERM, core_dumped: false });
        world.finish(run, started + GRACE);
    }

    ALL_WAYS fn stopped_members_get_their_signal_in_every_scope(world) {
        for scope in [SignalScope::Group, SignalScope::Tree] {
            let run = world.run("sleep 1000 & setsid sleep 1000 & (setsid sleep 1000 &) ; wait");
            world.wait_for(run, 4, 3);
            world.trees.signal(run, Signal::STOP, scope).unwrap();
            wait_for_stopped(world, run, 4);
            let sent = world.trees.stop(run, TERM, scope).unwrap();
            assert_eq!((sent.count, sent.refused), (4, 0));
            world.wait_until("TERM has ended them", |world| world.is_leader_dead(run) && world.trees.gone(&[run]) == [run]);
            world.trees.end(run);
        }
    }

    ALL_WAYS fn a_signal_that_is_not_for_stopping_continues_no_process(world) {
        let run = world.run("sleep 1000 & wait");
        world.wait_for(run, 2, 1);
        world.trees.signal(run, Signal::STOP, SignalScope::Tree).unwrap();
        wait_for_stopped(world, run, 2);
        world.trees.signal(run, TERM, SignalScope::Tree).unwrap();
        assert_eq!(stopped(world, run), 2);
        world.trees.signal(run, Signal::CONT, SignalScope::Tree).unwrap();
        world.finish(run, Instant::now() + GRACE);
    }

    ALL_WAYS fn members_that_fork_on_term_are_found_again(world) {
        let forks = r#"trap "setsid sleep 1000 & setsid sleep 1000 &" TERM; while :; do sleep 1000 & wait; done"#;
        let run = world.run(&format!("setsid sh -c '{forks}' & {forks}"));
        world.wait_for(run, 4, 2);
        world.stop(run);
    }

    ALL_WAYS fn a_pipeline_ends_as_a_whole(world) {
        let run = world.run("sleep 1000 | cat | cat | cat");
        world.wait_for(run, 5, 1);
        let sent = world.trees.stop(run, TERM, SignalScope::Group).unwrap();
        assert_eq!(sent.count, 5);
        world.wait_until("the group is dead", |world| world.is_leader_dead(run) && world.trees.gone(&[run]) == [run]);
        world.trees.end(run);
    }

    ALL_WAYS fn two_hundred_processes_in_one_tree_all_end(world) {
        let three = "sleep 1000 & setsid sleep 1000 & wait";
        let run = world.run(&format!("i=0; while [ $i -lt 66 ]; do (trap '' TERM; {three}) & i=$((i+1)); done; wait"));
        world.wait_for(run, 199, 132);
        world.stop(run);
    }

    ALL_WAYS fn several_runs_are_stopped_and_gone_together(world) {
        let runs: Vec<_> = (0..10).map(|_| world.run(&format!("(setsid sh -c '{DEAF}' &); exit 3"))).collect();
        world.wait_until("the leaders are dead", |world| runs.iter().all(|&run| world.is_leader_dead(run)));
        for &run in &runs {
            world.wait_for(run, 2, 1);
        }
        assert_eq!(world.trees.gone(&runs), []);
        while world.trees.signal_all(&runs[..5], Signal::KILL, SignalScope::Tree).unwrap().is_unfinished {}
        world.wait_until("the first five are gone", |world| world.trees.gone(&runs) == runs[..5]);
        for &run in &runs[5..] {
            assert_eq!(world.trees.processes(run).len(), 2, "the others are still running");
            world.kill(run);
        }
    }

    ALL_WAYS fn nothing_is_left_of_a_run_that_leaves_nothing(world) {
        let run = world.run("exit 0");
        assert_eq!(world.trees.gone(&[run]), [], "its main process is running, or is not reaped");
        world.wait_until("the leader is dead", |world| world.is_leader_dead(run));
        assert_eq!(world.trees.gone(&[run]), [run]);
        world.trees.end(run);
        assert_eq!(world.trees.gone(&[run]), [run], "a forgotten run has nothing");
        assert_eq!(world.trees.signal(run, Signal::KILL, SignalScope::Tree).unwrap().count, 0);
    }

    WITH_ALL_THERE_IS fn a_fork_bomb_under_a_limit_of_processes_loses(world) {
        for leaves_its_session in [false, true] {
            bomb(world, leaves_its_session);
        }
    }
}

fn bomb(world: &mut World, leaves_its_session: bool) {
    // The limit counts by user, so each bomb is another user's.
    let uid = 2_000_000 + std::process::id() * 2 + u32::from(leaves_its_session);
    if !can_become(uid) {
        return skip("a fork bomb needs a separate user, which requires root");
    }
    let run = world.run_process(move || {
        // SAFETY: the limit lives through the call; the rest takes numbers.
        unsafe {
            let limit = libc::rlimit64 { rlim_cur: 200, rlim_max: 200 };
            assert_eq!(libc::setrlimit64(libc::RLIMIT_NPROC, &limit), 0);
            libc::signal(libc::SIGTERM, libc::SIG_IGN);
            assert_eq!(libc::setuid(uid), 0);
        }
        loop {
            // SAFETY: one thread.
            if unsafe { libc::fork() } == 0 && leaves_its_session {
                // SAFETY: takes nothing.
                unsafe { libc::setsid() };
            }
        }
    });
    world.wait_until("the bomb has reached its limit", |world| world.trees.processes(run).len() > 150);
    world.kill(run);
}

fn can_become(uid: u32) -> bool {
    // SAFETY: takes a number.
    wait_for_end(fork(|| assert_eq!(unsafe { libc::setuid(uid) }, 0))) == 0
}

fn stopped(world: &mut World, run: muster_spec::RunId) -> usize {
    world.trees.processes(run).iter().filter(|process| process.state.name() == "stopped").count()
}

pub(crate) fn wait_for_stopped(world: &mut World, run: muster_spec::RunId, count: usize) {
    world.wait_until("they are stopped", |world| stopped(world, run) == count);
}
