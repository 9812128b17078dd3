//! `--grace`: nothing of the command outlives it for long.
//!
//! One deadline. It is set by the first SIGTERM, or else by the end of the command; when it passes, all that is left is
//! killed. What outlives the command gets SIGTERM first, if it did not have its chance already. Without the option this
//! module does nothing, and whatever is left meets the end of the container, or goes to the next reaper outside of one.

use std::time::{Duration, Instant};

use muster_spec::Signal;
use muster_sys::foreground::{BlockedSignals, descendants, has_children, send_to_all};
use muster_sys::reap::reap_next;
use muster_sys::signal::{Pid, send};

use super::reporter::{Event, Voice};

/// A process may have forked while we looked for it, so killing is repeated this often.
const KILL_AGAIN: Duration = Duration::from_millis(100);

/// Who is not dead so long after SIGKILL hangs in the kernel, perhaps for hours.
const GIVE_UP: Duration = Duration::from_secs(5);

/// The deadline for all that is left.
pub(super) struct Grace<'a> {
    limit: Option<Duration>,
    deadline: Option<Instant>,
    killing_since: Option<Instant>,
    voice: &'a Voice,
}

impl<'a> Grace<'a> {
    pub(super) fn new(limit: Option<Duration>, voice: &'a Voice) -> Grace<'a> {
        Grace { limit, deadline: None, killing_since: None, voice }
    }

    /// How long to wait for the next signal; for ever without a deadline.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Somebody wants an end: the time runs from here, unless it runs already.
    pub(super) fn handle_stop_request(&mut self) {
        if self.deadline.is_none() {
            // A limit beyond what a clock can show is none.
            self.deadline = self.limit.and_then(|limit| Instant::now().checked_add(limit));
        }
    }

    /// Kills what is left if the deadline is over, and sets the next one.
    pub(super) fn handle_timeout(&mut self, command: Option<Pid>) {
        let now = Instant::now();
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.killing_since.is_none() {
            self.killing_since = Some(now);
            self.voice.say(&Event::KillingLeftovers);
        }
        self.deadline = Some(now + KILL_AGAIN);
        if let Some(command) = command {
            // It is ours and not reaped: the number is its own. Without /proc this is all we can reach.
            let _ = send(command, Signal::KILL);
        }
        send_to_leftovers(Signal::KILL);
    }

    /// The command has ended and is reaped: waits for everyone else, and sees to it that they end.
    pub(super) fn clear_leftovers(mut self, held: BlockedSignals, warns: bool) {
        if self.limit.is_none() || !self.reap(warns) {
            return;
        }
        if self.killing_since.is_none() {
            self.voice.say(&Event::AskingLeftovers);
            send_to_leftovers(Signal::TERM);
            // A stopped process takes its SIGTERM only when it goes on.
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
                return self.voice.say(&Event::GivingUpOnLeftovers);
            }
        }
    }

    /// Reaps whoever has ended; whether anybody is left.
    fn reap(&self, warns: bool) -> bool {
        while let Ok(Some(reaped)) = reap_next() {
            self.voice.say(&Event::Reaped { pid: reaped.pid, exit: reaped.exit, is_command: false, warns });
        }
        has_children()
    }
}

/// As PID 1 everyone else is left over. Elsewhere those below us are, and with a subreaper there is no way out from
/// below.
fn send_to_leftovers(signal: Signal) {
    if Pid::this() == Pid(1) {
        return send_to_all(signal);
    }
    for pid in descendants() {
        // Gone already is what we want.
        let _ = send(pid, signal);
    }
}
