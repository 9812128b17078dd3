//! Formats log entries as text.
//!
//! When not writing to a terminal, a line is exactly the bytes that the program wrote. A terminal gets no partial characters and no
//! escape sequences except colours, which end at the end of the line. Several programs get their names in front; lines are never
//! mixed. The beginning of a line is printed as it arrives, and its rest after it; if other output came in between, the rest
//! appears on its own line.

use anstyle::{AnsiColor, Color, Style};
use muster_api::visible::colour_length;
use muster_api::{EntryKind, LogEntry};

use crate::output::{BAD, HINT, paint, printable, seen};

/// Maximum width for the padding of names.
const WIDEST: usize = 24;

/// The colours of names, assigned in turn.
const COLOURS: [AnsiColor; 6] =
    [AnsiColor::Cyan, AnsiColor::Yellow, AnsiColor::Green, AnsiColor::Magenta, AnsiColor::Blue, AnsiColor::BrightCyan];

/// Formats entries as text.
pub(crate) struct Printer {
    /// The names to print in front, if there are several.
    names: Vec<String>,
    width: usize,
    has_times: bool,
    is_terminal: bool,
    coloured: bool,
    /// Streams whose last line is incomplete.
    begun: Vec<Stream>,
    /// The stream of the last piece, if its line is still open.
    open: Option<Stream>,
}

/// A program and one of its streams.
type Stream = (String, Option<String>);

impl Printer {
    /// A printer for these programs. Prints names if there is more than one.
    pub(crate) fn new(programs: &[String], has_times: bool, is_terminal: bool, coloured: bool) -> Printer {
        let names = if programs.len() > 1 { programs.to_vec() } else { Vec::new() };
        let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let width = if is_terminal { longest.min(WIDEST) } else { 0 };
        Printer { names, width, has_times, is_terminal, coloured, begun: Vec::new(), open: None }
    }

    /// Formats an entry.
    pub(crate) fn print(&mut self, entry: &LogEntry) -> Vec<u8> {
        match entry.kind {
            EntryKind::Live => Vec::new(),
            EntryKind::Missed => self.print_missed(entry),
            EntryKind::Line => self.print_line(entry),
        }
    }

    /// Ends the output. An incomplete line gets a newline, unless bytes are to stay as they are.
    pub(crate) fn end(&mut self) -> &'static [u8] {
        if self.open.take().is_some() && (self.is_terminal || self.has_front()) { b"\n" } else { b"" }
    }

    fn has_front(&self) -> bool {
        self.has_times || !self.names.is_empty()
    }

    fn print_missed(&mut self, entry: &LogEntry) -> Vec<u8> {
        let mut text = String::new();
        if self.open.take().is_some() {
            text.push('\n');
        }
        self.put_front(&mut text, entry, '|');
        let missed = entry.missed.unwrap_or(0);
        paint(&mut text, self.coloured, HINT, &format!("({missed} bytes missed here: they were not read in time)"));
        text.push('\n');
        self.begun.retain(|(program, _)| *program != entry.program);
        text.into_bytes()
    }

    fn print_line(&mut self, entry: &LogEntry) -> Vec<u8> {
        let stream = (entry.program.clone(), entry.stream.clone());
        let is_continued = self.begun.contains(&stream);
        let follows = self.open.as_ref() == Some(&stream);
        self.begun.retain(|begun| *begun != stream);
        let line = entry.text();
        if is_continued && !follows && entry.ended && line.is_empty() {
            // Its beginning got a newline before the output that came in between.
            return Vec::new();
        }
        let mut front = String::new();
        if !follows {
            front.extend(self.open.take().map(|_| '\n'));
            self.put_front(&mut front, entry, if is_continued { '+' } else { '|' });
        }
        let mut text = front.into_bytes();
        if self.is_terminal {
            text.extend_from_slice(harmless(&line, self.coloured).as_bytes());
        } else {
            text.extend_from_slice(&line);
        }
        // A progress line that a terminal would overwrite: here each state gets its own line.
        let is_redrawn = self.is_terminal && line.ends_with(b"\r");
        if entry.ended || is_redrawn {
            text.push(b'\n');
        }
        self.open = (!entry.ended && !is_redrawn).then(|| stream.clone());
        if !entry.ended {
            self.begun.push(stream);
        }
        text
    }

    /// Prints time and name, if enabled.
    fn put_front(&self, text: &mut String, entry: &LogEntry, mark: char) {
        if self.has_times {
            let time = entry.time.map_or_else(|| "-".to_owned(), |time| time.to_string());
            paint(text, self.coloured, Style::new().dimmed(), &format!("{time:<24}"));
            text.push(' ');
        }
        if let Some(place) = self.names.iter().position(|name| *name == entry.program) {
            let style = Style::new().fg_color(Some(Color::Ansi(COLOURS[place % COLOURS.len()])));
            paint(text, self.coloured, style, &format!("{:<width$}", printable(&entry.program), width = self.width));
            let is_error = entry.stream.as_deref() == Some("stderr");
            let mark_style = if is_error { BAD } else { Style::new().dimmed() };
            text.push(' ');
            paint(text, self.coloured, mark_style, mark.encode_utf8(&mut [0; 4]));
            text.push(' ');
        }
    }
}

/// Text that is safe for a terminal: characters, tabs and colours. Resets a colour that is still active at the end.
fn harmless(bytes: &[u8], coloured: bool) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_suffix('\r').unwrap_or(&text);
    let (mut shown, mut rest, mut has_colour) = (String::with_capacity(text.len()), text, false);
    while let Some(next) = rest.chars().next() {
        match colour_length(rest.as_bytes()) {
            Some(length) => {
                if coloured {
                    shown.push_str(&rest[..length]);
                    has_colour = true;
                }
                rest = &rest[length..];
            }
            None => {
                shown.push(if next == '\t' { next } else { seen(next) });
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    if has_colour {
        shown.push_str("\u{1b}[0m");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_api::Timestamp;

    fn line(program: &str, text: &[u8]) -> LogEntry {
        let entry = LogEntry::of(EntryKind::Line, program).with_text(text);
        LogEntry { time: Some(Timestamp::from_unix_ms(0)), stream: Some("stdout".to_owned()), ..entry }
    }

    fn part(program: &str, text: &[u8]) -> LogEntry {
        LogEntry { ended: false, ..line(program, text) }
    }

    fn printed(printer: &mut Printer, entries: &[LogEntry]) -> Vec<u8> {
        entries.iter().flat_map(|entry| printer.print(entry)).collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn away_from_a_terminal_lines_are_the_programs_bytes() {
        let mut printer = Printer::new(&names(&["web"]), false, false, false);
        let entries = [line("web", b"\x1b[31mred\x1b[2J\0\xc3"), part("web", b"half"), line("web", b" whole\r")];
        assert_eq!(printed(&mut printer, &entries), b"\x1b[31mred\x1b[2J\0\xc3\nhalf whole\r\n");
    }

    #[test]
    fn several_programs_have_their_names_and_whole_lines() {
        let mut printer = Printer::new(&names(&["db", "web"]), false, false, false);
        let entries = [line("db", b"one"), part("web", b"long"), line("db", b"two"), line("web", b"er")];
        assert_eq!(printed(&mut printer, &entries), b"db | one\nweb | long\ndb | two\nweb + er\n");
    }

    #[test]
    fn the_beginning_of_a_line_is_there_at_once_and_its_rest_follows_it() {
        for is_terminal in [false, true] {
            let mut printer = Printer::new(&names(&["db", "web"]), false, is_terminal, false);
            let pad = if is_terminal { " " } else { "" };
            assert_eq!(printed(&mut printer, &[part("web", b"name? ")]), b"web | name? ");
            assert_eq!(printed(&mut printer, &[line("web", b"hello")]), b"hello\n");
            let text = printed(&mut printer, &[part("web", b"half"), line("db", b"one"), line("web", b"")]);
            assert_eq!(String::from_utf8(text).unwrap(), format!("web | half\ndb{pad} | one\n"), "no empty line");
            printed(&mut printer, &[part("web", b"half")]);
            assert_eq!((printer.end(), printer.end()), (&b"\n"[..], &b""[..]));
        }
        let error = LogEntry { stream: Some("stderr".to_owned()), ..line("web", b"error") };
        let mut printer = Printer::new(&names(&["web"]), false, false, false);
        let text = printed(&mut printer, &[part("web", b"half"), error, part("web", b" a line")]);
        assert_eq!((text.as_slice(), printer.end()), (&b"half\nerror\n a line"[..], &b""[..]), "bytes as they are");
    }

    #[test]
    fn progress_on_a_terminal_has_a_line_for_each_state() {
        let mut printer = Printer::new(&names(&["web"]), false, true, false);
        let text = printed(&mut printer, &[part("web", b"10%\r"), part("web", b"20%\r"), line("web", b"done")]);
        assert_eq!(String::from_utf8(text).unwrap(), "10%\n20%\ndone\n");
    }

    #[test]
    fn a_terminal_gets_columns_and_obeys_only_colours() {
        let mut printer = Printer::new(&names(&["db", "web"]), false, true, false);
        let entries = [line("db", b"\x1b[31mred\x1b[2J"), line("web", b"caf\xc3")];
        let expected = "db  | red\u{fffd}[2J\nweb | caf\u{fffd}\n";
        assert_eq!(String::from_utf8(printed(&mut printer, &entries)).unwrap(), expected);
        let mut printer = Printer::new(&names(&["web"]), false, true, true);
        let text = printed(&mut printer, &[line("web", b"\x1b[1;31mred\x1b]0;title\x07\r")]);
        assert_eq!(String::from_utf8(text).unwrap(), "\u{1b}[1;31mred\u{fffd}]0;title\u{fffd}\u{1b}[0m\n");
    }

    #[test]
    fn what_was_missed_is_told_on_a_line_of_its_own() {
        let missed = LogEntry { missed: Some(7), ..LogEntry::of(EntryKind::Missed, "web") };
        let mut printer = Printer::new(&names(&["web"]), false, false, false);
        let text = printed(&mut printer, &[part("web", b"half"), missed, line("web", b"rest")]);
        let expected = "half\n(7 bytes missed here: they were not read in time)\nrest\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn times_are_in_front_where_they_are_wanted() {
        let mut printer = Printer::new(&names(&["web"]), true, false, false);
        let untimed = LogEntry { time: None, ..line("web", b"old") };
        let text = printed(&mut printer, &[untimed, line("web", b"new")]);
        let expected = "-                        old\n1970-01-01T00:00:00.000Z new\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
