//! Who may do what on the control socket, by the credentials the kernel vouches for (SO_PEERCRED, unix(7)).
//!
//! root and the daemon's own user may do everything, and so may the configured users; others may look if they are
//! configured to, or nothing. The socket's file mode decides before that who can connect at all.

use muster_api::{Method, Problem, ProblemKind};
use muster_spec::ControlSpec;
use muster_sys::user::Accounts;
use tracing::warn;

use crate::secrets::Reader;

/// What a user may do, as far as it decides who comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Whoever may look, or nothing at all.
    Onlooker,
    /// Whoever may control programs.
    Controller,
    Root,
}

/// Who may do what.
#[derive(Debug)]
pub(crate) struct Access {
    own: u32,
    may_control: Vec<u32>,
    may_look: Vec<u32>,
}

impl Access {
    /// Looks the configured users up, once. One that does not exist is told and gets nothing.
    pub(crate) fn new(spec: &ControlSpec, accounts: &mut Accounts) -> Access {
        let mut look_up = |users: &[String]| {
            users
                .iter()
                .filter_map(|user| match accounts.uid(user) {
                    Ok(uid) => Some(uid),
                    Err(error) => {
                        warn!(%error, "a user of the control socket is unknown and gets no access");
                        None
                    }
                })
                .collect()
        };
        Access {
            own: nix::unistd::geteuid().as_raw(),
            may_control: look_up(&spec.allow_users),
            may_look: look_up(&spec.readonly_users),
        }
    }

    /// As whom this user is shown things.
    pub(crate) fn reader(&self, uid: u32) -> Reader {
        if self.rank(uid) > Rank::Onlooker { Reader::Control } else { Reader::Look }
    }

    /// Who comes first where there is not enough for all.
    pub(crate) fn rank(&self, uid: u32) -> Rank {
        if uid == 0 || uid == self.own {
            Rank::Root
        } else if self.may_control.contains(&uid) {
            Rank::Controller
        } else {
            Rank::Onlooker
        }
    }

    /// Whether this user may use this method, or why not.
    pub(crate) fn check(&self, uid: u32, method: Method) -> Result<(), Problem> {
        if self.rank(uid) > Rank::Onlooker || (method == Method::Get && self.may_look.contains(&uid)) {
            return Ok(());
        }
        let (what, key) = match method {
            Method::Get => ("look", "readonly_users or allow_users"),
            Method::Post | Method::Delete => ("control programs", "allow_users"),
        };
        Err(Problem::new(ProblemKind::NotAllowed, format!("user id {uid} may not {what}"))
            .with_hint(format!("{key} in [http] of the configuration lets users in; root always is")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_and_controlling_are_two_things() {
        let access = Access { own: 1000, may_control: vec![1001], may_look: vec![1002] };
        for (uid, may_look, may_control) in
            [(0, true, true), (1000, true, true), (1001, true, true), (1002, true, false), (1003, false, false)]
        {
            assert_eq!(access.check(uid, Method::Get).is_ok(), may_look, "{uid} looks");
            assert_eq!(access.check(uid, Method::Post).is_ok(), may_control, "{uid} controls");
        }
    }
}
