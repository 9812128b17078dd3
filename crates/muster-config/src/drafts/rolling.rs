//! `rolling` and `recycle_after`: restarting the instances of a program one after another.

use std::num::NonZeroU32;
use std::time::Duration;

use muster_spec::{Kind, Recycle, Rolling, RollingWait};

use crate::diagnostic::{Place, Report, Severity};
use crate::field::{Field, Owner};
use crate::value::Content;

/// The most instances of a program.
const MOST: i64 = 1000;

/// The two keys of a program while they are read.
#[derive(Default)]
pub(crate) struct RollingDraft {
    pub(crate) rolling: Option<Rolling>,
    pub(crate) recycle: Option<Recycle>,
    rolling_at: Option<Place>,
    recycle_at: Option<Place>,
}

impl RollingDraft {
    /// The values of a program, without places.
    pub(crate) fn of(rolling: Option<Rolling>, recycle: Option<Recycle>) -> RollingDraft {
        RollingDraft { rolling, recycle, rolling_at: None, recycle_at: None }
    }

    /// A number of instances, or a table.
    pub(crate) fn rolling(&mut self, field: &Field<'_>) {
        self.rolling_at = Some(field.place());
        let Content::Table(entries) = &field.value.content else {
            if let Some(parallel) = number(field, 0) {
                self.rolling = NonZeroU32::new(parallel).map(|parallel| Rolling { parallel, ..Rolling::DEFAULT });
            }
            return;
        };
        let mut rolling = Rolling::DEFAULT;
        for (name, value) in entries {
            let child = field.child(name.as_str(), value);
            match name.as_str() {
                "parallel" => {
                    rolling.parallel = number(&child, 1).and_then(NonZeroU32::new).unwrap_or(rolling.parallel);
                }
                "pause" => rolling.pause = child.duration().unwrap_or(rolling.pause),
                "wait" => rolling.wait = child.choice(&RollingWait::ALL).unwrap_or(rolling.wait),
                _ => child.error_with_hint("is not a key of rolling", "it has parallel, pause and wait"),
            }
        }
        self.rolling = Some(rolling);
    }

    /// A duration, or a table.
    pub(crate) fn recycle_after(&mut self, field: &Field<'_>) {
        self.recycle_at = Some(field.place());
        let Content::Table(entries) = &field.value.content else {
            if let Some(after) = field.duration() {
                self.recycle = Some(Recycle::after(after)).filter(|_| !after.is_zero());
            }
            return;
        };
        let mut recycle = Recycle::after(Duration::ZERO);
        for (name, value) in entries {
            let child = field.child(name.as_str(), value);
            match name.as_str() {
                "after" => recycle.after = child.duration().unwrap_or_default(),
                "jitter" => recycle.jitter = child.duration().unwrap_or_default(),
                _ => child.error_with_hint("is not a key of recycle_after", "it has after and jitter"),
            }
        }
        if !entries.contains_key("after") {
            field.error_with_hint("lacks after", "recycle_after = { after = \"6h\", jitter = \"10m\" }");
        }
        self.recycle = Some(recycle).filter(|recycle| !recycle.after.is_zero());
    }

    /// Both are about processes that are meant to keep running.
    pub(crate) fn check(&self, kind: Kind, owner: Owner<'_>, report: &Report) {
        if kind == Kind::Service {
            return;
        }
        let rolling = self.rolling_at.filter(|_| self.rolling.is_some()).map(|place| ("rolling", place));
        let recycle = self.recycle_at.filter(|_| self.recycle.is_some()).map(|place| ("recycle_after", place));
        for (key, place) in rolling.into_iter().chain(recycle) {
            let message = format!("{key} needs a service, and type is \"oneshot\"");
            report.add(owner.finding(Severity::Error, place, message).hint("leave out one of the two"));
        }
    }
}

fn number(field: &Field<'_>, least: i64) -> Option<u32> {
    field.integer(least..=MOST).and_then(|number| u32::try_from(number).ok())
}
