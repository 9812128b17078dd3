//! `ionice`, `sched` and `cpus`.

use std::sync::Arc;

use muster_spec::{CpuSet, IoPriority, Scheduling, SchedulingPolicy};

use crate::field::Field;

/// Reads `ionice`. Empty text leaves it as it is.
pub(crate) fn read_ionice(field: &Field<'_>, scheduling: &mut Scheduling) {
    const EXPECTED: &str = "\"idle\", \"best-effort:LEVEL\" or \"realtime:LEVEL\", with a level from 0 (first) to 7";
    if let Some(read) = read(field, EXPECTED, "\"best-effort:7\" is the last of the usual class", IoPriority::of) {
        scheduling.io = read;
    }
}

/// Reads `sched`.
pub(crate) fn read_sched(field: &Field<'_>, scheduling: &mut Scheduling) {
    const EXPECTED: &str =
        "\"other\", \"batch\", \"idle\", \"fifo:PRIORITY\" or \"rr:PRIORITY\", with a priority from 1 to 99";
    if let Some(read) = read(field, EXPECTED, "\"batch\" is for work that nothing waits for", SchedulingPolicy::of) {
        scheduling.policy = read;
    }
}

/// Reads `cpus`.
pub(crate) fn read_cpus(field: &Field<'_>, scheduling: &mut Scheduling) {
    const EXPECTED: &str = "a list of processors from 0 to 1023";
    if let Some(read) = read(field, EXPECTED, "numbers and ranges, the lower one first: cpus = \"0-3,6\"", CpuSet::of) {
        scheduling.cpus = read.map(Arc::new);
    }
}

/// `Some(None)` for empty text.
fn read<T>(field: &Field<'_>, expected: &str, hint: &str, of: fn(&str) -> Option<T>) -> Option<Option<T>> {
    let text = field.text()?;
    if text.text.is_empty() {
        return Some(None);
    }
    let read = of(&text.text);
    if read.is_none() {
        field.text_expected(expected, &text, Some(hint.to_owned()));
    }
    read.map(Some)
}
