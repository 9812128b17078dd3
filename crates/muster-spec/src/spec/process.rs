//! Everything about a process that the kernel needs to execute it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::{
    CredentialSpec, FeedKind, ListenerSpec, Privileges, Rlimit, Scheduling, SecretSpec, SocketSpec, TerminalSpec,
    UserSpec,
};
use crate::signal::SignalSet;

/// Everything the kernel needs to execute a process.
#[derive(Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// The program and its arguments, at least one.
    pub command: Vec<String>,
    /// Why no start is attempted: every one fails with this reason. `None` starts the command.
    pub refusal: Option<String>,
    /// Variables set in addition to the inherited ones: the daemon's `environment`, then the files, then the program's
    /// own. Names are unique.
    pub environment: Vec<(String, String)>,
    /// Variables that it does not inherit, by name.
    pub unset: Vec<String>,
    /// Whether to start from an empty environment instead of the daemon's.
    pub clean_environment: bool,
    /// Whether HOME, USER, LOGNAME and SHELL are set to those of `user`. Otherwise they stay as inherited.
    pub login_environment: bool,
    /// The variables that the daemon itself adds.
    pub own_variables: OwnVariables,
    /// User to run as; `None` is the daemon's own.
    pub user: Option<UserSpec>,
    /// Supplementary groups; `None` is those of the user.
    pub groups: Option<Vec<String>>,
    /// Working directory; `None` is the daemon's.
    pub directory: Option<PathBuf>,
    /// Umask; `None` is the daemon's configured one.
    pub umask: Option<u32>,
    /// Nice value; `None` leaves it unchanged.
    pub nice: Option<i32>,
    /// OOM score adjustment; `None` leaves it unchanged.
    pub oom_score_adj: Option<i32>,
    /// Resource limits to set.
    pub rlimits: Vec<Rlimit>,
    /// Its share of processors and disks.
    pub scheduling: Scheduling,
    /// Its rights beyond those of its user.
    pub privileges: Privileges,
    /// Source of its standard input.
    pub stdin: Stdin,
    /// The kinds of events it gets with [`Stdin::Feed`]; none is all of them.
    pub feed: Arc<[FeedKind]>,
    /// The path of its standard input with [`Stdin::Fifo`] and [`Stdin::File`].
    pub stdin_path: Option<PathBuf>,
    /// The terminal that is its standard input, output and error output, instead of pipes.
    pub terminal: Option<TerminalSpec>,
    /// The events it gets with [`Stdin::Events`].
    pub listener: Option<Arc<ListenerSpec>>,
    /// Listening sockets that it inherits.
    pub sockets: Arc<[SocketSpec]>,
    /// Signals that it ignores from the start; all others have their default action.
    pub ignore_signals: SignalSet,
    /// Variables from files.
    pub secrets: Arc<[SecretSpec]>,
    /// Files that are copied for it.
    pub credentials: Arc<[CredentialSpec]>,
}

impl ProcessSpec {
    pub(super) fn nothing() -> Arc<ProcessSpec> {
        ProcessSpec::of(Vec::new()).into()
    }

    /// A process with this command and defaults for everything else.
    pub fn of(command: Vec<String>) -> ProcessSpec {
        ProcessSpec {
            command,
            refusal: None,
            environment: Vec::new(),
            unset: Vec::new(),
            clean_environment: false,
            login_environment: true,
            own_variables: OwnVariables::All,
            user: None,
            groups: None,
            directory: None,
            umask: None,
            nice: None,
            oom_score_adj: None,
            rlimits: Vec::new(),
            scheduling: Scheduling::default(),
            privileges: Privileges::default(),
            stdin: Stdin::Nothing,
            feed: Arc::default(),
            stdin_path: None,
            terminal: None,
            listener: None,
            sockets: Arc::default(),
            ignore_signals: SignalSet::NONE,
            secrets: Arc::default(),
            credentials: Arc::default(),
        }
    }

    /// Whether files have to be read or opened before each start.
    pub fn reads_files(&self) -> bool {
        !self.secrets.is_empty() || !self.credentials.is_empty() || self.stdin_path.is_some()
    }
}

/// The variables that the daemon itself adds to a process's environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnVariables {
    /// Those that name the program, instance and run, and supervisord's.
    #[default]
    All,
    /// Only the one that identifies the run: without it, orphans could not be attributed.
    Run,
}

/// The source of a process's standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// /dev/null.
    #[default]
    Nothing,
    /// A pipe that the daemon writes to on request.
    Pipe,
    /// A pipe for events, in supervisord's protocol; the answers come on standard output.
    Events,
    /// A pipe for events of the API, one a line.
    Feed,
    /// A FIFO that the daemon makes, and opens for reading and writing.
    Fifo,
    /// A file.
    File,
}

/// Environment values are secrets, and arguments may be; effects are logged at level `trace`.
impl fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        let mut debug = f.debug_struct("ProcessSpec");
        debug.field("command", &self.command.first()).field("environment", &names).finish_non_exhaustive()
    }
}
