//! Loads the configuration, for supervising and for `musterd check`.

mod supervisord;

pub use self::supervisord::{AsSupervisord, call_as_supervisord, is_called_as_supervisord};

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use muster_config::{Diagnostic, Foreign, Loaded, Machine, Opener, Remote, RemoteText, Severity, Source, Unfit, Who};
use muster_import::supervisord::Configuration;
use muster_spec::{Scales, SourceSpec, Spec};
use muster_sys::heap;
use muster_sys::say::{complain, say};
use muster_sys::user::{Accounts, LookupError};
use serde_json::json;

use crate::certificates::judge;
use crate::config_files;
use crate::convert;
use crate::format::Format;
use crate::secrets;
use crate::this_machine::ThisMachine;

/// The given paths, or the first default that exists.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    if !paths.is_empty() {
        return Ok(paths.to_owned());
    }
    let default = muster_config::default_path(&|name: &str| std::env::var(name).ok());
    Ok(vec![default.found.ok_or_else(|| nothing_found(&default.tried))?])
}

/// Loads these files: TOML, or one supervisord configuration.
pub fn load(paths: &[PathBuf], open: &Opener) -> Loaded {
    load_as(paths, open, Part::Whole, Beside::default())
}

/// The parts of a configuration that a running daemon has beside its files.
#[derive(Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The texts of servers.
    pub texts: &'a [RemoteText],
    /// The numbers of instances that were chosen at run time.
    pub scales: Option<&'a Scales>,
}

/// As [`load`], together with what is beside the files.
pub fn load_beside(paths: &[PathBuf], open: &Opener, beside: Beside<'_>) -> Loaded {
    load_as(paths, open, Part::Whole, beside)
}

/// Reads a configuration that stays, into memory that is given back as a whole, and returns a copy. Checks that look at the
/// machine must be made before.
pub fn compactly(load: impl FnOnce() -> Loaded) -> Loaded {
    heap::temporary(load).copied()
}

/// Reads each source once, on behalf of a command.
pub type Fetch = dyn Fn(&[SourceSpec]) -> Vec<Result<Vec<RemoteText>, String>>;

/// As [`load`], with what the sources have now. One that cannot be read is an error.
pub fn load_whole(paths: &[PathBuf], open: &Opener, fetch: &Fetch) -> Loaded {
    whole(paths, open, Part::Whole, fetch)
}

fn whole(paths: &[PathBuf], open: &Opener, part: Part, fetch: &Fetch) -> Loaded {
    let mut loaded = load_as(paths, open, part, Beside::default());
    let sources = match &loaded.spec {
        Some(spec) if !spec.sources.is_empty() => spec.sources.clone(),
        _ => return loaded,
    };
    let (mut texts, mut failures) = (Vec::new(), Vec::new());
    for (source, fetched) in sources.iter().zip(fetch(&sources)) {
        match fetched {
            Ok(fetched) => texts.extend(fetched),
            Err(reason) => failures.push(unread(source, &reason)),
        }
    }
    let is_complete = failures.is_empty();
    if is_complete {
        return load_as(paths, open, part, Beside { texts: &texts, scales: None });
    }
    loaded.spec = None;
    loaded.diagnostics.extend(failures);
    loaded
}

fn unread(source: &SourceSpec, reason: &str) -> Diagnostic {
    let message = format!("source {:?} cannot be read: {reason}", source.name);
    let hint = "musterd check --offline leaves sources out";
    at_start_of(PathBuf::from(source.address.to_string()), message, hint)
}

/// Whether a supervisord configuration may be one that others include.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Any,
}

fn load_as(paths: &[PathBuf], open: &Opener, part: Part, beside: Beside<'_>) -> Loaded {
    let loaded = match paths {
        [path] if is_supervisords(path) => supervisord::load(path, open, part),
        paths => mixed(paths).unwrap_or_else(|| load_toml(paths, open, beside)),
    };
    secrets::learn(&loaded.disguises, loaded.spec.as_ref());
    loaded
}

/// A supervisord configuration that has been read already. An error is the original's text about the command line.
pub fn loaded(configuration: &mut Configuration, machine: ThisMachine<'_>) -> Result<Loaded, String> {
    let loaded = supervisord::loaded(configuration, machine)?;
    secrets::learn(&loaded.disguises, loaded.spec.as_ref());
    Ok(loaded)
}

fn load_toml(paths: &[PathBuf], open: &Opener, Beside { texts, scales }: Beside<'_>) -> Loaded {
    let variables = |name: &str| std::env::var(name).ok();
    let host = nix::unistd::gethostname().unwrap_or_default();
    let source = Source {
        paths,
        variables: &variables,
        host: &host.to_string_lossy(),
        open,
        certificates: &judge,
        processors: &muster_sys::processors::count,
    };
    if texts.is_empty() {
        return muster_config::load_remote(&source, &Remote { scales, ..Remote::default() });
    }
    let own = nix::unistd::geteuid();
    let name = nix::unistd::User::from_uid(own).ok().flatten().map(|user| user.name);
    let own_user: Vec<String> = name.into_iter().chain([own.to_string()]).collect();
    muster_config::load_remote(&source, &Remote { texts, own_user: &own_user, scales })
}

fn is_supervisords(path: &Path) -> bool {
    (muster_config::is_supervisords(path) || is_called_as_supervisord()) && !path.is_dir()
}

/// The error of a supervisord configuration beside another file, which names both.
fn mixed(paths: &[PathBuf]) -> Option<Loaded> {
    let place = paths.iter().position(|path| is_supervisords(path))?;
    let path = &paths[place];
    let other = paths.iter().enumerate().find(|(other, _)| *other != place).map(|(_, other)| other)?;
    let message = format!("a supervisord configuration must be the only file, and {} was named too", other.display());
    let hint = "name one of them; [include] in a supervisord configuration adds others of its kind";
    let diagnostic = at_start_of(path.clone(), message, hint);
    Some(Foreign { diagnostics: vec![diagnostic], ..Foreign::default() }.into())
}

/// An error about a whole file.
fn at_start_of(file: PathBuf, message: String, hint: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        file,
        line: 1,
        column: 1,
        message,
        hint: Some(hint.to_owned()),
        program: None,
        span: 0..0,
        excerpt: None,
    }
}

/// Adds diagnostics that depend on this machine: commands, directories and users.
pub fn look_at_machine(loaded: &mut Loaded) {
    let (mut accounts, own_gid) = (Accounts::default(), nix::unistd::getegid().as_raw());
    let mut look_up = |who: Who<'_>| {
        let looked_up = match who {
            Who::User(user) => accounts.account(user, own_gid).map(drop),
            Who::Group(group) => accounts.gid(group).map(drop),
            Who::Client(user) => accounts.uid(user).map(drop),
        };
        looked_up.err().and_then(unfit)
    };
    loaded.lint(&mut Machine { variables: &|name| std::env::var(name).ok(), look_up: &mut look_up });
}

fn unfit(error: LookupError) -> Option<Unfit> {
    let hint = match &error {
        // It would be root's group on every machine on which the number has no entry.
        LookupError::NoGroup(number) => {
            let hint = format!("user = \"{number}:{number}\"");
            return Some(Unfit { severity: Severity::Error, message: error.to_string(), hint });
        }
        LookupError::NoSuchUser(_) => "it must exist when the program starts: useradd, or adduser, in the image",
        LookupError::NoSuchGroup(_) => "it must exist when the program starts: groupadd, or addgroup, in the image",
        LookupError::InvalidNumber(_) | LookupError::Unreadable(..) => {
            "names and numbers of /etc/passwd and /etc/group"
        }
    };
    Some(Unfit { severity: Severity::Warning, message: error.to_string(), hint: hint.to_owned() })
}

fn nothing_found(tried: &[PathBuf]) -> String {
    let tried: Vec<String> = tried.iter().map(|path| path.display().to_string()).collect();
    format!(
        "musterd: no configuration found: {}\nhint: write one there, or name one: musterd -c FILE; a first one is\n\n  \
         [program.web]\n  command = \"nginx -g 'daemon off;'\"\n",
        tried.join(", ")
    )
}

/// `musterd check`: prints the diagnostics; returns the exit code. Without `fetch`, sources are left out.
pub fn check(paths: &[PathBuf], format: Format, strict: bool, fetch: Option<&Fetch>) -> u8 {
    let paths = match find(paths) {
        Ok(paths) => paths,
        Err(message) => {
            complain(&message);
            return 2;
        }
    };
    if let Some(message) = convert::foreign(&paths) {
        complain(&message);
        return 2;
    }
    let mut loaded = match fetch {
        Some(fetch) => whole(&paths, &config_files::open, Part::Any, fetch),
        None => load_as(&paths, &config_files::open, Part::Any, Beside::default()),
    };
    look_at_machine(&mut loaded);
    let count = |severity| loaded.diagnostics.iter().filter(|found| found.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match format {
        Format::Text => {
            write_diagnostics(&loaded.diagnostics);
            say(&summary(&loaded, errors, warnings));
        }
        Format::Json => say(&as_json(&loaded)),
    }
    if errors > 0 || (strict && warnings > 0) { 2 } else { 0 }
}

/// Writes every diagnostic to stderr.
pub fn write_diagnostics(diagnostics: &[Diagnostic]) {
    if !diagnostics.is_empty() {
        let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        complain(muster_config::render(diagnostics, colour).trim_end());
    }
}

fn summary(loaded: &Loaded, errors: usize, warnings: usize) -> String {
    let plural = |count: usize, thing: &str| format!("{count} {thing}{}", if count == 1 { "" } else { "s" });
    let found = format!("{}, {}", plural(errors, "error"), plural(warnings, "warning"));
    let files = plural(loaded.files.len(), "file");
    let instances = |spec: &Spec| spec.programs.iter().map(|program| program.instances.len()).sum();
    match loaded.spec.as_ref().map(instances) {
        Some(programs) => format!("{files}, {}, {found}", plural(programs, "program")),
        None => format!("{files}, {found}"),
    }
}

fn as_json(loaded: &Loaded) -> String {
    let diagnostic = |found: &Diagnostic| {
        json!({
            "severity": found.severity.name(),
            "file": found.file,
            "line": found.line,
            "column": found.column,
            "message": found.message,
            "hint": found.hint,
            "program": found.program,
        })
    };
    let all: Vec<_> = loaded.diagnostics.iter().map(diagnostic).collect();
    json!({"files": loaded.files, "diagnostics": all}).to_string()
}
