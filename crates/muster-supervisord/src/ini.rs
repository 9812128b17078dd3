//! The lines of a configuration, as Python 3.11's `RawConfigParser` takes them apart for the original: `;` and `#` begin
//! comments behind white space, white space is Python's.
//!
//! Sections and keys are made of them where they are needed: an indented line continues the value above it.

use crate::python::{is_space, strip, strip_end};

/// A line without its end.
#[derive(Clone, Copy, Debug)]
pub struct Line<'t> {
    /// All of it.
    pub content: &'t str,
    /// The content without comment, and without white space around it.
    pub value: &'t str,
    /// Where the comment begins, in bytes.
    pub comment: Option<usize>,
}

impl<'t> Line<'t> {
    /// Takes a line apart, with or without its end.
    pub fn new(text: &'t str) -> Line<'t> {
        let content = text.trim_end_matches(['\n', '\r']);
        let comment = comment_start(content);
        let value = strip(&content[..comment.unwrap_or(content.len())]);
        Line { content, value, comment }
    }

    /// The number of characters of white space before it.
    pub fn indent(&self) -> usize {
        self.content.chars().position(|c| !is_space(c)).unwrap_or(0)
    }

    /// The name of a section, if it is a header: up to the last bracket of the line.
    pub fn header(&self) -> Option<&'t str> {
        let inside = self.value.strip_prefix('[')?;
        let end = inside.rfind(']')?;
        Some(&inside[..end]).filter(|name| !name.is_empty())
    }

    /// A key in small letters and the text behind its delimiter.
    pub fn option(&self) -> Option<(String, &'t str)> {
        let delimiter = self.value.find(['=', ':'])?;
        let key = strip_end(&self.value[..delimiter]).to_lowercase();
        (!key.is_empty()).then(|| (key, &self.value[delimiter + 1..]))
    }

    /// Where Python 3.13 finds the comment.
    pub fn earliest_comment(&self) -> Option<usize> {
        let marks = self.content.match_indices([';', '#']).map(|(at, _)| at);
        marks.into_iter().find(|at| begins_comment(self.content, *at))
    }
}

/// Lines with their ends: `\n`, `\r\n` and a lone `\r`.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = match rest.find(['\n', '\r']) {
            None => rest.len(),
            Some(at) if rest[at..].starts_with("\r\n") => at + 2,
            Some(at) => at + 1,
        };
        let (line, behind) = rest.split_at(end);
        rest = behind;
        Some(line)
    })
}

/// Where a comment begins, as Python up to 3.12 finds it: in rounds that take the next `;` and the next `#` each, the
/// first round in which one of them follows white space or begins the line decides.
fn comment_start(line: &str) -> Option<usize> {
    if strip(line).starts_with([';', '#']) {
        return Some(0);
    }
    let mut next = [line.find(';'), line.find('#')];
    while next.iter().any(Option::is_some) {
        let candidates = next.into_iter().flatten().filter(|at| begins_comment(line, *at));
        if let Some(first) = candidates.min() {
            return Some(first);
        }
        next = [(';', next[0]), ('#', next[1])]
            .map(|(prefix, at)| at.and_then(|at| line[at + 1..].find(prefix).map(|further| at + 1 + further)));
    }
    None
}

fn begins_comment(line: &str, at: usize) -> bool {
    line[..at].chars().next_back().is_none_or(is_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_three_ways() {
        assert_eq!(lines("a\nb\r\nc\rd").collect::<Vec<_>>(), ["a\n", "b\r\n", "c\r", "d"]);
    }

    #[test]
    fn lines_are_taken_apart() {
        let line = Line::new("  Key : x b;c ;d #e\r\n");
        assert_eq!((line.value, line.indent()), ("Key : x b;c ;d", 2));
        assert_eq!(line.option(), Some(("key".to_owned(), " x b;c ;d")));
        assert_eq!((line.comment, line.earliest_comment()), (Some(17), Some(14)));
        assert_eq!(Line::new("[a] x ]y").header(), Some("a] x "));
        assert_eq!(Line::new("[]").header(), None);
        assert_eq!(Line::new("=x").option(), None);
        assert_eq!(Line::new(" # x").value, "");
    }
}
