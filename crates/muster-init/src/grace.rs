//! `--grace`: limits how long processes may outlive the command.
//!
//! There is one deadline. It is set by the first SIGTERM, or otherwise by the exit of the command; when it passes, all remaining
//! processes are killed. Processes that outlive the command get SIGTERM first, unless they already did. Without the option this
//! module does nothing, and remaining processes end with the container, or are reparented to the next reaper outside of one.

use std::time::{Duration, Instant};

use muster_spec::Signal;
use muster_sys::foreground::{BlockedSignals, descendants, has_children, send_to_all};
use muster_sys::reap::reap_next;
use muster_sys::signal::{Pid, send};

use super::reporter::{Event, Reporter};

/// A process may have forked during the scan, so killing is repeated at this interval.
const KILL_AGAIN: Duration = Duration::from_millis(100);

/// A process that is still alive this long after SIGKILL is blocked in the kernel, perhaps for hours.
const GIVE_UP: Duration = Duration::from_secs(5);

/// The deadline for all remaining processes.
pub(super) struct Grace<'a> {
    limit: Option<Duration>,
    deadline: Option<Instant>,
    killing_since: Option<Instant>,
    reporter: &'a Reporter,
}

impl<'a> Grace<'a> {
    pub(super) fn new(limit: Option<Duration>, reporter: &'a Reporter) -> Grace<'a> {
        Grace { limit, deadline: None, killing_since: None, reporter }
    }

    /// How long to wait for the next signal; indefinitely without a deadline.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// A stop was requested: the time starts now, unless it is already running.
    pub(super) fn handle_stop_request(&mut self) {
        if self.deadline.is_none() {
            // A limit beyond the range of a clock means no limit.
            self.deadline = self.limit.and_then(|limit| Instant::now().checked_add(limit));
        }
    }

    /// Kills the remaining processes if the deadline has passed, and sets the next one.
    pub(super) fn handle_timeout(&mut self, command: Option<Pid>) {
        let now = Instant::now();
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.killing_since.is_none() {
            self.killing_since = Some(now);
            self.reporter.say(&Event::KillingLeftovers);
        }
        self.deadline = Some(now + KILL_AGAIN);
        if let Some(command) = command {
            // It is our child and not reaped, so its pid is not reused. Without /proc no other process can be reached.
            let _ = send(command, Signal::KILL);
        }
        send_to_leftovers(Signal::KILL);
    }

    /// The command has exited and is reaped: waits for the remaining processes, and makes them exit.
    pub(super) fn clear_leftovers(mut self, held: BlockedSignals, warns: bool) {
        if self.limit.is_none() || !self.reap(warns) {
            return;
        }
        if self.killing_since.is_none() {
            self.reporter.say(&Event::AskingLeftovers);
            send_to_leftovers(Signal::TERM);
            // A stopped process handles SIGTERM only when it is continued.
            send_to_leftovers(Signal::CONT);
            self.handle_stop_request();
        }
        while self.reap(warns) {
            match held.wait(self.patience()) {
                Some(Signal::CHLD) => {}
                Some(signal) => send_to_leftovers(signal),
                None => self.handle_timeout(None),
            }
            if self.killing_since.is_some_and(|since| since.elapsed() > GIVE_UP) {
                return self.reporter.say(&Event::GivingUpOnLeftovers);
            }
        }
    }

    /// Reaps exited children; returns whether any are left.
    fn reap(&self, warns: bool) -> bool {
        while let Ok(Some(reaped)) = reap_next() {
            self.reporter.say(&Event::Reaped { pid: reaped.pid, exit: reaped.exit, is_command: false, warns });
        }
        has_children()
    }
}

/// For PID 1, all other processes are left over. Otherwise the descendants are, which cannot leave a
/// subreaper.
fn send_to_leftovers(signal: Signal) {
    if Pid::this() == Pid(1) {
        return send_to_all(signal);
    }
    for pid in descendants() {
        // An error means that it has already exited.
        let _ = send(pid, signal);
    }
}
