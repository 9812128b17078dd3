//! How a log file is managed: when it is rotated, who may own it, and the mode of new files.
//!
//! Small and copied, because every stream that writes to a file has one.

use std::path::{Component, Path, PathBuf};

use muster_spec::{InstanceSpec, Rotation, Sink};
use muster_sys::trusted::{Creation, Identity, Trust};
use muster_sys::user::{Accounts, LookupError};

use super::Source;

/// How the log files of an instance are managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FilePolicy {
    pub(super) rotation: Rotation,
    /// The user and group of the program, if it has one.
    user: Option<(u32, u32)>,
    /// Whether that user is also in group 0, and can write where that group can.
    is_in_group_0: bool,
    /// Whether it is the daemon's own file, which no program uses.
    is_own: bool,
    pub(super) creation: Creation,
}

impl From<Rotation> for FilePolicy {
    fn from(rotation: Rotation) -> FilePolicy {
        FilePolicy { rotation, user: None, is_in_group_0: false, is_own: false, creation: Creation::default() }
    }
}

impl FilePolicy {
    /// The policy of one stream of an instance. Fails for users and groups that do not exist.
    fn of(spec: &InstanceSpec, source: Source, accounts: &mut Accounts) -> Result<FilePolicy, LookupError> {
        let own_gid = nix::unistd::getegid().as_raw();
        let mut find = |user| accounts.account(user, own_gid);
        let user = spec.process.user.as_ref().map(&mut find).transpose()?;
        let is_in_group_0 = user.as_ref().is_some_and(|user| user.groups.contains(&0));
        let user = user.map(|user| (user.uid, user.gid));
        let (rotation, mode) = (source.of(spec.output.rotation), spec.output.file_mode);
        let owner = spec.output.file_owner.as_ref().map(find).transpose()?.map(|owner| (owner.uid, owner.gid));
        Ok(FilePolicy { rotation, user, is_in_group_0, is_own: false, creation: Creation { mode, owner } })
    }

    /// The policy of the daemon's own log file.
    pub(super) fn own(rotation: Rotation) -> FilePolicy {
        FilePolicy { is_own: true, ..FilePolicy::from(rotation) }
    }

    /// The policy of a file whose name the daemon chose: it belongs to the daemon, and no other user may read it.
    fn auto(rotation: Rotation) -> FilePolicy {
        FilePolicy { creation: Creation { mode: 0o600, owner: None }, ..FilePolicy::own(rotation) }
    }

    pub(super) fn trust(&self) -> Trust {
        if self.is_own {
            return Trust::own();
        }
        let user = self.user.map(|(uid, gid)| {
            let groups = if self.is_in_group_0 { vec![gid, 0] } else { vec![gid] };
            Identity { uid, gid, groups }
        });
        Trust::program(user).with_file_owner(self.creation.owner.map(|(uid, _)| uid))
    }
}

/// The files among the sinks of one stream, with their policies. Fails for users and groups that do not exist.
pub(super) fn files(
    spec: &InstanceSpec,
    source: Source,
    sinks: &[Sink],
    accounts: &mut Accounts,
) -> Result<Vec<(PathBuf, FilePolicy)>, LookupError> {
    if sinks.iter().all(|sink| sink.file().is_none()) {
        return Ok(Vec::new());
    }
    let policy = FilePolicy::of(spec, source, accounts)?;
    let file = |sink: &Sink| match sink {
        Sink::File(path) if !is_own_output(path) => Some((path.clone(), policy)),
        Sink::Auto(Some(path)) => Some((path.clone(), FilePolicy::auto(policy.rotation))),
        _ => None,
    };
    Ok(sinks.iter().filter_map(file).collect())
}

/// Whether a path refers to the daemon's own stdout or stderr.
pub(super) fn is_own_output(path: &Path) -> bool {
    let names: Vec<&str> = path
        .components()
        .filter(|component| *component != Component::RootDir)
        .map(|component| component.as_os_str().to_str().unwrap_or_default())
        .collect();
    let own_pid = std::process::id().to_string();
    path.is_absolute()
        && match names.as_slice() {
            ["dev", "stdout" | "stderr"] | ["dev", "fd", "1" | "2"] => true,
            ["proc", process, "fd", "1" | "2"] => {
                *process == "self" || *process == "thread-self" || *process == own_pid
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_daemons_own_output_are_known_by_name() {
        let own = format!("/proc/{}/fd/1", std::process::id());
        for path in
            ["/dev/stdout", "/dev/stderr", "/dev//fd/1", "/dev/fd/2", "/proc/self/fd/1", "/proc/self/./fd/2", &own]
        {
            assert!(is_own_output(Path::new(path)), "{path}");
        }
        for path in
            ["dev/stdout", "/dev/fd/3", "/dev/stdin", "/proc/4294967295/fd/1", "/srv/dev/stdout", "/dev/stdout/x"]
        {
            assert!(!is_own_output(Path::new(path)), "{path}");
        }
    }
}
