//! The machine that this process runs on, as readers of supervisord.conf look at it: variables, users, directories, files.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use muster_config::{LookedAt, Opener, Role};
use muster_import::supervisord::{self, Account, User, World};
use muster_spec::{Resource, UserSpec};
use muster_sys::user::Accounts;

/// The machine that this process runs on.
pub struct ThisMachine<'o> {
    main: PathBuf,
    /// Opens files.
    pub(crate) open: &'o Opener,
    /// The main file, once it has been read.
    pub main_text: Option<Vec<u8>>,
    accounts: RefCell<Accounts>,
    /// The files that were read, in order.
    pub files: RefCell<Vec<PathBuf>>,
    /// The files and directories that reading depended on.
    pub looked_at: RefCell<Vec<LookedAt>>,
}

impl<'o> ThisMachine<'o> {
    /// For a configuration whose main file is this one.
    pub fn new(main: &Path, open: &'o Opener) -> ThisMachine<'o> {
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
    pub fn read_main(&mut self) {
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

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
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

    fn most(&self, resource: Resource) -> u64 {
        muster_sys::limits::most(resource)
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
