//! Loads a supervisord.conf with the users, directories and files of this machine.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use muster_config::{Foreign, Loaded, LookedAt, Opener, Role};
use muster_import::supervisord::{self, Account, Inherited, Mode, User, World};
use muster_spec::UserSpec;
use muster_sys::user::Accounts;

use super::Part;

/// Reads the file and everything that it includes. With [`Part::Any`] a file without `[supervisord]` is read as one that
/// others include.
pub(super) fn load(path: &Path, open: &Opener, part: Part) -> Loaded {
    let main = path.to_string_lossy();
    let mut machine = ThisMachine::new(path, open);
    // Read once, for it may be a pipe.
    machine.main_text = machine.read(&main, supervisord::limits::FILE_BYTES).ok();
    let mode = match part {
        Part::Whole => Mode::Main,
        Part::Any => machine.main_text.as_deref().map_or(Mode::Main, Mode::of),
    };
    let mut foreign = match supervisord::read(&main, mode, &machine) {
        Ok(configuration) => {
            let translation = supervisord::to_spec(&configuration, &machine, Inherited { umask: umask() });
            let warnings = configuration.warnings.iter().chain(&translation.warnings);
            let diagnostics = warnings.map(supervisord::Warning::diagnostic).collect();
            let (spec, disguises) = (Some(translation.spec), translation.disguises);
            Foreign { spec, diagnostics, disguises, ..Foreign::default() }
        }
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

/// The umask of this process: reading it by umask(2) would change it for a moment, for all threads.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("Umask:")?.trim(), 8).ok());
    mask.unwrap_or(0o022)
}

/// The machine that the daemon runs on.
struct ThisMachine<'o> {
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
    fn new(main: &Path, open: &'o Opener) -> ThisMachine<'o> {
        ThisMachine {
            main: main.to_owned(),
            open,
            main_text: None,
            accounts: RefCell::default(),
            files: RefCell::default(),
            looked_at: RefCell::default(),
        }
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
