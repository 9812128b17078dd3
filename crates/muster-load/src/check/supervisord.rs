//! Loads a supervisord.conf with the users, directories and files of this machine.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use muster_config::{Diagnostic, Foreign, Loaded, Opener, Severity};
use muster_import::supervisord::{self, Configuration, Flags, Inherited, Mode, Settings};
use muster_spec::{DaemonSpec, LogFormat};

use super::Part;
use crate::this_machine::ThisMachine;

/// Reads the file and everything that it includes. With [`Part::Any`] a file without `[supervisord]` is read as one that
/// others include.
pub(super) fn load(path: &Path, open: &Opener, part: Part) -> Loaded {
    let main = path.to_string_lossy();
    let mut machine = ThisMachine::new(path, open);
    machine.read_main();
    let mode = match part {
        Part::Whole => Mode::Main,
        Part::Any => machine.main_text.as_deref().map_or(Mode::Main, Mode::of),
    };
    let mut foreign = match supervisord::read(&main, mode, &machine) {
        Ok(mut configuration) => match translated(&mut configuration, &machine, open) {
            Ok(foreign) => foreign,
            Err(message) => Foreign { diagnostics: vec![of_flags(path, message)], ..Foreign::default() },
        },
        Err(mistakes) => {
            let problems = mistakes.problems.iter().map(supervisord::Problem::diagnostic);
            let warnings = mistakes.warnings.iter().map(supervisord::Warning::diagnostic);
            Foreign { diagnostics: problems.chain(warnings).collect(), ..Foreign::default() }
        }
    };
    foreign.files.splice(0..0, machine.files.into_inner());
    foreign.looked_at.append(&mut machine.looked_at.into_inner());
    foreign.into()
}

/// The same for a configuration that has been read already. An error is the original's text about an option of the
/// command line.
pub(super) fn loaded(configuration: &mut Configuration, machine: ThisMachine<'_>) -> Result<Loaded, String> {
    let mut foreign = translated(configuration, &machine, machine.open)?;
    foreign.files.splice(0..0, machine.files.into_inner());
    foreign.looked_at.append(&mut machine.looked_at.into_inner());
    Ok(foreign.into())
}

/// Puts the options of the command line above the settings of the file, and translates both.
fn translated(configuration: &mut Configuration, machine: &ThisMachine<'_>, open: &Opener) -> Result<Foreign, String> {
    let called = AS_SUPERVISORD.get();
    if let Some(called) = called {
        called.flags.apply(&mut configuration.supervisord, machine)?;
    }
    let inherited = Inherited { umask: umask(), becomes_user: called.is_some() };
    let adjust = |daemon: &mut DaemonSpec| {
        if let Some(called) = called {
            called.set(daemon, &configuration.supervisord);
        }
    };
    let mut translation = supervisord::to_spec(configuration, machine, inherited, open, adjust);
    configuration.warnings.append(&mut translation.warnings);
    let spec = translation.errors.is_empty().then_some(translation.spec);
    let warnings = configuration.warnings.iter().map(supervisord::Warning::diagnostic);
    let diagnostics = translation.errors.into_iter().chain(warnings).collect();
    let disguises = translation.disguises;
    Ok(Foreign { spec, files: translation.files, diagnostics, disguises, looked_at: translation.looked_at })
}

/// An option of the command line that is wrong by now: its user is gone.
fn of_flags(path: &Path, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        file: path.to_owned(),
        line: 1,
        column: 1,
        message,
        hint: Some("it comes from the command line: restart the daemon with another one".to_owned()),
        program: None,
        span: 0..0,
        excerpt: None,
    }
}

/// The umask of this process: reading it by umask(2) would change it for a moment, for all threads.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("Umask:")?.trim(), 8).ok());
    mask.unwrap_or(0o022)
}

/// How this process was called as supervisord. The options of the command line win over the file at every reading.
#[derive(Debug)]
pub struct AsSupervisord {
    /// The options.
    pub flags: Flags,
    /// Whether it is the container's PID 1, which stays in the foreground.
    pub is_first: bool,
}

impl AsSupervisord {
    /// Whether the daemon stays in the foreground.
    pub fn is_foreground(&self, settings: &Settings) -> bool {
        settings.nodaemon || self.is_first
    }

    /// The daemon's own settings, where they differ from those of musterd with the same file.
    fn set(&self, daemon: &mut DaemonSpec, settings: &Settings) {
        let is_foreground = self.is_foreground(settings);
        daemon.log_format = LogFormat::Supervisord;
        // They are raised before, with the original's messages.
        daemon.least_limits.clear();
        daemon.log_to_syslog = settings.logfile == "syslog";
        daemon.log_file = (!daemon.log_to_syslog).then(|| PathBuf::from(&settings.logfile));
        daemon.log_to_stdout = is_foreground && !settings.silent;
        if !is_foreground {
            daemon.umask = u32::try_from(settings.umask & 0o777).unwrap_or(0o022);
            daemon.directory = settings.directory.clone().map(PathBuf::from);
        }
    }
}

/// Whether this process was called as supervisord.
pub fn is_called_as_supervisord() -> bool {
    AS_SUPERVISORD.get().is_some()
}

static AS_SUPERVISORD: OnceLock<AsSupervisord> = OnceLock::new();

/// Notes that this process was called as supervisord. A second call could only come from a second command line.
pub fn call_as_supervisord(called: AsSupervisord) -> &'static AsSupervisord {
    AS_SUPERVISORD.get_or_init(|| called)
}
