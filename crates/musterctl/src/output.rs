//! Text for the terminal: colours, columns, and no other control sequences.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use muster_api::State;
use muster_api::visible::{self, colour_length, is_unseen};

/// The style of headings.
pub(crate) const HEADING: Style = Style::new().bold();
/// The style of `error:`, and of states and lines that indicate one.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// The style of `hint:`.
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default();

/// The style of a state in a table.
pub(crate) fn state_style(state: State) -> Style {
    match state {
        State::Running => AnsiColor::Green.on_default(),
        State::Starting | State::Stopping | State::Waiting | State::Backoff => AnsiColor::Yellow.on_default(),
        State::Fatal => BAD,
        State::Stopped | State::Exited => Style::new().dimmed(),
    }
}

/// Appends `text` in this style if colours are enabled, otherwise as it is.
pub(crate) fn paint(line: &mut String, coloured: bool, style: Style, text: &str) {
    if coloured {
        write!(line, "{style}{text}{style:#}").expect("writing to a String cannot fail");
    } else {
        line.push_str(text);
    }
}

/// `text` without control characters or characters that cannot be shown: names, commands and reasons come from configuration files
/// and processes, and must not move the cursor, change the window title or reverse the line.
pub(crate) fn printable(text: &str) -> String {
    // Most text is this, and there are thousands of lines of it.
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain { text.to_owned() } else { text.chars().map(seen).collect() }
}

/// The character, or U+FFFD if it is invisible.
pub(crate) fn seen(character: char) -> char {
    if is_unseen(character) { '\u{fffd}' } else { character }
}

/// The output of a command made safe for a terminal: lines, tabs and the colours that the command chose.
pub(crate) fn terminal_text(text: String, is_json: bool) -> String {
    if is_json {
        return visible::json(&text);
    }
    if !text.contains(|character| is_unseen(character) && character != '\n') {
        return text;
    }
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some(next) = rest.chars().next() {
        let length = match colour_length(rest.as_bytes()) {
            Some(length) => {
                shown.push_str(&rest[..length]);
                length
            }
            None => {
                shown.push(if matches!(next, '\n' | '\t') { next } else { seen(next) });
                next.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    shown
}

/// One cell of a table.
pub(crate) struct Cell {
    /// The text.
    pub(crate) text: String,
    /// Its style.
    pub(crate) style: Style,
}

impl Cell {
    /// A cell in plain text.
    pub(crate) fn plain(text: impl AsRef<str>) -> Cell {
        Cell { text: printable(text.as_ref()), style: Style::new() }
    }

    /// A cell in this style.
    pub(crate) fn styled(text: &str, style: Style) -> Cell {
        Cell { text: printable(text), style }
    }
}

/// Formats rows as aligned columns, two spaces apart, the last one unpadded.
pub(crate) fn table<const COLUMNS: usize>(
    headings: [&str; COLUMNS],
    rows: &[[Cell; COLUMNS]],
    coloured: bool,
) -> String {
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }
    let headings = headings.map(|heading| Cell::styled(heading, HEADING));
    let lines = std::iter::once(&headings).chain(rows).map(|row| line(row, &widths, coloured));
    lines.collect()
}

fn line(row: &[Cell], widths: &[usize], coloured: bool) -> String {
    let mut line = String::new();
    let mut missing = 0;
    for (cell, width) in row.iter().zip(widths).filter(|(_, width)| **width > 0) {
        // Padding is written before the next cell and not after this one, so that no line ends in blanks.
        if !cell.text.is_empty() {
            line.extend(std::iter::repeat_n(' ', missing));
            paint(&mut line, coloured, cell.style, &cell.text);
            missing = 0;
        }
        missing += width - cell.text.chars().count() + 2;
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_no_line_ends_in_blanks() {
        let rows = [
            [Cell::plain("web"), Cell::plain("12"), Cell::plain("")],
            [Cell::plain("gr\u{fc}nkohl"), Cell::plain(""), Cell::plain("late")],
        ];
        let expected = "NAME      PID  NOTE\nweb       12\ngr\u{fc}nkohl       late\n";
        assert_eq!(table(["NAME", "PID", "NOTE"], &rows, false), expected);
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let rows = [[Cell::styled("RUNNING", state_style(State::Running)), Cell::plain("x")]];
        let table = table(["STATE", "N"], &rows, true);
        assert!(table.contains("\u{1b}[32mRUNNING\u{1b}[0m  x"), "{table:?}");
    }

    #[test]
    fn control_characters_are_not_obeyed() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{9b}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        assert_eq!(printable("\u{202e}a\u{2066}\u{2028}\u{200b}"), "\u{fffd}a\u{fffd}\u{fffd}\u{fffd}");
    }
}
