//! The metrics of programs with a schedule; others have none of them.

use muster_api as api;
use muster_core::Instance;

use super::metrics::seconds;
use super::samples::Samples;
use super::view;
use crate::operations::schedule::next_due;
use crate::shared::Shared;

pub(super) fn next(shared: &Shared, instance: &Instance, samples: &mut Samples<'_>) {
    samples.maybe(next_due(shared, instance).map(|at| at as f64 / 1000.0));
}

pub(super) fn last_success(shared: &Shared, instance: &Instance, samples: &mut Samples<'_>) {
    if instance.program().schedule.is_none() {
        return samples.maybe(None);
    }
    let earlier = || shared.state.last_success(instance.name()).map(api::Timestamp::from_unix_ms);
    let at = instance.last_success().map(|at| view::date(shared, at)).or_else(earlier);
    samples.maybe(at.map(seconds));
}

pub(super) fn skipped(shared: &Shared, instance: &Instance, samples: &mut Samples<'_>) {
    count(instance, shared.program_counters.borrow().of(instance.id()).skipped, samples);
}

pub(super) fn missed(shared: &Shared, instance: &Instance, samples: &mut Samples<'_>) {
    count(instance, shared.program_counters.borrow().of(instance.id()).missed, samples);
}

fn count(instance: &Instance, number: u64, samples: &mut Samples<'_>) {
    samples.maybe(instance.program().schedule.as_ref().map(|_| number as f64));
}
