//! The active configuration, as the daemon keeps it to show it and to compare a new one with it.

use std::path::PathBuf;
use std::sync::Arc;

use muster_config::Disguises;
use muster_spec::{ControlSpec, DaemonSpec, InstanceSpec, NotifierSpec, SourceSpec};

/// The active configuration. Keys of the daemon that only a restart can change have their values from the start.
pub struct InForce {
    /// `[musterd]`.
    pub daemon: DaemonSpec,
    /// `[http]`.
    pub control: ControlSpec,
    /// Every `[source.NAME]`.
    pub sources: Vec<SourceSpec>,
    /// Every `[notify.NAME]`.
    pub notifiers: Vec<NotifierSpec>,
    /// Every file that was read.
    pub files: Vec<PathBuf>,
    /// The secrets to be masked when it is shown.
    pub disguises: Disguises,
    /// The secrets of earlier configurations that running programs still use.
    pub earlier: Disguises,
}

impl InForce {
    /// The first configuration.
    pub fn new(daemon: DaemonSpec, control: ControlSpec, files: Vec<PathBuf>, disguises: Disguises) -> InForce {
        let (sources, notifiers) = (Vec::new(), Vec::new());
        InForce { daemon, control, sources, notifiers, files, disguises, earlier: Disguises::default() }
    }

    /// Replaces the secrets to be masked. Keys that only a restart can change keep their values, and so stay masked.
    pub fn put_disguises(&mut self, new: Disguises, is_in_use: impl Fn(&Arc<InstanceSpec>) -> bool) {
        let was = std::mem::replace(&mut self.disguises, new);
        self.disguises.musterd.extend(was.musterd.iter().copied());
        self.disguises.http.extend(was.http.iter().copied());
        for keys in [&mut self.disguises.musterd, &mut self.disguises.http] {
            keys.sort_unstable();
            keys.dedup();
        }
        self.earlier.instances.extend(was.instances);
        self.earlier.instances.retain(|disguise| is_in_use(&disguise.real));
        self.earlier.rules = was.rules;
    }
}
