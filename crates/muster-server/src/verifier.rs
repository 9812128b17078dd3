//! Compares passwords with their hashes, one at a time, on threads that end with it: the thread of the loop has no time for
//! that, and a client must not take more than one CPU.

use std::cell::Cell;
use std::sync::Arc;

use muster_access::{Verification, Verified};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The most requests that wait for their turn.
const MOST_WAITING: usize = 16;

const STACK: usize = 128 * 1024;

/// Gives turns to requests.
pub struct Verifier {
    turn: Arc<Semaphore>,
    waiting: Cell<usize>,
}

impl Default for Verifier {
    fn default() -> Verifier {
        Verifier { turn: Arc::new(Semaphore::new(1)), waiting: Cell::new(0) }
    }
}

/// The right to compare one password.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

/// One request that waits. It counts until it is dropped, also when its client goes away.
struct Waiting<'v>(&'v Cell<usize>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Verifier {
    /// Waits for a turn. `None` if too many wait already.
    pub async fn turn(&self) -> Option<Turn> {
        if self.waiting.get() >= MOST_WAITING {
            return None;
        }
        self.waiting.set(self.waiting.get() + 1);
        let _waiting = Waiting(&self.waiting);
        Arc::clone(&self.turn).acquire_owned().await.ok().map(|permit| Turn { _permit: permit })
    }
}

impl Turn {
    /// Compares. The turn ends with the thread, not with the request: a client that goes away starts no second one. An error
    /// is a thread that cannot be started.
    pub async fn run(self, verification: Verification) -> std::io::Result<Option<Verified>> {
        let (tell, told) = oneshot::channel();
        let thread = std::thread::Builder::new().name("password".to_owned()).stack_size(STACK);
        thread.spawn(move || {
            let turn = self;
            let verified = verification.run();
            drop(turn);
            // The request may have been dropped with its connection.
            let _ = tell.send(verified);
        })?;
        Ok(told.await.ok().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_runtime(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    #[test]
    fn one_has_its_turn_some_wait_and_the_others_are_refused() {
        in_runtime(async {
            let verifier = Verifier::default();
            let turn = verifier.turn().await.unwrap();
            let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(verifier.turn())).collect();
            let pending = |future: &mut _| {
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                std::future::Future::poll(std::pin::Pin::new(future), &mut context).is_pending()
            };
            assert!(waiting.iter_mut().all(pending));
            assert!(verifier.turn().await.is_none(), "one more is refused at once");
            // A client that goes away makes room.
            waiting.pop();
            let mut last = Box::pin(verifier.turn());
            assert!(pending(&mut last));
            drop(turn);
            assert!(waiting.remove(0).await.is_some());
        });
    }
}
