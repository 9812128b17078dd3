//! Where the output of a new process goes: a pipe that is read, the daemon's own streams, or nowhere.

use std::io::{self, Stderr, Stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::LazyLock;

use muster_logs::{ReadyMatcher, Source, Unbound, captured};
use muster_spec::{InstanceSpec, RunId, SpawnError, Target};
use muster_sys::spawn::Stdio;

use super::stdin::StdinPipe;
use super::terminal::{Opened, Terminal};
use super::{Children, no_pipe};

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

impl Children {
    /// Opens the streams of a process, or its terminal with what writes to it; what is returned third is bound to it once it has a
    /// pid.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    pub(super) fn open_streams(
        &self,
        run: RunId,
        spec: &InstanceSpec,
        matcher: Option<&ReadyMatcher>,
    ) -> Result<(Output, Output, Vec<Unbound>, Option<(Terminal, StdinPipe)>), SpawnError> {
        Ok(match self.open_terminal(run, spec, matcher)? {
            Some(Opened { terminal, input, reading }) => {
                (Output::Null, Output::Null, vec![reading], Some((terminal, input)))
            }
            None => {
                let (stdout, stderr, reading) = self.open_output(run, spec, matcher)?;
                (stdout, stderr, reading, None)
            }
        })
    }

    /// Opens both output streams of a process; the pipes returned last are bound to it once it has a pid.
    pub(super) fn open_output(
        &self,
        run: RunId,
        spec: &InstanceSpec,
        matcher: Option<&ReadyMatcher>,
    ) -> Result<(Output, Output, Vec<Unbound>), SpawnError> {
        let mut unbound = Vec::new();
        let stdout = self.open_stream(run, spec, (&spec.output.stdout, Source::Stdout), matcher, &mut unbound)?;
        let stderr = match &spec.output.stderr {
            Some(target) => self.open_stream(run, spec, (target, Source::Stderr), matcher, &mut unbound)?,
            None => stdout.duplicate().map_err(no_pipe)?,
        };
        Ok((stdout, stderr, unbound))
    }

    fn open_stream(
        &self,
        run: RunId,
        spec: &InstanceSpec,
        (target, source): (&Target, Source),
        matcher: Option<&ReadyMatcher>,
        unbound: &mut Vec<Unbound>,
    ) -> Result<Output, SpawnError> {
        // A log that repeats output also has what goes nowhere else.
        let repeated = || (*target == Target::Discard && self.logs.repeats_output()).then_some(&[][..]);
        match (captured(target).or_else(repeated), target, source) {
            (Some(sinks), ..) => {
                let pipe = self.logs.open_pipe(run, spec, source, sinks, matcher.cloned()).map_err(no_pipe)?;
                unbound.push(pipe.reading);
                Ok(Output::Pipe(pipe.writing))
            }
            (None, Target::Inherit, Source::Stdout) => Ok(Output::DaemonStdout),
            (None, Target::Inherit, Source::Stderr) => Ok(Output::DaemonStderr),
            (None, ..) => Ok(Output::Null),
        }
    }
}
