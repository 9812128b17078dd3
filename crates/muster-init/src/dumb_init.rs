//! dumb-init 1.2.5: its command line, environment variables and messages.
//!
//! `--help` describes it. In addition: all its output, including help and version, goes to standard
//! error; options end at the first argument that is not one; only `DUMB_INIT_DEBUG=1` and `DUMB_INIT_SETSID=0` count;
//! a command that cannot be executed is exit code 2; and the command starts with no signal blocked or ignored, whatever
//! dumb-init itself inherited.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use muster_spec::{Exit, Signal};
use muster_sys::foreground::{Onward, Step};

use super::exit_codes::ExitCodes;
use super::getopt::{Grammar, Long, Operands, Scan};
use super::glibc_strings::error_words;
use super::plan::{Home, InitPlan, Parsed, SignalRecipients};
use super::quirks::Character;
use super::reporter::{Event, Failure, Reporter, Stream, print, say_before_exec};
use super::rewrites::{Rewrite, Rewrites};

const VERSION: &str = "dumb-init v1.2.5";

const GRAMMAR: Grammar = Grammar {
    short: "hvVcr:",
    long: &[
        Long { name: "help", takes_value: false, key: b'h' },
        Long { name: "single-child", takes_value: false, key: b'c' },
        Long { name: "rewrite", takes_value: true, key: b'r' },
        Long { name: "verbose", takes_value: false, key: b'v' },
        Long { name: "version", takes_value: false, key: b'V' },
    ],
    operands: Operands::EndTheOptions,
};

/// The highest signal that can be rewritten; real-time ones cannot.
const LAST_SIGNAL: i32 = 31;

/// Parses the command line of a program called `name`.
pub(super) fn parse(name: &OsStr, arguments: &[OsString]) -> Parsed {
    let mut scan = Scan::new(GRAMMAR, arguments);
    let mut asked = Asked { debug: false, session: true, rewrites: Rewrites::new() };
    for found in scan.by_ref() {
        let (letter, value) = match found {
            Ok(found) => found,
            Err(mistake) => return words(1, format!("{}: {mistake}\n", name.display())),
        };
        if let Err(ending) = asked.take(name, letter, value.as_deref().unwrap_or_default()) {
            return ending;
        }
    }
    let command = scan.into_operands();
    if command.is_empty() {
        let name = name.display();
        return words(1, format!("Usage: {name} [option] program [args]\nTry {name} --help for full usage.\n"));
    }
    asked.heed_environment();
    Parsed::Run(Box::new(asked.into_plan(command)))
}

/// The options so far.
struct Asked {
    debug: bool,
    session: bool,
    rewrites: Rewrites,
}

impl Asked {
    /// Applies one option. An error ends the program: help, version, an invalid value.
    fn take(&mut self, name: &OsStr, letter: u8, value: &OsStr) -> Result<(), Parsed> {
        match letter {
            b'h' => return Err(words(0, help(name))),
            b'V' => return Err(words(0, format!("{VERSION}\n"))),
            b'v' => self.debug = true,
            b'c' => self.session = false,
            _ => {
                let (signal, rewrite) = rewrite(value).ok_or_else(|| words(1, REWRITE_HELP.to_owned()))?;
                self.rewrites.set(signal, rewrite);
            }
        }
        Ok(())
    }

    fn heed_environment(&mut self) {
        if std::env::var_os("DUMB_INIT_DEBUG").is_some_and(|value| value == "1") {
            self.debug = true;
            self.reporter().write("Running in debug mode.");
        }
        if std::env::var_os("DUMB_INIT_SETSID").is_some_and(|value| value == "0") {
            self.session = false;
            self.reporter().write("Not running in setsid mode.");
        }
    }

    fn reporter(&self) -> DumbInitReporter {
        DumbInitReporter { debug: self.debug }
    }

    fn into_plan(mut self, command: Vec<OsString>) -> InitPlan {
        if self.session {
            self.rewrites.stop_for_real();
        }
        InitPlan {
            command,
            character: Character::DumbInit,
            reporter: Reporter::DumbInit(self.reporter()),
            home: if self.session { Home::Session } else { Home::Here },
            scope: if self.session { SignalRecipients::Group } else { SignalRecipients::Process },
            rewrites: self.rewrites,
            successes: ExitCodes::default(),
            parent_death: None,
            is_subreaper: false,
            warns_on_reap: false,
            grace: None,
        }
    }
}

fn words(code: u8, text: String) -> Parsed {
    Parsed::Say { stream: Stream::Stderr, text, code }
}

const REWRITE_HELP: &str = "Usage: -r option takes <signum>:<signum>, where <signum> is between 1 and 31.
This option can be specified multiple times.
Use --help for full usage.
";

/// Parses like sscanf(3) with `%d:%d`: spaces before either number and anything after the second are ignored.
fn rewrite(text: &OsStr) -> Option<(Signal, Rewrite)> {
    let (from, rest) = number(text.as_bytes())?;
    let (to, _) = number(rest.strip_prefix(b":")?)?;
    let from = Signal::from_number(from).filter(|signal| signal.number() <= LAST_SIGNAL)?;
    match to {
        0 => Some((from, Rewrite::Drop)),
        1..=LAST_SIGNAL => Some((from, Rewrite::To(Signal::from_number(to)?))),
        _ => None,
    }
}

fn number(text: &[u8]) -> Option<(i32, &[u8])> {
    let text = text.trim_ascii_start();
    let sign = text.iter().take_while(|&&byte| byte == b'-' || byte == b'+').count().min(1);
    let length = sign + text.iter().skip(sign).take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(length);
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

fn help(name: &OsStr) -> String {
    format!(
        "{VERSION}
Usage: {} [option] command [[arg] ...]

dumb-init is a simple process supervisor that forwards signals to children.
It is designed to run as PID1 in minimal container environments.

Optional arguments:
   -c, --single-child   Run in single-child mode.
                        In this mode, signals are only proxied to the
                        direct child and not any of its descendants.
   -r, --rewrite s:r    Rewrite received signal s to new signal r before proxying.
                        To ignore (not proxy) a signal, rewrite it to 0.
                        This option can be specified multiple times.
   -v, --verbose        Print debugging information to stderr.
   -h, --help           Print this help message and exit.
   -V, --version        Print the current version and exit.

Full help is available online at https://github.com/Yelp/dumb-init
",
        name.display()
    )
}

/// dumb-init's messages: all of them when debugging, otherwise only failures.
#[derive(Clone, Copy, Debug)]
pub(super) struct DumbInitReporter {
    debug: bool,
}

impl DumbInitReporter {
    pub(super) fn say(self, event: &Event<'_>) {
        match *event {
            Event::LeftTerminal { leads_session: true } => {
                self.write("Detached from controlling tty, ignoring the first SIGHUP and SIGCONT we receive.")
            }
            Event::LeftTerminal { leads_session: false } => {
                self.write("Detached from controlling tty, but was not session leader.");
            }
            Event::StaysOnTerminal(errno) => {
                let words = error_words(errno);
                self.write(&format!("Unable to detach from controlling tty (errno={errno} {words})."));
            }
            Event::Started { pid, .. } => self.write(&format!("Child spawned with PID {pid}.")),
            Event::StaysInDirectory(errno) => {
                self.write(&format!("Unable to chdir(\"/\") (errno={errno} {})", error_words(errno)));
            }
            Event::Received(signal) => self.write(&format!("Received signal {}.", signal.number())),
            Event::IgnoredHandOff(signal) => self.write(&format!("Ignoring tty hand-off signal {}.", signal.number())),
            Event::Rewritten { from, to } => self.say_rewritten(from, to),
            Event::Passed(signal) => self.write(&format!("Forwarded signal {} to children.", signal.number())),
            Event::Suspending => self.write("Suspending self due to TTY signal."),
            Event::Reaped { pid, exit: Exit::Code(code), .. } => {
                self.write(&format!("A child with PID {pid} exited with exit status {code}."));
            }
            Event::Reaped { pid, exit: Exit::Signal { signal, .. }, .. } => {
                self.write(&format!("A child with PID {pid} was terminated by signal {}.", signal.number()));
            }
            Event::Leaving(code) => self.write(&format!("Child exited with status {code}. Goodbye.")),
            _ => {}
        }
    }

    fn say_rewritten(self, from: Signal, to: Option<Signal>) {
        let number = to.map_or(0, Signal::number);
        self.write(&format!("Translating signal {} to {number}.", from.number()));
        if to.is_none() {
            self.write("Not forwarding signal 0 to children (ignored).");
        }
    }

    fn write(self, words: &str) {
        if self.debug {
            print(Stream::Stderr, &format!("[dumb-init] {words}\n"));
        }
    }

    pub(super) fn fail(self, failure: Failure) -> u8 {
        match failure {
            Failure::Fork(_) => print(Stream::Stderr, "[dumb-init] Unable to fork. Exiting.\n"),
            // dumb-init has no option that could lead here.
            Failure::ParentDeath(_) | Failure::Subreaper(_) => {}
        }
        1
    }

    pub(super) fn judge(self, command: &OsStr, step: Step, errno: i32) -> Onward {
        let words = error_words(errno);
        match (step, errno) {
            (Step::Session, 0) => {}
            (Step::Session, _) => {
                say_before_exec(format_args!("[dumb-init] Unable to setsid (errno={errno} {words}). Exiting.\n"));
                return Onward::Exit(1);
            }
            (Step::ControllingTerminal, _) if self.debug => {
                if errno != 0 {
                    say_before_exec(format_args!(
                        "[dumb-init] Unable to attach to controlling tty (errno={errno} {words}).\n"
                    ));
                }
                say_before_exec(format_args!("[dumb-init] setsid complete.\n"));
            }
            (Step::Exec, _) => {
                say_before_exec(format_args!("[dumb-init] {}: {words}\n", command.display()));
                return Onward::Exit(2);
            }
            _ => {}
        }
        Onward::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewrites_are_read_as_sscanf_reads_them() {
        let told = |text: &str| match rewrite(OsStr::new(text)) {
            Some((from, Rewrite::To(to))) => format!("{} to {}", from.number(), to.number()),
            Some((from, _)) => format!("{} dropped", from.number()),
            None => "refused".to_owned(),
        };
        for (text, expected) in [
            ("15:2", "15 to 2"),
            ("1:0", "1 dropped"),
            ("31:31", "31 to 31"),
            (" 15: +2x", "15 to 2"),
            ("15 :2", "refused"),
            ("0:1", "refused"),
            ("32:1", "refused"),
            ("1:32", "refused"),
            ("1:-1", "refused"),
            ("1", "refused"),
            ("1:", "refused"),
            (":1", "refused"),
            ("TERM:INT", "refused"),
            ("--1:2", "refused"),
            ("", "refused"),
        ] {
            assert_eq!(told(text), expected, "{text:?}");
        }
    }
}
