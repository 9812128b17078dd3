//! The start as supervisord: what the original does before its loop, in its order and with its messages.

use muster_spec::arrange;
use std::path::{Path, PathBuf};

use muster_config::{Diagnostic, Loaded, Severity};
use muster_import::supervisord::command_line::{self, Request, Run};
use muster_import::supervisord::{self, Configuration, Mistakes, Mode};
use muster_load::ThisMachine;
use muster_load::check::{self, AsSupervisord};
use muster_load::config_files;
use muster_spec::Spec;
use muster_supervisord::python::repr;
use muster_supervisord::search;
use muster_sys::background;
use muster_sys::heap;
use muster_sys::say::{complain, say};

use super::privileges;
use crate::boot;
use crate::configuration::Sources;
use crate::opening::{Opening, USAGE, usage_text};
use muster_logging::main_log::{Level, Line};

/// The version whose behaviour this is.
const VERSION: &str = "4.3.0";

const SEARCHES_AS_ROOT: &str = "UserWarning: Supervisord is running as root and it is searching for its configuration \
                                file in default locations (including its current working directory); you probably \
                                want to specify a \"-c\" argument specifying an absolute path to a configuration file \
                                for improved security.";

/// Runs supervisord; `words` begins with its name. Returns the exit code.
pub(super) fn main(words: &[String]) -> u8 {
    let (program, words) = words.split_first().map_or(("supervisord", words), |(name, rest)| (name.as_str(), rest));
    match command_line::parse(words, &ThisMachine::new(Path::new(""), &config_files::open)) {
        Ok(Request::Help) => say(command_line::help(program).trim_end()),
        Ok(Request::Version) => say(VERSION),
        Ok(Request::Run(run)) => {
            muster_sys::boot::seal_inherited_descriptors();
            return start(program, *run).unwrap_or_else(|code| code);
        }
        Err(message) => return usage(program, &message),
    }
    0
}

/// The factory of the interface that every supervisord has.
const MAIN_INTERFACE: &str = "supervisor.rpcinterface:make_main_rpcinterface";

fn usage(program: &str, message: &str) -> u8 {
    complain(&usage_text(program, message));
    USAGE
}

/// Starts the daemon and supervises. An error is the exit code; everything has been said.
fn start(program: &str, run: Run) -> Result<u8, u8> {
    let (spec, sources, opening) = prepare(program, run)?;
    Ok(boot::supervise(spec, sources, opening))
}

/// Reads the configuration and does as it says before anything is opened.
fn prepare(program: &str, run: Run) -> Result<(Spec, Sources, Opening), u8> {
    let refuse = |message: String| usage(program, &message);
    let file = file(run.file).map_err(refuse)?;
    let mut machine = ThisMachine::new(Path::new(&file), &config_files::open);
    machine.read_main();
    let read = heap::temporary(|| supervisord::read(&file, Mode::Main, &machine));
    let mut configuration = read.map_err(|found| refused(program, &found))?;
    let called = check::call_as_supervisord(AsSupervisord { flags: run.flags, is_first: std::process::id() == 1 });
    // Read as the user that started it.
    let loaded = heap::temporary(|| check::loaded(&mut configuration, machine)).map_err(refuse)?;
    let Loaded { spec, files, looked_at, disguises, diagnostics, .. } = loaded.copied();
    let spec = spec.ok_or_else(|| refused_own(program, &diagnostics))?;
    let settings = &configuration.supervisord;
    let is_foreground = called.is_foreground(settings);
    let machine = ThisMachine::new(Path::new(&file), &config_files::open);
    let mut lines = lines_of(&configuration);
    lines.extend(privileges::drop_to_user(settings, &machine).map_err(refuse)?);
    lines.extend(privileges::raise_limits(settings).map_err(refuse)?);
    if called.is_first && !settings.nodaemon {
        let text = "PID 1 stays in the foreground, for the container would end: set nodaemon=true";
        lines.push(Line::new(Level::Warn, text));
    }
    // The original's order: critical ones, warnings, the rest.
    arrange::sort_by_key(&mut lines, Line::level);
    lines.extend(lines_of_servers(&configuration));
    let mut opening = Opening::supervisord(program, lines);
    if !is_foreground {
        let cannot = |error| {
            complain(&format!("{program}: cannot run in the background: {error}"));
            1
        };
        let background = background::enter().map_err(cannot)?;
        opening.in_background(background, settings.directory.clone());
    }
    let sources = Sources::absolute(vec![PathBuf::from(file)], files, looked_at).disguised_by(disguises);
    Ok((spec, sources, opening))
}

/// The named file, or the first of the usual ones.
fn file(named: Option<String>) -> Result<String, String> {
    if let Some(file) = named {
        return Ok(file);
    }
    let executable = muster_sys::boot::executed_as().unwrap_or_default();
    if nix::unistd::getuid().is_root() {
        complain(SEARCHES_AS_ROOT);
    }
    search::find(&executable.to_string_lossy(), |path| Path::new(path).exists())
}

/// Reports a configuration with mistakes: the original's only message, and then all of them.
fn refused(program: &str, found: &Mistakes) -> u8 {
    let original = found.problems.iter().find_map(|problem| problem.original.as_deref());
    let first = found.problems.first().map(|problem| problem.message.as_str());
    let code = usage(program, original.or(first).unwrap_or_default());
    let diagnostics: Vec<_> = found.problems.iter().map(supervisord::Problem::diagnostic).collect();
    check::write_diagnostics(&diagnostics);
    code
}

/// Reports mistakes in keys that the original ignores: the first as it reports its own, and then all of them.
fn refused_own(program: &str, diagnostics: &[Diagnostic]) -> u8 {
    let errors: Vec<_> = diagnostics.iter().filter(|found| found.severity == Severity::Error).cloned().collect();
    let code = usage(program, errors.first().map(|found| found.message.as_str()).unwrap_or_default());
    check::write_diagnostics(&errors);
    code
}

/// The lines about the configuration: the original's, and musterd's own warnings.
fn lines_of(configuration: &Configuration) -> Vec<Line> {
    let logged_later = |warning: &&supervisord::Warning| warning.critical.is_some();
    let warnings = configuration.warnings.iter().filter(|warning| !logged_later(warning)).map(|warning| {
        if warning.is_note {
            let hint = warning.hint.as_deref().unwrap_or_default();
            return Line::new(Level::Info, format!("{warning}: {hint}"));
        }
        let text = warning.original.clone().unwrap_or_else(|| warning.to_string());
        Line::new(Level::Warn, text)
    });
    let infos = configuration.infos.iter().map(|info| Line::new(Level::Info, info));
    warnings.chain(infos).collect()
}

/// The lines that the original logs when it opens its servers.
fn lines_of_servers(configuration: &Configuration) -> Vec<Line> {
    let criticals: Vec<&str> =
        configuration.warnings.iter().filter_map(|warning| warning.critical.as_deref()).collect();
    let mut lines = Vec::new();
    for server in &configuration.servers {
        let interfaces = configuration.plugins.iter().filter(|plugin| plugin.factory == MAIN_INTERFACE);
        let initialized = |name: &str| format!("RPC interface {} initialized", repr(name));
        lines.extend(interfaces.map(|plugin| Line::new(Level::Info, initialized(&plugin.name))));
        let name = format!("Server '{}' ", configuration.sections[server.section].name);
        let own = criticals.iter().filter(|text| text.starts_with(&name));
        lines.extend(own.map(|text| Line::new(Level::Critical, *text)));
    }
    lines
}
