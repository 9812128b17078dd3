//! Processes that outlive the main process of their run.
//!
//! The core has no PIDs: the shell reports the processes and the core passes them on, adding whether the run had been
//! asked to stop. The list is bounded: the first few by name, the rest as a count.

use std::fmt;

use serde::{Deserialize, Serialize};

use muster_spec::RunId;

/// Maximum number of processes listed by name.
pub const MOST_NAMED: usize = 5;

/// Processes that a run left behind, when they were signalled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// Names and PIDs of the first [`MOST_NAMED`].
    pub named: Vec<(String, u32)>,
    /// Total number.
    pub count: usize,
    /// Whether they got SIGKILL; otherwise they got the stop signal.
    pub killed: bool,
    /// Whether the run ended by itself, so that they are unexpected. Set by the core.
    pub by_itself: bool,
}

impl LeftBehind {
    /// In words: `killed 1 process that run 3 left behind: "sleep" (pid 77); does it daemonize?`.
    pub fn of_run(&self, run: RunId) -> impl fmt::Display + '_ {
        Words { left: self, run }
    }
}

struct Words<'a> {
    left: &'a LeftBehind,
    run: RunId,
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeftBehind { named, count, killed, by_itself } = self.left;
        f.write_str(if *killed { "killed " } else { "sent the stop signal to " })?;
        let noun = if *count == 1 { "process" } else { "processes" };
        write!(f, "{count} {noun} that run {} left behind", self.run)?;
        for (index, (name, pid)) in named.iter().enumerate() {
            write!(f, "{} {name:?} (pid {pid})", if index == 0 { ":" } else { "," })?;
        }
        match count.saturating_sub(named.len()) {
            0 => {}
            more => write!(f, " and {more} more")?,
        }
        f.write_str(if *by_itself { "; does it daemonize?" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_the_first_few_and_count_the_others() {
        let named = |count: u32| (0..count).map(|pid| ("sleep".to_owned(), 77 + pid)).collect();
        let one = LeftBehind { named: named(1), count: 1, killed: true, by_itself: true };
        let expected = "killed 1 process that run 3 left behind: \"sleep\" (pid 77); does it daemonize?";
        assert_eq!(one.of_run(RunId(3)).to_string(), expected);
        let many = LeftBehind { named: named(2), count: 9, killed: false, by_itself: false };
        let expected = "sent the stop signal to 9 processes that run 1 left behind: \"sleep\" (pid 77), \"sleep\" (pid 78) and 7 more";
        assert_eq!(many.of_run(RunId(1)).to_string(), expected);
    }
}
