//! A stand-in for the daemon: a process that adopts orphans, the runs that it starts, their trees, a reaper.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_spec::{Exit, RunId, Signal, SignalScope};
use muster_sys::reap::reap_next;
use muster_sys::signal::Pid;
use muster_sys::tree::{Abilities, MARKER, ProcessState, Trees};

use crate::isolation::Without;
use crate::processes::{below, everyone, exec_shell, fork};
use crate::witness::Witness;

/// Timeout for anything that is immediate on a quiet machine. Only a failing test waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a program may take to stop by itself in these tests.
pub(crate) const GRACE: Duration = Duration::from_millis(150);

pub(crate) const TERM: Signal = Signal::TERM;

/// A stand-in for the daemon: runs, their trees, a reaper. And two witnesses below it.
pub(crate) struct World {
    pub(crate) trees: Trees,
    pub(crate) without: Without,
    pub(crate) ended: BTreeMap<i32, Exit>,
    leaders: BTreeMap<RunId, Pid>,
    stray: Option<Witness>,
    other: Witness,
    other_run: RunId,
}

/// The counterpart that the daemon sets beside a tag: it decreases as tags increase, and leaves the low bits to an inner
/// daemon.
pub(crate) fn counterpart(tag: u64) -> u64 {
    let (top, low) = (1_u64 << 60, (1_u64 << 24) - 1);
    let falling = top | !tag & (top - 1);
    if tag & low == low { falling | low } else { falling }
}

/// How a main process is started.
#[derive(Default)]
struct Start {
    tag: Option<u64>,
    cgroup: Option<i32>,
    /// In the session of this process.
    stays: bool,
}

impl World {
    pub(crate) fn new(without: Without) -> World {
        let mut trees = Trees::new();
        let all = trees.abilities();
        trees.restrict(&Abilities {
            proc: all.proc && without != Without::Proc,
            pidfds: all.pidfds && without != Without::Pidfds,
            children_lists: all.children_lists && without != Without::ChildrenLists,
            tags: all.tags && without != Without::Tags,
            ..all
        });
        let (stray, other, other_run) =
            (Witness::new("that belongs to no run"), Witness::new("of another run"), RunId(1));
        trees.begin(other_run, other.pid, "of-another-run".to_owned());
        let (ended, leaders) = (BTreeMap::new(), BTreeMap::new());
        World { trees, without, ended, leaders, stray: Some(stray), other, other_run }
    }

    /// Ends the witness that belongs to no run: strays are going to be signalled.
    pub(crate) fn without_stray(&mut self) {
        if let Some(stray) = self.stray.take() {
            stray.check();
            self.trees.reaped(stray.pid);
            stray.dismiss();
        }
    }

    /// Starts a shell as the main process of a new run, as the daemon would: in its own session, with its marker and,
    /// where available, its tag.
    pub(crate) fn run(&mut self, script: &str) -> RunId {
        self.run_process(|| exec_shell(script))
    }

    /// The same with a function of this program as the main process.
    pub(crate) fn run_process(&mut self, life: impl FnOnce()) -> RunId {
        let run = RunId(self.leaders.len() as u64 + 10);
        let tag = self.trees.tag(run).and_then(|tag| tag.hard);
        self.spawn(run, Start { tag, ..Start::default() }, life)
    }

    /// The same in its own cgroup, and without a tag.
    pub(crate) fn run_enclosed(&mut self, script: &str) -> std::io::Result<RunId> {
        use std::os::fd::AsRawFd;
        let run = RunId(self.leaders.len() as u64 + 10);
        let cgroup = Some(self.trees.enclose(run)?.as_raw_fd());
        Ok(self.spawn(run, Start { cgroup, ..Start::default() }, || exec_shell(script)))
    }

    /// The same in the session and group of this process, like a foreground program at a terminal.
    pub(crate) fn run_beside(&mut self, script: &str) -> RunId {
        let run = RunId(self.leaders.len() as u64 + 10);
        self.spawn(run, Start { stays: true, ..Start::default() }, || exec_shell(script))
    }

    fn spawn(&mut self, run: RunId, start: Start, life: impl FnOnce()) -> RunId {
        let marker = format!("{}-{run}", Pid::this());
        let for_child = marker.clone();
        let leader = fork(|| {
            // SAFETY: single-threaded, and every pointer is to something that lives through its call.
            unsafe {
                libc::alarm(0);
                if !start.stays {
                    libc::setsid();
                }
                if let Some(tag) = start.tag {
                    let limit = libc::rlimit64 { rlim_cur: tag, rlim_max: tag };
                    assert_eq!(libc::setrlimit64(libc::RLIMIT_LOCKS, &limit), 0);
                    let counterpart = libc::rlimit64 { rlim_cur: counterpart(tag), rlim_max: counterpart(tag) };
                    assert_eq!(libc::setrlimit64(libc::RLIMIT_RSS, &counterpart), 0);
                }
                if let Some(cgroup) = start.cgroup {
                    assert_eq!(libc::write(cgroup, c"0".as_ptr().cast(), 1), 1);
                }
                std::env::set_var(MARKER, for_child);
            }
            life();
        });
        self.trees.begin(run, leader, marker);
        self.leaders.insert(run, leader);
        run
    }

    pub(crate) fn leader(&self, run: RunId) -> Pid {
        self.leaders[&run]
    }

    pub(crate) fn is_leader_dead(&self, run: RunId) -> bool {
        self.ended.contains_key(&self.leader(run).0)
    }

    /// Reaps every child that has exited.
    pub(crate) fn reap(&mut self) {
        while let Some(reaped) = reap_next().unwrap() {
            self.trees.reaped(reaped.pid);
            self.ended.insert(reaped.pid.0, reaped.exit);
        }
    }

    /// Reaps until the condition holds.
    pub(crate) fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&mut World) -> bool) {
        let started = Instant::now();
        loop {
            self.reap();
            if is_so(self) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "timed out waiting until {what}\n{}", self.picture());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the tree has that many live processes, and that many of them are sleeping for a thousand seconds: a
    /// shell forks its sleep after it has set its traps, and a subshell that is about to exit is one process too many.
    pub(crate) fn wait_for(&mut self, run: RunId, count: usize, sleepers: usize) {
        self.wait_until(&format!("{count} processes are in the tree, {sleepers} of them asleep"), |world| {
            let mut processes = world.trees.processes(run);
            processes.retain(|process| process.state != ProcessState::Zombie);
            let asleep = processes.iter().filter(|process| process.command == "sleep 1000").count();
            (processes.len(), asleep) == (count, sleepers)
        });
    }

    /// Stops a run as the daemon does: TERM to its main process, TERM to its leftovers, KILL to everything.
    pub(crate) fn stop(&mut self, run: RunId) {
        self.trees.observe(run);
        self.trees.stop(run, TERM, SignalScope::Main).unwrap();
        self.finish(run, Instant::now() + GRACE);
    }

    /// From a main process that got its stop signal, or exited, to a tree that is gone.
    pub(crate) fn finish(&mut self, run: RunId, deadline: Instant) {
        let mut is_swept = false;
        self.wait_until("the tree is gone", |world| {
            if world.is_leader_dead(run) {
                if world.trees.gone(&[run]) == [run] {
                    return true;
                }
                if !is_swept {
                    world.trees.stop(run, TERM, SignalScope::Tree).unwrap();
                    is_swept = true;
                }
            }
            if Instant::now() >= deadline {
                world.trees.signal(run, Signal::KILL, SignalScope::Tree).unwrap();
            }
            false
        });
        self.trees.end(run);
    }

    /// Sends SIGKILL to all processes until none is left.
    pub(crate) fn kill(&mut self, run: RunId) {
        self.finish(run, Instant::now());
    }

    /// All processes below this one except the witnesses, as /proc shows them, found without the code under test.
    pub(crate) fn survivors(&self) -> Vec<String> {
        let is_witness = |pid| pid == self.other.pid.0 || self.stray.as_ref().is_some_and(|stray| stray.pid.0 == pid);
        let everyone = everyone();
        let strangers = below(Pid::this().0, &everyone).filter(|&pid| !is_witness(pid));
        strangers.map(|pid| everyone[&pid].1.clone()).collect()
    }

    pub(crate) fn check_witnesses(&self) {
        self.stray.iter().for_each(Witness::check);
        self.other.check();
    }

    /// Checks that no process is left, and no other was affected.
    pub(crate) fn close(mut self) {
        self.reap();
        assert_eq!(self.survivors(), [] as [String; 0], "without {:?}", self.without);
        self.check_witnesses();
        self.without_stray();
        self.trees.end(self.other_run);
        self.other.dismiss();
    }

    fn picture(&self) -> String {
        format!("without {:?}: {:#?}\n{:#?}", self.without, self.survivors(), self.trees)
    }
}
