//! The metrics of sources.

use muster_api::{Source, SourceState};

use super::samples::Samples;
use crate::shared::Shared;

fn each(shared: &Shared, samples: &mut Samples<'_>, figure: fn(&Source) -> Option<f64>) {
    for source in shared.configuration.sources.reports() {
        if let Some(value) = figure(&source) {
            samples.with(&[("source", &source.name)], value);
        }
    }
}

pub(super) fn up(shared: &Shared, samples: &mut Samples<'_>) {
    each(shared, samples, |source| Some(f64::from(source.is_up)));
}

pub(super) fn refused(shared: &Shared, samples: &mut Samples<'_>) {
    each(shared, samples, |source| Some(f64::from(source.state == SourceState::Refused)));
}

pub(super) fn last_contact(shared: &Shared, samples: &mut Samples<'_>) {
    each(shared, samples, |source| source.last_contact);
}

pub(super) fn revision(shared: &Shared, samples: &mut Samples<'_>) {
    each(shared, samples, |source| source.revision.as_ref()?.parse().ok());
}

pub(super) fn polls(shared: &Shared, samples: &mut Samples<'_>) {
    for (source, counts) in shared.configuration.sources.counts() {
        for (result, count) in [("changed", counts.changed), ("unchanged", counts.unchanged), ("failed", counts.failed)]
        {
            samples.with(&[("source", &source), ("result", result)], count as f64);
        }
    }
}

pub(super) fn applies(shared: &Shared, samples: &mut Samples<'_>) {
    for (source, counts) in shared.configuration.sources.counts() {
        for (result, count) in [("applied", counts.applied), ("refused", counts.refused)] {
            samples.with(&[("source", &source), ("result", result)], count as f64);
        }
    }
}
