//! Reads text of a TOML file: replaces names, and splits commands into words.
//!
//! The origin of a text stays known: [`Text::secret`] says whether a secret variable went into it, and the secret is
//! recorded, so that it is masked wherever it is shown.

use std::borrow::Cow;

use muster_spec::Hook;

use crate::diagnostic::Problem;
use crate::dialect::toml::command::{self, Word};
use crate::dialect::toml::interpolate::{Interpolated, interpolate, is_plain};
use crate::dialect::toml::scope::InterpolationScope;
use crate::field::{Field, Text};
use crate::habits;
use crate::redact::masked;
use crate::value::Content;

impl<'a> Field<'a> {
    /// Replaces the names in a text, without recording the use of a secret.
    pub(crate) fn replaced<'s>(&self, text: &'s str) -> Result<Interpolated<'s>, Problem> {
        interpolate(text, &self.scope(&self.here()))
    }

    /// The directory of the file; empty for a remote text, which has none.
    pub(crate) fn here(&self) -> Cow<'a, str> {
        let file = self.around.files[self.file];
        if file.is_remote { Cow::Borrowed("") } else { file.directory.to_string_lossy() }
    }

    fn scope<'s>(&self, here: &'s str) -> InterpolationScope<'s>
    where
        'a: 's,
    {
        InterpolationScope {
            variables: self.around.variables,
            host: self.around.host,
            here,
            program: self.program,
            instance: self.instance,
            is_command: self.is_command(),
        }
    }

    fn is_command(&self) -> bool {
        let is_one = |name: &str| name == "command" || Hook::EVERY.iter().any(|hook| hook.name() == name);
        // An item of a list has no name of its own.
        is_one(self.name) || self.name.is_empty() && self.parent.is_some_and(|parent| is_one(parent.name))
    }

    /// Replaces the names in a part of this value's text, and reports errors.
    pub(crate) fn interpolated(&self, text: &'a str) -> Option<Text<'a>> {
        self.warn_of_foreign_words(text);
        let done = if is_plain(text) {
            Text { text: Cow::Borrowed(text), secret: false }
        } else {
            match self.replaced(text) {
                Ok(done) => {
                    self.note(&done);
                    Text { text: done.text, secret: done.secret }
                }
                Err(problem) => {
                    self.error_with_hint(problem.message, problem.hint);
                    return None;
                }
            }
        };
        if done.text.contains('\0') {
            self.error("must not contain a NUL character");
            return None;
        }
        Some(done)
    }

    fn warn_of_foreign_words(&self, text: &str) {
        if let Some((problem, hint)) = habits::foreign_words(text) {
            self.warning(masked(&problem), hint);
        }
    }

    /// Records the use of a secret.
    fn note(&self, done: &Interpolated<'_>) {
        if done.secret && !self.around.variables.is_disguised {
            self.around.report.noted.note_around(&done.text);
        }
    }

    /// The words of a piece of a command: as in a shell, the value of an unquoted variable is split at its blanks. The
    /// first continues the word before it; each of the others begins a new one.
    fn interpolated_words(&self, text: &str, is_quoted: bool) -> Option<Vec<String>> {
        self.warn_of_foreign_words(text);
        let done = match self.replaced(text) {
            Ok(done) => done,
            Err(problem) => {
                self.error_with_hint(problem.message, problem.hint);
                return None;
            }
        };
        self.note(&done);
        if done.text.contains('\0') {
            self.error("must not contain a NUL character");
            return None;
        }
        if is_quoted {
            return Some(vec![done.text.into_owned()]);
        }
        let (mut words, mut at) = (vec![String::new()], 0);
        for span in &done.variables {
            let last = words.last_mut().expect("there is always one");
            last.push_str(&done.text[at..span.start]);
            let mut parts = done.text[span.clone()].split(|c: char| c.is_ascii_whitespace());
            last.push_str(parts.next().unwrap_or_default());
            words.extend(parts.map(str::to_owned));
            at = span.end;
        }
        words.last_mut().expect("there is always one").push_str(&done.text[at..]);
        Some(words)
    }

    /// The words of a command, given as text or as a list of texts.
    pub(crate) fn words(&'a self) -> Option<Vec<String>> {
        let words = match &self.value.content {
            Content::Text(text) => split_and_interpolate(self, text.as_str()),
            _ => self.texts().map(into_strings),
        }?;
        warn_of_doubled_dollars(self, &words);
        Some(words)
    }
}

/// Splits a command, then interpolates its words. As in a shell, an unquoted variable is split at blanks and vanishes if
/// empty; a quoted one stays a single word.
fn split_and_interpolate(field: &Field<'_>, text: &str) -> Option<Vec<String>> {
    if text.contains('\0') {
        field.error("must not contain a NUL character");
        return None;
    }
    let words = match command::split(text) {
        Ok(words) => words,
        Err(unclosed) => {
            field.error_with_hint(unclosed.describe(), "a list needs no quoting: command = [\"…\", \"…\"]");
            return None;
        }
    };
    if let Some(word) = command::shell_only(&words) {
        let problem = format_args!("is not run by a shell, so this is passed on literally: {}", masked(word));
        let hint = match word.contains('$') {
            true => "${NAME} is replaced without a shell",
            false => "command = [\"sh\", \"-c\", \"…\"] runs one",
        };
        field.warning(problem, hint);
    }
    // Read all before the first failure returns, so that every mistake is reported.
    let words: Vec<_> = words.iter().map(|word| expand(field, word)).collect();
    words.into_iter().collect::<Option<Vec<_>>>().map(|words| words.concat())
}

/// The words that a word of a command expands to.
fn expand(field: &Field<'_>, word: &Word) -> Option<Vec<String>> {
    let mut words: Vec<String> = vec![String::new()];
    for piece in &word.pieces {
        let mut parts = field.interpolated_words(&piece.text, piece.quoted)?.into_iter();
        words.last_mut()?.push_str(&parts.next()?);
        words.extend(parts);
    }
    // Only quotes make an empty word.
    let count = words.len();
    words.retain(|text| !text.is_empty());
    if words.is_empty() && count > 0 && word.quoted {
        words.push(String::new());
    }
    Some(words)
}

fn into_strings(texts: Vec<Text<'_>>) -> Vec<String> {
    texts.into_iter().map(|text| text.text.into_owned()).collect()
}

/// Warns of `$$` in a shell script: it is the shell's pid there, but a single `$` here.
fn warn_of_doubled_dollars(field: &Field<'_>, words: &[String]) {
    let name = words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
    let is_shell = ["sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"].contains(&name);
    let takes_script = words.iter().skip(1).any(|word| word.starts_with('-') && word.ends_with('c'));
    if !is_shell || !takes_script {
        return;
    }
    let texts: Vec<&str> = match &field.value.content {
        Content::Text(text) => vec![text.as_str()],
        Content::List(items) => items.iter().filter_map(|item| item.as_str()).collect(),
        _ => Vec::new(),
    };
    let is_meant_for_the_shell = |text: &str| {
        let run = |at: usize| text[at..].bytes().take_while(|&byte| byte == b'$').count();
        let starts = text.match_indices('$').filter(|&(at, _)| !text[..at].ends_with('$'));
        starts.map(|(at, _)| (at, run(at))).any(|(at, length)| length == 2 && !text[at + 2..].starts_with(['{', '(']))
    };
    if texts.into_iter().any(is_meant_for_the_shell) {
        field.warning("has a $$, which the shell sees as a single $ and not as its pid", "$$$$ gives the shell its $$");
    }
}
