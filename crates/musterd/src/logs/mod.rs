//! The data plane: what programs write, on its way to the console and to files.
//!
//! It lives on threads of its own that never touch supervision: one that reads every pipe ([`pump`]), and one for each
//! console stream that writes ([`console`]), because a console's reader may stop reading for ever and a disk may be slow.
//! Supervision hands a pipe over and forgets it. Everything that queues here has a bound and counts what it drops.

pub(crate) mod console;
mod file;
mod lines;
mod pump;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use muster_core::spec::{InstanceSpec, Sink, Target};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use self::console::Console;
use self::pump::{Pump, Stream};

/// Which of a process's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Stdout,
    Stderr,
}

/// The daemon's own two console streams. They are one where both lead to the same place, so that lines never mix.
#[derive(Clone, Debug)]
pub(crate) struct Consoles {
    pub(crate) stdout: Console,
    pub(crate) stderr: Console,
}

/// The whole data plane.
#[derive(Debug)]
pub(crate) struct Logs {
    consoles: Consoles,
    pump: Pump,
}

impl Logs {
    pub(crate) fn start(consoles: Consoles) -> io::Result<Logs> {
        Ok(Logs { consoles, pump: Pump::start()? })
    }

    /// A pipe whose lines go to these sinks. The caller gives the writing end to a process and closes its own copy.
    pub(crate) fn open_pipe(&self, spec: &InstanceSpec, source: Source, sinks: &[Sink]) -> io::Result<OwnedFd> {
        let (reading, writing) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        fcntl(reading.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let console = match source {
            Source::Stdout => &self.consoles.stdout,
            Source::Stderr => &self.consoles.stderr,
        };
        self.pump.attach(Stream::new(reading, &spec.name, sinks, console));
        Ok(writing)
    }

    /// Opens every file anew when there is next something to write: somebody moved it away.
    pub(crate) fn reopen(&self) {
        self.pump.reopen();
    }

    /// Everything is being stopped: many pipes will end at the same time.
    pub(crate) fn gather(&self) {
        self.pump.gather();
    }

    /// Takes in what the pipes still hold and writes out what is queued, for no longer than `patience`.
    pub(crate) fn finish(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        self.pump.finish(patience);
        for console in [&self.consoles.stdout, &self.consoles.stderr] {
            console.flush(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// Whether a target needs a pipe, and to which sinks.
pub(crate) fn captured(target: &Target) -> Option<&[Sink]> {
    match target {
        Target::Capture(sinks) => Some(sinks),
        Target::Inherit | Target::Discard => None,
    }
}
