//! SIGKILL to whole trees, even to those that fork faster than one can look.
//!
//! First everyone is stopped, and the children of a process are read only when it stands still, so each process needs
//! to be looked at once and nobody new can appear behind it. Stopped processes keep their places under a limit of
//! processes: a fork bomb runs out of them, while killing one by one would make room for the next. Then everyone is
//! killed, the youngest first: a parent's death would continue a stopped group that it leaves orphaned
//! (kill_orphaned_pgrp() in the kernel).
//!
//! That takes a while where there are thousands, so it is done in slices, and each goes on where the last one ended: the
//! daemon hears its signals in between.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use muster_spec::{RunId, Signal};

use super::Trees;
use super::proc::Stat;
use super::signal::{Delivery, is_pin};
use super::walk::{Families, Member, Root, Whom, identify, injected};
use crate::signal::{Pid, send_group};

/// So long one call goes on before the daemon gets its turn again.
const SLICE: Duration = Duration::from_millis(8);

/// After so many processes the time is looked at.
const CHUNK: usize = 32;

/// So long a call waits, all in all, for busy processes to stand still. One that does not (another user's, or starved of
/// its cpu) does not hold up the rest: what it still forks is found by the next call.
const PATIENCE: Duration = Duration::from_millis(5);

/// So often the roots are looked at again for orphans that came meanwhile.
const ROUNDS: u32 = 16;

impl Trees {
    /// One slice of it. Unfinished means: call again soon.
    pub(super) fn kill(&mut self, whom: Whom<'_>) -> Delivery {
        if let Whom::Runs(runs) = whom {
            // What is in a cgroup dies at once; the walk is for what moved out of it.
            runs.iter().for_each(|&run| self.cgroups.kill(run));
        }
        let mut hunt = self.hunt.take().unwrap_or_default();
        let delivery = self.hunt(whom, &mut hunt, Instant::now() + SLICE);
        self.hunt = Some(hunt).filter(|_| delivery.sent.is_unfinished);
        delivery
    }

    /// One slice of the end of everything: whoever is left below the daemon, of a run or not, is frozen and killed. Gives how
    /// many of them belonged to no run when it is over.
    ///
    /// PID 1 needs no freezing: kill(2) with -1 reaches everybody in one step of the kernel, and none of them forks after it.
    pub fn go_on_hunting(&mut self, last: &mut LastHunt, until: Instant) -> Option<usize> {
        if self.proc.this() == 1 {
            let strays = self.count_strays();
            // SAFETY: kill touches no memory of ours. It fails only where there is nobody.
            unsafe { libc::kill(-1, libc::SIGKILL) };
            return Some(strays);
        }
        if !self.proc.is_usable() {
            let runs: Vec<RunId> = self.runs.keys().copied().collect();
            self.deliver_blindly(&runs, Signal::KILL, false, &mut Delivery::default());
            return Some(0);
        }
        self.hunt_on(last, until).then_some(last.strays)
    }

    /// Freezes and kills until nobody is found who was not killed before, or until then. How many they were.
    pub(super) fn kill_until(&mut self, whom: Whom<'static>, until: Instant) -> usize {
        let mut last = LastHunt { whom, ..LastHunt::until(until) };
        while !self.hunt_on(&mut last, until) {}
        last.killed.len()
    }

    /// True when it is over. When its time is, whoever stands still by then is killed, and nobody else is looked for.
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

    /// Whether everyone stands still, as far as can be had.
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

    /// Looks once more at some of those who did not stand still.
    fn read_again(&mut self, hunt: &mut Hunt, still_by: Instant) {
        let some = hunt.again.split_off(hunt.again.len().saturating_sub(CHUNK));
        self.read_children(&some, hunt, still_by);
        let known = &hunt.known;
        hunt.frontier.retain(|root| !known.contains_key(&root.pid));
    }

    /// Stops some of those in the frontier, and puts their children there instead.
    fn freeze_some(&mut self, hunt: &mut Hunt, still_by: Instant) {
        // Without lists of children each look is one at everybody.
        let most = if self.proc.lists_children() { CHUNK } else { usize::MAX };
        let some: Vec<Root> = hunt.frontier.drain(..most.min(hunt.frontier.len())).collect();
        let mut caught: Vec<Member> = some.into_iter().filter_map(|root| identify(&mut self.proc, root)).collect();
        // Only who was caught is known: one who moved meanwhile is met again, as an orphan.
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
        // All of a group at once: a fork in progress hands a group's signal on to the new process.
        if is_pin(member) && send_group(Pid(member.stat.group), Signal::STOP).is_ok() {
            groups.insert(member.stat.group);
        } else {
            // Whoever cannot be stopped cannot be killed either, and that is told then.
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

    /// Waits until a busy process has noticed that it is stopped. One that slept before it was stopped has nothing
    /// half done: with the signal pending it cannot begin a fork any more.
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

/// As long as there is one, this thread goes before all ordinary processes, where the daemon may have that: a thousand
/// processes that leave their session are a thousand groups for sched_autogroup, and each would get as much time as it.
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
    // Asked of the kernel itself: musl's function only fails.
    // SAFETY: the priority, the one field of sched_param that the kernel reads, lives through the call. 0 is this thread.
    unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &priority) };
}

/// The end of everything, and how far it has come: see [`Trees::go_on_hunting`].
#[derive(Debug)]
pub struct LastHunt {
    whom: Whom<'static>,
    until: Instant,
    hunt: Hunt,
    hurry: Option<Hurry>,
    /// By pid and start time.
    killed: HashSet<(i32, u64)>,
    /// How many of them belonged to no run.
    strays: usize,
}

impl LastHunt {
    /// For everybody who is left, until then.
    pub fn until(until: Instant) -> LastHunt {
        let (hunt, killed) = (Hunt::of_all(), HashSet::new());
        LastHunt { whom: Whom::Everyone, until, hunt, hurry: None, killed, strays: 0 }
    }
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Hunt {
    /// Who is still to be looked at.
    frontier: VecDeque<Root>,
    /// Everyone, parents before their children.
    caught: Vec<Member>,
    /// Their places in `caught`, by pid.
    known: HashMap<i32, usize>,
    /// The groups that were stopped as a whole.
    groups: HashSet<i32>,
    /// Those who were not seen to stand still, and may have forked since.
    restless: Vec<Member>,
    /// Those of an earlier round, who are looked at again.
    again: Vec<Member>,
    rounds: u32,
    /// How many had been found when the round began.
    caught_before: usize,
    /// Whether all stand still, and what is left of `caught` is to be killed.
    is_killing: bool,
    /// Whether it is part of the last hunt.
    is_of_all: bool,
    /// Pid, start time, and whether it belongs to no run; kept only for the last hunt.
    killed: Vec<(i32, u64, bool)>,
}

impl Hunt {
    fn of_all() -> Hunt {
        Hunt { is_of_all: true, ..Hunt::default() }
    }

    /// A child was reaped: its number may be anyone's.
    pub(super) fn forget(&mut self, pid: i32) {
        if let Some(place) = self.known.remove(&pid)
            && let Some(member) = self.caught.get_mut(place)
        {
            (member.stat.state, member.stat.threads) = (b'X', 1);
        }
    }
}
