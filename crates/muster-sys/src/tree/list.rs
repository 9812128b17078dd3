//! Trees for display: pid, parent, command, state, memory, CPU time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_spec::RunId;

use super::Trees;
use super::proc::{Proc, Stat};
use super::walk::{Root, Walk, Whom};
use crate::footprint::page_size;
use crate::signal::{Pid, may_signal};

/// A snapshot of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: Pid,
    /// Its parent's pid; 0 if it entered the pid namespace from outside, as with `docker exec`.
    pub ppid: Pid,
    /// Its command line, or its name in brackets if it has none. Not escaped: it may contain any character.
    pub command: String,
    /// Its state.
    pub state: ProcessState,
    /// Its resident memory, including shared pages.
    pub rss_bytes: u64,
    /// Its CPU time, in user and kernel mode.
    pub cpu_time: Duration,
    /// The time since it was started.
    pub age: Duration,
}

/// The state of a process: proc_pid_stat(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcessState {
    /// On a CPU, or waiting for one.
    Running,
    /// Waiting for something.
    Sleeping,
    /// Waiting for a device; it handles no signal, not even SIGKILL.
    Disk,
    /// Stopped by a signal.
    Stopped,
    /// Stopped by a debugger.
    Traced,
    /// Exited, and not yet reaped by its parent.
    Zombie,
    /// A state newer than this program.
    Other,
}

impl ProcessState {
    fn from_letter(letter: u8) -> ProcessState {
        match letter {
            b'R' => ProcessState::Running,
            b'S' | b'I' => ProcessState::Sleeping,
            b'D' => ProcessState::Disk,
            b'T' => ProcessState::Stopped,
            b't' => ProcessState::Traced,
            b'Z' | b'X' | b'x' => ProcessState::Zombie,
            _ => ProcessState::Other,
        }
    }

    /// One word for it.
    pub const fn name(self) -> &'static str {
        match self {
            ProcessState::Running => "running",
            ProcessState::Sleeping => "sleeping",
            ProcessState::Disk => "disk",
            ProcessState::Stopped => "stopped",
            ProcessState::Traced => "traced",
            ProcessState::Zombie => "zombie",
            ProcessState::Other => "other",
        }
    }
}

/// The resources that some processes use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The number of processes.
    pub processes: u64,
    /// Their resident memory; shared pages count for each.
    pub rss_bytes: u64,
    /// Their CPU time.
    pub cpu_time: Duration,
}

/// Some processes by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The number of processes.
    pub count: usize,
    /// The first of them, parents before their children.
    pub first: Vec<(String, Pid)>,
    /// The first that may not be signalled; those are not counted.
    pub refused: Option<Refused>,
}

/// A process that the daemon has no permission to signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its name.
    pub name: String,
    /// Its pid.
    pub pid: Pid,
    /// Its real user, if /proc shows it.
    pub user: Option<u32>,
}

impl Usage {
    fn add(&mut self, other: Usage) {
        self.processes += other.processes;
        self.rss_bytes += other.rss_bytes;
        self.cpu_time += other.cpu_time;
    }
}

impl Trees {
    /// The processes of a run, parents before their children. Empty without /proc.
    pub fn processes(&mut self, run: RunId) -> Vec<Process> {
        self.list(Whom::Runs(&[run]))
    }

    /// Strays: orphans that cannot be attributed to a run, with their descendants, and for PID 1
    /// processes that entered its pid namespace from outside.
    pub fn strays(&mut self) -> Vec<Process> {
        self.list(Whom::Strays)
    }

    /// The roots of the trees of these runs, as far as they are found until then, and with `strays` those of no run, to be listed on another thread.
    pub fn listing(&mut self, runs: &[RunId], strays: bool, until: Option<Instant>) -> Listing {
        self.look_until(until);
        let mut roots = self.roots(Whom::Runs(runs));
        if strays {
            roots.extend(self.roots(Whom::Strays));
        }
        let (is_usable, lists_children) = (self.proc.is_usable(), self.proc.lists_children());
        Listing { roots, strays, is_usable, lists_children }
    }

    /// The resources that the live processes of these runs use, one entry for each run that has any. One scan for all of them, and no
    /// command lines: an order of magnitude cheaper than listing the processes.
    pub fn usage(&mut self, runs: &[RunId]) -> Vec<(RunId, Usage)> {
        let mut measuring = self.measure(runs, None);
        self.go_on_measuring(&mut measuring, None).unwrap_or_default()
    }

    /// The same in slices. New orphans are searched for only until then: the others are counted the next time.
    pub fn measure(&mut self, runs: &[RunId], until: Option<Instant>) -> Measuring {
        self.look_until(until);
        Measuring(self.walk_to(Whom::Runs(runs)))
    }

    /// The result, once all of them have been checked.
    pub fn go_on_measuring(
        &mut self,
        measuring: &mut Measuring,
        until: Option<Instant>,
    ) -> Option<Vec<(RunId, Usage)>> {
        if !measuring.0.go_on(&mut self.proc, until) {
            return None;
        }
        let units = Units::of_this_kernel();
        let mut usage: BTreeMap<RunId, Usage> = BTreeMap::new();
        for member in measuring.0.members.iter().filter(|member| member.stat.is_alive()) {
            let Some(run) = member.run else { continue };
            usage.entry(run).or_default().add(units.usage(&member.stat));
        }
        Some(usage.into_iter().collect())
    }

    /// How many live processes that may be signalled these runs have, and the names and pids of the first `most` of each, one
    /// entry for each run that has any. One scan for all of them, which ends then: there may be more.
    pub fn names(&mut self, runs: &[RunId], most: usize, until: Instant) -> Vec<(RunId, Names)> {
        self.look_until(Some(until));
        let mut walk = self.walk_to(Whom::Runs(runs));
        walk.go_on(&mut self.proc, Some(until));
        let mut names: BTreeMap<RunId, Names> = BTreeMap::new();
        for member in walk.members.into_iter().filter(|member| member.stat.is_alive()) {
            let Some(run) = member.run else { continue };
            let of_run = names.entry(run).or_default();
            if !may_signal(Pid(member.stat.pid)) {
                if of_run.refused.is_none() {
                    let user = self.proc.user(member.stat.pid);
                    of_run.refused = Some(Refused { name: member.stat.comm, pid: Pid(member.stat.pid), user });
                }
                continue;
            }
            of_run.count += 1;
            if of_run.first.len() < most {
                of_run.first.push((member.stat.comm, Pid(member.stat.pid)));
            }
        }
        names.into_iter().collect()
    }

    /// The resources that this process uses itself. `None` without /proc.
    pub fn own_usage(&mut self) -> Option<Usage> {
        let stat = self.proc.stat(self.proc.this())?;
        Some(Units::of_this_kernel().usage(&stat))
    }

    fn list(&mut self, whom: Whom<'_>) -> Vec<Process> {
        let members = self.find(whom);
        let units = Units::of_this_kernel();
        members.iter().map(|member| units.process(&member.stat, &mut self.proc)).collect()
    }
}

/// The resources of some runs, as far as known: see [`Trees::measure`].
#[derive(Debug)]
pub struct Measuring(Walk);

/// A list of processes that is yet to be created. That takes time proportional to their number, so it is done on a thread
/// other than the one that supervises: see [`Trees::listing`].
#[derive(Debug)]
pub struct Listing {
    roots: Vec<Root>,
    strays: bool,
    is_usable: bool,
    lists_children: bool,
}

impl Listing {
    /// Passes each process with its run, parents before their children, until `each` stops. May block.
    pub fn walk(self, each: &mut dyn FnMut(Option<RunId>, Process) -> bool) {
        let mut proc = Proc::new();
        proc.restrict(self.is_usable, self.lists_children);
        let units = Units::of_this_kernel();
        let mut walk = Walk::new(&mut proc, &self.roots, self.strays);
        walk.go_on(&mut proc, None);
        for member in walk.members {
            if !each(member.run, units.process(&member.stat, &mut proc)) {
                break;
            }
        }
    }
}

struct Units {
    page_bytes: u64,
    ticks_per_second: u64,
    since_boot: Duration,
}

impl Units {
    fn of_this_kernel() -> Units {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `now` has room for what is written. CLOCK_BOOTTIME is as old as everything else that is used here.
        unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut now) };
        let seconds = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0));
        let since_boot = seconds + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or(0));
        Units { page_bytes: page_size() as u64, ticks_per_second: configured(libc::_SC_CLK_TCK, 100), since_boot }
    }

    fn process(&self, stat: &Stat, proc: &mut Proc) -> Process {
        Process {
            pid: Pid(stat.pid),
            ppid: Pid(stat.parent),
            command: proc.command(stat),
            state: ProcessState::from_letter(stat.state),
            rss_bytes: stat.resident_pages.saturating_mul(self.page_bytes),
            cpu_time: self.time(stat.user_ticks.saturating_add(stat.system_ticks)),
            age: self.since_boot.saturating_sub(self.time(stat.start)),
        }
    }

    fn usage(&self, stat: &Stat) -> Usage {
        Usage {
            processes: 1,
            rss_bytes: stat.resident_pages.saturating_mul(self.page_bytes),
            cpu_time: self.time(stat.user_ticks.saturating_add(stat.system_ticks)),
        }
    }

    fn time(&self, ticks: u64) -> Duration {
        let (seconds, rest) = (ticks / self.ticks_per_second, ticks % self.ticks_per_second);
        Duration::from_secs(seconds) + Duration::from_secs(rest) / u32::try_from(self.ticks_per_second).unwrap_or(100)
    }
}

fn configured(name: libc::c_int, usual: u64) -> u64 {
    // SAFETY: sysconf takes a number.
    u64::try_from(unsafe { libc::sysconf(name) }).ok().filter(|&value| value > 0).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_time() {
        let units = Units { page_bytes: 4096, ticks_per_second: 100, since_boot: Duration::ZERO };
        assert_eq!(units.time(250), Duration::from_millis(2500));
        assert_eq!(units.time(u64::MAX).as_secs(), u64::MAX / 100);
    }
}
