//! The login that began a session, so that each later request can be asked whether it would still be right.
//!
//! A user that has another token or password now, or is gone, has no session any longer; one with another role has that role.

use muster_spec::IdentityName;

use crate::authorization::Authorization;
use crate::crypt::Verified;
use crate::identity::Identity;
use crate::secret::Secret;

/// A login that was right. Only hashes are kept.
#[derive(Clone)]
pub struct Proof {
    name: IdentityName,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Token(Secret),
    Password(Secret),
    Verified(Verified),
    Supervisord { username: String, password: Secret },
}

impl Proof {
    /// A login with this token.
    pub(crate) fn of_token(name: IdentityName, token: &str) -> Proof {
        Proof { name, kind: Kind::Token(Secret::plain(token)) }
    }

    /// The login of this user, which sent this.
    pub(crate) fn of_identity(identity: &Identity, sent: &Authorization) -> Proof {
        match sent {
            Authorization::Bearer(token) => Proof::of_token(identity.name, token),
            Authorization::Basic { password, .. } => {
                Proof { name: identity.name, kind: Kind::Password(Secret::plain(password)) }
            }
        }
    }

    /// The login of this user, whose password was compared with its hash.
    pub(crate) fn of_verified(identity: &Identity, verified: &Verified) -> Proof {
        Proof { name: identity.name, kind: Kind::Verified(verified.clone()) }
    }

    /// The login of a server of supervisord's configuration.
    pub(crate) fn of_supervisord(username: &str, password: &Secret) -> Proof {
        let kind = Kind::Supervisord { username: username.to_owned(), password: password.clone() };
        Proof { name: IdentityName::of(username), kind }
    }

    /// The user.
    pub(crate) fn name(&self) -> IdentityName {
        self.name
    }

    /// Whether the login is still one of this user.
    pub(crate) fn is_of(&self, identity: &Identity) -> bool {
        identity.name == self.name
            && match &self.kind {
                Kind::Token(token) => identity.has_token(token),
                Kind::Password(password) => identity.has_password(password),
                Kind::Verified(verified) => verified.is_of(identity),
                Kind::Supervisord { .. } => false,
            }
    }

    /// Whether the login is still that of a server of supervisord's configuration.
    pub(crate) fn is_of_supervisord(&self, name: &str, secret: &Secret) -> bool {
        matches!(&self.kind, Kind::Supervisord { username, password } if username == name && password.is_same(secret))
    }
}
