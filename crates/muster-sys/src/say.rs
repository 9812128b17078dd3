//! Lines on the standard streams, from before there is a log. A closed stream is not an error.

use std::io::{self, Write};

/// Writes a line to stdout.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes a line to stderr.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
