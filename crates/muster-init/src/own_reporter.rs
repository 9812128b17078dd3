//! musterd's own messages for `musterd run`.
//!
//! All go to standard error: standard output belongs to the command. By default only errors and warnings are printed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;

use muster_spec::Exit;
use muster_sys::foreground::{Onward, Step};
use muster_sys::signal::Pid;

use super::glibc_strings::error_words;
use super::reporter::{Event, Failure, Stream, print, say_before_exec};

/// The verbosity: 0 fatal errors, 1 errors and warnings, 2 the command's state changes, 3 and more everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnReporter {
    pub(super) verbosity: u32,
}

const WARNING: u32 = 1;
const INFO: u32 = 2;
const DEBUG: u32 = 3;

impl OwnReporter {
    pub(super) fn say(self, event: &Event<'_>) {
        match *event {
            Event::BecameSubreaper => self.write(DEBUG, "orphans below become ours"),
            Event::LeftTerminal { .. } => self.write(DEBUG, "left the terminal to the command's session"),
            Event::Started { command, pid } => self.write(INFO, &format!("started {command:?} as pid {pid}")),
            Event::StaysInDirectory(errno) => {
                self.write(WARNING, &format!("cannot move to /, this directory stays in use: {}", reason(errno)));
            }
            Event::IgnoredHandOff(signal) => self.write(DEBUG, &format!("{signal} was about the terminal we left")),
            Event::Rewritten { from, to: Some(to) } => self.write(DEBUG, &format!("{from} becomes {to}")),
            Event::Rewritten { from, to: None } => self.write(DEBUG, &format!("{from} is not passed on")),
            Event::Passing(signal) => self.write(DEBUG, &format!("passing on {signal}")),
            Event::NotPassed { signal, errno } => {
                self.write(WARNING, &format!("cannot pass on {signal}: {}", reason(errno)));
            }
            Event::Suspending => self.write(DEBUG, "stopping until continued"),
            Event::Reaped { pid, exit, is_command, warns } => self.say_reaped(pid, exit, is_command, warns),
            Event::AskingLeftovers => self.write(INFO, "asking the processes left behind to end"),
            Event::KillingLeftovers => self.write(WARNING, "time is up: killing what is left"),
            Event::GivingUpOnLeftovers => self.write(WARNING, "some processes do not die: leaving them behind"),
            Event::Leaving(code) => self.write(INFO, &format!("ending with exit code {code}")),
            Event::IsNoReaper
            | Event::StaysOnTerminal(_)
            | Event::Received(_)
            | Event::Passed(_)
            | Event::NothingToReap { .. } => {}
        }
    }

    fn say_reaped(self, pid: Pid, exit: Exit, is_command: bool, warns: bool) {
        let level = match (is_command, warns) {
            (true, _) => INFO,
            (false, true) => WARNING,
            (false, false) => DEBUG,
        };
        let who = if is_command { "command" } else { "orphan" };
        self.write(level, &format!("reaped {who} {pid}: {exit}"));
    }

    fn write(self, level: u32, words: &str) {
        if self.verbosity >= level {
            print(Stream::Stderr, &format!("musterd run: {words}\n"));
        }
    }

    pub(super) fn fail(self, failure: Failure) -> u8 {
        let (what, errno) = match failure {
            Failure::ParentDeath(errno) => ("cannot ask for a signal at the parent's death", errno),
            Failure::Subreaper(errno) => ("cannot become subreaper", errno),
            Failure::Fork(errno) => ("cannot make a process for the command", errno),
        };
        print(Stream::Stderr, &format!("musterd run: {what}: {}\n", reason(errno)));
        match failure {
            // A shell's exit code for a command that it could not even try.
            Failure::Fork(_) => 126,
            Failure::ParentDeath(_) | Failure::Subreaper(_) => 1,
        }
    }

    /// Only the execution itself can fail: a new group or session is always granted, and a terminal is
    /// optional.
    pub(super) fn judge(self, command: &OsStr, step: Step, errno: i32) -> Onward {
        const ENOENT: i32 = 2;
        if step != Step::Exec {
            return Onward::Continue;
        }
        if errno == ENOENT && command.as_encoded_bytes().contains(&b'/') && say_interpreter(command) {
            return Onward::Exit(127);
        }
        say_before_exec(format_args!(
            "musterd run: cannot run {}: {}\n",
            command.display(),
            Lowercase(error_words(errno))
        ));
        Onward::Exit(if errno == ENOENT { 127 } else { 126 })
    }
}

/// How much of a `#!` line is checked, as in the kernel.
const LINE: usize = 256;

/// A script that exists but cannot be executed lacks its interpreter. Reports that without allocating; returns false if it is not a script.
fn say_interpreter(script: &OsStr) -> bool {
    let mut head = [0; LINE];
    let Ok(length) = File::open(script).and_then(|mut file| file.read(&mut head)) else { return false };
    let Some(line) = head[..length].strip_prefix(b"#!") else { return false };
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii_start();
    let interpreter = line.split(|byte| b" \t".contains(byte)).next().unwrap_or_default();
    let (interpreter, why) = match interpreter.strip_suffix(b"\r") {
        Some(interpreter) => (interpreter, ": the #! line ends with a carriage return, as files from Windows do"),
        None => (interpreter, ""),
    };
    let (script, interpreter) = (script.display(), interpreter.escape_ascii());
    say_before_exec(format_args!(
        "musterd run: cannot run {script}: its interpreter {interpreter} does not exist{why}\n"
    ));
    true
}

fn reason(errno: i32) -> String {
    Lowercase(error_words(errno)).to_string()
}

/// The text with a lowercase first letter, without allocating.
struct Lowercase(&'static str);

impl std::fmt::Display for Lowercase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut letters = self.0.chars();
        letters.next().map_or(Ok(()), |first| write!(f, "{}{}", first.to_ascii_lowercase(), letters.as_str()))
    }
}
