//! The environment variables that identify the program, instance and run of a process.

use muster_spec::InstanceSpec;
use muster_sys::tree;

/// The variables for one process.
pub(super) fn markers<'a>(spec: &'a InstanceSpec, run: &'a str, index: &'a str) -> [(&'a str, &'a str); 6] {
    let program = spec.name.split_once(':').map_or(spec.name.as_str(), |(program, _)| program);
    [
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
