//! The one list of keys: name, type, default, meaning and reader of each.
//!
//! It drives reading, the errors "unknown key" and "not supported yet", the reference page and the annotated
//! `config/muster.toml` (a test compares both with this list). A new key is an entry here and a reader in `drafts`. Long
//! because it is a list.

use muster_spec::{
    ApplyWhen, ClientCertificates, ExecAt, ExitStatus, Forget, Kind, Leftovers, LineFormat, ListenerMode, LogFormat,
    LogLevel, OnFailure, Overflow, Preset, ProbeKind, Role, RpcDuringShutdown, SecondSignal, ShutdownOrder, SocketKeep,
    StartFailures, StartOn, StopKill, StopScope, SyslogFormat, TlsVersion,
};

use crate::drafts::backoff::BackoffDraft;
use crate::drafts::checks::HttpDraft;
use crate::drafts::control::ControlDraft;
use crate::drafts::daemon::{DaemonDraft, MOST_STARTS};
use crate::drafts::hooks::HookDraft;
use crate::drafts::identities::IdentityDraft;
use crate::drafts::instance::Parts;
use crate::drafts::listen::ListenDraft;
use crate::drafts::logs::OutputDraft;
use crate::drafts::notifier::NotifierDraft;
use crate::drafts::probes::ProbeDraft;
use crate::drafts::program::Rules;
use crate::drafts::ready::ReadyDraft;
use crate::drafts::rlimits::Bounds;
use crate::drafts::scheduling::{read_cpus, read_ionice, read_sched};
use crate::drafts::sockets::SocketDraft;
use crate::drafts::source::SourceDraft;
use crate::drafts::tls::TlsDraft;
use crate::field::Field;
use crate::shape::{self, Shape};

/// A table of the configuration that keys stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// The root, outside all tables.
    Root,
    /// `[musterd]`.
    Musterd,
    /// `[http]`.
    Http,
    /// `listen = [{ … }]` of `[http]`.
    Listen,
    /// `[http.user.NAME]`.
    User,
    /// `[group.NAME]`.
    Group,
    /// `[program.NAME]`, and `[defaults]` for all of them.
    Program,
    /// `[program.NAME.logs]`.
    Logs,
    /// `ready = { … }`.
    Ready,
    /// `[program.NAME.probes.NAME]`.
    Probe,
    /// `http = { … }` of a probe or of `ready`.
    HttpCheck,
    /// `pre_start = { … }` and the other hooks.
    Hook,
    /// `backoff = { … }`.
    Backoff,
    /// `rlimits = { RESOURCE = { … } }`.
    Rlimit,
    /// `[program.NAME.sockets.NAME]`.
    Socket,
    /// `[source.NAME]`.
    Source,
    /// `[notify.NAME]`.
    Notifier,
}

impl Table {
    /// Every table, in the order of the reference.
    pub const ALL: [Table; 17] = [
        Table::Root,
        Table::Musterd,
        Table::Http,
        Table::Listen,
        Table::User,
        Table::Program,
        Table::Ready,
        Table::Probe,
        Table::HttpCheck,
        Table::Hook,
        Table::Logs,
        Table::Backoff,
        Table::Rlimit,
        Table::Socket,
        Table::Group,
        Table::Source,
        Table::Notifier,
    ];

    /// As it is written.
    pub const fn header(self) -> &'static str {
        match self {
            Table::Root => "(top level)",
            Table::Musterd => "[musterd]",
            Table::Http => "[http]",
            Table::Listen => "[[http.listen]]",
            Table::User => "[http.user.NAME]",
            Table::Group => "[group.NAME]",
            Table::Program => "[program.NAME]",
            Table::Logs => "[program.NAME.logs]",
            Table::Ready => "[program.NAME.ready]",
            Table::Probe => "[program.NAME.probes.NAME]",
            Table::HttpCheck => "[program.NAME.probes.NAME.http]",
            Table::Hook => "[program.NAME.pre_start]",
            Table::Backoff => "[program.NAME.backoff]",
            Table::Rlimit => "[program.NAME.rlimits.RESOURCE]",
            Table::Socket => "[program.NAME.sockets.NAME]",
            Table::Source => "[source.NAME]",
            Table::Notifier => "[notify.NAME]",
        }
    }
}

/// A key of the configuration.
pub struct Key {
    /// The table it stands in.
    pub table: Table,
    /// Its name.
    pub name: &'static str,
    /// The type of its value, in a few words.
    pub value: &'static str,
    /// Its default as TOML; empty if it is unset by default.
    pub default: &'static str,
    /// Its meaning, in a line.
    pub doc: &'static str,
    /// The source of a number; empty if it needs none.
    pub why: &'static str,
    /// The JSON Schema of its value, where `value` is not precise enough.
    pub(crate) shape: Option<Shape>,
    pub(crate) reader: Reader,
}

impl Key {
    /// Whether it is supported; the others are known and rejected.
    pub fn is_supported(&self) -> bool {
        !matches!(self.reader, Reader::Later)
    }

    /// Whether it names files of variables.
    pub(crate) fn reads_variables(&self) -> bool {
        matches!(self.name, "env_file" | "env_dir")
    }

    /// Whether it sets variables, from files or by itself.
    pub(crate) fn sets_variables(&self) -> bool {
        self.reads_variables() || self.name == "environment"
    }
}

/// The reader of a key.
#[derive(Clone, Copy)]
pub(crate) enum Reader {
    /// `sections` itself.
    Structure,
    /// None: not supported yet.
    Later,
    Daemon(fn(&mut DaemonDraft, &Field<'_>)),
    Control(fn(&mut ControlDraft, &Field<'_>)),
    Listen(fn(&mut ListenDraft, &Field<'_>)),
    Identity(fn(&mut IdentityDraft, &Field<'_>)),
    /// Once for a program.
    Rules(fn(&mut Rules, &Field<'_>)),
    /// Once for each instance of a program.
    Parts(fn(&mut Parts, &Field<'_>)),
    Logs(fn(&mut OutputDraft, &Field<'_>)),
    Backoff(fn(&mut BackoffDraft, &Field<'_>)),
    Rlimit(fn(&mut Bounds, &Field<'_>)),
    Socket(fn(&mut SocketDraft, &Field<'_>)),
    Source(fn(&mut SourceDraft, &Field<'_>)),
    Notifier(fn(&mut NotifierDraft, &Field<'_>)),
    Ready(fn(&mut ReadyDraft, &Field<'_>)),
    Probe(fn(&mut ProbeDraft, &Field<'_>)),
    Hook(fn(&mut HookDraft, &Field<'_>)),
    HttpCheck(fn(&mut HttpDraft, &Field<'_>)),
}

/// The key of this name in a table.
pub fn find(table: Table, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.table == table && key.name == name)
}

/// The keys of a table, in the order of the reference.
pub fn of(table: Table) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.table == table)
}

const fn key(
    table: Table,
    name: &'static str,
    value: &'static str,
    default: &'static str,
    doc: &'static str,
    reader: Reader,
) -> Key {
    Key { table, name, value, default, doc, why: "", shape: None, reader }
}

const fn later(table: Table, name: &'static str, doc: &'static str) -> Key {
    key(table, name, "", "", doc, Reader::Later)
}

impl Key {
    const fn because(mut self, why: &'static str) -> Key {
        self.why = why;
        self
    }

    const fn shaped(mut self, shape: Shape) -> Key {
        self.shape = Some(shape);
        self
    }
}

const fn rules(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    doc: &'static str,
    read: fn(&mut Rules, &Field<'_>),
) -> Key {
    key(Table::Program, name, value, default, doc, Reader::Rules(read))
}

const fn parts(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    doc: &'static str,
    read: fn(&mut Parts, &Field<'_>),
) -> Key {
    key(Table::Program, name, value, default, doc, Reader::Parts(read))
}

const fn listen(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    doc: &'static str,
    read: fn(&mut ListenDraft, &Field<'_>),
) -> Key {
    key(Table::Listen, name, value, default, doc, Reader::Listen(read))
}

const fn user(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    doc: &'static str,
    read: fn(&mut IdentityDraft, &Field<'_>),
) -> Key {
    key(Table::User, name, value, default, doc, Reader::Identity(read))
}

const fn notify(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    doc: &'static str,
    read: fn(&mut NotifierDraft, &Field<'_>),
) -> Key {
    key(Table::Notifier, name, value, default, doc, Reader::Notifier(read))
}

/// Every key, known or supported.
pub static KEYS: &[Key] = &[
    key(
        Table::Root,
        "include",
        "list of paths",
        "[]",
        "more files, relative to this one, with `*` and `?`; sorted, and later files override earlier ones key \
         by key",
        Reader::Structure,
    ),
    key(Table::Root, "musterd", "table", "", "the daemon itself", Reader::Structure),
    key(Table::Root, "http", "table", "", "its control socket", Reader::Structure),
    key(Table::Root, "defaults", "table", "", "any key of a program, for all programs", Reader::Structure),
    key(Table::Root, "program", "tables", "", "the programs, each under its name", Reader::Structure),
    key(Table::Root, "group", "tables", "", "names for several programs at once", Reader::Structure),
    key(Table::Root, "source", "tables", "", "servers with further parts of the configuration", Reader::Structure),
    key(Table::Root, "notify", "tables", "", "commands and web servers that events are passed on to", Reader::Structure),
    key(
        Table::Musterd,
        "loglevel",
        "word",
        "\"info\"",
        "the level of its own messages: error, warn, info, debug, trace",
        Reader::Daemon(DaemonDraft::loglevel),
    )
    .shaped(Shape::Words(&LogLevel::WORDS)),
    key(
        Table::Musterd,
        "logformat",
        "word",
        "\"text\"",
        "the format of its own messages: `text`, `json` with one object per line, or `supervisord` with the lines of \
         supervisord's main log",
        Reader::Daemon(DaemonDraft::logformat),
    )
    .shaped(Shape::Words(&LogFormat::WORDS)),
    key(
        Table::Musterd,
        "logfile",
        "path",
        "\"-\"",
        "the file for its own messages; `-` is stderr, `syslog` the receiver of `syslog`",
        Reader::Daemon(DaemonDraft::logfile),
    ),
    key(
        Table::Musterd,
        "log_to_stdout",
        "boolean",
        "false",
        "write its own messages to stdout, too",
        Reader::Daemon(DaemonDraft::log_to_stdout),
    ),
    key(
        Table::Musterd,
        "logfile_max_size",
        "size",
        "\"50MB\"",
        "rotate `logfile` at this size, as programs' log files are; 0 is never",
        Reader::Daemon(DaemonDraft::logfile_max_size),
    ),
    key(
        Table::Musterd,
        "logfile_max_files",
        "number",
        "10",
        "the number of rotated files to keep",
        Reader::Daemon(DaemonDraft::logfile_max_files),
    )
    .shaped(Shape::Whole(0, 1000)),
    key(
        Table::Musterd,
        "logfile_compress",
        "boolean",
        "false",
        "compress rotated files with gzip, in the background",
        Reader::Daemon(DaemonDraft::logfile_compress),
    ),
    key(
        Table::Musterd,
        "shutdown_timeout",
        "duration or \"unlimited\"",
        "\"9s\"",
        "the budget for stopping all programs; their `stopwaitsecs` are shortened to fit; `unlimited` gives \
         each its full time",
        Reader::Daemon(DaemonDraft::shutdown_timeout),
    )
    .because("`docker stop` kills after 10 s; one second is left to reap and to flush logs")
    .shaped(Shape::Special(shape::shutdown_timeout)),
    key(
        Table::Musterd,
        "shutdown",
        "word",
        "\"parallel\"",
        "how programs of equal priority stop at a shutdown: `parallel` is all at once, `serial` one after another by \
         descending name",
        Reader::Daemon(DaemonDraft::shutdown),
    )
    .shaped(Shape::Words(&ShutdownOrder::WORDS)),
    key(
        Table::Musterd,
        "exit_status",
        "word",
        "\"cause\"",
        "the daemon's exit code: `cause` is that of the program whose end caused the shutdown, 0 after a signal or a \
         command; with `failures`, a signal from one of its own programs, or supervisord's `shutdown` requested by one, yields the code of the last failure; `zero` is \
         always 0",
        Reader::Daemon(DaemonDraft::exit_status),
    )
    .shaped(Shape::Words(&ExitStatus::WORDS)),
    key(
        Table::Musterd,
        "second_signal",
        "word",
        "\"hurry\"",
        "a repeated TERM, INT or QUIT: `hurry` kills all programs, `interrupt` does so for INT only, `ignore` never",
        Reader::Daemon(DaemonDraft::second_signal),
    )
    .shaped(Shape::Words(&SecondSignal::WORDS)),
    key(
        Table::Musterd,
        "rpc_during_shutdown",
        "word",
        "\"answer\"",
        "how methods of supervisord's XML-RPC that change nothing are answered while the daemon shuts down: `answer` as \
         always, `fault` with SHUTDOWN_STATE, as supervisord does",
        Reader::Daemon(DaemonDraft::rpc_during_shutdown),
    )
    .shaped(Shape::Words(&RpcDuringShutdown::WORDS)),
    key(
        Table::Musterd,
        "exit_when_done",
        "boolean",
        "true",
        "exit when all autostarted programs have exited and will not be restarted",
        Reader::Daemon(DaemonDraft::exit_when_done),
    ),
    key(
        Table::Musterd,
        "max_parallel_starts",
        "number",
        "0",
        "the most instances that may be STARTING at a time; others wait in WAITING, those with the lowest `priority` first, and \
         retries after all of them. 0 is without limit",
        Reader::Daemon(DaemonDraft::max_parallel_starts),
    )
    .shaped(Shape::Whole(0, MOST_STARTS)),
    key(
        Table::Musterd,
        "pidfile",
        "path",
        "\"\"",
        "the file for the daemon's pid; empty is none",
        Reader::Daemon(DaemonDraft::pidfile),
    ),
    key(
        Table::Musterd,
        "umask",
        "octal text",
        "\"022\"",
        "the umask of the daemon, and of programs that set none",
        Reader::Daemon(DaemonDraft::umask),
    )
    .because("what login shells and supervisord use"),
    key(
        Table::Musterd,
        "directory",
        "path",
        "\"\"",
        "the daemon's working directory; empty leaves it unchanged",
        Reader::Daemon(DaemonDraft::directory),
    ),
    key(
        Table::Musterd,
        "user",
        "user or user:group",
        "\"\"",
        "the user that the daemon becomes, for good, once the sockets of the API and of its programs are open; all programs run as this \
         user. Empty stays the one that started it",
        Reader::Daemon(DaemonDraft::user),
    )
    .shaped(Shape::Special(shape::optional_user)),
    key(
        Table::Musterd,
        "environment",
        "table of text",
        "{}",
        "variables for all programs, which may override them",
        Reader::Daemon(DaemonDraft::environment),
    ),
    key(
        Table::Musterd,
        "watch",
        "boolean",
        "false",
        "reload when a file of the configuration changes, half a second after the last change",
        Reader::Daemon(DaemonDraft::watch),
    ),
    key(
        Table::Musterd,
        "syslog",
        "address",
        "\"unix:///dev/log\"",
        "the receiver for programs with `stdout = \"syslog\"`: `unix:///path`, `udp://host:port`, \
         `tcp://host:port`; the port defaults to 514",
        Reader::Daemon(DaemonDraft::syslog),
    )
    .because("RFC 5426, section 3.3, for UDP; for TCP, RFC 6587, section 3.3, notes that it is in use")
    .shaped(Shape::Special(shape::syslog)),
    key(
        Table::Musterd,
        "syslog_format",
        "word",
        "",
        "`rfc5424`, or `local`, the format of syslog(3); unset is `local` for /dev/log, where rsyslog and \
         journald accept nothing else by default, and otherwise `rfc5424`",
        Reader::Daemon(DaemonDraft::syslog_format),
    )
    .shaped(Shape::Words(&SyslogFormat::WORDS)),
    key(
        Table::Musterd,
        "syslog_facility",
        "word",
        "\"daemon\"",
        "the facility of all messages: `user`, `mail`, `daemon`, `auth`, `syslog`, `lpr`, `news`, `uucp`, `cron`, \
         `authpriv`, `ftp`, `local0` to `local7`",
        Reader::Daemon(DaemonDraft::syslog_facility),
    )
    .shaped(Shape::Special(shape::syslog_facility)),
    key(
        Table::Musterd,
        "state_dir",
        "path",
        "\"\"",
        "the directory for what survives restarts of the container: programs stopped by hand with `unless-stopped`, live scales, \
         when schedules ran, `once`, the last runs of each instance, and the last good texts of sources. Its mode must be 0700. \
         Empty keeps nothing",
        Reader::Daemon(DaemonDraft::state_dir),
    ),
    key(
        Table::Musterd,
        "timezone",
        "text",
        "\"UTC\"",
        "the time zone of schedules that name none: a name such as `Europe/Berlin`, or an offset such as `+02:00`; `TZ` of the \
         container has no effect on it",
        Reader::Daemon(DaemonDraft::timezone),
    ),
    key(
        Table::Http,
        "socket",
        "path",
        "\"/run/muster.sock\"",
        "the control socket; empty is none",
        Reader::Control(ControlDraft::socket),
    ),
    key(
        Table::Http,
        "mode",
        "octal text",
        "\"0600\"",
        "its file mode; 0666 if users are listed below, since the daemon then checks the peer's uid",
        Reader::Control(ControlDraft::mode),
    )
    .because("control equals root access, so only the owner may connect by default"),
    key(
        Table::Http,
        "owner",
        "user",
        "\"\"",
        "its owner: `user`, `user:group`, or numbers; empty leaves it unchanged",
        Reader::Control(ControlDraft::owner),
    )
    .shaped(Shape::Special(shape::optional_user)),
    key(
        Table::Http,
        "allow_users",
        "list of users",
        "[]",
        "users with full access, besides root and the daemon's own user",
        Reader::Control(ControlDraft::allow_users),
    ),
    key(
        Table::Http,
        "readonly_users",
        "list of users",
        "[]",
        "users with read-only access",
        Reader::Control(ControlDraft::readonly_users),
    ),
    key(
        Table::Http,
        "listen",
        "list of addresses",
        "[]",
        "more listeners: `https://HOST:PORT` or `http://HOST:PORT` with a number, `localhost` or `*`, `unix:///PATH`, `fd://NAME` for an inherited \
         socket; or tables with keys of their own",
        Reader::Control(ControlDraft::listen),
    )
    .shaped(Shape::Special(shape::listen)),
    key(Table::Http, "user", "tables", "", "users that log in, each under its name", Reader::Control(ControlDraft::users))
        .shaped(Shape::Special(shape::http_users)),
    key(
        Table::Http,
        "token_file",
        "path",
        "\"\"",
        "short for a user `token` with this file, who may do everything",
        Reader::Control(ControlDraft::token_file),
    ),
    key(
        Table::Http,
        "username",
        "text",
        "\"\"",
        "short for a user of this name with `password_file`, who may do everything",
        Reader::Control(ControlDraft::username),
    ),
    key(Table::Http, "password_file", "path", "\"\"", "a file with its password, or the hash of it that `openssl passwd -6` prints", Reader::Control(ControlDraft::password_file)),
    key(
        Table::Http,
        "allow_hosts",
        "list of names",
        "[]",
        "names of this host that requests over TCP may use, besides its own, `localhost` and numbers; `*.` in front is for all \
         below",
        Reader::Control(ControlDraft::allow_hosts),
    ),
    key(
        Table::Http,
        "allow_origins",
        "list of names",
        "[]",
        "origins of web pages that may send requests and read answers, such as `https://ops.example.org`, besides our own",
        Reader::Control(ControlDraft::allow_origins),
    ),
    key(
        Table::Http,
        "tls_cert",
        "path",
        "\"\"",
        "the certificate of listeners with `https://`, a PEM file, followed by those of its issuers; listeners without `http://` or \
         `https://` then are `https://`",
        Reader::Control(|draft, field| draft.tls(TlsDraft::cert, field)),
    ),
    key(
        Table::Http,
        "tls_key",
        "path",
        "\"\"",
        "its private key; a file that every user can read is refused, except under `/run/secrets` and `/var/run/secrets`",
        Reader::Control(|draft, field| draft.tls(TlsDraft::key, field)),
    ),
    key(
        Table::Http,
        "tls_min",
        "word",
        "\"1.3\"",
        "the oldest version of TLS: `1.3` or `1.2`",
        Reader::Control(|draft, field| draft.tls(TlsDraft::min, field)),
    )
    .shaped(Shape::Words(&TlsVersion::WORDS)),
    key(
        Table::Http,
        "tls_client_ca",
        "path",
        "\"\"",
        "the authority of client certificates, a PEM file; a client with a certificate of another one cannot connect",
        Reader::Control(|draft, field| draft.tls(TlsDraft::client_ca, field)),
    ),
    key(
        Table::Http,
        "tls_client",
        "word",
        "\"request\"",
        "whether a client must have a certificate: `request` or `require`",
        Reader::Control(|draft, field| draft.tls(TlsDraft::client, field)),
    )
    .shaped(Shape::Words(&ClientCertificates::WORDS)),
    key(
        Table::Http,
        "tls_client_crl",
        "path",
        "\"\"",
        "the certificates that the authority revoked, a PEM file; a client with one of them cannot connect",
        Reader::Control(|draft, field| draft.tls(TlsDraft::client_crl, field)),
    ),
    key(
        Table::Http,
        "exec",
        "word",
        "\"unix\"",
        "the listeners at which `musterctl exec` may run commands in the context of programs: `off`, `unix` for Unix sockets, or \
         `everywhere`",
        Reader::Control(ControlDraft::exec),
    )
    .shaped(Shape::Words(&ExecAt::WORDS)),
    key(
        Table::Http,
        "debug",
        "boolean",
        "false",
        "answer `GET /v1/debug/PART`, for users with the role admin: how long turns of the loop take, timers, descriptors, memory, \
         connections, a recording and traces",
        Reader::Control(ControlDraft::debug),
    ),
    listen("address", "address", "", "its address", ListenDraft::address),
    listen("role", "word", "\"admin\"", "the highest role of its clients", ListenDraft::role)
        .shaped(Shape::Words(&Role::WORDS)),
    listen(
        "anyone",
        "word",
        "",
        "the role of a client that does not log in: at most `metrics` on TCP, `read` on a Unix socket; unset is `health` on \
         TCP, and none on a Unix socket",
        ListenDraft::anyone,
    )
    .shaped(Shape::Words(&Role::WORDS)),
    listen(
        "insecure",
        "boolean",
        "false",
        "allow `http://` on an address that other hosts reach, where tokens and passwords can be read on the way",
        ListenDraft::insecure,
    ),
    listen("mode", "octal text", "\"0600\"", "the mode of a Unix socket's file", ListenDraft::mode),
    listen("owner", "user", "\"\"", "the owner of a Unix socket's file", ListenDraft::owner)
        .shaped(Shape::Special(shape::optional_user)),
    listen(
        "connections",
        "number",
        "64",
        "the most connections at a time; 256 on a Unix socket",
        ListenDraft::connections,
    )
    .shaped(Shape::Whole(1, 4096)),
    listen("allow_hosts", "list of names", "[]", "more names of this host, at this listener", ListenDraft::allow_hosts),
    listen("tls_cert", "path", "", "its certificate, instead of that of `[http]`", |draft, field| {
        draft.tls(TlsDraft::cert, field)
    }),
    listen("tls_key", "path", "", "the key of its certificate", |draft, field| draft.tls(TlsDraft::key, field)),
    listen("tls_min", "word", "\"1.3\"", "its oldest version of TLS", |draft, field| draft.tls(TlsDraft::min, field))
        .shaped(Shape::Words(&TlsVersion::WORDS)),
    listen("tls_client_ca", "path", "", "its authority of client certificates; empty is none", |draft, field| {
        draft.tls(TlsDraft::client_ca, field)
    }),
    listen("tls_client", "word", "\"request\"", "whether its clients must have a certificate", |draft, field| {
        draft.tls(TlsDraft::client, field)
    })
    .shaped(Shape::Words(&ClientCertificates::WORDS)),
    listen("tls_client_crl", "path", "", "the certificates that its authority revoked", |draft, field| {
        draft.tls(TlsDraft::client_crl, field)
    }),
    user("role", "word", "\"admin\"", "what it may do: `health`, `metrics`, `read`, `control` or `admin`", IdentityDraft::role)
        .shaped(Shape::Words(&Role::WORDS)),
    user(
        "token_file",
        "path",
        "\"\"",
        "a file with one to eight tokens, one a line, any of which is right: `Authorization: Bearer TOKEN`",
        IdentityDraft::token_file,
    ),
    user("password_file", "path", "\"\"", "a file with its password, or the hash of it that `openssl passwd -6` prints: `$6$` or `$5$` of crypt, with at most 50000 rounds", IdentityDraft::password_file),
    user(
        "cert",
        "text",
        "\"\"",
        "the name in its client certificate, of `tls_client_ca`: a URI such as `spiffe://…`, an email address or a DNS name; the \
         common name counts only in a certificate without such names",
        IdentityDraft::cert,
    ),
    user(
        "cert_sha256",
        "text",
        "\"\"",
        "the SHA-256 of its client certificate, which then needs no `tls_client_ca`",
        IdentityDraft::cert_sha256,
    ),
    user("uid", "user", "\"\"", "the user whose processes it is on a Unix socket", IdentityDraft::uid)
        .shaped(Shape::Special(shape::optional_user)),
    parts(
        "command",
        "text or list",
        "",
        "the command: text is split into words as a shell would, but no shell is run; `#` does not begin a \
         comment",
        Parts::command,
    ),
    rules("type", "word", "\"service\"", "a `service` keeps running, a `oneshot` exits successfully", Rules::kind)
        .shaped(Shape::Words(&Kind::WORDS)),
    rules("autostart", "boolean", "true", "start with the daemon", Rules::autostart),
    rules(
        "start_on",
        "word",
        "\"boot\"",
        "`connection` has a start wait, in WAITING, until a client has sent something to one of its `sockets`; after an exit \
         with success it waits again, whatever `restart` says",
        Rules::start_on,
    )
    .shaped(Shape::Words(&StartOn::WORDS)),
    rules(
        "start_delay",
        "duration, or table",
        "\"0s\"",
        "wait this long before the first run after a start, in WAITING, once its dependencies hold; not before a retry or a \
         restart. A second `musterctl start` ends the wait. `{ delay = \"2s\", stagger = \"500ms\" }` adds `stagger` for each \
         instance before it",
        Rules::read_start_delay,
    )
    .shaped(Shape::Special(shape::start_delay)),
    rules(
        "once",
        "boolean",
        "false",
        "run a oneshot until it has succeeded once, and not again while `state_dir` is kept and its command is the same: it is \
         EXITED from the start, and `completed` holds. `musterctl start` runs it anyway",
        Rules::read_once,
    ),
    rules(
        "restart",
        "word",
        "\"on-failure\"",
        "when to restart after an exit: `no`, `on-failure`, `always`, `unless-stopped`; `on-failure:N` and \
         `always:N` also set `startretries`",
        Rules::restart,
    )
    .shaped(Shape::Special(shape::restart)),
    rules(
        "schedule",
        "text, list or table",
        "",
        "when it is started by itself: five fields of cron, or six that begin with seconds; `@hourly`, `@daily`, `@weekly`, \
         `@monthly`, `@yearly`; `@every 90s`; `TZ=Europe/Berlin` before the fields; or a list of these. \
         `{ cron = \"30 2 * * *\", timezone = \"UTC\", overlap = \"skip\", jitter = \"0s\", missed = \"skip\", \
         run_on_start = false }`: `overlap` says what a time does that comes during a run, skip, queue or replace; `jitter` \
         is the longest random delay. With a schedule, `type` is `oneshot` and `restart` is `no` unless they are given",
        Rules::read_schedule,
    )
    .shaped(Shape::Special(shape::schedule)),
    rules(
        "startretries",
        "number or \"unlimited\"",
        "10",
        "restarts after consecutive failures before the program is FATAL; a successful exit does not count as \
         a failure",
        Rules::startretries,
    )
    .shaped(Shape::Special(shape::startretries))
    .because("about four minutes with the default backoff"),
    rules(
        "startretries_forget",
        "word",
        "\"with-delay\"",
        "when the failure count is reset: `with-delay`, or `never` except by a manual start, as in Docker",
        Rules::startretries_forget,
    )
    .shaped(Shape::Words(&Forget::WORDS)),
    rules(
        "forgive_on_start",
        "boolean",
        "true",
        "whether a manual start resets the failure count and the delay; `false` keeps them, as supervisord does, \
         unless the program was given up (FATAL)",
        Rules::forgive_on_start,
    ),
    rules(
        "start_failures",
        "word",
        "\"policy\"",
        "how to treat a run that never came up: `policy` like any other exit; `retry` retries every exit \
         before RUNNING up to `startretries`, regardless of its status and `restart`, as in supervisord; \
         `final` gives up if it cannot be spawned, as in Docker",
        Rules::start_failures,
    )
    .shaped(Shape::Words(&StartFailures::WORDS)),
    rules(
        "restart_limit",
        "table",
        "",
        "instead of `startretries`: `{ starts = 5, within = \"10s\" }` allows 5 starts in a window opened by \
         the first; after that the program is FATAL, or with `then = \"wait\"` the next start waits for the \
         end of the window",
        Rules::restart_limit,
    )
    .shaped(Shape::Special(shape::restart_limit)),
    rules("startsecs", "duration", "1", "how long a run must stay up to be RUNNING; 0 is at once", Rules::startsecs)
        .because("supervisord's"),
    rules(
        "max_runtime",
        "duration",
        "\"0s\"",
        "how long a run may last from its execution on; after that it has failed, and is stopped and restarted by the policy; \
         0 is without end",
        Rules::max_runtime,
    ),
    rules(
        "exitcodes",
        "list of numbers",
        "[0]",
        "the exit statuses, 0 to 255, that count as success",
        Rules::exitcodes,
    )
    .shaped(Shape::Special(shape::exitcodes)),
    rules(
        "on_exit",
        "table",
        "{}",
        "what certain ends mean, whatever `restart` says: exit statuses (`75`), ranges (`\"100-109\"`), signals (`HUP`), `signal`, \
         `failure`, `spawn-error` or `oom`, and for each `success`, `failure`, `restart`, `restart-now`, `stop`, `fatal`, `exit` or \
         `restart-all`",
        Rules::on_exit,
    )
    .shaped(Shape::Special(shape::on_exit)),
    rules(
        "backoff",
        "table or preset",
        "{ delay = \"500ms\", factor = 2, max = \"60s\", jitter = 0, reset_after = \"10s\" }",
        "the delay before a restart; `docker`, `kubernetes`, `supervisord` and `systemd` are presets of the \
         whole policy, and `{ preset = \"docker\", max = \"30s\" }` overrides a part of one",
        Rules::backoff,
    )
    .shaped(Shape::Special(shape::backoff))
    .because("between Docker's 100 ms and supervisord's 1 s; see the presets"),
    parts(
        "ready",
        "word or table",
        "",
        "how a run signals that it is ready and thereby RUNNING: `notify` (sd_notify's READY=1), `{ fd = 3 }`, \
         `{ log = \"regex\" }`, or a check, `{ tcp = … }`, `{ http = … }`, `{ exec = … }`; unset is by staying \
         up for `startsecs`",
        Parts::ready,
    )
    .shaped(Shape::Special(shape::ready)),
    parts(
        "start_timeout",
        "duration",
        "\"60s\"",
        "how long a run with `ready` may take to become ready before it has failed",
        Parts::start_timeout,
    ),
    rules(
        "depends_on",
        "list of names or table",
        "[]",
        "programs to wait for before it starts: `[\"db\"]`, or with a condition for each, `{ db = \"ready\", \
         migrate = \"completed\" }`: `started`, `ready`, `healthy`, `completed` (exited successfully), `exited`",
        Rules::depends_on,
    )
    .shaped(Shape::Special(shape::depends_on)),
    rules("restart_with", "list of names", "[]", "restart it when one of these restarts", Rules::restart_with),
    rules(
        "priority",
        "number",
        "999",
        "the start order, ascending; programs of equal priority start and stop together, and the stop order is \
         the reverse",
        Rules::priority,
    )
    .shaped(Shape::Whole(i64::MIN, i64::MAX))
    .because("supervisord's"),
    rules(
        "numprocs",
        "number or `cpus`",
        "1",
        "the number of instances, named `web:0`, `web:1` …; 1 to 1000. `cpus` is as many as the processors that the container may \
         use, a quota rounded up. `musterctl scale` changes it at run time",
        |rules, field| rules.numprocs.number(field),
    )
    .shaped(Shape::Special(shape::numprocs))
    .because("1000: a typo should not start ten million processes"),
    rules("numprocs_min", "number", "1", "the least number that `musterctl scale` accepts", |rules, field| {
        rules.numprocs.least(field)
    })
    .shaped(Shape::Whole(1, 1000)),
    rules("numprocs_max", "number", "1000", "the greatest number that `musterctl scale` accepts", |rules, field| {
        rules.numprocs.most(field)
    })
    .shaped(Shape::Whole(1, 1000)),
    rules("numprocs_start", "number", "0", "the number of the first instance", |rules, field| {
        rules.numprocs.first(field)
    })
    .shaped(Shape::Whole(0, 1_000_000))
    .because("supervisord's"),
    rules(
        "rolling",
        "number, or table",
        "0",
        "restart this many instances at a time, and the next ones when these are ready, while the others serve: for \
         `musterctl restart`, and for a reload that needs new processes. 0 restarts all of them together. \
         `{ parallel = 1, pause = \"0s\", wait = \"ready\" }`: `wait` is the condition for the next step, one of ready, \
         healthy, running",
        |rules, field| rules.turns.rolling(field),
    )
    .shaped(Shape::Special(shape::rolling)),
    rules(
        "watch",
        "list, or table",
        "",
        "files whose changes restart it, relative to this file: paths with `*`, `?` and `**`, a directory with everything below it, \
         and `@secrets`, `@env_file`, `@command` for the files of these keys. `{ paths = [\"/app/**/*.py\"], exclude = [], \
         debounce = \"300ms\", action = \"restart\", at_most = \"10/m\", poll = \"1s\" }`: `debounce` is how long \
         nothing must change before; `action` is restart, reload (`reloadsignal`) or a signal; `poll` looks that often instead of \
         waiting for the kernel's reports, which bind mounts and network file systems may not have. Wildcards match no hidden name",
        |rules, field| rules.watch.read(field),
    )
    .shaped(Shape::Special(shape::watch)),
    rules(
        "recycle_after",
        "duration, or table",
        "\"0s\"",
        "restart a service that has run for this long, one instance at a time and only while the others are ready; 0 never \
         does. `{ after = \"6h\", jitter = \"10m\" }` adds up to `jitter` by chance",
        |rules, field| rules.turns.recycle_after(field),
    )
    .shaped(Shape::Special(shape::recycle_after)),
    rules(
        "essential",
        "boolean or \"on-failure\"",
        "false",
        "stop the container with its exit code when it exits and will not be restarted; `on-failure`: only \
         after a failure",
        Rules::essential,
    )
    .shaped(Shape::Special(shape::essential)),
    rules(
        "stopsignal",
        "signal or list",
        "\"TERM\"",
        "the stop signal: `TERM`, `SIGTERM`, `RTMIN+3`, or a number; several are sent in turn, each followed \
         by `stopwaitsecs`",
        Rules::stopsignal,
    ),
    rules(
        "stopwaitsecs",
        "duration",
        "10",
        "how long to wait after each stop signal; after the last, SIGKILL is sent",
        Rules::stopwaitsecs,
    )
    .because("supervisord's and Docker's"),
    rules(
        "stop_scope",
        "word",
        "\"main\"",
        "the target of the stop signal: the `main` process, or every process `group` of the tree; with \
         another `stop_kill` than `tree`, only the group of the main process",
        Rules::stop_scope,
    )
    .shaped(Shape::Words(&StopScope::WORDS)),
    rules(
        "stop_kill",
        "word",
        "\"tree\"",
        "what a stop ends, with SIGKILL if need be, and waits for: the whole `tree`, the process `group` of the main \
         process, or the `main` process alone. Other processes are kept, as with `leftovers = \"keep\"`",
        Rules::stop_kill,
    )
    .shaped(Shape::Words(&StopKill::WORDS)),
    rules(
        "leftovers",
        "word",
        "\"stop\"",
        "after a run exits by itself: `stop` its leftover processes before the next run starts, or `keep` them. Kept \
         processes belong to no run, and survive the daemon unless it is PID 1",
        Rules::leftovers,
    )
    .shaped(Shape::Words(&Leftovers::WORDS)),
    rules(
        "leftover_wait",
        "duration",
        "2",
        "after a run exits by itself: how long its leftover processes have between the stop signal and \
         SIGKILL, while the next run waits. At most as long as a stop may take",
        Rules::leftover_wait,
    )
    .because("a restart should not wait as long as a stop may take"),
    rules(
        "reloadsignal",
        "signal",
        "\"HUP\"",
        "the signal that `musterctl reload` sends; empty restarts the program instead",
        Rules::reloadsignal,
    )
    .shaped(Shape::Special(shape::reloadsignal)),
    parts(
        "user",
        "user",
        "\"\"",
        "the user to run as: `name`, `name:group`, or numbers; empty is the daemon's",
        Parts::user,
    )
    .shaped(Shape::Special(shape::optional_user)),
    parts(
        "groups",
        "list of groups",
        "[]",
        "supplementary groups, by name or number; empty is those of the user. Groups that the daemon has \
         (`docker run --group-add`) are kept only if named",
        Parts::groups,
    ),
    parts("directory", "path", "\"\"", "the working directory; empty is the daemon's", Parts::directory),
    parts("umask", "octal text", "\"\"", "the umask; empty is the daemon's", Parts::umask)
        .shaped(Shape::Special(shape::optional_octal)),
    parts("nice", "number", "", "the nice value, -20 to 19; unset leaves the daemon's", Parts::nice)
        .shaped(Shape::Whole(-20, 19))
        .because("the bounds are those of setpriority(2)"),
    parts(
        "oom_score_adj",
        "number",
        "",
        "how likely the kernel is to kill it when memory runs out, -1000 to 1000; unset leaves the daemon's. Where memory is \
         limited, a positive number for large programs keeps the kernel from choosing musterd in their place",
        Parts::oom_score_adj,
    )
    .shaped(Shape::Whole(-1000, 1000))
    .because("the bounds are those of proc(5)"),
    parts(
        "ionice",
        "text",
        "\"\"",
        "the I/O priority: `idle`, `best-effort:0` to `best-effort:7` or `realtime:0` to `realtime:7`, 0 first; empty leaves \
         the daemon's",
        |parts, field| read_ionice(field, &mut parts.scheduling),
    )
    .because("classes and levels are those of ionice(1)")
    .shaped(Shape::Special(shape::ionice)),
    parts(
        "sched",
        "text",
        "\"\"",
        "the scheduling policy: `other`, `batch`, `idle`, or with a priority from 1 to 99 `fifo:10` or `rr:10`; empty leaves \
         the daemon's",
        |parts, field| read_sched(field, &mut parts.scheduling),
    )
    .because("policies and priorities are those of sched(7)")
    .shaped(Shape::Special(shape::sched)),
    parts(
        "cpus",
        "text",
        "\"\"",
        "the only processors that it may run on, such as `0-3,6`; empty leaves the daemon's",
        |parts, field| read_cpus(field, &mut parts.scheduling),
    )
    .because("1024 processors are as many as the C library's sets hold")
    .shaped(Shape::Special(shape::cpus)),
    parts(
        "rlimits",
        "table",
        "{}",
        "resource limits by name (`nofile = 65536`): a number, a size, `unlimited`, or `{ soft = …, hard = … }`",
        Parts::rlimits,
    )
    .shaped(Shape::Special(shape::rlimits)),
    parts(
        "capabilities",
        "list of names",
        "",
        "the only capabilities that it and its descendants may have, such as `[\"net_bind_service\"]`; `[]` is none, unset \
         leaves the daemon's to root. A `user` gets them as ambient ones",
        |parts, field| parts.privileges.capabilities(field),
    ),
    parts(
        "no_new_privileges",
        "boolean",
        "false",
        "executing a file never gives it privileges: setuid programs and file capabilities have no effect",
        |parts, field| parts.privileges.no_new_privileges(field),
    ),
    parts(
        "securebits",
        "list of words",
        "[]",
        "flags of capabilities(7) that take special treatment from root: `noroot`, `no-setuid-fixup`, `keep-caps`, each also \
         with `-locked`, so that they stay",
        |parts, field| parts.privileges.securebits(field),
    )
    .shaped(Shape::Special(shape::securebits)),
    parts(
        "environment",
        "table of text",
        "{}",
        "variables, which override inherited ones and those of `env_file`",
        Parts::environment,
    ),
    parts(
        "env_file",
        "list of paths",
        "[]",
        "files of NAME=VALUE lines, relative to this one; `?web.env` may be missing",
        Parts::env_file,
    ),
    parts(
        "env_dir",
        "list of paths",
        "[]",
        "directories in which each file is a variable: its name is that of the variable, its content the value, and an empty \
         file removes the variable. After `env_file`, before `environment`; `?env.d` may be missing",
        Parts::env_dir,
    ),
    parts("clean_environment", "boolean", "false", "do not inherit the daemon's environment", Parts::clean_environment),
    parts(
        "login_environment",
        "boolean",
        "true",
        "set HOME, USER, LOGNAME and SHELL to those of `user`; otherwise they stay the daemon's",
        Parts::login_environment,
    ),
    parts(
        "secrets",
        "table of paths",
        "{}",
        "variables with the content of files, read at each start and kept nowhere, over those of `environment`: \
         `{ DB_PASSWORD = \"/run/secrets/db_password\" }`; a trailing newline is removed; at most 64 KiB each; \
         `?/path` may be missing, any other is a failed start",
        |parts, field| parts.secrets.secrets(field),
    )
    .shaped(Shape::Special(shape::secrets)),
    parts(
        "credentials",
        "list of paths",
        "[]",
        "files and directories, `/path` or `NAME=/path`, that are copied at each start to a directory which only its user \
         can read, CREDENTIALS_DIRECTORY and `{credentials}` in `command`, and which is removed after the run; at most \
         1 MiB together; `?/path` may be missing",
        |parts, field| parts.secrets.credentials(field),
    ),
    parts(
        "sockets",
        "list of addresses, or tables",
        "[]",
        "sockets on which the daemon listens for it, shared by its instances: `tcp://HOST:PORT` or `udp://HOST:PORT`, where \
         the host is a number, a name in /etc/hosts or `*`; `unix:///PATH`, `unix-dgram:///PATH`, \
         `unix-seqpacket:///PATH`; or `fd://NAME`, one that the daemon inherited; it gets them as descriptors 3 and up, in \
         the order of the list or of the names, with LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES as from systemd, and \
         `{socket:NAME}` in `command` is the number of one; they stay open across restarts",
        Parts::sockets,
    )
    .shaped(Shape::Special(shape::sockets)),
    parts(
        "watchdog",
        "duration",
        "\"0s\"",
        "how often a run must send sd_notify's WATCHDOG=1; a run that does not has failed; 0 is never",
        Parts::watchdog,
    ),
    parts(
        "pre_start",
        "command or table",
        "",
        "a command before every start and restart, in the program's context; if it fails, the start has failed",
        Parts::pre_start,
    )
    .shaped(Shape::Special(shape::hook)),
    parts(
        "post_start",
        "command or table",
        "",
        "a command when a run would become RUNNING, which it does after it; if it fails, the run has failed",
        Parts::post_start,
    )
    .shaped(Shape::Special(shape::hook)),
    parts(
        "pre_stop",
        "command or table",
        "",
        "a command before the stop signal, while the program runs: for every stop and restart, and for a run that fails \
         a probe or its watchdog, not after a crash",
        Parts::pre_stop,
    )
    .shaped(Shape::Special(shape::hook)),
    parts(
        "post_stop",
        "command or table",
        "",
        "a command after every run and every failed start, when no process of it is left; the next start waits for it",
        Parts::post_stop,
    )
    .shaped(Shape::Special(shape::hook)),
    parts(
        "memory_max",
        "size, or table",
        "0",
        "the most memory that all its processes together may have; a run that has more for 10 s has failed; 0 is no limit. \
         `{ max = \"512MB\", for = \"10s\", period = \"10s\", action = \"restart\", count = \"pss\" }`: `for` is how \
         long it may have more, `period` how often it is measured, `action` one of restart, stop, shutdown, none (a \
         warning in the log); with `count = \"rss\"` a shared page counts for each process",
        Parts::memory_max,
    )
    .shaped(Shape::Special(shape::memory_max)),
    parts("probes", "tables", "{}", "health checks, each under a name of your choice", Parts::probes)
        .shaped(Shape::Special(shape::probes)),
    parts(
        "stdin",
        "word or path",
        "\"none\"",
        "its standard input: `none` is /dev/null, `pipe` is what `musterctl fg` and the API write to it, `fifo:PATH` a FIFO that \
         is made for its user and never ends, `file:PATH` a file that is opened at each start, `events` is what \
         `musterctl events` shows, as a line of JSON each, `supervisor-events` the same in the protocol of supervisord's event \
         listeners",
        Parts::stdin,
    )
    .shaped(Shape::Special(shape::stdin)),
    parts(
        "tty",
        "boolean, or table",
        "false",
        "its standard input, output and error output are a terminal of its own, which `musterctl fg` connects to yours; its output is \
         captured as standard output, and a terminal does not echo input. `{ rows = 24, cols = 80, term = \"xterm\" }`: its size until \
         a client connects, and the type, which is `TERM`; not with `stdin` or `logs.stderr`",
        Parts::tty,
    )
    .shaped(Shape::Special(shape::tty)),
    parts(
        "events",
        "list of names",
        "[]",
        "the events of `stdin`: kinds such as `state` and `final` for `\"events\"`, where none is all of them; types as in \
         supervisord for `\"supervisor-events\"`, where `EVENT` is all of them and standard output carries the answers",
        Parts::events,
    ),
    parts(
        "event_buffer_size",
        "number",
        "1024",
        "how many events wait for `stdin = \"supervisor-events\"`, 1 to 100000; the oldest of more is dropped. All instances \
         share them",
        Parts::event_buffer_size,
    )
    .shaped(Shape::Whole(1, 100_000)),
    parts(
        "listener",
        "word",
        "\"patient\"",
        "how events wait for `stdin = \"supervisor-events\"`: `patient` keeps up to 1024 until one of its instances is ready \
         for the first time, and sends a rejected event again after a second; `exact` has only `event_buffer_size` from the \
         start, and sends it again at once, as supervisord does",
        Parts::listener_mode,
    )
    .shaped(Shape::Words(&ListenerMode::WORDS)),
    parts(
        "ignore_signals",
        "list of signals",
        "[]",
        "signals that it ignores from the start, until it handles them itself; supervisord's programs ignore \
         `[\"PIPE\", \"XFSZ\"]`",
        Parts::ignore_signals,
    ),
    later(Table::Program, "track", "how its processes are found"),
    parts("logs", "table", "{}", "where its output goes", Parts::logs).shaped(Shape::Special(shape::logs)),
    key(
        Table::Ready,
        "fd",
        "number",
        "",
        "a newline on this descriptor of the process, as in s6; 3 to 1023",
        Reader::Ready(ReadyDraft::fd),
    )
    .shaped(Shape::Whole(3, 1023)),
    key(
        Table::Ready,
        "log",
        "text",
        "",
        "a line of its output matches this regular expression, anywhere in the line; an unfinished line, such \
         as a prompt, is matched after 200 ms of silence",
        Reader::Ready(ReadyDraft::log),
    ),
    key(
        Table::Ready,
        "tcp",
        "host:port",
        "",
        "the address accepts connections; checked every second",
        Reader::Ready(ReadyDraft::tcp),
    ),
    key(
        Table::Ready,
        "http",
        "address or table",
        "",
        "a GET of the address returns 200 to 399; checked every second",
        Reader::Ready(ReadyDraft::http),
    )
    .shaped(Shape::Special(shape::http_check)),
    key(
        Table::Ready,
        "exec",
        "text or list",
        "",
        "a command, run like the program, exits with 0; run every second",
        Reader::Ready(ReadyDraft::exec),
    ),
    key(
        Table::Probe,
        "http",
        "address or table",
        "",
        "passes when a GET of `http://host:port/path` returns 200 to 399",
        Reader::Probe(ProbeDraft::http),
    )
    .shaped(Shape::Special(shape::http_check)),
    key(
        Table::Probe,
        "tcp",
        "host:port",
        "",
        "passes when the address accepts connections",
        Reader::Probe(ProbeDraft::tcp),
    ),
    key(
        Table::Probe,
        "exec",
        "text or list",
        "",
        "passes when this command, run like the program, exits with 0; after `timeout` its processes are killed",
        Reader::Probe(ProbeDraft::exec),
    ),
    key(
        Table::Probe,
        "kind",
        "word",
        "\"liveness\"",
        "`liveness` checks whether it still works, `readiness` whether it can serve now, `startup` whether it \
         has come up; the others wait for `startup`",
        Reader::Probe(ProbeDraft::kind),
    )
    .shaped(Shape::Words(&ProbeKind::WORDS)),
    key(
        Table::Probe,
        "period",
        "duration",
        "\"10s\"",
        "the interval between checks",
        Reader::Probe(ProbeDraft::period),
    )
    .because("this and the following are Kubernetes'"),
    key(Table::Probe, "timeout", "duration", "\"1s\"", "how long a check may take", Reader::Probe(ProbeDraft::timeout)),
    key(
        Table::Probe,
        "initial_delay",
        "duration",
        "\"0s\"",
        "the delay of the first check after the start of a run",
        Reader::Probe(ProbeDraft::initial_delay),
    ),
    key(
        Table::Probe,
        "success_threshold",
        "number",
        "1",
        "consecutive successes after which it is healthy again; must be 1 unless `kind` is `readiness`",
        Reader::Probe(ProbeDraft::success_threshold),
    )
    .shaped(Shape::Whole(1, u32::MAX as i64)),
    key(
        Table::Probe,
        "failure_threshold",
        "number",
        "3",
        "consecutive failures after which `on_failure` applies",
        Reader::Probe(ProbeDraft::failure_threshold),
    )
    .shaped(Shape::Whole(1, u32::MAX as i64)),
    key(
        Table::Probe,
        "on_failure",
        "word",
        "\"restart\"",
        "`restart` treats the run as failed, `stop` stops the program for good, `shutdown` stops everything, \
         `none` only reports it; a readiness probe is always `none`",
        Reader::Probe(ProbeDraft::on_failure),
    )
    .shaped(Shape::Words(&OnFailure::WORDS)),
    key(
        Table::HttpCheck,
        "url",
        "address",
        "",
        "the address to GET: `http://host:port/path`",
        Reader::HttpCheck(HttpDraft::url),
    ),
    key(
        Table::HttpCheck,
        "headers",
        "table of text",
        "{}",
        "additional headers to send",
        Reader::HttpCheck(HttpDraft::headers),
    ),
    key(
        Table::HttpCheck,
        "host",
        "text",
        "",
        "the `Host` header, if it differs from the address",
        Reader::HttpCheck(HttpDraft::host),
    ),
    key(
        Table::Logs,
        "stdout",
        "word, path or list",
        "\"console\"",
        "`console` (captured, to the daemon's own stdout with the name in front), `syslog` (a message per \
         line), `memory` (for `musterctl logs` alone), `none`, `inherit` (the daemon's descriptor itself), a \
         path, or a list of console, syslog and paths; a file that only this stream writes gets every byte at once, a shared file gets whole lines",
        Reader::Logs(OutputDraft::stdout),
    ),
    key(
        Table::Logs,
        "stderr",
        "word, path or list",
        "\"console\"",
        "the same for stderr; `stdout` merges it at the source",
        Reader::Logs(OutputDraft::stderr),
    ),
    key(
        Table::Logs,
        "format",
        "word",
        "\"text\"",
        "the format of lines on the console: `text` (`web | line`), `json` (an object per line, with lines \
         that are objects themselves nested), `raw` (the bytes, line by line); an unfinished line is shown \
         after 200 ms of silence, in `json` with its number in `part` and its end marked by `last`",
        Reader::Logs(OutputDraft::format),
    )
    .shaped(Shape::Words(&LineFormat::WORDS)),
    key(
        Table::Logs,
        "timestamps",
        "boolean",
        "false",
        "put the time before each line on the console, taken when the line was read, local if `TZ` is set; \
         `json` always has it, in UTC",
        Reader::Logs(OutputDraft::timestamps),
    ),
    key(
        Table::Logs,
        "max_size",
        "size",
        "\"50MB\"",
        "rotate a file at the end of the line that reaches this size; 0 is never",
        Reader::Logs(OutputDraft::max_size),
    ),
    key(
        Table::Logs,
        "max_files",
        "number",
        "10",
        "the number of rotated files to keep besides the current one: `web.log.1` is the newest",
        Reader::Logs(OutputDraft::max_files),
    )
    .shaped(Shape::Whole(0, 1000)),
    key(
        Table::Logs,
        "compress",
        "boolean",
        "false",
        "compress rotated files with gzip, in the background: `web.log.1.gz`",
        Reader::Logs(OutputDraft::compress),
    ),
    key(
        Table::Logs,
        "stderr_max_size",
        "size",
        "",
        "the same as `max_size`, for the files of stderr; unset is `max_size`",
        Reader::Logs(OutputDraft::stderr_max_size),
    ),
    key(
        Table::Logs,
        "stderr_max_files",
        "number",
        "",
        "the same as `max_files`, for the files of stderr; unset is `max_files`",
        Reader::Logs(OutputDraft::stderr_max_files),
    )
    .shaped(Shape::Whole(0, 1000)),
    key(
        Table::Logs,
        "strip_ansi",
        "boolean",
        "false",
        "remove colours and cursor movements from the output, everywhere it goes: from `ESC [` up to the first of \
         the letters `HfABCDRsuJKhlpm`",
        Reader::Logs(OutputDraft::strip_ansi),
    ),
    key(
        Table::Logs,
        "stdout_events",
        "boolean",
        "false",
        "send what it writes to standard output to event listeners, as events PROCESS_LOG_STDOUT",
        Reader::Logs(OutputDraft::stdout_events),
    ),
    key(
        Table::Logs,
        "stderr_events",
        "boolean",
        "false",
        "send what it writes to standard error to event listeners, as events PROCESS_LOG_STDERR",
        Reader::Logs(OutputDraft::stderr_events),
    ),
    key(
        Table::Logs,
        "stdout_capture",
        "size",
        "0",
        "send text of standard output between `<!--XSUPERVISOR:BEGIN-->` and `<!--XSUPERVISOR:END-->` to event listeners, as \
         one event PROCESS_COMMUNICATION_STDOUT with at most so many bytes, the last ones, and not to the log; at most \
         16 MiB, 0 for none",
        Reader::Logs(OutputDraft::stdout_capture),
    ),
    key(
        Table::Logs,
        "stderr_capture",
        "size",
        "0",
        "the same for standard error, as PROCESS_COMMUNICATION_STDERR",
        Reader::Logs(OutputDraft::stderr_capture),
    ),
    key(
        Table::Logs,
        "mode",
        "octal text",
        "\"0644\"",
        "the mode of new log files, at most `0666`; also of rotated and compressed ones",
        Reader::Logs(OutputDraft::mode),
    ),
    key(
        Table::Logs,
        "owner",
        "user",
        "\"\"",
        "the owner of new log files: `user`, `user:group`, or numbers; empty is the program's user in a \
         directory owned by that user, and otherwise the daemon's",
        Reader::Logs(OutputDraft::owner),
    )
    .shaped(Shape::Special(shape::optional_user)),
    key(
        Table::Logs,
        "buffer_size",
        "size",
        "\"1MB\"",
        "how much output is buffered for a slow reader of the console or a slow file, 4 KiB to 1 GiB",
        Reader::Logs(OutputDraft::buffer_size),
    ),
    key(
        Table::Logs,
        "overflow",
        "word",
        "\"drop\"",
        "what happens when the buffer is full: `drop` (the program's writes block; if the console or the file \
         takes less than 128 KiB in 2 s, the oldest lines are dropped and counted, and the gap is marked on \
         the console) or `block` (the program's writes block indefinitely)",
        Reader::Logs(OutputDraft::overflow),
    )
    .shaped(Shape::Words(&Overflow::WORDS)),
    key(
        Table::Logs,
        "memory",
        "size",
        "",
        "how much output of each instance is kept in memory for `musterctl logs` and `why`, 4 KiB to 1 GiB, or \
         0 for none; unset is 256 KiB, or 32 KiB if it goes to files, from which older lines are read",
        Reader::Logs(OutputDraft::memory),
    ),
    key(
        Table::Logs,
        "rate_limit",
        "lines per s, m or h",
        "\"\"",
        "`1000/s`: further lines are dropped and counted, without blocking the program; for each stream",
        Reader::Logs(OutputDraft::rate_limit),
    )
    .shaped(Shape::Special(shape::rate)),
    key(
        Table::Hook,
        "command",
        "text or list",
        "",
        "the command, with the program's user, directory, environment and limits, and `MUSTER_HOOK`; its output goes where \
         the program's goes",
        Reader::Hook(HookDraft::command),
    ),
    key(
        Table::Hook,
        "timeout",
        "duration",
        "",
        "how long it may take, at most an hour; then its processes get SIGTERM, and SIGKILL a second later. Unset is \
         `\"60s\"` for `pre_start`, `\"30s\"` for `post_start`, and `\"5s\"` for `pre_stop` and `post_stop`",
        Reader::Hook(HookDraft::timeout),
    ),
    key(Table::Hook, "user", "user", "\"\"", "the user to run it as; empty is the program's", Reader::Hook(HookDraft::user))
        .shaped(Shape::Special(shape::optional_user)),
    key(
        Table::Hook,
        "on_failure",
        "word",
        "",
        "`fail` is a failure of the run, `ignore` only reports it. Unset is `fail` for `pre_start` and `post_start`; \
         `pre_stop` and `post_stop` always `ignore`",
        Reader::Hook(HookDraft::on_failure),
    )
    .shaped(Shape::Words(&["fail", "ignore"])),
    key(
        Table::Hook,
        "once",
        "boolean",
        "false",
        "run `pre_start` until it has succeeded once in the daemon's life",
        Reader::Hook(HookDraft::once),
    ),
    key(
        Table::Backoff,
        "preset",
        "word",
        "",
        "the whole policy of another system: `docker`, `kubernetes`, `supervisord`, `systemd`; explicit keys \
         override it",
        Reader::Backoff(BackoffDraft::preset),
    )
    .shaped(Shape::Words(&Preset::WORDS)),
    key(Table::Backoff, "delay", "duration", "\"500ms\"", "the first delay", Reader::Backoff(BackoffDraft::delay)),
    key(
        Table::Backoff,
        "factor",
        "number",
        "2",
        "the factor by which it grows with each consecutive failure, 1 to 1000",
        Reader::Backoff(BackoffDraft::factor),
    )
    .shaped(Shape::Number(1.0, 1000.0)),
    key(
        Table::Backoff,
        "steps",
        "number",
        "",
        "instead of `factor`: the number of steps of equal ratio from `delay` to `max`, like systemd's \
         RestartSteps",
        Reader::Backoff(BackoffDraft::steps),
    )
    .shaped(Shape::Whole(1, 1000)),
    key(Table::Backoff, "max", "duration", "\"60s\"", "the longest delay", Reader::Backoff(BackoffDraft::max))
        .because("Docker's"),
    key(
        Table::Backoff,
        "jitter",
        "number, word or table",
        "0",
        "the largest fraction of the delay to add at random, 0 to 1; or `{ up_to = \"2s\" }`, a span; or \
         choose the whole delay at random: up to the computed one (`full`), from half of it (`equal`), from \
         the first delay to three times the last one (`decorrelated`)",
        Reader::Backoff(BackoffDraft::jitter),
    )
    .shaped(Shape::Special(shape::jitter)),
    key(
        Table::Backoff,
        "reset_after",
        "duration",
        "\"10s\"",
        "a run that was RUNNING and up for this long resets the count",
        Reader::Backoff(BackoffDraft::reset_after),
    )
    .because("Docker's"),
    key(
        Table::Rlimit,
        "soft",
        "number, size or \"unlimited\"",
        "",
        "the soft limit, which applies; unset is `hard`",
        Reader::Rlimit(Bounds::soft),
    )
    .shaped(Shape::Special(shape::limit)),
    key(
        Table::Rlimit,
        "hard",
        "number, size or \"unlimited\"",
        "",
        "the hard limit, up to which the process may raise it; unset is `soft`",
        Reader::Rlimit(Bounds::hard),
    )
    .shaped(Shape::Special(shape::limit)),
    key(
        Table::Socket,
        "listen",
        "address",
        "",
        "its address, as in `sockets`; a Unix socket takes the place of one that no process has open",
        Reader::Socket(SocketDraft::listen),
    ),
    key(
        Table::Socket,
        "backlog",
        "number",
        "4096",
        "length of the queue of connections, at most `net.core.somaxconn`",
        Reader::Socket(SocketDraft::backlog),
    )
    .shaped(Shape::Whole(1, 65_535))
    .because("the kernel's default of `net.core.somaxconn`"),
    key(
        Table::Socket,
        "mode",
        "octal text",
        "\"0700\"",
        "the mode of a Unix socket's file: a user who may write to it may connect",
        Reader::Socket(SocketDraft::mode),
    ),
    key(
        Table::Socket,
        "owner",
        "user",
        "",
        "the owner of a Unix socket's file; unset is the program's user",
        Reader::Socket(SocketDraft::owner),
    ),
    key(
        Table::Socket,
        "reuse_port",
        "boolean",
        "false",
        "each instance has a socket of its own at the address, and the kernel spreads clients over them; other processes \
         of the daemon's user can take a part of them, too",
        Reader::Socket(SocketDraft::reuse_port),
    ),
    key(
        Table::Socket,
        "v6only",
        "boolean",
        "",
        "whether an IPv6 address leaves the port of IPv4 alone; unset, `*` takes both, and others do as the kernel's \
         `net.ipv6.bindv6only`",
        Reader::Socket(SocketDraft::v6only),
    ),
    key(
        Table::Socket,
        "freebind",
        "boolean",
        "false",
        "listen although no interface has the address yet",
        Reader::Socket(SocketDraft::freebind),
    ),
    key(
        Table::Socket,
        "nodelay",
        "boolean",
        "false",
        "connections send small packets at once: TCP_NODELAY, which they inherit",
        Reader::Socket(SocketDraft::nodelay),
    ),
    key(
        Table::Socket,
        "keep",
        "word",
        "\"wanted\"",
        "how long it is open: `wanted` until the program is stopped or given up, `always` until it is removed or the \
         daemon exits; clients queue where no process takes them. The next start or reload mends a listener that a program has \
         shut down",
        Reader::Socket(SocketDraft::keep),
    )
    .shaped(Shape::Words(&SocketKeep::WORDS)),
    key(
        Table::Socket,
        "stdin",
        "boolean",
        "false",
        "it is the program's standard input, as FastCGI programs expect, and not one of LISTEN_FDS",
        Reader::Socket(SocketDraft::stdin),
    ),
    key(
        Table::Group,
        "programs",
        "list of names",
        "",
        "the programs in it: `musterctl restart NAME:*`",
        Reader::Structure,
    ),
    key(
        Table::Source,
        "url",
        "address",
        "",
        "the server: `https://HOST/PATH`, or `etcds://HOST,HOST/PREFIX/` for all keys with a prefix; `http://` and `etcd://` on this machine",
        Reader::Source(SourceDraft::url),
    )
    .shaped(Shape::Special(shape::source)),
    key(
        Table::Source,
        "cacert",
        "path",
        "\"\"",
        "the certificates to trust, in PEM; empty trusts those of `SSL_CERT_FILE` or of the system",
        Reader::Source(SourceDraft::cacert),
    ),
    key(
        Table::Source,
        "cert",
        "path",
        "\"\"",
        "a client certificate, in PEM",
        Reader::Source(SourceDraft::cert),
    ),
    key(
        Table::Source,
        "key",
        "path",
        "\"\"",
        "its private key, in PEM",
        Reader::Source(SourceDraft::key),
    ),
    key(
        Table::Source,
        "token_file",
        "path",
        "\"\"",
        "a file with a token for an HTTP server, sent as `Bearer`",
        Reader::Source(SourceDraft::token_file),
    ),
    key(
        Table::Source,
        "username",
        "text",
        "\"\"",
        "a user of the server: basic authentication, or a user of etcd",
        Reader::Source(SourceDraft::username),
    ),
    key(
        Table::Source,
        "password_file",
        "path",
        "\"\"",
        "the file with the password",
        Reader::Source(SourceDraft::password_file),
    ),
    key(
        Table::Source,
        "period",
        "duration",
        "\"20s\"",
        "how often an HTTP server is asked, give or take a tenth; from 1s to 1d",
        Reader::Source(SourceDraft::period),
    )
    .because("as often as a kubelet asks"),
    key(
        Table::Source,
        "resync",
        "duration",
        "\"30s\"",
        "how often a watch of etcd is compared with the store; from 5s to 1h",
        Reader::Source(SourceDraft::resync),
    )
    .because("a member that hangs ends no connection"),
    key(
        Table::Source,
        "required",
        "boolean",
        "true",
        "do not start without it, unless a cached version exists",
        Reader::Source(SourceDraft::required),
    ),
    key(
        Table::Source,
        "wait",
        "duration",
        "\"30s\"",
        "how long the start waits for it; at most 1h",
        Reader::Source(SourceDraft::wait),
    ),
    key(
        Table::Source,
        "cache",
        "boolean",
        "true",
        "keep the last good version in `state_dir`, for a start without the server",
        Reader::Source(SourceDraft::cache),
    ),
    key(
        Table::Source,
        "apply",
        "word",
        "\"auto\"",
        "when a new version becomes active: `auto` is at once, `manual` at the next reload",
        Reader::Source(SourceDraft::apply),
    )
    .shaped(Shape::Words(&ApplyWhen::WORDS)),
    key(
        Table::Source,
        "splay",
        "duration",
        "\"0s\"",
        "a new version becomes active after a random part of this, so that not every container restarts at once",
        Reader::Source(SourceDraft::splay),
    ),
    key(
        Table::Source,
        "may",
        "list of words",
        "[\"program\", \"group\", \"defaults\"]",
        "the top-level tables that it may use; `musterd` can be added",
        Reader::Source(SourceDraft::may),
    )
    .shaped(Shape::Special(shape::source_tables)),
    key(
        Table::Source,
        "run_as",
        "list of users",
        "[]",
        "the users that its programs may run as; empty is any",
        Reader::Source(SourceDraft::run_as),
    )
    .because("with it, its texts also cannot make the daemon open files for them"),
    key(
        Table::Source,
        "allow_empty",
        "boolean",
        "false",
        "accept a version without programs after one with programs",
        Reader::Source(SourceDraft::allow_empty),
    ),
    key(
        Table::Source,
        "insecure",
        "boolean",
        "false",
        "allow `http://` and `etcd://` beyond this machine",
        Reader::Source(SourceDraft::insecure),
    ),
    notify(
        "on",
        "list of words",
        "[\"fatal\", \"exit\", \"unhealthy\", \"oom\", \"killed\", \"restart\", \"source\", \"shutdown\"]",
        "the kinds of events: a program was given up, a run ended unexpectedly, became unhealthy, ran out of memory, had to \
         be killed, or is followed by another; a source changed its state; the daemon shuts down",
        NotifierDraft::on,
    )
    .shaped(Shape::Special(shape::notify_on)),
    notify(
        "programs",
        "list of names",
        "[\"*\"]",
        "the programs whose events count, with `*` and `?`; `source` and `shutdown` concern none of them",
        NotifierDraft::programs,
    ),
    notify(
        "exec",
        "text or list",
        "",
        "a command that reads the event as JSON from its standard input, with its kind in `MUSTER_EVENT`",
        NotifierDraft::exec,
    ),
    notify(
        "user",
        "user",
        "",
        "user, or `user:group`, of the command; by default the daemon's own",
        NotifierDraft::user,
    ),
    notify(
        "webhook",
        "address",
        "",
        "a web server that gets the event as JSON: `https://HOST/PATH`; `http://` on this machine",
        NotifierDraft::webhook,
    )
    .shaped(Shape::Special(shape::webhook)),
    notify(
        "webhook_file",
        "path",
        "\"\"",
        "a file with the address in its first line, instead of `webhook`; read for each request",
        NotifierDraft::webhook_file,
    ),
    notify(
        "headers",
        "table of text",
        "{}",
        "headers of each request; musterd sets `Content-Type`, `Idempotency-Key` and `X-Muster-Signature` itself",
        NotifierDraft::headers,
    ),
    notify(
        "secret_file",
        "path",
        "\"\"",
        "a file with a secret in its first line: requests have its HMAC-SHA256 over their body in `X-Muster-Signature`",
        NotifierDraft::secret_file,
    ),
    notify(
        "cacert",
        "path",
        "\"\"",
        "the certificates to trust, in PEM; empty trusts those of `SSL_CERT_FILE` or of the system",
        NotifierDraft::cacert,
    ),
    notify(
        "insecure",
        "boolean",
        "false",
        "allow `http://` beyond this machine",
        NotifierDraft::insecure,
    ),
    notify(
        "timeout",
        "duration",
        "\"10s\"",
        "how long an attempt may take; then the command is killed, or the request given up; at most 5m",
        NotifierDraft::timeout,
    ),
    notify(
        "every",
        "duration",
        "\"1m\"",
        "at most one notification per program and kind in this time; the next says how many were held back; `0` sends each",
        NotifierDraft::every,
    )
    .because("a crash loop is one problem"),
    notify(
        "retries",
        "number",
        "3",
        "how often a failed attempt is repeated: after 1s, 5s, and then 25s each; from 0 to 10",
        NotifierDraft::retries,
    )
    .shaped(Shape::Whole(0, 10)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_there_once_and_says_what_it_means() {
        for (index, key) in KEYS.iter().enumerate() {
            let same = |other: &Key| other.table == key.table && other.name == key.name;
            assert_eq!(KEYS.iter().position(same), Some(index), "{} is there twice", key.name);
            assert!(!key.doc.is_empty(), "{} says nothing", key.name);
            assert!(!key.is_supported() || !key.value.is_empty(), "{} does not say what it takes", key.name);
        }
    }
}
