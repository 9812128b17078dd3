//! Request bodies: bounded in size and in time, and most of them JSON.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use muster_api::{MAX_BODY, Problem, ProblemKind};
use serde::de::DeserializeOwned;

/// How long a body may take to arrive. hyper's own timeout covers headers only.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a body, or tells why it is none.
pub(super) async fn read<T: DeserializeOwned>(body: Incoming) -> Result<Option<T>, Problem> {
    let bytes = collect(body).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|error| Problem::new(ProblemKind::BadBody, format!("the request's body: {error}")))
}

/// Reads a body whatever it is.
pub(super) async fn collect(body: Incoming) -> Result<Bytes, Problem> {
    let collecting = Limited::new(body, MAX_BODY).collect();
    let collected = tokio::time::timeout(PATIENCE, collecting).await.map_err(|_| {
        Problem::new(ProblemKind::RequestTimeout, format!("the request's body did not arrive within {PATIENCE:?}"))
    })?;
    let whole = collected.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Problem::new(ProblemKind::BodyTooLarge, format!("a request's body may have {MAX_BODY} bytes at most"))
        } else {
            Problem::new(ProblemKind::BadBody, format!("the request's body did not arrive whole: {error}"))
        }
    })?;
    Ok(whole.to_bytes())
}
