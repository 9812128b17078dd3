//! `contexts.toml`: names for daemons.
//!
//! A context names a command that is executed, or a server that a login is sent to. So the file must not be writable by others.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use muster_spec::glob_matches;
use serde::Deserialize;

use crate::failure::{Exit, Failure};
use crate::output::printable;
use crate::reach::Settings;
use crate::via::words;

/// Maximum size of the file.
const FILE_MAX: u64 = 1024 * 1024;

/// Where a daemon is.
#[derive(Clone)]
pub(crate) struct Context {
    /// The words of a command.
    pub(crate) via: Option<Vec<String>>,
    /// A socket or an address.
    pub(crate) url: Option<String>,
    /// How to log in there.
    pub(crate) settings: Settings,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.via, &self.url) {
            (Some(words), _) => write!(f, "via {}", crate::via::join(words)),
            (None, url) => f.write_str(url.as_deref().unwrap_or_default()),
        }
    }
}

/// All contexts, by their names.
pub(crate) struct Contexts {
    path: PathBuf,
    all: BTreeMap<String, Context>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    context: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    via: Option<Command>,
    url: Option<String>,
    token_file: Option<PathBuf>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    #[serde(default)]
    insecure_transport: bool,
    cacert: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    pin: Option<String>,
}

/// A command as one text or as its words.
#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    Text(String),
    Words(Vec<String>),
}

/// The failure of a context.
pub(crate) fn wrong(name: &str, reason: &str) -> Failure {
    Failure::new(Exit::Usage, format!("context {name:?}: {reason}"))
}

impl Contexts {
    /// Reads the file. It may be missing: there are no contexts then.
    pub(crate) fn read(path: Option<&Path>) -> Result<Contexts, Failure> {
        let path = path.ok_or_else(|| {
            Failure::new(Exit::Usage, "there is no place for contexts.toml: set $XDG_CONFIG_HOME or $HOME")
        })?;
        let failed = |reason: String| Failure::new(Exit::Usage, format!("{}: {reason}", path.display()));
        let text = match text(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(|error| failed(error.to_string()))?,
        };
        let document: Document = toml::from_str(&text).map_err(|error| failed(located(&text, &error)))?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        let context = |(name, entry): (String, Entry)| {
            let context = entry.into_context(directory).map_err(|reason| failed(wrong(&name, &reason).message))?;
            Ok((name, context))
        };
        let all = document.context.into_iter().map(context).collect::<Result<_, Failure>>()?;
        Ok(Contexts { path: path.to_owned(), all })
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Context)> {
        self.all.iter().map(|(name, context)| (name.as_str(), context))
    }

    /// The names of all.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    /// Those that these names or globs select, each once and in the order of their names.
    pub(crate) fn select(&self, wanted: &[String]) -> Result<Vec<(&str, &Context)>, Failure> {
        if let Some(unknown) = wanted.iter().find(|wanted| !self.all.keys().any(|name| glob_matches(wanted, name))) {
            let names = self.names().map(printable).collect::<Vec<_>>().join(", ");
            let known = if names.is_empty() { "there are none".to_owned() } else { format!("there are {names}") };
            let message = format!("no context is called {unknown:?} in {}", self.path.display());
            return Err(Failure::new(Exit::Usage, message).with_hint(known));
        }
        let is_wanted = |name: &str| wanted.iter().any(|wanted| glob_matches(wanted, name));
        Ok(self
            .all
            .iter()
            .filter(|(name, _)| is_wanted(name))
            .map(|(name, context)| (name.as_str(), context))
            .collect())
    }
}

fn text(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let refuse = |reason: &str| io::Error::new(io::ErrorKind::PermissionDenied, reason.to_owned());
    if metadata.mode() & 0o022 != 0 {
        return Err(refuse("other users can write to it, and it names commands to execute: chmod 0600 it"));
    }
    if metadata.uid() != 0 && metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(refuse("it belongs to another user, and it names commands to execute"));
    }
    let mut text = String::new();
    if file.take(FILE_MAX + 1).read_to_string(&mut text)? as u64 > FILE_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(text)
}

/// The message of a mistake, with its line.
fn located(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    let message = printable(error.message());
    line.map_or_else(|| message.clone(), |line| format!("line {line}: {message}"))
}

impl Entry {
    /// Paths are relative to the directory of the file.
    fn into_context(self, directory: &Path) -> Result<Context, String> {
        let via = match self.via {
            None => None,
            Some(Command::Text(text)) => Some(words(&text).map_err(|reason| format!("via: {reason}"))?),
            Some(Command::Words(words)) if words.first().is_none_or(String::is_empty) => {
                return Err("via: it is empty".to_owned());
            }
            Some(Command::Words(words)) => Some(words),
        };
        if via.is_some() == self.url.is_some() {
            return Err("it needs either `via` or `url`".to_owned());
        }
        let path = |path: Option<PathBuf>| path.map(|path| directory.join(path));
        let settings = Settings {
            token: None,
            token_file: path(self.token_file),
            user: self.user,
            password_file: path(self.password_file),
            insecure_transport: self.insecure_transport,
            cacert: path(self.cacert),
            cert: path(self.cert),
            key: path(self.key),
            pin: self.pin,
        };
        Ok(Context { via, url: self.url, settings })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(text: &str, mode: u32) -> Result<Contexts, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("contexts.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Contexts::read(Some(&path))
    }

    const SHOPS: &str = "
[context.shop-1]
via = \"docker exec -i 'shop 1'\"
[context.shop-2]
via = [\"docker\", \"exec\", \"-i\", \"shop-2\"]
[context.live]
url = \"https://shop.example.org:9443\"
token_file = \"live.token\"
pin = \"sha256:00\"
";

    #[test]
    fn names_and_globs_select_contexts() {
        let contexts = read(SHOPS, 0o600).unwrap();
        let select = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
            contexts.select(&wanted).map(|all| all.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(select(&["shop-*"]).unwrap(), ["shop-1", "shop-2"]);
        assert_eq!(select(&["shop-2", "live", "shop-?"]).unwrap(), ["live", "shop-1", "shop-2"]);
        let unknown = select(&["live", "shp"]).unwrap_err();
        assert_eq!(unknown.exit, Exit::Usage);
        assert_eq!(unknown.hint.as_deref(), Some("there are live, shop-1, shop-2"));
        assert_eq!(contexts.all["shop-1"].to_string(), "via docker exec -i 'shop 1'");
        let token = contexts.all["live"].settings.token_file.clone().unwrap();
        assert!(token.is_absolute() && token.ends_with("live.token"), "{token:?}");
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        for mode in [0o620, 0o602, 0o666] {
            assert!(read(SHOPS, mode).err().unwrap().message.contains("chmod 0600"), "{mode:o}");
        }
        assert!(read(SHOPS, 0o644).is_ok());
    }

    #[test]
    fn mistakes_have_their_place() {
        for (text, reason) in [
            ("[context.a]\nvia = 1", "line 2"),
            ("[context.a]\nvia = \"x\"\npasword_file = \"x\"", "pasword_file"),
            ("[context.a]", "either `via` or `url`"),
            ("[context.a]\nvia = \"x\"\nurl = \"/x\"", "either `via` or `url`"),
            ("[context.a]\nvia = \"'x\"", "quote"),
            ("[context.a]\nvia = []", "empty"),
            ("[contexts.a]", "contexts"),
        ] {
            let failure = read(text, 0o600).err().unwrap();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(reason), "{text}: {}", failure.message);
        }
    }

    #[test]
    fn without_a_file_there_are_no_contexts() {
        let contexts = Contexts::read(Some(Path::new("/nonexistent/contexts.toml"))).unwrap();
        assert_eq!(contexts.select(&["x".to_owned()]).err().unwrap().hint.as_deref(), Some("there are none"));
    }
}
