//! Notifications: which events are passed on, to a command or to a web server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::source::SourceAddress;
use super::{ProgramSpec, UserSpec};
use crate::address::{Authority, BadAddress, HostPort};
use crate::name::glob_matches;

/// Passes events on: `[notify.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifierSpec {
    /// Its name.
    pub name: String,
    /// The kinds of events that it is for.
    pub on: Vec<NotifyOn>,
    /// The programs that it is for, as globs. Events of the daemon itself concern no program.
    pub programs: Vec<String>,
    /// The way of a notification.
    pub delivery: Delivery,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// At most one notification per program and kind is sent in this time; zero sends each.
    pub every: Duration,
    /// How often a failed attempt is repeated.
    pub retries: u32,
}

/// A kind of event that is worth a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotifyOn {
    /// A program was given up.
    Fatal,
    /// A run ended unexpectedly.
    Exit,
    /// A run became unhealthy.
    Unhealthy,
    /// Memory ran out when a run ended.
    Oom,
    /// A run did not stop in time and got SIGKILL.
    Killed,
    /// A run is followed by another one, as the restart policy says.
    Restart,
    /// A source of the configuration changed its state.
    Source,
    /// The daemon is shutting down.
    Shutdown,
}

/// The way of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A command reads it from its standard input.
    Exec(NotifyCommand),
    /// A web server gets it.
    Webhook(Box<Webhook>),
}

/// A command that reads a notification.
#[derive(Clone, PartialEq, Eq)]
pub struct NotifyCommand {
    /// The program and its arguments, at least one.
    pub command: Vec<String>,
    /// User to run as; `None` is the daemon's own.
    pub user: Option<UserSpec>,
}

/// A web server that gets notifications.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is.
    pub url: WebhookUrl,
    /// Headers of each request.
    pub headers: Vec<(String, String)>,
    /// The file with the key of the signatures.
    pub secret_file: Option<PathBuf>,
    /// Roots to trust instead of those of the system.
    pub cacert: Option<PathBuf>,
    /// Whether requests beyond this machine may be unencrypted.
    pub insecure: bool,
}

/// Where the address of a web server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookUrl {
    /// In the configuration.
    Given(WebhookAddress),
    /// In the first line of a file.
    File(PathBuf),
}

/// The address that notifications are sent to. Often a secret is part of its path.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookAddress {
    /// Whether over TLS.
    pub is_tls: bool,
    /// The server.
    pub server: HostPort,
    /// Path and query, beginning with `/`.
    pub target: String,
}

impl NotifierSpec {
    /// The longest timeout of an attempt.
    pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(300);
    /// The highest number of repetitions.
    pub const MOST_RETRIES: u32 = 10;

    /// Whether it is for events of this program.
    pub fn concerns(&self, program: &ProgramSpec) -> bool {
        self.programs.iter().any(|pattern| glob_matches(pattern, &program.name))
    }
}

impl WebhookAddress {
    /// Reads `https://host[:port]/path`, or the same with `http`.
    pub fn parse(text: &str) -> Result<WebhookAddress, BadAddress> {
        const EXAMPLE: &str = "\"https://hooks.example.org/alerts\"";
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if !matches!(scheme.as_deref(), Some("https" | "http")) {
            return Err(BadAddress { message: "must begin with https:// or http://", hint: EXAMPLE.to_owned() });
        }
        match SourceAddress::parse(text) {
            Ok(SourceAddress::Http { is_tls, server, target }) => Ok(WebhookAddress { is_tls, server, target }),
            Ok(SourceAddress::Etcd { .. }) => {
                Err(BadAddress { message: "must begin with https:// or http://", hint: EXAMPLE.to_owned() })
            }
            Err(error) if error.message == "contains a user" => Err(BadAddress {
                hint: "send it in a header: headers = { Authorization = \"…\" }".to_owned(),
                ..error
            }),
            Err(error) => Err(error),
        }
    }

    /// The port of its scheme.
    pub fn usual_port(&self) -> u16 {
        if self.is_tls { 443 } else { 80 }
    }

    /// Whether requests leave this machine unencrypted.
    pub fn is_exposed(&self) -> bool {
        let address = SourceAddress::Http { is_tls: self.is_tls, server: self.server.clone(), target: String::new() };
        !self.is_tls && !address.is_loopback()
    }
}

/// Without its path, of which a secret is often a part.
impl fmt::Display for WebhookAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = Some(self.server.port).filter(|&port| port != self.usual_port());
        let scheme = if self.is_tls { "https" } else { "http" };
        let path = if self.target == "/" { "/" } else { "/…" };
        write!(f, "{scheme}://{}{path}", Authority { host: self.server.host.clone(), port })
    }
}

impl fmt::Debug for WebhookAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The values of headers are secrets.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Webhook").field("url", &self.url).field("headers", &names).finish_non_exhaustive()
    }
}

/// Arguments may be secrets.
impl fmt::Debug for NotifyCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifyCommand").field("command", &self.command.first()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_path() {
        for (text, shown, is_exposed) in [
            ("https://hooks.example.org/T0/B1/secret", "https://hooks.example.org/…", false),
            ("HTTPS://host:8443", "https://host:8443/", false),
            ("http://127.0.0.1:9000/x?token=y", "http://127.0.0.1:9000/…", false),
            ("http://collector/x", "http://collector/…", true),
        ] {
            let address = WebhookAddress::parse(text).unwrap();
            assert_eq!((address.to_string(), address.is_exposed()), (shown.to_owned(), is_exposed), "{text}");
            assert_eq!(format!("{address:?}"), shown);
        }
    }

    #[test]
    fn only_web_servers_are_addressed() {
        for (text, message) in [
            ("etcds://host/x/", "must begin with https://"),
            ("ftp://host/", "must begin with https://"),
            ("hooks.example.org", "must begin with https://"),
            ("https://user:password@host/", "contains a user"),
            ("https://host/a\r\nX: y", "character that is not allowed"),
        ] {
            let error = WebhookAddress::parse(text).unwrap_err();
            assert!(error.message.contains(message) && !error.hint.contains("token_file"), "{text}: {error:?}");
        }
    }
}
