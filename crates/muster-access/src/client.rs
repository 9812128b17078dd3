//! A client, and whether its role is enough for a request.

use muster_api::{Problem, ProblemKind, Right};
use muster_spec::{Principal, Role};

use crate::sessions::SessionNumber;

/// The priority of a client where there is not enough for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// May look, or has no right at all.
    Onlooker,
    /// May control programs.
    Controller,
    /// root, or the daemon's own user.
    Root,
}

/// A client with its role and its priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its identity.
    pub principal: Principal,
    /// Its role, if it has one.
    pub role: Option<Role>,
    /// Its priority.
    pub rank: Rank,
    /// Its process, on a Unix socket: it proves nothing, and gives no right.
    pub pid: Option<i32>,
    /// Its session, if its login is one.
    pub session: Option<SessionNumber>,
    /// Whether a login would give it another role.
    pub(crate) may_log_in: bool,
}

/// The least role that has a right; `None` if every client has it.
pub const fn role_for(right: Right) -> Option<Role> {
    match right {
        Right::None => None,
        Right::Health => Some(Role::Health),
        Right::Metrics => Some(Role::Metrics),
        Right::Read => Some(Role::Read),
        Right::Control => Some(Role::Control),
        Right::Admin => Some(Role::Admin),
    }
}

impl Client {
    /// A client with this role. `is_root` is root or the daemon's own user.
    pub(crate) fn new(principal: Principal, role: Option<Role>, is_root: bool) -> Client {
        let rank = match role {
            _ if is_root => Rank::Root,
            Some(Role::Control | Role::Admin) => Rank::Controller,
            _ => Rank::Onlooker,
        };
        Client { principal, role, rank, pid: None, session: None, may_log_in: false }
    }

    /// A client with this priority and no role.
    pub fn ranked(principal: Principal, rank: Rank) -> Client {
        Client { principal, role: None, rank, pid: None, session: None, may_log_in: false }
    }

    /// The same, with its process.
    pub fn of_process(self, pid: Option<i32>) -> Client {
        Client { pid, ..self }
    }

    /// The same, of a session.
    pub fn of_session(self, session: SessionNumber) -> Client {
        Client { session: Some(session), ..self }
    }

    /// Whether a login would give it another role.
    pub fn may_log_in(&self) -> bool {
        self.may_log_in
    }

    /// Whether it has a right.
    pub fn may(&self, needed: Right) -> bool {
        role_for(needed).is_none_or(|needed| self.role.is_some_and(|role| role >= needed))
    }

    /// Checks that it has a right. The error says how to get it.
    pub fn check(&self, needed: Right) -> Result<(), Problem> {
        if self.may(needed) {
            return Ok(());
        }
        let (what, key) = match needed {
            Right::None | Right::Health | Right::Metrics | Right::Read => ("look", "readonly_users or allow_users"),
            Right::Control => ("control programs", "allow_users"),
            Right::Admin => ("shut the daemon down or execute commands", "allow_users"),
        };
        let (principal, role) = (self.principal, needed.role());
        let has = self.role.map_or("none", Role::name);
        let detail = format!("{principal} may not {what}: this needs the role {role}, it has {has}");
        if self.may_log_in {
            return Err(Problem::new(ProblemKind::LoginRequired, detail).with_hint("log in with a token or a password"));
        }
        let hint = match self.principal {
            Principal::Uid(_) => format!("{key} in [http] of the configuration grants access; root always has it"),
            _ => "the role of a user and of a listener is in [http] of the configuration".to_owned(),
        };
        Err(Problem::new(ProblemKind::NotAllowed, detail).with_hint(hint))
    }
}
