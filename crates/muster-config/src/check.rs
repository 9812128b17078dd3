//! What several programs must agree on: groups, the budget for stopping, files that more than one writes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use muster_core::spec::{Sink, Target};
use toml::de::DeValue;

use crate::build::Built;
use crate::diagnostic::{Finding, Place, Report, Severity};
use crate::field::Owner;
use crate::sections::Named;
use crate::units::show_duration;
use crate::walk::daemon::DaemonDraft;
use crate::words::nearest;

/// Everything but groups.
pub(crate) fn all(programs: &[Built<'_>], daemon: &DaemonDraft, report: &Report) {
    stop_budget(programs, daemon, report);
    shared_files(programs, report);
}

/// Puts programs into their groups.
pub(crate) fn groups(groups: &BTreeMap<&str, Named<'_>>, programs: &mut [Built<'_>], report: &Report) {
    for (name, group) in groups {
        let owner = Owner::Group(name);
        if programs.iter().any(|built| built.spec.name == *name) {
            let finding = owner.finding(Severity::Error, group.at, "there is a program of the same name");
            report.add(finding.hint("`musterctl restart NAME` could mean either: rename one"));
        }
        // A later file's list replaces an earlier one's.
        let Some(entry) = group.entries.last() else {
            if !report.is_torn(group.at.file) {
                let finding = owner.finding(Severity::Error, group.at, "programs is missing");
                report.add(finding.hint("programs = [\"…\"] says who is in it"));
            }
            continue;
        };
        let DeValue::Array(members) = entry.value.get_ref() else {
            let finding = owner.finding(
                Severity::Error,
                Place::new(entry.file, entry.value.span()),
                "programs must be a list of names",
            );
            report.add(finding.hint("programs = [\"web\", \"worker\"]"));
            continue;
        };
        if members.is_empty() {
            let place = Place::new(entry.file, entry.value.span());
            report.add(owner.finding(Severity::Warning, place, "programs is empty, so the group is too"));
        }
        for member in members {
            let place = Place::new(entry.file, member.span());
            match member.get_ref().as_str() {
                Some(program) => join(owner, name, program, place, programs, report),
                None => report.add(owner.finding(Severity::Error, place, "programs must be a list of names")),
            }
        }
    }
}

fn join(owner: Owner<'_>, group: &str, program: &str, place: Place, programs: &mut [Built<'_>], report: &Report) {
    let Ok(index) = programs.binary_search_by(|built| built.spec.name.as_str().cmp(program)) else {
        // A program in text that does not parse may be the one that is meant.
        if !report.is_any_torn() {
            let finding = owner.finding(Severity::Error, place, format_args!("there is no program {program:?}"));
            report.add(with_nearest(finding, program, programs));
        }
        return;
    };
    let joined = &mut programs[index].spec.groups;
    if joined.iter().any(|known| known == group) {
        report.add(owner.finding(Severity::Error, place, format_args!("{program:?} is in it twice")));
    } else {
        joined.push(group.to_owned());
    }
}

fn with_nearest(finding: Finding, program: &str, programs: &[Built<'_>]) -> Finding {
    match nearest(program, programs.iter().map(|built| built.spec.name.as_str())) {
        Some(name) => finding.hint(format!("did you mean {name:?}?")),
        None => finding,
    }
}

/// A step of stopping everything: the programs of one priority, stopped at the same time.
struct Step<'b> {
    priority: i64,
    slowest: &'b Built<'b>,
    patience: Duration,
    at: Place,
}

/// Warns when stopping everything may take longer than `shutdown_timeout`.
///
/// Only waits that somebody wrote down count. The default of 10 s is a bound for programs that hang, and longer than
/// the default budget: counting it would warn about every configuration, and say nothing about any.
fn stop_budget(programs: &[Built<'_>], daemon: &DaemonDraft, report: &Report) {
    let mut steps: BTreeMap<i64, Step<'_>> = BTreeMap::new();
    for built in programs {
        let Some(at) = built.rules.patience_at else { continue };
        let step = Step { priority: built.rules.priority, slowest: built, patience: built.rules.total_patience(), at };
        match steps.get(&step.priority) {
            Some(known) if known.patience >= step.patience => {}
            _ => drop(steps.insert(step.priority, step)),
        }
    }
    let total = steps.values().fold(Duration::ZERO, |sum, step| sum.saturating_add(step.patience));
    let budget = daemon.spec.shutdown_timeout;
    if total <= budget {
        return;
    }
    let (shortened, left) = first_shortened(steps.values().rev(), budget);
    let is_last = steps.keys().next() == Some(&shortened.priority);
    let message = format!(
        "stopping everything may take {}, but shutdown_timeout is {}: {:?} gets {} of its {}{}",
        show_duration(total),
        show_duration(budget),
        shortened.slowest.spec.name,
        show_duration(left),
        show_duration(shortened.patience),
        if is_last { "" } else { ", and what stops after it gets none" },
    );
    let place = daemon.shutdown_timeout_at.unwrap_or(shortened.at);
    let hint = format!("[musterd] shutdown_timeout = {:?}, and `docker stop -t` a little more", whole_seconds(total));
    report.add(Finding::warning(place, message).hint(hint));
}

fn whole_seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

/// The first step, highest priority first, that does not get all of its time, and how much it gets.
fn first_shortened<'s>(steps: impl Iterator<Item = &'s Step<'s>>, budget: Duration) -> (&'s Step<'s>, Duration) {
    let mut left = budget;
    let mut last = None;
    for step in steps {
        if step.patience > left {
            return (step, left);
        }
        left -= step.patience;
        last = Some(step);
    }
    (last.expect("the sum is over the budget, so there is a step"), left)
}

/// Warns when two streams go to one file: each is written on its own, and their lines would mix.
fn shared_files(programs: &[Built<'_>], report: &Report) {
    let mut writers: HashMap<&Path, (&str, &str)> = HashMap::new();
    for built in programs {
        for (instance, output) in built.spec.instances.iter().zip(&built.outputs) {
            let streams = [
                ("stdout", Some(&instance.output.stdout), output.stdout_at),
                ("stderr", instance.output.stderr.as_ref(), output.stderr_at),
            ];
            for (stream, target, at) in streams {
                for path in files_of(target) {
                    let Some((other, others_stream)) = writers.insert(path, (&instance.name, stream)) else { continue };
                    let message = format_args!(
                        "logs.{stream} goes to the same file as {others_stream} of {other:?}: {}",
                        path.display()
                    );
                    let finding = built.owner.finding(Severity::Warning, at.unwrap_or(built.at), message);
                    report.add(finding.hint(sharing_hint(other == instance.name, other, &built.spec.name)));
                    writers.insert(path, (other, others_stream));
                }
            }
        }
    }
}

fn sharing_hint(same_instance: bool, other: &str, program: &str) -> &'static str {
    if same_instance {
        "logs.stderr = \"stdout\" merges the two at the source"
    } else if other.split(':').next() == Some(program) {
        "{instance} in the path gives each instance its own"
    } else {
        "{name} in the path gives each program its own"
    }
}

fn files_of(target: Option<&Target>) -> impl Iterator<Item = &Path> {
    let sinks = match target {
        Some(Target::Capture(sinks)) => sinks.as_slice(),
        _ => &[],
    };
    sinks.iter().filter_map(|sink| match sink {
        Sink::File(path) => Some(path.as_path()),
        Sink::Console => None,
    })
}
