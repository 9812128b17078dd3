//! `schedule = "*/5 * * * *"`, a list of such texts, or a table; and `[musterd] timezone`.

use muster_schedule::Mistake;
use muster_spec::{Kind, Missed, Overlap, RestartWhen, ScheduleSpec, ScheduleTimes};

use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::program::Rules;
use crate::field::{Field, Owner, Text};
use crate::value::Content;

const EXAMPLE: &str = "schedule = { cron = \"30 2 * * *\", timezone = \"Europe/Berlin\" }";

/// A schedule, before it is known which time zone is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScheduleDraft {
    spec: ScheduleSpec,
    /// Which of its times are in the default time zone.
    in_default: Vec<bool>,
    /// Where it says `missed = "once"`.
    catches_up_at: Option<Place>,
}

impl ScheduleDraft {
    /// The draft of a schedule whose zones are known.
    pub(crate) fn of(spec: &ScheduleSpec) -> ScheduleDraft {
        ScheduleDraft { in_default: vec![false; spec.times.len()], spec: spec.clone(), catches_up_at: None }
    }

    /// Checks it against keys that do not go with it, if they are there: `essential`, and `startretries` without `restart`.
    pub(crate) fn check(
        &self,
        (essential, retries): (Option<Place>, Option<Place>),
        owner: Owner<'_>,
        report: &Report,
    ) {
        if let Some(place) = essential {
            let message = "essential, but it has a schedule: the container would exit with its first run";
            report.add(owner.finding(Severity::Error, place, message).hint("leave out one of the two"));
        }
        if let Some(place) = retries {
            let message = "startretries has no effect beside schedule without restart";
            let hint = "restart = \"on-failure\" also retries between the times";
            report.add(owner.finding(Severity::Error, place, message).hint(hint));
        }
    }

    /// Where it says `missed = "once"`.
    pub(crate) fn catches_up_at(&self) -> Option<Place> {
        self.catches_up_at
    }

    /// With this zone where none is named.
    pub(crate) fn finish(&self, default_zone: &str) -> ScheduleSpec {
        let mut spec = self.spec.clone();
        for (times, _) in spec.times.iter_mut().zip(&self.in_default).filter(|(_, in_default)| **in_default) {
            if let ScheduleTimes::Cron { timezone, .. } = times {
                *timezone = default_zone.to_owned();
            }
        }
        spec
    }
}

impl Rules {
    pub(crate) fn read_schedule(&mut self, field: &Field<'_>) {
        self.schedule = read_schedule(field);
    }

    /// The schedule, in this time zone where it names none.
    pub(crate) fn schedule(&self, timezone: &str) -> Option<Box<ScheduleSpec>> {
        self.schedule.as_ref().map(|draft| draft.finish(timezone).into())
    }

    /// A program with a schedule is a job, which waits for its next time if it fails, unless the keys say otherwise.
    pub(crate) fn follow_schedule(&mut self) {
        if self.schedule.is_some() && !self.has_kind {
            self.kind = Kind::Oneshot;
        }
        if self.schedule.is_some() && self.restart_at.is_none() {
            self.when = RestartWhen::Never;
        }
    }
}

/// The schedule; `None` with an error.
fn read_schedule(field: &Field<'_>) -> Option<ScheduleDraft> {
    let Content::Table(entries) = &field.value.content else {
        let (times, in_default) = read_times(field, None)?;
        return Some(ScheduleDraft { spec: ScheduleSpec::of(times), in_default, catches_up_at: None });
    };
    let zone_at = entries.iter().find(|(name, _)| name.as_str() == "timezone");
    let zone = zone_at.map(|(name, value)| read_timezone(&field.child(name.as_str(), value)));
    let mut spec = ScheduleSpec::of(Vec::new());
    let mut catches_up_at = None;
    let (mut in_default, mut is_well) = (Vec::new(), !matches!(zone, Some(None)));
    let zone = zone.flatten();
    for (name, value) in entries {
        let child = field.child(name.as_str(), value);
        let read = match name.as_str() {
            "cron" => read_times(&child, zone.as_deref()).map(|read| (spec.times, in_default) = read),
            "timezone" => Some(()),
            "overlap" => child.choice(&Overlap::ALL).map(|overlap| spec.overlap = overlap),
            "jitter" => child.duration().map(|jitter| spec.jitter = jitter),
            "missed" => child.choice(&Missed::ALL).map(|missed| {
                spec.missed = missed;
                catches_up_at = (missed == Missed::Once).then(|| child.place());
            }),
            "run_on_start" => child.flag().map(|flag| spec.run_on_start = flag),
            _ => {
                let keys = "it has cron, timezone, overlap, jitter, missed and run_on_start";
                child.error_with_hint("is not a key of schedule", keys);
                None
            }
        };
        is_well &= read.is_some();
    }
    if !entries.contains_key("cron") {
        field.error_with_hint("lacks cron", EXAMPLE);
        return None;
    }
    is_well.then_some(ScheduleDraft { spec, in_default, catches_up_at })
}

/// The name of a time zone; `None` with an error.
pub(crate) fn read_timezone(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    match muster_schedule::check_zone(&text.text) {
        Ok(()) => Some(text.text.into_owned()),
        Err(mistake) => {
            report(field, &text, mistake);
            None
        }
    }
}

/// The times, and which of them are in the default time zone.
fn read_times(field: &Field<'_>, timezone: Option<&str>) -> Option<(Vec<ScheduleTimes>, Vec<bool>)> {
    let items = field.items();
    if items.is_empty() {
        field.error_with_hint("is empty", "schedule = \"30 2 * * *\"; leave it out for a program without one");
        return None;
    }
    // Read all before the first failure returns, so that every mistake is reported.
    let read: Vec<_> = items.iter().map(|item| read_one(item, timezone)).collect();
    Some(read.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip())
}

fn read_one(field: &Field<'_>, timezone: Option<&str>) -> Option<(ScheduleTimes, bool)> {
    let text = field.text()?;
    let names_one = text.text.trim_start().starts_with("TZ=") || text.text.trim_start().starts_with("CRON_TZ=");
    match muster_schedule::parse(&text.text, timezone.unwrap_or("UTC")) {
        Ok(times) => Some((times, timezone.is_none() && !names_one)),
        Err(mistake) => {
            report(field, &text, mistake);
            None
        }
    }
}

/// A mistake within the text, at its place there; one in a secret text at the whole value.
fn report(field: &Field<'_>, text: &Text<'_>, mistake: Mistake) {
    let message = if text.secret { "is not a schedule".to_owned() } else { mistake.message };
    let place = if text.secret || mistake.at.is_empty() { field.place() } else { field.place_within(mistake.at) };
    let finding = field.owner.finding(Severity::Error, place, format!("{} {message}", field.path()));
    field.report(if mistake.hint.is_empty() { finding } else { finding.hint(mistake.hint) });
}
