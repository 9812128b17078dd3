//! Long random stories of many programs that fork, crash, hang and ignore signals, while operators give orders and the
//! daemon is told to stop, judged by the promises alone.
//!
//! A story is its seed: a failure prints it, and `MUSTER_SEED=n cargo test -p muster-core --test random` tells it again.

#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod operator;
mod world;

use world::World;

/// Enough to meet everything that may happen many times, in a few seconds.
const STORIES: u64 = 1000;

fn tell(seed: u64) {
    if let Err(broken) = World::new(seed, false).tell() {
        let mut again = World::new(seed, true);
        let _ = again.tell();
        let from = again.log.len().saturating_sub(200);
        panic!("\n{}\n{broken}\nMUSTER_SEED={seed} tells this story again\n", again.log[from..].join("\n"));
    }
}

#[test]
fn every_promise_holds_in_long_random_stories() {
    // The clippy rule against the environment is the core's; which story to tell is the tester's business.
    #[allow(clippy::disallowed_methods)]
    match std::env::var("MUSTER_SEED").map(|seed| seed.parse()) {
        Ok(Ok(seed)) => tell(seed),
        Ok(Err(_)) => panic!("MUSTER_SEED is not a number"),
        Err(_) => (0..STORIES).for_each(tell),
    }
}

#[test]
fn a_story_is_its_seed() {
    let told = || {
        let mut world = World::new(7, true);
        world.tell().expect("it has been told before");
        world.log
    };
    assert_eq!(told(), told());
    assert!(told().len() > 100, "a story in which next to nothing happens");
}
