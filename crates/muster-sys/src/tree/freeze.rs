//! SIGKILL to whole trees, even to those that fork faster than one can look.
//!
//! First everyone is stopped, and the children of a process are read only when it stands still, so each process needs
//! to be looked at once and nobody new can appear behind it. Stopped processes keep their places under a limit of
//! processes: a fork bomb runs out of them, while killing one by one would make room for the next. Then everyone is
//! killed, the youngest first: a parent's death would continue a stopped group that it leaves orphaned
//! (kill_orphaned_pgrp() in the kernel).

use std::collections::HashSet;
use std::time::{Duration, Instant};

use muster_core::Signal;

use super::Trees;
use super::proc::Stat;
use super::signal::{Delivery, is_pin};
use super::walk::{Families, Member, Root, Whom, identify};
use crate::signal::{Pid, send_group};

/// So many processes below the roots are stopped in one call, some 50 ms of work, before the daemon gets its turn again.
const MOST_AT_ONCE: usize = 1024;

/// So long a call waits, all in all, for busy processes to stand still. One that does not (another user's, or starved of
/// its cpu) does not hold up the rest: what it still forks is found by the next call.
const PATIENCE: Duration = Duration::from_millis(5);

/// So often the roots are looked at again for orphans that came meanwhile.
const ROUNDS: u32 = 16;

impl Trees {
    pub(super) fn kill(&mut self, whom: Whom<'_>) -> Delivery {
        if let Whom::Runs(runs) = whom {
            // What is in a cgroup dies at once; the walk is for what moved out of it.
            runs.iter().for_each(|&run| self.cgroups.kill(run));
        }
        let hunt = self.freeze(whom, Instant::now() + PATIENCE);
        self.remember(&hunt.caught);
        let mut delivery = Delivery::default();
        if hunt.is_unfinished {
            delivery.sent.is_unfinished = true;
            return delivery;
        }
        for member in hunt.caught.iter().rev().filter(|member| member.stat.is_alive()) {
            let killed = self.deliver(member, Signal::KILL);
            delivery.note(killed);
        }
        delivery
    }

    fn freeze(&mut self, whom: Whom<'_>, deadline: Instant) -> Hunt {
        let mut hunt = Hunt::until(deadline);
        hunt.most = MOST_AT_ONCE + self.roots(whom).len();
        for _ in 0..ROUNDS {
            self.look();
            let mut frontier = self.roots(whom);
            let restless = std::mem::take(&mut hunt.restless);
            self.read_children(&restless, &mut frontier, &mut hunt);
            frontier.retain(|root| !hunt.known.contains(&root.pid));
            if frontier.is_empty() {
                return hunt;
            }
            while !frontier.is_empty() && !hunt.is_unfinished {
                self.freeze_generation(&mut frontier, &mut hunt);
            }
        }
        hunt
    }

    /// Stops everyone in `frontier`, and puts their children there instead.
    fn freeze_generation(&mut self, frontier: &mut Vec<Root>, hunt: &mut Hunt) {
        let mut caught: Vec<Member> =
            std::mem::take(frontier).into_iter().filter_map(|root| identify(&mut self.proc, root)).collect();
        // Only who was caught is known: one who moved meanwhile is met again, as an orphan.
        caught.retain(|member| hunt.known.insert(member.stat.pid));
        for member in &caught {
            self.halt(member, hunt);
        }
        self.read_children(&caught, frontier, hunt);
        hunt.caught.extend(caught);
    }

    fn halt(&mut self, member: &Member, hunt: &mut Hunt) {
        if member.stat.is_stopped() || !member.stat.is_alive() || hunt.groups.contains(&member.stat.group) {
            return;
        }
        hunt.halted += 1;
        hunt.is_unfinished |= hunt.halted > hunt.most;
        // All of a group at once: a fork in progress hands a group's signal on to the new process.
        if is_pin(member) && send_group(Pid(member.stat.group), Signal::STOP).is_ok() {
            hunt.groups.insert(member.stat.group);
        } else {
            // Whoever cannot be stopped cannot be killed either, and that is told then.
            let _ = self.deliver(member, Signal::STOP);
        }
    }

    fn read_children(&mut self, of: &[Member], frontier: &mut Vec<Root>, hunt: &mut Hunt) {
        let restless: Vec<&Member> = of.iter().filter(|member| !self.stands_still(member, hunt.deadline)).collect();
        hunt.restless.extend(restless.into_iter().cloned());
        let mut families = Families::of(&mut self.proc);
        let mut children = Vec::new();
        for member in of {
            families.children(&mut self.proc, &member.stat, &mut children);
            frontier.extend(children.drain(..).map(|pid| Root { pid, parent: member.stat.pid, run: member.run }));
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

/// What a call has found so far.
#[derive(Debug)]
struct Hunt {
    deadline: Instant,
    most: usize,
    /// Everyone, parents before their children.
    caught: Vec<Member>,
    known: HashSet<i32>,
    /// The groups that were stopped as a whole.
    groups: HashSet<i32>,
    /// Those who were not seen to stand still, and may have forked since.
    restless: Vec<Member>,
    halted: usize,
    is_unfinished: bool,
}

impl Hunt {
    fn until(deadline: Instant) -> Hunt {
        Hunt {
            deadline,
            most: MOST_AT_ONCE,
            caught: Vec::new(),
            known: HashSet::new(),
            groups: HashSet::new(),
            restless: Vec::new(),
            halted: 0,
            is_unfinished: false,
        }
    }
}
