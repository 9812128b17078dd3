//! Rules for the help of both commands. Their unit tests include this file, since only they have the definitions.

use clap::Command;

/// Paragraphs are wrapped at the terminal's width only, never by hand.
pub(crate) fn check(root: &Command) {
    for command in std::iter::once(root).chain(root.get_subcommands()) {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines: Vec<&str> = after.lines().collect();
        let is_text = |line: &str| !line.is_empty() && !line.starts_with([' ', '#']);
        for pair in lines.windows(2) {
            let is_broken = is_text(pair[0]) && is_text(pair[1]) && !pair[0].ends_with(':');
            assert!(!is_broken, "{}: {pair:?}", command.get_name());
        }
    }
}
