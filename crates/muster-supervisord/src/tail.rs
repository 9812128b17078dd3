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
