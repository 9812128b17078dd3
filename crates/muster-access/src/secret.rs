//! Passwords and tokens, compared in a time that does not depend on how much of them is right.

use std::fmt;

use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The beginning of a password of supervisord that is a SHA-1 in hexadecimal.
const SHA1: &str = "{SHA}";

/// A password or a token. Only a hash is kept.
#[derive(Clone)]
pub enum Secret {
    /// The SHA-256 of the secret.
    Sha256([u8; 32]),
    /// The SHA-1 of the secret, in hexadecimal.
    Sha1(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Secret {
    /// The secret itself.
    pub fn plain(text: &str) -> Secret {
        Secret::Sha256(Sha256::digest(text).into())
    }

    /// As supervisord has it: plain, or `{SHA}` and a hash in small letters.
    pub fn of_supervisord(text: &str) -> Secret {
        text.strip_prefix(SHA1).map_or_else(|| Secret::plain(text), |hash| Secret::Sha1(hash.to_owned()))
    }

    /// Whether both are kept as the same hash.
    pub(crate) fn is_same(&self, other: &Secret) -> bool {
        match (self, other) {
            (Secret::Sha256(one), Secret::Sha256(other)) => one == other,
            (Secret::Sha1(one), Secret::Sha1(other)) => one == other,
            _ => false,
        }
    }

    /// Whether this is what was sent.
    pub fn matches(&self, sent: &str) -> Choice {
        match self {
            Secret::Sha256(hash) => hash.ct_eq(&<[u8; 32]>::from(Sha256::digest(sent))),
            Secret::Sha1(hash) => {
                let hex: String = Sha1::digest(sent).iter().map(|byte| format!("{byte:02x}")).collect();
                hash.as_bytes().ct_eq(hex.as_bytes())
            }
        }
    }
}

/// Whether two names are equal, without showing how long the equal part is.
pub(crate) fn same(one: &str, other: &str) -> Choice {
    Secret::plain(one).matches(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_itself_only() {
        let is = |secret: &Secret, sent: &str| bool::from(secret.matches(sent));
        let plain = Secret::of_supervisord("thepassword");
        assert!(is(&plain, "thepassword") && !is(&plain, "thepassworD") && !is(&plain, ""));
        // The example of supervisord's own documentation.
        let hash = "82ab876d1387bfafe46cc1c8a2ef074eae50cb1d";
        let hashed = Secret::of_supervisord(&format!("{{SHA}}{hash}"));
        assert!(is(&hashed, "thepassword") && !is(&hashed, hash) && !is(&hashed, "x"));
        let large = Secret::of_supervisord(&format!("{{SHA}}{}", hash.to_uppercase()));
        assert!(!is(&large, "thepassword"), "as the original");
        assert!(!is(&Secret::of_supervisord("{SHA}"), ""));
        assert_eq!(format!("{plain:?}"), "***");
    }
}
