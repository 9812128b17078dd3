//! `[http] listen`: the listeners besides the control socket, and the rule that none is open by mistake.

use std::path::PathBuf;

use muster_spec::{HostPort, IdentitySpec, ListenAddress, ListenSpec, Role, TlsSpec, is_valid_name};

use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::tls::{CertificateCheck, TlsDraft};
use crate::drafts::users::read_user;
use crate::field::{Field, Owner};
use crate::keys::{Reader, Table};
use crate::value::Content;

/// `sockaddr_un` has room for 107 bytes and a zero; the socket is first bound with `.new` behind its name.
const LONGEST_PATH: usize = 103;

const EXAMPLE: &str = "listen = [\"http://127.0.0.1:9001\", { address = \"unix:///run/ro.sock\", anyone = \"read\" }]";

/// A listener while its keys are read.
pub(crate) struct ListenDraft {
    at: Place,
    spec: Option<ListenSpec>,
    role: Option<Role>,
    anyone: Option<(Role, Place)>,
    is_insecure: bool,
    mode: Option<(u32, Place)>,
    owner: Option<muster_spec::UserSpec>,
    connections: Option<usize>,
    allow_hosts: Vec<String>,
    tls: TlsDraft,
    /// Whether the address has no scheme, so that a certificate decides it.
    is_open_scheme: bool,
}

/// Reads the list of listeners.
pub(crate) fn read_listeners(field: &Field<'_>) -> Option<Vec<ListenDraft>> {
    let Some(items) = field.list() else {
        field.expected_with_hint("a list of addresses", EXAMPLE);
        return None;
    };
    Some(items.iter().map(ListenDraft::read).collect())
}

impl ListenDraft {
    fn read(field: &Field<'_>) -> ListenDraft {
        let mut draft = ListenDraft {
            at: field.place(),
            spec: None,
            role: None,
            anyone: None,
            is_insecure: false,
            mode: None,
            owner: None,
            connections: None,
            allow_hosts: Vec::new(),
            tls: TlsDraft::default(),
            is_open_scheme: false,
        };
        if !matches!(field.value.content, Content::Table(_)) {
            draft.address(field);
            return draft;
        }
        field.each_key(Table::Listen, |key, child| {
            if let Reader::Listen(read) = key.reader {
                read(&mut draft, child);
            }
        });
        if !field.has("address") {
            field.error_with_hint("has no address", "address = \"http://127.0.0.1:9001\"");
        }
        draft
    }

    pub(crate) fn address(&mut self, field: &Field<'_>) {
        self.at = field.place();
        let Some(text) = field.text() else { return };
        match address(&text.text) {
            Ok(address) => {
                self.is_open_scheme = !text.text.starts_with("http://");
                self.spec = Some(ListenSpec::at(address));
            }
            Err((problem, hint)) => field.error_with_hint(format!("{problem}: {}", field.shown_text(&text)), hint),
        }
    }

    pub(crate) fn role(&mut self, field: &Field<'_>) {
        self.role = field.choice(&Role::ALL);
    }

    pub(crate) fn anyone(&mut self, field: &Field<'_>) {
        self.anyone = field.choice(&Role::ALL).map(|role| (role, field.place()));
    }

    pub(crate) fn insecure(&mut self, field: &Field<'_>) {
        self.is_insecure = field.flag().unwrap_or_default();
    }

    pub(crate) fn mode(&mut self, field: &Field<'_>) {
        self.mode = field.octal().map(|mode| (mode & 0o777, field.place()));
    }

    pub(crate) fn owner(&mut self, field: &Field<'_>) {
        self.owner = read_user(field).flatten();
    }

    pub(crate) fn connections(&mut self, field: &Field<'_>) {
        self.connections = field.integer(1..=4096).and_then(|number| usize::try_from(number).ok());
    }

    pub(crate) fn allow_hosts(&mut self, field: &Field<'_>) {
        self.allow_hosts = hosts(field);
    }

    pub(crate) fn tls(&mut self, read: fn(&mut TlsDraft, &Field<'_>), field: &Field<'_>) {
        read(&mut self.tls, field);
    }

    /// Its address, once it is known whether there is a certificate.
    fn address_with(&self, tls: &TlsDraft) -> Option<ListenAddress> {
        match self.spec.as_ref()?.address.clone() {
            ListenAddress::Http(place) if self.is_open_scheme && tls.has_certificate() => {
                Some(ListenAddress::Https(place))
            }
            address => Some(address),
        }
    }

    /// Whether the keys of `[http]` matter to it.
    fn may_use_tls(&self) -> bool {
        match self.spec.as_ref().map(|spec| &spec.address) {
            Some(ListenAddress::Http(_)) => self.is_open_scheme,
            Some(ListenAddress::Unix(_)) => false,
            Some(ListenAddress::Https(_) | ListenAddress::Inherited(_)) | None => true,
        }
    }

    /// The listener, if its address is right.
    fn finish(
        &self,
        identities: &[IdentitySpec],
        (outer, check): (&TlsDraft, &CertificateCheck),
        report: &Report,
    ) -> Option<ListenSpec> {
        let tls = outer.overridden_by(&self.tls);
        let mut spec = ListenSpec { address: self.address_with(&tls)?, ..self.spec.clone()? };
        let address = spec.address.to_string();
        let mistake = |place: Place, message: &str, hint: &str| {
            let message = format!("listen {address}: {message}");
            report.add(Owner::Table("http").finding(Severity::Error, place, message).hint(hint));
        };
        let is_unix = matches!(spec.address, ListenAddress::Unix(_));
        spec.role = self.role.unwrap_or(spec.role);
        if let Some((anyone, at)) = self.anyone {
            let (most, whose) = if is_unix { (Role::Read, "a Unix socket") } else { (Role::Metrics, "TCP") };
            if anyone > most {
                let message = format!("without a login the role on {whose} is at most {}", most.name());
                mistake(at, &message, "remove anyone, and give clients a login: [http.user.NAME]");
            }
            spec.anyone = Some(anyone);
        }
        let is_inherited = matches!(spec.address, ListenAddress::Inherited(_));
        if matches!(spec.address, ListenAddress::Https(_)) || is_inherited && tls.has_certificate() {
            spec.tls = tls.finish((&address, self.at), check, report);
        } else if let Some((name, at)) = self.tls.first() {
            mistake(at, &format!("{name} is for https://"), "leave it out, or listen on https://");
        }
        if !is_unix && !identities.iter().any(|identity| can_log_in(identity, spec.tls.as_ref())) {
            let hint = "token_file = \"/run/secrets/token\", or [http.user.NAME] with a token_file or password_file";
            mistake(self.at, "no user can log in here", hint);
        }
        if let ListenAddress::Http(place) = &spec.address
            && !place.is_loopback()
            && !self.is_insecure
        {
            let hint = "listen on https:// with tls_cert and tls_key, or on 127.0.0.1, or set insecure = true where the network is trusted";
            mistake(self.at, "tokens travel in clear text: other hosts can read them", hint);
        }
        match self.mode {
            Some((_, at)) if !is_unix => mistake(at, "mode is for Unix sockets", "leave it out"),
            Some((mode, _)) => spec.mode = mode,
            None => {}
        }
        spec.is_insecure = self.is_insecure;
        spec.owner.clone_from(&self.owner);
        spec.connections = self.connections.unwrap_or(spec.connections);
        spec.allow_hosts.clone_from(&self.allow_hosts);
        Some(spec)
    }
}

/// Whether an identity has a token, a password, or a client certificate that this listener asks for.
fn can_log_in(identity: &IdentitySpec, tls: Option<&TlsSpec>) -> bool {
    let by_name = tls.is_some_and(|tls| tls.client.is_some()) && identity.cert.is_some();
    let by_certificate = by_name || tls.is_some() && identity.cert_sha256.is_some();
    !identity.tokens.is_empty() || identity.password.is_some() || by_certificate
}

/// The listeners, after a check of all of them.
pub(crate) fn finish(
    drafts: &[ListenDraft],
    (socket, identities): (Option<&PathBuf>, &[IdentitySpec]),
    (tls, check): (&TlsDraft, &CertificateCheck),
    report: &Report,
) -> Vec<ListenSpec> {
    let mistake = |place: Place, message: &str, hint: &str| {
        report.add(Owner::Table("http").finding(Severity::Error, place, message).hint(hint));
    };
    let mut listeners: Vec<ListenSpec> = Vec::new();
    for (number, draft) in drafts.iter().enumerate() {
        if number + 1 == ListenSpec::MOST {
            mistake(
                draft.at,
                &format!("listen: more than {} listeners, the socket included", ListenSpec::MOST),
                "leave some out",
            );
        }
        let Some(spec) = draft.finish(identities, (tls, check), report) else { continue };
        let is_socket = matches!(&spec.address, ListenAddress::Unix(path) if Some(path) == socket);
        if is_socket || listeners.iter().any(|other| other.address == spec.address) {
            mistake(draft.at, &format!("listen: two listeners have the address {}", spec.address), "leave one out");
        }
        listeners.push(spec);
    }
    if let Some((name, at)) = tls.first().filter(|_| !drafts.iter().any(ListenDraft::may_use_tls)) {
        mistake(at, &format!("{name}: no listener uses it"), "listen = [\"https://0.0.0.0:9443\"], or leave it out");
    }
    listeners
}

/// Names of hosts, `*.` in front for all below.
pub(crate) fn hosts(field: &Field<'_>) -> Vec<String> {
    let is_name = |text: &str| {
        let bare = text.strip_prefix("*.").unwrap_or(text);
        !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    let mut hosts = Vec::new();
    for item in field.items() {
        let Some(text) = item.text() else { continue };
        if is_name(&text.text) {
            hosts.push(text.text.to_ascii_lowercase());
        } else {
            item.text_expected(
                "the name of a host without a port",
                &text,
                Some("\"shop.example.org\", \"*.local\"".to_owned()),
            );
        }
    }
    hosts
}

/// Origins of web pages: `https://HOST[:PORT]`.
pub(crate) fn origins(field: &Field<'_>) -> Vec<String> {
    let is_origin = |text: &str| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        rest.is_some_and(|rest| muster_spec::Authority::parse(rest).is_ok())
    };
    let mut origins = Vec::new();
    for item in field.items() {
        let Some(text) = item.text() else { continue };
        if is_origin(&text.text) {
            origins.push(text.text.to_ascii_lowercase());
        } else {
            item.text_expected("an origin", &text, Some("\"https://ops.example.org\"".to_owned()));
        }
    }
    origins
}

type Problem = (&'static str, &'static str);

fn address(text: &str) -> Result<ListenAddress, Problem> {
    if let Some(path) = text.strip_prefix("unix://") {
        if path.starts_with('@') {
            return Err((
                "an abstract socket has no file mode, and every container of a pod reaches it",
                "unix:///run/NAME.sock",
            ));
        }
        if !path.starts_with('/') {
            return Err(("has no absolute path", "unix:///run/NAME.sock"));
        }
        if path.len() > LONGEST_PATH {
            return Err((
                "has a path that is too long for a socket",
                "unix:///run/NAME.sock is short enough everywhere",
            ));
        }
        return Ok(ListenAddress::Unix(PathBuf::from(path)));
    }
    if let Some(name) = text.strip_prefix("fd://") {
        if !name.is_empty() && !is_valid_name(name) {
            return Err(("is no name of LISTEN_FDNAMES", "fd://api, or fd:// for all that are inherited"));
        }
        return Ok(ListenAddress::Inherited((!name.is_empty()).then(|| name.to_owned())));
    }
    if text.starts_with("vsock:") {
        return Err(("vsock is not supported", EXAMPLE));
    }
    if let Some(place) = text.strip_prefix("https://") {
        return host_and_port(place).map(ListenAddress::Https);
    }
    let place = text.strip_prefix("http://").or_else(|| text.strip_prefix("tcp://")).unwrap_or(text);
    host_and_port(place).map(ListenAddress::Http)
}

fn host_and_port(place: &str) -> Result<HostPort, Problem> {
    if place.contains("://") || place.contains('/') {
        return Err(("is no address", EXAMPLE));
    }
    let (host, port) = place.rsplit_once(':').ok_or(("has no port", "http://127.0.0.1:9001"))?;
    if port == "0" {
        return Err(("has port 0, which no client could find", "http://127.0.0.1:9001"));
    }
    if host == "*" {
        let port = port.parse().map_err(|_| ("has no valid port", "http://*:9001"))?;
        return Ok(HostPort { host: host.to_owned(), port });
    }
    let place = HostPort::parse(place).map_err(|_| ("is no HOST:PORT", "http://127.0.0.1:9001"))?;
    let is_number = place.host.parse::<std::net::IpAddr>().is_ok();
    if !is_number && place.host != "localhost" {
        return Err(("has a host that is neither a number nor localhost nor *", "http://127.0.0.1:9001"));
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_is_read() {
        for (text, shown) in [
            ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
            ("127.0.0.1:9001", "http://127.0.0.1:9001"),
            ("tcp://[::1]:80", "http://[::1]:80"),
            ("http://*:9001", "http://*:9001"),
            ("https://0.0.0.0:9443", "https://0.0.0.0:9443"),
            ("localhost:1", "http://localhost:1"),
            ("unix:///run/a.sock", "unix:///run/a.sock"),
            ("fd://", "fd://"),
            ("fd://api", "fd://api"),
        ] {
            assert_eq!(address(text).map(|address| address.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for text in [
            "",
            "9001",
            "http://",
            "http://127.0.0.1",
            "http://127.0.0.1:0",
            "http://127.0.0.1:70000",
            "*:x",
            "http://shop:80",
            "http://u:p@127.0.0.1:80",
            "http://127.0.0.1:80/x",
            "https://127.0.0.1",
            "unix://run/a",
            "unix://@a",
            "vsock:2:1",
            "ftp://127.0.0.1:1",
            "fd://a/b",
            "http://[::1:80",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
        assert!(address(&format!("unix:///{}", "x".repeat(120))).is_err());
    }
}
