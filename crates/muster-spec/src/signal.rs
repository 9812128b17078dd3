//! Signals by number and by name.
//!
//! Stored as plain numbers, because real-time signals are ordinary stop signals (`stopsignal = "RTMIN+3"`) and any
//! signal may kill a process. The numbers are Linux's generic ones (signal(7), the x86/ARM column); `RTMIN` is 34, as
//! users of both glibc and musl expect, since the C libraries reserve 32 and 33 (and musl 34) for themselves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A signal number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signal(u8);

const NAMES: [(&str, u8); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];
const ALIASES: [(&str, u8); 3] = [("CLD", 17), ("POLL", 29), ("IOT", 6)];
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

impl Signal {
    /// Hangup: musterd reloads.
    pub const HUP: Signal = Signal(1);
    /// Interrupt from the keyboard.
    pub const INT: Signal = Signal(2);
    /// Quit from the keyboard.
    pub const QUIT: Signal = Signal(3);
    /// Kill, which cannot be caught.
    pub const KILL: Signal = Signal(9);
    /// User-defined 1.
    pub const USR1: Signal = Signal(10);
    /// User-defined 2.
    pub const USR2: Signal = Signal(12);
    /// A write to a pipe without readers.
    pub const PIPE: Signal = Signal(13);
    /// Termination, the usual stop signal.
    pub const TERM: Signal = Signal(15);
    /// Child stopped or terminated.
    pub const CHLD: Signal = Signal(17);
    /// Continue if stopped.
    pub const CONT: Signal = Signal(18);
    /// Stop, which cannot be caught.
    pub const STOP: Signal = Signal(19);
    /// A file has grown to the limit of its size.
    pub const XFSZ: Signal = Signal(25);
    /// Stop, typed at the terminal (Ctrl-Z).
    pub const TSTP: Signal = Signal(20);
    /// A background process read from the terminal.
    pub const TTIN: Signal = Signal(21);
    /// A background process wrote to the terminal.
    pub const TTOU: Signal = Signal(22);

    /// The signal with this number, or `None` if there is none.
    pub const fn from_number(number: i32) -> Option<Signal> {
        if number >= 1 && number <= RTMAX as i32 { Some(Signal(number as u8)) } else { None }
    }

    /// The number, as kill(2) takes it.
    pub const fn number(self) -> i32 {
        self.0 as i32
    }
}

/// A set of signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalSet(u64);

impl SignalSet {
    /// The empty set.
    pub const NONE: SignalSet = SignalSet(0);

    /// The set of these signals.
    pub const fn of(signals: &[Signal]) -> SignalSet {
        let mut bits = 0;
        let mut next = 0;
        while next < signals.len() {
            bits |= 1 << (signals[next].0 - 1);
            next += 1;
        }
        SignalSet(bits)
    }

    /// The same set with this signal.
    #[must_use]
    pub const fn with(self, signal: Signal) -> SignalSet {
        SignalSet(self.0 | 1 << (signal.0 - 1))
    }

    /// The signals of the set, by number.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        (1..=RTMAX).map(Signal).filter(move |&signal| self.contains(signal))
    }

    /// Whether the set contains this signal.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & (1 << (signal.0 - 1)) != 0
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// Accepts `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN`, `RTMIN+3`, `RTMAX-1`.
    fn from_str(text: &str) -> Result<Signal, UnknownSignal> {
        let upper = text.trim().to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        let found = match bare.parse::<i32>() {
            Ok(number) => Signal::from_number(number),
            Err(_) => named(bare).or_else(|| real_time(bare)),
        };
        found.ok_or_else(|| UnknownSignal(text.to_owned()))
    }
}

fn named(bare: &str) -> Option<Signal> {
    NAMES.iter().chain(&ALIASES).find(|(name, _)| *name == bare).map(|&(_, number)| Signal(number))
}

fn real_time(bare: &str) -> Option<Signal> {
    let number = if bare == "RTMIN" {
        i32::from(RTMIN)
    } else if bare == "RTMAX" {
        i32::from(RTMAX)
    } else if let Some(offset) = bare.strip_prefix("RTMIN+") {
        i32::from(RTMIN) + i32::from(offset.parse::<u8>().ok()?)
    } else {
        i32::from(RTMAX) - i32::from(bare.strip_prefix("RTMAX-")?.parse::<u8>().ok()?)
    };
    Signal::from_number(number).filter(|signal| signal.0 >= RTMIN)
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None if self.0 == RTMIN => f.write_str("SIGRTMIN"),
            None if self.0 > RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The error for a text that names no signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSignal(pub String);

impl fmt::Display for UnknownSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no such signal: {:?}", self.0)
    }
}

impl std::error::Error for UnknownSignal {}

/// The processes of a run that receive a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalScope {
    /// The main process alone.
    Main,
    /// The process group of the main process.
    MainGroup,
    /// Every process group of the tree. A group is signalled atomically, so no fork escapes the signal.
    Group,
    /// Every process of the tree, one by one, the main process first. SIGKILL is repeated until no new one appears.
    Tree,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_spelling_is_read() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigquit", 3),
            ("15", 15),
            ("RTMIN", 34),
            ("RTMIN+3", 37),
            ("SIGRTMIN+30", 64),
            ("RTMAX", 64),
            ("RTMAX-2", 62),
            ("64", 64),
            ("CLD", 17),
        ] {
            assert_eq!(text.parse::<Signal>().map(Signal::number), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in ["", "0", "65", "-1", "TERMINATE", "RTMIN+31", "RTMAX-31", "RTMIN-1", "SIG"] {
            assert_eq!(text.parse::<Signal>(), Err(UnknownSignal(text.to_owned())));
        }
    }

    #[test]
    fn every_signal_is_shown_so_that_it_can_be_read_back() {
        for number in (1..=64).filter(|number| ![32, 33].contains(number)) {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(signal.to_string().parse::<Signal>(), Ok(signal));
        }
    }
}
