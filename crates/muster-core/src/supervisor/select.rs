//! The instances that a name or a selector means.

use std::collections::BTreeSet;

use muster_spec::{InstanceId, Selector, pattern_matches};

use super::Supervisor;
use crate::program::Instance;

impl Supervisor {
    /// The instance with this name or this `GROUP:NAME`.
    pub fn find(&self, name: &str) -> Option<&Instance> {
        let known = |name: &str| self.names.get(name).map(|&id| self.instance(id));
        let in_group = || {
            let (group, name) = name.split_once(':')?;
            known(name).filter(|instance| is_member(group, instance))
        };
        known(name).or_else(in_group)
    }

    /// The instances a selector selects, or the pattern of it that selects none. Instances that are no longer
    /// configured cannot be selected.
    pub fn select<'a>(&self, selector: &'a Selector) -> Result<Vec<InstanceId>, &'a str> {
        let mut chosen = BTreeSet::new();
        for pattern in selector.patterns() {
            if let Some(id) = self.sole(pattern) {
                chosen.insert(id);
                continue;
            }
            let ids = |is_meant: fn(&str, &Instance) -> bool| {
                let matching = self.instances.iter().filter(move |it| !it.is_leaving() && is_meant(pattern, it));
                matching.map(Instance::id).peekable()
            };
            let mut matching = ids(is_chosen);
            // If no program has this name, a group may.
            if matching.peek().is_none() {
                matching = ids(is_member);
            }
            // "all" is valid even if there are no instances.
            if matching.peek().is_none() && pattern != "all" {
                return Err(pattern);
            }
            chosen.extend(matching);
        }
        Ok(chosen.into_iter().collect())
    }

    /// The instance that this plain word means, if that is the only one of its program: then it means no other, and need not be
    /// compared with all of them.
    fn sole(&self, word: &str) -> Option<InstanceId> {
        let instance = self.instance(*self.names.get(word)?);
        let program = instance.program();
        let is_sole = program.name == word && program.instances.len() == 1 && !instance.is_leaving();
        let is_plain = word != "all" && !word.contains([':', '*', '?', '=']);
        (is_sole && is_plain).then(|| instance.id())
    }
}

fn is_member(group: &str, instance: &Instance) -> bool {
    instance.program().groups.iter().any(|own| own == group)
}

fn is_chosen(pattern: &str, instance: &Instance) -> bool {
    let groups = instance.program().groups.iter().map(String::as_str);
    pattern_matches(pattern, &instance.program().name, instance.name(), groups)
}
