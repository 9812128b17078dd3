//! The commands of probes: processes with trees of their own that the core knows nothing of.
//!
//! Each has a number like a run's, far above any that a run will ever have, by which its tree is known. Numbers are used
//! again, the smallest first, so that they stay apart from those of runs even where few of their bits count: a musterd
//! inside of a program of another one tells its trees apart by 24 bits.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;

use muster_spec::{Exit, RunId, SpawnError};
use tokio::sync::oneshot;

/// Runs are counted from 1. Modulo 2^24 - 1 this is a little above 2^23.
const FIRST: u64 = (1 << 35) + (1 << 23);

type Ended = Result<Exit, SpawnError>;

/// A command on its way.
#[derive(Debug)]
pub(crate) struct Command {
    /// Where its output can be read, both streams in one.
    pub(crate) output: OwnedFd,
    /// How it ended, or why it could not be executed.
    pub(crate) ended: oneshot::Receiver<Ended>,
}

/// Whether this is a command of a probe and no run.
pub(crate) fn is_command(id: RunId) -> bool {
    id.0 >= FIRST
}

/// All commands of which something may be left.
#[derive(Debug, Default)]
pub(super) struct Commands {
    known: BTreeSet<u64>,
    waiting: HashMap<RunId, oneshot::Sender<Ended>>,
    /// Those that have ended since somebody looked.
    pub(super) ended: Vec<RunId>,
}

impl Commands {
    /// The smallest number that no command has.
    pub(super) fn next_id(&self) -> RunId {
        let taken = self.known.iter().zip(FIRST..).take_while(|&(&known, number)| known == number).count();
        RunId(FIRST + taken as u64)
    }

    pub(super) fn begin(&mut self, id: RunId, tell: oneshot::Sender<Ended>) {
        self.known.insert(id.0);
        self.waiting.insert(id, tell);
    }

    pub(super) fn end(&mut self, id: RunId, how: Ended) {
        // Nobody wants to know where the check has been given up.
        let _ = self.waiting.remove(&id).map(|tell| tell.send(how));
        self.ended.push(id);
    }

    /// Those whose end has not been told.
    pub(super) fn unended(&self) -> impl Iterator<Item = RunId> {
        self.waiting.keys().copied()
    }

    /// Nothing is left of it. A run is none of ours.
    pub(super) fn forget(&mut self, id: RunId) {
        self.known.remove(&id.0);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use muster_logs::{Consoles, Logs};
    use muster_spec::{InstanceSpec, OutputSpec, ProcessSpec, SyslogSpec};
    use muster_sys::async_fd::Watched;
    use muster_sys::limits::OriginalLimits;
    use muster_sys::pollset::PollSet;
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
        Children::new(spawner, Trees::new(), logs, (set(), set()), None, 1)
    }

    #[test]
    fn a_command_delays_starts_until_it_is_executed_and_not_until_it_is_reaped() {
        let command = ["sleep".to_owned(), "1".to_owned()];
        let spec = InstanceSpec {
            name: "web".to_owned(),
            index: 0,
            process: ProcessSpec::of(command.to_vec()),
            output: OutputSpec::default().into(),
            ready: None,
            start_timeout: InstanceSpec::START_TIMEOUT,
            watchdog: None,
            probes: Vec::new(),
        };
        in_runtime(async {
            let mut children = children();
            let commands: Vec<_> =
                (0..=Spawner::AT_ONCE).map(|_| children.spawn_command(&spec, &command).unwrap()).collect();
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
