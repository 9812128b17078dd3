//! How the three inits differ where no option says so.
//!
//! What can be chosen on the command line is in the [`super::plan::Plan`]. This is the rest: habits of tini and
//! dumb-init that somebody may rely on, and musterd's own, the better of the two each time. One table, so that
//! [`super::init`] reads as one init.

use muster_spec::Signal;
use muster_sys::foreground::Dispositions;

use super::plan::Home;

/// Whose habits an init has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Character {
    Own,
    Tini,
    DumbInit,
}

const FAULTS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];

impl Character {
    /// Signals that are not held back: one of them ends the init, not the command.
    ///
    /// tini leaves out what a faulty instruction of its own would raise. Whoever sends such a signal to the other two
    /// means the command.
    pub(super) fn lets_through(self) -> Vec<Signal> {
        match self {
            Character::Tini => FAULTS.into_iter().filter_map(Signal::from_number).collect(),
            Character::Own | Character::DumbInit => Vec::new(),
        }
    }

    /// Whether this signal stays with the init. tini ignores what a terminal sends to those who are in its background.
    pub(super) fn keeps(self, signal: Signal) -> bool {
        match self {
            Character::Tini => [Signal::TTIN, Signal::TTOU].contains(&signal),
            Character::Own | Character::DumbInit => false,
        }
    }

    /// Whether to look for ended children now. tini does so whatever signal came, and says so.
    pub(super) fn reaps_after(self, signal: Signal) -> bool {
        self == Character::Tini || signal == Signal::CHLD
    }

    /// Whether SIGTSTP and its kin, once passed on, stop the init too, so that the shell that waits for it takes over.
    pub(super) fn stops_with_the_command(self, signal: Signal) -> bool {
        match self {
            Character::Tini => false,
            Character::Own | Character::DumbInit => [Signal::TSTP, Signal::TTIN, Signal::TTOU].contains(&signal),
        }
    }

    /// Whether it then stops even where no shell waits that could continue it.
    pub(super) fn stops_whoever_waits(self) -> bool {
        self == Character::DumbInit
    }

    /// Whether the init has an eye on the terminal: takes the foreground only where it was ours to give, stops when
    /// Ctrl-Z stopped the command, and takes the foreground back at the end.
    pub(super) fn minds_the_terminal(self) -> bool {
        self == Character::Own
    }

    /// The signals the command finds: dumb-init unblocks and un-ignores everything, the others change nothing.
    pub(super) fn dispositions(self) -> Dispositions {
        match self {
            Character::DumbInit => Dispositions::Default,
            Character::Own | Character::Tini => Dispositions::Inherited,
        }
    }

    /// Whether sockets that were meant for us (`LISTEN_PID`) are passed on to the command.
    pub(super) fn passes_sockets(self) -> bool {
        self == Character::Own
    }

    /// Whether the init moves to `/`, so that the directory it was started in can be unmounted.
    pub(super) fn enters_root_directory(self) -> bool {
        self != Character::Tini
    }

    /// Whether SIGTERM goes to whoever outlives the command in its session: dumb-init's way, and it says so even where
    /// there is nobody.
    pub(super) fn sends_away_the_rest(self, home: Home) -> bool {
        self == Character::DumbInit || home == Home::Session
    }

    /// Whether it matters to say that orphans go elsewhere. As PID 1's descendants they are reaped there, so only tini
    /// makes words of it.
    pub(super) fn tells_if_no_reaper(self) -> bool {
        self == Character::Tini
    }
}
