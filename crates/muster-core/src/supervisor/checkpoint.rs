//! The state of a whole [`Supervisor`] as data, for a recording that begins in the middle of its life.
//!
//! A supervisor that was restored decides as the original would, down to its random numbers, as long as it gets the same
//! inputs and no reload. Commands, variables and addresses are left out: no rule depends on them. The data is private to a
//! version of musterd; [`Checkpoint::restore`] checks only that it is complete.

use std::collections::HashMap;
use std::sync::Arc;

use muster_spec::{InstanceSpec, ProgramSpec};
use serde::{Deserialize, Serialize};

use super::Supervisor;

/// The state of a supervisor between an input with its effects and the next one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The programs, configured ones first, each with the places of its instances in the next list.
    programs: Vec<(ProgramSpec, Vec<usize>)>,
    /// How many of them are configured.
    configured: usize,
    instances: Vec<InstanceSpec>,
    /// The parts of each instance: its program, its own configuration, and that of its run.
    parts: Vec<(usize, usize, Option<usize>)>,
    supervisor: Supervisor,
}

/// Configurations that several instances share, each with its place in a list.
struct Shared<T>(HashMap<*const T, usize>, Vec<Arc<T>>);

impl<T> Shared<T> {
    fn new() -> Shared<T> {
        Shared(HashMap::new(), Vec::new())
    }

    fn place(&mut self, of: &Arc<T>) -> usize {
        *self.0.entry(Arc::as_ptr(of)).or_insert_with(|| {
            self.1.push(Arc::clone(of));
            self.1.len() - 1
        })
    }
}

impl Supervisor {
    /// Its state as data. All effects must have been drained.
    pub fn checkpoint(&self) -> Checkpoint {
        let (mut programs, mut instances) = (Shared::new(), Shared::new());
        for program in &self.programs {
            programs.place(program);
        }
        let configured = programs.1.len();
        let parts = self.snapshot().iter().map(|instance| {
            let run = instance.run_spec().map(|spec| instances.place(spec));
            (programs.place(instance.program()), instances.place(instance.spec()), run)
        });
        let parts = parts.collect();
        let entry = |program: &Arc<ProgramSpec>| {
            let places = program.instances.iter().map(|it| instances.place(it)).collect();
            (ProgramSpec { instances: Vec::new(), ..(**program).clone() }, places)
        };
        let programs = programs.1.iter().map(entry).collect();
        let instances = instances.1.iter().map(|it| (**it).clone()).collect();
        Checkpoint { programs, configured, instances, parts, supervisor: self.clone() }
    }
}

impl Checkpoint {
    /// The supervisor in this state; `None` if parts of it are missing.
    pub fn restore(self) -> Option<Supervisor> {
        let instances: Vec<Arc<InstanceSpec>> = self.instances.into_iter().map(Arc::new).collect();
        let program = |(spec, places): (ProgramSpec, Vec<usize>)| {
            let own = places.into_iter().map(|place| instances.get(place).cloned());
            Some(Arc::new(ProgramSpec { instances: own.collect::<Option<_>>()?, ..spec }))
        };
        let programs: Vec<Arc<ProgramSpec>> = self.programs.into_iter().map(program).collect::<Option<_>>()?;
        let part = |(program, own, run): (usize, usize, Option<usize>)| {
            let run = run.map(|run| instances.get(run).cloned().ok_or(())).transpose().ok()?;
            Some((programs.get(program)?.clone(), instances.get(own)?.clone(), run))
        };
        let parts: Vec<_> = self.parts.into_iter().map(part).collect::<Option<_>>()?;
        let configured = programs.get(..self.configured)?.to_vec();
        let mut supervisor = self.supervisor;
        if parts.len() != supervisor.instances.len() {
            return None;
        }
        supervisor.programs = configured;
        for (instance, (program, own, run)) in supervisor.instances.iter_mut().zip(parts) {
            instance.put_together(program, own, run)?;
        }
        Some(supervisor)
    }
}
