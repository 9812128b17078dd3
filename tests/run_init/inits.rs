//! The inits under test, and how to run them.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};

use tempfile::TempDir;

use crate::harness::{self, Process, wait_for};

/// Variables that affect an init: never inherited from the tests' own environment.
const HEEDED: [&str; 6] = [
    "TINI_SUBREAPER",
    "TINI_VERBOSITY",
    "TINI_KILL_PROCESS_GROUP",
    "DUMB_INIT_DEBUG",
    "DUMB_INIT_SETSID",
    "POSIXLY_CORRECT",
];

/// An init: ours, or ours under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Init {
    Own,
    Tini,
    Dumb,
}

impl Init {
    /// The command so far: the init with these options.
    pub(crate) fn with(self, options: &[&str]) -> Command {
        let mut command = match self {
            Init::Own => Command::new(crate::harness::musterd()),
            Init::Tini => Command::new(link("tini")),
            Init::Dumb => Command::new(link("dumb-init")),
        };
        if self == Init::Own {
            command.arg("run");
        }
        command.args(options);
        without_heeded(&mut command);
        command
    }
}

/// Removes the variables that affect an init from the command's environment.
pub(crate) fn without_heeded(command: &mut Command) {
    for name in HEEDED {
        command.env_remove(name);
    }
}

/// `muster` under another name.
pub(crate) fn link(name: &str) -> PathBuf {
    static LINKS: OnceLock<TempDir> = OnceLock::new();
    let links = LINKS.get_or_init(|| {
        let links = tempfile::tempdir().expect("the temporary directory is writable");
        for name in ["tini", "tini-static", "docker-init", "dumb-init"] {
            let made = std::os::unix::fs::symlink(crate::harness::muster(), links.path().join(name));
            made.expect("a link can be made there");
        }
        links
    });
    links.path().join(name)
}

/// A command as it is typed in a shell.
pub(crate) fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .map(|word| if word.contains(' ') { format!("'{word}'") } else { word.into_owned() })
        .collect::<Vec<_>>()
        .join(" ")
}

/// How a command ended, and its output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// `exit 3` or `signal 15`.
    pub(crate) end: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the command until it exits, with empty standard input.
pub(crate) fn outcome(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().expect("it can be executed");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Outcome { end: end(output.status), stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub(crate) fn end(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, signal) => format!("signal {}", signal.expect("it ended one way or the other")),
    }
}

/// A running init. Dropping it kills it and all of its descendants.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts it; its output and that of its command arrive line by line.
    pub(crate) fn start(command: &mut Command) -> Running {
        Running::start_reading(command, Stdio::null())
    }

    /// The same with this as its standard input.
    pub(crate) fn start_reading(command: &mut Command, stdin: Stdio) -> Running {
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).spawn().expect("it can be executed");
        let stdout = child.stdout.take().expect("it was piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Running { child, lines }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn send(&self, signal: i32) {
        harness::send(self.pid(), signal);
    }

    /// The next line with this prefix, without the prefix.
    pub(crate) fn line(&self, beginning: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(harness::PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line {beginning:?} came"));
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    /// All descendants of the init.
    pub(crate) fn below(&self) -> Vec<Process> {
        harness::below(self.pid())
    }

    pub(crate) fn wait(&mut self) -> String {
        wait_for("the init ends", || self.child.try_wait().expect("it is a child of this process").map(end))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A stopped process creates no others: one created between the look and its parent's death would be missed.
        let pids = || self.below().iter().map(|process| process.pid).collect::<Vec<_>>();
        let (mut known, mut below) = (Vec::new(), pids());
        while known != below {
            below.iter().for_each(|&pid| harness::send(pid, 19));
            (known, below) = (below, pids());
        }
        kill(below);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends this to every process in the list, ignoring those that are gone.
pub(crate) fn kill(pids: impl IntoIterator<Item = i32>) {
    pids.into_iter().for_each(|pid| harness::send(pid, 9));
}

/// Whether the process is alive, stopped or not; a zombie is not.
pub(crate) fn is_alive(pid: i32) -> bool {
    harness::find(pid).is_some_and(|process| !process.is_zombie())
}

/// Waits until the process is in this state (proc(5)).
pub(crate) fn wait_for_state(pid: i32, state: char) {
    harness::wait_until(&format!("{pid} is in state {state}"), || {
        harness::find(pid).is_some_and(|process| process.state == state)
    });
}

/// A program by this name, if it is installed.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(OsStr::new(name))).find(|file| file.is_file())
}
