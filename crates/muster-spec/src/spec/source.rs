//! Sources: servers that the configuration, or a part of it, is read from.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::address::{Authority, BadAddress, HostPort};

/// A server with a part of the configuration: `[source.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    /// Its name; sources count in the order of their names.
    pub name: String,
    /// Where it is.
    pub address: SourceAddress,
    /// Roots to trust instead of those of the system.
    pub cacert: Option<PathBuf>,
    /// The client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The file with a bearer token.
    pub token_file: Option<PathBuf>,
    /// A user, and the file with the password.
    pub login: Option<(String, PathBuf)>,
    /// How often an HTTP server is asked.
    pub period: Duration,
    /// How often a watch of etcd is compared with the store.
    pub resync: Duration,
    /// Whether the daemon does not start without it.
    pub required: bool,
    /// How long the start waits for it.
    pub wait: Duration,
    /// Whether the last good version is kept in the state directory.
    pub cache: bool,
    /// Whether new versions become active by themselves.
    pub apply: ApplyWhen,
    /// A new version becomes active after a random part of this.
    pub splay: Duration,
    /// The top-level tables that it may use.
    pub may: Vec<SourceTable>,
    /// The users that its programs may run as; empty is any.
    pub run_as: Vec<String>,
    /// Whether a version without programs may follow one with programs.
    pub allow_empty: bool,
}

impl SourceSpec {
    /// The name of one of its texts, in messages.
    pub fn shown(&self, text: &str) -> PathBuf {
        PathBuf::from(format!("{}://…/{}/{text}", self.address.scheme(), self.name))
    }
}

/// When a new version becomes active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyWhen {
    /// As soon as it is known.
    Auto,
    /// At the next reload that is asked for.
    Manual,
}

impl ApplyWhen {
    /// All of them, with their words.
    pub const ALL: [(&str, ApplyWhen); 2] = [("auto", ApplyWhen::Auto), ("manual", ApplyWhen::Manual)];
    /// The words.
    pub const WORDS: [&str; 2] = ["auto", "manual"];
}

/// A top-level table that the text of a source may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceTable {
    /// `[program.NAME]`.
    Program,
    /// `[group.NAME]`.
    Group,
    /// `[defaults]`.
    Defaults,
    /// `[musterd]`.
    Musterd,
}

impl SourceTable {
    /// All of them, with their words.
    pub const ALL: [(&str, SourceTable); 4] = [
        ("program", SourceTable::Program),
        ("group", SourceTable::Group),
        ("defaults", SourceTable::Defaults),
        ("musterd", SourceTable::Musterd),
    ];
    /// The words.
    pub const WORDS: [&str; 4] = ["program", "group", "defaults", "musterd"];
    /// Those that are allowed by default.
    pub const DEFAULT: [SourceTable; 3] = [SourceTable::Program, SourceTable::Group, SourceTable::Defaults];
}

/// Where a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceAddress {
    /// A text that an HTTP server has.
    Http {
        /// Whether over TLS.
        is_tls: bool,
        /// The server.
        server: HostPort,
        /// Path and query, beginning with `/`.
        target: String,
    },
    /// All keys of etcd with a prefix.
    Etcd {
        /// Whether over TLS.
        is_tls: bool,
        /// The members of the cluster.
        members: Vec<HostPort>,
        /// The prefix of the keys; ends in `/`.
        prefix: String,
    },
}

const SCHEMES: [&str; 4] = ["https", "http", "etcds", "etcd"];
/// More members than any cluster has.
const MOST_MEMBERS: usize = 16;

/// Whether this is the address of a source, and not a path.
pub fn is_source_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)))
}

fn bad<T>(message: &'static str, hint: impl Into<String>) -> Result<T, BadAddress> {
    Err(BadAddress { message, hint: hint.into() })
}

impl SourceAddress {
    /// Reads `https://host[:port]/path` or `etcds://host[:port],host[:port]/prefix/`, or the same without `s`.
    pub fn parse(text: &str) -> Result<SourceAddress, BadAddress> {
        const EXAMPLES: &str = "\"https://host/muster.toml\", \"etcds://host:2379/prefix/\"";
        let Some((scheme, rest)) = text.split_once("://").filter(|_| is_source_address(text)) else {
            return bad("must begin with https://, etcds://, http:// or etcd://", EXAMPLES);
        };
        if rest.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return bad("contains a character that is not allowed in an address", "percent-encode it, as in %20");
        }
        let scheme = scheme.to_ascii_lowercase();
        let is_tls = scheme.ends_with('s');
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return bad("contains a user", "username and password_file, or token_file, log in");
        }
        if scheme.starts_with("etcd") { etcd(is_tls, authority, path) } else { http(is_tls, authority, path) }
    }

    /// Its scheme.
    pub fn scheme(&self) -> &'static str {
        match self {
            SourceAddress::Http { is_tls: true, .. } => "https",
            SourceAddress::Http { .. } => "http",
            SourceAddress::Etcd { is_tls: true, .. } => "etcds",
            SourceAddress::Etcd { .. } => "etcd",
        }
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, SourceAddress::Http { is_tls: true, .. } | SourceAddress::Etcd { is_tls: true, .. })
    }

    /// Whether every host is this machine.
    pub fn is_loopback(&self) -> bool {
        match self {
            SourceAddress::Http { server, .. } => is_loopback(&server.host),
            SourceAddress::Etcd { members, .. } => members.iter().all(|member| is_loopback(&member.host)),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn http(is_tls: bool, authority: &str, path: &str) -> Result<SourceAddress, BadAddress> {
    if path.contains('#') {
        return bad("has a #: the rest would never be sent", "leave it out");
    }
    if !path.is_ascii() {
        return bad("contains a character that is not allowed in an address", "percent-encode it, as in %20");
    }
    let server = host_port(authority, if is_tls { 443 } else { 80 })?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(SourceAddress::Http { is_tls, server, target: format!("{slash}{path}") })
}

fn etcd(is_tls: bool, authority: &str, path: &str) -> Result<SourceAddress, BadAddress> {
    let members: Result<Vec<HostPort>, BadAddress> =
        authority.split(',').map(|member| host_port(member, 2379)).collect();
    let members = members?;
    if members.len() > MOST_MEMBERS {
        return bad("names more than 16 members", "three to five are enough for the daemon to find one that answers");
    }
    let prefix = path.strip_prefix('/').unwrap_or_default().to_owned();
    if prefix.is_empty() {
        return bad("has no prefix, and would read every key of the store", "etcds://host:2379/muster/web/");
    }
    if !prefix.ends_with('/') {
        let hint = format!("end it with a slash, so that it matches no sibling: {prefix}/");
        return bad("has a prefix that does not end in /", hint);
    }
    Ok(SourceAddress::Etcd { is_tls, members, prefix })
}

fn host_port(authority: &str, default: u16) -> Result<HostPort, BadAddress> {
    let Authority { host, port } = Authority::parse(authority)?;
    Ok(HostPort { host, port: port.unwrap_or(default) })
}

impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme())?;
        match self {
            SourceAddress::Http { is_tls, server, target } => {
                let default = if *is_tls { 443 } else { 80 };
                let port = Some(server.port).filter(|&port| port != default);
                write!(f, "{}{target}", Authority { host: server.host.clone(), port })
            }
            SourceAddress::Etcd { members, prefix, .. } => {
                for (number, member) in members.iter().enumerate() {
                    write!(f, "{}{member}", if number == 0 { "" } else { "," })?;
                }
                write!(f, "/{prefix}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown) in [
            ("https://host/a.toml", "https://host/a.toml"),
            ("HTTPS://host:443", "https://host/"),
            ("http://[::1]:8080/x?y=z", "http://[::1]:8080/x?y=z"),
            ("etcds://a,b:1/muster/web/", "etcds://a:2379,b:1/muster/web/"),
            ("etcd://127.0.0.1//root/", "etcd://127.0.0.1:2379//root/"),
        ] {
            assert_eq!(SourceAddress::parse(text).unwrap().to_string(), shown);
        }
        for (text, message) in [
            ("ftp://x/", "must begin with"),
            ("/etc/x", "must begin with"),
            ("https://", "has no valid host"),
            ("https://u:p@host/", "contains a user"),
            ("https://host/a b", "character that is not allowed"),
            ("https://host/a\r\nX: y", "character that is not allowed"),
            ("https://host/ä", "character that is not allowed"),
            ("https://host/#x", "has a #"),
            ("etcd://host", "has no prefix"),
            ("etcd://host/", "has no prefix"),
            ("etcd://host/web", "does not end in /"),
            ("etcd://a,,b/x/", "has no valid host"),
            ("etcd://a:0/x/", "not a number"),
        ] {
            assert!(SourceAddress::parse(text).unwrap_err().message.contains(message), "{text}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (text, expected) in [
            ("http://localhost/", true),
            ("http://127.1.2.3/", true),
            ("http://[::1]/", true),
            ("etcd://127.0.0.1,10.0.0.1/x/", false),
            ("http://localhost.example.org/", false),
        ] {
            assert_eq!(SourceAddress::parse(text).unwrap().is_loopback(), expected, "{text}");
        }
    }
}
