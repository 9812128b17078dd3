//! A held process of a run: distinguished from unrelated ones, followed up the tree, signalled as long as it exists.

use muster_spec::{RunId, Signal};
use muster_sys::signal::Pid;
use muster_sys::tree::ProcessState;

use crate::world::World;

fn is_stopped(world: &mut World, run: RunId) -> bool {
    world.trees.processes(run).iter().any(|process| process.state == ProcessState::Stopped)
}

crate::scenarios! {
    ALL_WAYS fn a_process_is_held_where_it_is_the_runs_and_lives(world) {
        let run = world.run("sleep 1000 & wait");
        world.wait_for(run, 2, 1);
        let other = world.run("sleep 1000");
        let sleeper = world.trees.processes(run)[1].pid;
        assert!(world.trees.hold(other, sleeper).is_none(), "it is another run's");
        for stranger in [Pid::this(), Pid(1), Pid(i32::MAX)] {
            assert!(world.trees.hold(run, stranger).is_none(), "{stranger}");
        }
        let held = world.trees.hold(run, sleeper).unwrap();
        assert_eq!((held.pid(), held.has_ended()), (sleeper, false));
        assert_eq!(world.trees.child_above(&held), Some(world.leader(run)));
        assert!(world.trees.send(&held, Signal::STOP).unwrap());
        world.wait_until("it is stopped", |world| is_stopped(world, run));
        world.trees.wake(&held);
        world.wait_until("it is continued", |world| !is_stopped(world, run));
        world.kill(run);
        world.wait_until("it has ended", |_| held.has_ended());
        assert_eq!(world.trees.child_above(&held), None);
        assert!(!world.trees.send(&held, Signal::KILL).unwrap());
        world.kill(other);
    }
}
