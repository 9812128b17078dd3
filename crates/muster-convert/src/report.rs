//! The lines about differences between the original and the configuration that was written.

use muster_spec::arrange;
use std::collections::HashSet;
use std::fmt;

/// The meaning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The same behaviour under another name.
    Same,
    /// Another behaviour, on purpose.
    Differs,
    /// There is no equivalent.
    Lost,
    /// A person must look at it.
    Check,
}

impl Verdict {
    /// Its word in a report.
    pub const fn word(self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Differs => "differs",
            Verdict::Lost => "lost",
            Verdict::Check => "check",
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// The meaning.
    pub verdict: Verdict,
    /// The file.
    pub file: String,
    /// The line in it, from 1.
    pub line: u32,
    /// The section or program, if it is about one.
    pub subject: String,
    /// The behaviour of the original.
    pub was: String,
    /// The behaviour of musterd.
    pub now: String,
    /// A remedy; may be empty.
    pub advice: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { verdict, file, line, subject, was, now, advice } = self;
        write!(f, "{} {file}:{line} ", verdict.word())?;
        if !subject.is_empty() {
            write!(f, "[{subject}] ")?;
        }
        write!(f, "{was} → {now}")?;
        if advice.is_empty() { Ok(()) } else { write!(f, "; {advice}") }
    }
}

/// A place in a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: u32,
}

impl Place {
    pub(crate) fn new(file: &str, line: u32) -> Place {
        Place { file: file.to_owned(), line: line.max(1) }
    }
}

/// All lines, each once.
#[derive(Clone, Debug, Default)]
pub struct Report {
    lines: Vec<Line>,
    known: HashSet<Line>,
    has_losses: bool,
}

/// The longest text of a line in characters; a value may be as long as a file.
const LONGEST: usize = 400;

/// The most lines.
const MOST: usize = 20_000;

impl Report {
    /// The lines, in the order of files and places.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Whether anything has no equivalent.
    pub fn has_losses(&self) -> bool {
        self.has_losses
    }

    pub(crate) fn add(
        &mut self,
        verdict: Verdict,
        place: &Place,
        subject: &str,
        (was, now, advice): (impl Into<String>, impl Into<String>, impl Into<String>),
    ) {
        let (was, now, advice) = (visible(&was.into()), visible(&now.into()), visible(&advice.into()));
        let (file, subject) = (visible(&place.file), visible(subject));
        let line = Line { verdict, file, line: place.line, subject, was, now, advice };
        // A loss decides the exit code, so it is never left out.
        let has_room = self.lines.len() < MOST || line.verdict == Verdict::Lost && !self.has_losses;
        if has_room && self.known.insert(line.clone()) {
            self.has_losses |= line.verdict == Verdict::Lost;
            self.lines.push(line);
        }
    }

    /// The number of lines so far, for [`Report::back_to`].
    pub(crate) fn mark(&self) -> usize {
        self.lines.len()
    }

    /// Removes the lines since a mark.
    pub(crate) fn back_to(&mut self, mark: usize) {
        for line in self.lines.split_off(mark.min(self.lines.len())) {
            self.known.remove(&line);
        }
        self.has_losses = self.lines.iter().any(|line| line.verdict == Verdict::Lost);
    }

    pub(crate) fn sort(&mut self) {
        arrange::sort_by(&mut self.lines, |a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    }
}

/// A text on one line, without control characters, cut if it is long.
pub(crate) fn visible(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => text[..end].chars().map(clean).chain(['…']).collect(),
        None => text.chars().map(clean).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_one_form_and_appears_once() {
        let mut report = Report::default();
        for _ in 0..2 {
            let text = ("chmod=0700", "mode = \"0600\"", "");
            report.add(Verdict::Same, &Place::new("s.conf", 3), "unix_http_server", text);
        }
        let shown: Vec<String> = report.lines().iter().map(Line::to_string).collect();
        assert_eq!(shown, ["same s.conf:3 [unix_http_server] chmod=0700 → mode = \"0600\""]);
        assert!(!report.has_losses());
        report.add(Verdict::Lost, &Place::new("s.conf", 0), "", ("a\nb", "nothing", "do it"));
        assert_eq!(report.lines()[1].to_string(), "lost s.conf:1 a b → nothing; do it");
        assert!(report.has_losses());
    }
}
