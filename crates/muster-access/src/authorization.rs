//! The `Authorization` header: `Basic` (RFC 7617) and `Bearer` (RFC 6750).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The longest name, password or token that is looked at, in bytes.
const LONGEST: usize = 1024;

/// The login that a client sends.
#[derive(Clone, PartialEq, Eq)]
pub enum Authorization {
    /// A user name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// A token.
    Bearer(String),
}

/// Parses a header's value. `None` is another scheme, or no valid login.
pub fn parse(header: &[u8]) -> Option<Authorization> {
    let text = str::from_utf8(header).ok()?;
    let (scheme, rest) = text.trim().split_once(' ')?;
    let rest = rest.trim_start();
    if rest.len() > 2 * LONGEST {
        return None;
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return (!rest.is_empty()).then(|| Authorization::Bearer(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (username, password) = decoded.split_once(':')?;
    Some(Authorization::Basic { username: username.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_are_read_and_nothing_else() {
        let basic = |username: &str, password: &str| {
            Some(Authorization::Basic { username: username.to_owned(), password: password.to_owned() })
        };
        let bearer = |token: &str| Some(Authorization::Bearer(token.to_owned()));
        for (header, expected) in [
            ("Basic dTpw", basic("u", "p")),
            ("basic  dTpwOnE=", basic("u", "p:q")),
            ("BASIC Og==", basic("", "")),
            ("Bearer abc", bearer("abc")),
            ("Bearer ", None),
            ("Basic dTpw!", None),
            ("Basic dXA=", None),
            ("Basic /////w==", None),
            ("Digest dTpw", None),
            ("Basic", None),
            ("", None),
        ] {
            assert!(parse(header.as_bytes()) == expected, "{header}");
        }
        assert!(parse(b"Bearer \xff").is_none());
        assert!(parse(format!("Bearer {}", "x".repeat(4096)).as_bytes()).is_none());
    }
}
