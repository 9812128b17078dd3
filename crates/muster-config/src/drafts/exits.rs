//! The keys about ends of runs: `max_runtime`.

use muster_spec::{Kind, Span};

use crate::diagnostic::{Report, Severity};
use crate::drafts::program::Rules;
use crate::field::{Field, Owner};

impl Rules {
    pub(crate) fn max_runtime(&mut self, field: &Field<'_>) {
        if let Some(max) = field.duration() {
            self.max_runtime = (!max.is_zero()).then_some(max);
            self.max_runtime_at = Some(field.place());
        }
    }

    /// A run that may not last until it is RUNNING could only fail.
    pub(crate) fn check_max_runtime(&self, owner: Owner<'_>, report: &Report) {
        let Some((max, place)) = self.max_runtime.zip(self.max_runtime_at) else { return };
        if self.kind == Kind::Service && max <= self.startsecs {
            let (max, startsecs) = (Span(max), Span(self.startsecs));
            let message = format!("max_runtime must be longer than startsecs, {startsecs}: {max}");
            let hint = "a run is RUNNING after startsecs; a program that exits with success has type = \"oneshot\"";
            report.add(owner.finding(Severity::Error, place, message).hint(hint));
        }
    }
}
