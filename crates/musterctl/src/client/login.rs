//! The login that is sent to a daemon on the network. Secrets come from files, variables or a terminal, never from the command line.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use muster_api::encode_base64;

/// Maximum size of a file with a secret.
const FILE_MAX: u64 = 64 * 1024;

/// A login, as the value of an `Authorization` header. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login(String);

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

impl Login {
    /// A token. The error does not quote it.
    pub(crate) fn token(token: &str) -> Result<Login, String> {
        let is_fit = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if is_fit {
            Ok(Login(format!("Bearer {token}")))
        } else {
            Err("it is not a token: use visible ASCII".to_owned())
        }
    }

    /// The token in the value of a variable.
    pub(crate) fn token_of(value: &OsStr) -> Result<Login, String> {
        Login::token(value.to_str().unwrap_or_default().trim())
    }

    /// The first token in a file; lines that begin with `#` are comments, as in the daemon's.
    pub(crate) fn token_in(path: &Path) -> Result<Login, String> {
        let text = read(path)?;
        let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        Login::token(first.ok_or("it has no token")?)
    }

    /// A user with a password.
    pub(crate) fn password(user: &str, password: &str) -> Result<Login, String> {
        if user.is_empty() || user.contains(|character: char| character == ':' || character.is_control()) {
            return Err("the name of a user has no colon and no control characters".to_owned());
        }
        if password.is_empty() || password.contains(char::is_control) {
            return Err("the password is empty or has control characters".to_owned());
        }
        Ok(Login(format!("Basic {}", encode_base64(format!("{user}:{password}").as_bytes()))))
    }

    /// A user with the password in the first line of a file.
    pub(crate) fn password_in(user: &str, path: &Path) -> Result<Login, String> {
        let text = read(path)?;
        Login::password(user, text.lines().next().unwrap_or_default())
    }

    /// The value of the header.
    pub(super) fn header(&self) -> &str {
        &self.0
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let opened = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text));
    match opened {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(size) if size as u64 > FILE_MAX => Err("it is too large".to_owned()),
        Ok(_) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_become_headers_and_are_not_shown() {
        assert_eq!(Login::token("abc.DEF-1").unwrap().header(), "Bearer abc.DEF-1");
        let basic = Login::password("me", "secret").unwrap();
        assert_eq!(basic.header(), "Basic bWU6c2VjcmV0");
        assert_eq!(format!("{basic:?}"), "Login(…)");
    }

    #[test]
    fn what_would_end_the_header_is_refused_without_quoting_it() {
        for error in [
            Login::token("hunter2\r\nx: y"),
            Login::token(""),
            Login::token("hunter2 x"),
            Login::password("a:b", "hunter2"),
            Login::password("a", "hunter2\n"),
        ] {
            assert!(!error.unwrap_err().contains("hunter2"));
        }
    }

    #[test]
    fn files_may_have_comments_and_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("# of deploy\n\n  one-token  \nsecond\n");
        assert_eq!(Login::token_in(&path).unwrap().header(), "Bearer one-token");
        write("pass word\n");
        assert_eq!(Login::password_in("me", &path).unwrap(), Login::password("me", "pass word").unwrap());
        write("# nothing\n");
        assert_eq!(Login::token_in(&path).unwrap_err(), "it has no token");
        write(&"x".repeat(70_000));
        assert_eq!(Login::token_in(&path).unwrap_err(), "it is too large");
        assert!(Login::token_in(Path::new("/nonexistent/t")).unwrap_err().contains("No such file"));
        assert_eq!(Login::token_in(Path::new("/dev/zero")).unwrap_err(), "it is too large");
    }
}
