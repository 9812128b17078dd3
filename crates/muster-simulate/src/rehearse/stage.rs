//! The daemon of a rehearsal: the real one, with a puppet in place of each command.
//!
//! A separate process, started by [`super::command`]. Configuration of the environment (users,
//! directories, log files, the control socket) is ignored: a rehearsal is about when things happen.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_spec::{
    CheckSpec, HookSpec, Hooks, InstanceSpec, LogFormat, LogLevel, OutputSpec, ProbeSpec, ProcessSpec, ProgramSpec,
    ReadySpec, Resource, Rlimit, Signal, SocketAddress, SocketSpec, Spec, StartOn, Target, UnixKind,
};

use super::door::Part;
use super::puppet::Wardrobe;
use super::scale::scaled;
use crate::{Host, scenarios};

/// Supervises the puppets of a scenario, and returns the container's exit code.
pub(super) fn supervise(host: Host, scenario: &Path, factor: f64, directory: &Path) -> u8 {
    // It must exit if the rehearsal is killed.
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
    (daemon.pidfile, daemon.directory, daemon.state_dir) = (None, None, None);
    staged.control.socket = None;
    let staged_program = |program: &ProgramSpec| {
        let played = |instance: &Arc<InstanceSpec>| {
            let mut played = played(instance, directory);
            if program.start_on == StartOn::Connection {
                Arc::make_mut(&mut played.process).sockets = [contact_socket(directory, &program.name)].into();
            }
            played.into()
        };
        let instances = program.instances.iter().map(played).collect();
        ProgramSpec { instances, ..program.clone() }
    };
    staged.programs = spec.programs.iter().map(|program| staged_program(program).into()).collect();
    staged
}

fn played(instance: &InstanceSpec, directory: &Path) -> InstanceSpec {
    let program = Wardrobe::of(directory, &instance.name).program();
    let words = command(&program, Part::Puppet, &[directory, Path::new(&instance.name)]);
    InstanceSpec {
        process: Arc::new(ProcessSpec {
            // A puppet killed by SIGSEGV must not dump core, which takes time.
            rlimits: vec![Rlimit { resource: Resource::Core, soft: Some(0), hard: Some(0) }],
            ..ProcessSpec::of(words)
        }),
        output: Arc::new(OutputSpec { stdout: Target::Discard, stderr: None, ..OutputSpec::clone(&instance.output) }),
        ready: instance.ready.as_ref().map(|rule| match rule {
            ReadySpec::Check(_) => ReadySpec::Check(asked(instance, directory, "rule")),
            // Whatever the configured rule, a puppet reports readiness this way.
            ReadySpec::Notify | ReadySpec::Fd(_) | ReadySpec::Log(_) => ReadySpec::Notify,
        }),
        // Puppets have as little memory as they have.
        memory_max: None,
        variable_files: Arc::default(),
        probes: instance
            .probes
            .iter()
            .map(|probe| ProbeSpec { check: asked(instance, directory, probe.kind.name()), ..probe.clone() })
            .collect(),
        hooks: hooks_played(instance, directory),
        ..instance.clone()
    }
}

/// A socket for the clients of a program, which are datagrams here: a puppet can take all of them at once.
fn contact_socket(directory: &Path, program: &str) -> SocketSpec {
    let path = contact_path(directory, program);
    SocketSpec::new("contact", SocketAddress::Unix(UnixKind::Datagram, path))
}

/// The path of that socket.
pub(super) fn contact_path(directory: &Path, program: &str) -> PathBuf {
    directory.join(format!("{program}.sock"))
}

/// Hooks that follow the puppet's script.
fn hooks_played(instance: &InstanceSpec, directory: &Path) -> Hooks {
    let this = std::env::current_exe().unwrap_or_default();
    let mut played = Hooks::default();
    for (hook, spec) in instance.hooks.iter() {
        let command = command(&this, Part::Hook, &[directory, Path::new(&instance.name), Path::new(hook.name())]);
        *played.get_mut(hook) = Some(HookSpec { command, user: None, ..HookSpec::clone(spec) }.into());
    }
    played
}

/// A probe that queries the puppet's script.
fn asked(instance: &InstanceSpec, directory: &Path, kind: &str) -> CheckSpec {
    let this = std::env::current_exe().unwrap_or_default();
    CheckSpec::Exec(command(&this, Part::Ask, &[directory, Path::new(&instance.name), Path::new(kind)]))
}

/// The command of a process that is to play a part.
fn command(program: &Path, part: Part, arguments: &[&Path]) -> Vec<String> {
    let words = part.words(program);
    let words = words.into_iter().map(Path::new);
    let all = [program].into_iter().chain(words).chain(arguments.iter().copied());
    all.map(|word| word.to_string_lossy().into_owned()).collect()
}
