//! The users of this machine in the rules of [`muster_access`], and the secrets that a client sees.

use muster_access::{Access, Client, Users};
use muster_api::Right;
use muster_load::secrets::Reader;
use muster_spec::ControlSpec;
use muster_sys::user::Accounts;
use tracing::warn;

/// Looks up the configured users, once. A user that does not exist is logged and gets no rights.
pub(crate) fn rules(spec: &ControlSpec, accounts: &mut Accounts) -> Access {
    let mut look_up = |users: &[String]| {
        users
            .iter()
            .filter_map(|user| match accounts.uid(user) {
                Ok(uid) => Some(uid),
                Err(error) => {
                    warn!(%error, "unknown user of the control socket, granting no access");
                    None
                }
            })
            .collect::<Vec<u32>>()
    };
    let (may_control, may_look) = (look_up(&spec.allow_users), look_up(&spec.readonly_users));
    let named = spec.identities.iter().filter_map(|identity| Some((identity, identity.uid.clone()?)));
    let named = named.filter_map(|(identity, user)| Some((identity.name.clone(), look_up(&[user]).pop()?)));
    let identities = named.collect();
    let own = nix::unistd::geteuid().as_raw();
    let hostname = nix::unistd::gethostname().unwrap_or_default();
    Access::new(spec, Users { own, may_control, may_look, identities }, &hostname.to_string_lossy())
}

/// Which secrets a client may see.
pub(crate) fn reader(client: Client) -> Reader {
    if client.may(Right::Admin) { Reader::Control } else { Reader::Look }
}
