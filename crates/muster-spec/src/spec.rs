//! The configuration as values: the whole [`Spec`], its programs, their rules and processes.
//!
//! `muster-config` parses text into these values and fills in the defaults. The core reads the rules, `muster-sys` the
//! [`ProcessSpec`], `musterd` the rest.

mod copied;
mod depend;
mod feed;
mod hook;
mod listener;
mod memory;
mod notifier;
mod numprocs;
mod output;
mod privileges;
mod probe;
mod process;
mod rlimit;
mod rolling;
mod schedule;
mod scheduling;
mod secrets;
mod shutdown;
mod socket;
mod source;
mod start_delay;
mod stop;
mod syslog;
mod terminal;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::exit::{Exit, RunEnd};
use crate::listen::{Authentication, ExecAt, IdentitySpec, ListenSpec, SecretFile};
use crate::restart::{ExitRule, ExitRules, RestartPolicy};
use crate::signal::Signal;

pub use copied::list;
pub use depend::{Dependency, DependencyCondition};
pub use feed::FeedKind;
pub use hook::{Hook, HookSpec, Hooks};
pub use listener::{EventType, ListenerMode, ListenerSpec, Results};
pub use memory::{MemoryCount, MemoryLimit};
pub use notifier::{Delivery, NotifierSpec, NotifyCommand, NotifyOn, Webhook, WebhookAddress, WebhookUrl};
pub use numprocs::{Numprocs, Scale, Scales};
pub use output::{
    AutoLogSpec, LineFormat, OutputSpec, Overflow, PerStream, RateLimit, Rotation, Sink, StreamEvents, Target,
    descriptor_of,
};
pub use privileges::{CapabilitySet, Privileges, Securebits};
pub use probe::{CheckSpec, DueCheck, HttpCheck, OnFailure, ProbeKind, ProbeSpec, READY_CHECK_TIMEOUT, ReadySpec};
pub use process::{OwnVariables, ProcessSpec, Stdin};
pub use rlimit::{Resource, Rlimit};
pub use rolling::{Recycle, Rolling, RollingWait};
pub use schedule::{Missed, Overlap, ScheduleSpec, ScheduleTimes};
pub use scheduling::{CpuSet, IoPriority, Scheduling, SchedulingPolicy};
pub use secrets::{CredentialSpec, SecretSpec};
pub use shutdown::{ExitStatus, RpcDuringShutdown, SecondSignal, ShutdownBudget, ShutdownOrder};
pub use socket::{SocketAddress, SocketKeep, SocketOptions, SocketSpec, StartOn, UnixKind};
pub use source::{ApplyWhen, SourceAddress, SourceSpec, SourceTable, is_source_address};
pub use start_delay::StartDelay;
pub use stop::{Leftovers, StopKill, StopScope, StopSpec, StopStep};
pub use syslog::{SyslogAddress, SyslogFacility, SyslogFormat, SyslogSpec};
pub use terminal::TerminalSpec;
pub use watch::{WatchAction, WatchPath, WatchRate, WatchSpec};

/// The complete configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Settings of the daemon itself.
    pub daemon: DaemonSpec,
    /// Its control socket.
    pub control: ControlSpec,
    /// The servers that further parts of it are read from, sorted by name.
    pub sources: Vec<SourceSpec>,
    /// Where events are passed on to, sorted by name.
    pub notifiers: Vec<NotifierSpec>,
    /// The programs, sorted by name.
    pub programs: Vec<Arc<ProgramSpec>>,
}

/// The least severe of the daemon's own messages that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// Something was lost or late.
    Warn,
    /// A program or the daemon changed state.
    Info,
    /// Why a decision was made.
    Debug,
    /// Every input and effect.
    Trace,
}

/// The format of the daemon's own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
    /// Lines as supervisord writes them, with its texts.
    Supervisord,
}

/// The daemon itself: `[musterd]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DaemonSpec {
    /// Log level.
    pub log_level: LogLevel,
    /// Log format.
    pub log_format: LogFormat,
    /// Log file; `None` is stderr, or syslog.
    pub log_file: Option<PathBuf>,
    /// Whether the log goes to syslog instead of a file or stderr.
    pub log_to_syslog: bool,
    /// Whether the log also goes to standard output.
    pub log_to_stdout: bool,
    /// How the log file is rotated.
    pub log_rotation: Rotation,
    /// The time budget for stopping all programs.
    pub shutdown_timeout: ShutdownBudget,
    /// The order in which programs of equal rank stop at a shutdown.
    pub shutdown_order: ShutdownOrder,
    /// The exit code after a shutdown.
    pub exit_status: ExitStatus,
    /// The effect of a repeated signal.
    pub second_signal: SecondSignal,
    /// How XML-RPC is answered during a shutdown.
    pub rpc_during_shutdown: RpcDuringShutdown,
    /// Resource limits that the daemon raises to at least this before it starts anything, and passes on to its
    /// programs. If it cannot, it refuses to start.
    pub least_limits: Vec<(Resource, u64)>,
    /// Whether to exit when every autostarted program has exited and will not be restarted.
    pub exit_when_done: bool,
    /// The most instances that are STARTING at a time; 0 is without limit.
    pub max_parallel_starts: u32,
    /// The user that the daemon becomes once its sockets are open; `None` stays the one that started it.
    pub user: Option<UserSpec>,
    /// File to write the daemon's PID to.
    pub pidfile: Option<PathBuf>,
    /// Umask of the daemon and of programs that set none.
    pub umask: u32,
    /// Working directory of the daemon; `None` keeps the current one.
    pub directory: Option<PathBuf>,
    /// Whether to reload when a configuration file changes.
    pub watch: bool,
    /// The directory for state that survives restarts; `None` keeps nothing.
    pub state_dir: Option<PathBuf>,
    /// The time zone of schedules that name none.
    pub timezone: String,
    /// The syslog receiver for program output.
    pub syslog: SyslogSpec,
    /// Where log files with names of the daemon's choice are; `None` makes none of them.
    pub auto_logs: Option<AutoLogSpec>,
}

impl ControlSpec {
    /// The socket's path if none is configured.
    pub const DEFAULT_SOCKET: &str = "/run/muster.sock";
    /// Its mode if none is configured.
    pub const DEFAULT_MODE: u32 = 0o600;
}

/// The control socket: `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSpec {
    /// Path of the socket; `None` is no control socket.
    pub socket: Option<PathBuf>,
    /// Its file mode.
    pub mode: u32,
    /// Owner of the file; `None` is the daemon's user.
    pub owner: Option<UserSpec>,
    /// Users (names or numbers) with full control, besides root and the daemon's own.
    pub allow_users: Vec<String>,
    /// Users with read-only access.
    pub readonly_users: Vec<String>,
    /// How the clients of the socket prove who they are.
    pub authentication: Authentication,
    /// The other listeners.
    pub listeners: Vec<ListenSpec>,
    /// Users of the API that log in, or have a user id.
    pub identities: Vec<IdentitySpec>,
    /// Names of this host in requests over TCP, besides its own, `localhost` and numbers.
    pub allow_hosts: Vec<String>,
    /// Origins of web pages that may read responses.
    pub allow_origins: Vec<String>,
    /// The listeners at which commands may be executed in the context of programs.
    pub exec: ExecAt,
    /// Whether the daemon can be looked into.
    pub debug: bool,
    /// The files with the secrets of identities and listeners.
    pub secret_files: Vec<SecretFile>,
}

impl Default for ControlSpec {
    fn default() -> ControlSpec {
        ControlSpec {
            socket: Some(PathBuf::from(ControlSpec::DEFAULT_SOCKET)),
            mode: ControlSpec::DEFAULT_MODE,
            owner: None,
            allow_users: Vec::new(),
            readonly_users: Vec::new(),
            authentication: Authentication::Identities,
            listeners: Vec::new(),
            identities: Vec::new(),
            allow_hosts: Vec::new(),
            allow_origins: Vec::new(),
            exec: ExecAt::default(),
            debug: false,
            secret_files: Vec::new(),
        }
    }
}

/// A user and optionally a group as configured: names or numbers, looked up on use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserSpec {
    /// User name or number.
    pub user: String,
    /// Group name or number; `None` is the user's primary group.
    pub group: Option<String>,
}

/// The kind of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Meant to run indefinitely.
    Service,
    /// Meant to exit with success.
    Oneshot,
}

/// Whether the container exits when the program has exited and will not be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Essential {
    /// It does not.
    No,
    /// It does, whether the program succeeded or failed.
    Yes,
    /// It does if the program failed; after a success the other programs keep running.
    OnFailure,
}

impl Essential {
    /// Whether the container exits after this end.
    pub const fn ends_with(self, success: bool) -> bool {
        match self {
            Essential::No => false,
            Essential::Yes => true,
            Essential::OnFailure => !success,
        }
    }
}

/// The place of a program whose group has a priority of its own: groups start in ascending order of their priority, and
/// stop in waves of equal priority, the highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOrder {
    /// The priority of its group.
    pub priority: i64,
    /// When it starts at boot among all programs whose groups have this priority, ascending: the order of the groups, and
    /// within each the order of its members.
    pub place: u32,
}

/// A program: its rules, and the process of each of its instances. As data, it has only what the rules depend on: no
/// command, no variable and no address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramSpec {
    /// Its name.
    pub name: String,
    /// The groups it belongs to.
    pub groups: Vec<String>,
    /// Whether it is a service or a oneshot.
    pub kind: Kind,
    /// Whether it starts with the daemon.
    pub autostart: bool,
    /// Whether a start waits for a client.
    pub start_on: StartOn,
    /// How long a start waits before the first run.
    pub start_delay: StartDelay,
    /// Whether it is done once, until its command is another one.
    pub once: bool,
    /// When, how often and after which delay it is restarted.
    pub restart: RestartPolicy,
    /// When it is started by itself, if it is a job with a schedule.
    pub schedule: Option<Box<ScheduleSpec>>,
    /// How long a run must last before it is RUNNING.
    pub startsecs: Duration,
    /// How long a run may last before it has failed; `None` is without end.
    pub max_runtime: Option<Duration>,
    /// The exit statuses that count as success.
    pub exit_codes: Vec<u8>,
    /// The meaning of certain ends, whatever `restart` says.
    pub on_exit: ExitRules,
    /// Conditions on other programs that must hold before it starts.
    pub depends_on: Vec<Dependency>,
    /// The programs that it is restarted together with.
    pub restart_with: Vec<String>,
    /// Start order, ascending; stop order is the reverse.
    pub priority: i64,
    /// The unit it belongs to when units are stopped one after another; `None` is the program itself.
    pub stop_unit: Option<String>,
    /// The order of its group, if programs are ordered by groups first, as in supervisord.
    pub order: Option<GroupOrder>,
    /// Whether the container exits with it.
    pub essential: Essential,
    /// How it is stopped.
    pub stop: StopSpec,
    /// The signal that `musterctl reload NAME` sends; `None` restarts instead.
    pub reload_signal: Option<Signal>,
    /// A hash of what a configuration of supervisord says of it and nothing else here shows. It decides only whether the
    /// program counts as changed there. `None` for other configurations.
    #[serde(skip)]
    pub unshown: Option<u64>,
    /// How many instances the configuration asks for, and the bounds of a change at run time.
    pub numprocs: Numprocs,
    /// How its instances are restarted one after another; `None` restarts them together.
    pub rolling: Option<Rolling>,
    /// When its runs are replaced; `None` keeps them.
    pub recycle_after: Option<Recycle>,
    /// The files whose changes restart it; `None` watches none.
    pub watch: Option<Box<WatchSpec>>,
    /// Its instances.
    #[serde(skip)]
    pub instances: Vec<Arc<InstanceSpec>>,
}

impl ProgramSpec {
    /// Whether this end counts as a success. Not for an end that memory had run out at: [`ProgramSpec::exit_rule`].
    pub fn counts_as_success(&self, end: &RunEnd) -> bool {
        self.succeeds(end, self.exit_rule(end, false))
    }

    /// The rule of `on_exit` for this end.
    pub fn exit_rule(&self, end: &RunEnd, is_out_of_memory: bool) -> Option<ExitRule> {
        self.on_exit.rule(end, is_out_of_memory, &self.exit_codes)
    }

    /// Whether this end counts as a success, with the rule for it.
    pub fn succeeds(&self, end: &RunEnd, rule: Option<ExitRule>) -> bool {
        if let Some(success) = rule.and_then(|rule| rule.then.success()) {
            return success;
        }
        match end {
            RunEnd::Exited(Exit::Code(code)) => self.exit_codes.contains(code),
            RunEnd::Exited(Exit::Signal { signal, .. }) => {
                self.kind == Kind::Service && self.restart.clean_signals.contains(*signal)
            }
            RunEnd::MainLost | RunEnd::NotSpawned(_) => false,
        }
    }

    /// The name of the unit that is stopped at once in a serial shutdown.
    pub fn stop_unit(&self) -> &str {
        self.stop_unit.as_deref().unwrap_or(&self.name)
    }

    /// The rank of the wave in which it stops.
    pub fn rank(&self) -> i64 {
        self.order.map_or(self.priority, |order| order.priority)
    }

    /// When it starts at boot and in a reload, ascending.
    pub fn boot_order(&self) -> (i64, i64) {
        (self.rank(), self.order.map_or(0, |order| i64::from(order.place)))
    }

    /// When it starts by command, ascending.
    pub fn start_order(&self) -> (i64, i64) {
        (self.rank(), self.priority)
    }

    /// How long it may take to stop before SIGKILL.
    pub fn patience(&self) -> Duration {
        self.stop.patience()
    }

    /// How long the processes left behind by a run that ended by itself may take before SIGKILL.
    pub fn leftover_wait(&self) -> Duration {
        self.stop.leftover_wait.min(self.patience())
    }
}

/// An instance of a program, with all placeholders expanded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// `web`, or `web:3` if the program has several instances.
    pub name: String,
    /// Its number, from 0.
    pub index: u32,
    /// Its process. Shared, since instances of a program mostly have the same.
    #[serde(skip, default = "ProcessSpec::nothing")]
    pub process: Arc<ProcessSpec>,
    /// Where its output goes. Shared, since most instances have the same.
    #[serde(skip)]
    pub output: Arc<OutputSpec>,
    /// How a run signals readiness; `None` means it is ready once RUNNING.
    pub ready: Option<ReadySpec>,
    /// How long a run with a readiness rule may take to become ready.
    pub start_timeout: Duration,
    /// The interval in which a run must send a watchdog notification; `None` is no watchdog.
    pub watchdog: Option<Duration>,
    /// The probes of a run.
    pub probes: Vec<ProbeSpec>,
    /// Commands at the start and the end of a run.
    pub hooks: Hooks,
    /// How much memory the tree of a run may have.
    pub memory_max: Option<MemoryLimit>,
    /// The files of `env_file` and `env_dir`.
    #[serde(skip)]
    pub variable_files: Arc<[PathBuf]>,
}

impl InstanceSpec {
    /// Default of `start_timeout`.
    pub const START_TIMEOUT: Duration = Duration::from_secs(60);

    /// An instance of this name, the first of its program, with defaults for everything else.
    pub fn of(name: String, process: ProcessSpec) -> InstanceSpec {
        InstanceSpec {
            name,
            index: 0,
            process: process.into(),
            output: Arc::default(),
            ready: None,
            start_timeout: InstanceSpec::START_TIMEOUT,
            watchdog: None,
            probes: Vec::new(),
            hooks: Hooks::default(),
            memory_max: None,
            variable_files: Arc::default(),
        }
    }
}
