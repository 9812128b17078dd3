//! Logins that are compared with a crypt hash.
//!
//! That takes milliseconds on purpose, so it is no part of a decision here: [`Access`](crate::Access) returns a
//! [`Verification`], the caller runs it where it can wait, and hands in its result.

use muster_spec::CryptHash;
use sha_crypt::{PasswordVerifier, ShaCrypt};
use sha2::{Digest, Sha256};

use crate::identity::Identity;
use crate::secret::same;

/// The longest password, in bytes. A round costs more for a longer one: with 256 bytes about four times as much as with six.
const LONGEST: usize = 128;

/// A password, and the hash that it may be of.
pub struct Verification {
    user: Option<String>,
    hash: CryptHash,
    password: String,
}

/// A user whose password was right, and the hash that says so.
#[derive(Clone)]
pub struct Verified {
    user: String,
    hash: CryptHash,
}

impl Verification {
    /// The comparison that shows whether a user of this name has this password. An unknown name, or one without a hash,
    /// is compared as well, so that the time does not show which names there are.
    pub(crate) fn of(identities: &[Identity], username: &str, password: String) -> Option<Verification> {
        let hashes: Vec<&CryptHash> = identities.iter().filter_map(|identity| identity.hash.as_ref()).collect();
        if password.len() > LONGEST {
            return None;
        }
        let mut own = None;
        for identity in identities {
            if bool::from(same(&identity.username, username)) {
                own = identity.hash.as_ref();
            }
        }
        let hash = own.or_else(|| decoy(&hashes, username))?.clone();
        Some(Verification { user: own.map(|_| username.to_owned()), hash, password })
    }

    /// Compares. This takes milliseconds.
    pub fn run(self) -> Option<Verified> {
        let is_right = ShaCrypt::default().verify_password(self.password.as_bytes(), self.hash.text()).is_ok();
        let user = self.user.filter(|_| is_right)?;
        Some(Verified { user, hash: self.hash })
    }
}

/// The hash that stands for a name without one. Users may have hashes of different cost, so each name has one of theirs, always
/// the same, and a client that does not know the hashes cannot tell which.
fn decoy<'h>(hashes: &[&'h CryptHash], username: &str) -> Option<&'h CryptHash> {
    let mut digest = Sha256::new();
    hashes.iter().for_each(|hash| digest.update(hash.text()));
    let first = digest.chain_update(username).finalize()[..8].try_into().map_or(0, u64::from_le_bytes);
    hashes.get(usize::try_from(first % (hashes.len().max(1) as u64)).unwrap_or(0)).copied()
}

impl Verified {
    /// Whether this is the user, and still has this hash.
    pub(crate) fn is_of(&self, identity: &Identity) -> bool {
        identity.username == self.user && identity.hash.as_ref() == Some(&self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_spec::{IdentitySpec, Password, Role};

    fn user(name: &str, line: &str) -> Identity {
        let spec = IdentitySpec {
            name: name.to_owned(),
            role: Role::Read,
            token_file: None,
            password_file: None,
            uid: None,
            tokens: Vec::new(),
            password: Some(Password::parse(line).unwrap()),
            cert: None,
            cert_sha256: None,
        };
        Identity::new(&spec, None)
    }

    /// Made by `openssl passwd -6` and `-5`, with `-salt abcdefgh` and `-salt 'rounds=1000$xy'`.
    const GEHEIM: [&str; 4] = [
        "$6$abcdefgh$msgktWxVAbjjh3X7lA5LaM7dS/ZfABJL6T4qcRsnjcOTj0kptUvZcrvrXIoO5fgPA9xz6UnF2To2Y7jGc/IZY/",
        "$6$rounds=1000$xy$rLxSrark5Zqg7/mUJc3WQLUJo7MXcQHy2OrlodERjOSQoKl2n4kXJUhBEWY2DNtkD9MGNPSYU7cVRHH.VCaTU0",
        "$5$abcdefgh$azU9PNNJw9essBuwq5yihWY9lFXM0dF54Ph4sAxX.YB",
        "$5$rounds=1000$xy$heLMJXNxwUifvKnIuQxBuwk9LvDKhozn1jq4ddL4vIC",
    ];

    /// The same with `-salt 'rounds=50000$saltsaltsaltsalt'`.
    const COSTLY: &str = "$6$rounds=50000$saltsaltsaltsalt$\
        mfrhKykkuGC/h36CZPztDOfP3PnzSxa.bADOpEfhBjmW56wT7x6yMtC9IC/xF1eDxucsFLnbO9I7zgcbmIEsg0";

    fn verify(users: &[Identity], name: &str, password: &str) -> Option<Verified> {
        Verification::of(users, name, password.to_owned())?.run()
    }

    #[test]
    fn hashes_of_openssl_are_verified() {
        assert!(verify(&[user("a", COSTLY)], "a", "geheim").is_some());
        for hash in GEHEIM {
            let users = [user("plain", "geheim"), user("a", hash)];
            assert!(verify(&users, "a", "geheim").is_some_and(|it| it.is_of(&users[1])), "{hash}");
            for (name, password) in
                [("a", "geheiM"), ("a", ""), ("a", hash), ("b", "geheim"), ("plain", "geheim"), ("", "geheim")]
            {
                assert!(verify(&users, name, password).is_none(), "{hash}: {name} {password}");
            }
        }
    }

    #[test]
    fn an_unknown_name_costs_the_hash_of_one_of_the_users_and_always_the_same() {
        let users = [user("a", GEHEIM[1]), user("b", GEHEIM[3]), user("plain", "geheim")];
        let hash = |name: &str| Verification::of(&users, name, "x".to_owned()).map(|it| it.hash.text().to_owned());
        assert_eq!((hash("a").as_deref(), hash("b").as_deref()), (Some(GEHEIM[1]), Some(GEHEIM[3])));
        let of_strangers: Vec<_> = (0..64).map(|number| hash(&format!("stranger{number}"))).collect();
        assert!(of_strangers.iter().all(Option::is_some) && hash("plain").is_some());
        assert!(GEHEIM[1..].iter().step_by(2).all(|of| of_strangers.iter().any(|it| it.as_deref() == Some(of))));
        assert_eq!(hash("stranger1"), hash("stranger1"));
    }

    #[test]
    fn nothing_is_computed_without_hashes_or_for_a_long_password() {
        let plain = [user("plain", "geheim")];
        assert!(Verification::of(&plain, "plain", "x".to_owned()).is_none());
        let users = [user("a", GEHEIM[0])];
        assert!(Verification::of(&users, "a", "x".repeat(LONGEST)).is_some());
        assert!(Verification::of(&users, "a", "x".repeat(LONGEST + 1)).is_none());
    }

    #[test]
    fn a_user_with_another_hash_is_another_one() {
        let verified = verify(&[user("a", GEHEIM[1])], "a", "geheim").unwrap();
        assert!(!verified.is_of(&user("a", GEHEIM[3])) && !verified.is_of(&user("b", GEHEIM[1])));
        assert!(!verified.is_of(&user("a", "geheim")));
    }
}
