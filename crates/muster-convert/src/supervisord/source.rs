//! Several files read as one text, and the places in them.

use muster_import::supervisord::{Mode, SourcePlace};
use muster_spec::arrange;

use crate::report::Place;

/// A file to convert.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its path, as messages show it.
    pub path: String,
    /// Its text.
    pub text: Vec<u8>,
}

/// All files as one text, the main file first.
pub(super) struct Joined {
    /// The path of the main file.
    pub(super) main: String,
    pub(super) text: Vec<u8>,
    /// Where each file begins: the lines before it, and its path.
    starts: Vec<(u32, String)>,
}

impl Joined {
    /// Joins the files; `None` if there are none.
    pub(super) fn of(inputs: &[Input]) -> Option<Joined> {
        let mut order: Vec<&Input> = inputs.iter().collect();
        arrange::sort_by_key(&mut order, |input| Mode::of(&input.text) != Mode::Main);
        let main = order.first()?.path.clone();
        let (mut text, mut starts, mut lines) = (Vec::new(), Vec::new(), 0);
        for input in order {
            starts.push((lines, input.path.clone()));
            let bytes = match text.is_empty() {
                true => input.text.as_slice(),
                false => input.text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&input.text),
            };
            text.extend_from_slice(bytes);
            if !bytes.ends_with(b"\n") {
                text.push(b'\n');
            }
            lines = u32::try_from(count_lines(&text)).unwrap_or(u32::MAX);
        }
        Some(Joined { main, text, starts })
    }

    /// The name of the main file, as messages show it.
    pub(super) fn main_name(&self) -> String {
        self.main.clone()
    }

    /// A place in the file that it comes from.
    pub(super) fn place(&self, place: &SourcePlace) -> Place {
        if *place.file != *self.main {
            return Place::new(&place.file, place.line);
        }
        let start = self.starts.iter().rev().find(|(before, _)| *before < place.line.max(1));
        let (before, file) = start.map_or((0, self.main.as_str()), |(before, file)| (*before, file.as_str()));
        Place::new(file, place.line.saturating_sub(before))
    }
}

fn count_lines(text: &[u8]) -> usize {
    let ends = text.iter().enumerate().filter(|(at, byte)| match byte {
        b'\n' => true,
        b'\r' => text.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    ends.count()
}

/// The absolute directory of a file.
pub(super) fn directory(path: &str, cwd: &str) -> String {
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let is_absolute = path.starts_with('/');
    let joined = if is_absolute { directory.to_owned() } else { format!("{}/{directory}", cwd.trim_end_matches('/')) };
    crate::template::resolved(&joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_files() {
        let input = |path: &str, text: &str| Input { path: path.to_owned(), text: text.into() };
        let joined = Joined::of(&[input("a", "[program:a]\nx"), input("m", "[supervisord]\r\n"), input("b", "y\n")]);
        let joined = joined.unwrap();
        assert_eq!(joined.main, "m");
        let place = |line| joined.place(&SourcePlace { file: "m".into(), line, column: 1 });
        let found = [place(1), place(2), place(3), place(4)].map(|place| (place.file, place.line));
        assert_eq!(found, [("m".into(), 1), ("a".into(), 1), ("a".into(), 2), ("b".into(), 1)]);
        assert_eq!(directory("conf/../s.conf", "/x"), "/x");
        assert_eq!(directory("/s.conf", "/x"), "/");
    }
}
