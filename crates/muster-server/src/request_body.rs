//! Request bodies, with bounds on size and time; most are JSON.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use muster_api::{MAX_BODY, Problem, ProblemKind};
use serde::de::DeserializeOwned;

/// How long a body may take to arrive. [`crate::pace`] covers the head only.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest body read and ignored, so that a client that writes head and body separately can do so.
const MOST_IGNORED: u64 = 64 * 1024;

/// How much of a refused body is still read, and for how long: a client sees the error only after it has finished
/// writing.
const MOST_REFUSED: u64 = 16 << 20;
const REFUSAL_PATIENCE: Duration = Duration::from_secs(5);

/// Parses a JSON body.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<T>, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let parsed = serde_json::from_slice(bytes);
    parsed.map(Some).map_err(|error| Problem::new(ProblemKind::BadBody, format!("invalid request body: {error}")))
}

/// Reads a body of any type.
pub async fn collect(body: &mut Incoming) -> Result<Bytes, Problem> {
    collect_within(body, MAX_BODY).await
}

/// Whether a body takes more memory than every connection may have.
pub fn is_large(body: &Incoming) -> bool {
    body.size_hint().lower() > MAX_BODY as u64
}

/// Reads a body of up to `most` bytes.
pub async fn collect_within(body: &mut Incoming, most: usize) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > most as u64 {
        return Err(too_large(most as u64));
    }
    let whole = in_time(Limited::new(body, most).collect()).await?.map_err(|error| {
        if error.is::<LengthLimitError>() {
            too_large(most as u64)
        } else {
            Problem::new(ProblemKind::BadBody, format!("incomplete request body: {error}"))
        }
    })?;
    Ok(whole.to_bytes())
}

/// Reads and ignores a small body, and refuses a large one.
pub async fn ignore(body: &mut Incoming) -> Result<(), Problem> {
    if body.size_hint().lower() > MOST_IGNORED {
        return Err(too_large(MOST_IGNORED));
    }
    if in_time(skip(body, MOST_IGNORED)).await? { Ok(()) } else { Err(too_large(MOST_IGNORED)) }
}

/// Continues reading a refused body, for a limited time.
pub async fn linger(mut body: Incoming) {
    let _ = tokio::time::timeout(REFUSAL_PATIENCE, skip(&mut body, MOST_REFUSED)).await;
}

/// Returns whether the body ended within the limit.
async fn skip(body: &mut Incoming, most: u64) -> bool {
    let mut taken = 0;
    while let Some(Ok(frame)) = body.frame().await {
        taken += frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
        if taken > most {
            return false;
        }
    }
    true
}

async fn in_time<T>(reading: impl Future<Output = T>) -> Result<T, Problem> {
    tokio::time::timeout(PATIENCE, reading).await.map_err(|_| {
        Problem::new(ProblemKind::RequestTimeout, format!("the request body did not arrive within {PATIENCE:?}"))
    })
}

fn too_large(most: u64) -> Problem {
    Problem::new(ProblemKind::BodyTooLarge, format!("the request body exceeds {most} bytes"))
}
