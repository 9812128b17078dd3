//! The daemon's address: a Unix socket, `http://` or `https://`, or a command.

use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::login::Login;
use super::tls::Config;
use crate::via::Via;

/// The longest path a Unix socket can have: `sun_path` of unix(7) without its final zero.
const PATH_MAX: usize = 107;

/// A daemon, and how to log in there.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    place: Place,
    login: Option<Login>,
    tls: Option<Arc<Config>>,
}

/// Where a daemon is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP.
    Url(Url),
    /// A command.
    Via(Arc<Via>),
}

/// An address on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// Whether it is `https`.
    pub(crate) is_secure: bool,
    /// A name, or an address without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

impl Target {
    /// A daemon in this place, without a login.
    pub(crate) fn new(place: Place) -> Target {
        Target { place, login: None, tls: None }
    }

    /// The same daemon with this login.
    pub(crate) fn with_login(self, login: Option<Login>) -> Target {
        Target { login, ..self }
    }

    /// The same daemon, over TLS of this configuration.
    pub(crate) fn with_tls(self, tls: Arc<Config>) -> Target {
        Target { tls: Some(tls), ..self }
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The login to send.
    pub(super) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// How TLS is spoken, if it is.
    pub(super) fn tls(&self) -> Option<&Arc<Config>> {
        self.tls.as_ref()
    }

    /// The value of the `Host` header.
    pub(super) fn host(&self) -> String {
        match &self.place {
            Place::Url(url) => url.authority(),
            Place::Unix(_) | Place::Via(_) => "localhost".to_owned(),
        }
    }
}

impl Place {
    /// Parses a path, with or without `unix:` or `unix://` in front, or an `http://` or `https://` address. The error says
    /// what is wrong with it.
    pub(crate) fn parse(text: &OsStr) -> Result<Place, String> {
        let shown = text.to_str().unwrap_or_default();
        if shown.starts_with("http://") || shown.starts_with("https://") {
            return Url::parse(shown).map(Place::Url);
        }
        if shown.starts_with("tcp://") {
            return Err("write https:// or http:// instead of tcp://".to_owned());
        }
        let path = ["unix://", "unix:"].iter().find_map(|scheme| text.to_str()?.strip_prefix(scheme));
        let path = path.map_or_else(|| PathBuf::from(text), PathBuf::from);
        match path.as_os_str().len() {
            0 => Err("the path of the socket is empty".to_owned()),
            1..=PATH_MAX => Ok(Place::Unix(path)),
            length => Err(format!("the path of a socket has at most {PATH_MAX} bytes, not {length}")),
        }
    }
}

impl Url {
    /// Parses `https://HOST:PORT`; without a port it is the scheme's own. The error does not quote the text, which may hold a
    /// password.
    fn parse(text: &str) -> Result<Url, String> {
        let is_secure = text.starts_with("https://");
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err("an address contains no user: use `--user` or `--token-file`".to_owned());
        }
        if rest.contains(['/', '?', '#']) {
            return Err("an address ends after its port".to_owned());
        }
        let (host, port) = match rest.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, after))) => {
                host.parse::<std::net::Ipv6Addr>().map_err(|_| "there is no IPv6 address in the brackets")?;
                (host, after.strip_prefix(':').ok_or(after))
            }
            Some(None) => return Err("a bracket is not closed".to_owned()),
            None => rest.split_once(':').map_or((rest, Err("")), |(host, port)| (host, Ok(port))),
        };
        let port = match port {
            Err("") => {
                if is_secure {
                    443
                } else {
                    80
                }
            }
            Err(_) => return Err("the port follows the bracket with a colon".to_owned()),
            Ok(port) => match port.parse() {
                Ok(number @ 1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => number,
                _ => return Err("the port is not a number from 1 to 65535".to_owned()),
            },
        };
        let is_name = |character: char| character.is_ascii_alphanumeric() || "-._:".contains(character);
        if host.is_empty() || host.len() > 253 || !host.chars().all(is_name) {
            return Err("the host is not a name or an address".to_owned());
        }
        Ok(Url { is_secure, host: host.to_owned(), port })
    }

    /// Whether it is on this machine without asking a name server.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host.parse().map_or(self.host.eq_ignore_ascii_case("localhost"), |address: IpAddr| address.is_loopback())
    }

    /// The host and the port.
    pub(super) fn authority(&self) -> String {
        let Url { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_secure { "https" } else { "http" }, self.authority())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(path) => Path::display(path).fmt(f),
            Place::Url(url) => url.fmt(f),
            Place::Via(via) => via.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        Place::parse(OsStr::new(text)).map(|place| Target::new(place).to_string())
    }

    #[test]
    fn paths_and_unix_urls_are_read() {
        for text in ["/run/muster.sock", "unix:/run/muster.sock", "unix:///run/muster.sock"] {
            assert_eq!(shown(text).unwrap(), "/run/muster.sock");
        }
        assert_eq!(shown("muster.sock").unwrap(), "muster.sock");
    }

    #[test]
    fn addresses_are_read() {
        for (text, expected) in [
            ("http://localhost:9001", "http://localhost:9001"),
            ("https://shop.example.org:9443/", "https://shop.example.org:9443"),
            ("https://shop", "https://shop:443"),
            ("http://[::1]:9001", "http://[::1]:9001"),
            ("http://[::1]", "http://[::1]:80"),
        ] {
            assert_eq!(shown(text).unwrap(), expected);
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let is_loopback = |host: &str| Url::parse(&format!("http://{host}:1")).unwrap().is_loopback();
        assert!(["localhost", "127.0.0.1", "127.9.9.9", "[::1]"].into_iter().all(is_loopback));
        assert!(
            !["shop", "10.0.0.1", "0.0.0.0", "localhost.example.org", "127.0.0.1.example.org"]
                .into_iter()
                .any(is_loopback)
        );
    }

    #[test]
    fn other_places_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "empty"),
            ("unix://", "empty"),
            ("tcp://x:1", "https://"),
            ("http://", "host"),
            ("http://me:hunter2@shop:1", "no user"),
            ("http://shop:1/v1", "ends after its port"),
            ("http://shop:0", "port"),
            ("http://shop:65536", "port"),
            ("http://shop:+1", "port"),
            ("http://shop:", "port"),
            ("http://[::1", "bracket"),
            ("http://[::1]x", "port"),
            ("http://[shop]:1", "IPv6"),
            ("http://a b:1", "host"),
            ("http://a\r\nx:1", "host"),
        ] {
            let error = shown(text).unwrap_err();
            assert!(error.contains(reason) && !error.contains("hunter2"), "{text}: {error}");
        }
        let long = format!("/{}", "x".repeat(PATH_MAX));
        assert!(shown(&long).unwrap_err().contains("at most 107 bytes, not 108"));
        assert!(shown(&long[..PATH_MAX]).is_ok());
    }
}
