//! Differences between the three inits that no option controls.
//!
//! Everything that can be chosen on the command line is in the [`super::plan::Plan`]. The rest is here: behaviour of tini and
//! dumb-init that users may rely on, and musterd's own, each time the better of the two. One table, so that
//! [`super::init`] reads as one init.

use muster_spec::Signal;
use muster_sys::foreground::Dispositions;

use super::plan::Home;

/// The init whose behaviour is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Character {
    Own,
    Tini,
    DumbInit,
}

const FAULTS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];

impl Character {
    /// Signals that are not blocked: one of them ends the init, not the command.
    ///
    /// tini leaves out signals that a faulty instruction of its own would raise. The other two forward such a
    /// signal to the command.
    pub(super) fn lets_through(self) -> Vec<Signal> {
        match self {
            Character::Tini => FAULTS.into_iter().filter_map(Signal::from_number).collect(),
            Character::Own | Character::DumbInit => Vec::new(),
        }
    }

    /// Whether this signal is not forwarded. tini ignores signals that a terminal sends to background processes.
    pub(super) fn keeps(self, signal: Signal) -> bool {
        match self {
            Character::Tini => [Signal::TTIN, Signal::TTOU].contains(&signal),
            Character::Own | Character::DumbInit => false,
        }
    }

    /// Whether to check for exited children now. tini does so after every signal, and reports it.
    pub(super) fn reaps_after(self, signal: Signal) -> bool {
        self == Character::Tini || signal == Signal::CHLD
    }

    /// Whether SIGTSTP and similar, once forwarded, stop the init too, so that the waiting shell takes over.
    pub(super) fn stops_with_the_command(self, signal: Signal) -> bool {
        match self {
            Character::Tini => false,
            Character::Own | Character::DumbInit => [Signal::TSTP, Signal::TTIN, Signal::TTOU].contains(&signal),
        }
    }

    /// Whether it stops even if no shell waits that could continue it.
    pub(super) fn stops_whoever_waits(self) -> bool {
        self == Character::DumbInit
    }

    /// Whether the init manages the terminal: takes the foreground only if it had it, stops when
    /// Ctrl-Z stopped the command, and takes the foreground back at the end.
    pub(super) fn minds_the_terminal(self) -> bool {
        self == Character::Own
    }

    /// The command's signal state: dumb-init resets everything, the others change nothing.
    pub(super) fn dispositions(self) -> Dispositions {
        match self {
            Character::DumbInit => Dispositions::Default,
            Character::Own | Character::Tini => Dispositions::Inherited,
        }
    }

    /// Whether sockets meant for us (`LISTEN_PID`) are passed on to the command.
    pub(super) fn passes_sockets(self) -> bool {
        self == Character::Own
    }

    /// Whether the init changes to `/`, so that its starting directory can be unmounted.
    pub(super) fn enters_root_directory(self) -> bool {
        self != Character::Tini
    }

    /// Whether processes of its session that outlive the command get SIGTERM: dumb-init does that, and reports it even if
    /// there are none.
    pub(super) fn sends_away_the_rest(self, home: Home) -> bool {
        self == Character::DumbInit || home == Home::Session
    }

    /// Whether to report that orphans are not adopted. Below a PID 1 they are reaped there, so only tini
    /// reports it.
    pub(super) fn tells_if_no_reaper(self) -> bool {
        self == Character::Tini
    }
}
