//! The metrics of notifiers.

use muster_notifiers::Counts;

use super::samples::Samples;
use crate::shared::Shared;

fn each(shared: &Shared, samples: &mut Samples<'_>, figure: fn(Counts) -> u64) {
    for (notifier, counts) in shared.notifiers.counts() {
        samples.with(&[("notifier", &notifier)], figure(counts) as f64);
    }
}

pub(super) fn sent(shared: &Shared, samples: &mut Samples<'_>) {
    each(shared, samples, |counts| counts.sent);
}

pub(super) fn failed(shared: &Shared, samples: &mut Samples<'_>) {
    each(shared, samples, |counts| counts.failed);
}

pub(super) fn dropped(shared: &Shared, samples: &mut Samples<'_>) {
    each(shared, samples, |counts| counts.dropped);
}
