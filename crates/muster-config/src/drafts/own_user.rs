//! `[musterd] user`: a daemon that has become this user can start programs of no other.

use muster_spec::{ControlSpec, UserSpec};

use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::instance::Parts;
use crate::field::Owner;

impl Parts {
    /// Has it run as the daemon's user, `own`, if it has none. Reports what only root could do.
    pub(crate) fn run_as(&mut self, own: Option<&UserSpec>, owner: Owner<'_>, report: &Report) {
        let Some(own) = own else { return };
        let refuse = |place: Option<Place>, key: &str, problem: String| {
            let Some(place) = place else { return };
            let message = format!("{key} {problem}: the daemon becomes user {}", shown(own));
            let hint =
                "leave it out, or leave out [musterd] user: then the daemon stays root and each program has its own";
            report.add(owner.finding(Severity::Error, place, message).hint(hint));
        };
        match &self.user {
            Some(user) if user != own => refuse(self.user_at, "user", format!("cannot be {}", shown(user))),
            _ => self.user = Some(own.clone()),
        }
        if self.groups.is_some() {
            refuse(self.groups_at, "groups", "cannot be changed".to_owned());
        }
        for (hook, user, at) in self.hooks.users().filter(|(_, user, _)| *user != own) {
            refuse(at, &format!("{hook}.user"), format!("cannot be {}", shown(user)));
        }
    }
}

/// Has the API's sockets belong to the user that the daemon becomes, unless they have another owner.
pub(crate) fn give_sockets(own: Option<&UserSpec>, control: &mut ControlSpec) {
    let listeners = control.listeners.iter_mut().map(|listener| &mut listener.owner);
    for owner in [&mut control.owner].into_iter().chain(listeners).filter(|owner| owner.is_none()) {
        *owner = own.cloned();
    }
}

fn shown(user: &UserSpec) -> String {
    match &user.group {
        Some(group) => format!("{}:{group}", user.user),
        None => user.user.clone(),
    }
}
