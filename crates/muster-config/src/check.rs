//! Checks across programs: groups, and files that more than one program writes. The shutdown budget is in `stopping`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use muster_spec::{Essential, Kind, Rotation, Sink, Target};

use crate::build::Built;
use crate::diagnostic::{Finding, Place, Report, Severity};
use crate::drafts::daemon::DaemonDraft;
use crate::drafts::notifier::NotifierDraft;
use crate::field::Owner;
use crate::sections::Named;
use crate::stopping;
use crate::value::Content;
use crate::words::nearest_name;

/// Runs all checks except those of groups.
pub(crate) fn all(programs: &[Built<'_>], daemon: &DaemonDraft, report: &Report) {
    stopping::check_budget(programs, daemon, report);
    shared_files(programs, report);
    essential_jobs(programs, report);
    shared_sockets(programs, report);
}

/// Two programs cannot listen on one address.
fn shared_sockets(programs: &[Built<'_>], report: &Report) {
    let mut owners: HashMap<String, &Built<'_>> = HashMap::new();
    for built in programs {
        for spec in built.spec.instances.iter().flat_map(|instance| instance.process.sockets.iter()) {
            // Unix sockets of all kinds share the paths.
            let place = spec.address.path().map_or_else(|| spec.address.to_string(), |path| path.display().to_string());
            let owner = *owners.entry(place).or_insert(built);
            if owner.spec.name == built.spec.name {
                continue;
            }
            for (one, other) in [(owner, built), (built, owner)] {
                let other = &other.spec.name;
                let message = format_args!("program {other:?} listens on the same address: {}", spec.address);
                let finding = one.owner.finding(Severity::Error, one.at, message);
                report.add(finding.hint("give each program an address of its own, or make one program of them"));
            }
        }
    }
}

/// Warns of a oneshot whose success ends the container before its dependents can start.
fn essential_jobs(programs: &[Built<'_>], report: &Report) {
    for built in programs {
        let job = &built.spec;
        if job.kind != Kind::Oneshot || job.essential != Essential::Yes {
            continue;
        }
        let waits = |other: &&Built<'_>| other.spec.depends_on.iter().any(|on| on.program == job.name);
        let Some(other) = programs.iter().find(waits) else { continue };
        let message =
            format_args!("essential = true ends the container when it completes, before {:?} starts", other.spec.name);
        let finding = built.owner.finding(Severity::Warning, built.rules.essential_at.unwrap_or(built.at), message);
        report.add(finding.hint("essential = \"on-failure\" ends it only if the oneshot fails"));
    }
}

/// Warns of a notifier for a program that does not exist. Sources may still bring it.
pub(crate) fn notified_programs(
    owner: Owner<'_>,
    draft: &NotifierDraft,
    (programs, has_sources): (&[Built<'_>], bool),
    report: &Report,
) {
    for (name, place) in draft.named_programs().filter(|_| !has_sources && !report.is_any_torn()) {
        if !programs.iter().any(|built| built.spec.name == name) {
            let finding = owner.finding(Severity::Warning, *place, format_args!("there is no program {name:?}"));
            report.add(with_nearest(finding, name, programs));
        }
    }
}

/// Puts programs into their groups.
pub(crate) fn groups(groups: &BTreeMap<&str, Named<'_>>, programs: &mut [Built<'_>], report: &Report) {
    for (name, group) in groups {
        let owner = Owner::Group(name);
        if programs.iter().any(|built| built.spec.name == *name) {
            let finding = owner.finding(Severity::Error, group.at, "a program has the same name");
            report.add(finding.hint("`musterctl restart NAME` would be ambiguous: rename one"));
        }
        // A list in a later file replaces that of an earlier one.
        let Some(entry) = group.entries.last() else {
            if !report.is_torn(group.at.file) && !report.was_misnamed(owner, "", "programs") {
                let finding = owner.finding(Severity::Error, group.at, "programs is missing");
                report.add(finding.hint("programs = [\"…\"] lists its members"));
            }
            continue;
        };
        let Content::List(members) = &entry.value.content else {
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
            match member.as_str() {
                Some(program) => join(owner, name, program, place, programs, report),
                None => report.add(owner.finding(Severity::Error, place, "programs must be a list of names")),
            }
        }
    }
}

fn join(owner: Owner<'_>, group: &str, program: &str, place: Place, programs: &mut [Built<'_>], report: &Report) {
    let Ok(index) = programs.binary_search_by(|built| built.spec.name.as_str().cmp(program)) else {
        // The program may be defined in text that did not parse.
        if !report.is_any_torn() {
            let finding = owner.finding(Severity::Error, place, format_args!("there is no program {program:?}"));
            report.add(if report.is_long() { finding } else { with_nearest(finding, program, programs) });
        }
        return;
    };
    let joined = &mut programs[index].spec.groups;
    if joined.iter().any(|known| known == group) {
        report.add(owner.finding(Severity::Error, place, format_args!("{program:?} is listed twice")));
    } else {
        joined.push(group.to_owned());
    }
}

fn with_nearest(finding: Finding, program: &str, programs: &[Built<'_>]) -> Finding {
    match nearest_name(program, programs.iter().map(|built| built.spec.name.as_str())) {
        Some(name) => finding.hint(format!("did you mean {name:?}?")),
        None => finding,
    }
}

/// Warns when two streams go to one file: lines stay whole, but their origin is lost. Their rotation settings must agree.
fn shared_files(programs: &[Built<'_>], report: &Report) {
    let mut writers: HashMap<&Path, (&str, &str, Rotation)> = HashMap::new();
    for built in programs {
        for (instance, output) in built.spec.instances.iter().zip(&built.outputs) {
            let streams = [
                ("stdout", Some(&instance.output.stdout), output.stdout_at, instance.output.rotation.stdout),
                ("stderr", instance.output.stderr.as_ref(), output.stderr_at, instance.output.rotation.stderr),
            ];
            for (stream, target, at, rotation) in streams {
                for path in files_of(target) {
                    let first = *writers.entry(path).or_insert((&instance.name, stream, rotation));
                    let (other, others_stream, others_rotation) = first;
                    if (other, others_stream) == (instance.name.as_str(), stream) {
                        continue;
                    }
                    let message = format_args!(
                        "logs.{stream} goes to the same file as {others_stream} of {other:?}: {}",
                        path.display()
                    );
                    let finding = built.owner.finding(Severity::Warning, at.unwrap_or(built.at), message);
                    report.add(finding.hint(sharing_hint(other == instance.name, other, &built.spec.name)));
                    if others_rotation != rotation {
                        let message = format_args!("{other:?} rotates the same file differently: {}", path.display());
                        let finding = built.owner.finding(Severity::Error, at.unwrap_or(built.at), message);
                        report.add(finding.hint("max_size, max_files and compress must be the same for both"));
                    }
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
    target.map_or(&[][..], Target::sinks).iter().filter_map(Sink::file)
}
