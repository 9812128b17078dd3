//! The one list of keys: what each is called, what it takes, its default, its meaning, and who reads it.
//!
//! Everything that needs to know the keys asks here: the reading itself, "unknown key" and "not supported yet", the
//! reference page and the annotated `config/muster.toml` (both compared with this list by a test). A new key is a line
//! here and a reader in `walk`. Long because it is a list.

use crate::field::Field;
use crate::walk::backoff::BackoffDraft;
use crate::walk::control::ControlDraft;
use crate::walk::daemon::DaemonDraft;
use crate::walk::logs::OutputDraft;
use crate::walk::parts::Parts;
use crate::walk::rlimits::Bounds;
use crate::walk::rules::Rules;

/// A table of the configuration that keys stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Outside of every table.
    Root,
    /// `[musterd]`.
    Musterd,
    /// `[http]`.
    Http,
    /// `[group.NAME]`.
    Group,
    /// `[program.NAME]`, and `[defaults]` for all of them.
    Program,
    /// `[program.NAME.logs]`.
    Logs,
    /// `backoff = { … }`.
    Backoff,
    /// `rlimits = { RESOURCE = { … } }`.
    Rlimit,
}

impl Table {
    /// Every table, in the order of the reference.
    pub const ALL: [Table; 8] = [
        Table::Root,
        Table::Musterd,
        Table::Http,
        Table::Program,
        Table::Logs,
        Table::Backoff,
        Table::Rlimit,
        Table::Group,
    ];

    /// As it is written.
    pub const fn header(self) -> &'static str {
        match self {
            Table::Root => "(top level)",
            Table::Musterd => "[musterd]",
            Table::Http => "[http]",
            Table::Group => "[group.NAME]",
            Table::Program => "[program.NAME]",
            Table::Logs => "[program.NAME.logs]",
            Table::Backoff => "[program.NAME.backoff]",
            Table::Rlimit => "[program.NAME.rlimits.RESOURCE]",
        }
    }
}

/// A key of the configuration.
pub struct Key {
    /// The table it stands in.
    pub table: Table,
    /// Its name.
    pub name: &'static str,
    /// What it takes, in a few words.
    pub value: &'static str,
    /// Its default as TOML; empty where it has none and is then unset.
    pub default: &'static str,
    /// What it means, in a line.
    pub doc: &'static str,
    /// Where a number comes from; empty where there is nothing to say.
    pub why: &'static str,
    pub(crate) reader: Reader,
}

impl Key {
    /// Whether it can be used already; the others are known and refused.
    pub fn is_supported(&self) -> bool {
        !matches!(self.reader, Reader::Later)
    }
}

/// Who reads a key.
#[derive(Clone, Copy)]
pub(crate) enum Reader {
    /// The walk over tables itself.
    Structure,
    /// Nobody yet.
    Later,
    Daemon(fn(&mut DaemonDraft, &Field<'_>)),
    Control(fn(&mut ControlDraft, &Field<'_>)),
    /// Once for a program.
    Rules(fn(&mut Rules, &Field<'_>)),
    /// Once for each instance of a program.
    Parts(fn(&mut Parts, &Field<'_>)),
    Logs(fn(&mut OutputDraft, &Field<'_>)),
    Backoff(fn(&mut BackoffDraft, &Field<'_>)),
    Rlimit(fn(&mut Bounds, &Field<'_>)),
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
    Key { table, name, value, default, doc, why: "", reader }
}

const fn later(table: Table, name: &'static str, doc: &'static str) -> Key {
    key(table, name, "", "", doc, Reader::Later)
}

impl Key {
    const fn because(mut self, why: &'static str) -> Key {
        self.why = why;
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

/// Every key, known or supported.
pub static KEYS: &[Key] = &[
    key(
        Table::Root,
        "include",
        "list of paths",
        "[]",
        "more files, relative to this one, with `*` and `?`; sorted, and later files win by key",
        Reader::Structure,
    ),
    key(Table::Root, "musterd", "table", "", "the daemon itself", Reader::Structure),
    key(Table::Root, "http", "table", "", "its control socket", Reader::Structure),
    key(Table::Root, "defaults", "table", "", "any key of a program, for all programs", Reader::Structure),
    key(Table::Root, "program", "tables", "", "the programs, each under its name", Reader::Structure),
    key(Table::Root, "group", "tables", "", "names for several programs at once", Reader::Structure),
    key(
        Table::Musterd,
        "loglevel",
        "word",
        "\"info\"",
        "how much the daemon tells: error, warn, info, debug, trace",
        Reader::Daemon(DaemonDraft::loglevel),
    ),
    key(
        Table::Musterd,
        "logformat",
        "word",
        "\"text\"",
        "its own messages as `text`, or as `json`, one object a line",
        Reader::Daemon(DaemonDraft::logformat),
    ),
    key(
        Table::Musterd,
        "logfile",
        "path",
        "\"-\"",
        "where its own messages go; `-` is stderr",
        Reader::Daemon(DaemonDraft::logfile),
    ),
    key(
        Table::Musterd,
        "shutdown_timeout",
        "duration",
        "\"9s\"",
        "the one budget for stopping everything; programs' own `stopwaitsecs` are shortened to fit",
        Reader::Daemon(DaemonDraft::shutdown_timeout),
    )
    .because("`docker stop` kills after 10 s; one second is left to reap and to flush logs"),
    key(
        Table::Musterd,
        "exit_when_done",
        "boolean",
        "true",
        "exit when every autostarted program has ended for good by itself",
        Reader::Daemon(DaemonDraft::exit_when_done),
    ),
    key(
        Table::Musterd,
        "pidfile",
        "path",
        "\"\"",
        "where to write the daemon's pid; empty is nowhere",
        Reader::Daemon(DaemonDraft::pidfile),
    ),
    key(
        Table::Musterd,
        "umask",
        "octal text",
        "\"022\"",
        "the daemon's umask, and the programs' where they set none",
        Reader::Daemon(DaemonDraft::umask),
    )
    .because("what login shells and supervisord use"),
    key(
        Table::Musterd,
        "directory",
        "path",
        "\"\"",
        "the daemon's working directory; empty leaves it",
        Reader::Daemon(DaemonDraft::directory),
    ),
    later(Table::Musterd, "user", "drop to this user after opening sockets and logs"),
    key(
        Table::Musterd,
        "environment",
        "table of text",
        "{}",
        "variables under every program's own",
        Reader::Daemon(DaemonDraft::environment),
    ),
    later(Table::Musterd, "state_dir", "where state is kept across starts"),
    key(
        Table::Http,
        "socket",
        "path",
        "\"/run/muster.sock\"",
        "the control socket; empty is none",
        Reader::Control(ControlDraft::socket),
    ),
    key(Table::Http, "mode", "octal text", "\"0600\"", "its file mode", Reader::Control(ControlDraft::mode))
        .because("control is as good as root's: nobody else, unless said"),
    key(
        Table::Http,
        "owner",
        "user",
        "\"\"",
        "who owns it: `user`, `user:group`, or numbers; empty leaves it",
        Reader::Control(ControlDraft::owner),
    ),
    key(
        Table::Http,
        "allow_users",
        "list of users",
        "[]",
        "who may read and control besides root and the daemon's own user",
        Reader::Control(ControlDraft::allow_users),
    ),
    key(
        Table::Http,
        "readonly_users",
        "list of users",
        "[]",
        "who may look and not touch",
        Reader::Control(ControlDraft::readonly_users),
    ),
    later(Table::Http, "listen", "TCP addresses to answer on"),
    later(Table::Http, "token_file", "a bearer token for TCP"),
    later(Table::Http, "username", "a name for TCP"),
    later(Table::Http, "password_file", "its password"),
    later(Table::Http, "tls_cert", "a certificate for TCP"),
    later(Table::Http, "tls_key", "its key"),
    parts(
        "command",
        "text or list",
        "",
        "what to run: text is split into words as a shell would, but no shell is run; `#` is no comment",
        Parts::command,
    ),
    rules("type", "word", "\"service\"", "`service` is meant to go on running, `oneshot` to end well", Rules::kind),
    rules("autostart", "boolean", "true", "start with the daemon", Rules::autostart),
    rules(
        "restart",
        "word",
        "\"on-failure\"",
        "when a run that ended is followed by another: `no`, `on-failure`, `always`, `unless-stopped`; \
         `on-failure:N` and `always:N` set `startretries` too",
        Rules::restart,
    ),
    rules(
        "startretries",
        "number or \"unlimited\"",
        "10",
        "how many failures in a row are followed by another start before the program is FATAL",
        Rules::startretries,
    )
    .because("with the default backoff about four minutes of trying"),
    rules("startsecs", "duration", "1", "how long a run must last to count as RUNNING; 0 is at once", Rules::startsecs)
        .because("supervisord's"),
    rules("exitcodes", "list of numbers", "[0]", "the exit statuses, 0 to 255, that are a success", Rules::exitcodes),
    rules(
        "backoff",
        "table or preset",
        "{ delay = \"500ms\", factor = 2, max = \"60s\", jitter = 0, reset_after = \"10s\" }",
        "the delay before another start; `docker`, `kubernetes`, `supervisord` and `systemd` are presets, `{ \
         preset = \"docker\", max = \"30s\" }` changes one",
        Rules::backoff,
    )
    .because("between Docker's 100 ms and supervisord's 1 s; see the presets"),
    later(Table::Program, "ready", "how a run tells that it is ready"),
    later(Table::Program, "start_timeout", "how long a run may take to become ready"),
    later(Table::Program, "depends_on", "what must hold before it starts"),
    later(Table::Program, "restart_with", "restart when one of these restarts"),
    rules(
        "priority",
        "number",
        "999",
        "start order, ascending; programs of one priority start and stop together, and stopping is the reverse",
        Rules::priority,
    )
    .because("supervisord's"),
    rules("numprocs", "number", "1", "how many instances, named `web:0`, `web:1` …; 1 to 1000", Rules::numprocs)
        .because("1000: a typing error should not become ten million processes"),
    rules(
        "essential",
        "boolean",
        "false",
        "the container ends, with its exit code, when it ends for good",
        Rules::essential,
    ),
    rules(
        "stopsignal",
        "signal or list",
        "\"TERM\"",
        "what asks it to stop: `TERM`, `SIGTERM`, `RTMIN+3`, a number; several are sent one after another, \
         each followed by `stopwaitsecs`",
        Rules::stopsignal,
    ),
    rules(
        "stopwaitsecs",
        "duration",
        "10",
        "how long to wait after each stop signal; SIGKILL comes after the last",
        Rules::stopwaitsecs,
    )
    .because("supervisord's and Docker's"),
    rules(
        "stop_scope",
        "word",
        "\"main\"",
        "who gets the stop signal: the `main` process, or every process `group` of the tree; SIGKILL always \
         gets the whole tree",
        Rules::stop_scope,
    ),
    rules(
        "reloadsignal",
        "signal",
        "\"HUP\"",
        "what `musterctl reload` sends; empty restarts instead",
        Rules::reloadsignal,
    ),
    parts(
        "user",
        "user",
        "\"\"",
        "who to run as: `name`, `name:group`, or numbers; empty stays who the daemon is",
        Parts::user,
    ),
    parts("groups", "list of groups", "[]", "supplementary groups; empty is the user's own", Parts::groups),
    parts("directory", "path", "\"\"", "the working directory; empty is the daemon's", Parts::directory),
    parts("umask", "octal text", "\"\"", "the umask; empty is the daemon's", Parts::umask),
    parts("nice", "number", "", "the nice value, -20 to 19; unset leaves the daemon's", Parts::nice)
        .because("the bounds are setpriority(2)'s"),
    parts(
        "oom_score_adj",
        "number",
        "",
        "how ready the kernel is to kill it when memory runs out, -1000 to 1000; unset leaves the daemon's",
        Parts::oom_score_adj,
    )
    .because("the bounds are proc(5)'s"),
    parts(
        "rlimits",
        "table",
        "{}",
        "resource limits by name (`nofile = 65536`): a number, a size, `unlimited`, or `{ soft = …, hard = … }`",
        Parts::rlimits,
    ),
    later(Table::Program, "capabilities", "the capabilities to keep"),
    later(Table::Program, "no_new_privileges", "no setuid programs"),
    parts(
        "environment",
        "table of text",
        "{}",
        "variables over the inherited ones and those of `env_file`",
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
        "clean_environment",
        "boolean",
        "false",
        "inherit nothing of the daemon's environment",
        Parts::clean_environment,
    ),
    later(Table::Program, "secrets", "variables from files"),
    later(Table::Program, "sockets", "sockets that the daemon opens"),
    later(Table::Program, "watchdog", "how often it must say that it lives"),
    later(Table::Program, "schedule", "when to start it"),
    later(Table::Program, "memory_max", "how much memory its tree may have"),
    later(Table::Program, "pre_start", "a command before each start"),
    later(Table::Program, "pre_stop", "a command before each stop"),
    later(Table::Program, "post_stop", "a command after each end"),
    later(Table::Program, "probes", "checks of its health"),
    later(Table::Program, "stdin", "what it reads"),
    later(Table::Program, "track", "how its processes are found"),
    parts("logs", "table", "{}", "where its output goes", Parts::logs),
    key(
        Table::Logs,
        "stdout",
        "word, path or list",
        "\"console\"",
        "`console` (captured, to the daemon's own stdout with the name in front), `none`, `inherit` (the \
         daemon's descriptor itself), a path, or a list of console and paths",
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
    later(Table::Logs, "format", "how lines look on the console"),
    later(Table::Logs, "timestamps", "the time in front of each line"),
    later(Table::Logs, "max_size", "when files are rotated"),
    later(Table::Logs, "max_files", "how many are kept"),
    later(Table::Logs, "compress", "compress rotated files"),
    later(Table::Logs, "rate_limit", "how many lines a second are kept"),
    key(
        Table::Backoff,
        "preset",
        "word",
        "",
        "start from another system's: `docker`, `kubernetes`, `supervisord`, `systemd`; sets `startretries` \
         too, unless that is given",
        Reader::Backoff(BackoffDraft::preset),
    ),
    key(Table::Backoff, "delay", "duration", "\"500ms\"", "the first delay", Reader::Backoff(BackoffDraft::delay)),
    key(
        Table::Backoff,
        "factor",
        "number",
        "2",
        "by how much it grows with each failure in a row, 1 to 1000",
        Reader::Backoff(BackoffDraft::factor),
    ),
    key(Table::Backoff, "max", "duration", "\"60s\"", "where it stops growing", Reader::Backoff(BackoffDraft::max))
        .because("Docker's"),
    key(
        Table::Backoff,
        "jitter",
        "number",
        "0",
        "up to this part of the delay is added at random, 0 to 1",
        Reader::Backoff(BackoffDraft::jitter),
    ),
    key(
        Table::Backoff,
        "reset_after",
        "duration",
        "\"10s\"",
        "a run that was up for so long begins the count anew",
        Reader::Backoff(BackoffDraft::reset_after),
    )
    .because("Docker's"),
    key(
        Table::Rlimit,
        "soft",
        "number, size or \"unlimited\"",
        "",
        "the limit in force; unset is `hard`",
        Reader::Rlimit(Bounds::soft),
    ),
    key(
        Table::Rlimit,
        "hard",
        "number, size or \"unlimited\"",
        "",
        "how far the process may raise it; unset is `soft`",
        Reader::Rlimit(Bounds::hard),
    ),
    key(
        Table::Group,
        "programs",
        "list of names",
        "",
        "the programs in it: `musterctl restart NAME:*`",
        Reader::Structure,
    ),
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
