//! Reopens the log and the pid file at a restart of everything, as supervisord does on HUP, at the places that the
//! configuration has by then. The control socket stays.

use muster_spec::{DaemonSpec, descriptor_of};
use tracing::info;

use crate::pidfile::Pidfile;
use crate::shared::Shared;

/// Whether the log can go on in another file: only from one file to another.
pub(crate) fn is_log_movable(old: &DaemonSpec, new: &DaemonSpec) -> bool {
    let is_file = |daemon: &DaemonSpec| {
        let path = daemon.log_file.as_deref();
        path.is_some_and(|path| descriptor_of(path).is_none() && path.as_os_str() != "/dev/null")
    };
    is_file(old) && is_file(new)
}

/// Everything has been stopped, and starts again.
pub(crate) fn open_again(shared: &Shared) {
    let daemon = shared.configuration.in_force().daemon.clone();
    let children = shared.children.borrow();
    children.logs().reopen();
    if let Some(path) = daemon.log_file.as_deref() {
        children.logs().move_own_log(path, daemon.log_rotation);
    }
    let mut pidfile = shared.pidfile.borrow_mut();
    // The old one is removed first: the new one may have its place.
    drop(pidfile.take());
    *pidfile = daemon.pidfile.as_deref().and_then(Pidfile::write);
    info!("the log and the pid file were opened again");
}
