//! A signal to trees, sent in slices: a tree may have thousands of processes, and the daemon must handle its own signals
//! in between.
//!
//! First all processes are found, in one walk through all trees concerned, then each gets the signal. Between two slices
//! any of them may have exited and been reaped, so a process is identified by more than its pid, see [`Trees::deliver`].
//! SIGKILL to whole trees is in [`super::freeze`].

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use muster_spec::{RunId, Signal, SignalScope};

use super::Trees;
use super::signal::{Delivery, Signalled, is_pin};
use super::walk::{Member, Walk, Whom};
use crate::signal::{Pid, send_group};

/// The time limit of the walk. A tree that grows as fast as it is walked has no end; the processes
/// found by then get the signal.
const MOST_WALKING: Duration = Duration::from_secs(1);

/// The clock is checked after this many processes.
const CHUNK: usize = 8;

/// A signal, and how far it has been delivered.
#[derive(Debug)]
pub struct Errand {
    /// `None` for strays.
    runs: Option<Vec<RunId>>,
    signal: Signal,
    scope: SignalScope,
    /// Whether SIGCONT follows for stopped processes: all, or those of these runs.
    wakes_all: bool,
    woken: HashSet<RunId>,
    /// Whether processes that got the same signal with their group are left out.
    is_for_the_rest: bool,
    step: Step,
    walking: Duration,
    /// The groups that were signalled as a whole.
    groups: HashSet<i32>,
    delivery: Delivery,
}

#[derive(Debug)]
enum Step {
    Look,
    Walk(Walk),
    /// To each group at once, and then to each process: how many have been handled.
    Groups(Vec<Member>, usize),
    Each(Vec<Member>, usize),
}

impl Errand {
    /// This signal to several runs, with one walk through their trees. With [`SignalScope::Main`] and
    /// [`SignalScope::MainGroup`] no process is signalled: the members of the trees are only recorded.
    pub fn to(runs: Vec<RunId>, signal: Signal, scope: SignalScope) -> Errand {
        Errand {
            runs: Some(runs),
            signal,
            scope,
            wakes_all: false,
            woken: HashSet::new(),
            is_for_the_rest: false,
            step: Step::Look,
            walking: Duration::ZERO,
            groups: HashSet::new(),
            delivery: Delivery::default(),
        }
    }

    /// A signal that should end the rest of runs, followed by SIGCONT for stopped processes, which would otherwise not
    /// receive it. Not for processes that got it with their group: see [`Trees::stop_all`].
    pub fn to_the_rest(runs: Vec<RunId>, signal: Signal, scope: SignalScope) -> Errand {
        Errand { wakes_all: true, is_for_the_rest: true, ..Errand::to(runs, signal, scope) }
    }

    /// A signal to strays, followed by SIGCONT as above.
    pub fn to_strays(signal: Signal) -> Errand {
        Errand { runs: None, wakes_all: true, ..Errand::to(Vec::new(), signal, SignalScope::Tree) }
    }

    /// SIGCONT follows for the stopped processes of these runs.
    pub fn waking(self, woken: HashSet<RunId>) -> Errand {
        Errand { woken, ..self }
    }

    /// The runs concerned.
    pub fn runs(&self) -> &[RunId] {
        self.runs.as_deref().unwrap_or_default()
    }

    /// The signal.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Removes these runs, which now get something else.
    pub fn leave_out(&mut self, others: &[RunId]) {
        let Some(runs) = &mut self.runs else { return };
        let others: HashSet<RunId> = others.iter().copied().collect();
        runs.retain(|run| !others.contains(run));
        if let Step::Walk(walk) = &mut self.step {
            walk.leave_out(|run| others.contains(&run));
        }
    }

    /// The result. An error only if no process could be signalled although there were some.
    pub fn result(self) -> io::Result<Signalled> {
        self.delivery.result()
    }

    fn wakes(&self, member: &Member) -> bool {
        member.stat.is_stopped() && (self.wakes_all || member.run.is_some_and(|run| self.woken.contains(&run)))
    }

    fn only_records(&self) -> bool {
        matches!(self.scope, SignalScope::Main | SignalScope::MainGroup)
    }

    fn is_meant(&self, member: &Member) -> bool {
        self.runs.is_none() || member.run.is_some_and(|run| self.runs().contains(&run))
    }
}

impl Trees {
    /// Continues until then. Returns true when it is complete.
    pub fn go_on(&mut self, errand: &mut Errand, until: Option<Instant>) -> bool {
        let is_over = || until.is_some_and(|until| Instant::now() >= until);
        loop {
            errand.step = match std::mem::replace(&mut errand.step, Step::Look) {
                Step::Look if !self.proc.is_usable() => {
                    self.deliver_blind_errand(errand);
                    return true;
                }
                Step::Look if !self.look_until(until) => return false,
                Step::Look => match &errand.runs {
                    Some(runs) => Step::Walk(self.walk_to(Whom::Runs(runs))),
                    None => Step::Walk(self.walk_to(Whom::Strays)),
                },
                Step::Walk(mut walk) => {
                    let began = Instant::now();
                    let is_done = walk.go_on(&mut self.proc, until);
                    errand.walking += began.elapsed();
                    if !is_done && errand.walking < MOST_WALKING {
                        errand.step = Step::Walk(walk);
                        return false;
                    }
                    self.begin_delivery(errand, walk.members)
                }
                Step::Groups(members, mut next) => {
                    while let Some(member) = members.get(next) {
                        self.send_to_group_of(member, errand);
                        next += 1;
                        if next.is_multiple_of(CHUNK) && is_over() {
                            errand.step = Step::Groups(members, next);
                            return false;
                        }
                    }
                    Step::Each(members, 0)
                }
                Step::Each(members, mut next) => {
                    while let Some(member) = members.get(next) {
                        self.send_to_one(member, errand);
                        next += 1;
                        if next.is_multiple_of(CHUNK) && is_over() {
                            errand.step = Step::Each(members, next);
                            return false;
                        }
                    }
                    return true;
                }
            };
        }
    }

    fn begin_delivery(&mut self, errand: &mut Errand, mut members: Vec<Member>) -> Step {
        match errand.scope {
            SignalScope::Group => {
                self.note_signalled(errand.runs(), errand.signal, &members);
                Step::Groups(members, 0)
            }
            _ => {
                if errand.is_for_the_rest {
                    self.leave_out_signalled(errand.runs(), errand.signal, &mut members);
                }
                Step::Each(members, 0)
            }
        }
    }

    fn send_to_group_of(&mut self, member: &Member, errand: &mut Errand) {
        let group = member.stat.group;
        let is_new = errand.is_meant(member) && !errand.groups.contains(&group);
        if is_new && is_pin(member) && self.is_still_ours(member) {
            errand.groups.insert(group);
            errand.delivery.note(send_group(Pid(group), errand.signal).map(|()| false));
        }
    }

    fn send_to_one(&mut self, member: &Member, errand: &mut Errand) {
        self.remember(std::slice::from_ref(member));
        if errand.only_records() || !member.stat.is_alive() || !errand.is_meant(member) {
            return;
        }
        if errand.groups.contains(&member.stat.group) {
            errand.delivery.sent.count += 1;
        } else {
            let sent = self.deliver(member, errand.signal);
            errand.delivery.note(sent);
        }
        if errand.wakes(member) {
            let _ = self.deliver(member, Signal::CONT);
        }
    }

    fn deliver_blind_errand(&mut self, errand: &mut Errand) {
        match &errand.runs {
            Some(_) if errand.only_records() => {}
            Some(runs) => {
                for &run in runs {
                    let wakes = errand.wakes_all || errand.woken.contains(&run);
                    self.deliver_blindly(&[run], errand.signal, wakes, &mut errand.delivery);
                }
            }
            None => errand.delivery.sent.count = self.signal_everyone(errand.signal),
        }
    }
}
