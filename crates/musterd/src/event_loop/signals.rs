//! Signals to the daemon, and what each of them does.

use muster_core::{Input, Instance, Principal, ShutdownReason};
use muster_spec::{InstanceId, RunId, Signal};
use muster_sys::signal::{Pid, Received};
use tracing::{Level, debug, info};

use super::EventLoop;
use crate::{log_events, main_log_events, reload};
use muster_logging::limit::{Notice, unless_none};

/// The number of signals handled in a row: real-time signals queue, and a sender that never stops must not starve the other
/// sources.
const SIGNALS_A_TURN: usize = 64;

impl EventLoop {
    /// Handles all pending signals. Children are reaped once, after all of them.
    pub(super) fn handle_signals(&mut self, first: Received) {
        let mut has_children = std::mem::take(&mut self.is_reaping);
        let mut next = Some(first);
        for _ in 0..SIGNALS_A_TURN {
            let Some(received) = next.take() else { break };
            has_children |= received.signal == Signal::CHLD;
            self.handle_signal(received);
            next = self.sources.signals.get_ref().next_of_those().ok().flatten();
        }
        if let Some(last) = next {
            // It has been read, so it must be handled.
            has_children |= last.signal == Signal::CHLD;
            self.handle_signal(last);
            self.has_many_signals = true;
        }
        if has_children {
            self.reap();
            main_log_events::reaped(&self.shared);
        }
    }

    fn handle_signal(&mut self, received: Received) {
        const RTMIN_PLUS_3: i32 = 37;
        const PWR: i32 = 30;
        const XFSZ: i32 = 25;
        /// PIPE, CONT, TSTP, TTIN, TTOU and URG never ask for a shutdown.
        const NEVER_A_STOP: [i32; 6] = [13, 18, 20, 21, 22, 23];
        let (signal, sender) = (received.signal, received.sender_pid.map(|pid| pid.0));
        // Caused by a write of our own; logging it would be the next write.
        let is_our_own = !received.is_from_outside && sender.is_none_or(|pid| pid == Pid::this().0);
        main_log_events::received(&self.shared, signal);
        match signal {
            Signal::CHLD => {}
            _ if is_our_own && [XFSZ, Signal::PIPE.number()].contains(&signal.number()) => {}
            Signal::TERM | Signal::INT | Signal::QUIT => self.ask_shutdown(received),
            // The signals by which systemd-nspawn and LXC ask an init to stop.
            _ if [RTMIN_PLUS_3, PWR].contains(&signal.number()) => self.ask_shutdown(received),
            Signal::HUP => {
                if let Some(suppressed) = self.pass(received, Notice::Signal) {
                    info!(sender, suppressed, "asked to reload");
                }
                reload::on_signal(&self.shared);
            }
            Signal::USR1 => {
                if self.pass(received, Notice::Dump).is_some() {
                    log_events::dump(&self.shared);
                }
            }
            Signal::USR2 => {
                self.shared.children.borrow().logs().reopen();
                // If the daemon's log goes to a file, this line goes to the new one.
                if let Some(suppressed) = self.pass(received, Notice::Reopened) {
                    info!(sender, suppressed, "reopened log files");
                }
            }
            // The image's STOPSIGNAL, sent by an engine from outside: WINCH of httpd, for one.
            _ if received.is_from_outside && !NEVER_A_STOP.contains(&signal.number()) => self.ask_shutdown(received),
            _ => {
                if tracing::enabled!(Level::DEBUG)
                    && let Some(suppressed) = self.pass(received, Notice::Ignored)
                {
                    debug!(%signal, sender, suppressed, "ignored a signal");
                }
            }
        }
    }

    /// Whether to log what this signal does, with the number suppressed before it, `None` for none.
    fn pass(&self, received: Received, notice: Notice) -> Option<Option<u64>> {
        self.shared.children.borrow_mut().pass_signal(received.sender_pid, notice).map(unless_none)
    }

    fn ask_shutdown(&mut self, received: Received) {
        let (signal, sender) = (received.signal, received.sender_pid.map(|pid| pid.0));
        if let Some(suppressed) = self.pass(received, Notice::Stop) {
            let uid = received.sender_uid;
            if self.shared.supervisor.borrow().ignores_signal(signal) {
                info!(%signal, sender, uid, suppressed, "asked to stop again, ignored");
            } else {
                info!(%signal, sender, uid, suppressed, "asked to stop");
            }
        }
        let reason = self.reason_of(received);
        self.inputs.ordered.push_back(Input::ShutdownAsked { reason, timeout: None });
    }

    /// Whether supervisord's shutdown was requested by one of the programs. It decides about the exit code, so a pid that
    /// another process has by now does no harm.
    pub(super) fn reason_of_request(&self, by: Principal, pid: Option<i32>) -> ShutdownReason {
        match pid.and_then(|pid| self.shared.children.borrow_mut().run_of_sender(Pid(pid))) {
            Some(run) => ShutdownReason::Program { signal: None, sender: self.instance_of(run) },
            None => ShutdownReason::Command(by),
        }
    }

    fn instance_of(&self, run: RunId) -> Option<InstanceId> {
        self.shared.supervisor.borrow().instance_of(run).map(Instance::id)
    }

    /// Whether the signal came from outside or from one of the programs. The kernel vouches for the sender's pid only in
    /// kill(2) and its variants: with sigqueue(3) a sender may claim any.
    fn reason_of(&self, received: Received) -> ShutdownReason {
        let signal = received.signal;
        let sender = received.sender_pid.filter(|_| received.is_sender_certain);
        match sender.and_then(|pid| self.shared.children.borrow_mut().run_of_sender(pid)) {
            Some(run) => ShutdownReason::Program { signal: Some(signal), sender: self.instance_of(run) },
            None => ShutdownReason::Signal(signal),
        }
    }
}
