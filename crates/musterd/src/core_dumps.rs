//! The core of a process that crashed, in words: where it is, or why there is none.
//!
//! The facts are recorded when the run ends, since the pattern may change later; the file is looked for when a client asks
//! why, with the privileges of the program. For display only.

use std::path::PathBuf;

use muster_spec::{Exit, InstanceSpec, ProcessSpec, Resource, Signal};
use muster_sys::core_dump::{Crashed, LEAST, Pattern};
use muster_sys::limits;
use muster_sys::trusted::Identity;
use muster_sys::user::Accounts;

/// The signals that make the kernel write a core: QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, XCPU, XFSZ and SYS. These numbers are the
/// same on every architecture that musterd is built for.
const DUMPING: [i32; 10] = [3, 4, 5, 6, 7, 8, 11, 24, 25, 31];

/// The core of a run that crashed.
#[derive(Clone, Debug)]
pub(crate) struct CoreDump {
    /// `None` if it could not be read.
    pattern: Option<Pattern>,
    was_written: bool,
    /// The soft limit, and whether the configuration has it.
    limit: (u64, bool),
    pid: u32,
    signal: Signal,
    process: ProcessSpec,
}

impl CoreDump {
    /// The facts about a run's end; `None` if no core is due.
    pub(crate) fn of(exit: Exit, pid: Option<u32>, spec: &InstanceSpec) -> Option<CoreDump> {
        let Exit::Signal { signal, core_dumped } = exit else { return None };
        if !core_dumped && !DUMPING.contains(&signal.number()) {
            return None;
        }
        let configured = spec.process.rlimits.iter().find(|rlimit| rlimit.resource == Resource::Core);
        let limit = configured.map_or_else(|| limits::soft(Resource::Core), |rlimit| rlimit.soft.unwrap_or(u64::MAX));
        // No more of it is shown.
        let process = ProcessSpec {
            user: spec.process.user.clone(),
            directory: spec.process.directory.clone(),
            ..ProcessSpec::of(spec.process.command.first().cloned().into_iter().collect())
        };
        Some(CoreDump {
            pattern: Pattern::current().ok(),
            was_written: core_dumped,
            limit: (limit, configured.is_some()),
            pid: pid?,
            signal,
            process,
        })
    }

    /// Where it is, or why there is none, in a sentence; `None` if its file must be looked for.
    pub(crate) fn in_words(&self) -> Option<String> {
        Some(match (&self.pattern, self.was_written) {
            (None, true) => "core dump: the kernel reports one, and core_pattern says where".to_owned(),
            (None, false) => "core dump: not written".to_owned(),
            (Some(Pattern::Handler(handler)), true) => {
                format!("core dump: the host's handler {handler} has it (core_pattern)")
            }
            (Some(Pattern::Handler(handler)), false) => {
                format!("core dump: the host's handler {handler} (core_pattern) did not take it")
            }
            (Some(Pattern::Socket(socket)), true) => {
                format!("core dump: the host's server on {socket} has it (core_pattern)")
            }
            (Some(Pattern::Socket(socket)), false) => {
                format!("core dump: the host's server on {socket} (core_pattern) did not take it")
            }
            (Some(Pattern::Nowhere), _) => "core dump: not written: kernel.core_pattern is empty".to_owned(),
            (Some(Pattern::File(_)), false) if self.limit.0 < LEAST => self.limited(),
            (Some(Pattern::File(_)), false) => {
                "core dump: not written: the directory may not be writable for the program, or it changed its user or limit"
                    .to_owned()
            }
            (Some(Pattern::File(_)), true) => return None,
        })
    }

    fn limited(&self) -> String {
        match self.limit {
            (limit, true) => format!("core dump: not written: rlimits.core is {limit}"),
            (limit, false) => {
                format!("core dump: not written: the limit is {limit}; hint: rlimits = {{ core = \"unlimited\" }}")
            }
        }
    }

    /// Looks for the file. Never call it on the loop.
    pub(crate) fn find(&self) -> String {
        let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let account = self.process.user.as_ref().map(|user| Accounts::default().account(user, own.1));
        let user = match account.transpose() {
            Ok(account) => account.as_ref().map(Identity::from).filter(|user| user.uid != own.0),
            Err(error) => return format!("core dump: written to a file that could not be looked for: {error}"),
        };
        let directory = self.process.directory.clone().or_else(|| std::env::current_dir().ok());
        let crashed = Crashed {
            pid: self.pid,
            user: user.as_ref().map_or(own, |user| (user.uid, user.gid)),
            signal: self.signal,
            program: self.process.command.first().map(PathBuf::from).unwrap_or_default(),
            directory: directory.unwrap_or_else(|| PathBuf::from("/")),
        };
        let file = self.pattern.as_ref().and_then(|pattern| pattern.file_of(&crashed));
        let Some(file) = file else { return "core dump: written".to_owned() };
        let path = file.path();
        let path = path.display();
        match file.find(user.as_ref()) {
            Ok(Some((found, size))) => format!("core dump: {} ({size} bytes)", found.display()),
            Ok(None) => format!(
                "core dump: it must have been written to {path}, where no such file is; it is relative to the program's \
                 working directory and root"
            ),
            Err(error) => format!("core dump: written to {path}, which could not be looked for: {error}"),
        }
    }
}
