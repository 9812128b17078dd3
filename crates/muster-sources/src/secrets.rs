//! The files that a source, or another server of the daemon, names: certificates, and secrets to log in with.
//!
//! They are read on a thread, since a disk may be slow, and again before each connection, so that a rotated secret counts
//! from the next one on. The configuration of TLS is kept while its files are unchanged.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use muster_spec::SourceSpec;
use tokio::sync::oneshot;

/// The largest file with a secret.
const LARGEST: u64 = 64 * 1024;

/// The credentials of a connection.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The token.
    pub(crate) token: Option<String>,
    /// User and password.
    pub(crate) login: Option<(String, String)>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<std::sync::Arc<muster_tls::rustls::ClientConfig>>,
    /// The files of its certificates when they were read.
    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    pub(crate) looks: Vec<Look>,
}

/// A file as it was: device, inode, last change, size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look(PathBuf, Option<(u64, u64, i64, i64, u64)>);

fn look(path: &Path) -> Look {
    let seen = fs::metadata(path).ok();
    Look(path.to_owned(), seen.map(|at| (at.dev(), at.ino(), at.mtime(), at.mtime_nsec(), at.size())))
}

impl Secrets {
    /// Reads the files of a source, on a thread.
    pub(crate) async fn read(spec: &SourceSpec, earlier: Secrets) -> Result<Secrets, String> {
        let (done, awaited) = oneshot::channel();
        let spec = spec.clone();
        let thread = std::thread::Builder::new().name("secrets".to_owned());
        thread
            .spawn(move || drop(done.send(read(&spec, earlier))))
            .map_err(|error| format!("cannot start a thread: {}", error.kind()))?;
        awaited.await.unwrap_or_else(|_| Err("cannot read the files of the source".to_owned()))
    }
}

fn read(spec: &SourceSpec, earlier: Secrets) -> Result<Secrets, String> {
    let token = spec.token_file.as_deref().map(first_line).transpose()?;
    if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err("token_file: the token has characters that no header can carry".to_owned());
    }
    let login =
        spec.login.as_ref().map(|(user, path)| Ok::<_, String>((user.clone(), first_line(path)?))).transpose()?;
    let files = spec.cacert.iter().chain(spec.identity.iter().flat_map(|(certificate, key)| [certificate, key]));
    let looks: Vec<Look> = files.map(|path| look(path)).collect();
    let tls = spec.address.is_tls().then_some((spec.cacert.as_deref(), spec.identity.as_ref()));
    with_tls(tls, Secrets { token, login, looks, ..Secrets::default() }, earlier)
}

/// The credentials of a connection without a login, over TLS or not. Reads files; keeps the earlier ones while those are
/// unchanged.
pub fn of_server(is_tls: bool, cacert: Option<&Path>, earlier: Secrets) -> Result<Secrets, String> {
    let looks = cacert.into_iter().map(look).collect();
    with_tls(is_tls.then_some((cacert, None)), Secrets { looks, ..Secrets::default() }, earlier)
}

/// The certificates to trust, and the client's own.
type Tls<'a> = (Option<&'a Path>, Option<&'a (PathBuf, PathBuf)>);

#[cfg(feature = "tls")]
fn with_tls(tls: Option<Tls<'_>>, mut secrets: Secrets, earlier: Secrets) -> Result<Secrets, String> {
    if let Some((cacert, identity)) = tls {
        let kept = earlier.tls.filter(|_| earlier.looks == secrets.looks);
        secrets.tls = Some(match kept {
            Some(kept) => kept,
            None => {
                let (cacert, identity) = (cacert.map(Path::to_owned), identity.cloned());
                let client = muster_tls::Client { cacert, identity, pin: None };
                muster_tls::client_config(&client, &|name| std::env::var(name).ok())?
            }
        });
    }
    Ok(secrets)
}

#[cfg(not(feature = "tls"))]
fn with_tls(tls: Option<Tls<'_>>, secrets: Secrets, _: Secrets) -> Result<Secrets, String> {
    if tls.is_some() {
        return Err("this musterd was built without TLS".to_owned());
    }
    Ok(secrets)
}

/// The first line of a file with a secret. Reads at most 64 KiB, and only of a regular file.
pub fn first_line(path: &Path) -> Result<String, String> {
    let problem = |reason: String| format!("cannot read {}: {reason}", path.display());
    let about = fs::metadata(path).map_err(|error| problem(error.kind().to_string()))?;
    // Opening a FIFO would wait for its writer.
    if !about.is_file() || about.len() > LARGEST {
        return Err(problem("not a file with a secret".to_owned()));
    }
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    read.map_err(|error| problem(error.kind().to_string()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { Err(problem("its first line is empty".to_owned())) } else { Ok(line.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_first_line_of_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        for (text, expected) in [("abc\n", Some("abc")), ("  abc  \ndef", Some("abc")), ("", None), ("\nabc", None)] {
            fs::write(&path, text).unwrap();
            assert_eq!(first_line(&path).ok().as_deref(), expected, "{text:?}");
        }
        assert!(first_line(directory.path()).unwrap_err().contains("not a file"));
        assert!(first_line(Path::new("/no/such")).unwrap_err().starts_with("cannot read /no/such"));
    }
}
