//! `secrets` and `credentials`: variables and copies that a process gets from files at each start.
//!
//! [`prepare`] reads everything that one process needs, on the caller's thread, which may wait for a slow disk or a FIFO:
//! never call it on the loop. The values are overwritten when they are dropped, and no message has one. [`Home`] keeps the
//! directories with copies, one for each process; dropping a [`RunDirectory`] removes it.
//!
//! Read [`read`] for which files are opened, and how.

#![forbid(unsafe_code)]

mod copies;
mod home;
mod read;

use std::fmt::{self, Display};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use muster_spec::{CredentialSpec, ProcessSpec, SecretSpec, Span, SpawnError, SpawnStep, Stdin};
use muster_sys::spawn::{reason, wipe};
use muster_sys::trusted::{Identity, Refusal};

pub use home::{Home, RunDirectory};

/// How long reading the files of one process may take.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that are overwritten when they are dropped.
#[derive(Default)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The files that one process needs.
#[derive(Clone, Debug)]
pub struct Wanted {
    secrets: Arc<[SecretSpec]>,
    credentials: Arc<[CredentialSpec]>,
    /// Its standard input, if that has a path.
    stdin: Option<(Stdin, PathBuf)>,
    /// The user of the process; `None` is the daemon's own.
    user: Option<Identity>,
    home: Arc<Home>,
}

impl Wanted {
    /// The files of a process with its own copies.
    pub fn of(process: &ProcessSpec, user: Option<Identity>, home: &Arc<Home>) -> Wanted {
        let (secrets, credentials) = (Arc::clone(&process.secrets), Arc::clone(&process.credentials));
        let stdin = process.stdin_path.clone().map(|path| (process.stdin, path));
        Wanted { secrets, credentials, stdin, user, home: Arc::clone(home) }
    }

    /// Leaves out the copies and the standard input: it uses those of another process, or none.
    pub fn without_copies(self) -> Wanted {
        Wanted { credentials: Arc::default(), stdin: None, ..self }
    }
}

/// The result of reading for one process.
#[derive(Debug, Default)]
pub struct Prepared {
    variables: Vec<(String, Secret)>,
    /// The directory with the copies, if there are any.
    pub directory: Option<RunDirectory>,
    /// Its standard input, if that has a path.
    pub stdin: Option<OwnedFd>,
}

impl Prepared {
    /// The variables. Names are unique.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.bytes()))
    }
}

/// The file that is being read, for the message if that does not end.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<String>>);

impl Progress {
    fn set(&self, about: &About<'_>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = about.to_string();
    }

    /// The error if reading takes longer than it may.
    pub fn too_slow(&self, patience: Duration) -> SpawnError {
        let about = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failed(&about, &format_args!("not read within {}", Span(patience)))
    }
}

/// Reads everything until then.
pub fn prepare(wanted: &Wanted, patience: Duration, progress: &Progress) -> Result<Prepared, SpawnError> {
    let until = Instant::now() + patience;
    let mut prepared = Prepared::default();
    if let Some((stdin, path)) = &wanted.stdin {
        let about = About { kind: "stdin", name: stdin.name(), path };
        progress.set(&about);
        let opened = read::input((*stdin, path), wanted.user.as_ref());
        let failed = |error: &io::Error| SpawnError { step: SpawnStep::Stdio, ..about.error(error, patience) };
        prepared.stdin = Some(opened.map_err(|error| failed(&error))?.into());
    }
    for SecretSpec { name, path, may_be_missing } in wanted.secrets.iter() {
        let about = About { kind: "secret", name, path };
        progress.set(&about);
        match read::value(path, wanted.user.as_ref(), until) {
            Ok(value) => prepared.variables.push((name.clone(), value)),
            Err(error) if *may_be_missing && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(about.error(&error, patience)),
        }
    }
    if !wanted.credentials.is_empty() {
        prepared.directory = Some(copies::make(wanted, (until, patience), progress)?);
    }
    Ok(prepared)
}

/// A file, for messages.
struct About<'a> {
    kind: &'a str,
    name: &'a str,
    path: &'a PathBuf,
}

impl Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind, self.name, self.path.display())
    }
}

impl About<'_> {
    fn error(&self, error: &io::Error, patience: Duration) -> SpawnError {
        let failed = match (Refusal::of(error), error.kind(), error.raw_os_error()) {
            (Some(refusal), ..) => failed(self, &format_args!("{refusal}")),
            (_, io::ErrorKind::NotFound, _) => failed(self, &"no such file"),
            (_, io::ErrorKind::TimedOut, _) => failed(self, &format_args!("nothing to read within {}", Span(patience))),
            (.., Some(errno)) => failed(self, &reason(errno)),
            _ => failed(self, error),
        };
        SpawnError { errno: error.raw_os_error().unwrap_or(0), ..failed }
    }
}

fn failed(about: &dyn Display, why: &dyn Display) -> SpawnError {
    SpawnError { step: SpawnStep::Secret, errno: 0, message: format!("{about}: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn spec(path: &Path, may_be_missing: bool) -> SecretSpec {
        SecretSpec { name: "DB_PASSWORD".to_owned(), path: path.to_owned(), may_be_missing }
    }

    fn prepared(spec: SecretSpec, patience: Duration) -> Result<Vec<(String, Vec<u8>)>, String> {
        let process = ProcessSpec { secrets: [spec].into(), ..ProcessSpec::of(Vec::new()) };
        let wanted = Wanted::of(&process, None, &Arc::new(Home::new(None)));
        let prepared = prepare(&wanted, patience, &Progress::default()).map_err(|error| error.message)?;
        Ok(prepared.variables().map(|(name, value)| (name.to_owned(), value.to_vec())).collect())
    }

    fn read(path: &Path) -> Result<Vec<u8>, String> {
        prepared(spec(path, false), PATIENCE).map(|variables| variables[0].1.clone())
    }

    #[test]
    fn a_value_is_a_files_content_without_one_trailing_newline() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let path = directory.path().join("db_password");
        let largest = vec![0xff; SecretSpec::LARGEST];
        let with_newline = [&largest[..], b"\n"].concat();
        for (content, expected) in [
            (&b"hunter2"[..], &b"hunter2"[..]),
            (b"hunter2\n", b"hunter2"),
            (b"two\nlines\n\n", b"two\nlines\n"),
            (b"", b""),
            (&largest, &largest),
            (&with_newline, &largest),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(read(&path).unwrap(), expected, "{} bytes", content.len());
        }
        let shown = path.display();
        for (content, why) in [
            (&b"a\0b"[..], "has a NUL character, which no variable can have"),
            (&[&largest[..], b"x"].concat(), "larger than 64 KiB"),
            (&[&largest[..], b"\n\n"].concat(), "larger than 64 KiB"),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(read(&path), Err(format!("secret DB_PASSWORD: {shown}: {why}")));
        }
    }

    #[test]
    fn a_missing_file_is_an_error_unless_it_may_be_missing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("no");
        let shown = path.display();
        assert_eq!(read(&path), Err(format!("secret DB_PASSWORD: {shown}: no such file")));
        assert_eq!(prepared(spec(&path, true), PATIENCE), Ok(Vec::new()));
    }

    #[test]
    fn a_fifo_is_read_to_its_end_and_given_up_without_a_writer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let short = Duration::from_millis(30);
        let shown = path.display();
        let late = Err(format!("secret DB_PASSWORD: {shown}: nothing to read within 30ms"));
        assert_eq!(prepared(spec(&path, false), short), late);
        let writer = std::thread::spawn({
            let path = path.clone();
            move || fs::write(path, "from a writer\n").unwrap()
        });
        assert_eq!(read(&path).unwrap(), b"from a writer");
        writer.join().unwrap();
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret(b"hunter2".to_vec())), "***");
    }
}
