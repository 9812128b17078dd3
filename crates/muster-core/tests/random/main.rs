//! Long random stories of many programs that fork, crash, hang and ignore signals, while operators send commands and
//! the daemon gets stop signals, checked by the witness alone.
//!
//! A story is determined by its seed: a failure prints it, and `MUSTER_SEED=n cargo test -p muster-core --test random`
//! repeats it. `MUSTER_STORIES=20000` tells the first so many, and lists those that break a promise.

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
    if let Some(broken) = broken(seed) {
        let mut again = World::new(seed, true);
        let _ = again.tell();
        let from = again.log.len().saturating_sub(200);
        panic!("\n{}\n{broken}\nMUSTER_SEED={seed} repeats this story\n", again.log[from..].join("\n"));
    }
}

/// Names the story if the core panics in it.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("MUSTER_SEED={} repeats this story", self.0);
        }
    }
}

/// How a story breaks a promise, if it does.
fn broken(seed: u64) -> Option<String> {
    let _named = Named(seed);
    World::new(seed, false).tell().err()
}

/// A number in the environment, if there is one.
fn given(name: &str) -> Option<u64> {
    // The clippy rule against reading the environment is for the core; the choice of a story is the tester's.
    #[allow(clippy::disallowed_methods)]
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[test]
fn every_promise_holds_in_long_random_stories() {
    match (given("MUSTER_SEED"), given("MUSTER_STORIES")) {
        (Some(seed), _) => tell(seed),
        (None, None) => (0..STORIES).for_each(tell),
        (None, Some(stories)) => {
            let broken = (0..stories).filter_map(|seed| Some((seed, broken(seed)?)));
            let broken: Vec<String> = broken.map(|(seed, broken)| format!("{seed}: {broken:.300}")).collect();
            assert!(broken.is_empty(), "{} of {stories} stories\n{}", broken.len(), broken.join("\n"));
        }
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
