//! The files, variables and names of this machine.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use muster_supervisord::{paths, search};

/// The largest configuration.
const LARGEST: u64 = 16 << 20;

/// The key of the path of the executable in the auxiliary vector: AT_EXECFN of getauxval(3).
const EXECUTED_FILE: usize = 31;

/// The longest path that the kernel executes.
const LONGEST_PATH: usize = 4096;

/// The path by which this process was started. The first argument may be any text, and for a command that was found in
/// `PATH` it has no directory. Read from /proc: the safe way to the auxiliary vector.
pub(super) fn executed_as() -> Option<OsString> {
    const WORD: usize = size_of::<usize>();
    let vector = fs::read("/proc/self/auxv").ok()?;
    let words: Vec<usize> = vector
        .chunks_exact(WORD)
        .map(|word| word.try_into().map(usize::from_ne_bytes))
        .collect::<Result<_, _>>()
        .ok()?;
    let address = words.chunks_exact(2).find(|pair| pair[0] == EXECUTED_FILE)?[1];
    let mut path = vec![0; LONGEST_PATH];
    let length = File::open("/proc/self/mem").ok()?.read_at(&mut path, u64::try_from(address).ok()?).ok()?;
    path.truncate(path[..length].iter().position(|byte| *byte == 0)?);
    Some(OsString::from_vec(path))
}

/// The first of the usual configurations that exists.
pub(super) fn usual_file() -> Option<String> {
    let executable = executed_as().unwrap_or_default();
    search::find(&executable.to_string_lossy(), |path| Path::new(path).exists()).ok()
}

/// The text of a configuration. An error is a text after `Error: `.
pub(super) fn read(file: &str) -> Result<String, String> {
    if !Path::new(file).exists() {
        return Err(format!("could not find config file {file}"));
    }
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|_| format!("could not read config file {file}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("config file {file} is larger than {LARGEST} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let (at, text) = (error.utf8_error().valid_up_to(), error.as_bytes());
        format!("'utf-8' codec can't decode byte 0x{:02x} in position {at} of config file {file}", text[at])
    })
}

/// The environment.
pub(super) fn variables() -> HashMap<String, String> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

/// A path made absolute, with `~` replaced.
pub(super) fn normalized(path: &str) -> String {
    let cwd = std::env::current_dir().map_or_else(|_| "/".to_owned(), |path| path.to_string_lossy().into_owned());
    let home = |name: &str| match (name, std::env::var("HOME")) {
        ("", Ok(home)) => Some(home),
        ("", Err(_)) => home_of(&fs::read_to_string("/etc/passwd").ok()?, 2, &nix::unistd::getuid().to_string()),
        (name, _) => home_of(&fs::read_to_string("/etc/passwd").ok()?, 0, name),
    };
    paths::absolute(&paths::expand_user(path, home), &cwd)
}

/// The home directory of the user with this value in this column of passwd(5).
fn home_of(users: &str, column: usize, value: &str) -> Option<String> {
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = lines.find(|columns| columns.get(column) == Some(&value))?;
    user.get(5).map(|home| (*home).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executed_file_is_known() {
        let executed = executed_as().expect("/proc is mounted");
        assert_eq!(fs::canonicalize(executed).unwrap(), std::env::current_exe().unwrap());
    }

    #[test]
    fn homes_are_found_by_name_and_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\nbroken\n";
        assert_eq!(home_of(users, 0, "me").as_deref(), Some("/home/me"));
        assert_eq!(home_of(users, 2, "0").as_deref(), Some("/root"));
        assert_eq!(home_of(users, 0, "broken"), None);
    }
}
