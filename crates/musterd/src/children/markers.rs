//! The environment variables that identify the program, instance and run of a process.

use muster_spec::{InstanceSpec, OwnVariables};
use muster_sys::tree;

/// The variables for one process.
pub(super) fn markers<'a>(spec: &'a InstanceSpec, run: &'a str, index: &'a str) -> Vec<(&'a str, &'a str)> {
    if spec.process.own_variables == OwnVariables::Run {
        return vec![(tree::MARKER, run)];
    }
    let program = spec.name.split_once(':').map_or(spec.name.as_str(), |(program, _)| program);
    vec![
        ("MUSTER_PROGRAM", program),
        ("MUSTER_INSTANCE", index),
        (tree::MARKER, run),
        ("SUPERVISOR_ENABLED", "1"),
        ("SUPERVISOR_PROCESS_NAME", spec.name.as_str()),
        ("SUPERVISOR_GROUP_NAME", program),
    ]
}

/// The time of the start and the daemon's own pid distinguish its runs from those of an earlier daemon in the same container.
pub(super) fn marker_prefix() -> String {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{}-{:x}", std::process::id(), since_epoch.map_or(0, |span| span.as_micros()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use muster_spec::{OutputSpec, ProcessSpec};

    use super::*;

    #[test]
    fn a_process_may_get_only_the_variable_that_identifies_its_run() {
        let names = |own_variables| {
            let spec = InstanceSpec {
                name: "web:1".to_owned(),
                index: 1,
                process: ProcessSpec { own_variables, ..ProcessSpec::of(vec!["true".to_owned()]) },
                output: Arc::new(OutputSpec::default()),
                ready: None,
                start_timeout: Duration::ZERO,
                watchdog: None,
                memory_max: None,
                variable_files: Arc::default(),
                probes: Vec::new(),
                hooks: muster_spec::Hooks::default(),
            };
            markers(&spec, "7", "1").into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(names(OwnVariables::Run), ["MUSTER_RUN=7"]);
        assert_eq!(
            names(OwnVariables::All),
            [
                "MUSTER_PROGRAM=web",
                "MUSTER_INSTANCE=1",
                "MUSTER_RUN=7",
                "SUPERVISOR_ENABLED=1",
                "SUPERVISOR_PROCESS_NAME=web:1",
                "SUPERVISOR_GROUP_NAME=web"
            ]
        );
    }
}
