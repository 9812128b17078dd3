//! `tty`: a terminal for a program.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop where it stands, and ask its environment"
)]

#[allow(dead_code, reason = "each test binary uses another part of it")]
mod common;

use common::only;
use muster_spec::TerminalSpec;

#[test]
fn a_terminal_has_a_size_a_type_and_both_streams_in_one() {
    let web = |lines: &str| only(lines).instances[0].clone();
    let sized = web("tty = { rows = 50, cols = 132 }\nlogs.stderr = \"stdout\"");
    let expected = TerminalSpec { rows: 50, columns: 132, term: "xterm".to_owned() };
    assert_eq!((&sized.process.terminal, sized.output.stderr.is_none()), (&Some(expected), true));
    assert_eq!(sized.process.environment, [("TERM".to_owned(), "xterm".to_owned())]);
    // The program's own variable is over it.
    let other = web("tty = true\nenvironment = { TERM = \"dumb\" }");
    assert_eq!((&other.process.terminal, other.output.stderr.is_none()), (&Some(TerminalSpec::default()), true));
    assert_eq!(other.process.environment, [("TERM".to_owned(), "dumb".to_owned())]);
    let none = web("tty = false");
    assert_eq!((&none.process.terminal, none.output.stderr.is_some()), (&None, true));
    assert!(none.process.environment.is_empty());
}
