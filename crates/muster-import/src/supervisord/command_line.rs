//! The original's command line.

use muster_supervisord::getopt::{self, Opt};
use muster_supervisord::python::repr;

use super::{Flag, Flags, Refused, World};

/// The request that a command line makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The help.
    Help,
    /// The version.
    Version,
    /// To supervise. Boxed, since it is many times larger than the rest.
    Run(Box<Run>),
}

/// How to supervise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The configuration; `None` is the first that exists at the usual places.
    pub file: Option<String>,
    /// Settings that win over the file's.
    pub flags: Flags,
}

#[derive(Clone, Copy)]
enum Meaning {
    Help,
    Version,
    File,
    Set(Flag),
}

/// All options, in the original's order.
const OPTIONS: [(Opt, Meaning); 21] = [
    (option("h", "help", false), Meaning::Help),
    (option("?", "", false), Meaning::Help),
    (option("c", "configuration", true), Meaning::File),
    (option("v", "version", false), Meaning::Version),
    (option("n", "nodaemon", false), Meaning::Set(Flag::Nodaemon)),
    (option("u", "user", true), Meaning::Set(Flag::User)),
    (option("m", "umask", true), Meaning::Set(Flag::Umask)),
    (option("d", "directory", true), Meaning::Set(Flag::Directory)),
    (option("l", "logfile", true), Meaning::Set(Flag::Logfile)),
    (option("y", "logfile_maxbytes", true), Meaning::Set(Flag::LogfileMaxbytes)),
    (option("z", "logfile_backups", true), Meaning::Set(Flag::LogfileBackups)),
    (option("e", "loglevel", true), Meaning::Set(Flag::Loglevel)),
    (option("j", "pidfile", true), Meaning::Set(Flag::Pidfile)),
    (option("i", "identifier", true), Meaning::Set(Flag::Identifier)),
    (option("q", "childlogdir", true), Meaning::Set(Flag::Childlogdir)),
    (option("a", "minfds", true), Meaning::Set(Flag::Minfds)),
    (option("", "minprocs", true), Meaning::Set(Flag::Minprocs)),
    (option("k", "nocleanup", false), Meaning::Set(Flag::Nocleanup)),
    (option("t", "strip_ansi", false), Meaning::Set(Flag::StripAnsi)),
    (option("", "profile_options", true), Meaning::Set(Flag::ProfileOptions)),
    (option("s", "silent", false), Meaning::Set(Flag::Silent)),
];

const fn option(short: &'static str, long: &'static str, has_value: bool) -> Opt {
    let short = if short.is_empty() { None } else { Some(short.as_bytes()[0] as char) };
    Opt { short, long: if long.is_empty() { None } else { Some(long) }, has_value }
}

/// Reads the words after the program's name. An error is the original's text after `Error: `.
pub fn parse(words: &[String], world: &dyn World) -> Result<Request, String> {
    let (found, rest) = getopt::parse(&OPTIONS.map(|(option, _)| option), words)?;
    if !rest.is_empty() {
        let words: Vec<String> = rest.iter().map(|word| repr(word)).collect();
        return Err(format!("positional arguments are not supported: [{}]", words.join(", ")));
    }
    let mut run = Run::default();
    // One after the other: help is shown if no option before it is refused.
    for getopt::Found { option, name, value } in found {
        let set = match OPTIONS[option].1 {
            Meaning::Help => return Ok(Request::Help),
            Meaning::Version => return Ok(Request::Version),
            Meaning::File => match run.file.replace(value.clone()) {
                Some(_) => Err(Refused::Twice),
                None => Ok(()),
            },
            Meaning::Set(flag) => run.flags.set(flag, &value, world),
        };
        set.map_err(|refused| match refused {
            Refused::Twice => format!("conflicting command line option {}", repr(&name)),
            Refused::Value(reason) => format!("invalid value for {name} {}: {reason}", repr(&value)),
        })?;
    }
    Ok(Request::Run(Box::new(run)))
}

/// The help. Scripts look for its lines.
pub fn help(program: &str) -> String {
    format!(
        "\
supervisord -- run a set of applications as daemons.

Usage: {program} [options]

Options:
-c/--configuration FILENAME -- configuration file path (searches if not given)
-n/--nodaemon -- run in the foreground (same as 'nodaemon=true' in config file)
-s/--silent -- no logs to stdout (maps to 'silent=true' in config file)
-h/--help -- print this usage message and exit
-v/--version -- print supervisord version number and exit
-u/--user USER -- run supervisord as this user (or numeric uid)
-m/--umask UMASK -- use this umask when daemonized (default is 022)
-d/--directory DIRECTORY -- directory to chdir to when daemonized
-l/--logfile FILENAME -- use FILENAME as logfile path
-y/--logfile_maxbytes BYTES -- use BYTES to limit the max size of logfile
-z/--logfile_backups NUM -- number of backups to keep when max bytes reached
-e/--loglevel LEVEL -- use LEVEL as log level (debug,info,warn,error,critical)
-j/--pidfile FILENAME -- write a pid file for the daemon process to FILENAME
-i/--identifier STR -- identifier used for this instance of supervisord
-q/--childlogdir DIRECTORY -- the log directory for child process logs
-k/--nocleanup -- keep old automatic child log files at startup
-a/--minfds NUM -- the minimum number of file descriptors for start success
-t/--strip_ansi -- strip ansi escape codes from process output
--minprocs NUM -- the minimum number of processes available for start success
--profile_options OPTIONS -- accepted, without effect

This is musterd {version}, which runs supervisord configurations.
",
        version = env!("CARGO_PKG_VERSION")
    )
}
