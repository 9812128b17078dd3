//! `[program.NAME.probes.NAME]`: repeated checks, with Kubernetes' fields, defaults and rules.

use std::time::Duration;

use muster_spec::{CheckSpec, OnFailure, ProbeKind, ProbeSpec, is_valid_name};

use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::checks;
use crate::field::{Field, Owner};
use crate::keys::{Reader, Table};
use crate::value::Content;

/// The state of a probe while its keys are read.
#[derive(Clone)]
pub(crate) struct ProbeDraft {
    name: String,
    at: Place,
    kind: ProbeKind,
    check: Option<CheckSpec>,
    /// Whether a check was given, even an invalid one, which has been reported.
    has_check: bool,
    period: Option<Duration>,
    timeout: Option<Duration>,
    initial_delay: Option<Duration>,
    success_threshold: Option<(u32, Place)>,
    failure_threshold: Option<u32>,
    on_failure: Option<(OnFailure, Place)>,
}

/// A shorter period would only waste processor time.
const SHORTEST_PERIOD: Duration = Duration::from_millis(10);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);

/// Reads the probes of a program, merging them with earlier ones.
pub(crate) fn read_probes(field: &Field<'_>, probes: &mut Vec<ProbeDraft>) {
    let Content::Table(entries) = &field.value.content else {
        field.expected_with_hint("tables by name", EXAMPLE);
        return;
    };
    for (name, value) in entries {
        let probe = field.child(name.as_str(), value);
        if !matches!(value.content, Content::Table(_)) {
            probe.expected_with_hint("a table", EXAMPLE);
            continue;
        }
        if !is_valid_name(name.as_str()) {
            let at = Place::new(field.file, name.span());
            let finding = field.owner.finding(
                Severity::Error,
                at,
                format_args!("{}: invalid name: {:?}", field.path(), name.as_str()),
            );
            field.around.report.add(finding.hint("names consist of letters, digits, `_`, `-` and `.`"));
            continue;
        }
        let at = Place::new(field.file, name.span());
        let index = probes.iter().position(|known| known.name == name.as_str()).unwrap_or_else(|| {
            probes.push(ProbeDraft::new(name.as_str(), at));
            probes.len() - 1
        });
        probes[index].read(&probe);
    }
}

const EXAMPLE: &str = "[program.NAME.probes.live] with http = \"http://127.0.0.1:8000/healthz\"";

impl ProbeDraft {
    fn new(name: &str, at: Place) -> ProbeDraft {
        ProbeDraft {
            name: name.to_owned(),
            at,
            kind: ProbeKind::Liveness,
            check: None,
            has_check: false,
            period: None,
            timeout: None,
            initial_delay: None,
            success_threshold: None,
            failure_threshold: None,
            on_failure: None,
        }
    }

    fn read(&mut self, field: &Field<'_>) {
        let Content::Table(entries) = &field.value.content else { return };
        let given: Vec<&str> = checks::KINDS.into_iter().filter(|kind| entries.contains_key(*kind)).collect();
        if given.len() > 1 {
            field.error_with_hint(format_args!("has several checks: {}", given.join(", ")), "use a probe for each");
        }
        field.each_key(Table::Probe, |key, child| {
            if let Reader::Probe(read) = key.reader {
                read(self, child);
            }
        });
    }

    /// Checks constraints between keys.
    pub(crate) fn check(&self, owner: Owner<'_>, report: &Report) {
        let path = format!("probes.{}", self.name);
        let misnamed = |kind: &str| report.was_misnamed(owner, &format!("{path}."), kind);
        if !self.has_check && !checks::KINDS.into_iter().any(misnamed) {
            let finding = owner.finding(Severity::Error, self.at, format_args!("{path} has no check"));
            report.add(finding.hint("one of http = \"http://…\", tcp = \"host:port\", exec = [\"…\"]"));
        }
        if let Some((count @ 2.., place)) = self.success_threshold.filter(|_| self.kind != ProbeKind::Readiness) {
            let kind = self.kind.name();
            let message =
                format_args!("{path}.success_threshold must be 1 for a {kind} probe, as in Kubernetes: {count}");
            let finding = owner.finding(Severity::Error, place, message);
            report.add(finding.hint("only kind = \"readiness\" can require several successes in a row"));
        }
        if let Some((action, place)) = self.on_failure
            && self.kind == ProbeKind::Readiness
            && action != OnFailure::None
        {
            let action = action.name();
            let message = format_args!("{path}.on_failure: not an action of a readiness probe: {action:?}");
            let finding = owner.finding(Severity::Error, place, message);
            report.add(finding.hint("kind = \"liveness\" can; a readiness probe only reports \"not ready\""));
        }
    }

    /// The probe; `None` without a check, which `check` reports.
    pub(crate) fn spec(&self) -> Option<ProbeSpec> {
        let default = ProbeSpec::new(self.name.clone(), self.kind, self.check.clone()?);
        Some(ProbeSpec {
            period: self.period.unwrap_or(default.period),
            timeout: self.timeout.unwrap_or(default.timeout),
            initial_delay: self.initial_delay.unwrap_or(default.initial_delay),
            success_threshold: self.success_threshold.map_or(default.success_threshold, |(count, _)| count),
            failure_threshold: self.failure_threshold.unwrap_or(default.failure_threshold),
            on_failure: self.on_failure.map_or(default.on_failure, |(action, _)| action),
            ..default
        })
    }

    fn set_check(&mut self, check: Option<CheckSpec>) {
        self.has_check = true;
        self.check = check.or(self.check.take());
    }

    pub(crate) fn tcp(&mut self, field: &Field<'_>) {
        self.set_check(checks::read_tcp(field));
    }

    pub(crate) fn http(&mut self, field: &Field<'_>) {
        self.set_check(checks::read_http(field));
    }

    pub(crate) fn exec(&mut self, field: &Field<'_>) {
        self.set_check(checks::read_exec(field));
    }

    pub(crate) fn kind(&mut self, field: &Field<'_>) {
        if let Some(kind) = field.choice(&ProbeKind::ALL) {
            self.kind = kind;
        }
    }

    pub(crate) fn period(&mut self, field: &Field<'_>) {
        self.period = field.duration_of_at_least(SHORTEST_PERIOD).or(self.period);
    }

    pub(crate) fn timeout(&mut self, field: &Field<'_>) {
        self.timeout = field.duration_of_at_least(SHORTEST_TIMEOUT).or(self.timeout);
    }

    pub(crate) fn initial_delay(&mut self, field: &Field<'_>) {
        self.initial_delay = field.duration().or(self.initial_delay);
    }

    pub(crate) fn success_threshold(&mut self, field: &Field<'_>) {
        self.success_threshold = threshold(field).map(|count| (count, field.place())).or(self.success_threshold);
    }

    pub(crate) fn failure_threshold(&mut self, field: &Field<'_>) {
        self.failure_threshold = threshold(field).or(self.failure_threshold);
    }

    pub(crate) fn on_failure(&mut self, field: &Field<'_>) {
        self.on_failure = field.choice(&OnFailure::ALL).map(|action| (action, field.place())).or(self.on_failure);
    }
}

fn threshold(field: &Field<'_>) -> Option<u32> {
    field.integer(1..=i64::from(u32::MAX)).and_then(|count| u32::try_from(count).ok())
}
