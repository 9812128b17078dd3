//! Before the programs: requests that need them wait until the sources of the configuration have been read.

use std::time::Duration;

use muster_api::{Problem, ProblemKind};
use tokio::time::Instant;

use crate::shared::Shared;

/// The least that is left of any patience, since none means that a request does not wait.
const LEAST: Duration = Duration::from_millis(1);

/// Waits until the sources of the configuration have been read, at most for `patience`; no program exists before. Returns the
/// rest of it, which is zero only if it was.
pub(crate) async fn started(shared: &Shared, patience: Duration) -> Result<Duration, Problem> {
    let until = Instant::now() + patience;
    loop {
        let is_started = shared.started.notified();
        if !shared.configuration.sources.is_waiting() {
            let rest = until.saturating_duration_since(Instant::now());
            return Ok(rest.max(patience.min(LEAST)));
        }
        if patience.is_zero() || tokio::time::timeout_at(until, is_started).await.is_err() {
            let problem = Problem::new(ProblemKind::Starting, "the first versions of the sources are awaited");
            return Err(problem.with_hint("GET /v1/sources shows what is missing"));
        }
    }
}
