//! The daemon's own keys at a reload: those that are applied, and those that need a restart.

use muster_spec::{ControlSpec, DaemonSpec, NotifierSpec, Rotation, Spec};

use muster_load::in_force::InForce;

use crate::opened_again::is_log_movable;

/// Applies the keys that can change while the daemon runs.
pub(super) fn take(in_force: &mut InForce, new: &Spec) {
    in_force.daemon.shutdown_timeout = new.daemon.shutdown_timeout;
    in_force.daemon.shutdown_order = new.daemon.shutdown_order;
    in_force.daemon.exit_status = new.daemon.exit_status;
    in_force.daemon.second_signal = new.daemon.second_signal;
    in_force.daemon.rpc_during_shutdown = new.daemon.rpc_during_shutdown;
    in_force.daemon.exit_when_done = new.daemon.exit_when_done;
    in_force.daemon.max_parallel_starts = new.daemon.max_parallel_starts;
    in_force.daemon.watch = new.daemon.watch;
    in_force.daemon.auto_logs.clone_from(&new.daemon.auto_logs);
    in_force.control.allow_users.clone_from(&new.control.allow_users);
    in_force.control.readonly_users.clone_from(&new.control.readonly_users);
    in_force.control.authentication.clone_from(&new.control.authentication);
    in_force.control.listeners.clone_from(&new.control.listeners);
    in_force.control.identities.clone_from(&new.control.identities);
    in_force.control.allow_hosts.clone_from(&new.control.allow_hosts);
    in_force.control.allow_origins.clone_from(&new.control.allow_origins);
    in_force.control.exec = new.control.exec;
    in_force.control.debug = new.control.debug;
    in_force.control.secret_files.clone_from(&new.control.secret_files);
}

/// Applies the keys of what a restart of everything opens again.
pub(super) fn take_again(daemon: &mut DaemonSpec, new: &DaemonSpec) {
    daemon.pidfile.clone_from(&new.pidfile);
    if is_log_movable(daemon, new) {
        daemon.log_file.clone_from(&new.log_file);
        daemon.log_rotation = new.log_rotation;
    }
}

/// The names of notifiers that are added, removed or changed.
pub(super) fn changed_notifiers(active: &[NotifierSpec], new: &[NotifierSpec]) -> Vec<String> {
    let differs = |one: &&NotifierSpec, others: &[NotifierSpec]| !others.contains(one);
    let gone = active.iter().filter(|one| !new.iter().any(|other| other.name == one.name));
    let changed = new.iter().filter(|one| differs(one, active)).chain(gone);
    let mut names: Vec<String> = changed.map(|one| one.name.clone()).collect();
    names.sort_unstable();
    names
}

/// The keys whose value differs from the one at the start, and that need a restart of the daemon.
pub(super) fn needs_restart(in_force: &InForce, new: &Spec, restarts_all: bool) -> Vec<String> {
    let mut known = in_force.daemon.clone();
    if restarts_all {
        take_again(&mut known, &new.daemon);
    }
    // Without `..`, so that a new key does not compile before it is listed here or in `take`.
    let DaemonSpec {
        log_level,
        log_format,
        log_file,
        log_to_stdout,
        log_to_syslog,
        log_rotation: Rotation { max_size, max_files, compress },
        user,
        pidfile,
        state_dir,
        // Schedules have it already.
        timezone: _,
        umask,
        directory,
        syslog,
        // Names are chosen when the configuration is read.
        auto_logs: _,
        shutdown_timeout: _,
        shutdown_order: _,
        exit_status: _,
        second_signal: _,
        rpc_during_shutdown: _,
        // Raised once, at the start.
        least_limits: _,
        exit_when_done: _,
        max_parallel_starts: _,
        watch: _,
    } = &known;
    let ControlSpec {
        socket,
        mode,
        owner,
        allow_users: _,
        readonly_users: _,
        authentication: _,
        listeners: _,
        identities: _,
        allow_hosts: _,
        allow_origins: _,
        exec: _,
        debug: _,
        secret_files: _,
    } = &in_force.control;
    let (daemon, rotation, control) = (&new.daemon, &new.daemon.log_rotation, &new.control);
    let keys = [
        ("[musterd] loglevel", *log_level != daemon.log_level),
        ("[musterd] logformat", *log_format != daemon.log_format),
        ("[musterd] logfile", (log_file, *log_to_syslog) != (&daemon.log_file, daemon.log_to_syslog)),
        ("[musterd] log_to_stdout", *log_to_stdout != daemon.log_to_stdout),
        ("[musterd] logfile_max_size", *max_size != rotation.max_size),
        ("[musterd] logfile_max_files", *max_files != rotation.max_files),
        ("[musterd] logfile_compress", *compress != rotation.compress),
        ("[musterd] user", *user != daemon.user),
        ("[musterd] pidfile", *pidfile != daemon.pidfile),
        ("[musterd] state_dir", *state_dir != daemon.state_dir),
        ("[musterd] umask", *umask != daemon.umask),
        ("[musterd] directory", *directory != daemon.directory),
        ("[musterd] syslog", syslog.address != daemon.syslog.address),
        ("[musterd] syslog_format", syslog.format() != daemon.syslog.format()),
        ("[musterd] syslog_facility", syslog.facility != daemon.syslog.facility),
        ("[http] socket", *socket != control.socket),
        ("[http] mode", *mode != control.mode),
        ("[http] owner", *owner != control.owner),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}
