//! The hooks of runs: commands in the context of their program, with process trees of their own.

use std::sync::Arc;

use muster_core::AfterRun;
use muster_secrets::Prepared;
use muster_spec::{
    Exit, Hook, InstanceSpec, OutputSpec, PerStream, RunEnd, RunId, SpawnError, SpawnStep, StreamEvents,
};
use muster_sys::spawn::Launch;
use tokio::sync::oneshot;

use super::commands::Ended;
use super::{Children, secrets};

impl Children {
    /// Spawns a hook of a run as the program would be, with what was read for it, and without what belongs to runs: sockets,
    /// standard input and notifications. Its output goes where the program's goes. Returns the id of its tree.
    pub(crate) fn spawn_hook(
        &mut self,
        (run, hook): (RunId, Hook),
        spec: &InstanceSpec,
        (after, prepared): (Option<&AfterRun>, Prepared),
    ) -> Result<(RunId, oneshot::Receiver<Ended>), SpawnError> {
        let Some(configured) = spec.hooks.get(hook) else {
            let message = "it is no longer configured".to_owned();
            return Err(SpawnError { step: SpawnStep::Prepare, errno: 0, message });
        };
        let spec = in_context(spec, configured);
        let (id, uid) = (self.commands.next_id(), self.uid_of(&spec.process));
        let (marker, index) = (self.marker_of(id), spec.index.to_string());
        let (stdout, stderr, reading) = self.open_output(hook.output_of(run), &spec, None)?;
        let facts = after.map(facts).unwrap_or_default();
        let facts = facts.iter().map(|(name, value)| (*name, value.as_str()));
        let copies = prepared.directory.as_ref();
        let own = secrets::variable(copies).into_iter().chain([("MUSTER_HOOK", hook.name())]).chain(facts);
        let markers: Vec<_> = self.markers.of(&spec, &marker, &index).into_iter().chain(own).collect();
        let secrets: Vec<_> = prepared.variables().collect();
        let process = secrets::with_directory(&spec.process, copies);
        let spawned = self.spawner.spawn(&Launch {
            secrets: &secrets,
            stdout: stdout.as_stdio(),
            stderr: stderr.as_stdio(),
            ..self.launch_of_command(id, &process, &markers)
        });
        let pid = spawned.as_ref().ok().and_then(|spawning| u32::try_from(spawning.pid.0).ok());
        reading.into_iter().for_each(|reading| self.logs.bind(reading, pid));
        let spawning = spawned?;
        drop(secrets);
        self.keep_credentials(id, prepared);
        let ended = self.begin_command(id, uid, marker, spawning);
        Ok((id, ended))
    }
}

/// The instance with the process of the hook, whose output causes no events.
fn in_context(spec: &InstanceSpec, hook: &muster_spec::HookSpec) -> InstanceSpec {
    let none = PerStream { stdout: StreamEvents::NONE, stderr: StreamEvents::NONE };
    let output = OutputSpec { events: none, ..OutputSpec::clone(&spec.output) };
    InstanceSpec { process: hook.process(&spec.process).into(), output: Arc::new(output), ..spec.clone() }
}

/// The variables by which `post_stop` gets to know the run that has ended.
fn facts(after: &AfterRun) -> Vec<(&'static str, String)> {
    let (word, detail) = match &after.end {
        RunEnd::Exited(Exit::Code(code)) => ("exited", Some(("MUSTER_EXIT_CODE", code.to_string()))),
        RunEnd::Exited(Exit::Signal { signal, .. }) => ("signalled", Some(("MUSTER_EXIT_SIGNAL", signal.to_string()))),
        RunEnd::MainLost => ("lost", None),
        RunEnd::NotSpawned(_) => ("not-spawned", None),
    };
    let next = if after.is_final { "final" } else { "restart" };
    let others = [
        ("MUSTER_EXIT", word.to_owned()),
        ("MUSTER_EXIT_CAUSE", after.cause.to_owned()),
        ("MUSTER_NEXT", next.to_owned()),
        ("MUSTER_UPTIME_MS", after.uptime.as_millis().to_string()),
    ];
    others.into_iter().chain(detail).collect()
}
