//! The terminal of a process.

/// A pseudo-terminal that is the standard input, output and error output of a process, and controls its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalSpec {
    /// Its height at the start, in characters.
    pub rows: u16,
    /// Its width at the start, in characters.
    pub columns: u16,
    /// Its type, for TERM.
    pub term: String,
}

impl TerminalSpec {
    /// The largest height or width: more than any screen, and lines of logs are rarely longer.
    pub const MOST: u16 = 9999;
}

impl Default for TerminalSpec {
    fn default() -> TerminalSpec {
        TerminalSpec { rows: 24, columns: 80, term: "xterm".to_owned() }
    }
}
