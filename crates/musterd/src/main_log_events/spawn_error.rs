//! Why a process could not be started, in supervisord's words.

use muster_spec::{ProcessSpec, SpawnError, SpawnStep};
use muster_supervisord::python::repr;
use nix::errno::Errno;

/// The text behind `spawnerr: `, for a process of this name.
pub(crate) fn text(error: &SpawnError, process: &ProcessSpec, name: &str) -> String {
    let errno = Errno::from_raw(error.errno);
    let command = process.command.first().map(String::as_str).unwrap_or_default();
    let quoted = repr(command);
    match (error.step, errno) {
        (SpawnStep::Exec, Errno::ENOENT) => format!("can't find command {quoted}"),
        (SpawnStep::Exec, Errno::EISDIR) => format!("command at {quoted} is a directory"),
        (SpawnStep::Exec, Errno::EACCES) => format!("command at {quoted} is not executable"),
        (SpawnStep::Exec, Errno::EPERM) => format!("no permission to run command {quoted}"),
        (SpawnStep::Exec, errno) if error.errno != 0 => format!("couldn't exec {command}: {errno:?}"),
        (SpawnStep::Chdir, errno) => {
            let directory = process.directory.as_deref().unwrap_or_else(|| "/".as_ref());
            format!("couldn't chdir to {}: {errno:?}", directory.display())
        }
        (SpawnStep::User, _) => {
            let user = process.user.as_ref().map_or("", |user| user.user.as_str());
            format!("couldn't setuid to {user}: {}", error.message)
        }
        (SpawnStep::Fork, Errno::EAGAIN) => format!("Too many processes in process table to spawn '{name}'"),
        (SpawnStep::Fork, errno) => format!("unknown error during fork for '{name}': {errno:?}"),
        (SpawnStep::Prepare, Errno::EMFILE) => format!("too many open files to spawn '{name}'"),
        (SpawnStep::Prepare, errno) if error.errno != 0 => {
            format!("unknown error making dispatchers for '{name}': {errno:?}")
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
        let said = |step, errno: i32| {
            let error = SpawnError { step, errno, message: "can't parse command".to_owned() };
            text(&error, &process, "web")
        };
        for (step, errno, expected) in [
            (SpawnStep::Exec, Errno::ENOENT, "can't find command \"it's\""),
            (SpawnStep::Exec, Errno::EACCES, "command at \"it's\" is not executable"),
            (SpawnStep::Exec, Errno::ENOEXEC, "couldn't exec it's: ENOEXEC"),
            (SpawnStep::Chdir, Errno::ENOENT, "couldn't chdir to /none: ENOENT"),
            (SpawnStep::Fork, Errno::EAGAIN, "Too many processes in process table to spawn 'web'"),
            (SpawnStep::Prepare, Errno::EMFILE, "too many open files to spawn 'web'"),
            (SpawnStep::Prepare, Errno::EISDIR, "unknown error making dispatchers for 'web': EISDIR"),
        ] {
            assert_eq!(said(step, errno as i32), expected);
        }
        assert_eq!(said(SpawnStep::Prepare, 0), "can't parse command");
    }
}
