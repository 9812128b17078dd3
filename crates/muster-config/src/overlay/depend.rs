//! `depends_on` and `restart_with` of sections: a name is that of a program, or of a group for all its programs.

use muster_spec::arrange;
use std::collections::{BTreeMap, HashMap, HashSet};

use muster_spec::{ProgramSpec, Spec};

use super::Overlay;
use crate::build::{Built, Places};
use crate::depend;
use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::depend::Mention;
use crate::drafts::program::Rules;
use crate::field::Owner;

/// The most dependencies of all programs together.
const MOST: usize = 50_000;

/// Looks up every mention in these rules, which are in the order of the sections.
pub(super) fn resolve(overlay: &Overlay<'_>, rules: Vec<Rules>, spec: &mut Spec, report: &Report) {
    let is_used = |rules: &Rules| !rules.depends_on.is_empty() || !rules.restart_with.is_empty();
    if !rules.iter().any(is_used) {
        return;
    }
    let mut of_groups: HashMap<&str, Vec<&str>> = HashMap::new();
    for program in &spec.programs {
        for group in &program.groups {
            of_groups.entry(group).or_default().push(&program.name);
        }
    }
    let names: HashSet<&str> = spec.programs.iter().map(|program| program.name.as_str()).collect();
    let mut built: Vec<Built<'_>> = spec.programs.iter().map(|program| untouched(program)).collect();
    let mut left = MOST;
    for (section, rules) in overlay.programs.iter().zip(&rules) {
        for &(at, _) in &section.processes {
            let name = spec.programs[at].name.as_str();
            built[at].owner = Owner::Program(section.name);
            let Rules { depends_on, restart_with, .. } = &mut built[at].rules;
            for (from, to) in [(&rules.depends_on, depends_on), (&rules.restart_with, restart_with)] {
                for mention in from {
                    let named = programs_of(mention, name, &of_groups, &names);
                    let Some(rest) = left.checked_sub(named.len()) else {
                        return too_many(section.name, mention, report);
                    };
                    left = rest;
                    to.extend(named);
                }
            }
        }
    }
    arrange::sort_by(&mut built, |one, other| one.spec.name.cmp(&other.spec.name));
    depend::resolve(&mut built, &BTreeMap::new(), report);
    let resolved: HashMap<String, ProgramSpec> =
        built.into_iter().map(|built| (built.spec.name.clone(), built.spec)).collect();
    for program in &mut spec.programs {
        if let Some(new) = resolved.get(&program.name)
            && !(new.depends_on.is_empty() && new.restart_with.is_empty())
        {
            *program = new.clone().into();
        }
    }
}

/// A program that names no other one.
fn untouched(program: &ProgramSpec) -> Built<'static> {
    let at = Place::start_of(0);
    let places = Places { command: at, user: at, groups: at, directory: at, hooks: [at; 4] };
    let (owner, outputs) = (Owner::Root, Vec::new());
    Built { owner, at, rules: Rules::default(), spec: program.clone(), outputs, places, hook_patience: None }
}

/// The mention itself, or one of each program in the group that it names.
fn programs_of(
    mention: &Mention,
    own: &str,
    of_groups: &HashMap<&str, Vec<&str>>,
    names: &HashSet<&str>,
) -> Vec<Mention> {
    let name = mention.program.as_str();
    match of_groups.get(name) {
        Some(members) if name != own && !names.contains(name) => {
            let others = members.iter().filter(|member| **member != own);
            others.map(|member| Mention { program: (*member).to_owned(), ..mention.clone() }).collect()
        }
        _ => vec![mention.clone()],
    }
}

fn too_many(section: &str, mention: &Mention, report: &Report) {
    let message = format_args!("the limit is {MOST} dependencies between all programs");
    let finding = Owner::Program(section).finding(Severity::Error, mention.at, message);
    report.add(finding.hint("let these programs depend on one that depends on the others"));
}
