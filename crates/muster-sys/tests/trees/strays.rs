//! Strays, and processes that only seem to be strays.

use muster_spec::{Exit, Signal, SignalScope};
use muster_sys::signal::Pid;
use muster_sys::tree::{Trees, Whose};

use crate::isolation::skip;
use crate::processes::{below, everyone, exec_shell, fork, sleep_indefinitely};
use crate::world::{TERM, World, counterpart};

const DEAF: &str = r#"trap "" TERM; while :; do sleep 1000; done"#;

crate::scenarios! {
    // Processes that cannot be attributed, and how they end.
    WITHOUT_TAGS fn without_tags_a_daemon_that_hid_in_time_is_a_stray_until_the_end(world) {
        let run = world.run(&format!("(env -i setsid sh -c '{DEAF}' &); exit 0"));
        world.wait_until("the leader is dead", |world| world.is_leader_dead(run) && world.survivors().len() == 2);
        assert_eq!(world.trees.gone(&[run]), [run]);
        world.trees.end(run);
        world.without_stray();
        assert_eq!(world.trees.strays().len(), 2);
        assert_eq!(world.trees.signal_strays(TERM), 2);
        assert_eq!(world.trees.strays().len(), 2, "it ignores TERM");
        assert_eq!(world.trees.signal_strays(Signal::KILL), 2);
        world.wait_until("the strays are dead", |world| world.survivors().is_empty());
    }

    ALL_WAYS fn strays_do_not_keep_a_run_alive_and_are_listed_apart(world) {
        let run = world.run("sleep 1000 & wait");
        world.wait_for(run, 2, 1);
        let strays = world.trees.strays();
        assert_eq!(strays.len(), 1, "the witness: {strays:?}");
        assert!(strays[0].age.as_secs() < 120 && strays[0].ppid.0 == std::process::id() as i32);
        let processes = world.trees.processes(run);
        assert_eq!(processes[0].pid, world.leader(run));
        assert_eq!((processes[0].command.as_str(), processes[1].command.as_str()), ("sh -c sleep 1000 & wait", "sleep 1000"));
        assert_eq!(processes[1].ppid, processes[0].pid);
        assert!(processes[0].rss_bytes > 10_000);
        world.kill(run);
    }

    TAGGED_WAYS fn the_runs_of_a_daemon_inside_a_run_are_the_outer_runs(world) {
        nested(world, false);
    }

    WITHOUT_TAGS fn ancestry_wins_over_the_marker_of_a_daemon_inside_a_run(world) {
        nested(world, true);
    }

    WITHOUT_TAGS fn no_process_escapes_from_a_cgroup(world) {
        let run = match world.run_enclosed(&format!("(env -i setsid sh -c '{DEAF}' &); exit 0")) {
            Ok(run) => run,
            Err(error) => return skip(&format!("no cgroup for a run: {error}")),
        };
        world.wait_until("the leader is dead", |world| world.is_leader_dead(run));
        world.wait_for(run, 2, 1);
        assert_eq!(world.trees.gone(&[run]), []);
        world.kill(run);
    }

    WITHOUT_PROC fn without_proc_the_group_of_the_main_process_is_all_the_same_ended(world) {
        let run = world.run(&format!("sh -c '{DEAF}' & wait"));
        world.wait_until("all are there", |world| world.survivors().len() == 3);
        world.stop(run);
        let run = world.run("exit 0");
        world.wait_until("the leader is dead", |world| world.is_leader_dead(run));
        assert_eq!(world.trees.gone(&[run]), [run]);
        assert_eq!(world.trees.abilities().lacks().len(), 1);
    }

    ALL_WAYS fn only_members_of_a_tree_are_attributed_to_its_run(world) {
        let run = world.run(&format!("sh -c '{DEAF}' & env -i setsid sh -c '{DEAF}' & (setsid sh -c '{DEAF}' &); wait"));
        world.wait_for(run, 7, 3);
        for process in world.trees.processes(run) {
            assert_eq!(world.trees.whose(process.pid), Whose::Run(run), "{process:?}");
        }
        let stray = world.trees.strays()[0].pid;
        for stranger in [stray, Pid::this(), Pid(1)] {
            assert_eq!(world.trees.whose(stranger), Whose::Nobody);
        }
        let ended = fork(|| {});
        world.wait_until("it is reaped", |world| world.ended.contains_key(&ended.0));
        assert_eq!(world.trees.whose(ended), Whose::Gone);
        world.kill(run);
    }

    WITHOUT_PROC fn without_proc_a_process_is_still_attributed_to_its_run(world) {
        let run = world.run("sleep 1000 & sleep 1000 & wait");
        world.wait_until("all are there", |world| world.survivors().len() == 3);
        let below: Vec<Pid> = below(world.leader(run).0, &everyone()).map(Pid).collect();
        assert_eq!(below.len(), 2);
        for pid in below.into_iter().chain([world.leader(run)]) {
            assert_eq!(world.trees.whose(pid), Whose::Run(run));
        }
        assert_eq!(world.trees.whose(Pid::this()), Whose::Nobody);
        world.kill(run);
    }

    WITH_ALL_THERE_IS fn no_process_passes_for_another_run_by_its_tag(world) {
        // SAFETY: takes nothing.
        if unsafe { libc::getuid() } != 0 {
            return skip("an attacker of another user needs root");
        }
        let victim = world.run("sleep 1000 & wait");
        let tag = world.trees.tag(victim).unwrap().hard.unwrap();
        let attacker = world.run_process(move || {
            let wear_tag = || {
                // SAFETY: takes numbers; the limits live through the calls. As in a container, no capability is left.
                unsafe {
                    if libc::setuid(60_001) != 0 {
                        libc::_exit(3);
                    }
                    libc::setsid();
                    let limit = libc::rlimit64 { rlim_cur: tag, rlim_max: tag };
                    libc::setrlimit64(libc::RLIMIT_LOCKS, &limit);
                    let limit = libc::rlimit64 { rlim_cur: counterpart(tag), rlim_max: counterpart(tag) };
                    libc::setrlimit64(libc::RLIMIT_RSS, &limit);
                }
            };
            // One below its run, and one that became an orphan.
            fork(|| {
                wear_tag();
                sleep_indefinitely()
            });
            fork(|| {
                wear_tag();
                fork(|| sleep_indefinitely());
            });
            sleep_indefinitely()
        });
        world.wait_until("all are there", |world| world.survivors().len() >= 5 && world.trees.processes(attacker).len() >= 2);
        assert_eq!(world.trees.processes(victim).len(), 2, "none moved to the victim");
        let below = world.trees.processes(attacker)[1].pid;
        assert_eq!(world.trees.whose(below), Whose::Run(attacker));
        for stray in world.trees.strays() {
            assert_ne!(world.trees.whose(stray.pid), Whose::Run(victim), "{stray:?}");
        }
        assert!(world.trees.hold(victim, below).is_none(), "it is no main process of the victim");
        // An exited process counts only if its user is one that the run has had.
        assert!(world.trees.has_had_user(attacker, 60_001) && !world.trees.has_had_user(victim, 60_001));
        world.kill(attacker);
        world.kill(victim);
        world.without_stray();
        world.trees.signal_strays(Signal::KILL);
        world.wait_until("the strays are dead", |world| world.survivors().is_empty());
    }

    ALL_WAYS fn a_program_in_the_daemons_own_group_is_stopped_without_the_daemon(world) {
        for scope in [SignalScope::Group, SignalScope::Tree] {
            let run = world.run_beside("sleep 1000 & wait");
            world.wait_for(run, 2, 1);
            assert_eq!(world.trees.stop(run, TERM, scope).unwrap().count, 2);
            world.wait_until("it is gone", |world| world.is_leader_dead(run) && world.trees.gone(&[run]) == [run]);
            world.trees.end(run);
            let run = world.run_beside("sleep 1000 & wait");
            world.wait_for(run, 2, 1);
            world.kill(run);
        }
    }

    ALL_WAYS fn a_stop_of_a_dead_or_unknown_run_reaches_no_process(world) {
        let run = world.run("exit 7");
        world.wait_until("the leader is dead", |world| world.is_leader_dead(run));
        assert_eq!(world.ended[&world.leader(run).0], Exit::Code(7));
        for scope in [SignalScope::Main, SignalScope::Group, SignalScope::Tree] {
            for signal in [TERM, Signal::KILL] {
                assert_eq!(world.trees.stop(run, signal, scope).unwrap().count, 0);
                assert_eq!(world.trees.stop(muster_spec::RunId(999), signal, scope).unwrap().count, 0);
            }
        }
        world.trees.end(run);
    }
}

/// A run that is itself a supervisor, and is killed while its own programs hide from everything.
fn nested(world: &mut World, observed: bool) {
    let run = world.run_process(|| {
        muster_sys::boot::become_subreaper().unwrap();
        let inner_tag = Trees::new().tag(muster_spec::RunId(1)).map(|tag| tag.hard.unwrap());
        fork(|| {
            // SAFETY: single-threaded, and the limit lives through the call.
            unsafe {
                libc::setsid();
                std::env::set_var(muster_sys::tree::MARKER, "of-the-inner-daemon");
                if let Some(tag) = inner_tag {
                    let limit = libc::rlimit64 { rlim_cur: tag, rlim_max: tag };
                    assert_eq!(libc::setrlimit64(libc::RLIMIT_LOCKS, &limit), 0);
                    let limit = libc::rlimit64 { rlim_cur: counterpart(tag), rlim_max: counterpart(tag) };
                    assert_eq!(libc::setrlimit64(libc::RLIMIT_RSS, &limit), 0);
                }
            }
            exec_shell(&format!("(setsid sh -c '{DEAF}' &); exit 0"));
        });
        sleep_indefinitely();
    });
    // The inner daemon does not reap: its child is a zombie, which does not count.
    world.wait_for(run, 3, 1);
    if observed {
        world.trees.observe(run);
    }
    world.trees.signal(run, Signal::KILL, SignalScope::Main).unwrap();
    world.wait_until("the leader is dead", |world| world.is_leader_dead(run));
    assert_eq!(world.trees.gone(&[run]), []);
    world.kill(run);
}
