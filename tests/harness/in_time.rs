//! Promises about time, held against what the machine does in the same moment.
//!
//! Another process on the same two processors can break such a promise for us. So a failure counts only if a metronome, a
//! thread of this process with nothing to do, kept time meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How many failures are one, while the machine kept time.
const COUNTED: usize = 3;

/// How many failures are one, whatever the machine did.
const MOST: usize = 10;

const BEAT: Duration = Duration::from_millis(1);

/// How late a beat may be on a machine that keeps time: a turn of a busy neighbour takes three or four milliseconds.
const LATE: Duration = Duration::from_millis(5);

/// Makes the attempt until it succeeds, or has failed too often. All failures are told.
pub fn in_time(attempt: impl Fn() -> Result<(), String>) {
    let (mut failures, mut counted) = (Vec::new(), 0);
    while counted < COUNTED && failures.len() < MOST {
        let (result, lateness) = beside_a_metronome(&attempt);
        let Err(failure) = result else { return };
        counted += usize::from(lateness < LATE);
        failures.push(format!("{failure}, the machine itself was late by {lateness:?}"));
    }
    panic!("again and again: {failures:#?}");
}

/// What the attempt gives, and how late the latest beat was meanwhile.
fn beside_a_metronome<T>(attempt: impl Fn() -> T) -> (T, Duration) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let metronome = scope.spawn(|| lateness_until(&is_over));
        // Whatever becomes of the attempt, the metronome ends.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt));
        is_over.store(true, Ordering::Relaxed);
        let lateness = metronome.join().expect("a metronome has no reason to panic");
        (result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), lateness)
    })
}

fn lateness_until(is_over: &AtomicBool) -> Duration {
    let mut latest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        std::thread::sleep(BEAT);
        latest = latest.max(began.elapsed().saturating_sub(BEAT));
    }
    latest
}
