//! Files with secrets of `[http]`: tokens, passwords, and the certificates and keys of listeners.
//!
//! Read with the configuration, and again whenever they change, by the same rules. A file that is wrong then changes
//! nothing. No message quotes a secret.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use muster_spec::{ControlSpec, Password, SecretFile};

use crate::source::{LARGEST, Opener, ReadError, Role, as_text};

/// The shortest token, in characters.
const SHORTEST_TOKEN: usize = 20;

/// The most tokens of a user.
const MOST_TOKENS: usize = 8;

/// Where platforms put secrets, with modes of their own choice.
const PLATFORMS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

/// Whether only the owner and a group may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Private {
    /// As the administrator likes.
    No,
    /// No other user.
    Yes,
}

/// The tokens in a file, or what is wrong with it.
pub(crate) fn tokens(text: &str) -> Result<Vec<String>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let texts: Vec<String> = lines.map(str::to_owned).collect();
    match () {
        () if texts.is_empty() => Err("has no token".to_owned()),
        () if texts.len() > MOST_TOKENS => Err(format!("has more than {MOST_TOKENS} tokens")),
        () if texts.iter().any(|token| is_weak(token)) => {
            Err(format!("has a token of fewer than {SHORTEST_TOKEN} characters, or of one repeated character"))
        }
        () => Ok(texts),
    }
}

/// Whether a token can be guessed.
fn is_weak(token: &str) -> bool {
    let first = token.chars().next();
    token.chars().count() < SHORTEST_TOKEN || token.chars().all(|letter| Some(letter) == first)
}

/// The password in a file, or what is wrong with it.
pub(crate) fn password(text: &str) -> Result<Password, String> {
    let password = text.trim_end_matches(['\r', '\n']);
    match () {
        () if password.is_empty() => Err("is empty".to_owned()),
        () if password.contains('\n') => Err("has more than one line".to_owned()),
        () => Password::parse(password),
    }
}

/// Reads a file that other users may have to be kept from.
pub(crate) fn read(open: &Opener, path: &Path, role: Role<'_>, private: Private) -> Result<String, ReadError> {
    let file = open(path, role).map_err(ReadError::of)?;
    if private == Private::Yes && !is_platforms(path) && is_world_readable(&file) {
        return Err(ReadError::Exposed);
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(ReadError::of)?;
    as_text(bytes)
}

fn is_world_readable(file: &fs::File) -> bool {
    file.metadata().map_or(true, |about| about.permissions().mode() & 0o004 != 0)
}

fn is_platforms(path: &Path) -> bool {
    let is_plain = !path.components().any(|part| part == Component::ParentDir);
    is_plain && PLATFORMS.iter().any(|directory| path.starts_with(directory))
}

/// The same configuration with the secrets that its files have now. An error names the file that is wrong.
pub fn read_secrets_again(control: &ControlSpec, open: &Opener) -> Result<ControlSpec, String> {
    let read = |path: &Path, private| {
        let by = control.secret_files.iter().find(|file| file.path == path).map_or(path, |file| &file.named_by);
        let text = read(open, path, Role::Environment { by, user: None }, private);
        text.map_err(|error| format!("{} cannot be read: {}", path.display(), error.describe()))
    };
    let mut new = control.clone();
    for identity in &mut new.identities {
        if let Some(path) = &identity.token_file {
            identity.tokens =
                tokens(&read(path, Private::No)?).map_err(|problem| format!("{} {problem}", path.display()))?;
        }
        if let Some(path) = &identity.password_file {
            let password = password(&read(path, Private::No)?);
            identity.password = Some(password.map_err(|problem| format!("{} {problem}", path.display()))?);
        }
    }
    for tls in new.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut()) {
        for (part, file) in tls.files_mut() {
            let private = if part == muster_spec::TlsPart::Key { Private::Yes } else { Private::No };
            file.text = read(&file.path, private)?;
        }
    }
    Ok(new)
}

/// Adds a file with its namer, once.
pub(crate) fn note(files: &mut Vec<SecretFile>, path: &Path, named_by: &Path) {
    let file = SecretFile { path: path.to_owned(), named_by: named_by.to_owned() };
    if !files.contains(&file) {
        files.push(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_or_a_hash() {
        let hash = format!("$5$salt${}\r\n", "x".repeat(43));
        for (text, is_right) in
            [("plain\n", true), (&*hash, true), ("$6$salt$hash", false), ("", false), ("a\nb", false)]
        {
            assert_eq!(password(text).is_ok(), is_right, "{text}");
        }
        assert!(password(&hash).is_ok_and(|it| matches!(it, Password::Hash(_))));
    }

    #[test]
    fn only_the_directories_of_platforms_may_have_readable_keys() {
        for (path, expected) in [
            ("/run/secrets/tls.key", true),
            ("/var/run/secrets/a/b.key", true),
            ("/run/secrets/../../etc/tls.key", false),
            ("/run/secretsx/tls.key", false),
            ("/etc/tls.key", false),
        ] {
            assert_eq!(is_platforms(Path::new(path)), expected, "{path}");
        }
    }
}
