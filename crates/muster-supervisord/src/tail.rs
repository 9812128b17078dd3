//! Following logs: the paths that clients ask for, and where a piece of text may end.

/// The log that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPath {
    /// `/mainlogtail`.
    Main,
    /// `/logtail/NAME`, with `/stdout` or `/stderr` behind it.
    Of {
        /// The process.
        name: String,
        /// Whether it is the log of standard error.
        is_stderr: bool,
    },
}

impl LogPath {
    /// Reads the path of a request, in which characters may be escaped.
    pub fn parse(path: &str) -> Option<LogPath> {
        if path.starts_with("/mainlogtail") {
            return Some(LogPath::Main);
        }
        let rest = unescaped(path.strip_prefix("/logtail/")?)?;
        let (name, channel) = rest.split_once('/').unwrap_or((&rest, "stdout"));
        let is_stderr = match channel {
            "stdout" | "" => false,
            "stderr" => true,
            _ => return None,
        };
        (!name.is_empty()).then(|| LogPath::Of { name: name.to_owned(), is_stderr })
    }
}

/// Replaces `%XX`.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// How many bytes at the end are the beginning of a character.
pub fn incomplete(bytes: &[u8]) -> usize {
    for (back, byte) in bytes.iter().rev().take(3).enumerate() {
        let needed = match byte {
            0xc2..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0..0xf5 => 4,
            0x80..0xc0 => continue,
            _ => return 0,
        };
        return if back + 1 < needed { back + 1 } else { 0 };
    }
    0
}

/// The most output behind the point that is compared with the end of a file.
const MOST_COMPARED: usize = 4096;

/// The end of a stream up to the point where following it begins. Its file and its memory are read at different moments, so
/// the file may end before that point or behind it: a line in between must be neither lost nor shown twice.
///
/// `memory` is the stream around the point, which is `at` in it. Where the file's end is found nowhere in it, another process
/// wrote to the file, and it is taken as it is.
pub fn joined(file: &[u8], memory: &[u8], at: usize) -> Vec<u8> {
    let is_its_end = |place: &usize| {
        let context = &memory[..*place];
        let common = file.len().min(context.len());
        common > 0 && file[file.len() - common..] == context[context.len() - common..]
    };
    // Memory may have been cleared meanwhile.
    let at = at.min(memory.len());
    let furthest = memory.len().min(at.saturating_add(MOST_COMPARED));
    let place = (at..=furthest).rev().find(is_its_end).or_else(|| (1..at).rev().find(is_its_end));
    match place {
        Some(place) if place >= at => file[..file.len().saturating_sub(place - at)].to_vec(),
        Some(place) => [file, &memory[place..at]].concat(),
        None => file.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_logs() {
        let of = |name: &str, is_stderr| Some(LogPath::Of { name: name.to_owned(), is_stderr });
        assert_eq!(LogPath::parse("/mainlogtail"), Some(LogPath::Main));
        assert_eq!(LogPath::parse("/logtail/g:x"), of("g:x", false));
        assert_eq!(LogPath::parse("/logtail/g%3ax/stderr"), of("g:x", true));
        assert_eq!(LogPath::parse("/logtail/w%C3%B6rld/stdout"), of("w\u{f6}rld", false));
        for wrong in ["/logtail", "/logtail/", "/logtail/a/x", "/logtail/%f", "/logtail/%ff", "/logtail/%zz"] {
            assert_eq!(LogPath::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_end_of_a_file_is_continued_where_memory_is_followed() {
        // Everything that the stream contained, and how much of it was in memory at all, in the file, and before the point.
        let stream: &[u8] = b"one\ntwo\nthree\nfour\nfive\n";
        for start in 0..stream.len() {
            for at in start..=stream.len() {
                for end in 0..=stream.len() {
                    let (file, memory) = (&stream[..end], &stream[start..]);
                    // With nothing in common, or one byte that occurs more than once, there is no telling.
                    if end < start + 5 {
                        continue;
                    }
                    let found = joined(file, memory, at - start);
                    assert_eq!(found, &stream[..at], "memory from {start}, followed from {at}, file up to {end}");
                }
            }
        }
        assert_eq!(joined(b"of another\n", b"mine\n", 2), b"of another\n");
        assert_eq!(joined(b"", b"", 0), b"");
        assert_eq!(joined(b"mine\n", b"mine\n", usize::MAX), b"mine\n");
        assert_eq!(joined(b"mi", b"mine\n", usize::MAX), b"mine\n");
        assert_eq!(joined(b"Hi\n", b"Hi\n", 0), b"", "the first output came between");
        assert_eq!(joined(b"older\n", b"", 0), b"older\n");
    }

    #[test]
    fn a_piece_ends_with_a_whole_character() {
        let text = "aü€😀".as_bytes();
        let expected = [0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0];
        for (length, held) in expected.into_iter().enumerate() {
            assert_eq!(incomplete(&text[..length]), held, "{length}");
        }
        assert_eq!(incomplete(b"\xff"), 0);
        assert_eq!(incomplete(b"\x80\x80\x80\x80"), 0);
    }
}
