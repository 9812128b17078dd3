//! Users of the API that log in with a token or a password.

use std::fmt;

use muster_spec::{CryptHash, IdentityName, IdentitySpec, Password, Role};
use subtle::Choice;

use crate::access::Certificate;
use crate::authorization::Authorization;
use crate::secret::{Secret, same};

/// A user of the API.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) name: IdentityName,
    pub(crate) role: Role,
    pub(crate) uid: Option<u32>,
    pub(crate) username: String,
    /// The hash of its password, if only that is known.
    pub(crate) hash: Option<CryptHash>,
    tokens: Vec<Secret>,
    password: Option<Secret>,
    cert: Option<String>,
    cert_sha256: Option<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl Identity {
    /// The user of this configuration; `uid` is its user id.
    pub(crate) fn new(spec: &IdentitySpec, uid: Option<u32>) -> Identity {
        let (password, hash) = match &spec.password {
            Some(Password::Plain(text)) => (Some(Secret::plain(text)), None),
            Some(Password::Hash(hash)) => (None, Some(hash.clone())),
            None => (None, None),
        };
        Identity {
            name: IdentityName::of(&spec.name),
            role: spec.role,
            uid,
            username: spec.name.clone(),
            tokens: spec.tokens.iter().map(|token| Secret::plain(token)).collect(),
            hash,
            password,
            cert: spec.cert.clone(),
            cert_sha256: spec.cert_sha256.clone(),
        }
    }

    /// Whether this is its certificate. Nothing of a certificate is secret.
    pub(crate) fn has(&self, certificate: &Certificate) -> bool {
        self.cert_sha256.as_ref().is_some_and(|own| *own == certificate.sha256)
            || self.cert.as_ref().is_some_and(|own| certificate.names.contains(own))
    }

    /// Whether this is one of its tokens.
    pub(crate) fn has_token(&self, token: &Secret) -> bool {
        self.tokens.iter().any(|own| own.is_same(token))
    }

    /// Whether this is its password.
    pub(crate) fn has_password(&self, password: &Secret) -> bool {
        self.password.as_ref().is_some_and(|own| own.is_same(password))
    }

    /// Whether this is its login, as far as no hash has to be computed. Looks at all of its secrets, so the time does not show which one was nearly right.
    fn is_logged_in_by(&self, sent: &Authorization) -> Choice {
        match sent {
            Authorization::Bearer(token) => {
                self.tokens.iter().fold(Choice::from(0), |found, secret| found | secret.matches(token))
            }
            Authorization::Basic { username, password } => {
                // An unknown name costs the same comparison.
                let missing = Secret::Sha256([0; 32]);
                same(&self.username, username) & self.password.as_ref().unwrap_or(&missing).matches(password)
            }
        }
    }
}

/// The user whose login this is. Looks at all of them.
pub(crate) fn find<'i>(identities: &'i [Identity], sent: &Authorization) -> Option<&'i Identity> {
    let mut found = None;
    for identity in identities {
        if bool::from(identity.is_logged_in_by(sent)) {
            found = found.or(Some(identity));
        }
    }
    found
}
