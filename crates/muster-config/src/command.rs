//! A command in one string, split into words as a POSIX shell would split it, without a shell being run.
//!
//! Quotes and backslashes work as in a shell. A `#` is an ordinary character: nobody means a comment in
//! `convert '#fff'` or `--color=#fff`, and supervisord's users are not used to one. What only a shell could do is found
//! by [`shell_only`], so that it can be said aloud.

/// One word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Its text, quotes removed.
    pub(crate) text: String,
    /// Whether any of it was quoted.
    pub(crate) quoted: bool,
}

/// Why a command cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclosed {
    /// `'` without its second.
    SingleQuote,
    /// `"` without its second.
    DoubleQuote,
    /// A backslash as the last character.
    Backslash,
}

impl Unclosed {
    /// In the user's words.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Unclosed::SingleQuote => "has a ' without its second",
            Unclosed::DoubleQuote => "has a \" without its second",
            Unclosed::Backslash => "ends in a backslash",
        }
    }
}

/// Splits a command into its words.
pub(crate) fn split(text: &str) -> Result<Vec<Word>, Unclosed> {
    let mut words = Vec::new();
    let mut current: Option<Word> = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c.is_ascii_whitespace() {
            words.extend(current.take());
            continue;
        }
        let word = current.get_or_insert_with(|| Word { text: String::new(), quoted: false });
        match c {
            '\'' => single_quoted(&mut characters, word)?,
            '"' => double_quoted(&mut characters, word)?,
            '\\' => match characters.next() {
                None => return Err(Unclosed::Backslash),
                // A backslash at the end of a line joins it with the next.
                Some('\n') if word.text.is_empty() && !word.quoted => current = None,
                Some('\n') => {}
                Some(escaped) => {
                    word.text.push(escaped);
                    word.quoted = true;
                }
            },
            plain => word.text.push(plain),
        }
    }
    words.extend(current);
    Ok(words)
}

fn single_quoted(characters: &mut std::str::Chars<'_>, word: &mut Word) -> Result<(), Unclosed> {
    word.quoted = true;
    for c in characters.by_ref() {
        if c == '\'' {
            return Ok(());
        }
        word.text.push(c);
    }
    Err(Unclosed::SingleQuote)
}

fn double_quoted(characters: &mut std::str::Chars<'_>, word: &mut Word) -> Result<(), Unclosed> {
    word.quoted = true;
    while let Some(c) = characters.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match characters.next() {
                None => return Err(Unclosed::DoubleQuote),
                Some('\n') => {}
                Some(escaped @ ('"' | '\\' | '$' | '`')) => word.text.push(escaped),
                Some(other) => word.text.extend(['\\', other]),
            },
            plain => word.text.push(plain),
        }
    }
    Err(Unclosed::DoubleQuote)
}

/// The first word that only a shell would understand: an operator, or a variable that stays as it is.
pub(crate) fn shell_only(words: &[Word]) -> Option<&str> {
    const OPERATORS: [&str; 11] = ["&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1", "1>&2"];
    let is_shells =
        |word: &&Word| !word.quoted && (OPERATORS.contains(&word.text.as_str()) || has_variable(&word.text));
    words.iter().find(is_shells).map(|word| word.text.as_str())
}

/// Whether a text has a `$NAME` in capital letters, as environment variables are written.
fn has_variable(text: &str) -> bool {
    text.match_indices('$').any(|(at, _)| {
        let before = text[..at].ends_with('$');
        !before && text[at + 1..].starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(command: &str) -> Vec<String> {
        split(command).unwrap().into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_a_shells_words() {
        for (command, expected) in [
            ("a b  c", &["a", "b", "c"][..]),
            ("sh -c 'a \"b\" c'", &["sh", "-c", "a \"b\" c"]),
            (r#"a "b \"c\" \n $d" e"#, &["a", r#"b "c" \n $d"#, "e"]),
            (r"a\ b c\\d", &["a b", r"c\d"]),
            ("a '' \"\"", &["a", "", ""]),
            ("a'b'\"c\"d", &["abcd"]),
            ("a # b #c --color=#fff", &["a", "#", "b", "#c", "--color=#fff"]),
            ("a \\\n  b\n\tc", &["a", "b", "c"]),
            ("  ", &[]),
        ] {
            assert_eq!(texts(command), expected, "{command}");
        }
    }

    #[test]
    fn an_open_quote_is_an_error() {
        for (command, expected) in
            [("a 'b", Unclosed::SingleQuote), ("a \"b", Unclosed::DoubleQuote), ("a \\", Unclosed::Backslash)]
        {
            assert_eq!(split(command), Err(expected), "{command}");
        }
    }

    #[test]
    fn what_only_a_shell_does_is_found() {
        for (command, expected) in [
            ("a && b", Some("&&")),
            ("a > /log", Some(">")),
            ("a --port $PORT", Some("$PORT")),
            ("a --port=$PORT", Some("--port=$PORT")),
            ("sh -c 'a && b $PORT'", None),
            ("awk '{print $1}'", None),
            ("a ${PORT}", None),
            ("a $$HOME", None),
            ("nginx -g 'daemon off;'", None),
        ] {
            assert_eq!(shell_only(&split(command).unwrap()), expected, "{command}");
        }
    }
}
