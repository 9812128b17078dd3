//! The configuration: its sources, the active one, and a new one that is to replace it.
//!
//! Only state: [`crate::reload`] reads and replaces it, connections show it.

pub(crate) mod look;
mod rendered;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use muster_access::Access;
use muster_config::{Disguises, LookedAt};
use muster_core::Instance;
use muster_listen::tls::Servers;
use muster_load::auto_logs::AutoLogs;
use muster_load::in_force::InForce;
use muster_load::secrets::Reader;
use muster_spec::{ControlSpec, DaemonSpec, Scales, SourceSpec, Spec};
use serde_json::value::RawValue;
use tokio::sync::{Mutex, Notify};

use self::look::{Look, look};
use self::rendered::Rendered;

/// The configuration: where it comes from, and the active one.
pub(crate) struct Configuration {
    pub(crate) paths: Vec<PathBuf>,
    /// The servers that further parts of it come from.
    pub(crate) sources: Rc<muster_sources::Sources>,
    in_force: RefCell<InForce>,
    rendered: Rendered,
    /// The configuration that was read last, if it is to become active group by group.
    pub(crate) pending: RefCell<Option<New>>,
    /// Every file and directory that reading depends on, as it was at the last reading.
    pub(crate) looks: RefCell<Vec<Look>>,
    /// The numbers of instances that were chosen at run time.
    pub(crate) scales: RefCell<Scales>,
    /// Held while the configuration is read and applied, since reloads take turns.
    pub(crate) turn: Mutex<()>,
    /// The number of reloads that wait for their turn.
    pub(crate) waiting: Cell<usize>,
    pub(crate) is_signal_waiting: Cell<bool>,
    /// Whether everything is being stopped for a restart of all programs.
    pub(crate) is_restarting: Cell<bool>,
    /// Notified after each turn, for the watcher of the files.
    pub(crate) turned: Notify,
    /// The same, for the watcher of programs' files.
    pub(crate) programs_turned: Notify,
    /// Notified when a rolling restart may have ended.
    pub(crate) rolled: Notify,
    /// The names of log files that the daemon chose.
    pub(crate) auto_logs: Arc<std::sync::Mutex<AutoLogs>>,
}

/// Where the configuration comes from.
#[derive(Default)]
pub(crate) struct Sources {
    paths: Vec<PathBuf>,
    files: Vec<PathBuf>,
    looks: Vec<Look>,
    disguises: Disguises,
}

impl Sources {
    /// Adds what must be masked when it is shown.
    pub(crate) fn disguised_by(self, disguises: Disguises) -> Sources {
        Sources { disguises, ..self }
    }

    /// The values to be masked, to be changed together with the configuration.
    pub(crate) fn disguises_mut(&mut self) -> &mut Disguises {
        &mut self.disguises
    }

    /// Makes every path absolute, so that the daemon's working directory does not matter.
    pub(crate) fn absolute(paths: Vec<PathBuf>, files: Vec<PathBuf>, looked_at: Vec<LookedAt>) -> Sources {
        let absolute = |path: PathBuf| match std::path::absolute(&path) {
            Ok(absolute) if !muster_config::is_address(&path) => absolute,
            _ => path,
        };
        let of_look = |look| match look {
            LookedAt::File(path) => LookedAt::File(absolute(path)),
            LookedAt::Directory(path) => LookedAt::Directory(absolute(path)),
        };
        Sources {
            paths: paths.into_iter().map(absolute).collect(),
            files: files.into_iter().map(absolute).collect(),
            looks: look(looked_at.into_iter().map(of_look).collect()),
            disguises: Disguises::default(),
        }
    }
}

/// A configuration that was read and is to become active.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) spec: Spec,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) disguises: Disguises,
    pub(crate) access: Access,
    /// The TLS of its listeners.
    pub(crate) servers: Arc<Servers>,
    /// The numbers of instances that were chosen at run time, as it was read with them.
    pub(crate) scales: Scales,
    /// Whether everything is restarted, whatever differs.
    pub(crate) restarts_all: bool,
}

impl Configuration {
    pub(crate) fn new(
        sources: Sources,
        daemon: DaemonSpec,
        control: ControlSpec,
        remote: Vec<SourceSpec>,
        auto_logs: AutoLogs,
        (state_dir, scales): (Option<PathBuf>, Scales),
    ) -> Configuration {
        let host = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
        let followed = muster_sources::Sources::new(host, state_dir);
        followed.set_waiting(!remote.is_empty());
        let mut in_force = InForce::new(daemon, control, sources.files, sources.disguises);
        in_force.sources = remote;
        Configuration {
            paths: sources.paths,
            sources: Rc::new(followed),
            in_force: RefCell::new(in_force),
            rendered: Rendered::default(),
            pending: RefCell::default(),
            looks: RefCell::new(sources.looks),
            scales: RefCell::new(scales),
            turn: Mutex::new(()),
            waiting: Cell::new(0),
            is_signal_waiting: Cell::new(false),
            is_restarting: Cell::new(false),
            turned: Notify::new(),
            programs_turned: Notify::new(),
            rolled: Notify::new(),
            auto_logs: Arc::new(std::sync::Mutex::new(auto_logs)),
        }
    }

    /// The daemon's name in events: supervisord's default, unless its configuration says another.
    pub(crate) fn identifier(&self) -> String {
        let in_force = self.in_force.borrow();
        in_force.daemon.auto_logs.as_ref().map_or_else(|| "supervisor".to_owned(), |logs| logs.identifier.clone())
    }

    /// The active configuration. The borrow must not be held over an await.
    pub(crate) fn in_force(&self) -> Ref<'_, InForce> {
        self.in_force.borrow()
    }

    /// The same, to be changed.
    pub(crate) fn in_force_mut(&self) -> RefMut<'_, InForce> {
        self.rendered.forget();
        self.in_force.borrow_mut()
    }

    /// The effective configuration of an instance as JSON, as this reader may see it.
    pub(crate) fn rendered(&self, instance: &Instance, reader: Reader) -> Result<Rc<RawValue>, serde_json::Error> {
        self.rendered.of(instance, &self.in_force(), reader)
    }
}
