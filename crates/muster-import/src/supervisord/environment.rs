//! `environment=`: the words of Python's non-POSIX `shlex`, taken four at a time.
//!
//! Knows nothing of expansion: the text has been expanded. The four are a name, `=`, a value, and one token between
//! this pair and the next, whatever it is.

use std::iter::Peekable;
use std::str::Chars;

/// Why a text is not a list of variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// A quote is never closed.
    NoClosingQuotation,
    /// A group of three is not `name = value`.
    NotPairs,
}

/// The variables in the order of the text; of two with one name the last counts.
pub fn variables(text: &str) -> Result<Vec<(String, String)>, Unreadable> {
    let tokens = tokens(text)?;
    tokens
        .chunks(4)
        .map(|group| match group {
            [name, equals, value, ..] if equals == "=" => {
                Ok((name.clone(), value.trim_matches(['\'', '"']).to_owned()))
            }
            _ => Err(Unreadable::NotPairs),
        })
        .collect()
}

fn tokens(text: &str) -> Result<Vec<String>, Unreadable> {
    let mut chars = text.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '#' => skip_line(&mut chars),
            '"' | '\'' => tokens.push(quoted(c, &mut chars)?),
            c if is_word(c) => tokens.push(word(c, &mut chars)),
            c => tokens.push(c.to_string()),
        }
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_/.+-():".contains(c)
}

fn skip_line(chars: &mut Peekable<Chars<'_>>) {
    chars.find(|c| *c == '\n');
}

/// A quoted token with its quotes; nothing escapes inside.
fn quoted(quote: char, chars: &mut Peekable<Chars<'_>>) -> Result<String, Unreadable> {
    let mut token = String::from(quote);
    for c in chars {
        token.push(c);
        if c == quote {
            return Ok(token);
        }
    }
    Err(Unreadable::NoClosingQuotation)
}

/// A word goes on over quotes, and over a comment on the next line. The character that ends it is a token of its own,
/// unless it is a blank.
fn word(first: char, chars: &mut Peekable<Chars<'_>>) -> String {
    let mut token = String::from(first);
    while let Some(&c) = chars.peek() {
        match c {
            '#' => skip_line(chars),
            '"' | '\'' => token.extend(chars.next()),
            c if is_word(c) => token.extend(chars.next()),
            _ => break,
        }
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let found = variables(text).map(|pairs| pairs.into_iter().collect::<std::collections::BTreeMap<_, _>>());
        let expected = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(found, Ok(expected), "{text}");
    }

    #[test]
    fn pairs_are_read_as_the_original_reads_them() {
        check("", &[]);
        check("A=1,B=2", &[("A", "1"), ("B", "2")]);
        check("A=\"x\";B=y", &[("A", "x"), ("B", "y")]);
        check("A=\"1\".\nB=\"2\"", &[("A", "1"), ("B", "2")]);
        check("A=\"1\",", &[("A", "1")]);
        check("A=\"\"", &[("A", "")]);
        check("A=a b", &[("A", "a")]);
        check("A=\"a,b\"", &[("A", "a,b")]);
        check("A=http://h/p?q=1", &[("A", "http://h/p"), ("q", "1")]);
        check("A=b#c", &[("A", "b")]);
        check("A=b#c\nd,E=\"2\"", &[("A", "bd"), ("E", "2")]);
        check("A=\"#\"", &[("A", "#")]);
        check("A=$X", &[("A", "$")]);
        check("A=\"'q'\"", &[("A", "q")]);
        check("A=\"x\\\"y\"", &[("A", "x\\")]);
        check("A=\"x\"y", &[("A", "x")]);
        check("A=x\"y z\"", &[("A", "x\"y")]);
        check("A==1", &[("A", "=")]);
        check("A=~x", &[("A", "~")]);
        check("A-B=\"1\",A.B=2", &[("A-B", "1"), ("A.B", "2")]);
        check("\"A\"=\"1\"", &[("\"A\"", "1")]);
        check("A = \"1\"", &[("A", "1")]);
        check("A=a,A=b", &[("A", "b")]);
        check("A=ü", &[("A", "ü")]);
        check("A=xü", &[("A", "x")]);
        check("# note\nA=/a/b.c-d+e:f(g)", &[("A", "/a/b.c-d+e:f(g)")]);
    }

    #[test]
    fn what_is_no_list_of_pairs_is_refused() {
        for text in ["A=", "A=x@y", "A=\"x\"B=\"y\"", "A=\"1\"\nB=\"2\"", ",A=\"1\"", "A=\"1\",,B=\"2\"", "A=1,B"] {
            assert_eq!(variables(text), Err(Unreadable::NotPairs), "{text}");
        }
        assert_eq!(variables("A=\"x"), Err(Unreadable::NoClosingQuotation));
    }
}
