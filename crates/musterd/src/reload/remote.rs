//! Sources: waits for new versions of texts from servers, and has them read and applied.
//!
//! Which version is to be tried, and which was refused, is decided in `muster-sources`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use muster_api::{Problem, ReloadReport, Source, SourceState};
use muster_logging::event_ring::SourceChange;
use muster_sources::Candidate;
use muster_spec::Scales;
use tracing::error;

use super::reading::{self, Reading};
use super::{How, Origin, reload, tell};
use crate::publish::publish_source;
use crate::shared::{Order, Shared};

/// How long a reload that a person asked for waits for the sources.
const ASK: Duration = Duration::from_secs(5);

/// The pause after a configuration with a mistake, while there is no other.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Exit code of a configuration without a required source.
const NO_SOURCE: u8 = 2;

/// Follows the sources until the daemon ends. At the start, no program runs before the first versions are there.
pub(crate) async fn follow(shared: Rc<Shared>) {
    let sources = &shared.configuration.sources;
    sources.adopt(&shared.configuration.in_force().sources);
    while sources.is_waiting() {
        if let Err(reason) = sources.first().await {
            error!("{reason}");
            let _ = shared.orders.send(Order::GiveUp { code: NO_SOURCE }).await;
            return;
        }
        let answer = reload(&shared, Origin::Source, How::default()).await;
        sources.set_waiting(answer.is_err());
        shared.started.notify_waiters();
        tell(&shared, &answer, Origin::Source);
        if answer.is_err() {
            // The mistake may be in a local file, and then the same versions are offered again at once.
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }
    loop {
        sources.next_change().await;
        let answer: Result<ReloadReport, Problem> = reload(&shared, Origin::Source, How::default()).await;
        tell(&shared, &answer, Origin::Source);
    }
}

/// Publishes an event whenever the state of a source has changed. A source that flaps is limited by its own pauses.
pub(crate) async fn announce(shared: Rc<Shared>) {
    let mut known: BTreeMap<String, (SourceState, Option<String>, Option<String>)> = BTreeMap::new();
    loop {
        shared.configuration.sources.reported().await;
        let reports = shared.configuration.sources.reports();
        known.retain(|name, _| reports.iter().any(|source| source.name == *name));
        for Source { name, state, revision, reason, .. } in reports {
            let now = (state, revision.clone(), reason.clone());
            if known.get(&name) != Some(&now) {
                known.insert(name.clone(), now);
                publish_source(&shared, SourceChange { name, state, revision, reason });
            }
        }
    }
}

/// Reads the local files with the texts of the sources. If they make the configuration invalid, the new versions are refused,
/// unless the local files are at fault.
pub(super) async fn read(shared: &Shared, origin: Origin, how: How) -> Result<(Reading, Candidate), Problem> {
    let configuration = &shared.configuration;
    let sources = &configuration.sources;
    let is_asked = !matches!(origin, Origin::Source | Origin::Files);
    if is_asked && !sources.is_empty() && !sources.is_waiting() {
        sources.refresh(None, ASK).await;
    }
    let candidate = sources.candidate(is_asked);
    let reading = read_with(shared, &candidate, how).await?;
    if reading.new.is_none() && candidate.is_new() && !how.dry_run {
        let errors = reading.diagnostics.iter().filter(|found| found.severity == "error");
        let files: Vec<String> = errors.map(|found| found.file.clone()).collect();
        match read_with(shared, &sources.active(), How { dry_run: true, ..how }).await?.new {
            Some(_) => {
                let plural = if files.len() == 1 { "" } else { "s" };
                sources.refuse(&candidate, &files, &format!("{} error{plural}", files.len()));
            }
            None => sources.postpone(&candidate),
        }
    }
    Ok((reading, candidate))
}

async fn read_with(shared: &Shared, candidate: &Candidate, how: How) -> Result<Reading, Problem> {
    let configuration = &shared.configuration;
    let paths: Vec<PathBuf> = configuration.paths.clone();
    let scales = if how.resets_scale { Scales::new() } else { configuration.scales.borrow().clone() };
    let beside = (candidate.texts.clone(), scales);
    reading::read(paths, beside, Arc::clone(&configuration.auto_logs), how.dry_run).await
}
