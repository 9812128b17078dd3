//! A supervisord configuration, typed and in the original's order. Values are not interpreted: numbers may be
//! negative, a command is text until a start, and a log file need not be writable.

use muster_spec::arrange::Gather;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::problem::{SourcePlace, Warning};
use super::sections::{Entry, Section};
use super::world::User;
pub use muster_spec::Login;
use muster_supervisord::signals;

/// A configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The daemon's own settings.
    pub supervisord: Settings,
    /// Servers: those on TCP first, each kind in the order of the text.
    pub servers: Vec<Server>,
    /// The default of a program's `SUPERVISOR_SERVER_URL`.
    pub server_url: Option<String>,
    /// Groups, sorted by priority and name.
    pub groups: Vec<Group>,
    /// `[rpcinterface:x]`, in the order of the text.
    pub plugins: Vec<Plugin>,
    /// All sections as they were read, before expansion, in the order of their first appearance.
    pub sections: Vec<Section>,
    /// Oddities. Those with an `original` are in the original's order.
    pub warnings: Vec<Warning>,
    /// The original's INFO lines about included files.
    pub infos: Vec<String>,
    /// The first comment beyond [`limits::COMMENTS`](super::limits::COMMENTS), from which on the sections have none.
    pub comments_end: Option<SourcePlace>,
}

impl Configuration {
    /// Where a process' option stands; `None` for one that is left out or comes from `[DEFAULT]`.
    pub fn place(&self, process: &Process, key: &str) -> Option<&SourcePlace> {
        self.entry(process, key).map(|entry| &entry.place)
    }

    /// A process' option before expansion.
    pub fn entry(&self, process: &Process, key: &str) -> Option<&Entry> {
        self.sections.get(process.section)?.entry(key)
    }

    /// The global variables with those of a process above them: what the original hands down besides its own.
    pub fn environment<'c>(&'c self, process: &'c Process) -> BTreeMap<&'c str, &'c str> {
        let global = self.supervisord.environment.iter();
        global.chain(process.environment.iter()).collect()
    }
}

/// `[supervisord]`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Stay in the foreground.
    pub nodaemon: bool,
    /// Nothing on standard output.
    pub silent: bool,
    /// The user to become, as text.
    pub user: Option<String>,
    /// The mask when daemonizing.
    pub umask: i64,
    /// The directory when daemonizing.
    pub directory: Option<String>,
    /// The main log, absolute, or `syslog`.
    pub logfile: String,
    /// Size at which it is rotated, in bytes; 0 or negative: never.
    pub logfile_maxbytes: i64,
    /// Number of rotated files to keep.
    pub logfile_backups: i64,
    /// The least severe level that is logged.
    pub loglevel: Level,
    /// The file for the daemon's pid, absolute.
    pub pidfile: String,
    /// The name in events.
    pub identifier: String,
    /// Where AUTO logs are.
    pub childlogdir: String,
    /// Leave old AUTO logs at a start.
    pub nocleanup: bool,
    /// Remove escape sequences from the programs' output.
    pub strip_ansi: bool,
    /// The least number of file descriptors.
    pub minfds: i64,
    /// The least number of processes.
    pub minprocs: i64,
    /// Variables under those of every program.
    pub environment: Variables,
}

/// Variables, sorted by name. Values may be secrets, so the debug form shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(own, _)| own.as_str().cmp(name)).ok()?;
        Some(&self.0[at].1)
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Variables {
        // Of two with one name the last counts.
        let sorted: BTreeMap<String, String> = pairs.into_iter().gather();
        Variables(sorted.into_iter().collect())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// A level of the main log, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `critical`
    Critical,
    /// `error`
    Error,
    /// `warn`
    Warn,
    /// `info`
    Info,
    /// `debug`
    Debug,
    /// `trace`
    Trace,
    /// `blather`
    Blather,
}

impl Level {
    /// All of them.
    pub const ALL: [Level; 7] =
        [Level::Critical, Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace, Level::Blather];

    /// Its word in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Critical => "critical",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
            Level::Blather => "blather",
        }
    }
}

/// A server of the API.
#[derive(Clone, Debug)]
pub struct Server {
    /// The section's position in [`Configuration::sections`].
    pub section: usize,
    /// The part of the section's name after the colon.
    pub name: Option<String>,
    /// Where it listens.
    pub address: Address,
    /// Name and password; an empty name asks for neither.
    pub login: Option<Login>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// On TCP; an empty host is every address.
    Inet {
        /// The host, in small letters.
        host: String,
        /// The port.
        port: u16,
    },
    /// On a Unix socket.
    Unix {
        /// Its path, absolute.
        file: String,
        /// Its mode.
        chmod: i64,
        /// Its owner, if it is changed.
        chown: Option<Owner>,
    },
}

/// `user:group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: User,
    /// The number of the group, if it is changed.
    pub group: Option<u32>,
}

/// A plugin of the original, which is written in Python.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// The section's position in [`Configuration::sections`].
    pub section: usize,
    /// The part of the section's name after the colon.
    pub name: String,
    /// Module and function.
    pub factory: String,
    /// All other keys.
    pub extras: Vec<(String, String)>,
}

/// A group of processes.
#[derive(Clone, Debug)]
pub struct Group {
    /// The position of the section that makes it, in [`Configuration::sections`].
    pub section: usize,
    /// Its kind.
    pub kind: GroupKind,
    /// Its name.
    pub name: String,
    /// Its place among groups.
    pub priority: i64,
    /// Its processes: in the order of `programs=`, those of one section sorted by priority and name.
    pub processes: Vec<Process>,
}

/// The kind of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// `[group:x]`.
    Mixed,
    /// One `[program:x]`.
    Program,
    /// One `[eventlistener:x]`.
    Listener {
        /// Number of events that are buffered.
        buffer_size: i64,
        /// The types of events, sorted, each once.
        events: Vec<String>,
        /// Module and function that judge the answers.
        result_handler: String,
    },
    /// One `[fcgi-program:x]`.
    Fcgi(FcgiSocket),
}

/// The socket of a FastCGI program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FcgiSocket {
    /// Where it listens.
    pub address: FcgiAddress,
    /// Length of the queue of connections.
    pub backlog: Option<i64>,
}

/// Where a FastCGI program's socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FcgiAddress {
    /// On TCP.
    Tcp {
        /// The host, in small letters.
        host: String,
        /// The port.
        port: u16,
    },
    /// On a Unix socket.
    Unix {
        /// Its path, absolute.
        path: String,
        /// Its mode.
        mode: i64,
        /// Its owner, if it is changed.
        owner: Option<Owner>,
    },
}

impl FcgiAddress {
    /// The form that the original shows.
    pub fn url(&self) -> String {
        match self {
            FcgiAddress::Tcp { host, port } => format!("tcp://{host}:{port}"),
            FcgiAddress::Unix { path, .. } => format!("unix://{path}"),
        }
    }
}

/// One process.
#[derive(Clone, Debug)]
pub struct Process {
    /// The section's position in [`Configuration::sections`].
    pub section: usize,
    /// Its name, unique in its group.
    pub name: String,
    /// `process_num`: which of `numprocs` it is.
    pub number: i64,
    /// The command, not yet split: see [`super::split_command`].
    pub command: String,
    /// Where it runs.
    pub directory: Option<String>,
    /// Its mask.
    pub umask: Option<i64>,
    /// Its place among the processes of its section, and of its group at a shutdown.
    pub priority: i64,
    /// Start it with the daemon.
    pub autostart: bool,
    /// Start it again after an exit.
    pub autorestart: Autorestart,
    /// Seconds it must be up to count as started.
    pub startsecs: i64,
    /// Number of retries after a failed start.
    pub startretries: i64,
    /// The user it runs as.
    pub user: Option<User>,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
    /// The signal that asks it to stop.
    pub stopsignal: Signal,
    /// Seconds between the stop signal and SIGKILL.
    pub stopwaitsecs: i64,
    /// Send the stop signal to the process group.
    pub stopasgroup: bool,
    /// Kill the process group.
    pub killasgroup: bool,
    /// Exit codes that are expected.
    pub exitcodes: Vec<u8>,
    /// Standard error goes where standard output goes.
    pub redirect_stderr: bool,
    /// Its own variables, without the global ones.
    pub environment: Variables,
    /// `SUPERVISOR_SERVER_URL`, if it is not the daemon's; empty: the variable is not set.
    pub serverurl: Option<String>,
    /// The socket of a FastCGI program inside a `[group:x]`; the original opens none there.
    pub socket: Option<FcgiSocket>,
    /// Keys that begin with `muster.`, without it; not expanded.
    pub own: Arc<[Entry]>,
}

/// The destinations of an output stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The log file.
    pub logfile: LogFile,
    /// Size at which it is rotated, in bytes; 0 or negative: never.
    pub maxbytes: i64,
    /// Number of rotated files to keep.
    pub backups: i64,
    /// The size of the buffer for communication events; 0 is off.
    pub capture_maxbytes: i64,
    /// Emit an event per read.
    pub events_enabled: bool,
    /// Send it to syslog.
    pub syslog: bool,
}

/// A log file of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFile {
    /// A file in `childlogdir` with a name of its own.
    Auto,
    /// None.
    None,
    /// A path, relative to the daemon's directory. Empty: no file either, though the original shows it as one.
    Path(String),
}

/// The exits after which a running process is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autorestart {
    /// Never.
    Never,
    /// After an exit that `exitcodes` does not name.
    Unexpected,
    /// Always.
    Always,
}

/// A signal by its number. 0 to 2 may come from constants of Python that are no signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub u8);

impl Signal {
    /// Its name without `SIG`; `None` for 0 and for real-time signals between the first and the last.
    pub fn name(self) -> Option<&'static str> {
        signals::name(self.0)
    }
}
