//! Loads a supervisord.conf with the users, directories and files of this machine.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use muster_config::{Diagnostic, Foreign, Loaded, LookedAt, Opener, Role, Severity};
use muster_import::supervisord::{self, Account, Configuration, Flags, Inherited, Mode, Settings, User, World};
use muster_spec::{DaemonSpec, LogFormat, UserSpec};
use muster_sys::user::Accounts;

use super::Part;

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
        Ok(mut configuration) => match translated(&mut configuration, &machine) {
            Ok(foreign) => foreign,
            Err(message) => Foreign { diagnostics: vec![of_flags(path, message)], ..Foreign::default() },
        },
        Err(mistakes) => {
            let problems = mistakes.problems.iter().map(supervisord::Problem::diagnostic);
            let warnings = mistakes.warnings.iter().map(supervisord::Warning::diagnostic);
            Foreign { diagnostics: problems.chain(warnings).collect(), ..Foreign::default() }
        }
    };
    foreign.files = machine.files.into_inner();
    foreign.looked_at = machine.looked_at.into_inner();
    foreign.into()
}

/// The same for a configuration that has been read already. An error is the original's text about an option of the
/// command line.
pub(super) fn loaded(configuration: &mut Configuration, machine: ThisMachine<'_>) -> Result<Loaded, String> {
    let mut foreign = translated(configuration, &machine)?;
    foreign.files = machine.files.into_inner();
    foreign.looked_at = machine.looked_at.into_inner();
    Ok(foreign.into())
}

/// Puts the options of the command line above the settings of the file, and translates both.
fn translated(configuration: &mut Configuration, machine: &ThisMachine<'_>) -> Result<Foreign, String> {
    let called = AS_SUPERVISORD.get();
    if let Some(called) = called {
        called.flags.apply(&mut configuration.supervisord, machine)?;
    }
    let inherited = Inherited { umask: umask(), becomes_user: called.is_some() };
    let mut translation = supervisord::to_spec(configuration, machine, inherited);
    if let Some(called) = called {
        called.set(&mut translation.spec.daemon, &configuration.supervisord);
    }
    configuration.warnings.append(&mut translation.warnings);
    let diagnostics = configuration.warnings.iter().map(supervisord::Warning::diagnostic).collect();
    let (spec, disguises) = (Some(translation.spec), translation.disguises);
    Ok(Foreign { spec, diagnostics, disguises, ..Foreign::default() })
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
pub(crate) struct AsSupervisord {
    /// The options.
    pub(crate) flags: Flags,
    /// Whether it is the container's PID 1, which stays in the foreground.
    pub(crate) is_first: bool,
}

impl AsSupervisord {
    /// Whether the daemon stays in the foreground.
    pub(crate) fn is_foreground(&self, settings: &Settings) -> bool {
        settings.nodaemon || self.is_first
    }

    /// The daemon's own settings, where they differ from those of musterd with the same file.
    fn set(&self, daemon: &mut DaemonSpec, settings: &Settings) {
        let is_foreground = self.is_foreground(settings);
        daemon.log_format = LogFormat::Supervisord;
        // The log goes to standard error instead of syslog.
        if settings.logfile != "syslog" {
            daemon.log_file = Some(PathBuf::from(&settings.logfile));
            daemon.log_to_stdout = is_foreground && !settings.silent;
        }
        if !is_foreground {
            daemon.umask = u32::try_from(settings.umask & 0o777).unwrap_or(0o022);
            daemon.directory = settings.directory.clone().map(PathBuf::from);
        }
    }
}

static AS_SUPERVISORD: OnceLock<AsSupervisord> = OnceLock::new();

/// Notes that this process was called as supervisord.
pub(crate) fn call_as_supervisord(called: AsSupervisord) {
    // A second call could only come from a second command line.
    let _ = AS_SUPERVISORD.set(called);
}

/// The machine that this process runs on.
pub(crate) struct ThisMachine<'o> {
    main: PathBuf,
    open: &'o Opener,
    /// The main file, once it has been read.
    main_text: Option<Vec<u8>>,
    accounts: RefCell<Accounts>,
    /// The files that were read, in order.
    files: RefCell<Vec<PathBuf>>,
    looked_at: RefCell<Vec<LookedAt>>,
}

impl<'o> ThisMachine<'o> {
    /// For a configuration whose main file is this one.
    pub(crate) fn new(main: &Path, open: &'o Opener) -> ThisMachine<'o> {
        ThisMachine {
            main: main.to_owned(),
            open,
            main_text: None,
            accounts: RefCell::default(),
            files: RefCell::default(),
            looked_at: RefCell::default(),
        }
    }

    /// Reads the main file once and for all, since it may be a pipe.
    pub(crate) fn read_main(&mut self) {
        self.main_text = self.read(&self.main.to_string_lossy(), supervisord::limits::FILE_BYTES).ok();
    }

    fn user_named(&self, name: &str) -> Option<User> {
        let spec = UserSpec { user: name.to_owned(), group: None };
        let account = self.accounts.borrow_mut().owner(&spec, nix::unistd::getegid().as_raw()).ok()?;
        // A number without an entry has no name but itself, and a name is not looked up as a number.
        (account.name == name).then_some(User {
            id: account.uid,
            name: account.name,
            group: account.gid,
            home: account.home,
        })
    }
}

impl World for ThisMachine<'_> {
    fn variables(&self) -> Vec<(String, String)> {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
    }

    fn cwd(&self) -> String {
        std::env::current_dir().map_or_else(|_| "/".to_owned(), |path| path.to_string_lossy().into_owned())
    }

    fn host(&self) -> String {
        nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn uid(&self) -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    fn user(&self, key: Account<'_>) -> Option<User> {
        match key {
            Account::Name(name) => self.user_named(name).filter(|user| user.name != user.id.to_string()),
            Account::Id(id) => {
                let name = self.accounts.borrow_mut().name(id)?;
                self.user_named(&name)
            }
        }
    }

    fn group(&self, key: Account<'_>) -> Option<u32> {
        let mut accounts = self.accounts.borrow_mut();
        match key {
            Account::Name(name) => accounts.gid(name).ok().filter(|gid| gid.to_string() != name),
            Account::Id(id) => accounts.has_group(id).then_some(id),
        }
    }

    fn is_dir(&self, path: &str) -> bool {
        Path::new(path).is_dir()
    }

    fn exists(&self, path: &str) -> bool {
        Path::new(path).symlink_metadata().is_ok()
    }

    fn entries(&self, directory: &str) -> Vec<String> {
        let directory = if directory.is_empty() { "." } else { directory };
        self.looked_at.borrow_mut().push(LookedAt::Directory(PathBuf::from(directory)));
        let entries = std::fs::read_dir(directory);
        entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn read(&self, path: &str, most: usize) -> io::Result<Vec<u8>> {
        if let Some(text) = self.main_text.as_ref().filter(|_| Path::new(path) == self.main) {
            return Ok(text.clone());
        }
        let role = if Path::new(path) == self.main { Role::Named } else { Role::Included { by: &self.main } };
        self.looked_at.borrow_mut().push(LookedAt::File(PathBuf::from(path)));
        let file = (self.open)(Path::new(path), role)?;
        let mut bytes = Vec::new();
        file.take(most as u64 + 1).read_to_end(&mut bytes)?;
        self.files.borrow_mut().push(PathBuf::from(path));
        Ok(bytes)
    }
}
