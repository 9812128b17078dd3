//! Signals to a run: to its main process, to its process groups, to everyone.
//!
//! Whoever is signalled was found in the run's tree a moment ago and is held while it is done: our own children by
//! not being reaped, all others by [`super::pidfd`]. A whole group is only signalled at once while a child of ours pins
//! its number. SIGKILL to a whole tree is [`super::freeze`].

use std::io;
use std::time::{Duration, Instant};

use muster_spec::{RunId, Signal, SignalScope};

use super::errand::Errand;
use super::owner::Owner;
use super::walk::{Member, Whom};
use super::{Trees, no_proc, pidfd};
use crate::signal::{Pid, send, send_group};

/// How long those may be counted that are killed all at once.
const MOST_FOR_COUNTING: Duration = Duration::from_millis(10);

/// How long SIGKILL to those of no run may take.
const MOST_FOR_STRAYS: Duration = Duration::from_secs(1);

/// What came of a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signalled {
    /// How many processes it was sent to.
    pub count: usize,
    /// How many are not ours to signal: a set-user-id program, when the daemon is not root.
    pub refused: usize,
    /// Whether SIGKILL to a tree must be repeated soon, whatever else happens: the tree is so large, or grows so fast, that
    /// so far its processes were only stopped, or some of them killed.
    pub is_unfinished: bool,
}

impl Trees {
    /// Sends a signal to a run, as it is. An error only when nobody could be signalled and somebody was there.
    ///
    /// SIGKILL with [`SignalScope::Tree`] is not the end: call again as long as the run is not [`Trees::gone`], whenever
    /// children were reaped, and soon where it was not finished.
    pub fn signal(&mut self, run: RunId, signal: Signal, scope: SignalScope) -> io::Result<Signalled> {
        self.signal_all(&[run], signal, scope)
    }

    /// The same to several runs, with one look at their trees.
    pub fn signal_all(&mut self, runs: &[RunId], signal: Signal, scope: SignalScope) -> io::Result<Signalled> {
        self.dispatch(runs, signal, scope, false)
    }

    /// Sends a signal that is meant to end a run, and SIGCONT after it to those who are stopped: they would not get it
    /// before somebody continued them.
    pub fn stop(&mut self, run: RunId, signal: Signal, scope: SignalScope) -> io::Result<Signalled> {
        self.stop_all(&[run], signal, scope)
    }

    /// The same to several runs, with one look at their trees.
    pub fn stop_all(&mut self, runs: &[RunId], signal: Signal, scope: SignalScope) -> io::Result<Signalled> {
        self.dispatch(runs, signal, scope, true)
    }

    /// Signals whoever belongs to no run, for the end of everything, and returns how many. Never touches a run, nor
    /// anything that is not below the daemon, unless the daemon is PID 1 and answers for all of its pid namespace.
    pub fn signal_strays(&mut self, signal: Signal) -> usize {
        if !self.proc.is_usable() {
            return self.signal_everyone(signal);
        }
        if signal == Signal::KILL {
            return self.kill_strays();
        }
        let mut errand = Errand::to_strays(signal);
        self.go_on(&mut errand, None);
        errand.result().map_or(0, |sent| sent.count)
    }

    /// A PID 1 with no runs any more may kill everybody at once, and must: nsenter(1) stops itself when its child is
    /// stopped, so after a freeze it would never reap that child, and no PID 1 can end before its pid namespace is empty.
    fn kill_strays(&mut self) -> usize {
        let count = self.count_strays();
        match self.signal_everyone(Signal::KILL) {
            0 => self.kill_until(Whom::Strays, Instant::now() + MOST_FOR_STRAYS),
            _ => count,
        }
    }

    /// Continues those main processes of these runs that are stopped. Where none is, which is nearly always, that costs one
    /// question for all of them.
    pub fn wake_leaders(&mut self, runs: &[RunId]) {
        if !no_proc::is_any_child_stopped() {
            return;
        }
        for leader in runs.iter().filter_map(|&run| self.living_leader(run)) {
            if no_proc::is_child_stopped(leader.0) {
                // It was there just now, and nobody reaps but us.
                let _ = send(leader, Signal::CONT);
            }
        }
    }

    fn dispatch(&mut self, runs: &[RunId], signal: Signal, scope: SignalScope, wakes: bool) -> io::Result<Signalled> {
        let mut delivery = Delivery::default();
        match scope {
            SignalScope::Main => self.deliver_to_leaders(runs, signal, wakes, &mut delivery),
            _ if !self.proc.is_usable() => self.deliver_blindly(runs, signal, wakes, &mut delivery),
            SignalScope::Tree if signal == Signal::KILL => delivery = self.kill(Whom::Runs(runs)),
            SignalScope::Group | SignalScope::Tree => {
                let errand = if wakes { Errand::to_the_rest } else { Errand::to };
                let mut errand = errand(runs.to_vec(), signal, scope);
                self.go_on(&mut errand, None);
                return errand.result();
            }
        }
        delivery.result()
    }

    /// Keeps in mind who got a signal with its group. SIGCONT follows other signals and takes the place of none.
    pub(super) fn note_signalled(&mut self, runs: &[RunId], signal: Signal, members: &[Member]) {
        if signal == Signal::CONT {
            return;
        }
        for &run in runs.iter().filter(|run| self.runs.contains_key(run)) {
            let its_own = members.iter().filter(|member| member.run == Some(run));
            let signalled = its_own.map(|member| (member.stat.pid, member.stat.start)).collect();
            self.signalled.insert(run, (signal, signalled));
        }
    }

    /// The first stop signal to the rest of a tree, after its main process has ended, is not for those who got the same one
    /// with their group: a server that is asked a second time forces its end and loses its work.
    pub(super) fn leave_out_signalled(&mut self, runs: &[RunId], signal: Signal, members: &mut Vec<Member>) {
        for run in runs {
            let Some((_, had)) = self.signalled.remove(run).filter(|(before, _)| *before == signal) else { continue };
            members.retain(|member| member.run != Some(*run) || !had.contains(&(member.stat.pid, member.stat.start)));
        }
    }

    fn deliver_to_leaders(&mut self, runs: &[RunId], signal: Signal, wakes: bool, delivery: &mut Delivery) {
        for leader in runs.iter().filter_map(|&run| self.living_leader(run)) {
            delivery.note(send(leader, signal).map(|()| true));
            if wakes && no_proc::is_child_stopped(leader.0) {
                // It was there to be signalled just now, and nobody reaps but us.
                let _ = send(leader, Signal::CONT);
            }
        }
    }

    /// Without /proc there is only the group of the main process.
    pub(super) fn deliver_blindly(&mut self, runs: &[RunId], signal: Signal, wakes: bool, delivery: &mut Delivery) {
        for run in runs {
            let Some(about) = self.runs.get(run).filter(|about| about.is_number_ours) else { continue };
            if !no_proc::has_children_in_group(about.leader) {
                self.deliver_to_leaders(&[*run], signal, wakes, delivery);
                continue;
            }
            let group = Pid(about.leader);
            delivery.note(send_group(group, signal).map(|()| true));
            if wakes {
                // Who is stopped cannot be seen.
                let _ = send_group(group, Signal::CONT);
            }
        }
    }

    /// Nobody is told from anybody here, so this is only for a PID 1 that has no runs any more: kill(2) with -1 means all
    /// of the pid namespace but ourselves. How many they were is not told.
    pub(super) fn signal_everyone(&self, signal: Signal) -> usize {
        let is_alone = self.proc.this() == 1 && self.runs.is_empty();
        // SAFETY: kill touches no memory of ours.
        usize::from(is_alone && unsafe { libc::kill(-1, signal.number()) } == 0)
    }

    fn living_leader(&self, run: RunId) -> Option<Pid> {
        self.runs.get(&run).filter(|about| about.is_leader_alive).map(|about| Pid(about.leader))
    }

    /// Whether this child of ours, found a while ago, has not been reaped since.
    pub(super) fn is_still_ours(&self, member: &Member) -> bool {
        let pid = member.stat.pid;
        match member.run {
            Some(run) => self.by_child(pid) == Some(run),
            None => matches!(self.adopted.get(&pid), Some(Owner::Nobody { .. })),
        }
    }

    /// How many belong to no run, as far as they are found in a moment: nothing depends on it.
    pub(super) fn count_strays(&mut self) -> usize {
        let until = Some(Instant::now() + MOST_FOR_COUNTING);
        self.look_until(until);
        let mut walk = self.walk_to(Whom::Strays);
        walk.go_on(&mut self.proc, until);
        walk.members.iter().filter(|member| member.stat.is_alive()).count()
    }

    /// Signals one process that was found in a tree, if it is still that process; whether it was.
    pub(super) fn deliver(&mut self, member: &Member, signal: Signal) -> io::Result<bool> {
        if member.is_child && !self.is_still_ours(member) {
            return Ok(false);
        }
        if !member.is_child {
            return pidfd::send_to(&mut self.proc, self.with_pidfds, member.stat.pid, member.stat.start, signal);
        }
        match send(Pid(member.stat.pid), signal) {
            Err(error) if pidfd::is_gone(&error) => Ok(false),
            sent => sent.map(|()| true),
        }
    }
}

/// Whether this process makes it safe to signal its whole group: it is our child, so it holds the number, and the
/// group is in a session that was made within the tree, so it has no strangers. A program that stayed in the daemon's
/// own session may share its group with whoever started the daemon.
pub(super) fn is_pin(member: &Member) -> bool {
    if !member.is_child {
        return false;
    }
    let pid = member.stat.pid;
    // SAFETY: getsid and getpgid take numbers.
    let (own_session, session, group) = unsafe { (libc::getsid(0), libc::getsid(pid), libc::getpgid(pid)) };
    session != own_session && session == member.stat.session && group == member.stat.group
}

/// What becomes of a signal while it is sent around.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    pub(super) sent: Signalled,
    refusal: Option<io::Error>,
}

impl Delivery {
    /// One more attempt: `true` for a process that got it.
    pub(super) fn note(&mut self, attempt: io::Result<bool>) {
        match attempt {
            Ok(reached) => self.sent.count += usize::from(reached),
            Err(error) if pidfd::is_gone(&error) => {}
            Err(error) => {
                self.sent.refused += 1;
                self.refusal = Some(error);
            }
        }
    }

    pub(super) fn result(self) -> io::Result<Signalled> {
        match self.refusal {
            Some(error) if self.sent.count == 0 => Err(error),
            _ => Ok(self.sent),
        }
    }
}
