//! The metrics of programs with a schedule; others have none of them.

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
    let at = instance.last_success().filter(|_| instance.program().schedule.is_some());
    samples.maybe(at.map(|at| seconds(view::date(shared, at))));
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
