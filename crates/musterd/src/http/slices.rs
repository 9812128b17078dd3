//! Long answers, written a slice at a time: the loop has its turn in between, and does one slice in a turn however many
//! wait for theirs.

use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use muster_api::{Problem, ProblemKind};
use tokio::sync::Semaphore;

use super::response::{self, Answer};

/// How long the loop may be kept at a time.
pub(super) const SLICE: Duration = Duration::from_millis(3);

/// Whose turn it is. Who waits first is first.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Rc<Semaphore>);

/// Somebody who waits for a turn in a body.
pub(super) type Waiting = Pin<Box<dyn Future<Output = ()>>>;

impl Default for Turns {
    fn default() -> Turns {
        Turns(Rc::new(Semaphore::new(1)))
    }
}

impl Turns {
    /// Waits for a turn of the loop in which nobody else does a slice. The slice must be done at once.
    pub(super) async fn next(&self) {
        // Never closed.
        let _turn = self.0.acquire().await;
        // To wake oneself would not do: the runtime looks for new connections only after dozens of turns of those that are
        // awake.
        tokio::task::yield_now().await;
    }

    pub(super) fn waiting(&self) -> Waiting {
        let turns = self.clone();
        Box::pin(async move { turns.next().await })
    }
}

/// Writes a JSON list, or the part of an object, of what `write` makes of each item. An item may write nothing.
pub(super) async fn list<T>(
    turns: &Turns,
    open: &[u8],
    items: impl IntoIterator<Item = T>,
    close: &[u8],
    mut write: impl FnMut(T, &mut Vec<u8>) -> serde_json::Result<()>,
) -> serde_json::Result<Vec<u8>> {
    let mut text = open.to_vec();
    let mut is_first = true;
    turns.next().await;
    let mut began = Instant::now();
    for item in items {
        let before = text.len();
        if !is_first {
            text.push(b',');
        }
        let start = text.len();
        write(item, &mut text)?;
        if text.len() == start {
            text.truncate(before);
        } else {
            is_first = false;
        }
        if began.elapsed() >= SLICE {
            turns.next().await;
            began = Instant::now();
        }
    }
    text.extend_from_slice(close);
    Ok(text)
}

/// The answer with what was written.
pub(super) fn answer(status: StatusCode, text: serde_json::Result<Vec<u8>>) -> Result<Answer, Problem> {
    let text =
        text.map_err(|error| Problem::new(ProblemKind::Internal, format!("cannot write the answer: {error}")))?;
    Ok(response::json_text(status, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_write_nothing_leave_no_comma() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let written = |items: &[&str]| {
            let items = items.to_vec();
            let text = runtime.block_on(list(&Turns::default(), b"[", items, b"]", |item, text| {
                text.extend_from_slice(item.as_bytes());
                Ok(())
            }));
            String::from_utf8(text.unwrap()).unwrap()
        };
        assert_eq!(written(&[]), "[]");
        assert_eq!(written(&["", "1", "", "2", ""]), "[1,2]");
    }

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
