//! Computes how long a full shutdown may take, and which programs would get less time than configured.
//!
//! The core stops programs in waves, highest rank first, where a program's rank is its priority or the highest of its
//! dependencies; within a wave a program stops after its dependents. The longest path counts.
//! In a serial shutdown every program counts.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_spec::{ShutdownBudget, ShutdownOrder, Span};

use crate::build::Built;
use crate::diagnostic::{Finding, Place, Report};
use crate::drafts::daemon::DaemonDraft;

/// A step of a shutdown: the program that the others wait for.
#[derive(Clone, Copy)]
struct Step<'b> {
    name: &'b str,
    patience: Duration,
    at: Place,
}

/// Warns when a shutdown may take longer than `shutdown_timeout`. Dependencies must be free of cycles.
///
/// Only explicit stopwaitsecs and timeouts of hooks count. The default of 10 s is a bound for programs that hang and exceeds the default budget:
/// counting it would warn about every configuration.
pub(crate) fn check_budget(programs: &[Built<'_>], daemon: &DaemonDraft, report: &Report) {
    let ShutdownBudget::Within(budget) = daemon.spec.shutdown_timeout else { return };
    let steps = match daemon.spec.shutdown_order {
        ShutdownOrder::Parallel => longest_way(programs),
        ShutdownOrder::Serial => programs.iter().filter_map(step_of).collect(),
    };
    let total = steps.iter().fold(Duration::ZERO, |sum, step| sum.saturating_add(step.patience));
    if total <= budget {
        return;
    }
    let Some(most_patient) = steps.iter().max_by_key(|step| step.patience) else { return };
    let share = most_patient.patience.mul_f64(budget.as_secs_f64() / total.as_secs_f64());
    let message = format!(
        "stopping everything may take {}, but shutdown_timeout is {}: every wait is cut in proportion, that of {:?} from \
         {} to {}",
        Span(total),
        Span(budget),
        most_patient.name,
        Span(most_patient.patience),
        Span::about(share),
    );
    let place = daemon.shutdown_timeout_at.unwrap_or(most_patient.at);
    let hint =
        format!("[musterd] shutdown_timeout = {:?}, and a slightly longer `docker stop -t`", whole_seconds(total));
    report.add(Finding::warning(place, message).hint(hint));
}

fn whole_seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

/// The steps that take longest, in the order in which they are taken.
fn longest_way<'b>(programs: &'b [Built<'_>]) -> Vec<Step<'b>> {
    let graph = Graph::of(programs);
    // Of each program how long it takes until it is down, its dependents of the same wave included, and the next of them.
    let mut ways: Vec<(Duration, Option<usize>)> = vec![(Duration::ZERO, None); programs.len()];
    let mut waves: BTreeMap<i64, usize> = BTreeMap::new();
    for &index in graph.order.iter().rev() {
        let same_wave = graph.dependents[index].iter().filter(|&&other| graph.ranks[other] == graph.ranks[index]);
        let before = same_wave.copied().max_by_key(|&other| ways[other].0);
        let own = step_of(&programs[index]).map_or(Duration::ZERO, |step| step.patience);
        ways[index] = (before.map_or(own, |other| ways[other].0.saturating_add(own)), before);
        let longest = waves.entry(graph.ranks[index]).or_insert(index);
        if ways[index].0 > ways[*longest].0 {
            *longest = index;
        }
    }
    waves.into_values().rev().flat_map(|last| steps_of(programs, &ways, last)).collect()
}

/// The steps of one wave, of which this program is down last.
fn steps_of<'b>(programs: &'b [Built<'_>], ways: &[(Duration, Option<usize>)], last: usize) -> Vec<Step<'b>> {
    let way = std::iter::successors(Some(last), |&index| ways[index].1);
    let mut steps: Vec<Step<'b>> = way.filter_map(|index| step_of(&programs[index])).collect();
    steps.reverse();
    steps
}

fn step_of<'b>(built: &'b Built<'_>) -> Option<Step<'b>> {
    let signals = built.rules.patience_at.map(|at| (built.rules.total_patience(), at));
    let written = signals.into_iter().chain(built.hook_patience);
    let (patience, at) = written.reduce(|(one, at), (other, _)| (one.saturating_add(other), at))?;
    Some(Step { name: &built.spec.name, patience, at })
}

struct Graph {
    /// Every program after what it depends on.
    order: Vec<usize>,
    dependents: Vec<Vec<usize>>,
    ranks: Vec<i64>,
}

impl Graph {
    fn of(programs: &[Built<'_>]) -> Graph {
        let find = |name: &str| programs.binary_search_by(|built| built.spec.name.as_str().cmp(name)).ok();
        let mut dependents = vec![Vec::new(); programs.len()];
        let mut missing = vec![0_usize; programs.len()];
        for (index, built) in programs.iter().enumerate() {
            for other in built.spec.depends_on.iter().filter_map(|on| find(&on.program)) {
                dependents[other].push(index);
                missing[index] += 1;
            }
        }
        let mut ranks: Vec<i64> = programs.iter().map(|built| built.rules.priority).collect();
        let mut order: Vec<usize> = (0..programs.len()).filter(|&index| missing[index] == 0).collect();
        let mut next = 0;
        while let Some(&index) = order.get(next) {
            next += 1;
            for &dependent in &dependents[index] {
                ranks[dependent] = ranks[dependent].max(ranks[index]);
                missing[dependent] -= 1;
                if missing[dependent] == 0 {
                    order.push(dependent);
                }
            }
        }
        Graph { order, dependents, ranks }
    }
}
