//! Resolves `depends_on` and `restart_with` once all programs are known.
//!
//! Every name must exist, dependencies must not form a cycle, and each condition must be one that the dependency can meet.
//! An error is reported where the name stands.

use std::collections::{BTreeMap, BTreeSet};

use muster_spec::{Dependency, DependencyCondition, Kind, ProbeKind, ProgramSpec, RestartWhen};

use crate::build::Built;
use crate::diagnostic::{Finding, Report, Severity};
use crate::drafts::depend::Mention;
use crate::sections::Named;
use crate::words::nearest_name;

/// Looks up every mention and adds the valid ones to the programs' specs.
pub(crate) fn resolve(programs: &mut [Built<'_>], groups: &BTreeMap<&str, Named<'_>>, report: &Report) {
    for index in 0..programs.len() {
        let built = &programs[index];
        let known = |key, mention: &&Mention| is_known(built, key, mention, programs, groups, report);
        let (depends_on, restart_with) = (built.rules.depends_on.iter(), built.rules.restart_with.iter());
        let awaited: Vec<Mention> = depends_on.filter(|mention| known("depends_on", mention)).cloned().collect();
        let followed: Vec<Mention> = restart_with.filter(|mention| known("restart_with", mention)).cloned().collect();
        for mention in &awaited {
            check_condition(built, mention, programs, report);
        }
        let spec = &mut programs[index].spec;
        let dependency = |mention: Mention| Dependency { program: mention.program, condition: mention.condition };
        spec.depends_on = awaited.into_iter().map(dependency).collect();
        spec.restart_with = followed.into_iter().map(|mention| mention.program).collect();
    }
    circles(programs, report);
}

fn find<'b, 't>(programs: &'b [Built<'t>], name: &str) -> Option<&'b Built<'t>> {
    programs.binary_search_by(|built| built.spec.name.as_str().cmp(name)).ok().map(|index| &programs[index])
}

fn is_known(
    built: &Built<'_>,
    key: &str,
    mention: &Mention,
    programs: &[Built<'_>],
    groups: &BTreeMap<&str, Named<'_>>,
    report: &Report,
) -> bool {
    let name = mention.program.as_str();
    let error = |problem: String| built.owner.finding(Severity::Error, mention.at, format!("{key}: {problem}"));
    if name == built.spec.name {
        let hint = match mention.is_default {
            true => format!("[defaults] apply to all programs: {key} = [] in [program.{name}] overrides them"),
            false => "leave it out".to_owned(),
        };
        report.add(error("names the program itself".to_owned()).hint(hint));
        return false;
    }
    if find(programs, name).is_some() {
        return true;
    }
    // The program may be defined in text that did not parse.
    if !report.is_any_torn() {
        let finding = error(format!("there is no program {name:?}"));
        // The search for a similar name is slow, and a list this long needs no hints.
        let hint = if report.is_long() { None } else { hint(name, programs, groups) };
        report.add(match hint {
            Some(hint) => finding.hint(hint),
            None => finding,
        });
    }
    false
}

fn hint(name: &str, programs: &[Built<'_>], groups: &BTreeMap<&str, Named<'_>>) -> Option<String> {
    if groups.contains_key(name) {
        return Some(format!("{name:?} is a group: name its programs"));
    }
    if let Some((program, _)) = name.split_once(':')
        && find(programs, program).is_some()
    {
        return Some(format!("a dependency covers all instances of a program: {program:?}"));
    }
    nearest_name(name, programs.iter().map(|built| built.spec.name.as_str()))
        .map(|name| format!("did you mean {name:?}?"))
}

/// Reports a condition that the dependency can never meet.
fn check_condition(built: &Built<'_>, mention: &Mention, programs: &[Built<'_>], report: &Report) {
    let Some(other) = find(programs, &mention.program).map(|built| &built.spec) else { return };
    let name = &other.name;
    match mention.condition {
        DependencyCondition::Healthy if !has_health(other) => {
            let message = format!("depends_on: {name:?} has no liveness or readiness probe and is never \"healthy\"");
            let hint = format!("give it one, [program.{name}.probes.live], or wait for \"started\" or \"ready\"");
            report.add(built.owner.finding(Severity::Error, mention.at, message).hint(hint));
        }
        DependencyCondition::Completed | DependencyCondition::Exited if never_ends(other) => {
            let condition = mention.condition.name();
            let message = format!("depends_on: {name:?} is restarted whenever it exits and is never {condition:?}");
            let hint = format!("type = \"oneshot\" with restart = \"on-failure\" for {name:?}, or wait for \"ready\"");
            report.add(built.owner.finding(Severity::Warning, mention.at, message).hint(hint));
        }
        _ => {}
    }
}

/// Whether it has a probe that reports its health once it is up.
fn has_health(program: &ProgramSpec) -> bool {
    let tells = |kind: ProbeKind| kind != ProbeKind::Startup;
    program.instances.iter().all(|instance| instance.probes.iter().any(|probe| tells(probe.kind)))
}

fn never_ends(program: &ProgramSpec) -> bool {
    program.kind == Kind::Service && matches!(program.restart.when, RestartWhen::Always | RestartWhen::UnlessStopped)
}

/// Reports dependency cycles. Each program appears in at most one of them.
fn circles(programs: &[Built<'_>], report: &Report) {
    let mut told: BTreeSet<&str> = BTreeSet::new();
    let startable = startable(programs);
    for (built, _) in programs.iter().zip(startable).filter(|(_, can_start)| !can_start) {
        let name = built.spec.name.as_str();
        if told.contains(name) {
            continue;
        }
        if let Some(circle) = way_back(name, programs) {
            told.extend(&circle);
            report.add(circle_finding(built, &circle));
        }
    }
}

/// Which programs neither are on a cycle nor wait for one, in the order of the programs.
fn startable(programs: &[Built<'_>]) -> Vec<bool> {
    let place = |name: &str| programs.binary_search_by(|built| built.spec.name.as_str().cmp(name)).ok();
    let mut waiting = vec![Vec::new(); programs.len()];
    let mut unmet = vec![0_usize; programs.len()];
    for (index, built) in programs.iter().enumerate() {
        for other in built.spec.depends_on.iter().filter_map(|dependency| place(&dependency.program)) {
            waiting[other].push(index);
            unmet[index] += 1;
        }
    }
    let mut next: Vec<usize> = (0..programs.len()).filter(|&index| unmet[index] == 0).collect();
    while let Some(index) = next.pop() {
        for other in std::mem::take(&mut waiting[index]) {
            unmet[other] -= 1;
            next.extend((unmet[other] == 0).then_some(other));
        }
    }
    unmet.into_iter().map(|count| count == 0).collect()
}

/// The shortest cycle through a program: the names on it, the program first.
fn way_back<'b>(from: &'b str, programs: &'b [Built<'_>]) -> Option<Vec<&'b str>> {
    let awaited = |name: &str| find(programs, name).map_or(&[][..], |built| &built.spec.depends_on);
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = vec![from];
    while !next.is_empty() {
        for name in std::mem::take(&mut next) {
            for other in awaited(name).iter().map(|dependency| dependency.program.as_str()) {
                if other == from {
                    let mut circle = vec![name];
                    while let Some(&before) = circle.last().and_then(|last| came_from.get(last)) {
                        circle.push(before);
                    }
                    circle.reverse();
                    return Some(circle);
                }
                if !came_from.contains_key(other) {
                    came_from.insert(other, name);
                    next.push(other);
                }
            }
        }
    }
    None
}

fn circle_finding(built: &Built<'_>, circle: &[&str]) -> Finding {
    let second = circle.get(1).copied().unwrap_or_default();
    let mention = built.rules.depends_on.iter().find(|mention| mention.program == second);
    let place = mention.map_or(built.at, |mention| mention.at);
    let path = circle.iter().chain(circle.first()).copied().collect::<Vec<_>>().join(" → ");
    let message = format!("depends_on forms a cycle, so none of these can ever start: {path}");
    built.owner.finding(Severity::Error, place, message).hint("remove one of these dependencies")
}
