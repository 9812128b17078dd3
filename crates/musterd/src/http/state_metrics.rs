//! The metrics of `state_dir`; without the key there are none.

use super::samples::Samples;
use crate::shared::Shared;

pub(super) fn failures(shared: &Shared, samples: &mut Samples<'_>) {
    samples.maybe(shared.state.failures().map(|failures| failures as f64));
}
