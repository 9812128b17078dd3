//! Random trees: SIGKILL ends every one of them completely.
//!
//! Nothing is executed here, so no process shows the marker: the kernel shows the environment of the last exec.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::processes::{fork, sleep_indefinitely};

/// How many trees of each kind. The last seed printed before a failure reproduces it.
const TREES: u64 = 12;

crate::scenarios! {
    TAGGED_WAYS fn nothing_survives_of_random_trees_that_are_still_growing(world) {
        for seed in 0..TREES {
            eprintln!("seed {seed}");
            let growth = Growth::shared();
            growth.may_end.store(true, Ordering::SeqCst);
            let run = world.run_process(|| growth.grow(Dice(seed), 4));
            world.kill(run);
        }
    }

    ALL_WAYS fn nothing_survives_of_random_trees_that_were_observed(world) {
        for seed in 100..100 + TREES {
            eprintln!("seed {seed}");
            let growth = Growth::shared();
            let run = world.run_process(|| growth.grow(Dice(seed), 4));
            world.wait_until("the tree is grown", |_| growth.is_finished());
            world.trees.observe(run);
            // Parents exit while their children are being searched for.
            growth.may_end.store(true, Ordering::SeqCst);
            world.kill(run);
        }
    }
}

/// How far a tree has grown, in memory that all its processes share.
struct Growth {
    planned: AtomicU64,
    done: AtomicU64,
    may_end: AtomicBool,
}

impl Growth {
    fn shared() -> &'static Growth {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: asks for new memory. It comes zeroed, which is a valid value of these types, and is never given back.
        unsafe {
            let memory = libc::mmap(std::ptr::null_mut(), size_of::<Growth>(), access, kind, -1, 0);
            assert_ne!(memory, libc::MAP_FAILED);
            let growth: &Growth = &*memory.cast();
            growth.planned.store(1, Ordering::SeqCst);
            growth
        }
    }

    /// A process that plans another is not done yet, so the numbers are equal only when all are.
    fn is_finished(&self) -> bool {
        self.done.load(Ordering::SeqCst) == self.planned.load(Ordering::SeqCst)
    }

    /// Hides a little, and forks a few that do the same; some of them exit, some run indefinitely.
    fn grow(&self, mut dice: Dice, depth: u64) {
        hide(dice.roll(7));
        let children = if depth == 0 { 0 } else { dice.roll(4) };
        for child in 0..children {
            self.planned.fetch_add(1, Ordering::SeqCst);
            let own = Dice(dice.0 ^ (child + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            fork(|| self.grow(own, depth - 1));
        }
        let (ends, stops) = (dice.roll(3) == 0 && depth < 4, dice.roll(6) == 0);
        self.done.fetch_add(1, Ordering::SeqCst);
        if ends {
            while !self.may_end.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            return;
        }
        if stops {
            // SAFETY: takes a number.
            unsafe { libc::raise(libc::SIGSTOP) };
        }
        sleep_indefinitely();
    }
}

fn hide(how: u64) {
    // SAFETY: each takes numbers or nothing, and the process has one thread.
    unsafe {
        match how {
            0 => drop(libc::setsid()),
            1 => drop(libc::setpgid(0, 0)),
            2 => drop(libc::signal(libc::SIGTERM, libc::SIG_IGN)),
            _ => {}
        }
    }
}

/// The same seed grows the same tree.
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
