//! Opens the files of a configuration, without trusting or waiting for files that are not the administrator's.
//!
//! The configuration that was named at the start is trusted unconditionally. A file that it includes has the same
//! authority, so the file and its directories must belong to root, the daemon's user, or the owner of the file that
//! includes it. An environment file can set `PATH` and `LD_PRELOAD`, which is enough to execute anything as the
//! program's user. So it may also belong to that user, and in a directory of that user it is read with that user's
//! privileges, which excludes links to files that the user could not read. Neither may be writable by others. Nothing
//! here blocks while the daemon runs: a FIFO would block reloading.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use muster_config::{Role, Untrusted};
use muster_spec::UserSpec;
use muster_sys::trusted::{self, Identity, Missing, Refusal, Trust, TrustedPlace};
use muster_sys::user::Accounts;

use crate::read_once;

/// Opens a file before the daemon runs. The configuration itself may come from a pipe: `musterd -c <(generate)`.
pub fn open(path: &Path, role: Role<'_>) -> io::Result<File> {
    match role {
        Role::Named if fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) => {
            read_once::keep(path)
        }
        role => open_again(path, role),
    }
}

/// Opens a file while the daemon runs.
pub fn open_again(path: &Path, role: Role<'_>) -> io::Result<File> {
    match role {
        Role::Named => read_once::again(path).unwrap_or_else(|| regular(path)),
        Role::Included { by } => included(path, by),
        Role::Environment { by, user } => {
            let open = |trust: &Trust| TrustedPlace::resolve(path, trust, Missing::Fail)?.open_guarded();
            environment(open, by, user)
        }
        Role::Directory { by, user } => environment(|trust| trusted::open_directory(path, trust), by, user),
    }
}

/// Opening a FIFO or a device never waits with `O_NONBLOCK`, and has no effect by itself.
fn regular(path: &Path) -> io::Result<File> {
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// The path is checked like that of a log file: a user who can put a link, or another name of a file of root's, into
/// the directory could choose which file is read, and the error would show its content.
fn included(path: &Path, by: &Path) -> io::Result<File> {
    let (includer, own) = (fs::metadata(by)?.uid(), nix::unistd::geteuid().as_raw());
    let is_trusted = |uid| uid == 0 || uid == own || uid == includer;
    let by = by.display();
    let judge = |owner| match owner {
        owner if is_trusted(owner) => Ok(()),
        owner => Err(io::Error::other(format!(
            "it belongs to another user (uid {owner}) than {by} and would have its authority; change its owner to the same user or root",
        ))),
    };
    judge(fs::metadata(path)?.uid())?;
    let place = TrustedPlace::resolve(path, &Trust::program(None).with_file_owner(Some(includer)), Missing::Fail)?;
    if let Some(user) = place.works_as().filter(|user| !is_trusted(*user)) {
        return Err(io::Error::other(format!(
            "uid {user} can put any file in its place, which would have the authority of {by}; move it to a directory of the same user or root",
        )));
    }
    let file = place.open_guarded()?;
    judge(file.metadata()?.uid())?;
    Ok(file)
}

/// Files of root and the daemon's user are trusted for all programs. The other owners are tried only if a file is not
/// theirs: looking up the user costs more than reading most files.
fn environment(open: impl Fn(&Trust) -> io::Result<File>, by: &Path, user: Option<&UserSpec>) -> io::Result<File> {
    let mut refused = match open(&Trust::own()) {
        Err(error) if Refusal::of(&error).is_some() => error,
        opened => return opened,
    };
    let own_gid = nix::unistd::getegid().as_raw();
    let account = user.and_then(|user| Accounts::default().owner(user, own_gid).ok());
    let includer = fs::metadata(by).ok().map(|about| about.uid());
    let others = [includer.map(Identity::of_owner), account.as_ref().map(Identity::from)];
    for identity in others.into_iter().flatten() {
        match open(&Trust::only(identity)) {
            Err(error) => refused = error,
            opened => return opened,
        }
    }
    let Some(refusal) = Refusal::of(&refused) else { return Err(refused) };
    if refusal.reason.ends_with("not a regular file") {
        return Err(not_regular());
    }
    let users = user.map(|user| format!(", {:?}", user.user)).unwrap_or_default();
    Err(io::Error::other(Untrusted {
        reason: refusal.reason.clone(),
        hint: format!(
            "a user who can write it can have the program load any code: it and its directories must belong to root{users} \
             or the owner of {}, and not be writable by others (chown, chmod go-w)",
            by.display()
        ),
    }))
}

fn not_regular() -> io::Error {
    io::Error::other("not a regular file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

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
        let environment = Role::Environment { by: directory.path(), user: None };
        for role in [Role::Named, Role::Included { by: directory.path() }, environment] {
            for path in [&*fifo, directory.path(), Path::new("/dev/zero")] {
                let refused = open_again(path, role).unwrap_err().to_string();
                assert!(refused.contains("regular file"), "{role:?} {}: {refused}", path.display());
            }
        }
        for role in [Role::Included { by: directory.path() }, environment] {
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

    /// A directory of root's that all users may enter, and a directory of user 4242 in it.
    fn home() -> Option<(tempfile::TempDir, std::path::PathBuf)> {
        if !is_root() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let home = directory.path().join("home");
        fs::create_dir(&home).unwrap();
        chown(&home, Some(4242), Some(4242)).unwrap();
        Some((directory, home))
    }

    fn user(uid: u32) -> UserSpec {
        UserSpec { user: uid.to_string(), group: Some(uid.to_string()) }
    }

    #[test]
    fn an_environment_file_is_read_with_the_rights_of_its_directorys_owner() {
        let Some((directory, home)) = home() else { return };
        let (secret, file, user) = (directory.path().join("secret"), home.join("app.env"), user(4242));
        let role = Role::Environment { by: directory.path(), user: Some(&user) };
        fs::write(&secret, "KEY=value\n").unwrap();
        fs::write(&file, "A=1\n").unwrap();
        chown(&file, Some(4242), Some(4242)).unwrap();
        assert!(open_again(&file, role).is_ok());
        fs::remove_file(&file).unwrap();
        symlink(&secret, &file).unwrap();
        assert!(open_again(&file, role).is_err(), "a link of the user's");
        fs::remove_file(&file).unwrap();
        fs::hard_link(&secret, &file).unwrap();
        assert!(open_again(&file, role).is_err(), "another name of root's file");
        assert!(open_again(&secret, role).is_ok());
    }

    #[test]
    fn a_directory_of_environment_files_is_listed_by_the_same_rules() {
        let Some((directory, home)) = home() else { return };
        let (secret, listed, user) = (directory.path().join("secret"), home.join("env"), user(4242));
        let role = Role::Directory { by: directory.path(), user: Some(&user) };
        fs::create_dir(&secret).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(open_again(&home, role).is_ok() && open_again(&secret, role).is_ok());
        symlink(&secret, &listed).unwrap();
        let error = open_again(&listed, role).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        let role = Role::Directory { by: directory.path(), user: None };
        assert!(open_again(&home, role).is_err(), "a directory of a user who is not the program's");
    }

    #[test]
    fn an_environment_file_belongs_to_root_the_programs_user_or_the_configurations_owner() {
        let Some((directory, home)) = home() else { return };
        let main = directory.path().join("main.toml");
        fs::write(&main, "").unwrap();
        let programs = [None, Some(user(4242)), Some(user(4343)), Some(user(0))];
        for (place, owner, mode, owner_of_main, expected) in [
            (directory.path(), 0, 0o644, 0, [true, true, true, true]),
            (directory.path(), 4242, 0o600, 0, [false, true, false, false]),
            (&home, 4242, 0o600, 0, [false, true, false, false]),
            (&home, 4242, 0o664, 0, [false, true, false, false]),
            (&home, 4242, 0o600, 4242, [true, true, true, true]),
            (directory.path(), 4242, 0o600, 4242, [true, true, true, true]),
            (&home, 4343, 0o644, 0, [false, false, false, false]),
            (directory.path(), 0, 0o666, 4242, [false, false, false, false]),
            (directory.path(), 4242, 0o646, 4242, [false, false, false, false]),
        ] {
            let file = place.join("app.env");
            fs::write(&file, "A=1\n").unwrap();
            chown(&file, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            chown(&main, Some(owner_of_main), None).unwrap();
            let opened = programs.each_ref().map(|user| {
                let role = Role::Environment { by: &main, user: user.as_ref() };
                open_again(&file, role).map_err(|error| error.to_string())
            });
            let is_opened = opened.each_ref().map(Result::is_ok);
            let shown = file.display();
            assert_eq!(is_opened, expected, "{shown} of {owner} with {mode:o}, main of {owner_of_main}: {opened:?}");
            fs::remove_file(&file).unwrap();
        }
    }

    #[test]
    fn a_file_that_others_can_write_to_is_not_included() {
        let Some((directory, _)) = home() else { return };
        let (main, part) = (directory.path().join("main.toml"), directory.path().join("part.toml"));
        for (owner, group, mode, expected) in [
            (0, 0, 0o664, true),
            (4242, 4242, 0o664, true),
            (0, 4242, 0o664, false),
            (0, 0, 0o646, false),
            (4242, 4343, 0o664, false),
        ] {
            for path in [&main, &part] {
                fs::write(path, "").unwrap();
                chown(path, Some(owner), Some(group)).unwrap();
            }
            fs::set_permissions(&part, fs::Permissions::from_mode(mode)).unwrap();
            let opened = open_again(&part, Role::Included { by: &main });
            assert_eq!(opened.is_ok(), expected, "{owner}:{group} {mode:o} {opened:?}");
        }
    }
}
