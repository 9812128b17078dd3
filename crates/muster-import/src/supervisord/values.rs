//! Text to values. Each reader refuses what the original refuses, with the original's reason.

use super::model::{Autorestart, Level, LogFile, Owner, Signal};
use super::paths;
use super::world::{Account, User, World};
use muster_supervisord::python::{self, repr, strip};
use muster_supervisord::signals;

/// A value, or the original's reason against it.
pub(super) type Read<T> = Result<T, String>;

pub(super) fn whole(text: &str) -> Read<i64> {
    python::int(text).ok_or_else(|| not_whole(text))
}

/// Python shows at most 200 characters of the representation.
fn not_whole(text: &str) -> String {
    let shown: String = repr(text).chars().take(200).collect();
    format!("invalid literal for int() with base 10: {shown}")
}

fn truth(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Some(true),
        "no" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

pub(super) fn boolean(text: &str) -> Read<bool> {
    truth(text).ok_or_else(|| format!("not a valid boolean value: {}", repr(text)))
}

pub(super) fn bytes(text: &str) -> Read<i64> {
    let lower = text.to_lowercase();
    let units = [("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30)];
    let unit = units.iter().find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.unwrap_or((&lower, 1));
    Ok(whole(number)?.saturating_mul(factor))
}

pub(super) fn octal(text: &str) -> Read<i64> {
    python::octal(text).ok_or_else(|| format!("{text} can not be converted to an octal type"))
}

pub(super) fn exit_codes(text: &str) -> Read<Vec<u8>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let code = |word: &str| python::int(word).and_then(|code| u8::try_from(code).ok());
    let codes = text.split(',').map(code).collect::<Option<Vec<u8>>>();
    codes.ok_or_else(|| format!("not a valid list of exit codes: {}", repr(text)))
}

pub(super) fn autorestart(text: &str) -> Read<Autorestart> {
    let lower = text.to_lowercase();
    match truth(&lower) {
        Some(true) => Ok(Autorestart::Always),
        Some(false) => Ok(Autorestart::Never),
        None if lower == "unexpected" => Ok(Autorestart::Unexpected),
        None => Err(format!("invalid 'autorestart' value {}", repr(&lower))),
    }
}

pub(super) fn level(text: &str) -> Read<Level> {
    let lower = text.to_lowercase();
    Level::ALL
        .into_iter()
        .find(|level| level.name() == lower)
        .ok_or_else(|| format!("bad logging level name {}", repr(text)))
}

/// Words with commas between; an empty text is an empty list.
pub(super) fn list(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split(',').map(strip).collect() }
}

/// A name of a process or a group, before expansion.
pub(super) fn name(text: &str) -> Read<&str> {
    let stripped = strip(text);
    match [' ', ':', '/'].into_iter().find(|c| stripped.contains(*c)) {
        Some(c) => Err(format!("Invalid name: {} because of character: {}", repr(text), repr(&c.to_string()))),
        None => Ok(stripped),
    }
}

pub(super) fn signal(text: &str) -> Read<Signal> {
    signals::parse(text).map(Signal)
}

/// A number of the database, which holds 32 bits.
fn id(number: i64) -> Option<u32> {
    u32::try_from(number).ok()
}

pub(super) fn user(text: &str, world: &dyn World) -> Read<User> {
    match python::int(text) {
        Some(number) => {
            let found = id(number).and_then(|id| world.user(Account::Id(id)));
            found.ok_or_else(|| format!("Invalid user id {text}"))
        }
        None => world.user(Account::Name(text)).ok_or_else(|| format!("Invalid user name {text}")),
    }
}

/// `user` or `user:group`; the caller has its own words for what is wrong.
pub(super) fn owner(text: &str, world: &dyn World) -> Option<Owner> {
    let (name, group) = match text.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (text, None),
    };
    let user = user(name, world).ok()?;
    let Some(group) = group else { return Some(Owner { user, group: None }) };
    let found = match python::int(group) {
        Some(number) => id(number).and_then(|id| world.group(Account::Id(id))),
        None => world.group(Account::Name(group)),
    };
    Some(Owner { user, group: Some(found?) })
}

pub(super) fn existing_directory(text: &str, world: &dyn World) -> Read<String> {
    let path = paths::expand_user(text, world);
    if world.is_dir(&path) { Ok(path) } else { Err(format!("{text} is not an existing directory")) }
}

/// A path whose directory exists; a name alone is in the working directory.
pub(super) fn path(text: &str, world: &dyn World) -> Read<String> {
    let path = paths::expand_user(text, world);
    match paths::directory(&path) {
        "" => Ok(path),
        directory if world.is_dir(directory) => Ok(path),
        _ => Err(format!("The directory named as part of the path {text} does not exist")),
    }
}

/// A log file, and whether the deprecated `syslog` stands for it.
pub(super) fn log_file(text: &str, world: &dyn World) -> Read<(LogFile, bool)> {
    match text.to_lowercase().as_str() {
        "none" | "off" => Ok((LogFile::None, false)),
        "auto" => Ok((LogFile::Auto, false)),
        "syslog" => Ok((LogFile::None, true)),
        _ => Ok((LogFile::Path(path(text, world)?), false)),
    }
}

/// A port number in Python's bounds.
pub(super) fn port(text: &str) -> Read<u16> {
    port_number(whole(text)?)
}

pub(super) fn port_number(number: i64) -> Read<u16> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ if number < 1 => Err(format!("{number} is below lower bound (1)")),
        _ => Err(format!("{number} is above upper bound (65535)")),
    }
}

/// Host and port; an empty host is every address.
pub(super) fn inet_address(text: &str) -> Read<(String, u16)> {
    let Some((host, number)) = text.rsplit_once(':') else {
        let port = port(text).map_err(|_| format!("not a valid port number: {} ", repr(text)))?;
        return Ok((String::new(), port));
    };
    if number.is_empty() {
        return Err("no port number specified in ''".to_owned());
    }
    let port = port(number)?;
    let host = host.to_lowercase();
    Ok((if host == "*" { String::new() } else { host }, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_python_s_names() {
        assert_eq!(signal("_IGN"), Ok(Signal(1)));
        assert_eq!(Signal(1).name(), Some("HUP"));
        assert_eq!(Signal(29).name(), Some("IO"));
        assert_eq!(Signal(0).name(), None);
    }

    #[test]
    fn lists_keep_an_empty_last_word() {
        assert_eq!(list(""), [""; 0]);
        assert_eq!(list(" a ,b,"), ["a", "b", ""]);
    }

    #[test]
    fn a_long_value_is_cut_in_the_message() {
        assert_eq!(not_whole(&"x".repeat(500)).len(), "invalid literal for int() with base 10: ".len() + 200);
    }

    #[test]
    fn names_are_stripped_before_they_are_checked() {
        assert_eq!(name("\u{a0} a\t"), Ok("a"));
        assert_eq!(name(" a b "), Err("Invalid name: ' a b ' because of character: ' '".to_owned()));
        assert_eq!(name("a:/"), Err("Invalid name: 'a:/' because of character: ':'".to_owned()));
    }
}
