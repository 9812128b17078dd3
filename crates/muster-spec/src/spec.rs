//! What the operator configured, as values: the whole [`Spec`], its programs, their rules and processes.
//!
//! Text becomes these values in `muster-config`; everything optional there has been decided here. The core reads the
//! rules, `muster-sys` the [`ProcessSpec`], the shell the rest.

mod depend;
mod output;
mod probe;
mod syslog;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::exit::{Exit, RunEnd};
use crate::restart::RestartPolicy;
use crate::signal::Signal;

pub use depend::{Dependency, DependencyCondition};
pub use output::{LineFormat, OutputSpec, Overflow, RateLimit, Rotation, Sink, Target};
pub use probe::{CheckSpec, DueCheck, HttpCheck, OnFailure, ProbeKind, ProbeSpec, READY_CHECK_TIMEOUT, ReadySpec};
pub use syslog::{SyslogAddress, SyslogFacility, SyslogFormat, SyslogSpec};

/// Everything that was configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The daemon itself.
    pub daemon: DaemonSpec,
    /// Its control socket.
    pub control: ControlSpec,
    /// The programs, in the order of their names.
    pub programs: Vec<Arc<ProgramSpec>>,
}

/// How much of its own doings the daemon tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// Something was lost or late.
    Warn,
    /// A program or the daemon changed state.
    Info,
    /// Why it was decided so.
    Debug,
    /// Every input and effect.
    Trace,
}

/// How the daemon writes its own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for a person.
    Text,
    /// An object a line.
    Json,
}

/// The daemon itself: `[musterd]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DaemonSpec {
    /// How much it tells.
    pub log_level: LogLevel,
    /// In which form.
    pub log_format: LogFormat,
    /// Where to; `None` is stderr.
    pub log_file: Option<PathBuf>,
    /// How that file is rotated.
    pub log_rotation: Rotation,
    /// The one budget for stopping everything.
    pub shutdown_timeout: Duration,
    /// Whether to exit when every autostarted program has ended for good by itself.
    pub exit_when_done: bool,
    /// Where to write the daemon's pid.
    pub pidfile: Option<PathBuf>,
    /// The daemon's own umask and, where a program sets none, the programs'.
    pub umask: u32,
    /// The daemon's working directory; `None` leaves it.
    pub directory: Option<PathBuf>,
    /// Whether to reload when a configuration file changes.
    pub watch: bool,
    /// Where programs' lines go that are sent to syslog.
    pub syslog: SyslogSpec,
}

/// The control socket: `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSpec {
    /// Where it is; `None` is no control socket.
    pub socket: Option<PathBuf>,
    /// Its file mode.
    pub mode: u32,
    /// Who owns the file; `None` leaves it to the daemon's user.
    pub owner: Option<UserSpec>,
    /// Users (names or numbers) that may read and control, besides root and the daemon's own.
    pub allow_users: Vec<String>,
    /// Users that may look and not touch.
    pub readonly_users: Vec<String>,
}

/// A user and perhaps a group as configured: names or numbers, looked up when they are needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserSpec {
    /// The user's name or number.
    pub user: String,
    /// The group's name or number; `None` is the user's own.
    pub group: Option<String>,
}

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Meant to go on running.
    Service,
    /// Meant to end well.
    Oneshot,
}

/// Whether the container ends with a program that has ended for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Essential {
    /// It does not.
    No,
    /// It does, however the program ended.
    Yes,
    /// It does if the program failed; after a success everything goes on.
    OnFailure,
}

impl Essential {
    /// Whether such an end is the container's end.
    pub const fn ends_with(self, success: bool) -> bool {
        match self {
            Essential::No => false,
            Essential::Yes => true,
            Essential::OnFailure => !success,
        }
    }
}

/// Who gets the stop signal first. SIGKILL always gets the whole tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopScope {
    /// The main process alone.
    Main,
    /// Every process group of the tree.
    Group,
}

/// A step of stopping: a signal, and the patience after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopStep {
    /// What is sent.
    pub signal: Signal,
    /// How long to wait for it to work.
    pub patience: Duration,
}

/// How a program is stopped before SIGKILL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopSpec {
    /// The signals, at least one.
    pub steps: Vec<StopStep>,
    /// Who gets them.
    pub scope: StopScope,
    /// How long what is left of a run that ended by itself may take, all signals together; no longer than after a stop.
    pub leftover_wait: Duration,
}

impl StopSpec {
    /// How long leftovers may take, if nothing else is configured.
    pub const LEFTOVER_WAIT: Duration = Duration::from_secs(2);
}

impl StopSpec {
    /// How long a program may take to stop before SIGKILL, all its signals together.
    pub fn patience(&self) -> Duration {
        self.steps.iter().fold(Duration::ZERO, |total, step| total.saturating_add(step.patience))
    }
}

/// One program: its rules, and what each of its instances runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramSpec {
    /// Its name.
    pub name: String,
    /// The groups it is in.
    pub groups: Vec<String>,
    /// What it is for.
    pub kind: Kind,
    /// Whether it starts with the daemon.
    pub autostart: bool,
    /// When and how often a run that ended is followed by another.
    pub restart: RestartPolicy,
    /// How long a run must last to count as RUNNING.
    pub startsecs: Duration,
    /// The exit statuses that are a success.
    pub exit_codes: Vec<u8>,
    /// What must hold of other programs before it starts.
    pub depends_on: Vec<Dependency>,
    /// The programs with which it is restarted.
    pub restart_with: Vec<String>,
    /// Start order, ascending; stop order is the reverse.
    pub priority: i64,
    /// Whether the container ends with it.
    pub essential: Essential,
    /// How it is stopped.
    pub stop: StopSpec,
    /// What `musterctl reload NAME` sends; `None` restarts instead.
    pub reload_signal: Option<Signal>,
    /// Its instances, `numprocs` of them.
    pub instances: Vec<Arc<InstanceSpec>>,
}

impl ProgramSpec {
    /// Whether this end is what the program was meant to come to.
    pub fn counts_as_success(&self, end: &RunEnd) -> bool {
        match end {
            RunEnd::Exited(Exit::Code(code)) => self.exit_codes.contains(code),
            RunEnd::Exited(Exit::Signal { signal, .. }) => {
                self.kind == Kind::Service && self.restart.clean_signals.contains(*signal)
            }
            RunEnd::MainLost | RunEnd::NotSpawned(_) => false,
        }
    }

    /// How long stopping it may take before SIGKILL.
    pub fn patience(&self) -> Duration {
        self.stop.patience()
    }

    /// How long what is left of a run that ended by itself may take before SIGKILL.
    pub fn leftover_wait(&self) -> Duration {
        self.stop.leftover_wait.min(self.patience())
    }
}

/// One instance of a program, with every value interpolated.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceSpec {
    /// `web`, or `web:3` where the program has several.
    pub name: String,
    /// Its number, from 0.
    pub index: u32,
    /// What to execute, and how.
    pub process: ProcessSpec,
    /// Where its output goes. Most are alike, and share one.
    pub output: Arc<OutputSpec>,
    /// How a run tells that it is ready; `None` is by being RUNNING.
    pub ready: Option<ReadySpec>,
    /// How long a run with such a rule may take to become ready.
    pub start_timeout: Duration,
    /// How often a run must say that it lives; `None` is never.
    pub watchdog: Option<Duration>,
    /// What is checked of a run as long as it lasts.
    pub probes: Vec<ProbeSpec>,
}

impl InstanceSpec {
    /// How long a run may take to become ready, if nothing else is configured.
    pub const START_TIMEOUT: Duration = Duration::from_secs(60);
}

/// Everything about a process that is asked of the kernel.
#[derive(Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// The program and its arguments, at least one.
    pub command: Vec<String>,
    /// Variables set over the inherited ones: the daemon's `environment`, then the files, then the program's own. Names
    /// are unique.
    pub environment: Vec<(String, String)>,
    /// Whether to inherit nothing of the daemon's environment.
    pub clean_environment: bool,
    /// Who to run as; `None` stays who the daemon is.
    pub user: Option<UserSpec>,
    /// Supplementary groups instead of the user's own.
    pub groups: Option<Vec<String>>,
    /// The working directory; `None` is the daemon's.
    pub directory: Option<PathBuf>,
    /// The umask; `None` is the daemon's configured one.
    pub umask: Option<u32>,
    /// The nice value; `None` leaves it.
    pub nice: Option<i32>,
    /// The out-of-memory score; `None` leaves it.
    pub oom_score_adj: Option<i32>,
    /// Resource limits to set.
    pub rlimits: Vec<Rlimit>,
    /// What it reads.
    pub stdin: Stdin,
}

impl ProcessSpec {
    /// A process of which nothing is asked but its command.
    pub fn of(command: Vec<String>) -> ProcessSpec {
        ProcessSpec {
            command,
            environment: Vec::new(),
            clean_environment: false,
            user: None,
            groups: None,
            directory: None,
            umask: None,
            nice: None,
            oom_score_adj: None,
            rlimits: Vec::new(),
            stdin: Stdin::Nothing,
        }
    }
}

/// Where the standard input of a process comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// /dev/null: there is nothing to read.
    #[default]
    Nothing,
    /// A pipe that the daemon writes to when it is asked to.
    Pipe,
}

/// The values of the environment are secrets, and arguments may be: effects are logged at the level `trace`.
impl fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        let mut debug = f.debug_struct("ProcessSpec");
        debug.field("command", &self.command.first()).field("environment", &names).finish_non_exhaustive()
    }
}

/// A resource limit: getrlimit(2). `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// Which resource.
    pub resource: Resource,
    /// The limit in force.
    pub soft: Option<u64>,
    /// How far the process may raise it.
    pub hard: Option<u64>,
}

macro_rules! resources {
    ($($(#[$doc:meta])* $variant:ident $name:literal),* $(,)?) => {
        /// A resource that setrlimit(2) can limit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Resource { $($(#[$doc])* $variant),* }

        impl Resource {
            /// Every resource.
            pub const ALL: &[Resource] = &[$(Resource::$variant),*];

            /// Its name in the configuration: the C constant without `RLIMIT_`, in small letters.
            pub const fn name(self) -> &'static str {
                match self { $(Resource::$variant => $name),* }
            }
        }
    };
}

resources! {
    /// Address space, bytes.
    As "as",
    /// Core dump size, bytes.
    Core "core",
    /// CPU time, seconds.
    Cpu "cpu",
    /// Data segment, bytes.
    Data "data",
    /// File size, bytes.
    Fsize "fsize",
    /// File locks.
    Locks "locks",
    /// Locked memory, bytes.
    Memlock "memlock",
    /// POSIX message queues, bytes.
    Msgqueue "msgqueue",
    /// Ceiling of the nice value.
    Nice "nice",
    /// Open file descriptors.
    Nofile "nofile",
    /// Processes of the user.
    Nproc "nproc",
    /// Resident set, bytes; without effect since Linux 2.6.
    Rss "rss",
    /// Ceiling of the real-time priority.
    Rtprio "rtprio",
    /// CPU time without a blocking call under real-time scheduling, microseconds.
    Rttime "rttime",
    /// Queued signals.
    Sigpending "sigpending",
    /// Stack, bytes.
    Stack "stack",
}
