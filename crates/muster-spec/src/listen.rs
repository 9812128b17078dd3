//! Where the API is served, and who may use it there.

use std::fmt;
use std::path::PathBuf;

use crate::tls::TlsSpec;
use crate::{HostPort, Password, UserSpec};

/// The privileges of a client. Each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Ask whether the daemon is alive and ready.
    Health,
    /// Read the metrics.
    Metrics,
    /// See programs, their output and the daemon.
    Read,
    /// Start, stop and change programs.
    Control,
    /// Everything, such as shutting the daemon down.
    Admin,
}

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// HTTP over TCP; the host `*` is every address.
    Http(HostPort),
    /// HTTP over TLS over TCP, likewise.
    Https(HostPort),
    /// Sockets that the daemon has inherited: all, or those with this name.
    Inherited(Option<String>),
}

impl ListenAddress {
    /// Its host and port on TCP, with TLS or without. The daemon does not know those of inherited sockets.
    pub fn place(&self) -> Option<&HostPort> {
        match self {
            ListenAddress::Http(place) | ListenAddress::Https(place) => Some(place),
            ListenAddress::Unix(_) | ListenAddress::Inherited(_) => None,
        }
    }

    /// Whether only processes on this machine reach it over TCP. A browser is one of them.
    pub fn is_loopback(&self) -> bool {
        self.place().is_some_and(HostPort::is_loopback)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Unix(path) => write!(f, "unix://{}", path.display()),
            ListenAddress::Http(place) => write!(f, "http://{place}"),
            ListenAddress::Https(place) => write!(f, "https://{place}"),
            ListenAddress::Inherited(name) => write!(f, "fd://{}", name.as_deref().unwrap_or_default()),
        }
    }
}

/// How the clients of a listener prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// As an identity or by their user id.
    Identities,
    /// As at a server of supervisord: with one name and password, or not at all.
    Supervisord(Option<Login>),
}

/// A name and its password. The debug form hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub username: String,
    /// The password, or `{SHA}` and its hash.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A listener besides the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSpec {
    /// Its address.
    pub address: ListenAddress,
    /// The highest role of its clients.
    pub role: Role,
    /// The role of a client that does not log in.
    pub anyone: Option<Role>,
    /// How its clients prove who they are.
    pub authentication: Authentication,
    /// Whether secrets may travel in clear text.
    pub is_insecure: bool,
    /// The file mode of a Unix socket.
    pub mode: u32,
    /// The owner of a Unix socket; `None` is the daemon's user.
    pub owner: Option<UserSpec>,
    /// The most connections at a time.
    pub connections: usize,
    /// Names of this host in requests, besides those of [`ControlSpec::allow_hosts`](crate::ControlSpec::allow_hosts).
    pub allow_hosts: Vec<String>,
    /// TLS; always there for `https://`, and used by inherited sockets on TCP.
    pub tls: Option<TlsSpec>,
}

impl ListenSpec {
    /// The most listeners, the control socket included.
    pub const MOST: usize = 16;
    /// The most connections of a listener on TCP, unless configured.
    pub const TCP_CONNECTIONS: usize = 64;
    /// The most connections of a Unix socket, unless configured.
    pub const UNIX_CONNECTIONS: usize = 256;

    /// The listener at an address, with the defaults.
    pub fn at(address: ListenAddress) -> ListenSpec {
        let is_unix = matches!(address, ListenAddress::Unix(_));
        ListenSpec {
            address,
            role: Role::Admin,
            anyone: if is_unix { None } else { Some(Role::Health) },
            authentication: Authentication::Identities,
            is_insecure: false,
            mode: 0o600,
            owner: None,
            connections: if is_unix { ListenSpec::UNIX_CONNECTIONS } else { ListenSpec::TCP_CONNECTIONS },
            allow_hosts: Vec::new(),
            tls: None,
        }
    }
}

/// The listeners at which commands may be executed in the context of programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExecAt {
    /// None.
    Off,
    /// Unix sockets.
    #[default]
    Unix,
    /// All.
    Everywhere,
}

/// A user of the API: `[http.user.NAME]`. The debug form hides its secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentitySpec {
    /// Its name, which is also the user name of a password.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// The file with its tokens.
    pub token_file: Option<PathBuf>,
    /// The file with its password.
    pub password_file: Option<PathBuf>,
    /// The user id of its clients on a Unix socket: a name or a number.
    pub uid: Option<String>,
    /// Its tokens, any of which is right.
    pub tokens: Vec<String>,
    /// Its password.
    pub password: Option<Password>,
    /// The name in its client certificate: `spiffe://…` or another URI, an email address, or a DNS name.
    pub cert: Option<String>,
    /// The SHA-256 of its client certificate, in hexadecimal.
    pub cert_sha256: Option<String>,
}

impl fmt::Debug for IdentitySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentitySpec").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// A file with a secret, and the configuration that names it, whose owner may own it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// Its path.
    pub path: PathBuf,
    /// The file of the configuration.
    pub named_by: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_they_are_written() {
        let http = |host: &str| ListenAddress::Http(HostPort { host: host.to_owned(), port: 9001 });
        assert_eq!(http("::1").to_string(), "http://[::1]:9001");
        assert_eq!(http("*").to_string(), "http://*:9001");
        assert_eq!(ListenAddress::Unix("/run/a".into()).to_string(), "unix:///run/a");
        assert_eq!(ListenAddress::Inherited(None).to_string(), "fd://");
        for (host, is_loopback) in [
            ("127.0.0.1", true),
            ("127.3.3.3", true),
            ("::1", true),
            ("localhost", true),
            ("*", false),
            ("0.0.0.0", false),
            ("10.0.0.1", false),
            ("::ffff:127.0.0.1", true),
        ] {
            assert_eq!(http(host).is_loopback(), is_loopback, "{host}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let login = Login { username: "u".to_owned(), password: "geheim".to_owned() };
        assert!(!format!("{login:?}").contains("geheim"));
    }
}
