//! Readiness and health of a run, derived from its checks.
//!
//! As in Kubernetes: thresholds count consecutive results, a startup probe delays the others, and a check never starts
//! before the previous one has finished. [`Checks`] counts results and says when the next check is due;
//! [`crate::program`] decides what follows, and the shell runs the checks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use muster_spec::{InstanceSpec, ProbeKind, ReadySpec};

use crate::time::Time;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeOutcome {
    /// Whether it succeeded.
    pub success: bool,
    /// The result, worded for people.
    pub detail: String,
}

/// Whether a run is ready to serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// No result yet, which counts as not ready.
    #[default]
    Unknown,
    /// It is not ready, or no longer ready.
    NotReady,
    /// It is ready.
    Ready,
}

/// Whether a run is healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No result yet, or no probes.
    #[default]
    Unknown,
    /// Its probes have passed and are not failing.
    Healthy,
    /// One of its probes has reached its failure threshold.
    Unhealthy,
}

/// First interval of a check that has not succeeded yet and of which only the success matters (a readiness rule, or a
/// readiness probe of a run that was never ready). It doubles up to [`EAGER_MAX`] and never exceeds the period: a start
/// must not take a period longer because the first check came slightly too early. Kubernetes reserves the same right.
pub const EAGER_FIRST: Duration = Duration::from_millis(50);

/// The longest such interval.
pub const EAGER_MAX: Duration = Duration::from_secs(1);

/// The effect of one more result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Consecutive failures, including this one; 0 for a success.
    pub(crate) failures: u32,
    /// Whether this failure reached the threshold.
    pub(crate) has_tripped: bool,
}

/// The state of one check.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Check {
    /// When it starts next; `None` while it is running, must not start yet, or is finished.
    due: Option<Time>,
    began: Time,
    is_under_way: bool,
    successes: u32,
    failures: u32,
    /// The result after the last threshold that was reached.
    passes: Option<bool>,
    has_passed: bool,
}

/// All checks of one run, in the order of its probes; the check of its readiness rule comes last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Checks {
    executed: Time,
    checks: Vec<Check>,
}

impl Checks {
    /// The checks of a run that has just executed its program; `None` if there are none.
    pub(crate) fn begin(spec: &InstanceSpec, now: Time) -> Option<Box<Checks>> {
        let rule = usize::from(matches!(spec.ready, Some(ReadySpec::Check(_))));
        let count = spec.probes.len() + rule;
        if count == 0 {
            return None;
        }
        let mut checks = Checks { executed: now, checks: vec![Check::default(); count] };
        checks.admit(spec, now);
        Some(Box::new(checks))
    }

    /// Applies new probes to the same run: a probe that keeps its name and kind keeps its results.
    pub(crate) fn adapt(
        old: Option<&Checks>,
        was: &InstanceSpec,
        spec: &InstanceSpec,
        now: Time,
    ) -> Option<Box<Checks>> {
        let mut checks = Checks::begin(spec, now)?;
        let Some(old) = old else { return Some(checks) };
        checks.executed = old.executed;
        for (probe, check) in spec.probes.iter().zip(&mut checks.checks) {
            let same = was.probes.iter().position(|it| it.name == probe.name && it.kind == probe.kind);
            if let Some(known) = same.and_then(|place| old.checks.get(place)) {
                let (passes, has_passed) = (known.passes, known.has_passed);
                *check = Check { passes, has_passed, ..Check::default() };
            }
        }
        let (before, after) = (old.checks.get(was.probes.len()), checks.checks.get_mut(spec.probes.len()));
        if let Some((before, after)) = before.zip(after) {
            *after = Check { passes: before.passes, has_passed: before.has_passed, ..Check::default() };
        }
        checks.admit(spec, now);
        Some(checks)
    }

    /// When the next check is due.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.checks.iter().filter_map(|check| check.due).min()
    }

    /// Takes one check that is due and marks it as running.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<usize> {
        let is_due = |check: &Check| check.due.is_some_and(|due| due <= now);
        let place = self.checks.iter().position(is_due)?;
        let check = &mut self.checks[place];
        (check.due, check.began, check.is_under_way) = (None, now, true);
        Some(place)
    }

    /// Records the result of a check. `None` if it was not running.
    pub(crate) fn finished(&mut self, spec: &InstanceSpec, place: usize, success: bool, now: Time) -> Option<Answer> {
        let thresholds =
            spec.probes.get(place).map_or((1, u32::MAX), |it| (it.success_threshold, it.failure_threshold));
        let check = self.checks.get_mut(place).filter(|check| check.is_under_way)?;
        check.is_under_way = false;
        let did_fail = check.passes == Some(false);
        check.count(success, thresholds);
        let has_tripped = check.passes == Some(false) && !did_fail;
        let answer = Answer { failures: check.failures, has_tripped };
        check.due = check.interval(spec, place).map(|interval| (check.began + interval).max(now));
        if success && spec.probes.get(place).is_some_and(|probe| probe.kind == ProbeKind::Startup) {
            self.admit(spec, now);
        }
        Some(answer)
    }

    /// Records that a check could not be made. It is due again after its period, at most a second.
    pub(crate) fn not_made(&mut self, spec: &InstanceSpec, place: usize, now: Time) {
        let period = spec.probes.get(place).map_or(EAGER_MAX, |probe| probe.period);
        if let Some(check) = self.checks.get_mut(place).filter(|check| check.is_under_way) {
            check.is_under_way = false;
            check.due = Some(now + period.clamp(EAGER_FIRST, EAGER_MAX));
        }
    }

    /// Postpones every check that is due by this much.
    pub(crate) fn lose(&mut self, by: Duration) {
        self.executed = self.executed + by;
        self.checks.iter_mut().filter_map(|check| check.due.as_mut()).for_each(|due| *due = *due + by);
    }

    /// Schedules the checks that may start and never have.
    fn admit(&mut self, spec: &InstanceSpec, now: Time) {
        let has_started_up = self.has_started_up(spec);
        for (place, check) in self.checks.iter_mut().enumerate() {
            let (kind, delay) = kind_and_delay(spec, place);
            let may_begin = kind != Some(ProbeKind::Liveness) && kind != Some(ProbeKind::Readiness) || has_started_up;
            let is_over = check.passes == Some(true) && matches!(kind, None | Some(ProbeKind::Startup));
            if may_begin && !is_over && !check.is_under_way && check.due.is_none() {
                check.due = Some((self.executed + delay).max(now));
            }
        }
    }

    fn has_started_up(&self, spec: &InstanceSpec) -> bool {
        self.of_kind(spec, ProbeKind::Startup).all(|check| check.passes == Some(true))
    }

    fn of_kind<'a>(&'a self, spec: &'a InstanceSpec, kind: ProbeKind) -> impl Iterator<Item = &'a Check> {
        let of_kind = spec.probes.iter().zip(&self.checks).filter(move |(probe, _)| probe.kind == kind);
        of_kind.map(|(_, check)| check)
    }

    /// Whether the run is ready by its probes: it has started up, and every readiness probe passes.
    pub(crate) fn is_ready(&self, spec: &InstanceSpec) -> bool {
        self.has_started_up(spec) && self.of_kind(spec, ProbeKind::Readiness).all(|check| check.passes == Some(true))
    }

    /// Whether a readiness probe is failing.
    pub(crate) fn refuses(&self, spec: &InstanceSpec) -> bool {
        self.of_kind(spec, ProbeKind::Readiness).any(|check| check.passes == Some(false))
    }

    /// Whether the run is healthy. A readiness probe that has never passed is ignored.
    pub(crate) fn health(&self, spec: &InstanceSpec) -> Health {
        let fails = |(probe, check): (&muster_spec::ProbeSpec, &Check)| {
            check.passes == Some(false) && (probe.kind != ProbeKind::Readiness || check.has_passed)
        };
        let mut probes = spec.probes.iter().zip(&self.checks);
        if probes.clone().any(fails) {
            Health::Unhealthy
        } else if !spec.probes.is_empty() && probes.all(|(_, check)| check.passes == Some(true)) {
            Health::Healthy
        } else {
            Health::Unknown
        }
    }
}

fn kind_and_delay(spec: &InstanceSpec, place: usize) -> (Option<ProbeKind>, Duration) {
    spec.probes.get(place).map_or((None, Duration::ZERO), |probe| (Some(probe.kind), probe.initial_delay))
}

impl Check {
    fn count(&mut self, success: bool, (successes, failures): (u32, u32)) {
        if success {
            (self.successes, self.failures) = (self.successes.saturating_add(1), 0);
        } else {
            (self.successes, self.failures) = (0, self.failures.saturating_add(1));
        }
        if self.successes >= successes.max(1) {
            (self.passes, self.has_passed) = (Some(true), true);
        } else if self.failures >= failures.max(1) {
            self.passes = Some(false);
        }
    }

    /// Time from the start of this check to that of the next; `None` if it was the last.
    fn interval(&self, spec: &InstanceSpec, place: usize) -> Option<Duration> {
        let probe = spec.probes.get(place);
        let is_over = self.passes == Some(true) && probe.is_none_or(|probe| probe.kind == ProbeKind::Startup);
        if is_over {
            return None;
        }
        let period = probe.map_or(EAGER_MAX, |probe| probe.period);
        let is_eager = probe.is_none_or(|probe| probe.kind == ProbeKind::Readiness) && !self.has_passed;
        let eager = EAGER_FIRST * 2_u32.pow(self.failures.clamp(1, 6) - 1);
        Some(if is_eager && self.failures > 0 { period.min(eager).min(EAGER_MAX) } else { period })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use muster_spec::{CheckSpec, HostPort, OutputSpec, ProbeSpec, ProcessSpec, Target};

    fn at(ms: u64) -> Time {
        Time::from_origin(Duration::from_millis(ms))
    }

    fn spec(probes: &[ProbeSpec]) -> InstanceSpec {
        let process = ProcessSpec::of(vec!["web".to_owned()]);
        InstanceSpec {
            output: Arc::new(OutputSpec { stdout: Target::Discard, stderr: None, ..OutputSpec::default() }),
            probes: probes.to_vec(),
            ..InstanceSpec::of("web".to_owned(), process)
        }
    }

    fn probe(kind: ProbeKind) -> ProbeSpec {
        ProbeSpec::new("it", kind, CheckSpec::Tcp(HostPort::parse("localhost:1").expect("an address")))
    }

    fn answer(checks: &mut Checks, spec: &InstanceSpec, now: u64, success: bool) -> Option<Answer> {
        let place = checks.take_due(at(now)).expect("a check is due");
        checks.finished(spec, place, success, at(now))
    }

    #[test]
    fn a_check_is_due_a_period_after_the_last_one_began_and_never_before_its_answer() {
        let spec = spec(&[probe(ProbeKind::Liveness)]);
        let mut checks = Checks::begin(&spec, at(1000)).expect("there is a probe");
        assert_eq!(checks.next_due(), Some(at(1000)));
        assert_eq!(checks.take_due(at(1000)), Some(0));
        assert_eq!(checks.next_due(), None);
        checks.finished(&spec, 0, true, at(1500));
        assert_eq!(checks.next_due(), Some(at(11_000)));
        assert_eq!(checks.take_due(at(11_000)), Some(0));
        checks.finished(&spec, 0, true, at(40_000));
        assert_eq!(checks.next_due(), Some(at(40_000)));
    }

    #[test]
    fn an_answer_that_nobody_asked_for_counts_for_nothing() {
        let spec = spec(&[probe(ProbeKind::Liveness)]);
        let mut checks = Checks::begin(&spec, at(0)).expect("there is a probe");
        assert_eq!(checks.finished(&spec, 0, true, at(0)), None);
        assert_eq!(checks.finished(&spec, 7, true, at(0)), None);
        assert_eq!(checks.health(&spec), Health::Unknown);
    }

    #[test]
    fn a_check_that_could_not_be_made_counts_for_nothing_and_is_made_again() {
        let spec = spec(&[ProbeSpec { failure_threshold: 1, ..probe(ProbeKind::Liveness) }]);
        let mut checks = Checks::begin(&spec, at(0)).expect("there is a probe");
        checks.not_made(&spec, 0, at(0));
        assert_eq!(checks.next_due(), Some(at(0)), "it was not under way");
        assert_eq!(checks.take_due(at(0)), Some(0));
        checks.not_made(&spec, 0, at(10));
        assert_eq!((checks.health(&spec), checks.next_due()), (Health::Unknown, Some(at(1010))));
        assert_eq!(answer(&mut checks, &spec, 1010, true).map(|answer| answer.failures), Some(0));
    }

    #[test]
    fn only_thresholds_of_answers_in_a_row_change_the_verdict() {
        let spec = spec(&[ProbeSpec { success_threshold: 2, failure_threshold: 2, ..probe(ProbeKind::Readiness) }]);
        let mut checks = Checks::begin(&spec, at(0)).expect("there is a probe");
        let mut now = 0;
        let mut verdicts = String::new();
        for success in [true, false, true, true, false, true, false, false, true, true] {
            answer(&mut checks, &spec, now, success);
            verdicts.push(if checks.is_ready(&spec) { 'r' } else { '-' });
            now += 60_000;
        }
        assert_eq!(verdicts, "---rrrr--r");
    }

    #[test]
    fn the_failure_that_reaches_the_threshold_trips_and_those_after_it_do_not() {
        let spec = spec(&[probe(ProbeKind::Liveness)]);
        let mut checks = Checks::begin(&spec, at(0)).expect("there is a probe");
        let answers: Vec<_> = (0..5).filter_map(|n| answer(&mut checks, &spec, n * 60_000, false)).collect();
        let told: Vec<_> = answers.iter().map(|answer| (answer.failures, answer.has_tripped)).collect();
        assert_eq!(told, [(1, false), (2, false), (3, true), (4, false), (5, false)]);
        assert_eq!(checks.health(&spec), Health::Unhealthy);
    }

    #[test]
    fn a_startup_probe_keeps_the_others_waiting_and_is_over_when_it_has_passed() {
        let late = ProbeSpec { initial_delay: Duration::from_secs(30), ..probe(ProbeKind::Liveness) };
        let spec = spec(&[late, probe(ProbeKind::Startup), probe(ProbeKind::Readiness)]);
        let mut checks = Checks::begin(&spec, at(0)).expect("there are probes");
        assert_eq!(checks.take_due(at(100_000)), Some(1));
        assert_eq!(checks.take_due(at(100_000)), None);
        checks.finished(&spec, 1, false, at(100_000));
        assert_eq!(checks.next_due(), Some(at(110_000)));
        assert_eq!(checks.take_due(at(110_000)), Some(1));
        checks.finished(&spec, 1, true, at(110_000));
        assert_eq!([checks.take_due(at(110_000)), checks.take_due(at(110_000))], [Some(0), Some(2)]);
        assert_eq!(checks.take_due(at(900_000)), None);
    }

    #[test]
    fn what_has_never_been_ready_is_asked_again_soon() {
        let spec = spec(&[probe(ProbeKind::Readiness)]);
        let mut checks = Checks::begin(&spec, at(0)).expect("there is a probe");
        let mut told = Vec::new();
        for _ in 0..7 {
            let due = checks.next_due().expect("it goes on").since_origin().as_millis() as u64;
            told.push(due);
            answer(&mut checks, &spec, due, false);
        }
        assert_eq!(told, [0, 50, 150, 350, 750, 1550, 2550]);
        let due = checks.next_due().expect("it goes on").since_origin().as_millis() as u64;
        answer(&mut checks, &spec, due, true);
        assert_eq!(checks.next_due(), Some(at(due + 10_000)));
    }
}
