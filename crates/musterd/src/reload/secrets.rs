//! Secrets of the API: certificates, keys, tokens and passwords are read again when their files change.
//!
//! Always, whatever `watch` says: certificates are renewed unattended. New handshakes and requests use what was
//! read; connections stay open. Files that are wrong change nothing. Nothing is done while nothing changes.

use std::rc::Rc;
use std::sync::Arc;

use muster_config::LookedAt;
use muster_listen::tls::Servers;
use muster_load::secrets::mask;
use muster_load::{certificates, config_files};
use muster_sys::user::Accounts;
use tracing::{error, info, warn};

use super::reading::on_a_thread;
use super::watch::have_changed;
use crate::access::rules;
use crate::configuration::look::{Look, look};
use crate::shared::Shared;
use muster_logging::event_ring::{Published, What};
use muster_logging::limit::{DAEMON, Notice, unless_none};

/// Follows the files; never returns.
pub(crate) async fn watch(shared: Rc<Shared>) {
    let mut watcher = None;
    let mut looks = of_configuration(&shared);
    loop {
        if looks.is_empty() {
            watcher = None;
            shared.secrets.reloaded.notified().await;
            looks = of_configuration(&shared);
            continue;
        }
        looks = match have_changed(&mut watcher, looks, &shared.secrets.reloaded).await {
            Ok(true) => read_again(&shared).await,
            Ok(false) => of_configuration(&shared),
            Err(error) => {
                warn!(%error, "cannot watch the secrets of the API: they are read again only by a reload");
                shared.secrets.reloaded.notified().await;
                of_configuration(&shared)
            }
        };
    }
}

/// The files as they were when the configuration was read.
fn of_configuration(shared: &Shared) -> Vec<Look> {
    let in_force = shared.configuration.in_force();
    let files = &in_force.control.secret_files;
    let is_one = |look: &&Look| matches!(&look.at, LookedAt::File(path) if files.iter().any(|file| file.path == *path));
    let looks = shared.configuration.looks.borrow();
    looks.iter().filter(is_one).cloned().collect()
}

/// Reads the files again and uses what they have. Returns how they were then.
async fn read_again(shared: &Rc<Shared>) -> Vec<Look> {
    let _turn = shared.configuration.turn.lock().await;
    let control = shared.configuration.in_force().control.clone();
    let read = on_a_thread(move || {
        let files = control.secret_files.iter().map(|file| LookedAt::File(file.path.clone())).collect();
        let looks = look(files);
        let read = certificates::again(&control, &config_files::open_again).and_then(|new| {
            let is_same = new == control;
            let servers = Servers::of(&new)?;
            let access = rules(&new, &mut Accounts::default());
            Ok((!is_same).then_some((new, access, servers)))
        });
        (looks, read)
    });
    let (looks, read) = match read.await {
        Ok(read) => read,
        Err(problem) => {
            error!("cannot read the secrets of the API again: {problem}");
            return of_configuration(shared);
        }
    };
    // Many good versions leave room for the message that a bad one was refused.
    let pass = |notice| shared.limits.pass(DAEMON, notice).map(unless_none);
    match read {
        Ok(None) => {}
        Ok(Some((new, access, servers))) => {
            let mut in_force = shared.configuration.in_force_mut();
            in_force.control.listeners = new.listeners;
            in_force.control.identities = new.identities;
            drop(in_force);
            shared.gate.put_access(access);
            shared.secrets.put(Arc::new(servers));
            // Connections that follow lose what their clients may no longer see.
            shared.gate.divided.notify_one();
            publish(shared, None);
            if let Some(suppressed) = pass(Notice::Secrets) {
                info!(suppressed, "secrets of the API have changed and are used from now on");
            }
        }
        Err(reason) => {
            shared.secrets.failed();
            publish(shared, Some(mask(&reason.to_string()).into()));
            if let Some(suppressed) = pass(Notice::SecretsRefused) {
                error!(suppressed, "secrets of the API have changed, but {reason}; those before are used");
            }
        }
    }
    looks
}

/// Publishes that the secrets were read again, with the reason if they cannot be used.
fn publish(shared: &Shared, reason: Option<Box<str>>) {
    let published = Published { at: shared.clock.now(), who: None, what: What::Secrets(reason) };
    shared.event_ring.borrow_mut().publish(None, published);
}
