//! The daemon's address, from `--socket` or `$MUSTER_SOCKET`.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// The longest path a Unix socket can have: `sun_path` of unix(7) without its final zero.
const PATH_MAX: usize = 107;

/// A Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target(PathBuf);

impl Target {
    /// Parses a path, with or without `unix:` or `unix://` in front; the error says what is wrong with it.
    pub(crate) fn parse(text: &OsStr) -> Result<Target, String> {
        let shown = text.to_string_lossy();
        if shown.starts_with("http://") || shown.starts_with("https://") {
            return Err("http:// is not supported yet: give the path of a Unix socket".to_owned());
        }
        let path = ["unix://", "unix:"].iter().find_map(|scheme| text.to_str()?.strip_prefix(scheme));
        let path = path.map_or_else(|| PathBuf::from(text), PathBuf::from);
        match path.as_os_str().len() {
            0 => Err("the path of the socket is empty".to_owned()),
            1..=PATH_MAX => Ok(Target(path)),
            length => Err(format!("the path of a socket has at most {PATH_MAX} bytes, not {length}")),
        }
    }

    /// The path of the socket.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_unix_urls_are_read() {
        for text in ["/run/muster.sock", "unix:/run/muster.sock", "unix:///run/muster.sock"] {
            assert_eq!(Target::parse(OsStr::new(text)).unwrap().path(), Path::new("/run/muster.sock"));
        }
        assert_eq!(Target::parse(OsStr::new("muster.sock")).unwrap().to_string(), "muster.sock");
    }

    #[test]
    fn other_places_are_refused_with_the_reason() {
        for (text, reason) in [
            ("http://localhost:9001", "not supported yet"),
            ("https://musterd.example", "not supported yet"),
            ("", "empty"),
            ("unix://", "empty"),
        ] {
            let error = Target::parse(OsStr::new(text)).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let long = format!("/{}", "x".repeat(PATH_MAX));
        assert!(Target::parse(OsStr::new(&long)).unwrap_err().contains("at most 107 bytes, not 108"));
        assert!(Target::parse(OsStr::new(&long[..PATH_MAX])).is_ok());
    }
}
