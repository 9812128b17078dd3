//! Signals to trees in slices that are as short as possible: others are reaped in between.

use std::collections::HashSet;
use std::time::Instant;

use muster_spec::{Signal, SignalScope};
use muster_sys::tree::Errand;

use crate::battery::wait_for_stopped;
use crate::world::{TERM, World};

/// Continues one slice at a time, each as short as possible, and returns how many there were.
fn slice_by_slice(world: &mut World, errand: &mut Errand) -> usize {
    let mut slices = 1;
    while !world.trees.go_on(errand, Some(Instant::now())) {
        slices += 1;
        world.reap();
    }
    slices
}

crate::scenarios! {
    ALL_WAYS fn a_signal_in_slices_reaches_everyone_once(world) {
        let script = "trap 'got=1' USR1; for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do setsid sleep 1000 & done; \
                      while :; do wait; done";
        let run = world.run(script);
        world.wait_for(run, 20, 19);
        let mut errand = Errand::to(vec![run], Signal::USR1, SignalScope::Tree);
        assert!(slice_by_slice(world, &mut errand) > 2);
        assert_eq!(errand.result().unwrap().count, 20);
        world.wait_for(run, 1, 0);
        world.kill(run);
    }

    ALL_WAYS fn a_process_reaped_between_two_slices_gets_no_signal(world) {
        let many = "for n in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait";
        let (gone, other) = (world.run("exec sleep 1000"), world.run(many));
        world.wait_for(gone, 1, 1);
        world.wait_for(other, 10, 9);
        let mut errand = Errand::to(vec![gone, other], TERM, SignalScope::Tree);
        // They have been found, and not signalled yet.
        assert!(!world.trees.go_on(&mut errand, Some(Instant::now())));
        world.trees.signal(gone, Signal::KILL, SignalScope::Main).unwrap();
        world.wait_until("the leader is dead", |world| world.is_leader_dead(gone));
        slice_by_slice(world, &mut errand);
        assert_eq!(errand.result().unwrap().count, 10);
        world.wait_until("the other got it", |world| world.is_leader_dead(other));
        world.kill(gone);
        world.kill(other);
    }

    ALL_WAYS fn a_group_is_signalled_in_slices_and_woken(world) {
        let run = world.run("sleep 1000 & sleep 1000 & wait");
        world.wait_for(run, 3, 2);
        world.trees.signal(run, Signal::STOP, SignalScope::Group).unwrap();
        wait_for_stopped(world, run, 3);
        let mut errand = Errand::to(vec![run], TERM, SignalScope::Group).waking(HashSet::from([run]));
        slice_by_slice(world, &mut errand);
        assert_eq!(errand.result().unwrap().count, 3);
        world.wait_until("they have ended of it", |world| world.is_leader_dead(run));
        world.kill(run);
    }
}
