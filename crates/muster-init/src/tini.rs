//! tini 0.19: its command line, environment variables and messages.
//!
//! `-h` describes it. In addition: options are accepted after the command unless `--` comes first
//! (`POSIXLY_CORRECT` disables that), the environment's verbosity overrides `-v`, warnings go to standard error and everything
//! less urgent to standard output. `--version` counts only as the single argument. `-l` prints the licence of this program,
//! which is ours.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use muster_spec::{Exit, Signal};
use muster_sys::foreground::{Onward, Step};
use muster_sys::signal::Pid;

use super::exit_codes::ExitCodes;
use super::getopt::{Grammar, Operands, Scan};
use super::glibc_strings::{SignalWords, error_words};
use super::plan::{Home, InitPlan, Parsed, SignalRecipients};
use super::quirks::Character;
use super::reporter::{Event, Failure, Reporter, Stream, print, say_before_exec};
use super::rewrites::Rewrites;

/// Docker and others parse `tini version ` and a version after it.
const VERSION: &str = "tini version 0.19.0";

const LICENSE: &str = include_str!("tini/license.txt");

const LETTERS: &str = "p:hvwgle:s";

/// STKFLT, IO and PWR: `-p` does not accept their names.
const UNNAMED: [i32; 3] = [16, 29, 30];

/// Parses the command line of a program called `name`.
pub(super) fn parse(name: &OsStr, arguments: &[OsString]) -> Parsed {
    if let [only] = arguments
        && only == "--version"
    {
        return Parsed::Say { stream: Stream::Stdout, text: format!("{VERSION}\n"), code: 0 };
    }
    let operands = match std::env::var_os("POSIXLY_CORRECT") {
        Some(_) => Operands::EndTheOptions,
        None => Operands::AreSetAside,
    };
    let mut scan = Scan::new(Grammar { short: LETTERS, long: &[], operands }, arguments);
    let mut asked = Asked { verbosity: 1, ..Asked::default() };
    for found in scan.by_ref() {
        let (letter, value) = match found {
            Ok(found) => found,
            Err(mistake) => return complain(&format!("{}: {mistake}\n{}", name.display(), usage(name))),
        };
        if let Err(ending) = asked.take(name, letter, value.as_deref().unwrap_or_default()) {
            return ending;
        }
    }
    let command = scan.into_operands();
    if command.is_empty() {
        return complain(&usage(name));
    }
    asked.heed_environment();
    Parsed::Run(Box::new(asked.into_plan(command)))
}

/// The options so far.
#[derive(Default)]
struct Asked {
    verbosity: u32,
    subreaper: bool,
    warns_on_reap: bool,
    group: bool,
    parent_death: Option<Signal>,
    successes: ExitCodes,
}

impl Asked {
    /// Applies one option. An error ends the program: help, licence, an invalid value.
    fn take(&mut self, name: &OsStr, letter: u8, value: &OsStr) -> Result<(), Parsed> {
        match letter {
            b'h' => return Err(Parsed::Say { stream: Stream::Stdout, text: usage(name), code: 0 }),
            b'l' => return Err(Parsed::Say { stream: Stream::Stdout, text: LICENSE.to_owned(), code: 0 }),
            b'v' => self.verbosity = self.verbosity.wrapping_add(1),
            b's' => self.subreaper = true,
            b'w' => self.warns_on_reap = true,
            b'g' => self.group = true,
            b'p' => self.parent_death = Some(signal_by_name(value).ok_or_else(|| invalid('p', value))?),
            _ => self.successes.insert(exit_code(value).ok_or_else(|| invalid('e', value))?),
        }
        Ok(())
    }

    fn heed_environment(&mut self) {
        self.subreaper |= std::env::var_os("TINI_SUBREAPER").is_some();
        self.group |= std::env::var_os("TINI_KILL_PROCESS_GROUP").is_some();
        if let Some(verbosity) = std::env::var_os("TINI_VERBOSITY") {
            self.verbosity = verbosity_of(&verbosity);
        }
    }

    fn into_plan(self, command: Vec<OsString>) -> InitPlan {
        InitPlan {
            command,
            character: Character::Tini,
            reporter: Reporter::Tini(TiniReporter { verbosity: self.verbosity }),
            home: Home::Group,
            scope: if self.group { SignalRecipients::Group } else { SignalRecipients::Process },
            rewrites: Rewrites::new(),
            successes: self.successes,
            parent_death: self.parent_death,
            is_subreaper: self.subreaper,
            warns_on_reap: self.warns_on_reap,
            grace: None,
        }
    }
}

fn complain(text: &str) -> Parsed {
    Parsed::Say { stream: Stream::Stderr, text: text.to_owned(), code: 1 }
}

fn invalid(letter: char, value: &OsStr) -> Parsed {
    complain(&format!("{}Not a valid option for -{letter}: {}\n", prefix("FATAL"), value.display()))
}

/// The beginning of every message of the program itself.
fn prefix(level: &str) -> String {
    format!("[{level:5} tini ({})] ", Pid::this())
}

/// `SIGTERM`: in capitals, with its prefix, no number, no real-time signal.
fn signal_by_name(name: &OsStr) -> Option<Signal> {
    (1..32).filter(|number| !UNNAMED.contains(number)).filter_map(Signal::from_number).find(|signal| {
        let known = signal.to_string();
        known.as_bytes() == name.as_bytes()
    })
}

/// Parses like strtol(3): `" +7"` is 7 and an empty text is 0.
fn exit_code(text: &OsStr) -> Option<u8> {
    let (number, rest) = leading_number(text.as_bytes());
    if rest.is_empty() { u8::try_from(number).ok() } else { None }
}

/// Parses like atoi(3), without a sign: garbage is 0, and a negative number is the maximum.
fn verbosity_of(text: &OsStr) -> u32 {
    leading_number(text.as_bytes()).0 as u32
}

/// The leading number of a text, and the rest; the whole text if there is none.
fn leading_number(text: &[u8]) -> (i64, &[u8]) {
    let unspaced = text.trim_ascii_start();
    let (sign, digits) = match unspaced.split_first() {
        Some((b'-', rest)) => (-1, rest),
        Some((b'+', rest)) => (1, rest),
        _ => (1, unspaced),
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return (0, text);
    }
    let (digits, rest) = digits.split_at(count);
    let value =
        digits.iter().fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    (sign * value, rest)
}

fn usage(name: &OsStr) -> String {
    let name = name.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    format!(
        "{name} ({VERSION})
Usage: {name} [OPTIONS] PROGRAM -- [ARGS] | --version

Execute a program under the supervision of a valid init process ({name})

Command line options:

  --version: Show version and exit.
  -h: Show this help message and exit.
  -s: Register as a process subreaper (requires Linux >= 3.4).
  -p SIGNAL: Trigger SIGNAL when parent dies, e.g. \"-p SIGKILL\".
  -v: Generate more verbose output. Repeat up to 3 times.
  -w: Print a warning when processes are getting reaped.
  -g: Send signals to the child's process group.
  -e EXIT_CODE: Remap EXIT_CODE (from 0 to 255) to 0.
  -l: Show license and exit.

Environment variables:

  TINI_SUBREAPER: Register as a process subreaper (requires Linux >= 3.4).
  TINI_VERBOSITY: Set the verbosity level (default: 1).
  TINI_KILL_PROCESS_GROUP: Send signals to the child's process group.

"
    )
}

const NO_REAPER: &str = "Tini is not running as PID 1 and isn't registered as a child subreaper.
Zombie processes will not be re-parented to Tini, so zombie reaping won't work.
To fix the problem, use the -s option or set the environment variable TINI_SUBREAPER to register Tini as a child \
subreaper, or run Tini as PID 1.";

/// tini's messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct TiniReporter {
    verbosity: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Warning = 1,
    Info = 2,
    Debug = 3,
    Trace = 4,
}

impl TiniReporter {
    pub(super) fn say(self, event: &Event<'_>) {
        match *event {
            Event::BecameSubreaper => self.write(Level::Trace, "Registered as child subreaper"),
            Event::IsNoReaper => self.write(Level::Warning, NO_REAPER),
            Event::Started { command, pid } => {
                self.write(Level::Info, &format!("Spawned child process '{}' with pid '{pid}'", command.display()));
            }
            Event::Received(Signal::CHLD) => self.write(Level::Debug, "Received SIGCHLD"),
            Event::Passing(signal) => self.write(Level::Debug, &format!("Passing signal: '{}'", SignalWords(signal))),
            Event::NotPassed { errno, .. } => self.say_not_passed(errno),
            Event::Reaped { pid, exit, is_command, warns } => self.say_reaped(pid, exit, is_command, warns),
            Event::NothingToReap { has_children: true } => self.write(Level::Trace, "No child to reap"),
            Event::NothingToReap { has_children: false } => self.write(Level::Trace, "No child to wait"),
            Event::Leaving(_) => self.write(Level::Trace, "Exiting: child has exited"),
            _ => {}
        }
    }

    /// Any error other than "no such process" ends tini. It does not end us: the command is alive, and must be reaped.
    fn say_not_passed(self, errno: i32) {
        const ESRCH: i32 = 3;
        match errno {
            ESRCH => self.write(Level::Warning, "Child was dead when forwarding signal"),
            _ => {
                let words = error_words(errno);
                self.write(Level::Warning, &format!("Unexpected error when forwarding signal: '{words}'"));
            }
        }
    }

    fn say_reaped(self, pid: Pid, exit: Exit, is_command: bool, warns: bool) {
        self.write(Level::Debug, &format!("Reaped child with pid: '{pid}'"));
        match (is_command, exit) {
            (true, Exit::Code(code)) => {
                self.write(Level::Info, &format!("Main child exited normally (with status '{code}')"));
            }
            (true, Exit::Signal { signal, .. }) => {
                let words = SignalWords(signal);
                self.write(Level::Info, &format!("Main child exited with signal (with signal '{words}')"));
            }
            (false, _) if warns => self.write(Level::Warning, &format!("Reaped zombie process with pid={pid}")),
            (false, _) => {}
        }
    }

    fn write(self, level: Level, words: &str) {
        if self.verbosity < level as u32 {
            return;
        }
        let (stream, label) = match level {
            Level::Warning => (Stream::Stderr, "WARN"),
            Level::Info => (Stream::Stdout, "INFO"),
            Level::Debug => (Stream::Stdout, "DEBUG"),
            Level::Trace => (Stream::Stdout, "TRACE"),
        };
        print(stream, &format!("{}{words}\n", prefix(label)));
    }

    pub(super) fn fail(self, failure: Failure) -> u8 {
        let words = match failure {
            Failure::ParentDeath(_) => "Failed to set up parent death signal".to_owned(),
            Failure::Subreaper(errno) => format!("Failed to register as child subreaper: {}", error_words(errno)),
            Failure::Fork(errno) => format!("fork failed: {}", error_words(errno)),
        };
        print(Stream::Stderr, &format!("{}{words}\n", prefix("FATAL")));
        1
    }

    /// A terminal is taken if standard input is one; if it is not, that is no failure.
    pub(super) fn judge(self, command: &OsStr, step: Step, errno: i32) -> Onward {
        const ENOENT: i32 = 2;
        const ENXIO: i32 = 6;
        const EACCES: i32 = 13;
        const ENOTTY: i32 = 25;
        let (pid, words) = (Pid::this(), error_words(errno));
        match (step, errno) {
            (_, 0) | (Step::Foreground, ENOTTY | ENXIO) => Onward::Continue,
            (Step::Exec, _) => {
                say_before_exec(format_args!("[FATAL tini ({pid})] exec {} failed: {words}\n", command.display()));
                Onward::Exit(match errno {
                    ENOENT => 127,
                    EACCES => 126,
                    _ => 1,
                })
            }
            (Step::Foreground, _) => {
                say_before_exec(format_args!("[FATAL tini ({pid})] tcsetpgrp failed: {words}\n"));
                Onward::Exit(1)
            }
            _ => {
                say_before_exec(format_args!("[FATAL tini ({pid})] setpgid failed: {words}\n"));
                Onward::Exit(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_read_as_strtol_reads_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("255", Some(255)),
            (" +7", Some(7)),
            ("", Some(0)),
            ("256", None),
            ("-1", None),
            ("7x", None),
            ("x", None),
            (" ", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(exit_code(OsStr::new(text)), expected, "{text:?}");
        }
    }

    #[test]
    fn verbosity_is_read_as_atoi_reads_it() {
        for (text, expected) in [("3", 3), ("2x", 2), ("abc", 0), ("", 0), ("-1", u32::MAX)] {
            assert_eq!(verbosity_of(OsStr::new(text)), expected, "{text:?}");
        }
    }

    #[test]
    fn parent_death_signals_have_full_names() {
        let number = |name: &str| signal_by_name(OsStr::new(name)).map(Signal::number);
        assert_eq!(number("SIGKILL"), Some(9));
        assert_eq!(number("SIGSYS"), Some(31));
        for name in ["TERM", "sigterm", "15", "SIGRTMIN", "SIGPWR", "SIGIO", "SIGSTKFLT", ""] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
