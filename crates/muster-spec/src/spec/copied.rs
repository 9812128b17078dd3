//! Copies that share nothing with their originals. A configuration is read into memory that is given back as a whole; a copy of it
//! stays.

use std::sync::Arc;

use super::{Hook, InstanceSpec, OutputSpec, ProcessSpec, Scheduling, Spec};

impl Spec {
    /// A copy of everything. Values that instances share are shared by their copies, too, if the instances follow one another.
    pub fn copied(&self) -> Spec {
        let mut copy = self.clone();
        let (mut processes, mut outputs) = (Last::default(), Last::default());
        for program in &mut copy.programs {
            *program = fresh(program);
            let instances = &mut Arc::make_mut(program).instances;
            instances.iter_mut().for_each(|it| *it = it.copied_with(&mut processes, &mut outputs).into());
        }
        copy
    }
}

impl InstanceSpec {
    /// A copy of everything.
    pub fn copied(&self) -> InstanceSpec {
        self.copied_with(&mut Last::default(), &mut Last::default())
    }

    fn copied_with(&self, processes: &mut Last<ProcessSpec>, outputs: &mut Last<OutputSpec>) -> InstanceSpec {
        let mut copy = InstanceSpec {
            process: processes.copied(&self.process, ProcessSpec::copied),
            output: outputs.copied(&self.output, OutputSpec::clone),
            variable_files: list(&self.variable_files),
            ..self.clone()
        };
        for hook in Hook::EVERY {
            copy.hooks.get_mut(hook).iter_mut().for_each(|it| *it = fresh(it));
        }
        copy
    }
}

impl ProcessSpec {
    fn copied(&self) -> ProcessSpec {
        ProcessSpec {
            feed: list(&self.feed),
            listener: self.listener.as_ref().map(fresh),
            sockets: list(&self.sockets),
            secrets: list(&self.secrets),
            credentials: list(&self.credentials),
            scheduling: Scheduling { cpus: self.scheduling.cpus.as_ref().map(fresh), ..self.scheduling.clone() },
            ..self.clone()
        }
    }
}

/// The last value that was copied, and its copy.
struct Last<T>(Option<(Arc<T>, Arc<T>)>);

impl<T> Last<T> {
    fn copied(&mut self, value: &Arc<T>, copied: impl FnOnce(&T) -> T) -> Arc<T> {
        match &self.0 {
            Some((last, copy)) if Arc::ptr_eq(last, value) => Arc::clone(copy),
            _ => Arc::clone(&self.0.insert((Arc::clone(value), Arc::new(copied(value)))).1),
        }
    }
}

impl<T> Default for Last<T> {
    fn default() -> Self {
        Last(None)
    }
}

fn fresh<T: Clone>(value: &Arc<T>) -> Arc<T> {
    Arc::new(T::clone(value))
}

/// A list that is shared; an empty one needs no memory.
pub fn list<T: Clone>(items: &[T]) -> Arc<[T]> {
    if items.is_empty() { Arc::default() } else { items.into() }
}
