//! The commands of probes and of clients: processes with trees of their own, unknown to the core.
//!
//! Each has an id like that of a run, far above any run's, by which its tree is known. Ids are reused, the smallest
//! first, so they differ from those of runs even if only a few bits count: a musterd that runs inside a program of
//! another one distinguishes its trees by 24 bits.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use muster_secrets::Prepared;
use muster_spec::{Exit, InstanceSpec, ProcessSpec, RunId, SpawnError};
use muster_sys::spawn::{Launch, Spawner, Spawning, Stdio};
use tokio::sync::oneshot;

use super::{Child, Children, no_pipe, secrets};

/// Runs are counted from 1. Modulo 2^24 - 1 this is a little above 2^23.
const FIRST: u64 = (1 << 35) + (1 << 23);

pub(super) type Ended = Result<Exit, SpawnError>;

/// A command that is running.
#[derive(Debug)]
pub(crate) struct Command {
    /// The pipe from which its output is read, both streams in one.
    pub(crate) output: OwnedFd,
    /// Its exit, or why it could not be executed.
    pub(crate) ended: oneshot::Receiver<Ended>,
}

/// Whether this is the id of a command and not of a run.
pub(crate) fn is_command(id: RunId) -> bool {
    id.0 >= FIRST
}

/// All commands that may have processes left.
#[derive(Debug, Default)]
pub(super) struct Commands {
    known: BTreeSet<u64>,
    waiting: HashMap<RunId, oneshot::Sender<Ended>>,
    /// The commands that have exited since the last look.
    pub(super) ended: Vec<RunId>,
}

impl Commands {
    /// The smallest id that no command has.
    pub(super) fn next_id(&self) -> RunId {
        let taken = self.known.iter().zip(FIRST..).take_while(|&(&known, number)| known == number).count();
        RunId(FIRST + taken as u64)
    }

    pub(super) fn begin(&mut self, id: RunId, tell: oneshot::Sender<Ended>) {
        self.known.insert(id.0);
        self.waiting.insert(id, tell);
    }

    pub(super) fn end(&mut self, id: RunId, how: Ended) {
        // Sending fails if the check has been abandoned.
        let _ = self.waiting.remove(&id).map(|tell| tell.send(how));
        self.ended.push(id);
    }

    /// Commands whose end has not been reported.
    pub(super) fn unended(&self) -> impl Iterator<Item = RunId> {
        self.waiting.keys().copied()
    }

    /// Forgets a command without remaining processes. Ignores ids of runs.
    pub(super) fn forget(&mut self, id: RunId) {
        self.known.remove(&id.0);
    }
}

impl Children {
    /// Spawns a probe's command in the context of this run, with a process tree of its own and what was read for it. It gets
    /// an id that no run has; its tree is killed, and reported as gone, by that id.
    pub(crate) fn spawn_command(
        &mut self,
        (run, spec): (RunId, &InstanceSpec),
        command: &[String],
        prepared: &Prepared,
    ) -> Result<(RunId, Command), SpawnError> {
        let (id, uid) = (self.commands.next_id(), self.uid_of(&spec.process));
        let (marker, index) = (self.marker_of(id), spec.index.to_string());
        let markers: Vec<_> = self
            .markers
            .of(spec, &marker, &index)
            .into_iter()
            .chain(secrets::variable(self.credentials.get(&run)))
            .collect();
        let secrets: Vec<_> = prepared.variables().collect();
        let process = ProcessSpec { command: command.to_vec(), refusal: None, ..ProcessSpec::clone(&spec.process) };
        let launch = self.launch_of_command(id, &process, &markers);
        let (output, spawning) = spawn_read(&mut self.spawner, &Launch { secrets: &secrets, ..launch }, None)?;
        let ended = self.begin_command(id, uid, marker, spawning);
        Ok((id, Command { output, ended }))
    }

    /// A command with these variables, in a tree of its own.
    pub(super) fn launch_of_command<'a>(
        &self,
        id: RunId,
        process: &'a ProcessSpec,
        markers: &'a [(&'a str, &'a str)],
    ) -> Launch<'a> {
        let tag = self.trees.tag(id);
        let (stdout, stderr) = (Stdio::Null, Stdio::Null);
        Launch { process, secrets: &[], markers, own_pid: [None; 2], tag, stdout, stderr, passed: &[] }
    }

    pub(super) fn marker_of(&self, id: RunId) -> String {
        format!("{}.{id}", self.markers.prefix)
    }

    /// Registers the process of a command, and returns the receiver of its end.
    pub(super) fn begin_command(
        &mut self,
        id: RunId,
        uid: u32,
        marker: String,
        spawning: Spawning,
    ) -> oneshot::Receiver<Ended> {
        let pid = spawning.pid;
        self.runs.insert(pid, id);
        self.trees.begin(id, pid, marker);
        self.trees.note_user(id, uid);
        // Its exit says whether it was executed, so its start is not watched.
        self.children.insert(id, Box::new(Child::new(spawning)));
        let (tell, ended) = oneshot::channel();
        self.commands.begin(id, tell);
        ended
    }
}

/// Spawns a command whose output is read, both streams in one.
pub(super) fn spawn_read(
    spawner: &mut Spawner,
    launch: &Launch<'_>,
    stdin: Option<BorrowedFd<'_>>,
) -> Result<(OwnedFd, Spawning), SpawnError> {
    let (output, writing) = muster_sys::fd::output_pipe().map_err(no_pipe)?;
    let (stdout, stderr) = (Stdio::Fd(writing.as_fd()), Stdio::Fd(writing.as_fd()));
    let spawning = spawner.spawn_reading(&Launch { stdout, stderr, ..*launch }, stdin)?;
    Ok((output, spawning))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use muster_logs::{Consoles, Logs};
    use muster_spec::{InstanceSpec, ProcessSpec, SyslogSpec};
    use muster_sys::async_fd::Watched;
    use muster_sys::limits::OriginalLimits;
    use muster_sys::pollset::PollSet;
    use muster_sys::sockets::Sockets;
    use muster_sys::spawn::Spawner;
    use muster_sys::tree::Trees;

    use super::*;
    use crate::children::Children;
    use crate::probes::testing::in_runtime;

    fn children() -> Children {
        let environment = std::env::vars_os().collect();
        let spawner = Spawner::new(environment, OriginalLimits::current().unwrap(), 0o022).unwrap();
        let logs = Logs::start(Consoles::start().unwrap(), SyslogSpec::default()).unwrap();
        let set = || Rc::new(Watched::for_reading(PollSet::new().unwrap()).unwrap());
        Children::new(spawner, Trees::new(), logs, [set(), set(), set()], (None, Sockets::default()), 1)
    }

    #[test]
    fn a_command_delays_starts_until_it_is_executed_and_not_until_it_is_reaped() {
        let command = ["sleep".to_owned(), "1".to_owned()];
        let spec = InstanceSpec::of("web".to_owned(), ProcessSpec::of(command.to_vec()));
        in_runtime(async {
            let mut children = children();
            let commands: Vec<_> = (0..=Spawner::AT_ONCE)
                .map(|_| children.spawn_command((RunId(1), &spec), &command, &Prepared::default()).unwrap())
                .collect();
            let began = Instant::now();
            while children.in_flight() >= Spawner::AT_ONCE {
                assert!(began.elapsed() < Duration::from_secs(20), "{} count", commands.len());
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }

    #[test]
    fn numbers_are_used_again_and_never_meet_those_of_runs() {
        let mut commands = Commands::default();
        let ids: Vec<RunId> = (0..3)
            .map(|_| {
                let id = commands.next_id();
                commands.begin(id, oneshot::channel().0);
                id
            })
            .collect();
        assert_eq!(ids, [RunId(FIRST), RunId(FIRST + 1), RunId(FIRST + 2)]);
        commands.forget(ids[1]);
        assert_eq!(commands.next_id(), ids[1]);
        assert!(ids.iter().all(|&id| is_command(id)));
        assert!(!is_command(RunId(1 << 23)));
    }

    #[test]
    fn an_end_is_told_once_and_to_whoever_still_wants_it() {
        let mut commands = Commands::default();
        let (tell, mut told) = oneshot::channel();
        let id = commands.next_id();
        commands.begin(id, tell);
        commands.end(id, Ok(Exit::Code(3)));
        assert_eq!(told.try_recv(), Ok(Ok(Exit::Code(3))));
        assert_eq!(commands.ended, [id]);
        let (tell, told) = oneshot::channel();
        commands.begin(id, tell);
        drop(told);
        commands.end(id, Ok(Exit::Code(0)));
    }
}
