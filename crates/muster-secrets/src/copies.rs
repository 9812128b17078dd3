//! Copies of files for one process: `credentials`.
//!
//! The copies are complete before their user gets the directory. A directory among the originals becomes one among the
//! copies; names in it that begin with `..`, such as Kubernetes' `..data`, are left out.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_spec::{CredentialSpec, SpawnError};
use muster_sys::trusted::Identity;

use crate::home::RunDirectory;
use crate::{About, Progress, Wanted, failed, read};

/// Maximum number of files of a process.
const MOST: usize = 1000;
/// How deep a directory of originals may be.
const DEEPEST: usize = 8;

/// The copies while they are made.
struct Copying<'a> {
    user: Option<&'a Identity>,
    until: Instant,
    /// Bytes and files that may still come.
    left: (usize, usize),
}

pub(crate) fn make(
    wanted: &Wanted,
    (until, patience): (Instant, Duration),
    progress: &Progress,
) -> Result<RunDirectory, SpawnError> {
    let user = wanted.user.as_ref();
    let directory = wanted.home.create(user).map_err(|error| failed(&"credentials", &error))?;
    let mut copying = Copying { user, until, left: (CredentialSpec::LARGEST, MOST) };
    for CredentialSpec { name, path, may_be_missing } in wanted.credentials.iter() {
        let about = About { kind: "credential", name, path };
        progress.set(&about);
        match copying.copy(path, directory.path().join(name), DEEPEST) {
            Err(error) if *may_be_missing && error.kind() == io::ErrorKind::NotFound => {}
            copied => copied.map_err(|error| about.error(&error, patience))?,
        }
    }
    copying.give(directory.path()).map_err(|error| failed(&"credentials", &error))?;
    Ok(directory)
}

impl Copying<'_> {
    fn copy(&mut self, from: &Path, to: PathBuf, deepest: usize) -> io::Result<()> {
        match read::names(from, self.user, MOST + 1) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            names => return self.copy_directory((from, names?), &to, deepest),
        }
        let (bytes, files) = &mut self.left;
        let content = read::content(from, self.user, *bytes, self.until).map_err(|error| {
            if error.kind() == io::ErrorKind::FileTooLarge {
                io::Error::other("all credentials together are larger than 1 MiB")
            } else {
                error
            }
        })?;
        *bytes -= content.bytes().len();
        *files = files.checked_sub(1).ok_or_else(|| io::Error::other(format!("more than {MOST} files")))?;
        let mut file = File::options().write(true).create_new(true).mode(0o400).open(&to)?;
        file.write_all(content.bytes())?;
        file.set_permissions(Permissions::from_mode(0o400))?;
        self.give(&to)
    }

    fn copy_directory(&mut self, (from, names): (&Path, Vec<OsString>), to: &Path, deepest: usize) -> io::Result<()> {
        let deepest = deepest.checked_sub(1).ok_or_else(|| io::Error::other(format!("deeper than {DEEPEST}")))?;
        DirBuilder::new().mode(0o700).create(to)?;
        for name in names {
            if !name.to_string_lossy().starts_with("..") {
                self.copy(&from.join(&name), to.join(&name), deepest)?;
            }
        }
        self.give(to)
    }

    /// The path is in a directory that is still the daemon's alone.
    fn give(&self, path: &Path) -> io::Result<()> {
        self.user.map_or(Ok(()), |user| chown(path, Some(user.uid), Some(user.gid)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::sync::Arc;

    use muster_spec::ProcessSpec;

    use crate::{Home, PATIENCE, prepare};

    fn made(place: &Path, credentials: &[(&str, &Path)], user: Option<Identity>) -> Result<RunDirectory, String> {
        let spec = |(name, path): &(&str, &Path)| CredentialSpec {
            name: (*name).to_owned(),
            path: path.to_path_buf(),
            may_be_missing: false,
        };
        let credentials = credentials.iter().map(spec).collect();
        let process = ProcessSpec { credentials, ..ProcessSpec::of(Vec::new()) };
        let home = Arc::new(Home::new(Some(&place.join("muster.sock"))));
        let prepared = prepare(&Wanted::of(&process, user, &home), PATIENCE, &Progress::default());
        prepared.map(|prepared| prepared.directory.unwrap()).map_err(|error| error.message)
    }

    #[test]
    fn files_and_directories_are_copied_for_the_user_alone() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        let (file, folder) = (place.path().join("key"), place.path().join("folder"));
        fs::write(&file, b"a\0b\n").unwrap();
        fs::create_dir_all(folder.join("..2026/deeper")).unwrap();
        fs::create_dir_all(folder.join("inner")).unwrap();
        fs::write(folder.join("..2026/token"), "t").unwrap();
        std::os::unix::fs::symlink("..2026/token", folder.join("token")).unwrap();
        fs::write(folder.join("inner/x"), "x").unwrap();
        let is_root = nix::unistd::geteuid().is_root();
        let user = is_root.then(|| Identity { uid: 4_242, gid: 4_242, groups: vec![4_242] });
        let made = made(place.path(), &[("tls", &file), ("all", &folder)], user).unwrap();
        let expected = if is_root { 4_242 } else { nix::unistd::geteuid().as_raw() };
        let look = |name: &str| {
            let about = fs::metadata(made.path().join(name)).unwrap();
            (about.uid(), about.mode() & 0o7777)
        };
        for name in ["tls", "all/token", "all/inner/x"] {
            assert_eq!(look(name), (expected, 0o400), "{name}");
        }
        for name in ["", "all", "all/inner"] {
            assert_eq!(look(name), (expected, 0o700), "{name:?}");
        }
        assert_eq!(fs::read(made.path().join("tls")).unwrap(), b"a\0b\n");
        assert!(!made.path().join("all/..2026").exists());
    }

    /// The names would be those of the copies.
    #[test]
    fn a_link_of_the_programs_user_to_a_directory_is_not_followed() {
        if !nix::unistd::geteuid().is_root() {
            return eprintln!("SKIPPED: needs root");
        }
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        let (home, secret) = (place.path().join("home"), place.path().join("secret"));
        fs::create_dir(&home).unwrap();
        fs::create_dir(&secret).unwrap();
        fs::set_permissions(&secret, Permissions::from_mode(0o700)).unwrap();
        fs::write(secret.join("customer-42"), "x").unwrap();
        chown(&home, Some(4_242), Some(4_242)).unwrap();
        std::os::unix::fs::symlink(&secret, home.join("all")).unwrap();
        let user = Identity { uid: 4_242, gid: 4_242, groups: vec![4_242] };
        let error = made(place.path(), &[("all", &home.join("all"))], Some(user.clone())).unwrap_err();
        assert!(error.contains("symbolic link") && !error.contains("customer"), "{error}");
        fs::remove_file(home.join("all")).unwrap();
        fs::create_dir(home.join("all")).unwrap();
        fs::write(home.join("all/own"), "x").unwrap();
        for path in ["all", "all/own"] {
            chown(home.join(path), Some(4_242), Some(4_242)).unwrap();
        }
        assert!(made(place.path(), &[("all", &home.join("all"))], Some(user)).is_ok());
    }

    #[test]
    fn all_together_are_bounded_and_a_failure_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        let half = place.path().join("half");
        fs::write(&half, vec![b'x'; CredentialSpec::LARGEST / 2]).unwrap();
        assert!(made(place.path(), &[("a", &half), ("b", &half)], None).is_ok());
        let one = place.path().join("one");
        fs::write(&one, "x").unwrap();
        let error = made(place.path(), &[("a", &half), ("b", &half), ("c", &one)], None).unwrap_err();
        let shown = one.display();
        assert_eq!(error, format!("credential c: {shown}: all credentials together are larger than 1 MiB"));
        let error = made(place.path(), &[("a", &place.path().join("no"))], None).unwrap_err();
        assert!(error.ends_with("/no: no such file"), "{error}");
    }
}
