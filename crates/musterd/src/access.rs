//! Access control of the API. A client is identified once, when it connects; what it may do is looked up for every request,
//! since a reload can change that. Each endpoint declares the right that it needs.
//!
//! root, the daemon's own user and the users in `allow_users` have every right; those in `readonly_users` may look, and all
//! others have none. Before that, the socket's file mode decides which users can connect.

use muster_api::{Problem, ProblemKind, Right};
use muster_core::Principal;
use muster_spec::ControlSpec;
use muster_sys::user::Accounts;
use tracing::warn;

use muster_load::secrets::Reader;

/// The priority of a client where there is not enough for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// May look, or has no right at all.
    Onlooker,
    /// May control programs.
    Controller,
    Root,
}

/// A client with its priority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) principal: Principal,
    pub(crate) rank: Rank,
}

/// The rights of users.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    own: u32,
    may_control: Vec<u32>,
    may_look: Vec<u32>,
}

impl Access {
    /// Looks up the configured users, once. A user that does not exist is logged and gets no rights.
    pub(crate) fn new(spec: &ControlSpec, accounts: &mut Accounts) -> Access {
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
                .collect()
        };
        Access {
            own: nix::unistd::geteuid().as_raw(),
            may_control: look_up(&spec.allow_users),
            may_look: look_up(&spec.readonly_users),
        }
    }

    /// The client whose user id the kernel reports for its socket.
    pub(crate) fn identify(uid: u32) -> Principal {
        Principal { uid }
    }

    /// The client with its priority, as it is configured now.
    pub(crate) fn client(&self, principal: Principal) -> Client {
        let rank = if principal.uid == 0 || principal.uid == self.own {
            Rank::Root
        } else if self.may_control.contains(&principal.uid) {
            Rank::Controller
        } else {
            Rank::Onlooker
        };
        Client { principal, rank }
    }

    /// Checks that this client has a right. The error says how to get it.
    pub(crate) fn check(&self, principal: Principal, needed: Right) -> Result<(), Problem> {
        let may_look = || self.may_look.contains(&principal.uid);
        if self.client(principal).rank > Rank::Onlooker || (needed == Right::Look && may_look()) {
            return Ok(());
        }
        let (what, key) = match needed {
            Right::Look => ("look", "readonly_users or allow_users"),
            Right::Control => ("control programs", "allow_users"),
        };
        Err(Problem::new(ProblemKind::NotAllowed, format!("{principal} may not {what}"))
            .with_hint(format!("{key} in [http] of the configuration grants access; root always has it")))
    }
}

impl Client {
    /// Which secrets it may see.
    pub(crate) fn reader(self) -> Reader {
        if self.rank > Rank::Onlooker { Reader::Control } else { Reader::Look }
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
            let principal = Principal { uid };
            assert_eq!(access.check(principal, Right::Look).is_ok(), may_look, "{uid} looks");
            assert_eq!(access.check(principal, Right::Control).is_ok(), may_control, "{uid} controls");
        }
    }
}
