//! Reads the files of a source, and those they include, into parsed documents in order of precedence.
//!
//! A file comes before those it includes, so an included file wins by key. Every file is read once; a cycle of includes is
//! an error. All syntax errors are reported; the text around each is marked as torn, and nothing more is reported there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Finding, Place, Report};
use crate::dialect;
use crate::include;
use crate::remote::{Remote, is_address, named_sources};
use crate::source::{File, LookedAt, Opener, ReadError, Role, Shelf, Source, is_supervisords, read_text};
use crate::value::{Content, Entries, Value};

/// A parsed file.
pub(crate) struct Document<'t> {
    /// The file's number.
    pub(crate) id: usize,
    /// Its tables.
    pub(crate) table: Entries<'t>,
    /// The source of a remote text.
    pub(crate) source: Option<&'t str>,
}

/// More files than this are taken for a runaway include.
const MOST_FILES: usize = 10_000;

/// Reads everything a source names, then the texts of servers.
pub(crate) fn read_all<'t>(
    (source, remote): (&Source<'_>, &Remote<'t>),
    shelf: &'t Shelf,
    report: &Report,
    looked_at: &mut Vec<LookedAt>,
) -> Vec<Document<'t>> {
    let documents = Vec::new();
    let (open, known) = (Vec::new(), HashMap::new());
    let mut reader = Reader { opener: source.open, shelf, count: 0, documents, report, looked_at, open, known };
    if source.paths.is_empty() {
        let place = reader.unread(Path::new("muster.toml"));
        report.add(Finding::error(place, "no configuration file was named"));
    }
    for path in source.paths.iter().filter(|path| !is_address(path)) {
        if path.is_dir() {
            reader.read_directory(path);
        } else {
            reader.read_file(path, None, Role::Named);
        }
    }
    if let Some(file) = named_sources(source.paths, source.variables) {
        reader.parse(file, None);
    }
    for text in remote.texts {
        reader.parse(File::remote(&text.shown, text.text.clone()), Some(&text.source));
    }
    reader.documents
}

struct Reader<'t, 'r> {
    opener: &'r Opener,
    shelf: &'t Shelf,
    count: usize,
    documents: Vec<Document<'t>>,
    report: &'r Report,
    looked_at: &'r mut Vec<LookedAt>,
    /// The chain of files being included: their names and identities.
    open: Vec<(PathBuf, PathBuf)>,
    /// Every file read, by its identity.
    known: HashMap<PathBuf, PathBuf>,
}

impl<'t> Reader<'t, '_> {
    fn shelve(&mut self, file: File) -> (usize, &'t File) {
        let (file, rest) = self.shelf.put(file);
        self.shelf = rest;
        self.count += 1;
        (self.count - 1, file)
    }

    /// Parses a text that is no file, and therefore includes none.
    fn parse(&mut self, file: File, source: Option<&'t str>) {
        let (id, file) = self.shelve(file);
        let table = dialect::toml::parse(id, file, self.report);
        self.documents.push(Document { id, table, source });
    }

    /// A place for a finding about a path without text.
    fn unread(&mut self, path: &Path) -> Place {
        Place::start_of(self.shelve(File::unread(path)).0)
    }

    fn read_directory(&mut self, directory: &Path) {
        self.looked_at.push(LookedAt::Directory(directory.to_owned()));
        let files = include::toml_files(directory);
        if files.is_empty() {
            let place = self.unread(directory);
            let finding = Finding::error(place, "no *.toml files in this directory");
            self.report.add(finding.hint("name the file itself if it has another extension"));
        }
        for path in files {
            self.read_file(&path, None, Role::Included { by: directory });
        }
    }

    /// Reads a file, then those it includes. `from` is the place of its name, if another file includes it.
    fn read_file(&mut self, path: &Path, from: Option<Place>, role: Role<'_>) {
        if is_supervisords(path) {
            let finding = self.about(path, from, "a supervisord configuration cannot be part of a TOML configuration");
            self.report.add(finding.hint("musterd -c FILE, with that file alone, runs it"));
            return;
        }
        self.looked_at.push(LookedAt::File(path.to_owned()));
        let text = match read_text(self.opener, path, role) {
            Ok(text) => text,
            Err(error) => return self.cannot_read(path, from, error),
        };
        let identity = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if self.is_cycle(path, &identity, from) || self.is_repeated(path, &identity, from) {
            return;
        }
        if self.count >= MOST_FILES {
            let finding = self.about(path, from, format!("more than {MOST_FILES} files"));
            self.report.add(finding);
            return;
        }
        self.open.push((path.to_owned(), identity));
        let (id, file) = self.shelve(File::read(path, text));
        let table = dialect::toml::parse(id, file, self.report);
        let includes = includes(id, &table, self.report);
        self.documents.push(Document { id, table, source: None });
        for (place, pattern) in includes {
            self.read_included(file, &pattern, place);
        }
        self.open.pop();
    }

    fn read_included(&mut self, by: &File, pattern: &str, place: Place) {
        let (found, listed) = include::expand(&by.directory, pattern);
        self.looked_at.extend(listed.into_iter().map(LookedAt::Directory));
        for path in found {
            self.read_file(&path, Some(place), Role::Included { by: &by.path });
        }
    }

    fn cannot_read(&mut self, path: &Path, from: Option<Place>, error: ReadError) {
        if let ReadError::NotUtf8 { before } = error {
            let at = before.len();
            let (id, _) = self.shelve(File::read(path, before));
            let place = Place::new(id, at..at);
            self.report.add(Finding::error(place, "not UTF-8 text from here on"));
            return;
        }
        let reason = format!("cannot read {}: {}", path.display(), error.describe());
        let finding = self.about(path, from, reason);
        let hint = error.hint().or_else(|| path.is_dir().then_some("DIRECTORY/*.toml matches the files in it"));
        self.report.add(Finding { hint: hint.map(str::to_owned), ..finding });
    }

    fn is_cycle(&mut self, path: &Path, identity: &Path, from: Option<Place>) -> bool {
        let Some(first) = self.open.iter().position(|(_, open)| open == identity) else { return false };
        let mut names: Vec<String> = self.open[first..].iter().map(|(name, _)| name.display().to_string()).collect();
        names.push(path.display().to_string());
        let finding = self.about(path, from, format!("files include each other in a cycle: {}", names.join(" → ")));
        self.report.add(finding);
        true
    }

    fn is_repeated(&mut self, path: &Path, identity: &Path, from: Option<Place>) -> bool {
        let Some(earlier) = self.known.insert(identity.to_owned(), path.to_owned()) else { return false };
        let place = from.unwrap_or_else(|| self.unread(path));
        let message = format!("{} was already read and is skipped", earlier.display());
        self.report.add(Finding::warning(place, message));
        true
    }

    /// An error about a path, at the place that names it or else at the path itself.
    fn about(&mut self, path: &Path, from: Option<Place>, message: impl Into<String>) -> Finding {
        let place = from.unwrap_or_else(|| self.unread(path));
        let message = message.into();
        Finding::error(place, if from.is_some() { format!("include: {message}") } else { message })
    }
}

/// The patterns under `include`, with their places.
fn includes(id: usize, table: &Entries<'_>, report: &Report) -> Vec<(Place, String)> {
    let Some(value) = table.get("include") else { return Vec::new() };
    let items = match &value.content {
        Content::List(items) => items.iter().collect(),
        _ => vec![value],
    };
    items.into_iter().filter_map(|item| include_pattern(id, item, report)).collect()
}

fn include_pattern(id: usize, item: &Value<'_>, report: &Report) -> Option<(Place, String)> {
    let place = Place::new(id, item.span());
    let Some(pattern) = item.as_str() else {
        let finding = Finding::error(place, "include must be a list of paths");
        report.add(finding.hint("include = [\"conf.d/*.toml\"]"));
        return None;
    };
    if pattern.is_empty() || pattern.contains("**") || pattern.contains('\0') {
        let finding = Finding::error(place, format!("include: not a path or pattern: {pattern:?}"));
        report.add(finding.hint("`*` and `?` match characters within one component of a path"));
        return None;
    }
    Some((place, pattern.to_owned()))
}
