//! Checks of durations that allow for a machine that is busy at that moment.
//!
//! Another process on the same two processors can make such a check fail. A failure counts only if a metronome, an
//! otherwise idle thread of this process, kept time meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How many failures fail the check while the machine kept time.
const COUNTED: usize = 3;

/// How many failures fail the check in any case.
const MOST: usize = 10;

const BEAT: Duration = Duration::from_millis(1);

/// How late a beat may be on a machine that keeps time: a time slice of a busy neighbour takes three or four
/// milliseconds.
const LATE: Duration = Duration::from_millis(5);

/// Repeats the attempt until it succeeds or has failed too often. The panic lists all failures.
pub fn in_time(attempt: impl Fn() -> Result<(), String>) {
    let (mut failures, mut counted) = (Vec::new(), 0);
    while counted < COUNTED && failures.len() < MOST {
        let (result, lateness) = beside_a_metronome(&attempt);
        let Err(failure) = result else { return };
        counted += usize::from(lateness < LATE);
        failures.push(format!("{failure}, the machine itself was late by {lateness:?}"));
    }
    panic!("failed too often: {failures:#?}");
}

/// The result of the attempt, and how late the latest beat was meanwhile.
fn beside_a_metronome<T>(attempt: impl Fn() -> T) -> (T, Duration) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let metronome = scope.spawn(|| lateness_until(&is_over));
        // The metronome ends even if the attempt panics.
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
