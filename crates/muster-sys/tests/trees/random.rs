//! Trees that nobody thought of: whatever grows, SIGKILL ends all of it.

use crate::processes::{fork, sleep_for_ever};
use crate::world::World;

/// How many trees of each kind. The seed of a failure is in its message.
const TREES: u64 = 12;

crate::scenarios! {
    TAGGED_WAYS fn nothing_survives_of_random_trees(world) {
        for seed in 0..TREES {
            eprintln!("seed {seed}");
            grow_and_kill(world, seed);
        }
    }

    ALL_WAYS fn nothing_survives_of_random_trees_that_were_observed(world) {
        for seed in 100..100 + TREES {
            eprintln!("seed {seed}");
            let run = world.run_process(|| grow(&mut Dice(seed), 4));
            let mut last = 0;
            world.wait_until("the tree has stopped growing", |world| {
                world.trees.observe(run);
                let now = world.trees.processes(run).len();
                std::mem::replace(&mut last, now) == now
            });
            world.kill(run);
        }
    }
}

fn grow_and_kill(world: &mut World, seed: u64) {
    let run = world.run_process(|| grow(&mut Dice(seed), 4));
    // While it grows: that is the point.
    world.kill(run);
}

/// Forks a few, hides a little, forks again; some of it goes on for ever, some ends at once.
fn grow(dice: &mut Dice, depth: u64) {
    // SAFETY: each takes numbers or nothing, and the process has one thread.
    unsafe {
        match dice.roll(8) {
            0 => drop(libc::setsid()),
            1 => drop(libc::setpgid(0, 0)),
            2 => drop(libc::signal(libc::SIGTERM, libc::SIG_IGN)),
            3 => std::env::remove_var(muster_sys::tree::MARKER),
            _ => {}
        }
    }
    let children = if depth == 0 { 0 } else { dice.roll(4) };
    for child in 0..children {
        let mut own = Dice(dice.0 ^ (child + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        fork(|| grow(&mut own, depth - 1));
        dice.roll(2);
    }
    if depth < 4 && dice.roll(3) == 0 {
        return;
    }
    if dice.roll(6) == 0 {
        // SAFETY: takes numbers.
        unsafe { libc::raise(libc::SIGSTOP) };
    }
    sleep_for_ever();
}

/// The same seed grows the same tree: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x2545_f491_4f6c_dd1d);
        let mut mixed = self.0;
        mixed ^= mixed >> 12;
        mixed ^= mixed << 25;
        mixed ^= mixed >> 27;
        (mixed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}
