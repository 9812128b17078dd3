//! `numprocs`, the number of the first instance, and the bounds of a change at run time.

use muster_spec::Numprocs;

use crate::diagnostic::{Place, Report, Severity};
use crate::field::{Field, Owner};

/// The most instances of a program; more are taken for a typo.
const MOST: i64 = Numprocs::MOST as i64;

/// As many instances as processors.
const PROCESSORS: &str = "cpus";

/// The highest first instance number, which is used in ports and names; a larger one is taken for a typo.
const HIGHEST_START: i64 = 1_000_000;

/// The numbers of a program while its keys are read.
pub(crate) struct NumprocsDraft {
    spec: Numprocs,
    /// Whether it is the number of processors, which the bounds limit.
    follows_processors: bool,
    pub(crate) first: u32,
    /// The places of the bounds, if they are given.
    least_at: Option<Place>,
    most_at: Option<Place>,
}

impl Default for NumprocsDraft {
    fn default() -> NumprocsDraft {
        NumprocsDraft { spec: Numprocs::of(1), follows_processors: false, first: 0, least_at: None, most_at: None }
    }
}

impl NumprocsDraft {
    pub(crate) fn number(&mut self, field: &Field<'_>) {
        self.follows_processors = field.value.literal() == Some(PROCESSORS);
        if self.follows_processors {
            self.spec.configured = (field.around.processors)();
            return;
        }
        if field.value.literal().is_some_and(|word| word.to_ascii_lowercase().contains("cpu")) {
            return field.expected_with_hint("a number or \"cpus\"", "numprocs = \"cpus\"");
        }
        let Some(number) = field.integer(i64::MIN..=i64::MAX) else { return };
        match u32::try_from(number) {
            Ok(number @ 1..) if i64::from(number) <= MOST => self.spec.configured = number,
            Ok(0) => {
                field.expected_with_hint("from 1 to 1000", "autostart = false defines a program without starting it")
            }
            _ => field.expected_with_hint("from 1 to 1000", "each instance is a separate process"),
        }
    }

    /// The numbers as configured.
    pub(crate) fn spec(&self) -> Numprocs {
        let Numprocs { configured, least, most } = self.spec;
        let configured = if self.follows_processors { configured.min(most).max(least) } else { configured };
        Numprocs { configured, least, most }
    }

    pub(crate) fn first(&mut self, field: &Field<'_>) {
        if let Some(first) = field.integer(0..=HIGHEST_START).and_then(|n| u32::try_from(n).ok()) {
            self.first = first;
        }
    }

    pub(crate) fn least(&mut self, field: &Field<'_>) {
        if let Some(least) = field.integer(1..=MOST).and_then(|n| u32::try_from(n).ok()) {
            (self.spec.least, self.least_at) = (least, Some(field.place()));
        }
    }

    pub(crate) fn most(&mut self, field: &Field<'_>) {
        if let Some(most) = field.integer(1..=MOST).and_then(|n| u32::try_from(n).ok()) {
            (self.spec.most, self.most_at) = (most, Some(field.place()));
        }
    }

    /// Checks that the number is between its bounds.
    pub(crate) fn check(&self, owner: Owner<'_>, report: &Report) {
        let Numprocs { configured, least, most } = self.spec();
        let wrong = [
            (self.least_at, configured < least, format!("numprocs is {configured}, and numprocs_min {least}")),
            (self.most_at, configured > most, format!("numprocs is {configured}, and numprocs_max {most}")),
        ];
        for (at, is_outside, message) in wrong {
            if let Some(place) = at.filter(|_| is_outside) {
                let hint = "they bound musterctl scale, and numprocs is where it starts";
                report.add(owner.finding(Severity::Error, place, message).hint(hint));
            }
        }
    }
}
