//! SIGKILL to whole trees, even those that fork faster than they can be scanned.
//!
//! First all processes are stopped, and the children of a process are read only once it has stopped, so each process needs
//! to be handled only once and no new one can appear behind it. Stopped processes keep their places under a pids
//! limit: a fork bomb runs out of them, whereas killing one by one would make room for the next. Then all are
//! killed, the youngest first: the death of a parent would continue a stopped group that it leaves orphaned
//! (kill_orphaned_pgrp() in the kernel).
//!
//! With thousands of processes this takes a while, so it is done in slices, each continuing where the last one ended: the
//! daemon handles its signals in between.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use muster_spec::{RunId, Signal};

use super::Trees;
use super::proc::Stat;
use super::signal::{Delivery, is_pin};
use super::walk::{Families, Member, Root, Whom, identify, injected};
use crate::signal::{Pid, send_group};

/// The maximum duration of one call, before other events are handled.
const SLICE: Duration = Duration::from_millis(8);

/// The clock is checked after this many processes.
const CHUNK: usize = 32;

/// The total time that a call waits for busy processes to stop. One that does not (another user's, or starved of
/// CPU time) does not delay the rest: its later children are found by the next call.
const PATIENCE: Duration = Duration::from_millis(5);

/// How often the roots are checked again for new orphans.
const ROUNDS: u32 = 16;

impl Trees {
    /// One slice. If unfinished, call it again soon.
    pub(super) fn kill(&mut self, whom: Whom<'_>) -> Delivery {
        if let Whom::Runs(runs) = whom {
            // Members of a cgroup are killed at once; the walk is for processes that moved out of it.
            runs.iter().for_each(|&run| self.cgroups.kill(run));
        }
        let mut hunt = self.hunt.take().unwrap_or_default();
        let delivery = self.hunt(whom, &mut hunt, Instant::now() + SLICE);
        self.hunt = Some(hunt).filter(|_| delivery.sent.is_unfinished);
        delivery
    }

    /// One slice of the final kill: all processes left below the daemon, of a run or not, are frozen and killed. Returns how
    /// many of them were strays when it is complete.
    ///
    /// PID 1 needs no freezing: kill(2) with -1 reaches all processes in one kernel operation, and none of them forks after it.
    pub fn go_on_hunting(&mut self, last: &mut LastHunt, until: Instant) -> Option<usize> {
        if self.proc.this() == 1 {
            let strays = self.count_strays();
            // SAFETY: kill touches no memory of ours. It fails only if there is no other process.
            unsafe { libc::kill(-1, libc::SIGKILL) };
            return Some(strays);
        }
        if !self.proc.is_usable() {
            let owned = self.runs.iter().filter(|(_, run)| !run.is_disowned);
            let runs: Vec<RunId> = owned.map(|(&run, _)| run).collect();
            self.deliver_blindly(&runs, Signal::KILL, false, &mut Delivery::default());
            return Some(0);
        }
        self.hunt_on(last, until).then_some(last.strays)
    }

    /// Freezes and kills until no new processes are found, or until then. Returns how many there were.
    pub(super) fn kill_until(&mut self, whom: Whom<'static>, until: Instant) -> usize {
        let mut last = LastHunt { whom, ..LastHunt::until(until) };
        while !self.hunt_on(&mut last, until) {}
        last.killed.len()
    }

    /// Returns true when it is complete. On timeout the processes stopped by then are killed, and no others are searched for.
    fn hunt_on(&mut self, last: &mut LastHunt, until: Instant) -> bool {
        last.hurry.get_or_insert_with(Hurry::begin);
        let is_over = Instant::now() >= last.until;
        last.hunt.is_killing |= is_over;
        if self.hunt(last.whom, &mut last.hunt, if is_over { until } else { until.min(last.until) }).sent.is_unfinished
        {
            return false;
        }
        let before = last.killed.len();
        for (pid, start, is_stray) in std::mem::replace(&mut last.hunt, Hunt::of_all()).killed {
            last.strays += usize::from(last.killed.insert((pid, start)) && is_stray);
        }
        is_over || last.killed.len() == before
    }

    fn hunt(&mut self, whom: Whom<'_>, hunt: &mut Hunt, until: Instant) -> Delivery {
        let mut delivery = Delivery::default();
        hunt.is_killing = hunt.is_killing || self.freeze(whom, hunt, until);
        delivery.sent.is_unfinished = !hunt.is_killing;
        while hunt.is_killing && !delivery.sent.is_unfinished {
            let Some(member) = hunt.caught.pop() else { break };
            if member.stat.is_alive() {
                let sent = self.deliver(&member, Signal::KILL);
                if matches!(sent, Ok(true)) && hunt.is_of_all {
                    hunt.killed.push((member.stat.pid, member.stat.start, member.run.is_none()));
                }
                delivery.note(sent);
            }
            let is_over = hunt.caught.len().is_multiple_of(CHUNK) && Instant::now() >= until;
            delivery.sent.is_unfinished = is_over && !hunt.caught.is_empty();
        }
        delivery
    }

    /// Whether all processes have stopped, as far as possible.
    fn freeze(&mut self, whom: Whom<'_>, hunt: &mut Hunt, until: Instant) -> bool {
        let still_by = until.min(Instant::now() + PATIENCE);
        loop {
            while !hunt.frontier.is_empty() || !hunt.again.is_empty() {
                if hunt.frontier.is_empty() {
                    self.read_again(hunt, still_by);
                } else {
                    self.freeze_some(hunt, still_by);
                }
                if Instant::now() >= until {
                    return false;
                }
            }
            if hunt.rounds >= ROUNDS || hunt.rounds > 0 && hunt.caught.len() == hunt.caught_before {
                return true;
            }
            if !self.look_until(Some(until)) {
                return false;
            }
            hunt.rounds += 1;
            hunt.caught_before = hunt.caught.len();
            let mut roots = self.roots(whom);
            if !matches!(whom, Whom::Runs(_)) {
                roots.extend(injected(&mut self.proc));
            }
            roots.retain(|root| !hunt.known.contains_key(&root.pid));
            hunt.frontier.extend(roots);
            hunt.again = std::mem::take(&mut hunt.restless);
        }
    }

    /// Checks some of those again that had not stopped.
    fn read_again(&mut self, hunt: &mut Hunt, still_by: Instant) {
        let some = hunt.again.split_off(hunt.again.len().saturating_sub(CHUNK));
        self.read_children(&some, hunt, still_by);
        let known = &hunt.known;
        hunt.frontier.retain(|root| !known.contains_key(&root.pid));
    }

    /// Stops some of the frontier, and replaces them by their children.
    fn freeze_some(&mut self, hunt: &mut Hunt, still_by: Instant) {
        // Without lists of children each step scans all processes.
        let most = if self.proc.lists_children() { CHUNK } else { usize::MAX };
        let some: Vec<Root> = hunt.frontier.drain(..most.min(hunt.frontier.len())).collect();
        let mut caught: Vec<Member> = some.into_iter().filter_map(|root| identify(&mut self.proc, root)).collect();
        // Only caught processes are known: one that moved meanwhile is found again, as an orphan.
        let mut place = hunt.caught.len();
        caught.retain(|member| {
            let is_new = !hunt.known.contains_key(&member.stat.pid);
            if is_new {
                hunt.known.insert(member.stat.pid, place);
                place += 1;
            }
            is_new
        });
        for member in &caught {
            self.halt(member, &mut hunt.groups);
        }
        self.remember(&caught);
        self.read_children(&caught, hunt, still_by);
        hunt.caught.extend(caught);
    }

    fn halt(&mut self, member: &Member, groups: &mut HashSet<i32>) {
        if member.stat.is_stopped() || !member.stat.is_alive() || groups.contains(&member.stat.group) {
            return;
        }
        // The whole group at once: a fork in progress passes a group's signal on to the new process.
        if is_pin(member) && send_group(Pid(member.stat.group), Signal::STOP).is_ok() {
            groups.insert(member.stat.group);
        } else {
            // A process that cannot be stopped cannot be killed either, and that is reported then.
            let _ = self.deliver(member, Signal::STOP);
        }
    }

    fn read_children(&mut self, of: &[Member], hunt: &mut Hunt, still_by: Instant) {
        let restless: Vec<&Member> = of.iter().filter(|member| !self.stands_still(member, still_by)).collect();
        hunt.restless.extend(restless.into_iter().cloned());
        if of.is_empty() {
            return;
        }
        let mut families = Families::of(&mut self.proc);
        let mut children = Vec::new();
        for member in of {
            families.children(&mut self.proc, &member.stat, &mut children);
            hunt.frontier.extend(children.drain(..).map(|pid| Root { pid, parent: member.stat.pid, run: member.run }));
        }
    }

    /// Waits until a busy process has noticed that it is stopped. One that slept before it was stopped has no
    /// fork in progress: with the signal pending it cannot begin one.
    fn stands_still(&mut self, member: &Member, deadline: Instant) -> bool {
        let was_busy = member.stat.state == b'R';
        let is_busy = |now: Stat| now.start == member.stat.start && now.is_alive() && !now.is_stopped();
        while was_busy && self.proc.stat(member.stat.pid).is_some_and(is_busy) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }
}

/// While it exists, this thread is scheduled before all ordinary processes, if the daemon may do that: a thousand
/// processes that leave their session are a thousand groups for sched_autogroup, and each would get as much time as the daemon.
#[derive(Debug)]
struct Hurry;

impl Hurry {
    fn begin() -> Hurry {
        schedule(libc::SCHED_RR, 1);
        Hurry
    }
}

impl Drop for Hurry {
    fn drop(&mut self) {
        schedule(libc::SCHED_OTHER, 0);
    }
}

fn schedule(policy: libc::c_int, priority: libc::c_int) {
    // A raw system call: musl's function only fails.
    // SAFETY: the priority, the one field of sched_param that the kernel reads, lives through the call. 0 is this thread.
    unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &priority) };
}

/// The progress of the final kill: see [`Trees::go_on_hunting`].
#[derive(Debug)]
pub struct LastHunt {
    whom: Whom<'static>,
    until: Instant,
    hunt: Hunt,
    hurry: Option<Hurry>,
    /// By pid and start time.
    killed: HashSet<(i32, u64)>,
    /// How many of them were strays.
    strays: usize,
}

impl LastHunt {
    /// For all remaining processes, until then.
    pub fn until(until: Instant) -> LastHunt {
        let (hunt, killed) = (Hunt::of_all(), HashSet::new());
        LastHunt { whom: Whom::Everyone, until, hunt, hurry: None, killed, strays: 0 }
    }
}

/// The processes found so far.
#[derive(Debug, Default)]
pub(super) struct Hunt {
    /// Processes still to be handled.
    frontier: VecDeque<Root>,
    /// All processes, parents before their children.
    caught: Vec<Member>,
    /// Their places in `caught`, by pid.
    known: HashMap<i32, usize>,
    /// The groups that were stopped as a whole.
    groups: HashSet<i32>,
    /// Processes that were not seen stopped, and may have forked since.
    restless: Vec<Member>,
    /// Those of an earlier round, which are checked again.
    again: Vec<Member>,
    rounds: u32,
    /// How many had been found when the round began.
    caught_before: usize,
    /// Whether all have stopped, and the rest of `caught` is to be killed.
    is_killing: bool,
    /// Whether it is part of the final kill.
    is_of_all: bool,
    /// Pid, start time, and whether it is a stray; kept only for the final kill.
    killed: Vec<(i32, u64, bool)>,
}

impl Hunt {
    fn of_all() -> Hunt {
        Hunt { is_of_all: true, ..Hunt::default() }
    }

    /// A child was reaped: its pid may be reused.
    pub(super) fn forget(&mut self, pid: i32) {
        if let Some(place) = self.known.remove(&pid)
            && let Some(member) = self.caught.get_mut(place)
        {
            (member.stat.state, member.stat.threads) = (b'X', 1);
        }
    }
}
