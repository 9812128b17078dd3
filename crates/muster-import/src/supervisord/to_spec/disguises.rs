//! The masked copies of everything that holds a secret: what an expansion such as `%(ENV_TOKEN)s` brought in.

use muster_spec::arrange::Gather;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use muster_config::{Disguise, Disguises, Origins, Secrets};
use muster_spec::{InstanceSpec, OutputSpec, Sink, Spec, Target};

use super::super::model::Configuration;
use super::super::world::World;

/// Collects the secrets of all environments and servers, and masks them in copies of the instances. Those that keys of
/// musterd's own bring in are masked in `own`.
pub(super) fn of(configuration: &Configuration, world: &dyn World, spec: &Spec, own: Disguises) -> Disguises {
    let mut secrets = secrets(configuration, world);
    secrets.merge(own.secrets);
    let mut owned: HashMap<String, Disguise> =
        own.instances.into_iter().map(|disguise| (disguise.real.name.clone(), disguise)).collect();
    let instances = spec.programs.iter().flat_map(|program| &program.instances);
    let instances = match secrets.is_empty() && owned.is_empty() {
        true => Vec::new(),
        false => {
            let beginnings = Beginnings::of(&secrets);
            let disguised = instances.filter_map(|instance| {
                let own = owned.remove(&instance.name);
                let is_suspect = own.is_some() || beginnings.are_in_instance(instance);
                is_suspect.then(|| disguise(instance, own, &secrets)).flatten()
            });
            disguised.collect()
        }
    };
    let hidden = |path: Option<&Path>, key: &'static str| {
        path.filter(|path| is_secret(&path.to_string_lossy(), &secrets)).map(|_| key)
    };
    let daemon = &spec.daemon;
    let musterd = [hidden(daemon.log_file.as_deref(), "logfile"), hidden(daemon.pidfile.as_deref(), "pidfile")];
    let http = hidden(spec.control.socket.as_deref(), "socket");
    Disguises {
        instances,
        rules: own.rules,
        musterd: musterd.into_iter().flatten().chain(own.musterd).gather::<BTreeSet<_>>().into_iter().collect(),
        notifiers: Vec::new(),
        http: http.into_iter().chain(own.http).gather::<BTreeSet<_>>().into_iter().collect(),
        secrets,
        origins: Origins::new(),
    }
}

fn secrets(configuration: &Configuration, world: &dyn World) -> Secrets {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let global = configuration.supervisord.environment.iter().map(owned);
    let processes = configuration.groups.iter().flat_map(|group| &group.processes);
    let own = processes.flat_map(|process| process.environment.iter().map(owned));
    let mut secrets = Secrets::of_environment(world.variables().into_iter().chain(global).chain(own));
    let logins = configuration.servers.iter().filter_map(|server| server.login.as_ref());
    secrets.add(logins.map(|login| login.password.clone()));
    secrets
}

fn is_secret(text: &str, secrets: &Secrets) -> bool {
    secrets.mask(text) != text
}

/// The first bytes of all secrets, by their number: whether a text holds one of thousands is asked for every word of every
/// command.
struct Beginnings<'s>([HashSet<&'s [u8]>; LONGEST_BEGINNING]);

/// The most bytes of a secret that are compared first.
const LONGEST_BEGINNING: usize = 8;

impl<'s> Beginnings<'s> {
    fn of(secrets: &'s Secrets) -> Beginnings<'s> {
        let mut beginnings = Beginnings(Default::default());
        for value in secrets.values().map(str::as_bytes).filter(|value| !value.is_empty()) {
            let length = value.len().min(LONGEST_BEGINNING);
            beginnings.0[length - 1].insert(&value[..length]);
        }
        beginnings
    }

    /// Whether a secret may begin in this text; a secret that is there always does.
    fn are_in(&self, text: &[u8]) -> bool {
        let known = self.0.iter().enumerate().filter(|(_, known)| !known.is_empty());
        known.into_iter().any(|(place, known)| text.windows(place + 1).any(|part| known.contains(part)))
    }

    fn are_in_instance(&self, instance: &InstanceSpec) -> bool {
        let output = &instance.output;
        let targets = [Some(&output.stdout), output.stderr.as_ref()].into_iter().flatten();
        let sinks = targets.flat_map(|target| match target {
            Target::Capture(sinks) => sinks.as_slice(),
            _ => &[],
        });
        let files = sinks.filter_map(|sink| match sink {
            Sink::File(path) => Some(path.as_path()),
            _ => None,
        });
        let mut paths = files.chain(instance.process.directory.as_deref());
        instance.process.command.iter().any(|word| self.are_in(word.as_bytes()))
            || paths.any(|path| self.are_in(path.as_os_str().as_encoded_bytes()))
    }
}

/// The copy of an instance to be shown, if it differs. Environments are never shown.
fn disguise(real: &Arc<InstanceSpec>, own: Option<Disguise>, secrets: &Secrets) -> Option<Disguise> {
    let (mut shown, hidden) =
        own.map_or_else(|| (InstanceSpec::clone(real), Vec::new()), |disguise| (disguise.shown, disguise.hidden));
    let process = Arc::make_mut(&mut shown.process);
    process.command = process.command.iter().map(|word| secrets.mask(word)).collect();
    process.directory = process.directory.as_deref().map(|path| mask_path(path, secrets));
    shown.output = Arc::new(masked_output(&shown.output, secrets));
    (shown != **real || !hidden.is_empty()).then(|| Disguise { real: Arc::clone(real), shown, hidden })
}

fn masked_output(output: &OutputSpec, secrets: &Secrets) -> OutputSpec {
    let target = |target: &Target| match target {
        Target::Capture(sinks) => {
            let sink = |sink: &Sink| match sink {
                Sink::File(path) => Sink::File(mask_path(path, secrets)),
                sink => sink.clone(),
            };
            Target::Capture(sinks.iter().map(sink).collect())
        }
        target => target.clone(),
    };
    OutputSpec { stdout: target(&output.stdout), stderr: output.stderr.as_ref().map(target), ..output.clone() }
}

fn mask_path(path: &Path, secrets: &Secrets) -> std::path::PathBuf {
    match path.to_str() {
        Some(text) if is_secret(text, secrets) => secrets.mask(text).into(),
        _ => path.to_owned(),
    }
}
