//! The main file and what it includes, in the original's order. Only the main file's `[include]` counts.

use std::sync::Arc;

use super::ini::{self, BadLine};
use super::options::{self, Kind};
use super::problem::{Problem, SourcePlace, Warning};
use super::reader::{ExpansionScope, Reader, shared};
use super::{Mode, glob, limits, paths};
use muster_supervisord::expand::Value;
use muster_supervisord::paths::join;
use muster_supervisord::python::{is_space, repr};

/// Number of bytes that the original decodes at once.
const CHUNK: usize = 8192;

/// Reads everything; `None` if the main file cannot be read.
pub(super) fn read(reader: &mut Reader<'_>, main: &str, mode: Mode) -> Option<()> {
    let file = shared(main);
    let mut budget = limits::TOTAL_BYTES;
    if mode == Mode::Fragment {
        reader.sections.add("supervisord", SourcePlace::whole(&file));
    }
    let bytes = main_bytes(reader, &file)?;
    parse(reader, &bytes, &file, &mut budget);
    match (mode, reader.sections.find("include")) {
        (Mode::Fragment, _) => {
            let here = reader.here.clone();
            reader.sections.place_here(&here);
        }
        (Mode::Main, Some(section)) => include(reader, section, &mut budget),
        (Mode::Main, None) => {}
    }
    if let Some(place) = reader.sections.beyond() {
        let message = format!("the limit is {} sections and keys in all", limits::KEYS);
        reader.report.problem(of_file(place.clone(), message, None));
    }
    Some(())
}

fn main_bytes(reader: &mut Reader<'_>, file: &Arc<str>) -> Option<Vec<u8>> {
    let found = reader.world.exists(file);
    match reader.world.read(file, limits::FILE_BYTES) {
        Ok(bytes) if found => Some(bytes),
        read => {
            let what = if found { "read" } else { "find" };
            let original = format!("could not {what} config file {file}");
            let message = match read {
                Err(error) if found => format!("cannot be read: {error}"),
                _ => "does not exist".to_owned(),
            };
            reader.report.problem(of_file(SourcePlace::whole(file), message, Some(original)));
            None
        }
    }
}

fn of_file(place: SourcePlace, message: String, original: Option<String>) -> Problem {
    Problem { place, section: None, option: None, value: None, message, allowed: None, original }
}

fn parse(reader: &mut Reader<'_>, bytes: &[u8], file: &Arc<str>, budget: &mut usize) {
    if bytes.len() > limits::FILE_BYTES.min(*budget) {
        let message = match bytes.len() > limits::FILE_BYTES {
            true => format!("is larger than {} bytes", limits::FILE_BYTES),
            false => format!("all files together are larger than {} bytes", limits::TOTAL_BYTES),
        };
        *budget = 0;
        reader.report.problem(of_file(SourcePlace::whole(file), message, None));
        return;
    }
    *budget -= bytes.len();
    let text = String::from_utf8_lossy(bytes);
    let start = SourcePlace { file: Arc::clone(file), line: 1, column: 1 };
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => {
            let message = "the file begins with a byte order mark, which is skipped";
            let hint = "save it without one: the original finds no section then";
            reader.report.warn(Warning::new(&start, "", message).hint(hint));
            rest
        }
        None => &text,
    };
    let noticed = ini::parse(text, file, &mut reader.sections);
    report_lines(reader, noticed.bad, NotUtf8::find(bytes), file);
    noticed.warnings.into_iter().for_each(|warning| reader.report.warn(warning));
}

/// The original stops at the first byte that is no UTF-8, at the first line before any section, or at the end of the
/// file if it could not read lines: its text goes with the first of these.
fn report_lines(reader: &mut Reader<'_>, bad: Vec<BadLine>, not_utf8: Option<NotUtf8>, file: &Arc<str>) {
    let mut not_utf8 = not_utf8;
    let decoded = not_utf8.as_ref().map_or(usize::MAX, |not| not.decoded);
    let homeless_first = bad.first().is_some_and(|line| line.homeless && line.end <= decoded);
    let mut original = None;
    if let Some(not) = not_utf8.take_if(|_| !homeless_first) {
        reader.report.problem(not.problem(file));
    } else if let Some(first) = bad.first() {
        original = Some(if first.homeless {
            format!(
                "File contains no section headers.\nfile: {}, line: {}\n{}",
                repr(file),
                first.place.line,
                first.repr
            )
        } else {
            let lines = bad.iter().map(|line| format!("\n\t[line {:2}]: {}", line.place.line, line.repr));
            format!("Source contains parsing errors: {}{}", repr(file), lines.collect::<String>())
        });
    }
    for line in bad {
        let (message, allowed) = match line.homeless {
            true => ("stands before any section", "begin with a line such as [supervisord]"),
            false => ("is neither a section nor a key", "write key=value or [section]"),
        };
        // Not the line itself: it may be one of a secret, or of any file that [include] names.
        let problem = of_file(line.place, message.to_owned(), original.take());
        reader.report.problem(Problem { allowed: Some(allowed.to_owned()), ..problem });
    }
    if let Some(not) = not_utf8 {
        reader.report.problem(not.problem(file));
    }
}

/// The first bytes of a file that are no UTF-8.
struct NotUtf8 {
    line: usize,
    column: usize,
    /// Number of bytes that the original had decoded before.
    decoded: usize,
    /// The original's text.
    original: String,
}

impl NotUtf8 {
    fn find(bytes: &[u8]) -> Option<NotUtf8> {
        let error = std::str::from_utf8(bytes).err()?;
        let at = error.valid_up_to();
        let before = str::from_utf8(&bytes[..at]).expect("it is valid up to there");
        let line = before.rfind(['\n', '\r']).map_or(before, |end| &before[end + 1..]);
        let (length, reason) = match error.error_len() {
            None => (bytes.len() - at, "unexpected end of data"),
            Some(length) if matches!(bytes[at], 0x80..=0xc1 | 0xf5..) => (length, "invalid start byte"),
            Some(length) => (length, "invalid continuation byte"),
        };
        let decoded = if error.error_len().is_none() { at } else { chunk_start(bytes, at) };
        let position = at - decoded;
        let what = match length {
            1 => format!("byte 0x{:02x} in position {position}", bytes[at]),
            _ => format!("bytes in position {position}-{}", position + length - 1),
        };
        let original = format!("'utf-8' codec can't decode {what}: {reason}");
        let lines = before.replace("\r\n", "\n").matches(['\n', '\r']).count();
        Some(NotUtf8 { line: lines + 1, column: line.chars().count() + 1, decoded, original })
    }

    fn problem(self, file: &Arc<str>) -> Problem {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let place = SourcePlace { file: Arc::clone(file), line: number(self.line), column: number(self.column) };
        let allowed = Some("save the file as UTF-8".to_owned());
        Problem { allowed, ..of_file(place, "is not UTF-8".to_owned(), Some(self.original)) }
    }
}

/// Where the piece begins that the original decodes at once, a character cut by the piece before included.
fn chunk_start(bytes: &[u8], at: usize) -> usize {
    let start = |chunk: usize| {
        let boundary = (chunk * CHUNK).min(bytes.len());
        let cut = (1..=3).find(|back| {
            let lead = boundary.checked_sub(*back).map(|at| bytes[at]);
            let length = lead.map_or(0, |lead| match lead {
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => 0,
            });
            length > *back
        });
        boundary - cut.unwrap_or(0)
    };
    let chunk = at / CHUNK;
    let next = start(chunk + 1);
    if (chunk + 1) * CHUNK < bytes.len() && next <= at { next } else { start(chunk) }
}

fn include(reader: &mut Reader<'_>, section: usize, budget: &mut usize) {
    let here = reader.here.clone();
    reader.sections.place_here(&here);
    let Some(entry) = reader.raw(section, &options::FILES) else {
        let original = ".ini file has [include] section, but no files setting".to_owned();
        reader.refuse_section(&ExpansionScope::new(section, &[]), None, "needs a key files", original);
        return;
    };
    let host = reader.host.clone();
    let words = [("here", Value::Text(&here)), ("host_node_name", Value::Text(&host))];
    let scope = ExpansionScope::new(section, &words);
    let name = "include.files";
    let Ok(patterns) = reader.expand(&scope, &entry.text, name, options::FILES.key, &entry.place) else { return };
    let (mut left, world) = (limits::FILES, reader.world);
    let mut search = glob::Search::new(world, limits::NAMES);
    for pattern in patterns.split(is_space).filter(|pattern| !pattern.is_empty()) {
        let pattern = join(&here, pattern);
        let Some(mut files) = search.glob(&pattern) else {
            let message = format!("[include] files looks at more than {} names", limits::NAMES);
            let problem = of_file(entry.place.clone(), message, None);
            let allowed = Some("name the files, or the one directory that they are in".to_owned());
            reader.report.problem(Problem { allowed, ..problem });
            return;
        };
        files.sort_unstable();
        if files.is_empty() {
            let text = format!("No file matches via include \"{pattern}\"");
            let message = match reader.is_quotable(section, options::FILES.key) {
                true => format!("no file matches {pattern}"),
                false => "a pattern matches no file".to_owned(),
            };
            let warning = reader.warning(section, Some(options::FILES.key), message);
            reader.report.warn_again(warning.original(text));
        }
        for file in files {
            if left == 0 {
                let message = format!("more than {} files are included", limits::FILES);
                let problem = of_file(entry.place.clone(), message, None);
                reader.report.problem(problem);
                return;
            }
            left -= 1;
            included(reader, &file, budget);
        }
    }
}

fn included(reader: &mut Reader<'_>, file: &str, budget: &mut usize) {
    reader.report.infos.push(format!("Included extra file \"{file}\" during parsing"));
    let had_include = reader.sections.find("include").map(|at| reader.sections.list()[at].entries.len());
    let name = shared(file);
    match reader.world.read(file, limits::FILE_BYTES) {
        Ok(bytes) => parse(reader, &bytes, &name, budget),
        Err(error) => {
            let message = format!("is passed over: {error}");
            reader.report.warn(Warning::new(&SourcePlace::whole(&name), "", message));
        }
    }
    let section = reader.sections.find("include");
    let entry = section.and_then(|at| reader.sections.list()[at].entry(options::FILES.key));
    if let Some(entry) = entry.filter(|entry| entry.place.file == name && had_include.is_some()) {
        let message = "[include] counts in the main file only";
        let hint = "name the files in the main file's [include]";
        reader.report.warn(Warning::new(&entry.place, "include", message).option(options::FILES.key).hint(hint));
    }
    let here = paths::absolute(paths::directory(file), reader.world);
    reader.sections.place_here(&here);
}

/// The section `[supervisord]`, without which the original refuses a main file.
pub(super) fn supervisord(reader: &mut Reader<'_>, main: &str) -> Option<usize> {
    let section = reader.sections.find("supervisord");
    if section.is_none() {
        let original = ".ini file does not include supervisord section".to_owned();
        let message = "has no section [supervisord]".to_owned();
        let problem = of_file(SourcePlace::whole(&shared(main)), message, Some(original));
        let allowed = match reader.sections_of(Kind::Program).is_empty() {
            true => "add [supervisord]",
            false => "add [supervisord], or include this file from a main file that has one",
        };
        reader.report.problem(Problem { allowed: Some(allowed.to_owned()), ..problem });
    }
    section
}
