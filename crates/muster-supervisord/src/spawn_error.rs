//! Why a process could not be started, in supervisord's words.

use muster_spec::{ProcessSpec, SpawnError, SpawnStep};

use crate::python::repr;

/// The text behind `spawnerr: `, for a process of this name. `errno` is the name of the error's number.
pub fn text(error: &SpawnError, errno: &str, process: &ProcessSpec, name: &str) -> String {
    let command = process.command.first().map(String::as_str).unwrap_or_default();
    let quoted = repr(command);
    // The command could not be made of the text at all.
    if process.refusal.is_some() && error.step == SpawnStep::Prepare {
        return error.message.clone();
    }
    match (error.step, errno) {
        (SpawnStep::Exec, "ENOENT") => format!("can't find command {quoted}"),
        (SpawnStep::Exec, "EISDIR") => format!("command at {quoted} is a directory"),
        // The kernel has one number for both.
        (SpawnStep::Exec, "EACCES") if error.message.contains("is a directory") => {
            format!("command at {quoted} is a directory")
        }
        (SpawnStep::Exec, "EACCES") => format!("command at {quoted} is not executable"),
        (SpawnStep::Exec, "EPERM") => format!("no permission to run command {quoted}"),
        (SpawnStep::Exec, errno) if error.errno != 0 => format!("couldn't exec {command}: {errno}"),
        (SpawnStep::Chdir, errno) => {
            let directory = process.directory.as_deref().unwrap_or_else(|| "/".as_ref());
            format!("couldn't chdir to {}: {errno}", directory.display())
        }
        (SpawnStep::User, _) => {
            let user = process.user.as_ref().map_or("", |user| user.user.as_str());
            format!("couldn't setuid to {user}: {}", error.message)
        }
        (SpawnStep::Fork, "EAGAIN") => format!("Too many processes in process table to spawn '{name}'"),
        (SpawnStep::Fork, errno) => format!("unknown error during fork for '{name}': {errno}"),
        (SpawnStep::Prepare, "EMFILE") => format!("too many open files to spawn '{name}'"),
        (SpawnStep::Prepare, errno) if error.errno != 0 => {
            format!("unknown error making dispatchers for '{name}': {errno}")
        }
        _ => error.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_text() {
        let mut process = ProcessSpec::of(vec!["it's".to_owned(), "x".to_owned()]);
        process.directory = Some("/none".into());
        let said = |step, errno: &str| {
            let number = i32::from(!errno.is_empty());
            let error = SpawnError { step, errno: number, message: "can't parse command".to_owned() };
            text(&error, errno, &process, "web")
        };
        for (step, errno, expected) in [
            (SpawnStep::Exec, "ENOENT", "can't find command \"it's\""),
            (SpawnStep::Exec, "EACCES", "command at \"it's\" is not executable"),
            (SpawnStep::Exec, "ENOEXEC", "couldn't exec it's: ENOEXEC"),
            (SpawnStep::Chdir, "ENOENT", "couldn't chdir to /none: ENOENT"),
            (SpawnStep::Fork, "EAGAIN", "Too many processes in process table to spawn 'web'"),
            (SpawnStep::Prepare, "EMFILE", "too many open files to spawn 'web'"),
            (SpawnStep::Prepare, "EISDIR", "unknown error making dispatchers for 'web': EISDIR"),
        ] {
            assert_eq!(said(step, errno), expected);
        }
        assert_eq!(said(SpawnStep::Prepare, ""), "can't parse command");
        let directory = SpawnError { step: SpawnStep::Exec, errno: 13, message: "/tmp: is a directory".to_owned() };
        assert_eq!(text(&directory, "EACCES", &process, "web"), "command at \"it's\" is a directory");
        let empty = ProcessSpec { refusal: Some("command is empty".to_owned()), ..process };
        let refused = SpawnError { step: SpawnStep::Prepare, errno: 22, message: "command is empty".to_owned() };
        assert_eq!(text(&refused, "EINVAL", &empty, "web"), "command is empty");
    }
}
