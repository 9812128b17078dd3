//! The machine as the reader sees it: one trait, so a configuration can be read with the users, directories and files
//! of another machine.

use muster_spec::Resource;

/// A user as the password database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The number of its primary group.
    pub group: u32,
    /// Its home directory.
    pub home: String,
}

/// A key into the database of users, or of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account<'a> {
    /// By name.
    Name(&'a str),
    /// By number.
    Id(u32),
}

/// The machine. Paths are absolute, or relative to [`World::cwd`].
pub trait World {
    /// The daemon's environment at its start, and on a reread also what earlier readings added to it:
    /// `%(ENV_NAME)s` stands for these. The last of two with one name counts.
    fn variables(&self) -> Vec<(String, String)>;

    /// One of [`World::variables`]. Paths ask for `HOME` often, and a copy of all variables costs more than the path.
    fn variable(&self, name: &str) -> Option<String> {
        self.variables().into_iter().rev().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// The working directory, absolute.
    fn cwd(&self) -> String;

    /// The name of the host.
    fn host(&self) -> String;

    /// The daemon's own user.
    fn uid(&self) -> u32;

    /// A user.
    fn user(&self, key: Account<'_>) -> Option<User>;

    /// The number of a group.
    fn group(&self, key: Account<'_>) -> Option<u32>;

    /// Whether this is a directory.
    fn is_dir(&self, path: &str) -> bool;

    /// Whether anything has this name; a link to nothing counts.
    fn exists(&self, path: &str) -> bool;

    /// The names in a directory, in any order; none if it cannot be read.
    fn entries(&self, directory: &str) -> Vec<String>;

    /// The highest value to which the daemon may raise this limit of its own.
    fn most(&self, _resource: Resource) -> u64 {
        u64::MAX
    }

    /// A file's bytes. A file larger than `most` bytes need not be read to its end: one byte more is enough.
    fn read(&self, path: &str, most: usize) -> std::io::Result<Vec<u8>>;
}
