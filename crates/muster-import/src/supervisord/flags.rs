//! Settings of the original's command line, which win over the file's at every reading.

use super::model::{Level, Settings};
use super::values::{self, Read};
use super::world::World;
use super::{paths, settings};

/// An option of the command line that stands for a setting of `[supervisord]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// `-n`
    Nodaemon,
    /// `-u`
    User,
    /// `-m`
    Umask,
    /// `-d`
    Directory,
    /// `-l`
    Logfile,
    /// `-y`
    LogfileMaxbytes,
    /// `-z`
    LogfileBackups,
    /// `-e`
    Loglevel,
    /// `-j`
    Pidfile,
    /// `-i`
    Identifier,
    /// `-q`
    Childlogdir,
    /// `-a`
    Minfds,
    /// `--minprocs`
    Minprocs,
    /// `-k`
    Nocleanup,
    /// `-t`
    StripAnsi,
    /// `--profile_options`, which is read and has no effect.
    ProfileOptions,
    /// `-s`
    Silent,
}

/// Why an option is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was given before.
    Twice,
    /// The original's reason against the value.
    Value(String),
}

/// The settings that the command line has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    nodaemon: Option<()>,
    silent: Option<()>,
    nocleanup: Option<()>,
    strip_ansi: Option<()>,
    user: Option<String>,
    umask: Option<i64>,
    directory: Option<String>,
    logfile: Option<String>,
    logfile_maxbytes: Option<i64>,
    logfile_backups: Option<i64>,
    loglevel: Option<Level>,
    pidfile: Option<String>,
    identifier: Option<String>,
    childlogdir: Option<String>,
    minfds: Option<i64>,
    minprocs: Option<i64>,
    profile_options: Option<()>,
}

impl Flags {
    /// Takes one option; the value of an option without one is not looked at.
    pub fn set(&mut self, flag: Flag, value: &str, world: &dyn World) -> Result<(), Refused> {
        match flag {
            Flag::Nodaemon => put(&mut self.nodaemon, Ok(())),
            Flag::Silent => put(&mut self.silent, Ok(())),
            Flag::Nocleanup => put(&mut self.nocleanup, Ok(())),
            Flag::StripAnsi => put(&mut self.strip_ansi, Ok(())),
            Flag::ProfileOptions => put(&mut self.profile_options, Ok(())),
            Flag::User => put(&mut self.user, Ok(value.to_owned())),
            Flag::Identifier => put(&mut self.identifier, Ok(value.to_owned())),
            Flag::Umask => put(&mut self.umask, values::octal(value)),
            Flag::Directory => put(&mut self.directory, values::existing_directory(value, world)),
            Flag::Childlogdir => put(&mut self.childlogdir, values::existing_directory(value, world)),
            Flag::Logfile => put(&mut self.logfile, values::path(value, world)),
            Flag::Pidfile => put(&mut self.pidfile, values::path(value, world)),
            Flag::LogfileMaxbytes => put(&mut self.logfile_maxbytes, values::bytes(value)),
            Flag::LogfileBackups => put(&mut self.logfile_backups, values::whole(value)),
            Flag::Minfds => put(&mut self.minfds, values::whole(value)),
            Flag::Minprocs => put(&mut self.minprocs, values::whole(value)),
            Flag::Loglevel => put(&mut self.loglevel, values::level(value)),
        }
    }

    /// Replaces settings of a file. Returns the original's text if the user does not exist.
    pub fn apply(&self, of_file: &mut Settings, world: &dyn World) -> Result<(), String> {
        of_file.nodaemon |= self.nodaemon.is_some();
        of_file.silent |= self.silent.is_some();
        of_file.nocleanup |= self.nocleanup.is_some();
        of_file.strip_ansi |= self.strip_ansi.is_some();
        replace(&mut of_file.umask, self.umask);
        replace(&mut of_file.logfile_maxbytes, self.logfile_maxbytes);
        replace(&mut of_file.logfile_backups, self.logfile_backups);
        replace(&mut of_file.loglevel, self.loglevel);
        replace(&mut of_file.identifier, self.identifier.clone());
        replace(&mut of_file.childlogdir, self.childlogdir.clone());
        replace(&mut of_file.minfds, self.minfds);
        replace(&mut of_file.minprocs, self.minprocs);
        if self.directory.is_some() {
            of_file.directory.clone_from(&self.directory);
        }
        // The original takes an empty path for none.
        let path = |path: &Option<String>| path.clone().filter(|path| !path.is_empty());
        let logfile = path(&self.logfile);
        replace(&mut of_file.logfile, logfile.map(|path| settings::log_path(path, world)));
        replace(&mut of_file.pidfile, path(&self.pidfile).map(|path| paths::normalized(&path, world)));
        if let Some(user) = &self.user {
            values::user(user, world)?;
            of_file.user = Some(user.clone());
        }
        Ok(())
    }
}

/// A value is read before a second one is refused, as in the original.
fn put<T>(slot: &mut Option<T>, value: Read<T>) -> Result<(), Refused> {
    let value = value.map_err(Refused::Value)?;
    if slot.is_some() {
        return Err(Refused::Twice);
    }
    *slot = Some(value);
    Ok(())
}

fn replace<T>(setting: &mut T, flag: Option<T>) {
    if let Some(flag) = flag {
        *setting = flag;
    }
}
