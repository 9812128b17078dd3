//! Writes long responses in slices: the loop gets its turn in between, and runs one slice per turn however many are
//! waiting.

use std::time::Instant;

use hyper::StatusCode;
use muster_api::{Problem, ProblemKind};

use muster_server::response::{self, Answer};
use muster_server::turns::{SLICE, Turns};

/// As many items are written without a turn of their own, like the answer about a single program.
const FEW: usize = 8;

/// The most bytes that are set apart for a list. The first item says how long the others may be.
const MOST_RESERVED: usize = 1 << 20;

/// Writes a JSON list, or the part of an object, with what `write` writes for each item. It may write nothing for an
/// item.
pub(super) async fn list<T>(
    turns: &Turns,
    open: &[u8],
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    close: &[u8],
    mut write: impl FnMut(T, &mut Vec<u8>) -> serde_json::Result<()>,
) -> serde_json::Result<Vec<u8>> {
    let mut text = open.to_vec();
    let mut is_first = true;
    let mut items = items.into_iter();
    if items.len() > FEW {
        turns.next().await;
    }
    let mut began = Instant::now();
    while let Some(item) = items.next() {
        let before = text.len();
        if !is_first {
            text.push(b',');
        }
        let start = text.len();
        write(item, &mut text)?;
        if text.len() == start {
            text.truncate(before);
        } else if is_first {
            is_first = false;
            text.reserve((text.len() * items.len()).min(MOST_RESERVED));
        }
        if began.elapsed() >= SLICE {
            turns.next().await;
            began = Instant::now();
        }
    }
    text.extend_from_slice(close);
    Ok(text)
}

/// Writes a text with what `write` adds for each item.
pub(super) async fn pieces<T>(
    turns: &Turns,
    mut text: String,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(T, &mut String),
) -> String {
    turns.next().await;
    let mut began = Instant::now();
    for item in items {
        write(item, &mut text);
        if began.elapsed() >= SLICE {
            turns.next().await;
            began = Instant::now();
        }
    }
    text
}

/// A response with the text.
pub(super) fn answer(status: StatusCode, text: serde_json::Result<Vec<u8>>) -> Result<Answer, Problem> {
    let text =
        text.map_err(|error| Problem::new(ProblemKind::Internal, format!("cannot write the response: {error}")))?;
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
}
