//! The words of a command, as Python's `shlex.split` makes them.
//!
//! Nothing is expanded and `#` is an ordinary character. The original does this at every start; an empty or unreadable
//! command is accepted when the file is read.

use std::iter::Peekable;
use std::str::Chars;

/// The words, or why there are none, in the original's words.
pub fn split(command: &str) -> Result<Vec<String>, &'static str> {
    let mut chars = command.chars().peekable();
    let mut words = Vec::new();
    while let Some(&c) = chars.peek() {
        if is_blank(c) {
            chars.next();
        } else {
            words.push(word(&mut chars)?);
        }
    }
    Ok(words)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn word(chars: &mut Peekable<Chars<'_>>) -> Result<String, &'static str> {
    let mut word = String::new();
    while let Some(c) = chars.next_if(|c| !is_blank(*c)) {
        match c {
            '\'' => single_quoted(chars, &mut word)?,
            '"' => double_quoted(chars, &mut word)?,
            '\\' => word.push(chars.next().ok_or("No escaped character")?),
            c => word.push(c),
        }
    }
    Ok(word)
}

fn single_quoted(chars: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), &'static str> {
    loop {
        match chars.next().ok_or("No closing quotation")? {
            '\'' => return Ok(()),
            c => word.push(c),
        }
    }
}

/// A backslash escapes a quote and itself, and is text before anything else.
fn double_quoted(chars: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), &'static str> {
    loop {
        match chars.next().ok_or("No closing quotation")? {
            '"' => return Ok(()),
            '\\' => {
                let escaped = chars.next().ok_or("No escaped character")?;
                if !matches!(escaped, '"' | '\\') {
                    word.push('\\');
                }
                word.push(escaped);
            }
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_shlex_does() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split(text).unwrap(), expected, "{text}");
        check("", &[]);
        check(" \n", &[]);
        check("a  b\nc", &["a", "b", "c"]);
        check("a 'b c' \"d e\"", &["a", "b c", "d e"]);
        check("a '' \"\"", &["a", "", ""]);
        check("a\\ b \\# #c", &["a b", "#", "#c"]);
        check("\"a\\\"b\\\\c\\d\" 'a\\b'", &["a\"b\\c\\d", "a\\b"]);
        check("x\"y z\"w", &["xy zw"]);
        check("a\u{a0}b", &["a\u{a0}b"]);
    }

    #[test]
    fn unclosed_commands_say_why() {
        assert_eq!(split("sh -c 'a"), Err("No closing quotation"));
        assert_eq!(split("a \"b"), Err("No closing quotation"));
        assert_eq!(split("a \\"), Err("No escaped character"));
        assert_eq!(split("a \"b\\"), Err("No escaped character"));
    }
}
