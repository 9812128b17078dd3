//! SIGKILL to whole trees, even to those that fork faster than one can look.
//!
//! First everyone is stopped, and the children of a process are read only when it stands still, so each process needs
//! to be looked at once and nobody new can appear behind it. Stopped processes keep their places under a limit of
//! processes: a fork bomb runs out of them, while killing one by one would make room for the next. Then everyone is
//! killed, the youngest first: a parent's death would continue a stopped group that it leaves orphaned
//! (kill_orphaned_pgrp() in the kernel).
//!
//! That takes a while where there are thousands, so it is done in slices, and each goes on where the last one ended: the
//! daemon hears its signals in between. Only at the very end, when nothing else is to be done, it is done at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use muster_spec::Signal;

use super::Trees;
use super::proc::Stat;
use super::signal::{Delivery, is_pin};
use super::walk::{Families, Member, Root, Whom, identify};
use crate::signal::{Pid, send_group};

/// So long one call goes on before the daemon gets its turn again.
const SLICE: Duration = Duration::from_millis(15);

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
        let delivery = self.hunt(whom, &mut hunt, Instant::now() + SLICE, false);
        self.hunt = Some(hunt).filter(|_| delivery.sent.is_unfinished);
        delivery
    }

    /// Freezes and kills until nobody is found who was not killed before, or until then. Whoever was stopped is killed even
    /// when the time is over. How many they were: all of them, and those of no run.
    pub(super) fn kill_until(&mut self, whom: Whom<'_>, until: Instant) -> (usize, usize) {
        let (mut killed, mut strays) = (HashSet::new(), 0);
        let _hurry = Hurry::begin();
        let mut hunt = self.hunt.take().unwrap_or_default();
        loop {
            self.hunt(whom, &mut hunt, until, true);
            let before = killed.len();
            for (pid, start, is_stray) in std::mem::take(&mut hunt).killed {
                strays += usize::from(killed.insert((pid, start)) && is_stray);
            }
            if killed.len() == before || Instant::now() >= until {
                return (killed.len(), strays);
            }
        }
    }

    fn hunt(&mut self, whom: Whom<'_>, hunt: &mut Hunt, until: Instant, is_last: bool) -> Delivery {
        let mut delivery = Delivery::default();
        hunt.is_killing = hunt.is_killing || self.freeze(whom, hunt, until) || is_last;
        delivery.sent.is_unfinished = !hunt.is_killing;
        while hunt.is_killing && !delivery.sent.is_unfinished {
            let Some(member) = hunt.caught.pop() else { break };
            if member.stat.is_alive() {
                let sent = self.deliver(&member, Signal::KILL);
                if matches!(sent, Ok(true)) && is_last {
                    hunt.killed.push((member.stat.pid, member.stat.start, member.run.is_none()));
                }
                delivery.note(sent);
            }
            let is_over = hunt.caught.len().is_multiple_of(CHUNK) && !is_last && Instant::now() >= until;
            delivery.sent.is_unfinished = is_over && !hunt.caught.is_empty();
        }
        delivery
    }

    /// Whether everyone stands still, as far as can be had.
    fn freeze(&mut self, whom: Whom<'_>, hunt: &mut Hunt, until: Instant) -> bool {
        let still_by = until.min(Instant::now() + PATIENCE);
        loop {
            while !hunt.frontier.is_empty() {
                self.freeze_some(hunt, still_by);
                if Instant::now() >= until {
                    return false;
                }
            }
            if hunt.rounds >= ROUNDS {
                return true;
            }
            hunt.rounds += 1;
            self.look();
            let roots = self.roots(whom);
            hunt.frontier.extend(roots);
            let restless = std::mem::take(&mut hunt.restless);
            self.read_children(&restless, hunt, still_by);
            let known = &hunt.known;
            hunt.frontier.retain(|root| !known.contains_key(&root.pid));
            if hunt.frontier.is_empty() {
                return true;
            }
        }
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
    rounds: u32,
    /// Whether all stand still, and what is left of `caught` is to be killed.
    is_killing: bool,
    /// Pid, start time, and whether it belongs to no run; kept only for the last hunt.
    killed: Vec<(i32, u64, bool)>,
}

impl Hunt {
    /// A child was reaped: its number may be anyone's.
    pub(super) fn forget(&mut self, pid: i32) {
        if let Some(place) = self.known.remove(&pid)
            && let Some(member) = self.caught.get_mut(place)
        {
            (member.stat.state, member.stat.threads) = (b'X', 1);
        }
    }
}
