//! `sockets = ["tcp://127.0.0.1:9000"]`, or `[program.NAME.sockets.NAME]`: listening sockets that the daemon opens.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use muster_spec::{
    HostPort, Kind, ReadySpec, SocketAddress, SocketKeep, SocketOptions, SocketSpec, StartOn, UnixKind, UserSpec,
    is_valid_name,
};

use crate::diagnostic::{Place, Report, Severity};
use crate::dialect::toml::scope::{SOCKET_WORD, SOCKET_WORD_END};
use crate::drafts::program::Rules;
use crate::drafts::users::read_user;
use crate::field::{Field, Owner};
use crate::keys::{Reader, Table};
use crate::value::Content;
use crate::words::nearest_name;

/// The state of a socket while its keys are read.
pub(crate) struct SocketDraft {
    name: String,
    at: Place,
    address: Option<SocketAddress>,
    backlog: Given<u32>,
    mode: Given<u32>,
    owner: Given<UserSpec>,
    reuse_port: Given<bool>,
    v6only: Given<bool>,
    freebind: Given<bool>,
    nodelay: Given<bool>,
    keep: SocketKeep,
    stdin_at: Option<Place>,
}

/// A value that was written down, and where.
type Given<T> = Option<(T, Place)>;

/// `sockaddr_un` has room for 107 bytes and a zero: unix(7).
const LONGEST_PATH: usize = 107;

/// The first descriptor of sd_listen_fds(3).
const FIRST_FD: usize = 3;

const EXAMPLE: &str = "sockets = [\"tcp://127.0.0.1:9000\", \"unix:///run/app.sock\"]";

/// Reads the sockets of a program: a list replaces earlier ones, a table is merged with them.
pub(crate) fn read_sockets(field: &Field<'_>, sockets: &mut Vec<SocketDraft>) {
    match &field.value.content {
        Content::List(_) => {
            let name = field.program.or(field.owner.program()).unwrap_or_default();
            let read = |item: &Field<'_>| {
                let mut draft = SocketDraft::new(name, item.place());
                draft.listen(item);
                draft
            };
            *sockets = field.items().iter().map(read).collect();
        }
        Content::Table(entries) => {
            for (name, value) in entries {
                let at = Place::new(field.file, name.span());
                let child = field.child(name.as_str(), value);
                if !is_valid_name(name.as_str()) {
                    let message = format_args!("{}: invalid name: {:?}", field.path(), name.as_str());
                    let finding = field.owner.finding(Severity::Error, at, message);
                    field.around.report.add(finding.hint("names consist of letters, digits, `_`, `-` and `.`"));
                    continue;
                }
                let index = sockets.iter().position(|known| known.name == name.as_str()).unwrap_or_else(|| {
                    sockets.push(SocketDraft::new(name.as_str(), at));
                    sockets.len() - 1
                });
                sockets[index].read(&child);
            }
            sockets.sort_by(|one, other| one.name.cmp(&other.name));
        }
        _ => field.expected_with_hint("a list of addresses, or tables by name", EXAMPLE),
    }
}

impl SocketDraft {
    fn new(name: &str, at: Place) -> SocketDraft {
        SocketDraft {
            name: name.to_owned(),
            at,
            address: None,
            backlog: None,
            mode: None,
            owner: None,
            reuse_port: None,
            v6only: None,
            freebind: None,
            nodelay: None,
            keep: SocketKeep::default(),
            stdin_at: None,
        }
    }

    fn read(&mut self, field: &Field<'_>) {
        if !matches!(field.value.content, Content::Table(_)) {
            return self.listen(field);
        }
        field.each_key(Table::Socket, |key, child| {
            if let Reader::Socket(read) = key.reader {
                read(self, child);
            }
        });
        if self.address.is_none() && !field.has("listen") {
            field.error_with_hint("has no listen", "listen = \"tcp://127.0.0.1:9000\"");
        }
    }

    pub(crate) fn listen(&mut self, field: &Field<'_>) {
        let Some(text) = field.text() else { return };
        match address(&text.text) {
            Ok(address) => self.address = Some(address),
            Err((problem, hint)) => field.error_with_hint(format!("{problem}: {}", field.shown_text(&text)), hint),
        }
    }

    pub(crate) fn backlog(&mut self, field: &Field<'_>) {
        let backlog = field.integer(1..=65_535).and_then(|backlog| u32::try_from(backlog).ok());
        self.backlog = backlog.map(|backlog| (backlog, field.place()));
    }

    pub(crate) fn mode(&mut self, field: &Field<'_>) {
        self.mode = field.octal().map(|mode| (mode & 0o777, field.place()));
    }

    pub(crate) fn owner(&mut self, field: &Field<'_>) {
        self.owner = read_user(field).flatten().map(|owner| (owner, field.place()));
    }

    pub(crate) fn reuse_port(&mut self, field: &Field<'_>) {
        self.reuse_port = field.flag().map(|flag| (flag, field.place()));
    }

    pub(crate) fn v6only(&mut self, field: &Field<'_>) {
        self.v6only = field.flag().map(|flag| (flag, field.place()));
    }

    pub(crate) fn freebind(&mut self, field: &Field<'_>) {
        self.freebind = field.flag().map(|flag| (flag, field.place()));
    }

    pub(crate) fn nodelay(&mut self, field: &Field<'_>) {
        self.nodelay = field.flag().map(|flag| (flag, field.place()));
    }

    pub(crate) fn keep(&mut self, field: &Field<'_>) {
        if let Some(keep) = field.choice(&SocketKeep::ALL) {
            self.keep = keep;
        }
    }

    pub(crate) fn stdin(&mut self, field: &Field<'_>) {
        self.stdin_at = field.flag().filter(|is_stdin| *is_stdin).map(|_| field.place());
    }

    /// The socket. Its file belongs to the program's user unless another owner is given.
    pub(crate) fn spec(&self, user: Option<&UserSpec>) -> Option<SocketSpec> {
        let address = self.address.clone()?;
        let owner = match &address {
            SocketAddress::Unix(..) => value(&self.owner).or(user.cloned()),
            SocketAddress::Tcp(_) | SocketAddress::Udp(_) | SocketAddress::Inherited(_) => None,
        };
        let is_on = |flag: &Given<bool>| value(flag).unwrap_or(false);
        Some(SocketSpec {
            backlog: value(&self.backlog).unwrap_or(SocketSpec::BACKLOG),
            mode: value(&self.mode).unwrap_or(SocketSpec::MODE),
            owner,
            options: SocketOptions {
                reuse_port: is_on(&self.reuse_port),
                v6only: value(&self.v6only),
                freebind: is_on(&self.freebind),
                nodelay: is_on(&self.nodelay),
            },
            keep: self.keep,
            is_stdin: self.stdin_at.is_some(),
            ..SocketSpec::new(&self.name, address)
        })
    }

    /// The keys that are given and have no meaning for its address, each with the reason.
    fn misplaced(&self) -> Vec<(Place, &'static str, &'static str)> {
        let Some(address) = &self.address else { return Vec::new() };
        let is_unix = matches!(address, SocketAddress::Unix(..));
        let is_network = matches!(address, SocketAddress::Tcp(_) | SocketAddress::Udp(_));
        let is_tcp = matches!(address, SocketAddress::Tcp(_));
        let has_queue = !matches!(
            address,
            SocketAddress::Udp(_) | SocketAddress::Unix(UnixKind::Datagram, _) | SocketAddress::Inherited(_)
        );
        let is_ipv4 = match address {
            SocketAddress::Tcp(place) | SocketAddress::Udp(place) => place.host.parse::<Ipv4Addr>().is_ok(),
            SocketAddress::Unix(..) | SocketAddress::Inherited(_) => false,
        };
        const FILE: (&str, &str) = ("mode and owner are for Unix sockets", "leave them out for this address");
        const NETWORK: (&str, &str) =
            ("reuse_port, v6only and freebind are for tcp:// and udp://", "leave them out for this address");
        let checks = [
            (place(&self.mode), is_unix, FILE),
            (place(&self.owner), is_unix, FILE),
            (place(&self.reuse_port), is_network, NETWORK),
            (place(&self.v6only), is_network, NETWORK),
            (place(&self.freebind), is_network, NETWORK),
            (place(&self.nodelay), is_tcp, ("nodelay is for tcp://", "leave it out for this address")),
            (place(&self.backlog), has_queue, ("this address has no queue of connections", "leave backlog out")),
            (place(&self.v6only), !is_ipv4, ("v6only is for IPv6 and *", "leave it out for an IPv4 address")),
        ];
        let wrong = checks.into_iter().filter(|(_, fits, _)| !fits);
        wrong.filter_map(|(at, _, (problem, hint))| Some((at?, problem, hint))).collect()
    }
}

fn value<T: Clone>(given: &Given<T>) -> Option<T> {
    given.as_ref().map(|(value, _)| value.clone())
}

fn place<T>(given: &Given<T>) -> Option<Place> {
    given.as_ref().map(|(_, place)| *place)
}

/// Checks constraints between the sockets of a program, its readiness and its standard input.
pub(crate) fn check(
    sockets: &[SocketDraft],
    ready: Option<&ReadySpec>,
    has_input: bool,
    (owner, report): (Owner<'_>, &Report),
) {
    let mistake = |place: Place, message: &str, hint: &str| {
        report.add(owner.finding(Severity::Error, place, message).hint(hint));
    };
    for (index, socket) in sockets.iter().enumerate() {
        socket.misplaced().into_iter().for_each(|(at, problem, hint)| mistake(at, problem, hint));
        let earlier = &sockets[..index];
        let is_same_place = |other: &&SocketDraft| {
            let both = other.address.as_ref().zip(socket.address.as_ref());
            both.is_some_and(|(other, own)| other.is_same_place(own))
        };
        if let Some(other) = earlier.iter().find(is_same_place) {
            mistake(socket.at, "two of its sockets have the same address", "leave one out");
            if other.name != socket.name {
                mistake(other.at, "two of its sockets have the same address", "leave one out");
            }
        }
        let Some(at) = socket.stdin_at else { continue };
        if has_input || earlier.iter().any(|other| other.stdin_at.is_some()) {
            mistake(at, "its standard input is something else already", "set one of them as stdin");
        }
    }
    let passed = sockets.iter().filter(|socket| socket.stdin_at.is_none()).count();
    if let (Some(ReadySpec::Fd(fd)), Some(first)) = (ready, sockets.first())
        && (FIRST_FD..FIRST_FD + passed).contains(&(*fd as usize))
    {
        mistake(first.at, "ready.fd is the number of a socket", "sockets are 3 and up: choose a higher ready.fd");
    }
}

/// Checks a start that waits for a client.
pub(crate) fn check_start_on(rules: &Rules, has_sockets: bool, owner: Owner<'_>, report: &Report) {
    let Some(place) = rules.start_on_at.filter(|_| rules.start_on == StartOn::Connection) else { return };
    if !has_sockets {
        let message = "start_on = \"connection\" needs sockets, and there are none";
        report.add(owner.finding(Severity::Error, place, message).hint("sockets = [\"tcp://127.0.0.1:9000\"]"));
    }
    if rules.schedule.is_some() {
        let message = "start_on = \"connection\" and schedule exclude each other";
        report.add(owner.finding(Severity::Error, place, message).hint("a client starts it, or a time: leave out one"));
    }
    if rules.kind == Kind::Oneshot && rules.schedule.is_none() {
        let message = "a oneshot cannot start on a connection: it would never complete";
        report.add(owner.finding(Severity::Error, place, message).hint("a service may exit with success, too"));
    }
}

/// The number of the descriptor of a socket in the process.
fn number_of(sockets: &[SocketDraft], name: &str) -> Option<usize> {
    if sockets.iter().any(|socket| socket.name == name && socket.stdin_at.is_some()) {
        return Some(0);
    }
    let mut passed = sockets.iter().filter(|socket| socket.stdin_at.is_none());
    passed.position(|socket| socket.name == name).map(|index| FIRST_FD + index)
}

/// The names of sockets in these words: `{socket:NAME}`.
fn named_in(words: &[String]) -> impl Iterator<Item = &str> {
    let parts = words.iter().flat_map(|word| word.split(SOCKET_WORD).skip(1));
    parts.filter_map(|rest| rest.split(SOCKET_WORD_END).next())
}

/// The words of a command with the numbers of its sockets.
pub(crate) fn with_numbers(words: &[String], sockets: &[SocketDraft]) -> Vec<String> {
    let number = |name: &str| number_of(sockets, name).map_or_else(String::new, |number| number.to_string());
    let replaced = |word: &String| {
        let mut parts = word.split(SOCKET_WORD);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once(SOCKET_WORD_END).unwrap_or((part, ""));
            text.push_str(&number(name));
            text.push_str(rest);
        }
        text
    };
    words.iter().map(replaced).collect()
}

/// Checks the names of sockets in a command. A hook has no sockets.
pub(crate) fn check_names(
    words: &[String],
    at: Option<Place>,
    sockets: Option<&[SocketDraft]>,
    (owner, report): (Owner<'_>, &Report),
) {
    let Some(at) = at else { return };
    for name in named_in(words) {
        let Some(sockets) = sockets else {
            let finding =
                owner.finding(Severity::Error, at, format_args!("has {{socket:{name}}}, and a hook has none"));
            report.add(finding.hint("only the program itself gets its sockets"));
            continue;
        };
        if number_of(sockets, name).is_none() {
            let finding = owner.finding(Severity::Error, at, format_args!("no socket has this name: {name:?}"));
            let known = sockets.iter().map(|socket| socket.name.as_str());
            let hint = match nearest_name(name, known) {
                Some(known) => format!("did you mean {{socket:{known}}}?"),
                None => format!("sockets.{name} = \"tcp://127.0.0.1:9000\""),
            };
            report.add(finding.hint(hint));
        }
    }
}

type Problem = (&'static str, &'static str);

fn address(text: &str) -> Result<SocketAddress, Problem> {
    const FORMS: Problem = (
        "must begin with tcp://, udp://, unix://, unix-dgram://, unix-seqpacket:// or fd://",
        "\"tcp://127.0.0.1:9000\", \"unix:///run/app.sock\"",
    );
    let (scheme, rest) = text.split_once("://").ok_or(FORMS)?;
    if let Some(kind) = UnixKind::ALL.into_iter().find(|kind| kind.scheme() == scheme) {
        return path(rest).map(|path| SocketAddress::Unix(kind, path));
    }
    match scheme {
        "tcp" => host_and_port(rest, "\"tcp://127.0.0.1:9000\"", "\"tcp://*:9000\"").map(SocketAddress::Tcp),
        "udp" => host_and_port(rest, "\"udp://127.0.0.1:9000\"", "\"udp://*:9000\"").map(SocketAddress::Udp),
        // A name of LISTEN_FDNAMES ends at a colon.
        "fd" if is_valid_name(rest) => Ok(SocketAddress::Inherited(rest.to_owned())),
        "fd" => Err(("must name a socket that the daemon inherits", "\"fd://http\", as in FileDescriptorName=http")),
        _ => Err(FORMS),
    }
}

fn path(path: &str) -> Result<PathBuf, Problem> {
    match path {
        path if !path.starts_with('/') => Err(("must be an absolute path", "unix:///run/app.sock, with three slashes")),
        path if path.ends_with('/') => Err(("must name a file", "unix:///run/app.sock")),
        path if path.len() > LONGEST_PATH => {
            Err(("has a path of more than 107 bytes", "a socket in /run has a short path"))
        }
        path => Ok(PathBuf::from(path)),
    }
}

fn host_and_port(place: &str, example: &'static str, any_example: &'static str) -> Result<HostPort, Problem> {
    if let Some(port) = place.strip_prefix("*:") {
        let any = HostPort::parse(&format!("localhost:{port}"));
        return any.map(|any| HostPort { host: "*".to_owned(), ..any }).map_err(|bad| (bad.message, any_example));
    }
    let parsed = HostPort::parse(place).map_err(|bad| (bad.message, example))?;
    Ok(HostPort { host: parsed.host.to_ascii_lowercase(), ..parsed })
}
