//! `memory_max = "512MB"`, or a table.

use muster_spec::{MemoryCount, MemoryLimit, OnFailure};

use crate::field::Field;
use crate::value::Content;

const EXAMPLE: &str = "memory_max = { max = \"512MB\", for = \"10s\" }";

/// The limit; `None` with an error, or for the size 0, which is no limit.
pub(crate) fn read_memory_max(field: &Field<'_>) -> Option<MemoryLimit> {
    let Content::Table(entries) = &field.value.content else { return max(field).map(MemoryLimit::of) };
    let mut limit = MemoryLimit::of(0);
    let mut is_well = true;
    let mut over_at = None;
    for (name, value) in entries {
        let child = field.child(name.as_str(), value);
        let read = match name.as_str() {
            "max" => max(&child).map(|max| limit.max = max),
            "for" => child.duration().map(|over| {
                limit.over = over;
                over_at = Some(child);
            }),
            "period" => child.duration_of_at_least(std::time::Duration::from_millis(100)).map(|it| limit.period = it),
            "action" => child.choice(&OnFailure::ALL).map(|action| limit.action = action),
            "count" => child.choice(&MemoryCount::ALL).map(|count| limit.count = count),
            _ => {
                child.error_with_hint("is not a key of memory_max", "it has max, for, period, action and count");
                None
            }
        };
        is_well &= read.is_some();
    }
    if !entries.contains_key("max") {
        field.error_with_hint("lacks max", EXAMPLE);
        return None;
    }
    if is_well && limit.over < limit.period / 2 {
        let hint = "it is measured once in each period: make period shorter, or for longer";
        over_at.as_ref().unwrap_or(field).error_with_hint("must be at least half of period", hint);
        return None;
    }
    is_well.then_some(limit)
}

fn max(field: &Field<'_>) -> Option<u64> {
    let max = field.size()?;
    if max != 0 && max < MemoryLimit::LEAST {
        field.error_with_hint(format_args!("must be at least 1 MiB: {}", field.shown()), EXAMPLE);
        return None;
    }
    Some(max)
}
