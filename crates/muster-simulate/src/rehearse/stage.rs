//! The daemon of a rehearsal: the real one, with a puppet in place of each command.
//!
//! A separate process, started by [`super::command`]. Everything in the configuration about the environment (users,
//! directories, log files, the control socket) is left out: a rehearsal checks when things happen.

use std::path::Path;
use std::sync::Arc;

use muster_spec::{
    CheckSpec, InstanceSpec, LogFormat, LogLevel, OutputSpec, ProbeSpec, ProcessSpec, ProgramSpec, ReadySpec, Resource,
    Rlimit, Signal, Spec, Target,
};

use super::puppet::Wardrobe;
use super::scale::scaled;
use super::{ASK, PUPPET};
use crate::{Host, scenarios};

/// Supervises the puppets of a scenario, and returns the container's exit code.
pub(super) fn supervise(host: Host, scenario: &Path, factor: f64, directory: &Path) -> u8 {
    // It must not continue if the rehearsal is killed.
    if muster_sys::foreground::set_parent_death_signal(Signal::TERM).is_err() {
        return 2;
    }
    match scenarios::read(host, scenario) {
        Some((spec, _)) => (host.supervise)(on_stage(&scaled(&spec, factor), directory)),
        None => 2,
    }
}

fn on_stage(spec: &Spec, directory: &Path) -> Spec {
    let mut staged = spec.clone();
    let daemon = &mut staged.daemon;
    (daemon.log_format, daemon.log_level, daemon.log_file) = (LogFormat::Json, LogLevel::Debug, None);
    (daemon.pidfile, daemon.directory) = (None, None);
    staged.control.socket = None;
    let staged_program = |program: &ProgramSpec| {
        let instances = program.instances.iter().map(|instance| played(instance, directory).into()).collect();
        ProgramSpec { instances, ..program.clone() }
    };
    staged.programs = spec.programs.iter().map(|program| staged_program(program).into()).collect();
    staged
}

fn played(instance: &InstanceSpec, directory: &Path) -> InstanceSpec {
    let program = Wardrobe::of(directory, &instance.name).program();
    let words = [program.as_path(), Path::new(PUPPET), directory, Path::new(&instance.name)];
    InstanceSpec {
        process: ProcessSpec {
            // A core dump of a puppet that ends with SIGSEGV would only take time.
            rlimits: vec![Rlimit { resource: Resource::Core, soft: Some(0), hard: Some(0) }],
            ..ProcessSpec::of(words.iter().map(|word| word.to_string_lossy().into_owned()).collect())
        },
        output: Arc::new(OutputSpec { stdout: Target::Discard, stderr: None, ..OutputSpec::clone(&instance.output) }),
        ready: instance.ready.as_ref().map(|rule| match rule {
            ReadySpec::Check(_) => ReadySpec::Check(asked(instance, directory, "rule")),
            // Whatever the readiness rule, a puppet signals readiness in this way.
            ReadySpec::Notify | ReadySpec::Fd(_) | ReadySpec::Log(_) => ReadySpec::Notify,
        }),
        probes: instance
            .probes
            .iter()
            .map(|probe| ProbeSpec { check: asked(instance, directory, probe.kind.name()), ..probe.clone() })
            .collect(),
        ..instance.clone()
    }
}

/// A check that is answered by the puppet's script.
fn asked(instance: &InstanceSpec, directory: &Path, kind: &str) -> CheckSpec {
    let this = std::env::current_exe().unwrap_or_default();
    let words = [this.as_path(), Path::new(ASK), directory, Path::new(&instance.name), Path::new(kind)];
    CheckSpec::Exec(words.iter().map(|word| word.to_string_lossy().into_owned()).collect())
}
