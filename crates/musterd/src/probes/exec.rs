//! The exec probe: passes if a command exits with status 0.
//!
//! `children` spawns the command like any other process, with the program's user, environment and directory, and
//! reports its exit. This module reads its output, keeps the end of it, and enforces the timeout. The loop kills
//! processes that the command leaves behind.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use muster_load::secrets;
use muster_spec::{Exit, SpawnError, is_shortage};
use muster_sys::async_fd::Watched;
use muster_sys::fd;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::children::commands::Command;

/// How much of the end of the output is kept, in bytes.
const TAIL: usize = 1024;
/// Maximum number of reads after the command has exited: other processes may go on writing.
const LAST_READS: usize = 64;

/// Waits until the command exits, or until the deadline, after which it says that it is late. Sets `lacks` if the daemon lacks a
/// resource that the check needs.
pub(crate) async fn check(
    command: Command,
    (deadline, late): (Instant, String),
    lacks: &Cell<bool>,
) -> Result<String, String> {
    let Command { output, mut ended } = command;
    let output = Watched::for_reading(output).map_err(|error| {
        lacks.set(error.raw_os_error().is_some_and(is_shortage));
        format!("cannot watch its output: {error}")
    })?;
    let mut tail = Tail::default();
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            end = &mut ended => {
                let _ = (0..LAST_READS).find(|_| !matches!(tail.read(output.get_ref()), Ok(1..)));
                return judge(end, &tail, lacks);
            }
            () = sleep_until(deadline) => return Err(tail.after(late)),
            read = output.read_with(|output| tail.read(output)), if is_open => is_open = matches!(read, Ok(1..)),
        }
    }
}

fn judge(
    end: Result<Result<Exit, SpawnError>, oneshot::error::RecvError>,
    tail: &Tail,
    lacks: &Cell<bool>,
) -> Result<String, String> {
    match end {
        Ok(Ok(Exit::Code(0))) => Ok(tail.after(Exit::Code(0).to_string())),
        Ok(Ok(exit)) => Err(tail.after(exit.to_string())),
        Ok(Err(error)) => {
            lacks.set(error.is_shortage());
            Err(error.message)
        }
        // The sender is dropped only while the daemon exits.
        Err(_) => Err("the check was abandoned".to_owned()),
    }
}

/// The end of the output.
#[derive(Debug, Default)]
struct Tail {
    bytes: VecDeque<u8>,
    /// Whether more was written than is kept.
    is_cut: bool,
}

impl Tail {
    fn read(&mut self, output: &OwnedFd) -> io::Result<usize> {
        let mut piece = [0; 4096];
        let count = fd::read(output.as_fd(), &mut piece)?;
        self.bytes.extend(&piece[count.saturating_sub(TAIL)..count]);
        let too_many = self.bytes.len().saturating_sub(TAIL);
        self.is_cut |= too_many > 0 || count > TAIL;
        self.bytes.drain(..too_many);
        Ok(count)
    }

    /// The result, followed by the output.
    fn after(&self, what: String) -> String {
        let (front, back) = self.bytes.as_slices();
        let text = [String::from_utf8_lossy(front), String::from_utf8_lossy(back)].concat();
        let text = if self.is_cut { secrets::mask_end(&text) } else { text };
        if text.trim().is_empty() { what } else { format!("{what}: {}", text.trim()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::testing::in_runtime;
    use std::fs::File;
    use std::io::Write;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn command() -> (Command, File, oneshot::Sender<Result<Exit, SpawnError>>) {
        let (output, writing) = fd::output_pipe().unwrap();
        let (tell, ended) = oneshot::channel();
        (Command { output, ended }, File::from(writing), tell)
    }

    fn checked(written: &[u8], exit: Exit) -> Result<String, String> {
        in_runtime(async {
            let (command, mut writing, tell) = command();
            writing.write_all(written).unwrap();
            tell.send(Ok(exit)).unwrap();
            // The writing end of the pipe is still open.
            check(command, (Instant::now() + PATIENCE, "timed out".to_owned()), &Cell::default()).await
        })
    }

    #[test]
    fn exit_status_0_passes_and_the_output_tells_why_not() {
        assert_eq!(checked(b"", Exit::Code(0)), Ok("exit status 0".to_owned()));
        assert_eq!(checked(b" no response\n", Exit::Code(2)), Err("exit status 2: no response".to_owned()));
    }

    /// For example, the interpreter of a script cannot fork at the limit of processes.
    #[test]
    fn what_the_daemon_lacked_is_noted() {
        const EMFILE: i32 = nix::errno::Errno::EMFILE as i32;
        const ENOENT: i32 = nix::errno::Errno::ENOENT as i32;
        for (errno, is_lacking) in [(EMFILE, true), (ENOENT, false)] {
            let lacks = Cell::default();
            let error = SpawnError { step: muster_spec::SpawnStep::Prepare, errno, message: "no".to_owned() };
            let told = judge(Ok(Err(error)), &Tail::default(), &lacks);
            assert_eq!((told, lacks.get()), (Err("no".to_owned()), is_lacking));
        }
    }

    #[test]
    fn the_end_of_a_long_output_is_kept() {
        let written = [vec![b'x'; 50_000], b"the end\n".to_vec()].concat();
        let told = checked(&written, Exit::Code(1)).unwrap_err();
        assert!(told.starts_with("exit status 1: xxx") && told.ends_with("xxxthe end"), "{told}");
        assert_eq!(told.len(), "exit status 1: ".len() + TAIL - 1);
    }

    #[test]
    fn a_command_that_does_not_end_fails_with_what_it_wrote() {
        in_runtime(async {
            let (command, mut writing, _tell) = command();
            writing.write_all(b"connecting\n").unwrap();
            let told =
                check(command, (Instant::now() + Duration::from_millis(20), "timed out".to_owned()), &Cell::default())
                    .await;
            assert_eq!(told, Err("timed out: connecting".to_owned()));
        });
    }
}
