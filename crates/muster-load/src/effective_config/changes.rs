//! The keys that another configuration would change.

use std::sync::Arc;

use muster_config::Disguises;
use muster_core::Instance;
use muster_spec::ProgramSpec;
use serde_json::Value;

use super::{configuration, shown};
use crate::in_force::InForce;
use crate::secrets::Reader;

/// The keys of an instance that a new configuration would change, with both values.
pub fn changes(
    instance: &Instance,
    in_force: &InForce,
    new: &Planned<'_>,
    reader: Reader,
) -> Vec<(String, Value, Value)> {
    let of_program = |program: &&Arc<ProgramSpec>| program.name == instance.program().name;
    let Some(program) = new.programs.iter().find(of_program) else { return Vec::new() };
    let Some(spec) = program.instances.iter().find(|spec| spec.name == instance.name()) else { return Vec::new() };
    let mut before = configuration(instance, in_force, reader);
    let Value::Object(after) = shown((program, spec), &[new.disguises], reader) else { return Vec::new() };
    let differs = |key: &str, before: &Value, after: &Value| {
        // Only names are shown.
        before != after || key == "environment" && instance.spec().process.environment != spec.process.environment
    };
    let pairs = after.into_iter().map(|(key, after)| {
        let before = before.get_mut(&key).map_or(Value::Null, Value::take);
        (key, before, after)
    });
    pairs.filter(|(key, before, after)| differs(key, before, after)).collect()
}

/// A configuration that is not active.
pub struct Planned<'a> {
    /// Its programs.
    pub programs: &'a [Arc<ProgramSpec>],
    /// The secrets to be masked when it is shown.
    pub disguises: &'a Disguises,
}
