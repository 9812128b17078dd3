//! Signals to a run: to its main process, to its process groups, to all processes.
//!
//! A signalled process was found in the run's tree a moment ago and is held meanwhile: our own children by
//! not being reaped, all others by [`super::pidfd`]. A whole group is signalled at once only while a child of ours pins
//! its number. SIGKILL to a whole tree is in [`super::freeze`].

use std::io;
use std::time::{Duration, Instant};

use muster_spec::{RunId, Signal, SignalScope};

use super::errand::Errand;
use super::owner::Owner;
use super::walk::{Member, Whom};
use super::{Trees, no_proc, pidfd};
use crate::signal::{Pid, send, send_group};

/// The time limit for counting processes that are killed all at once.
const MOST_FOR_COUNTING: Duration = Duration::from_millis(10);

/// The time limit for SIGKILL to strays.
const MOST_FOR_STRAYS: Duration = Duration::from_secs(1);

/// The result of a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signalled {
    /// The number of processes it was sent to.
    pub count: usize,
    /// The number that we may not signal: a set-user-id program, if the daemon is not root.
    pub refused: usize,
    /// Whether SIGKILL to a tree must be repeated soon in any case: the tree is so large, or grows so fast, that
    /// so far its processes were only stopped, or only some of them killed.
    pub is_unfinished: bool,
}

impl Trees {
    /// Sends a signal to a run, unchanged. An error only if no process could be signalled although there were some.
    ///
    /// SIGKILL with [`SignalScope::Tree`] may be incomplete: call again until the run is [`Trees::gone`], whenever
    /// children were reaped, and soon if it was not finished.
    pub fn signal(&mut self, run: RunId, signal: Signal, scope: SignalScope) -> io::Result<Signalled> {
        self.signal_all(&[run], signal, scope)
    }

    /// The same to several runs, with one scan of their trees.
    pub fn signal_all(&mut self, runs: &[RunId], signal: Signal, scope: SignalScope) -> io::Result<Signalled> {
        self.dispatch(runs, signal, scope, false)
    }

    /// Sends a signal that should end a run, followed by SIGCONT to stopped processes, which would otherwise not
    /// receive it.
    pub fn stop(&mut self, run: RunId, signal: Signal, scope: SignalScope) -> io::Result<Signalled> {
        self.stop_all(&[run], signal, scope)
    }

    /// The same to several runs, with one scan of their trees.
    pub fn stop_all(&mut self, runs: &[RunId], signal: Signal, scope: SignalScope) -> io::Result<Signalled> {
        self.dispatch(runs, signal, scope, true)
    }

    /// Signals strays at the final shutdown, and returns how many. Never touches a run, nor
    /// anything that is not below the daemon, unless the daemon is PID 1 and responsible for its pid namespace.
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

    /// A PID 1 without runs may kill all processes at once, and must: nsenter(1) stops itself when its child is
    /// stopped, so after a freeze it would never reap that child, and PID 1 cannot exit before its pid namespace is empty.
    fn kill_strays(&mut self) -> usize {
        let count = self.count_strays();
        match self.signal_everyone(Signal::KILL) {
            0 => self.kill_until(Whom::Strays, Instant::now() + MOST_FOR_STRAYS),
            _ => count,
        }
    }

    /// Notes that a child of ours is stopped, or was continued. To be called for each such change that the reaper takes: the kernel
    /// then has no record of it. [`Trees::reaped`] forgets it.
    pub fn note_stopped(&mut self, child: Pid, is_stopped: bool) {
        if is_stopped {
            self.stopped.insert(child.0);
        } else {
            self.stopped.remove(&child.0);
        }
    }

    fn is_child_stopped(&self, pid: i32) -> bool {
        self.stopped.contains(&pid) || no_proc::is_child_stopped(pid)
    }

    /// Continues the stopped main processes of these runs. If none is stopped, which is the usual case, that costs one
    /// query for all of them.
    pub fn wake_leaders(&mut self, runs: &[RunId]) {
        if self.stopped.is_empty() && !no_proc::is_any_child_stopped() {
            return;
        }
        for leader in runs.iter().filter_map(|&run| self.living_leader(run)) {
            if self.is_child_stopped(leader.0) {
                // It existed just now, and only we reap.
                let _ = send(leader, Signal::CONT);
            }
        }
    }

    fn dispatch(&mut self, runs: &[RunId], signal: Signal, scope: SignalScope, wakes: bool) -> io::Result<Signalled> {
        let mut delivery = Delivery::default();
        match scope {
            SignalScope::Main => self.deliver_to_leaders(runs, signal, wakes, &mut delivery),
            SignalScope::MainGroup => self.deliver_blindly(runs, signal, wakes, &mut delivery),
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

    /// Records the processes that got a signal with their group. SIGCONT accompanies other signals and replaces none.
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

    /// The first stop signal to the rest of a tree, after its main process has exited, skips processes that got the same one
    /// with their group: a server that gets it a second time aborts and loses its work.
    pub(super) fn leave_out_signalled(&mut self, runs: &[RunId], signal: Signal, members: &mut Vec<Member>) {
        for run in runs {
            let Some((_, had)) = self.signalled.remove(run).filter(|(before, _)| *before == signal) else { continue };
            members.retain(|member| member.run != Some(*run) || !had.contains(&(member.stat.pid, member.stat.start)));
        }
    }

    fn deliver_to_leaders(&mut self, runs: &[RunId], signal: Signal, wakes: bool, delivery: &mut Delivery) {
        for leader in runs.iter().filter_map(|&run| self.living_leader(run)) {
            delivery.note(send(leader, signal).map(|()| true));
            if wakes && self.is_child_stopped(leader.0) {
                // It existed when it was signalled just now, and only we reap.
                let _ = send(leader, Signal::CONT);
            }
        }
    }

    /// To the group of the main process, which is all there is without /proc.
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
                // Stopped processes cannot be detected.
                let _ = send_group(group, Signal::CONT);
            }
        }
    }

    /// Processes cannot be distinguished here, so this is only for a PID 1 without runs: kill(2) with -1 signals the whole
    /// pid namespace except ourselves. The number of processes is unknown.
    pub(super) fn signal_everyone(&self, signal: Signal) -> usize {
        let is_alone = self.proc.this() == 1 && self.runs.is_empty();
        // SAFETY: kill touches no memory of ours.
        usize::from(is_alone && unsafe { libc::kill(-1, signal.number()) } == 0)
    }

    fn living_leader(&self, run: RunId) -> Option<Pid> {
        self.runs.get(&run).filter(|about| about.is_leader_alive).map(|about| Pid(about.leader))
    }

    /// Whether this child of ours, found earlier, has not been reaped since.
    pub(super) fn is_still_ours(&self, member: &Member) -> bool {
        let pid = member.stat.pid;
        match member.run {
            Some(run) => self.by_child(pid) == Some(run),
            None => matches!(self.adopted.get(&pid), Some(Owner::Nobody { .. })),
        }
    }

    /// The number of strays, as far as they are found quickly: nothing depends on it.
    pub(super) fn count_strays(&mut self) -> usize {
        let until = Some(Instant::now() + MOST_FOR_COUNTING);
        self.look_until(until);
        let mut walk = self.walk_to(Whom::Strays);
        walk.go_on(&mut self.proc, until);
        walk.members.iter().filter(|member| member.stat.is_alive()).count()
    }

    /// Signals one process that was found in a tree, if it is still that process; returns whether it was.
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

/// Whether this process makes it safe to signal its whole group: it is our child, so it pins the number, and the
/// group is in a session that was created within the tree, so it has no foreign processes. A program that stayed in the daemon's
/// own session may share its group with the process that started the daemon.
pub(super) fn is_pin(member: &Member) -> bool {
    if !member.is_child {
        return false;
    }
    let pid = member.stat.pid;
    // SAFETY: getsid and getpgid take numbers.
    let (own_session, session, group) = unsafe { (libc::getsid(0), libc::getsid(pid), libc::getpgid(pid)) };
    session != own_session && session == member.stat.session && group == member.stat.group
}

/// The result of a signal while it is being sent.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    pub(super) sent: Signalled,
    refusal: Option<io::Error>,
}

impl Delivery {
    /// Records an attempt: `true` for a process that got it.
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
