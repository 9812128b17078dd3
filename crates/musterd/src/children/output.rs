//! Where the output of a new process goes: a pipe that is read, the daemon's own streams, or nowhere.

use std::io::{self, Stderr, Stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::LazyLock;

use muster_sys::spawn::Stdio;

/// The daemon's own streams, for programs whose output is not captured.
static STDOUT: LazyLock<Stdout> = LazyLock::new(std::io::stdout);
static STDERR: LazyLock<Stderr> = LazyLock::new(std::io::stderr);

/// Where one output stream of a new process goes.
pub(super) enum Output {
    Pipe(OwnedFd),
    DaemonStdout,
    DaemonStderr,
    Null,
}

impl Output {
    pub(super) fn as_stdio(&self) -> Stdio<'_> {
        match self {
            Output::Pipe(writing) => Stdio::Fd(writing.as_fd()),
            Output::DaemonStdout => Stdio::Fd(STDOUT.as_fd()),
            Output::DaemonStderr => Stdio::Fd(STDERR.as_fd()),
            Output::Null => Stdio::Null,
        }
    }

    pub(super) fn duplicate(&self) -> io::Result<Output> {
        Ok(match self {
            Output::Pipe(writing) => Output::Pipe(writing.try_clone()?),
            Output::DaemonStdout => Output::DaemonStdout,
            Output::DaemonStderr => Output::DaemonStderr,
            Output::Null => Output::Null,
        })
    }
}
