//! The daemon's own keys at a reload: which are put in force, and which only a restart can.

use muster_core::Settings;
use muster_spec::{DaemonSpec, Spec};

use super::InForce;

/// What the core has to know of them.
pub(crate) fn settings(daemon: &DaemonSpec) -> Settings {
    Settings { shutdown_timeout: daemon.shutdown_timeout, exit_when_done: daemon.exit_when_done }
}

/// Puts those in force that can be changed while the daemon runs.
pub(super) fn take(in_force: &mut InForce, new: &Spec) {
    in_force.daemon.shutdown_timeout = new.daemon.shutdown_timeout;
    in_force.daemon.exit_when_done = new.daemon.exit_when_done;
    in_force.daemon.watch = new.daemon.watch;
    in_force.control.allow_users.clone_from(&new.control.allow_users);
    in_force.control.readonly_users.clone_from(&new.control.readonly_users);
}

/// The keys whose value is another than the one the daemon was started with, and that only a restart puts in force.
pub(super) fn needs_restart(in_force: &InForce, new: &Spec) -> Vec<String> {
    let (daemon, control) = (&in_force.daemon, &in_force.control);
    let keys = [
        ("[musterd] loglevel", daemon.log_level != new.daemon.log_level),
        ("[musterd] logformat", daemon.log_format != new.daemon.log_format),
        ("[musterd] logfile", daemon.log_file != new.daemon.log_file),
        ("[musterd] logfile_max_size", daemon.log_rotation != new.daemon.log_rotation),
        ("[musterd] pidfile", daemon.pidfile != new.daemon.pidfile),
        ("[musterd] umask", daemon.umask != new.daemon.umask),
        ("[musterd] directory", daemon.directory != new.daemon.directory),
        ("[musterd] syslog", daemon.syslog.address != new.daemon.syslog.address),
        ("[musterd] syslog_format", daemon.syslog.format() != new.daemon.syslog.format()),
        ("[musterd] syslog_facility", daemon.syslog.facility != new.daemon.syslog.facility),
        ("[http] socket", control.socket != new.control.socket),
        ("[http] mode", control.mode != new.control.mode),
        ("[http] owner", control.owner != new.control.owner),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}
