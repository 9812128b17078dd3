//! The one table of sections, keys, types and defaults. The readers take keys and defaults from here, and so do the
//! hints about unknown ones.

/// A kind of section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `[supervisord]`
    Supervisord,
    /// `[unix_http_server…]`
    UnixServer,
    /// `[inet_http_server…]`
    InetServer,
    /// `[supervisorctl]`
    Control,
    /// `[include]`
    Include,
    /// `[group:x]`
    Group,
    /// `[program:x]`
    Program,
    /// `[fcgi-program:x]`
    Fcgi,
    /// `[eventlistener:x]`
    Listener,
    /// `[rpcinterface:x]`
    RpcInterface,
    /// `[ctlplugin:x]`
    ControlPlugin,
    /// `[musterd]`, which the original ignores.
    Musterd,
}

/// How names of sections begin, and whether something follows.
const SECTIONS: [(&str, Kind); 12] = [
    ("program:", Kind::Program),
    ("group:", Kind::Group),
    ("supervisord", Kind::Supervisord),
    ("unix_http_server", Kind::UnixServer),
    ("inet_http_server", Kind::InetServer),
    ("supervisorctl", Kind::Control),
    ("include", Kind::Include),
    ("fcgi-program:", Kind::Fcgi),
    ("eventlistener:", Kind::Listener),
    ("rpcinterface:", Kind::RpcInterface),
    ("ctlplugin:", Kind::ControlPlugin),
    ("musterd", Kind::Musterd),
];

impl Kind {
    /// The kind of a section by its name; `None` for a section that nothing reads.
    pub fn of(section: &str) -> Option<Kind> {
        let is = |(begin, kind): &&(&str, Kind)| match kind {
            Kind::Supervisord | Kind::Control | Kind::Include | Kind::Musterd => section == *begin,
            _ => section.starts_with(begin),
        };
        SECTIONS.iter().find(is).map(|(_, kind)| *kind)
    }

    /// The keys that are read in a section of this kind; `None` where any key is.
    pub(super) fn options(self) -> Option<Vec<&'static Opt>> {
        let lists: &[&[&Opt]] = match self {
            Kind::Supervisord => &[SUPERVISORD],
            Kind::UnixServer => &[UNIX_SERVER, LOGIN],
            Kind::InetServer => &[INET_SERVER, LOGIN],
            Kind::Control => &[CONTROL, LOGIN],
            Kind::Include => &[&[&FILES]],
            Kind::Group => &[&[&PROGRAMS, &PRIORITY]],
            Kind::Program => &[PROGRAM, &STDOUT.all(), &STDERR.all()],
            Kind::Fcgi => &[PROGRAM, &STDOUT.all(), &STDERR.all(), FCGI],
            Kind::Listener => &[PROGRAM, &STDOUT.all(), &STDERR.all(), LISTENER],
            Kind::RpcInterface | Kind::ControlPlugin | Kind::Musterd => return None,
        };
        Some(lists.concat())
    }

    /// Whether processes are made of such a section.
    pub(super) fn has_processes(self) -> bool {
        matches!(self, Kind::Program | Kind::Fcgi | Kind::Listener)
    }
}

/// Whether a name is one of a section that is read.
pub(super) fn is_section(name: &str) -> bool {
    Kind::of(name).is_some()
}

/// Whether a section of some kind has this key.
pub(super) fn is_key(key: &str) -> bool {
    [SUPERVISORD, UNIX_SERVER, INET_SERVER, LOGIN, CONTROL, PROGRAM, FCGI, LISTENER]
        .iter()
        .flat_map(|list| list.iter())
        .chain(&STDOUT.all())
        .chain(&STDERR.all())
        .any(|option| option.key == key)
        || matches!(key, "files" | "programs")
}

/// How the names of sections that are read begin.
pub(super) fn section_beginnings() -> impl Iterator<Item = &'static str> + Clone {
    SECTIONS.iter().map(|(begin, _)| *begin)
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Any text.
    Text,
    /// A whole number.
    Whole,
    /// yes or no.
    Boolean,
    /// A size with `kb`, `mb` or `gb`.
    Bytes,
    /// An octal number.
    Octal,
    /// A signal.
    Signal,
    /// A list of exit codes.
    ExitCodes,
    /// A boolean or `unexpected`.
    AutoRestart,
    /// A user.
    User,
    /// `user:group`.
    Owner,
    /// A path, `AUTO`, `none` or `syslog`.
    LogFile,
    /// A path whose directory exists.
    Path,
    /// A directory that exists.
    Directory,
    /// A level of the log.
    Level,
    /// Words with commas between.
    List,
    /// A name of a process.
    Name,
    /// `host:port`.
    InetAddress,
    /// `NAME=value`, with commas between.
    Environment,
    /// A `tcp://` or `unix://` socket.
    Socket,
}

impl Type {
    /// A description of the values it allows.
    pub(super) const fn allowed(self) -> &'static str {
        match self {
            Type::Text => "any text",
            Type::Whole => "a whole number",
            Type::Boolean => "true, yes, on, 1, or false, no, off, 0",
            Type::Bytes => "a whole number of bytes, or one followed by kb, mb or gb",
            Type::Octal => "an octal number such as 022",
            Type::Signal => "a name such as TERM, or a number",
            Type::ExitCodes => "numbers from 0 to 255 with commas between them",
            Type::AutoRestart => "true, false or unexpected",
            Type::User => "the name or number of a user on this machine",
            Type::Owner => "user or user:group",
            Type::LogFile => "a path in a directory that exists, AUTO or none",
            Type::Path => "a path in a directory that exists",
            Type::Directory => "a directory that exists",
            Type::Level => "critical, error, warn, info, debug, trace or blather",
            Type::List => "words with commas between them",
            Type::Name => "a name without blank, `:` and `/`",
            Type::InetAddress => "port, host:port or *:port, the port from 1 to 65535",
            Type::Environment => "NAME=\"value\",NAME=\"value\"",
            Type::Socket => "unix:///path or tcp://host:port",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt {
    /// The key.
    pub key: &'static str,
    /// The type of its value.
    pub is: Type,
    /// The text that is read if the key is missing; `None` if nothing is.
    pub default: Option<&'static str>,
}

const fn opt(key: &'static str, is: Type, default: &'static str) -> Opt {
    Opt { key, is, default: Some(default) }
}

const fn unset(key: &'static str, is: Type) -> Opt {
    Opt { key, is, default: None }
}

pub(super) const MINFDS: Opt = opt("minfds", Type::Whole, "1024");
pub(super) const MINPROCS: Opt = opt("minprocs", Type::Whole, "200");
pub(super) const DIRECTORY: Opt = unset("directory", Type::Directory);
pub(super) const USER: Opt = unset("user", Type::User);
pub(super) const DAEMON_UMASK: Opt = opt("umask", Type::Octal, "022");
pub(super) const LOGFILE: Opt = opt("logfile", Type::Path, "supervisord.log");
pub(super) const LOGFILE_MAXBYTES: Opt = opt("logfile_maxbytes", Type::Bytes, "50MB");
pub(super) const LOGFILE_BACKUPS: Opt = opt("logfile_backups", Type::Whole, "10");
pub(super) const LOGLEVEL: Opt = opt("loglevel", Type::Level, "info");
pub(super) const PIDFILE: Opt = opt("pidfile", Type::Path, "supervisord.pid");
pub(super) const IDENTIFIER: Opt = opt("identifier", Type::Text, "supervisor");
pub(super) const NODAEMON: Opt = opt("nodaemon", Type::Boolean, "false");
pub(super) const SILENT: Opt = opt("silent", Type::Boolean, "false");
pub(super) const CHILDLOGDIR: Opt = unset("childlogdir", Type::Directory);
pub(super) const NOCLEANUP: Opt = opt("nocleanup", Type::Boolean, "false");
pub(super) const STRIP_ANSI: Opt = opt("strip_ansi", Type::Boolean, "false");
pub(super) const ENVIRONMENT: Opt = opt("environment", Type::Environment, "");

const SUPERVISORD: &[&Opt] = &[
    &MINFDS,
    &MINPROCS,
    &DIRECTORY,
    &USER,
    &DAEMON_UMASK,
    &LOGFILE,
    &LOGFILE_MAXBYTES,
    &LOGFILE_BACKUPS,
    &LOGLEVEL,
    &PIDFILE,
    &IDENTIFIER,
    &NODAEMON,
    &SILENT,
    &CHILDLOGDIR,
    &NOCLEANUP,
    &STRIP_ANSI,
    &ENVIRONMENT,
];

pub(super) const FILES: Opt = unset("files", Type::Text);

pub(super) const FILE: Opt = unset("file", Type::Text);
pub(super) const CHMOD: Opt = opt("chmod", Type::Octal, "0700");
pub(super) const CHOWN: Opt = unset("chown", Type::Owner);
pub(super) const PORT: Opt = unset("port", Type::InetAddress);
pub(super) const USERNAME: Opt = unset("username", Type::Text);
pub(super) const PASSWORD: Opt = unset("password", Type::Text);

const UNIX_SERVER: &[&Opt] = &[&FILE, &CHMOD, &CHOWN];
const INET_SERVER: &[&Opt] = &[&PORT];
const LOGIN: &[&Opt] = &[&USERNAME, &PASSWORD];
const CONTROL: &[&Opt] = &[
    &opt("serverurl", Type::Text, "http://localhost:9001"),
    &opt("prompt", Type::Text, "supervisor"),
    &unset("history_file", Type::Text),
];

pub(super) const PROGRAMS: Opt = opt("programs", Type::List, "");
pub(super) const PRIORITY: Opt = opt("priority", Type::Whole, "999");
/// The priority of a pool of listeners, which is not that of its processes.
pub(super) const POOL_PRIORITY: Opt = opt("priority", Type::Whole, "-1");
pub(super) const AUTOSTART: Opt = opt("autostart", Type::Boolean, "true");
pub(super) const AUTORESTART: Opt = opt("autorestart", Type::AutoRestart, "unexpected");
pub(super) const STARTSECS: Opt = opt("startsecs", Type::Whole, "1");
pub(super) const STARTRETRIES: Opt = opt("startretries", Type::Whole, "3");
pub(super) const STOPSIGNAL: Opt = opt("stopsignal", Type::Signal, "TERM");
pub(super) const STOPWAITSECS: Opt = opt("stopwaitsecs", Type::Whole, "10");
pub(super) const STOPASGROUP: Opt = opt("stopasgroup", Type::Boolean, "false");
/// Without a value it follows `stopasgroup`.
pub(super) const KILLASGROUP: Opt = unset("killasgroup", Type::Boolean);
pub(super) const EXITCODES: Opt = opt("exitcodes", Type::ExitCodes, "0");
pub(super) const REDIRECT_STDERR: Opt = opt("redirect_stderr", Type::Boolean, "false");
pub(super) const NUMPROCS: Opt = opt("numprocs", Type::Whole, "1");
pub(super) const NUMPROCS_START: Opt = opt("numprocs_start", Type::Whole, "0");
pub(super) const SERVERURL: Opt = unset("serverurl", Type::Text);
pub(super) const UMASK: Opt = unset("umask", Type::Octal);
pub(super) const PROCESS_NAME: Opt = opt("process_name", Type::Name, "%(program_name)s");
/// Not checked when it is read.
pub(super) const WORKING_DIRECTORY: Opt = unset("directory", Type::Text);
pub(super) const COMMAND: Opt = unset("command", Type::Text);

const PROGRAM: &[&Opt] = &[
    &PRIORITY,
    &AUTOSTART,
    &AUTORESTART,
    &STARTSECS,
    &STARTRETRIES,
    &STOPSIGNAL,
    &STOPWAITSECS,
    &STOPASGROUP,
    &KILLASGROUP,
    &EXITCODES,
    &REDIRECT_STDERR,
    &NUMPROCS,
    &NUMPROCS_START,
    &ENVIRONMENT,
    &SERVERURL,
    &USER,
    &UMASK,
    &PROCESS_NAME,
    &WORKING_DIRECTORY,
    &COMMAND,
];

/// The keys of one output stream.
pub(super) struct StreamOptions {
    pub(super) logfile: Opt,
    pub(super) backups: Opt,
    pub(super) maxbytes: Opt,
    pub(super) syslog: Opt,
    pub(super) capture: Opt,
    pub(super) events: Opt,
}

impl StreamOptions {
    const fn all(&self) -> [&Opt; 6] {
        [&self.logfile, &self.backups, &self.maxbytes, &self.syslog, &self.capture, &self.events]
    }
}

pub(super) static STDOUT: StreamOptions = StreamOptions {
    logfile: unset("stdout_logfile", Type::LogFile),
    backups: opt("stdout_logfile_backups", Type::Whole, "10"),
    maxbytes: opt("stdout_logfile_maxbytes", Type::Bytes, "50MB"),
    syslog: opt("stdout_syslog", Type::Boolean, "false"),
    capture: opt("stdout_capture_maxbytes", Type::Bytes, "0"),
    events: opt("stdout_events_enabled", Type::Boolean, "false"),
};

pub(super) static STDERR: StreamOptions = StreamOptions {
    logfile: unset("stderr_logfile", Type::LogFile),
    backups: opt("stderr_logfile_backups", Type::Whole, "10"),
    maxbytes: opt("stderr_logfile_maxbytes", Type::Bytes, "50MB"),
    syslog: opt("stderr_syslog", Type::Boolean, "false"),
    capture: opt("stderr_capture_maxbytes", Type::Bytes, "0"),
    events: opt("stderr_events_enabled", Type::Boolean, "false"),
};

pub(super) const SOCKET: Opt = unset("socket", Type::Socket);
pub(super) const SOCKET_BACKLOG: Opt = unset("socket_backlog", Type::Whole);
pub(super) const SOCKET_OWNER: Opt = unset("socket_owner", Type::Owner);
pub(super) const SOCKET_MODE: Opt = unset("socket_mode", Type::Octal);
const FCGI: &[&Opt] = &[&SOCKET, &SOCKET_BACKLOG, &SOCKET_OWNER, &SOCKET_MODE];

pub(super) const BUFFER_SIZE: Opt = opt("buffer_size", Type::Whole, "10");
pub(super) const EVENTS: Opt = opt("events", Type::List, "");
pub(super) const RESULT_HANDLER: Opt = opt("result_handler", Type::Text, "supervisor.dispatchers:default_handler");
const LISTENER: &[&Opt] = &[&BUFFER_SIZE, &EVENTS, &RESULT_HANDLER];

/// The key that names a plugin's factory.
pub(super) const RPC_FACTORY: Opt = unset("supervisor.rpcinterface_factory", Type::Text);
/// The factory of the namespace `supervisor`.
pub(super) const MAIN_RPC_FACTORY: &str = "supervisor.rpcinterface:make_main_rpcinterface";

/// Keys with this beginning, in a section of processes, are for musterd alone: the original ignores them.
pub(super) const OWN_KEYS: &str = "muster.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_sections() {
        let check = |name: &str, expected: Option<Kind>| assert_eq!(Kind::of(name), expected, "{name}");
        check("supervisord", Some(Kind::Supervisord));
        check("Supervisord", None);
        check("supervisord2", None);
        check("unix_http_server", Some(Kind::UnixServer));
        check("unix_http_server:admin", Some(Kind::UnixServer));
        check("inet_http_server2", Some(Kind::InetServer));
        check("program:", Some(Kind::Program));
        check("program", None);
        check("fcgi-program:a", Some(Kind::Fcgi));
    }

    #[test]
    fn no_kind_has_a_key_twice_except_for_the_two_priorities_of_a_pool() {
        for (_, kind) in SECTIONS {
            let mut keys: Vec<_> = kind.options().into_iter().flatten().map(|option| option.key).collect();
            let all = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), all, "{kind:?}");
        }
    }
}
