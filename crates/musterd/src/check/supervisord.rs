//! Checks a supervisord.conf against the users, directories and files of this machine.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use muster_config::Role;
use muster_import::supervisord::{self, Account, Flags, Mode, Settings, User, World};
use muster_spec::UserSpec;
use muster_sys::user::Accounts;

use super::Checked;
use crate::config_files;

const NOTE: &str = "musterd checks supervisord configurations, but cannot run them yet";

/// Reads the file and everything that it includes. A file without `[supervisord]` is read as one that others include.
pub(crate) fn check(path: &Path) -> Checked {
    let main = path.to_string_lossy();
    let mut machine = ThisMachine::new(path);
    machine.read_main();
    let mode = machine.main_text.as_deref().map_or(Mode::Main, Mode::of);
    let (programs, problems, warnings) = match supervisord::read(&main, mode, &machine) {
        Ok(configuration) => {
            let processes = configuration.groups.iter().map(|group| group.processes.len()).sum();
            (Some(processes), Vec::new(), configuration.warnings)
        }
        Err(mistakes) => (None, mistakes.problems, mistakes.warnings),
    };
    let mut diagnostics: Vec<_> = problems.iter().map(supervisord::Problem::diagnostic).collect();
    diagnostics.extend(warnings.iter().map(supervisord::Warning::diagnostic));
    diagnostics.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    Checked { files: machine.files.into_inner(), programs, diagnostics, note: Some(NOTE) }
}

/// The options of supervisord's command line, which win over the file at every reading.
static FLAGS: OnceLock<Flags> = OnceLock::new();

/// Sets the options of the command line, once.
pub(crate) fn set_flags(flags: Flags) {
    // A second call could only come from a second command line.
    let _ = FLAGS.set(flags);
}

/// Puts the options of the command line above the file's settings. An error is the original's text.
pub(crate) fn apply_flags(settings: &mut Settings, world: &dyn World) -> Result<(), String> {
    FLAGS.get().map_or(Ok(()), |flags| flags.apply(settings, world))
}

/// The machine that this process runs on.
pub(crate) struct ThisMachine {
    main: PathBuf,
    /// The main file, once it has been read.
    main_text: Option<Vec<u8>>,
    accounts: RefCell<Accounts>,
    /// The files that were read, in order.
    files: RefCell<Vec<PathBuf>>,
}

impl ThisMachine {
    /// For a configuration whose main file is this one.
    pub(crate) fn new(main: &Path) -> ThisMachine {
        ThisMachine { main: main.to_owned(), main_text: None, accounts: RefCell::default(), files: RefCell::default() }
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

impl World for ThisMachine {
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
        let entries = std::fs::read_dir(if directory.is_empty() { "." } else { directory });
        entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn read(&self, path: &str, most: usize) -> io::Result<Vec<u8>> {
        if let Some(text) = self.main_text.as_ref().filter(|_| Path::new(path) == self.main) {
            return Ok(text.clone());
        }
        let role = if Path::new(path) == self.main { Role::Named } else { Role::Included { by: &self.main } };
        let file = config_files::open(Path::new(path), role)?;
        let mut bytes = Vec::new();
        file.take(most as u64 + 1).read_to_end(&mut bytes)?;
        self.files.borrow_mut().push(PathBuf::from(path));
        Ok(bytes)
    }
}
