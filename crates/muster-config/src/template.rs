//! Texts with `${NAME}` and `{word}` read as a configuration's values are, for tools that write configurations and must
//! know what a text they write will be read as.

use crate::diagnostic::Problem;
use crate::dialect::toml::command::{self, Piece};
use crate::dialect::toml::interpolate::{Interpolated, Names, interpolate};
use crate::variables::Found;

/// The values of `${NAME}` and of `{word}`.
pub struct Values<'v> {
    /// A variable.
    pub variable: &'v dyn Fn(&str) -> Option<String>,
    /// A word.
    pub word: &'v dyn Fn(&str) -> Option<String>,
}

impl Names for Values<'_> {
    fn variable(&self, name: &str) -> Option<Found> {
        (self.variable)(name).map(|value| Found { value, secret: false })
    }

    fn word(&self, word: &str) -> Result<String, Problem> {
        (self.word)(word).ok_or_else(|| Problem { message: format!("unknown word {word}"), hint: String::new() })
    }
}

/// The value of a text; `None` if it would be refused.
pub fn value(text: &str, values: &Values<'_>) -> Option<String> {
    interpolate(text, values).ok().map(|read| read.text.into_owned())
}

/// The words of a command given as text; `None` if it would be refused.
pub fn words(command: &str, values: &Values<'_>) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for word in command::split(command).ok()? {
        let mut words = vec![String::new()];
        for piece in &word.pieces {
            let mut parts = parts(piece, values)?.into_iter();
            words.last_mut()?.push_str(&parts.next()?);
            words.extend(parts);
        }
        words.retain(|text| !text.is_empty());
        if words.is_empty() && word.quoted {
            words.push(String::new());
        }
        all.append(&mut words);
    }
    Some(all)
}

/// An unquoted variable is split at its blanks.
fn parts(piece: &Piece, values: &Values<'_>) -> Option<Vec<String>> {
    let Interpolated { text, variables, .. } = interpolate(&piece.text, values).ok()?;
    if piece.quoted {
        return Some(vec![text.into_owned()]);
    }
    let (mut parts, mut at) = (vec![String::new()], 0);
    for span in variables {
        parts.last_mut()?.push_str(&text[at..span.start]);
        let mut inner = text[span.clone()].split(|c: char| c.is_ascii_whitespace());
        parts.last_mut()?.push_str(inner.next().unwrap_or_default());
        parts.extend(inner.map(str::to_owned));
        at = span.end;
    }
    parts.last_mut()?.push_str(&text[at..]);
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(run: impl Fn(&Values<'_>) -> T) -> T {
        let variable = |name: &str| match name {
            "ARGS" => Some("a  b".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        run(&Values { variable: &variable, word: &|word| (word == "instance").then(|| "3".to_owned()) })
    }

    #[test]
    fn values_and_words_are_those_that_a_load_reads() {
        with(|values| {
            assert_eq!(value("x${ARGS}{instance:02} $$ {{a}}", values).as_deref(), Some("xa  b03 $ {a}"));
            assert_eq!((value("${NO}", values), value("{no}", values)), (None, None));
            assert_eq!(
                words("c ${ARGS} \"${ARGS}\" ${EMPTY} '' {instance}", values).unwrap(),
                ["c", "a", "b", "a  b", "", "3"]
            );
            assert_eq!(words("c 'open", values), None);
        });
    }
}
