//! The client that a request comes from.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name of an identity, in bytes.
pub const LONGEST_IDENTITY: usize = 32;

/// A client that asks the daemon for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// A client that did not log in, where that is allowed.
    Anyone,
    /// A user id, as the kernel reports it.
    Uid(u32),
    /// An identity that has logged in.
    Identity(IdentityName),
}

/// The name of an identity, cut at [`LONGEST_IDENTITY`] bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdentityName {
    bytes: [u8; LONGEST_IDENTITY],
    length: u8,
}

impl IdentityName {
    /// The beginning of a text, in whole characters.
    pub fn of(text: &str) -> IdentityName {
        let cut = text.floor_char_boundary(LONGEST_IDENTITY);
        let mut bytes = [0; LONGEST_IDENTITY];
        bytes[..cut].copy_from_slice(&text.as_bytes()[..cut]);
        IdentityName { bytes, length: cut as u8 }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl Serialize for IdentityName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_str().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for IdentityName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<IdentityName, D::Error> {
        Ok(IdentityName::of(&String::deserialize(deserializer)?))
    }
}

impl fmt::Debug for IdentityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Anyone => f.write_str("a client without a login"),
            Principal::Uid(uid) => write!(f, "user id {uid}"),
            Principal::Identity(name) => f.write_str(name.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_in_whole_characters() {
        assert_eq!(IdentityName::of("deploy").as_str(), "deploy");
        assert_eq!(IdentityName::of(&"é".repeat(40)).as_str(), "é".repeat(16));
        assert_eq!(IdentityName::of(&format!("x{}", "é".repeat(40))).as_str(), format!("x{}", "é".repeat(15)));
        assert_eq!(Principal::Identity(IdentityName::of("")).to_string(), "");
    }
}
