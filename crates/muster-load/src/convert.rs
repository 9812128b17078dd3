//! `musterd convert`: reads the configuration of another supervisor, and writes ours with a report of differences.

use muster_spec::arrange;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use muster_config::Role;
use muster_convert::report::{Report, Verdict};
use muster_convert::{Converted, Kind, Mistake, procfile, s6, supervisord};
use muster_import::supervisord::limits;
use muster_sys::say::{complain, say};
use serde_json::json;

use crate::config_files;
use crate::format::Format;

mod machine;

/// The arguments of `musterd convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// A file or directory; several supervisord files are read as one
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The language of the files; found out by name and content
    #[arg(long, value_enum)]
    pub from: Option<Original>,
    /// How many processes of each name of a Procfile run, as foreman's: all=1,worker=2
    #[arg(short = 'm', long, value_name = "NAME=N,…")]
    pub formation: Option<procfile::Formation>,
    /// Write the configuration to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write the report to this file instead of stderr
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// The format of the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Exit with 1 if anything has no equivalent
    #[arg(long)]
    pub strict: bool,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
}

/// A language that is converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Original {
    /// supervisord.conf
    Supervisord,
    /// s6-overlay, version 2 or 3
    S6,
    /// Procfile
    Procfile,
}

/// The most files of a directory.
const FILES: usize = 10_000;

/// The deepest directory.
const DEPTH: usize = 16;

/// The largest file of a directory of services that is read to its end; longer ones are binaries.
const SCRIPT_BYTES: usize = 1 << 20;

/// The beginning of a file that is looked at for its language, in bytes.
const BEGINNING: u64 = 64 << 10;

/// The files that were named.
#[derive(Default)]
struct Named {
    /// Single files, with their texts.
    files: Vec<supervisord::Input>,
    /// Directories, with all files below.
    trees: Vec<s6::Tree>,
}

/// Converts, writes the result and the report; returns the exit code.
pub fn convert(arguments: &ConvertArgs) -> u8 {
    match try_convert(arguments) {
        Ok(code) => code,
        Err(messages) => {
            messages.iter().for_each(|message| complain(message));
            2
        }
    }
}

fn try_convert(arguments: &ConvertArgs) -> Result<u8, Vec<String>> {
    let outputs = [&arguments.output, &arguments.report];
    for path in outputs.into_iter().flatten().filter(|_| !arguments.force) {
        if path.symlink_metadata().is_ok() {
            let path = path.display();
            return Err(vec![format!("musterd: {path}: exists\nhint: --force replaces it")]);
        }
    }
    let named = read(&arguments.paths)?;
    let kind = match arguments.from {
        Some(Original::Supervisord) => Kind::Supervisord,
        Some(Original::S6) => Kind::S6,
        Some(Original::Procfile) => Kind::Procfile,
        None => named.kind()?,
    };
    if arguments.formation.is_some() && kind != Kind::Procfile {
        return Err(vec![format!("musterd: --formation is for a Procfile, not for {}", kind.name())]);
    }
    let formation = arguments.formation.clone().unwrap_or_default();
    let converted = named
        .convert(kind, &formation)
        .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>())?;
    let failed = |path: &Path, error: io::Error| vec![format!("musterd: {}: {error}", path.display())];
    let mode = readers(&arguments.paths);
    match &arguments.output {
        Some(path) => write(path, &converted.toml, mode, arguments.force).map_err(|error| failed(path, error))?,
        None => say(converted.toml.trim_end()),
    }
    let report = match arguments.format {
        Format::Text => as_text(&converted.report),
        Format::Json => as_json(&converted),
    };
    match &arguments.report {
        Some(path) => write(path, &report, mode, arguments.force).map_err(|error| failed(path, error))?,
        None => complain(report.trim_end()),
    }
    Ok(u8::from(arguments.strict && converted.report.has_losses()))
}

/// The mode for what is written: readable for those who can read the originals, which may hold passwords.
fn readers(paths: &[PathBuf]) -> u32 {
    let modes = paths.iter().filter_map(|path| fs::metadata(path).ok()).filter(fs::Metadata::is_file);
    modes.fold(0o644, |mode, about| mode & (about.permissions().mode() | 0o600))
}

/// Writes a file: a new one, or with `force` in place of the old one.
fn write(path: &Path, text: &str, mode: u32, force: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(mode);
    match force {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let mut file = options.open(path)?;
    file.write_all(text.trim_end().as_bytes())?;
    file.write_all(b"\n")
}

fn as_text(report: &Report) -> String {
    let mut text: String = report.lines().iter().map(|line| format!("{line}\n")).collect();
    let count = |verdict| report.lines().iter().filter(|line| line.verdict == verdict).count();
    let [same, differs, lost, check] = [Verdict::Same, Verdict::Differs, Verdict::Lost, Verdict::Check].map(count);
    text.push_str(&format!("{same} same, {differs} differ, {lost} lost, {check} to check\n"));
    text
}

fn as_json(converted: &Converted) -> String {
    let lines = converted.report.lines().iter().map(|line| {
        json!({
            "verdict": line.verdict.word(),
            "file": line.file,
            "line": line.line,
            "subject": line.subject,
            "was": line.was,
            "now": line.now,
            "advice": line.advice,
        })
    });
    json!({ "programs": converted.programs, "lines": lines.collect::<Vec<_>>() }).to_string()
}

impl Named {
    /// The kind of all that was named.
    fn kind(&self) -> Result<Kind, Vec<String>> {
        let of_files = self.files.iter().map(|file| (file.path.as_str(), kind_of_file(file)));
        let of_trees = self
            .trees
            .iter()
            .map(|tree| (tree.root.as_str(), Kind::of_directory(tree.files.keys().map(String::as_str))));
        let mut found: Option<(&str, Kind)> = None;
        for (path, kind) in of_files.chain(of_trees) {
            let hint = "hint: --from supervisord, s6 or procfile says what it is";
            let kind = kind.ok_or_else(|| vec![format!("musterd: {path}: not a known configuration\n{hint}")])?;
            match found {
                Some((first, other)) if other != kind => {
                    return Err(vec![format!(
                        "musterd: {path}: is {}, but {first} is {}\nhint: convert them one after another",
                        kind.name(),
                        other.name()
                    )]);
                }
                _ => found = Some((path, kind)),
            }
        }
        found.map(|(_, kind)| kind).ok_or_else(|| vec!["musterd: nothing to convert".to_owned()])
    }

    fn convert(self, kind: Kind, formation: &procfile::Formation) -> Result<Converted, Vec<Mistake>> {
        match kind {
            Kind::Supervisord => {
                let mut inputs = self.files;
                for tree in self.trees {
                    let is_conf =
                        |path: &&String| !path.contains('/') && Kind::of_file(path) == Some(Kind::Supervisord);
                    let files: Vec<String> = tree.files.keys().filter(is_conf).cloned().collect();
                    inputs.extend(files.into_iter().map(|path| supervisord::Input {
                        text: tree.files.get(&path).cloned().unwrap_or_default(),
                        path: format!("{}/{path}", tree.root.trim_end_matches('/')),
                    }));
                }
                let first = inputs.first().map(|input| input.path.clone()).unwrap_or_default();
                if inputs.is_empty() {
                    return Err(vec![unusable(first, "has no file named *.conf or *.ini")]);
                }
                supervisord::convert(&inputs, &machine::WithoutUsers::new())
            }
            Kind::S6 => match self.trees.as_slice() {
                [tree] => s6::convert(tree, &|name| std::env::var(name).ok()),
                _ => Err(vec![unusable(String::new(), "s6 services are converted from one directory")]),
            },
            Kind::Procfile => match self.files.as_slice() {
                [file] => {
                    let env = Path::new(&file.path).with_file_name(".env");
                    procfile::convert(&file.path, &file.text, env.is_file(), formation)
                }
                _ => Err(vec![unusable(String::new(), "one Procfile is converted at a time")]),
            },
        }
    }
}

fn unusable(file: String, message: &str) -> Mistake {
    let file = if file.is_empty() { "musterd".to_owned() } else { file };
    Mistake { file, line: 0, message: message.to_owned() }
}

/// The kind of a file by its name, or by its first line that says it.
fn kind_of_file(file: &supervisord::Input) -> Option<Kind> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    if let Some(kind) = Kind::of_file(name) {
        return Some(kind);
    }
    let text = String::from_utf8_lossy(&file.text);
    let sections = ["[supervisord]", "[program:", "[eventlistener:", "[group:", "[fcgi-program:"];
    text.lines().find_map(|line| sections.iter().any(|section| line.starts_with(section)).then_some(Kind::Supervisord))
}

fn read(paths: &[PathBuf]) -> Result<Named, Vec<String>> {
    let (mut named, mut wrong) = (Named::default(), Vec::new());
    let mut left = limits::TOTAL_BYTES;
    for path in paths {
        let shown = path.display();
        match fs::metadata(path) {
            Ok(about) if about.is_dir() => {
                let mut tree = s6::Tree { root: shown.to_string(), ..s6::Tree::default() };
                match walk(path, "", 0, &mut tree, &mut left) {
                    Ok(()) => named.trees.push(tree),
                    Err(error) => wrong.push(format!("musterd: {shown}: {error}")),
                }
            }
            Ok(_) => match config_files::open(path, Role::Named).and_then(|file| bounded(file, limits::FILE_BYTES)) {
                Ok(text) => named.files.push(supervisord::Input { path: shown.to_string(), text }),
                Err(error) => wrong.push(format!("musterd: {shown}: {error}")),
            },
            Err(error) => wrong.push(format!("musterd: {shown}: {error}")),
        }
    }
    if wrong.is_empty() { Ok(named) } else { Err(wrong) }
}

/// At most so many bytes and one, so that a file beyond the bound is recognized by the reader.
fn bounded(file: File, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::other(format!("is larger than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

/// Reads all regular files below a directory. Links to directories are not followed.
fn walk(directory: &Path, below: &str, depth: usize, tree: &mut s6::Tree, left: &mut usize) -> io::Result<()> {
    if depth > DEPTH {
        return Ok(());
    }
    let mut entries: Vec<fs::DirEntry> = fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    arrange::sort_by_key(&mut entries, fs::DirEntry::file_name);
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &path, depth + 1, tree, left)?;
            continue;
        }
        // Anything but a regular file is none that could be converted.
        let Ok(file) = config_files::open_again(&entry.path(), Role::Named) else { continue };
        let mut bytes = Vec::new();
        let most = if path.contains('/') { SCRIPT_BYTES } else { limits::FILE_BYTES };
        file.take(most as u64).read_to_end(&mut bytes)?;
        *left = left.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("holds more than 64 MiB"))?;
        tree.files.insert(path, bytes);
        if tree.files.len() > FILES {
            return Err(io::Error::other(format!("holds more than {FILES} files; name the directory of the services")));
        }
    }
    Ok(())
}

/// A message about configurations of other supervisors that the reader of TOML is asked to read.
pub(crate) fn foreign(paths: &[PathBuf]) -> Option<String> {
    let [path] = paths else { return None };
    let kind = if path.is_dir() { of_directory(path)? } else { of_file(path)? };
    let also = match kind {
        Kind::Supervisord => "; musterd runs one file as it is if its name ends in .conf",
        Kind::S6 | Kind::Procfile => "",
    };
    let (path, kind) = (path.display(), kind.name());
    Some(format!("musterd: {path}: is {kind}, not TOML\nhint: musterd convert {path} -o muster.toml writes one{also}"))
}

/// The kind of a file by its name, or by the sections at its beginning. One that ends in `.conf` is read as it is.
fn of_file(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?;
    match Kind::of_file(name) {
        Some(Kind::Supervisord) => None,
        Some(kind) => Some(kind),
        // A pipe can be read only once.
        None if name.ends_with(".toml") || !path.is_file() => None,
        None => {
            let mut text = Vec::new();
            let file = config_files::open(path, Role::Named).ok()?;
            file.take(BEGINNING).read_to_end(&mut text).ok()?;
            kind_of_file(&supervisord::Input { path: name.to_owned(), text })
        }
    }
}

/// Looks at the names alone: the directory may be a large one.
fn of_directory(path: &Path) -> Option<Kind> {
    let names = fs::read_dir(path).ok()?.flatten().take(FILES).filter_map(|entry| entry.file_name().into_string().ok());
    let names: Vec<String> = names.collect();
    if names.iter().any(|name| name.ends_with(".toml")) {
        return None;
    }
    let is_parent = |name: &String| matches!(name.as_str(), "s6-rc.d" | "services.d" | "cont-init.d");
    let is_service = |name: &String| path.join(name).join("run").is_file() || path.join(name).join("type").is_file();
    let has_overlay =
        ["s6-overlay", "services.d", "cont-init.d"].iter().any(|name| path.join("etc").join(name).is_dir());
    if has_overlay || names.iter().any(is_parent) || names.iter().any(is_service) {
        return Some(Kind::S6);
    }
    names.iter().any(|name| Kind::of_file(name) == Some(Kind::Supervisord)).then_some(Kind::Supervisord)
}
