//! Long random stories of many programs that fork, crash, hang and ignore signals, while operators send commands and
//! the daemon gets stop signals, checked by the witness alone.
//!
//! A story is determined by its seed: a failure prints it, and `MUSTER_SEED=n cargo test -p muster-core --test random`
//! repeats it.

#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod operator;
mod pair;
mod world;

use world::World;

/// Enough for every event to occur many times, in a few seconds.
const STORIES: u64 = 1000;

fn tell(seed: u64) {
    if let Err(broken) = World::new(seed, false).tell() {
        let mut again = World::new(seed, true);
        let _ = again.tell();
        let from = again.log.len().saturating_sub(200);
        panic!("\n{}\n{broken}\nMUSTER_SEED={seed} repeats this story\n", again.log[from..].join("\n"));
    }
}

#[test]
fn every_promise_holds_in_long_random_stories() {
    // The clippy rule against reading the environment is for the core; the choice of a story is the tester's.
    #[allow(clippy::disallowed_methods)]
    match std::env::var("MUSTER_SEED").map(|seed| seed.parse()) {
        Ok(Ok(seed)) => tell(seed),
        Ok(Err(_)) => panic!("MUSTER_SEED is not a number"),
        Err(_) => (0..STORIES).for_each(tell),
    }
}

#[test]
fn a_story_is_determined_by_its_seed() {
    let told = || {
        let mut world = World::new(7, true);
        world.tell().expect("the same story passed before");
        world.log
    };
    assert_eq!(told(), told());
    assert!(told().len() > 100, "hardly anything happens in this story");
}
