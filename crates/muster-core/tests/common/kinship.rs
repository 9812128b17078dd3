//! Dependencies between programs, read from the configuration alone, for the witness: slow, simple and independent of
//! the core.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_spec::{DependencyCondition, ProgramSpec};

#[derive(Clone, Debug, Default)]
pub struct Kinship {
    programs: BTreeMap<String, Arc<ProgramSpec>>,
}

impl Kinship {
    pub fn of(programs: &[Arc<ProgramSpec>]) -> Kinship {
        Kinship { programs: programs.iter().map(|program| (program.name.clone(), Arc::clone(program))).collect() }
    }

    pub fn needs(&self, program: &str) -> impl Iterator<Item = (&str, DependencyCondition)> {
        let needs = self.programs.get(program).into_iter().flat_map(|program| &program.depends_on);
        needs.map(|need| (need.program.as_str(), need.condition))
    }

    /// The highest priority among its own and those of its direct and indirect dependencies.
    pub fn rank(&self, program: &str, own: i64) -> i64 {
        let own = self.programs.get(program).map_or(own, |program| program.rank());
        self.needs(program)
            .filter_map(|(need, _)| Some(self.rank(need, self.programs.get(need)?.rank())))
            .fold(own, i64::max)
    }

    /// Whether the first depends on the second, directly or through others of these.
    pub fn depends(&self, first: &str, second: &str, through: &dyn Fn(&str) -> bool) -> bool {
        self.needs(first).any(|(need, _)| need == second || (through(need) && self.depends(need, second, through)))
    }

    /// The programs that are restarted with this one, directly or indirectly.
    pub fn restarted_with(&self, program: &str) -> Vec<String> {
        let mut all = vec![program.to_owned()];
        let mut next = 0;
        while let Some(one) = all.get(next).cloned() {
            next += 1;
            let with = self.programs.values().filter(|it| it.restart_with.contains(&one));
            let fresh: Vec<String> = with.map(|it| it.name.clone()).filter(|name| !all.contains(name)).collect();
            all.extend(fresh);
        }
        all.split_off(1)
    }

    pub fn is_restarted_with(&self, program: &str, other: &str) -> bool {
        self.programs.get(program).is_some_and(|it| it.restart_with.iter().any(|name| name == other))
    }
}
