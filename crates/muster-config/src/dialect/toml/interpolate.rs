//! Replaces `{word}` and `${VARIABLE}` within a value.
//!
//! `{word}` with an identifier between the braces is replaced, and an unknown word is an error; every other brace is kept,
//! so that JSON, `awk '{print $1}'` and shell functions need no escaping. `{{` and `}}` are a literal `{` and
//! `}`, but `}}` that closes two literal braces, as in nested JSON, stays. `${…}` takes `:-default` and `:?message` as a
//! shell does; a `$` before anything else stays, `$$` is one, and `$${NAME}` is left to the program. Works on parsed
//! values, never on a file's text.

use std::borrow::Cow;
use std::ops::Range;

use crate::diagnostic::Problem;
use crate::redact::is_secret;
use crate::variables::Found;

/// Provides the values of `{word}` and `${VARIABLE}`.
pub(crate) trait Names {
    /// The value of a variable, if it is set.
    fn variable(&self, name: &str) -> Option<Found>;
    /// The default of an unset secret variable, which is just as secret.
    fn secret_default(&self, value: String) -> Found {
        Found { value, secret: true }
    }
    /// The text for the descriptor of a socket, or why there is none.
    fn socket(&self, name: &str) -> Result<String, Problem> {
        Err(problem(format!("has an unknown {{socket:{name}}}"), String::new()))
    }
    /// The value of a word, or why there is none.
    fn word(&self, word: &str) -> Result<String, Problem>;
}

/// A value with its names replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interpolated<'t> {
    /// The text.
    pub(crate) text: Cow<'t, str>,
    /// Whether a secret went into it.
    pub(crate) secret: bool,
    /// The ranges of the text that replaced variables.
    pub(crate) variables: Vec<Range<usize>>,
}

/// Whether a text has nothing that could be replaced.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'$' | b'{' | b'}'))
}

/// Replaces every name in a text.
pub(crate) fn interpolate<'t>(text: &'t str, names: &dyn Names) -> Result<Interpolated<'t>, Problem> {
    if is_plain(text) {
        return Ok(Interpolated { text: Cow::Borrowed(text), secret: false, variables: Vec::new() });
    }
    let mut output = Output { text: String::with_capacity(text.len()), ..Output::default() };
    output.append(text, names, 0)?;
    Ok(Interpolated { text: Cow::Owned(output.text), secret: output.secret, variables: output.variables })
}

/// The deepest nesting of defaults within defaults.
const DEEPEST: usize = 16;

/// A literal opening brace that is not closed yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Single,
    Doubled,
}

#[derive(Default)]
struct Output {
    text: String,
    secret: bool,
    open: Vec<Open>,
    variables: Vec<Range<usize>>,
}

impl Output {
    fn append(&mut self, text: &str, names: &dyn Names, depth: usize) -> Result<(), Problem> {
        if depth > DEEPEST {
            return Err(problem("nests its defaults too deeply", "use a variable for the inner part"));
        }
        let mut rest = text;
        while let Some(at) = rest.find(['$', '{', '}']) {
            self.text.push_str(&rest[..at]);
            rest = &rest[at..];
            let taken = if let Some(inner) = rest.strip_prefix("${") {
                let start = self.text.len();
                let taken = 2 + self.variable(inner, names, depth)?;
                if depth == 0 {
                    self.variables.push(start..self.text.len());
                }
                taken
            } else if rest.starts_with('$') {
                self.dollar(rest)
            } else {
                self.brace(rest, names)?
            };
            rest = &rest[taken..];
        }
        self.text.push_str(rest);
        Ok(())
    }

    fn dollar(&mut self, rest: &str) -> usize {
        self.text.push('$');
        match rest.strip_prefix("$$") {
            // `$${NAME}` leaves `${NAME}` to a shell, as in Compose files, and does not begin a word.
            Some(after) if after.starts_with('{') => {
                self.literal('{', Some(Open::Single));
                3
            }
            Some(_) => 2,
            None => 1,
        }
    }

    fn brace(&mut self, rest: &str, names: &dyn Names) -> Result<usize, Problem> {
        if rest.starts_with("{{") {
            self.literal('{', Some(Open::Doubled));
            return Ok(2);
        }
        if let Some(word) = word_in_braces(rest) {
            self.text.push_str(&names.word(word)?);
            return Ok(word.len() + 2);
        }
        if let Some(name) = socket_in_braces(rest) {
            self.text.push_str(&names.socket(name)?);
            return Ok(name.len() + SOCKET.len() + 2);
        }
        if let Some((word, arithmetic, length)) = number_in_braces(rest) {
            self.text.push_str(&arithmetic.of(&names.word(word)?)?);
            return Ok(length);
        }
        if rest.starts_with('{') {
            self.literal('{', Some(Open::Single));
            return Ok(1);
        }
        let closes = self.open.pop();
        self.literal('}', None);
        let is_doubled = rest.starts_with("}}") && closes != Some(Open::Single);
        Ok(if is_doubled { 2 } else { 1 })
    }

    fn literal(&mut self, brace: char, opens: Option<Open>) {
        self.text.push(brace);
        self.open.extend(opens);
    }

    /// Replaces a variable; `inner` begins after `${`. Returns the length consumed.
    fn variable(&mut self, inner: &str, names: &dyn Names, depth: usize) -> Result<usize, Problem> {
        let Some(end) = closing_brace(inner) else {
            return Err(problem("has an unclosed ${", "write $$ for a literal dollar sign"));
        };
        let body = &inner[..end];
        let name_end = body.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(body.len());
        let (name, operation) = body.split_at(name_end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(not_a_variable(body));
        }
        let found = names.variable(name);
        if operation.is_empty() {
            let found = found.ok_or_else(|| missing(name))?;
            self.push_found(found);
        } else if let Some(default) = operation.strip_prefix(":-") {
            match found.filter(|found| !found.value.is_empty()) {
                Some(found) => self.push_found(found),
                None if is_secret(name) => {
                    let mut within = Output::default();
                    within.append(default, names, depth + 1)?;
                    self.push_found(names.secret_default(within.text));
                }
                None => self.append(default, names, depth + 1)?,
            }
        } else if let Some(message) = operation.strip_prefix(":?") {
            let found = found.filter(|found| !found.value.is_empty()).ok_or_else(|| required(name, message))?;
            self.push_found(found);
        } else {
            return Err(not_a_variable(body));
        }
        Ok(end + 1)
    }

    fn push_found(&mut self, found: Found) {
        self.secret |= found.secret;
        self.text.push_str(&found.value);
    }
}

/// The identifier in `{identifier}` at the beginning of a text.
fn word_in_braces(rest: &str) -> Option<&str> {
    let inner = rest.strip_prefix('{')?;
    // Only as far as the identifier: many open braces must not each look for an end far away.
    let word = &inner[..inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?];
    let is_identifier = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (is_identifier && inner[word.len()..].starts_with('}')).then_some(word)
}

/// The beginning of a name of a socket.
const SOCKET: &str = "socket:";

/// The name in `{socket:NAME}` at the beginning of a text.
fn socket_in_braces(rest: &str) -> Option<&str> {
    let inner = rest.strip_prefix('{')?.strip_prefix(SOCKET)?;
    let name = &inner[..inner.find(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c))?];
    (!name.is_empty() && inner[name.len()..].starts_with('}')).then_some(name)
}

/// The arithmetic and format of a number: `{instance+8000}`, `{instance:02}`, `{instance-1:3}`.
struct Arithmetic {
    plus: i64,
    width: usize,
    has_zeros: bool,
}

impl Arithmetic {
    fn of(&self, number: &str) -> Result<String, Problem> {
        let sum = number.parse::<i64>().ok().and_then(|number| number.checked_add(self.plus));
        let Some(sum) = sum.filter(|sum| *sum >= 0) else {
            return Err(problem(
                format!("has an expression that is negative with {number}"),
                "add more, or subtract less",
            ));
        };
        let width = self.width;
        Ok(if self.has_zeros { format!("{sum:0width$}") } else { format!("{sum:width$}") })
    }
}

/// A number's word with its arithmetic, and the length of the whole expression.
fn number_in_braces(rest: &str) -> Option<(&str, Arithmetic, usize)> {
    let inner = rest.strip_prefix('{')?;
    let word = ["instance", "numprocs"].into_iter().find(|word| inner.starts_with(word))?;
    let inner = &inner[..inner.find(|c: char| !c.is_ascii_alphanumeric() && !"+-:".contains(c))?];
    rest[1 + inner.len()..].starts_with('}').then_some(())?;
    let (sum, width) = match inner[word.len()..].split_once(':') {
        Some((sum, width)) => (sum, Some(width)),
        None => (&inner[word.len()..], None),
    };
    let is_number = |text: &str| !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    let plus = match sum.split_at_checked(1) {
        None => 0,
        Some(("+", number)) if is_number(number) => number.parse().ok()?,
        Some(("-", number)) if is_number(number) => -number.parse::<i64>().ok()?,
        Some(_) => return None,
    };
    let has_zeros = width.is_some_and(|width| width.starts_with('0'));
    let width = match width {
        None => 0,
        // supervisord's and Python's `02d`.
        Some(width) => {
            let width = width.strip_suffix('d').unwrap_or(width);
            if !is_number(width) || width.len() > 2 {
                return None;
            }
            width.parse().ok()?
        }
    };
    Some((&inner[..word.len()], Arithmetic { plus, width, has_zeros }, inner.len() + 2))
}

/// The offset of the `}` that closes a variable, skipping those of variables and words within its default.
fn closing_brace(inner: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn problem(message: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem { message: message.into(), hint: hint.into() }
}

fn missing(name: &str) -> Problem {
    problem(
        format!("needs the environment variable {name}, which is not set"),
        format!("set it, or give a default: ${{{name}:-default}}"),
    )
}

fn required(name: &str, message: &str) -> Problem {
    let reason = if message.is_empty() { ", which is not set or empty".to_owned() } else { format!(": {message}") };
    problem(format!("needs the environment variable {name}{reason}"), format!("set {name}"))
}

fn not_a_variable(body: &str) -> Problem {
    problem(
        format!("has an interpolation that is not ${{NAME}}, ${{NAME:-default}} or ${{NAME:?message}}: ${{{body}}}"),
        format!("write $${{{body}}} to leave it to the program"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Names for Fixed {
        fn variable(&self, name: &str) -> Option<Found> {
            let value = match name {
                "PORT" => "8080",
                "EMPTY" => "",
                "DB_PASSWORD" => "hunter2",
                "BRACES" => "{name}",
                _ => return None,
            };
            Some(Found { value: value.to_owned(), secret: name == "DB_PASSWORD" })
        }

        fn word(&self, word: &str) -> Result<String, Problem> {
            if word == "instance" {
                return Ok("3".to_owned());
            }
            if word == "name" { Ok("web:3".to_owned()) } else { Err(problem(format!("unknown {word}"), "")) }
        }
    }

    fn text(input: &str) -> Result<String, String> {
        interpolate(input, &Fixed).map(|done| done.text.into_owned()).map_err(|problem| problem.message)
    }

    #[test]
    fn names_are_replaced_and_everything_else_stays() {
        for (input, expected) in [
            ("plain", "plain"),
            ("a {name} b", "a web:3 b"),
            ("${PORT}", "8080"),
            ("${NO:-x}${EMPTY:-y}${PORT:-z}", "xy8080"),
            ("${NO:-${PORT}/{name}}", "8080/web:3"),
            ("${NO:-}", ""),
            ("[${EMPTY}]", "[]"),
            ("${PORT:?needed}", "8080"),
            ("$$ $${PORT} $$$$", "$ ${PORT} $$"),
            ("$1 $HOME $(date) $", "$1 $HOME $(date) $"),
            ("{{name}} {{x}}", "{name} {x}"),
            ("a}}b {{", "a}b {"),
            ("{print $1}", "{print $1}"),
            ("f() { echo {name}; }", "f() { echo web:3; }"),
            (r#"{"a":{"b":1}}"#, r#"{"a":{"b":1}}"#),
            (r#"{"a":{"b":"{name}"}}"#, r#"{"a":{"b":"web:3"}}"#),
            (r#"{"a": {{name}} }"#, r#"{"a": {name} }"#),
            ("{} {a b} {1}", "{} {a b} {1}"),
            ("{instance+8000} {instance:02} {instance-1:03} {instance:02d}", "8003 03 002 03"),
            ("{instance:x} {instance+} {name:02} {a:1}", "{instance:x} {instance+} {name:02} {a:1}"),
            // The value of a variable is not interpolated again.
            ("${BRACES}", "{name}"),
        ] {
            assert_eq!(text(input), Ok(expected.to_owned()), "{input}");
        }
    }

    #[test]
    fn mistakes_say_what_they_are() {
        for (input, expected) in [
            ("{nmae}", "unknown nmae"),
            ("${NO}", "needs the environment variable NO, which is not set"),
            ("${NO:?set it}", "needs the environment variable NO: set it"),
            ("${EMPTY:?}", "needs the environment variable EMPTY, which is not set or empty"),
            ("${PORT", "has an unclosed ${"),
            ("{instance-4}", "has an expression that is negative with 3"),
            ("${1}", "has an interpolation that is not ${NAME}, ${NAME:-default} or ${NAME:?message}: ${1}"),
            ("${PORT%x}", "has an interpolation that is not ${NAME}, ${NAME:-default} or ${NAME:?message}: ${PORT%x}"),
        ] {
            assert_eq!(text(input), Err(expected.to_owned()), "{input}");
        }
        assert!(text(&"${NO:-".repeat(100)).is_err());
        assert!(text(&format!("{}{}", "${NO:-".repeat(100), "}".repeat(100))).is_err());
    }

    #[test]
    fn a_secret_marks_the_value_it_goes_into() {
        assert!(interpolate("x${DB_PASSWORD}", &Fixed).unwrap().secret);
        assert!(!interpolate("x${PORT}", &Fixed).unwrap().secret);
        assert!(interpolate("${NO_PASSWORD:-x}", &Fixed).unwrap().secret);
        assert_eq!(interpolate("${NO_PASSWORD:-a${PORT}}", &Fixed).unwrap().text, "a8080");
    }
}
