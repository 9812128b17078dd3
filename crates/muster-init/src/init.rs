//! The init itself: starts the command, then handles signals one by one until the command has exited.
//!
//! One thread, one loop, no timer unless `--grace` set one. Signals are always blocked, so nothing can interrupt the
//! handling of one. The command's identity is certain as well: its pid is not reused until we reap it, and
//! after that it is no longer signalled.

use std::io;

use muster_spec::{Exit, Signal};
use muster_sys::boot::become_subreaper;
use muster_sys::foreground::{
    BlockedSignals, Launch, Placement, Terminal, close_stray_descriptors, has_children, is_subreaper, launch,
    leads_session, leave_terminal, parent, set_parent_death_signal, stop_if_a_shell_waits, stop_this, stopped_by,
};
use muster_sys::reap::reap_next;
use muster_sys::signal::{Pid, send, send_group};

use super::grace::Grace;
use super::plan::{Home, InitPlan, SignalRecipients};
use super::reporter::{Event, Failure};
use super::rewrites::Rewrite;

/// Runs the command and returns the exit code.
pub(super) fn run(plan: &InitPlan, held: BlockedSignals) -> u8 {
    let held = held.but(&plan.character.lets_through());
    match Init::start(plan, held) {
        Ok(init) => init.attend(),
        Err(failure) => plan.reporter.fail(failure),
    }
}

struct Init<'a> {
    plan: &'a InitPlan,
    held: BlockedSignals,
    command: Pid,
    /// SIGHUP and SIGCONT caused by detaching from the terminal: the next of each is not for the command.
    hand_off: Vec<Signal>,
    /// The controlling terminal, if the init manages it.
    terminal: Option<Terminal>,
    grace: Grace<'a>,
}

impl<'a> Init<'a> {
    fn start(plan: &'a InitPlan, held: BlockedSignals) -> Result<Init<'a>, Failure> {
        bind_to_parent(plan.parent_death)?;
        become_reaper(plan)?;
        let hand_off = if plan.home == Home::Session { leave_own_terminal(plan, held) } else { Vec::new() };
        let minded = plan.home == Home::Group && plan.character.minds_the_terminal();
        let terminal = if minded { Terminal::controlling() } else { None };
        // Children left by the starter that exited before we blocked SIGCHLD are no longer announced.
        while let Ok(Some(_)) = reap_next() {}

        let command = launch_command(plan, terminal.as_ref()).map_err(|error| Failure::Fork(errno(&error)))?;
        plan.reporter.say(&Event::Started { command: &plan.command[0], pid: command });
        close_stray_descriptors(terminal.as_ref().map(Terminal::descriptor));
        if plan.character.enters_root_directory()
            && let Err(error) = std::env::set_current_dir("/")
        {
            plan.reporter.say(&Event::StaysInDirectory(errno(&error)));
        }
        let grace = Grace::new(plan.grace, &plan.reporter);
        Ok(Init { plan, held, command, hand_off, terminal, grace })
    }

    fn attend(mut self) -> u8 {
        loop {
            let Some(signal) = self.held.wait(self.grace.patience()) else {
                self.grace.handle_timeout(Some(self.command));
                continue;
            };
            self.handle_signal(signal);
            if self.plan.character.reaps_after(signal)
                && let Some(exit) = self.reap()
            {
                return self.leave(exit);
            }
            self.follow_stop();
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        self.say(&Event::Received(signal));
        if let Some(at) = self.hand_off.iter().position(|&expected| expected == signal) {
            self.hand_off.remove(at);
            return self.say(&Event::IgnoredHandOff(signal));
        }
        if signal == Signal::CHLD || self.plan.character.keeps(signal) {
            return;
        }
        if signal == Signal::TERM {
            self.grace.handle_stop_request();
        }
        if signal == Signal::CONT {
            self.hand_over_terminal();
        }
        self.pass_on(signal);
        if self.plan.character.stops_with_the_command(signal) {
            self.stop();
        }
    }

    fn stop(&self) {
        self.say(&Event::Suspending);
        if self.plan.character.stops_whoever_waits() {
            stop_this();
        } else {
            let _ = stop_if_a_shell_waits(false);
        }
    }

    fn pass_on(&self, signal: Signal) {
        let Some(signal) = self.rewritten(signal) else { return };
        self.say(&Event::Passing(signal));
        if let Err(error) = self.send(signal) {
            self.say(&Event::NotPassed { signal, errno: errno(&error) });
        }
        self.say(&Event::Passed(signal));
    }

    /// The signal to forward for this one, if any.
    fn rewritten(&self, from: Signal) -> Option<Signal> {
        let to = match self.plan.rewrites.of(from) {
            Rewrite::None => return Some(from),
            Rewrite::To(to) => Some(to),
            Rewrite::Drop => None,
        };
        self.say(&Event::Rewritten { from, to });
        to
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        // Ctrl-Z stopped the whole foreground group, so the whole group is continued.
        let whole_group =
            self.plan.scope == SignalRecipients::Group || (signal == Signal::CONT && self.terminal.is_some());
        if !whole_group {
            return send(self.command, signal);
        }
        match send_group(self.command, signal) {
            // The command leads no group: not yet, since it was just created, or no longer, by its own action.
            Err(error) if error.raw_os_error() == Some(ESRCH) => send(self.command, signal),
            outcome => outcome,
        }
    }

    /// Reaps exited children. Returns the command's exit, if it was among them.
    fn reap(&self) -> Option<Exit> {
        let mut end = None;
        while let Ok(Some(reaped)) = reap_next() {
            let (pid, exit, is_command) = (reaped.pid, reaped.exit, reaped.pid == self.command);
            self.say(&Event::Reaped { pid, exit, is_command, warns: self.plan.warns_on_reap });
            end = if is_command { Some(exit) } else { end };
        }
        self.say(&Event::NothingToReap { has_children: has_children() });
        end
    }

    /// Ctrl-Z reaches the foreground group, which is the command's, while the shell waits for us. So we stop as well, and
    /// the shell takes over.
    fn follow_stop(&self) {
        let Some(terminal) = &self.terminal else { return };
        // A SIGCONT is already pending: then this stop is about to end.
        if self.held.has(Signal::CONT) {
            return;
        }
        let Some(signal) = stopped_by(self.command).filter(|&signal| is_from_terminal(signal)) else { return };
        if terminal.is_with(self.command) {
            let _ = terminal.take_back();
        }
        self.say(&Event::Suspending);
        let _ = stop_if_a_shell_waits(true);
        let was_continued = self.held.has(Signal::CONT);
        if !was_continued && signal == Signal::TSTP {
            // No shell waits for us, so nothing could continue the command. As in a terminal's first session,
            // Ctrl-Z does nothing.
            self.hand_over_terminal();
            let _ = self.send(Signal::CONT);
        }
    }

    /// Moves the command to the foreground if we are there: until it began or until the shell's `fg`, we were.
    fn hand_over_terminal(&self) {
        if let Some(terminal) = self.terminal.as_ref().filter(|terminal| terminal.is_ours()) {
            let _ = terminal.give_to(self.command);
        }
    }

    /// Sends SIGTERM to the rest of the command's session. An empty session is fine.
    fn send_away_the_rest(&self) {
        let Some(signal) = self.rewritten(Signal::TERM) else { return };
        // With the scope of one process the pid may have been reused by now.
        if self.plan.scope == SignalRecipients::Group {
            let _ = send_group(self.command, signal);
        }
        self.say(&Event::Passed(signal));
    }

    fn leave(self, exit: Exit) -> u8 {
        if self.plan.character.sends_away_the_rest(self.plan.home) {
            self.send_away_the_rest();
        }
        if let Some(terminal) = self.terminal.as_ref().filter(|terminal| terminal.is_with(self.command)) {
            let _ = terminal.take_back();
        }
        self.grace.clear_leftovers(self.held, self.plan.warns_on_reap);
        let code = self.plan.successes.remap(exit.shell_code());
        self.plan.reporter.say(&Event::Leaving(code));
        code
    }

    fn say(&self, event: &Event<'_>) {
        self.plan.reporter.say(event);
    }
}

const ESRCH: i32 = 3;

fn is_from_terminal(signal: Signal) -> bool {
    [Signal::TSTP, Signal::TTIN, Signal::TTOU].contains(&signal)
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

fn bind_to_parent(signal: Option<Signal>) -> Result<(), Failure> {
    let Some(signal) = signal else { return Ok(()) };
    let before = parent();
    set_parent_death_signal(signal).map_err(|error| Failure::ParentDeath(errno(&error)))?;
    if parent() != before {
        // It exited before the kernel knew of our request. Blocked as they are, the signal reaches the command like any other.
        let _ = send(Pid::this(), signal);
    }
    Ok(())
}

fn become_reaper(plan: &InitPlan) -> Result<(), Failure> {
    if plan.is_subreaper {
        become_subreaper().map_err(|error| Failure::Subreaper(errno(&error)))?;
        plan.reporter.say(&Event::BecameSubreaper);
    }
    let tells = plan.character.tells_if_no_reaper();
    if tells && Pid::this() != Pid(1) && !is_subreaper().unwrap_or(false) {
        plan.reporter.say(&Event::IsNoReaper);
    }
    Ok(())
}

/// Detaches from the terminal, so that the command's session can have it. Returns the signals that this has sent to us:
/// only if we lead the session, and our group is in the foreground.
fn leave_own_terminal(plan: &InitPlan, held: BlockedSignals) -> Vec<Signal> {
    match leave_terminal() {
        Ok(()) => {
            let leads_session = leads_session();
            plan.reporter.say(&Event::LeftTerminal { leads_session });
            let sent = [Signal::HUP, Signal::CONT].into_iter().filter(|&signal| held.has(signal));
            if leads_session { sent.collect() } else { Vec::new() }
        }
        Err(error) => {
            plan.reporter.say(&Event::StaysOnTerminal(errno(&error)));
            Vec::new()
        }
    }
}

fn launch_command(plan: &InitPlan, terminal: Option<&Terminal>) -> io::Result<Pid> {
    const STDIN: i32 = 0;
    let place = match plan.home {
        Home::Here => Placement::Here,
        Home::Session => Placement::Session,
        Home::Group if plan.character.minds_the_terminal() => {
            let terminal = terminal.filter(|terminal| terminal.is_ours()).map(Terminal::descriptor);
            Placement::Group { terminal }
        }
        Home::Group => Placement::Group { terminal: Some(STDIN) },
    };
    let order = Launch {
        command: &plan.command,
        place,
        dispositions: plan.character.dispositions(),
        passes_sockets: plan.character.passes_sockets(),
    };
    launch(&order, &|step, errno| plan.reporter.judge(&plan.command[0], step, errno))
}
