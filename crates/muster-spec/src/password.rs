//! The password of a user of the API: itself, or its crypt hash.

/// Rounds of a hash that names none.
const DEFAULT_ROUNDS: u32 = 5_000;

/// The fewest rounds: `crypt` silently takes this number for a lower one.
const FEWEST_ROUNDS: u32 = 1_000;

/// The most rounds. Each login that is not remembered costs as many, and any client can ask for it.
const MOST_ROUNDS: u32 = 50_000;

/// The longest salt: `crypt` silently cuts longer ones.
const LONGEST_SALT: usize = 16;

/// The form of hashes that are accepted.
const ACCEPTED: &str = "a line that begins with `$` must be a hash as `openssl passwd -6` prints it: $6$ (SHA-512) or $5$ \
                        (SHA-256) of crypt";

/// A password. It has no debug form.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// The password itself.
    Plain(String),
    /// Its hash.
    Hash(CryptHash),
}

impl Password {
    /// A line of a password file, or what is wrong with it. No message quotes the line.
    pub fn parse(line: &str) -> Result<Password, String> {
        // Taken as the password itself, a hash would let in everyone who has seen it.
        match line.starts_with('$') {
            true => CryptHash::parse(line).map(Password::Hash),
            false => Ok(Password::Plain(line.to_owned())),
        }
    }
}

/// A hash of crypt(5) with a bounded number of rounds: `$6$salt$hash`, `$5$…`, or `$6$rounds=N$salt$hash`.
#[derive(Clone, PartialEq, Eq)]
pub struct CryptHash(String);

impl CryptHash {
    /// The hash in this text, or what is wrong with it.
    pub fn parse(text: &str) -> Result<CryptHash, String> {
        let accepted = || format!("has no password that is known here: {ACCEPTED}");
        let (length, rest) = match (text.strip_prefix("$6$"), text.strip_prefix("$5$")) {
            (Some(rest), _) => (86, rest),
            (_, Some(rest)) => (43, rest),
            _ => return Err(accepted()),
        };
        let (rounds, rest) = match rest.strip_prefix("rounds=") {
            Some(rest) => rest.split_once('$').ok_or_else(accepted)?,
            None => ("", rest),
        };
        let is_canonical = rounds.bytes().all(|byte| byte.is_ascii_digit()) && !rounds.starts_with('0');
        let rounds = if rounds.is_empty() && !text.contains("rounds=") {
            DEFAULT_ROUNDS
        } else if is_canonical && !rounds.is_empty() {
            // More digits than fit are more rounds than are allowed.
            rounds.parse().unwrap_or(u32::MAX)
        } else {
            return Err(accepted());
        };
        if !(FEWEST_ROUNDS..=MOST_ROUNDS).contains(&rounds) {
            return Err(format!("has a hash with a number of rounds outside {FEWEST_ROUNDS} to {MOST_ROUNDS}"));
        }
        let (salt, hash) = rest.split_once('$').ok_or_else(accepted)?;
        let is_of_crypt = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
        let is_right = (1..=LONGEST_SALT).contains(&salt.len()) && hash.len() == length;
        if !(is_right && is_of_crypt(salt) && is_of_crypt(hash)) {
            return Err(accepted());
        }
        Ok(CryptHash(text.to_owned()))
    }

    /// The hash as it was written.
    pub fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "azU9PNNJw9essBuwq5yihWY9lFXM0dF54Ph4sAxX.YB";
    const SHA512: &str = "msgktWxVAbjjh3X7lA5LaM7dS/ZfABJL6T4qcRsnjcOTj0kptUvZcrvrXIoO5fgPA9xz6UnF2To2Y7jGc/IZY/";

    fn parse(text: &str) -> Result<bool, String> {
        let text = text.replace("H5", SHA256).replace("H6", SHA512);
        Password::parse(&text).map(|password| matches!(password, Password::Hash(_)))
    }

    #[test]
    fn hashes_are_told_from_passwords() {
        assert_eq!(parse("geheim"), Ok(false));
        for text in ["$6$abcdefgh$H6", "$5$abcdefgh$H5", "$6$rounds=1000$x$H6", "$5$rounds=50000$0123456789abcdef$H5"] {
            assert_eq!(parse(text), Ok(true), "{text}");
        }
    }

    #[test]
    fn other_hashes_are_refused_with_what_is_accepted() {
        for text in [
            "$",
            "$6$",
            "$6$$H6",
            "$6$abc$H5",
            "$5$abc$H6",
            "$6$abc$H6$",
            "$6$abc$H6:",
            "$6$a:c$H6",
            "$6$0123456789abcdefg$H6",
            "$6$rounds=$x$H6",
            "$6$rounds=05000$x$H6",
            "$6$rounds=+5000$x$H6",
            "$6$rounds=5000$H6",
            "$1$abcdefgh$H6",
            "$y$j9T$abc$H5",
            "$2b$10$abc",
            "$argon2id$v=19$m=65536$a$b",
            "$6x$abc$H6",
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains("openssl passwd -6") && !problem.contains("msgk"), "{text}: {problem}");
        }
    }

    #[test]
    fn rounds_are_bounded() {
        for rounds in ["50001", "999", "1", "999999999", "99999999999999999999"] {
            let problem = parse(&format!("$6$rounds={rounds}$x$H6")).unwrap_err();
            assert!(problem.contains("1000 to 50000"), "{rounds}: {problem}");
        }
    }
}
