//! Turns for long responses: one slice of one response is written per turn of the loop, however many clients wait.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// How long a slice may occupy the loop.
pub const SLICE: Duration = Duration::from_millis(3);

/// The queue for the next turn, in order of arrival.
#[derive(Clone, Debug)]
pub struct Turns(Rc<Semaphore>);

/// A body that waits for its turn.
pub type Waiting = Pin<Box<dyn Future<Output = ()>>>;

impl Default for Turns {
    fn default() -> Turns {
        Turns(Rc::new(Semaphore::new(1)))
    }
}

impl Turns {
    /// Waits for a turn in which no other slice is written. The caller must write its slice without awaiting.
    pub async fn next(&self) {
        // Never closed.
        let _turn = self.0.acquire().await;
        // Waking the task itself is not enough: the runtime polls for new connections only after dozens of polls of tasks
        // that are ready.
        tokio::task::yield_now().await;
    }

    /// Waits like [`Turns::next`], as a body does.
    pub fn waiting(&self) -> Waiting {
        let turns = self.clone();
        Box::pin(async move { turns.next().await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_slice_in_a_turn_of_the_loop() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (turns, done) = (Turns::default(), Rc::new(std::cell::Cell::new(0)));
        tokio::task::LocalSet::new().block_on(&runtime, async {
            for _ in 0..8 {
                let (turns, done) = (turns.clone(), Rc::clone(&done));
                tokio::task::spawn_local(async move {
                    turns.next().await;
                    done.set(done.get() + 1);
                });
            }
            let mut before = 0;
            while before < 8 {
                tokio::task::yield_now().await;
                assert!(done.get() <= before + 1, "{} at a time", done.get() - before);
                before = done.get();
            }
        });
    }
}
