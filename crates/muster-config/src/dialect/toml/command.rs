//! Splits a command given as one string into words, as a POSIX shell would, without running a shell.
//!
//! Quotes and backslashes work as in a shell. A `#` is an ordinary character, as in `--color=#fff`; supervisord has no
//! comments in commands either. [`shell_only`] finds words that only a shell would understand, for a warning.

/// One word of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// The text without quotes.
    pub(crate) text: String,
    /// Whether any of it was quoted.
    pub(crate) quoted: bool,
    /// The text in pieces, each quoted or unquoted.
    pub(crate) pieces: Vec<Piece>,
}

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) quoted: bool,
}

impl Word {
    fn push(&mut self, c: char, quoted: bool) {
        self.text.push(c);
        match self.pieces.last_mut() {
            Some(last) if last.quoted == quoted => last.text.push(c),
            _ => self.pieces.push(Piece { text: c.to_string(), quoted }),
        }
    }

    /// Adds a character after a backslash. A dollar sign is doubled, so that interpolation leaves it and a brace after it
    /// alone.
    fn escaped(&mut self, c: char, characters: &mut std::str::Chars<'_>) {
        self.quote();
        self.push(c, true);
        if c == '$' {
            self.push('$', true);
            if characters.as_str().starts_with('{') {
                characters.next();
                self.push('{', true);
            }
        }
    }

    /// Begins a quoted piece, which may stay empty.
    fn quote(&mut self) {
        self.quoted = true;
        if !self.pieces.last().is_some_and(|last| last.quoted) {
            self.pieces.push(Piece { text: String::new(), quoted: true });
        }
    }
}

/// Why a command cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclosed {
    /// A `'` that is not closed.
    SingleQuote,
    /// A `"` that is not closed.
    DoubleQuote,
    /// A backslash as the last character.
    Backslash,
}

impl Unclosed {
    /// The error in a message.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Unclosed::SingleQuote => "has an unclosed '",
            Unclosed::DoubleQuote => "has an unclosed \"",
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
        let word = current.get_or_insert_with(Word::default);
        match c {
            '$' if characters.as_str().starts_with('$') => {
                // `$$` is a dollar sign, regardless of what follows.
                characters.next();
                word.push('$', false);
                word.push('$', false);
            }
            '$' if characters.as_str().starts_with('{') => variable(&mut characters, word)?,
            '\'' => single_quoted(&mut characters, word)?,
            '"' => double_quoted(&mut characters, word)?,
            '\\' => match characters.next() {
                None => return Err(Unclosed::Backslash),
                // A backslash at the end of a line joins it with the next.
                Some('\n') if word.text.is_empty() && !word.quoted => current = None,
                Some('\n') => {}
                Some(escaped) => word.escaped(escaped, &mut characters),
            },
            plain => word.push(plain, false),
        }
    }
    words.extend(current);
    Ok(words)
}

/// Reads `${NAME:-a default}`, blanks included. Quotes within make it a single word, as quotes around it do.
fn variable(characters: &mut std::str::Chars<'_>, word: &mut Word) -> Result<(), Unclosed> {
    let Some(length) = variable_length(characters.as_str()) else {
        // Interpolation reports it.
        word.push('$', false);
        return Ok(());
    };
    let (inner, rest) = characters.as_str().split_at(length);
    *characters = rest.chars();
    let mut within = Word::default();
    let mut inner = inner.chars();
    while let Some(c) = inner.next() {
        match c {
            '\'' => single_quoted(&mut inner, &mut within)?,
            '"' => double_quoted(&mut inner, &mut within)?,
            '\\' => {
                within.quote();
                within.push(inner.next().ok_or(Unclosed::Backslash)?, true);
            }
            plain => within.push(plain, false),
        }
    }
    // A separate piece: the text before it may be unquoted.
    word.text.push('$');
    word.text.push_str(&within.text);
    let text = format!("${}", within.text);
    match word.pieces.last_mut() {
        Some(last) if !within.quoted && !last.quoted => last.text.push_str(&text),
        _ => word.pieces.push(Piece { text, quoted: within.quoted }),
    }
    word.quoted |= within.quoted;
    Ok(())
}

/// More open braces than any default has; without a bound, many `${` that are never closed would each be searched to the
/// end.
const DEEPEST: usize = 64;

/// The length of `{NAME…}` up to its closing brace, skipping braces in quotes and nested variables.
fn variable_length(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            ('{', None) if depth == DEEPEST => return None,
            ('{', None) => depth += 1,
            ('}', None) if depth == 1 => return Some(at + 1),
            ('}', None) => depth -= 1,
            _ => {}
        }
    }
    None
}

fn single_quoted(characters: &mut std::str::Chars<'_>, word: &mut Word) -> Result<(), Unclosed> {
    word.quote();
    for c in characters.by_ref() {
        if c == '\'' {
            return Ok(());
        }
        word.push(c, true);
    }
    Err(Unclosed::SingleQuote)
}

fn double_quoted(characters: &mut std::str::Chars<'_>, word: &mut Word) -> Result<(), Unclosed> {
    word.quote();
    while let Some(c) = characters.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match characters.next() {
                None => return Err(Unclosed::DoubleQuote),
                Some('\n') => {}
                Some(escaped @ ('"' | '\\' | '$' | '`')) => word.escaped(escaped, characters),
                Some(other) => {
                    word.push('\\', true);
                    word.push(other, true);
                }
            },
            plain => word.push(plain, true),
        }
    }
    Err(Unclosed::DoubleQuote)
}

/// The first word that only a shell would understand: an operator, or a `$NAME` that is not replaced.
pub(crate) fn shell_only(words: &[Word]) -> Option<&str> {
    const OPERATORS: [&str; 11] = ["&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1", "1>&2"];
    let is_shells =
        |word: &&Word| !word.quoted && (OPERATORS.contains(&word.text.as_str()) || has_variable(&word.text));
    words.iter().find(is_shells).map(|word| word.text.as_str())
}

/// Whether a text has a `$NAME` in uppercase, as environment variables are written.
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
