//! `env_file`: lines of NAME=VALUE with dotenv's quoting.
//!
//! `export ` in front is allowed. Single quotes keep everything; double quotes take the escapes `\n`, `\t`, `\r`, `\"`,
//! `\\`, `\$`; both may span lines. Without quotes, ` #` begins a comment. Nothing is interpolated: these files often hold
//! secrets, and a `$` in a password stays a `$`. For the same reason messages never show a value.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use muster_spec::{SecretFile, UserSpec};

use crate::diagnostic::{Diagnostic, Excerpt, Lines, MOST, Severity, and_more};
use crate::env_dir;
use crate::field::Field;
use crate::habits;
use crate::redact::{MASK, is_secret};
use crate::secret_files::{self, Private};
use crate::source::{LookedAt, Opener, ReadError, Role, read_text, read_value};

use crate::drafts::environment::is_variable_name;

/// The variables of one file, in order; without a value they are removed.
pub(crate) type Entries = Vec<(String, Option<String>)>;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// Lines of NAME=VALUE.
    Lines,
    /// The value of the variable that the file is named after.
    Value,
    /// A secret: not kept.
    Secret,
}

pub(crate) const EXAMPLE: &str = "env_file = [\"web.env\"]";

/// A path, and the form that it was read in.
type AFile = (PathBuf, Form);

/// The environment files read so far; each is read once, however many programs name it.
pub(crate) struct EnvFiles<'a> {
    pub(crate) open: &'a Opener,
    known: RefCell<HashMap<AFile, Option<Rc<Entries>>>>,
    /// The names in each directory of variables; none where it is missing.
    pub(crate) directories: RefCell<HashMap<PathBuf, Rc<[String]>>>,
    order: RefCell<Vec<PathBuf>>,
    /// The combinations already checked for trust: the file that names it, and the user of the program.
    pub(crate) judged: RefCell<HashSet<(PathBuf, usize, Option<UserSpec>)>>,
    secrets: RefCell<Vec<SecretFile>>,
}

impl EnvFiles<'_> {
    pub(crate) fn opened_by(open: &Opener) -> EnvFiles<'_> {
        let (known, order, judged) = (RefCell::default(), RefCell::default(), RefCell::default());
        EnvFiles { open, known, directories: RefCell::default(), order, judged, secrets: RefCell::default() }
    }

    /// The variables of the file that a value names, for a program of this user. Reports the file's mistakes.
    pub(crate) fn read_for(&self, field: &Field<'_>, user: Option<&UserSpec>) -> Option<Rc<Entries>> {
        let (path, may_be_missing) = named(field, EXAMPLE)?;
        self.entries_of(field, (path, Form::Lines), user, may_be_missing)
    }

    /// The variables of one file, for a program of this user. Reports its mistakes, once.
    pub(crate) fn entries_of(
        &self,
        field: &Field<'_>,
        (path, form): (PathBuf, Form),
        user: Option<&UserSpec>,
        may_be_missing: bool,
    ) -> Option<Rc<Entries>> {
        let role = Role::Environment { by: &field.around.files[field.file].path, user };
        let is_judged = !self.judged.borrow_mut().insert((path.clone(), field.file, user.cloned()));
        // A file without variables here is missing, which only some programs allow, or was refused.
        let key = (path.clone(), form);
        if let Some(Some(known)) = self.known.borrow().get(&key) {
            let judged = if is_judged { Ok(()) } else { (self.open)(&path, role).map(drop) };
            return match judged {
                Ok(()) => Some(Rc::clone(known)),
                Err(error) => {
                    cannot_read(field, &path, &ReadError::of(error));
                    None
                }
            };
        }
        let entries = self.read(field, (&path, form), role, may_be_missing).map(Rc::new);
        self.known.borrow_mut().insert(key, entries.clone());
        entries
    }

    /// The text of a file with a secret. Reports one that cannot be read.
    pub(crate) fn read_secret(&self, field: &Field<'_>, path: &Path, private: Private) -> Option<String> {
        let by = &field.around.files[field.file].path;
        let role = Role::Environment { by, user: None };
        self.known.borrow_mut().entry((path.to_owned(), Form::Secret)).or_default();
        secret_files::note(&mut self.secrets.borrow_mut(), path, by);
        match secret_files::read(self.open, path, role, private) {
            Ok(text) => Some(text),
            Err(error) => {
                let problem = format!("cannot be read: {}: {}", path.display(), error.describe());
                field.error_with_hint(problem, error.hint().unwrap_or("the daemon reads it as its own user"));
                None
            }
        }
    }

    /// The files with secrets so far.
    pub(crate) fn secret_files(&self) -> Vec<SecretFile> {
        self.secrets.borrow().clone()
    }

    /// Every file that was looked for, existing or not.
    pub(crate) fn looked_at(&self) -> Vec<LookedAt> {
        let files = self.known.borrow();
        let files = files.keys().map(|(path, _)| LookedAt::File(path.clone()));
        files.chain(self.directories.borrow().keys().cloned().map(LookedAt::Directory)).collect()
    }

    /// Every file that was read, in order.
    pub(crate) fn into_files(self) -> Vec<PathBuf> {
        self.order.into_inner()
    }

    fn read(
        &self,
        field: &Field<'_>,
        (path, form): (&Path, Form),
        role: Role<'_>,
        may_be_missing: bool,
    ) -> Option<Entries> {
        let read = if form == Form::Value { read_value } else { read_text };
        let text = match read(self.open, path, role) {
            Ok(text) => text,
            Err(ReadError::Missing) if may_be_missing => return None,
            Err(error) => {
                cannot_read(field, path, &error);
                return None;
            }
        };
        if !self.order.borrow().iter().any(|known| known == path) {
            self.order.borrow_mut().push(path.to_owned());
        }
        let (entries, mistakes) =
            if form == Form::Value { (env_dir::variable(path, &text), Vec::new()) } else { parse(&text) };
        let noted = &field.around.report.noted;
        let is_all_secret = is_secret(&path.to_string_lossy());
        for (name, value) in entries.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            if is_all_secret { noted.keep(value) } else { noted.keep_variable(name, value) }
        }
        field.around.report.add_elsewhere(located(&mistakes, path, &text));
        Some(entries)
    }
}

/// The path that a value names, and whether it starts with `?`: it may be missing.
pub(crate) fn named(field: &Field<'_>, example: &str) -> Option<(PathBuf, bool)> {
    let text = field.text()?;
    let (path, may_be_missing) = match text.text.strip_prefix('?') {
        Some(path) => (path, true),
        None => (text.text.as_ref(), false),
    };
    if path.is_empty() {
        field.expected_with_hint("a path", example);
        return None;
    }
    if let Some(scheme) = habits::scheme(path) {
        field.text_expected("a path", &text, Some(format!("{scheme}:// is no file")));
        return None;
    }
    Some((field.resolved(path)?, may_be_missing))
}

pub(crate) fn cannot_read(field: &Field<'_>, path: &Path, error: &ReadError) {
    let problem = format!("cannot be read: {}: {}", path.display(), error.describe());
    match (error, error.hint()) {
        (ReadError::Missing, _) => field.error_with_hint(problem, "prefix it with ? if it may be missing"),
        (_, Some(hint)) => field.error_with_hint(problem, hint),
        _ => field.error(problem),
    }
}

/// A line that does not define a variable.
#[derive(Debug, PartialEq, Eq)]
struct Mistake {
    at: usize,
    message: &'static str,
    hint: &'static str,
}

impl Mistake {
    fn locate(&self, path: &Path, text: &str, lines: &Lines) -> Diagnostic {
        let (line, column) = lines.line_and_column(text, self.at);
        let shown = masked_line(text[lines.start(line)..].lines().next().unwrap_or_default());
        Diagnostic {
            severity: Severity::Error,
            file: path.to_owned(),
            line,
            column,
            message: self.message.to_owned(),
            hint: Some(self.hint.to_owned()),
            program: None,
            span: self.at..self.at,
            excerpt: Some(Excerpt { span: 0..shown.len(), text: shown, first_line: line }),
        }
    }
}

/// The first errors of a file, and one that counts the rest.
fn located(mistakes: &[Mistake], path: &Path, text: &str) -> Vec<Diagnostic> {
    if mistakes.is_empty() {
        return Vec::new();
    }
    let lines = Lines::of(text);
    let mut located: Vec<_> = mistakes.iter().take(MOST).map(|mistake| mistake.locate(path, text, &lines)).collect();
    if let Some(next) = mistakes.get(MOST) {
        located.push(Diagnostic {
            message: and_more(mistakes.len(), 0),
            hint: None,
            ..next.locate(path, text, &lines)
        });
    }
    located
}

/// A line without its value. A line without an equals sign may be the rest of a value and is hidden completely.
fn masked_line(line: &str) -> String {
    match line.split_once('=') {
        Some((name, _)) => format!("{name}={MASK}"),
        None => MASK.to_owned(),
    }
}

const FORM: &str = "lines have the form NAME=VALUE";

fn parse(text: &str) -> (Entries, Vec<Mistake>) {
    // By name, with its position: the last line for a name wins.
    let (mut latest, mut order, mut mistakes) = (HashMap::new(), BTreeMap::new(), Vec::new());
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut reader = LineReader { text, at: start };
    while reader.at < text.len() {
        match reader.entry() {
            Ok(Some((name, value))) => {
                if let Some(earlier) = latest.insert(name.clone(), reader.at) {
                    order.remove(&earlier);
                }
                order.insert(reader.at, (name, Some(value)));
            }
            Ok(None) => {}
            Err(mistake) => mistakes.push(mistake),
        }
        reader.skip_line();
    }
    (order.into_values().collect(), mistakes)
}

struct LineReader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> LineReader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn skip_line(&mut self) {
        self.at += self.rest().find('\n').map_or(self.rest().len(), |newline| newline + 1);
    }

    fn mistake<T>(&self, at: usize, message: &'static str, hint: &'static str) -> Result<T, Mistake> {
        Err(Mistake { at, message, hint })
    }

    /// The variable on the line, if any.
    fn entry(&mut self) -> Result<Option<(String, String)>, Mistake> {
        self.skip_blanks();
        let line = self.rest().lines().next().unwrap_or_default();
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        if let Some(after) = line.strip_prefix("export").filter(|after| after.starts_with([' ', '\t'])) {
            self.at += line.len() - after.len();
            self.skip_blanks();
        }
        let line = self.rest().lines().next().unwrap_or_default();
        let Some((name, _)) = line.split_once('=') else {
            return self.mistake(self.at, "not a variable: = is missing", FORM);
        };
        let trimmed = name.trim_end();
        if !is_variable_name(trimmed) || trimmed.contains(char::is_whitespace) || trimmed.contains(['"', '\'']) {
            return self.mistake(self.at, "not a valid variable name", FORM);
        }
        self.at += name.len() + 1;
        self.skip_blanks();
        let value = self.value()?;
        Ok(Some((trimmed.to_owned(), value)))
    }

    fn value(&mut self) -> Result<String, Mistake> {
        let start = self.at;
        let value = match self.rest().chars().next() {
            Some('\'') => self.single_quoted()?,
            Some('"') => self.double_quoted()?,
            _ => return self.unquoted(),
        };
        self.skip_blanks();
        let line = self.rest().lines().next().unwrap_or_default();
        if !line.trim().is_empty() && !line.starts_with('#') {
            return self.mistake(self.at, "text after the closing quote", "quote the whole value");
        }
        self.without_nul(value, start)
    }

    fn unquoted(&mut self) -> Result<String, Mistake> {
        let line = self.rest().lines().next().unwrap_or_default();
        let is_comment = |(at, _): &(usize, &str)| *at == 0 || line[..*at].ends_with([' ', '\t']);
        let end = line.match_indices('#').find(is_comment).map_or(line.len(), |(at, _)| at);
        let value = line[..end].trim_end().to_owned();
        self.without_nul(value, self.at)
    }

    fn without_nul(&self, value: String, at: usize) -> Result<String, Mistake> {
        if value.contains('\0') {
            return self.mistake(at, "a value cannot contain a NUL character", "leave it out");
        }
        Ok(value)
    }

    fn single_quoted(&mut self) -> Result<String, Mistake> {
        let inner = &self.rest()[1..];
        let Some(end) = inner.find('\'') else {
            return self.mistake(self.at, "unclosed '", "close the quote");
        };
        self.at += end + 2;
        Ok(inner[..end].to_owned())
    }

    fn double_quoted(&mut self) -> Result<String, Mistake> {
        let inner = &self.rest()[1..];
        let mut value = String::new();
        let mut characters = inner.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.at += at + 2;
                    return Ok(value);
                }
                '\\' => match characters.next().map(|(_, escaped)| escaped) {
                    Some('n') => value.push('\n'),
                    Some('t') => value.push('\t'),
                    Some('r') => value.push('\r'),
                    Some(plain @ ('"' | '\\' | '$' | '`')) => value.push(plain),
                    Some('\n') => {}
                    Some(other) => value.extend(['\\', other]),
                    None => break,
                },
                plain => value.push(plain),
            }
        }
        self.mistake(self.at, "unclosed \"", "close the quote")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_dotenv_reads_them() {
        for (text, expected) in [
            ("A=1", "1"),
            ("export A=1", "1"),
            ("  A = 1  ", "1"),
            ("A=", ""),
            ("A='a $b \\n # c'", "a $b \\n # c"),
            ("A=\"a\\nb \\\"c\\\" \\$d \\x\"", "a\nb \"c\" $d \\x"),
            ("A=a b # comment", "a b"),
            ("A=a#b", "a#b"),
            ("A=#b", ""),
            ("A=\"b\" # comment", "b"),
            ("A='two\nlines'", "two\nlines"),
            ("A=b=c", "b=c"),
            ("\u{feff}A=1\r\n", "1"),
            ("A=0\nA=1", "1"),
            ("# comment\n\nA=1", "1"),
        ] {
            let (entries, mistakes) = parse(text);
            assert_eq!(
                (entries, mistakes),
                (vec![("A".to_owned(), Some(expected.to_owned()))], Vec::new()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn mistakes_have_their_place_and_the_other_lines_are_still_read() {
        for (text, at, message) in [
            ("B C\nA=1", 0, "not a variable: = is missing"),
            ("=x\nA=1", 0, "not a valid variable name"),
            ("A B=x\nA=1", 0, "not a valid variable name"),
            ("B='x\nA=1", 2, "unclosed '"),
            ("B=\"x\nA=1", 2, "unclosed \""),
            ("B='x' y\nA=1", 6, "text after the closing quote"),
        ] {
            let (entries, mistakes) = parse(text);
            assert_eq!(entries, [("A".to_owned(), Some("1".to_owned()))], "{text:?}");
            assert_eq!(mistakes.iter().map(|m| (m.at, m.message)).collect::<Vec<_>>(), [(at, message)], "{text:?}");
        }
    }

    #[test]
    fn no_value_is_ever_shown() {
        assert_eq!(masked_line("DB_PASSWORD='hunter2' x"), "DB_PASSWORD=***");
        assert_eq!(masked_line("hunter2"), "***");
    }
}
