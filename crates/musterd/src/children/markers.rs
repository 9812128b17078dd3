//! The environment variables that identify the program, instance and run of a process.

use std::path::Path;

use muster_spec::{InstanceSpec, OwnVariables};
use muster_sys::tree;

/// Names the daemon's socket to musterctl.
const SOCKET: &str = "MUSTER_SOCKET";

pub(super) struct Markers {
    /// Distinguishes `MUSTER_RUN` of this daemon from that of any other on the same machine.
    pub(super) prefix: String,
    /// The daemon's own socket, where it has one.
    socket: Option<String>,
}

impl Markers {
    pub(super) fn new(socket: Option<&Path>) -> Markers {
        // A program may have another directory than the daemon.
        let socket = socket.and_then(|path| std::path::absolute(path).ok());
        let socket = socket.and_then(|path| path.into_os_string().into_string().ok());
        Markers { prefix: prefix(), socket }
    }

    /// The variables for one process.
    pub(super) fn of<'a>(&'a self, spec: &'a InstanceSpec, run: &'a str, index: &'a str) -> Vec<(&'a str, &'a str)> {
        if spec.process.own_variables == OwnVariables::Run {
            return vec![(tree::MARKER, run)];
        }
        let program = spec.name.split_once(':').map_or(spec.name.as_str(), |(program, _)| program);
        let mut variables = vec![
            ("MUSTER_PROGRAM", program),
            ("MUSTER_INSTANCE", index),
            (tree::MARKER, run),
            ("SUPERVISOR_ENABLED", "1"),
            ("SUPERVISOR_PROCESS_NAME", spec.name.as_str()),
            ("SUPERVISOR_GROUP_NAME", program),
        ];
        // Unlike the others it may be set otherwise: a program may be there for another daemon.
        if !spec.process.environment.iter().any(|(name, _)| name == SOCKET) {
            variables.extend(self.socket.as_deref().map(|path| (SOCKET, path)));
        }
        variables
    }
}

/// The time of the start and the daemon's own pid distinguish its runs from those of an earlier daemon in the same container.
fn prefix() -> String {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{}-{:x}", std::process::id(), since_epoch.map_or(0, |span| span.as_micros()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_spec::ProcessSpec;

    use super::*;

    #[test]
    fn a_process_may_get_only_the_variable_that_identifies_its_run() {
        let names = |own_variables, environment: &[(String, String)]| {
            let environment = environment.to_vec();
            let process = ProcessSpec { own_variables, environment, ..ProcessSpec::of(vec!["true".to_owned()]) };
            let spec = InstanceSpec {
                index: 1,
                start_timeout: Duration::ZERO,
                ..InstanceSpec::of("web:1".to_owned(), process)
            };
            let markers = Markers::new(Some(Path::new("/run/muster.sock")));
            markers.of(&spec, "7", "1").into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(names(OwnVariables::Run, &[]), ["MUSTER_RUN=7"]);
        assert_eq!(
            names(OwnVariables::All, &[]),
            [
                "MUSTER_PROGRAM=web",
                "MUSTER_INSTANCE=1",
                "MUSTER_RUN=7",
                "SUPERVISOR_ENABLED=1",
                "SUPERVISOR_PROCESS_NAME=web:1",
                "SUPERVISOR_GROUP_NAME=web",
                "MUSTER_SOCKET=/run/muster.sock",
            ]
        );
        let another = [("MUSTER_SOCKET".to_owned(), "/run/another.sock".to_owned())];
        assert!(names(OwnVariables::All, &another).iter().all(|it| !it.starts_with("MUSTER_SOCKET")));
    }
}
