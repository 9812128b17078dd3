//! `rlimits = { nofile = 65536, core = { soft = 0, hard = "unlimited" } }`.

use muster_spec::{Resource, Rlimit};

use crate::field::Field;
use crate::keys::{Reader, Table};
use crate::value::Content;
use crate::words::nearest;

/// A number, or `None` for unlimited.
type Limit = Option<u64>;

/// The limits of a resource while its keys are read.
#[derive(Default)]
pub(crate) struct Bounds {
    soft: Option<Limit>,
    hard: Option<Limit>,
}

impl Bounds {
    pub(crate) fn soft(&mut self, field: &Field<'_>) {
        self.soft = read_limit(field);
    }

    pub(crate) fn hard(&mut self, field: &Field<'_>) {
        self.hard = read_limit(field);
    }
}

/// Reads limits, overriding earlier ones.
pub(crate) fn read_rlimits(field: &Field<'_>, limits: &mut Vec<Rlimit>) {
    let Content::Table(entries) = &field.value.content else {
        field.expected_with_hint("a table", "rlimits = { nofile = 65536 }");
        return;
    };
    for (name, value) in entries {
        let child = field.child(name.as_str(), value);
        let Some(resource) = find_resource(&child) else { continue };
        let Some(limit) = read_bounds(&child, resource) else { continue };
        match limits.iter_mut().find(|known| known.resource == resource) {
            Some(known) => *known = limit,
            None => limits.push(limit),
        }
    }
}

fn find_resource(field: &Field<'_>) -> Option<Resource> {
    let found = Resource::ALL.iter().copied().find(|resource| resource.name() == field.name);
    if found.is_none() {
        let bare = field.name.to_ascii_lowercase();
        let bare = bare.strip_prefix("rlimit_").unwrap_or(&bare);
        let names = || Resource::ALL.iter().map(|resource| resource.name());
        let hint = match bare {
            "fds" | "files" | "nofiles" | "minfds" | "open_files" => Some("it is called nofile".to_owned()),
            _ => names()
                .find(|name| *name == bare)
                .or_else(|| nearest(bare, names()))
                .map(|name| format!("did you mean {name}?")),
        };
        field.error_with_hint(
            "is not a resource limit",
            hint.unwrap_or_else(|| format!("they are {}", names().collect::<Vec<_>>().join(", "))),
        );
    }
    found
}

fn read_bounds(field: &Field<'_>, resource: Resource) -> Option<Rlimit> {
    let mut bounds = Bounds::default();
    if let Content::Table(_) = &field.value.content {
        field.each_key(Table::Rlimit, |key, child| {
            if let Reader::Rlimit(read) = key.reader {
                read(&mut bounds, child);
            }
        });
    } else {
        bounds.soft = read_limit(field);
    }
    let soft = bounds.soft.or(bounds.hard)?;
    let hard = bounds.hard.or(bounds.soft)?;
    // Unlimited counts as the highest.
    if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
        field.error_with_hint(
            "has a soft limit above its hard limit",
            "the soft limit applies, and the hard limit bounds it",
        );
        return None;
    }
    Some(Rlimit { resource, soft, hard })
}

fn read_limit(field: &Field<'_>) -> Option<Limit> {
    match field.value.literal() {
        Some("unlimited" | "infinity") => Some(None),
        _ => field.size().map(Some),
    }
}
