//! Opening the files of a configuration, without trusting or waiting for what is not the administrator's.
//!
//! The configuration that was named at the start is believed, whatever it is. A file that it includes speaks with the same
//! authority, so it and its directories must belong to root, the daemon's user, or the owner of the file that includes it.
//! An environment file only gives values: it is read with the rights of the user whose directory it is in, which shuts out links to files that
//! this user could not read. Nothing here blocks once the daemon runs: a FIFO would end reloading.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use muster_config::Role;
use muster_sys::trusted::{Access, Missing, Place, Trust};

/// Opens a file before the daemon runs. The configuration itself may come from a pipe: `musterd -c <(generate)`.
pub(crate) fn open(path: &Path, role: Role<'_>) -> io::Result<File> {
    match role {
        Role::Named if fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) => File::open(path),
        role => open_again(path, role),
    }
}

/// Opens a file while the daemon runs.
pub(crate) fn open_again(path: &Path, role: Role<'_>) -> io::Result<File> {
    match role {
        Role::Named => regular(path),
        Role::Included { by } => included(path, by),
        Role::Environment => {
            let place = Place::resolve(path, &Trust::program(None), Missing::Fail)?;
            let opened = place.open(Access::Read, None)?;
            if opened.is_regular { Ok(opened.file) } else { Err(not_regular()) }
        }
    }
}

/// Opening a FIFO or a device never waits with `O_NONBLOCK`, and has no effect by itself.
fn regular(path: &Path) -> io::Result<File> {
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// The way there is judged like a log file's: whoever can put a link or another name of root's file into the directory would
/// choose what is read, and the error would show it.
fn included(path: &Path, by: &Path) -> io::Result<File> {
    let (includer, own) = (fs::metadata(by)?.uid(), nix::unistd::geteuid().as_raw());
    let is_trusted = |uid| uid == 0 || uid == own || uid == includer;
    let by = by.display();
    let judge = |owner| match owner {
        owner if is_trusted(owner) => Ok(()),
        owner => Err(io::Error::other(format!(
            "it belongs to another user (uid {owner}) than {by}, and would have its authority; give it to the same owner or to root",
        ))),
    };
    judge(fs::metadata(path)?.uid())?;
    let place = Place::resolve(path, &Trust::program(None).with_file_owner(Some(includer)), Missing::Fail)?;
    if let Some(user) = place.works_as().filter(|user| !is_trusted(*user)) {
        return Err(io::Error::other(format!(
            "uid {user} can put any file in its place, which would have the authority of {by}; move it to a directory of the same owner or of root",
        )));
    }
    let opened = place.open(Access::Read, None)?;
    judge(opened.file.metadata()?.uid())?;
    if opened.is_regular { Ok(opened.file) } else { Err(not_regular()) }
}

fn not_regular() -> io::Error {
    io::Error::other("not a regular file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, symlink};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    fn is_root() -> bool {
        let is_root = nix::unistd::geteuid().is_root();
        if !is_root {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"SKIPPED: needs root\n");
        }
        is_root
    }

    #[test]
    fn nothing_that_could_block_is_opened_while_the_daemon_runs() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        for role in [Role::Named, Role::Included { by: directory.path() }, Role::Environment] {
            for path in [&*fifo, directory.path(), Path::new("/dev/zero")] {
                let refused = open_again(path, role).unwrap_err().to_string();
                assert!(refused.contains("regular file"), "{role:?} {}: {refused}", path.display());
            }
        }
        for role in [Role::Included { by: directory.path() }, Role::Environment] {
            assert!(open(&fifo, role).is_err(), "{role:?}");
        }
    }

    #[test]
    fn an_included_file_belongs_to_root_or_the_owner_of_what_includes_it() {
        if !is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let (main, part) = (directory.path().join("main.toml"), directory.path().join("part.toml"));
        for (owner_of_main, owner_of_part, expected) in
            [(0, 0, true), (4242, 0, true), (4242, 4242, true), (0, 4242, false), (4242, 4343, false)]
        {
            for (path, owner) in [(&main, owner_of_main), (&part, owner_of_part)] {
                fs::write(path, "").unwrap();
                chown(path, Some(owner), None).unwrap();
            }
            let opened = open(&part, Role::Included { by: &main });
            assert_eq!(opened.is_ok(), expected, "{owner_of_main} {owner_of_part} {opened:?}");
        }
    }

    #[test]
    fn who_could_choose_the_included_file_has_no_authority() {
        if !is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let (main, home, roots) =
            (directory.path().join("main.toml"), directory.path().join("home"), directory.path().join("roots"));
        fs::create_dir(&home).unwrap();
        for path in [&main, &roots] {
            fs::write(path, "key = \"secret\"\n").unwrap();
        }
        chown(&home, Some(4242), Some(4242)).unwrap();
        let part = home.join("part.toml");
        let is_opened = || open_again(&part, Role::Included { by: &main }).is_ok();
        symlink(&roots, &part).unwrap();
        assert!(!is_opened(), "a link");
        fs::remove_file(&part).unwrap();
        fs::hard_link(&roots, &part).unwrap();
        assert!(!is_opened(), "another name");
        fs::remove_file(&roots).unwrap();
        assert!(!is_opened(), "root's file that was moved there");
        chown(&home, Some(0), Some(0)).unwrap();
        assert!(is_opened());
    }

    #[test]
    fn an_environment_file_is_read_with_the_rights_of_its_directorys_owner() {
        if !is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let (home, secret) = (directory.path().join("home"), directory.path().join("secret"));
        fs::create_dir(&home).unwrap();
        fs::write(&secret, "KEY=value\n").unwrap();
        chown(&home, Some(4242), Some(4242)).unwrap();
        nix::sys::stat::fchmodat(
            nix::fcntl::AT_FDCWD,
            directory.path(),
            Mode::from_bits_truncate(0o755),
            nix::sys::stat::FchmodatFlags::FollowSymlink,
        )
        .unwrap();
        let file = home.join("app.env");
        fs::write(&file, "A=1\n").unwrap();
        chown(&file, Some(4242), Some(4242)).unwrap();
        assert!(open_again(&file, Role::Environment).is_ok());
        fs::remove_file(&file).unwrap();
        symlink(&secret, &file).unwrap();
        assert!(open_again(&file, Role::Environment).is_err(), "a link of the user's");
        fs::remove_file(&file).unwrap();
        fs::hard_link(&secret, &file).unwrap();
        assert!(open_again(&file, Role::Environment).is_err(), "another name of root's file");
        assert!(open_again(&secret, Role::Environment).is_ok());
    }
}
