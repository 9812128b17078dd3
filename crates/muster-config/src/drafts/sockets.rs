//! `sockets = ["tcp://127.0.0.1:9000"]`, or `[program.NAME.sockets.NAME]`: listening sockets that the daemon opens.

use std::path::PathBuf;

use muster_spec::{HostPort, ReadySpec, SocketAddress, SocketSpec, UserSpec, is_valid_name};

use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::users::read_user;
use crate::field::{Field, Owner};
use crate::keys::{Reader, Table};
use crate::value::Content;

/// The state of a socket while its keys are read.
pub(crate) struct SocketDraft {
    name: String,
    at: Place,
    address: Option<SocketAddress>,
    backlog: Option<u32>,
    mode: Option<(u32, Place)>,
    owner: Option<(UserSpec, Place)>,
    stdin_at: Option<Place>,
}

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
        }
        _ => field.expected_with_hint("a list of addresses, or tables by name", EXAMPLE),
    }
}

impl SocketDraft {
    fn new(name: &str, at: Place) -> SocketDraft {
        let name = name.to_owned();
        SocketDraft { name, at, address: None, backlog: None, mode: None, owner: None, stdin_at: None }
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
        self.backlog = field.integer(1..=65_535).and_then(|backlog| u32::try_from(backlog).ok());
    }

    pub(crate) fn mode(&mut self, field: &Field<'_>) {
        self.mode = field.octal().map(|mode| (mode & 0o777, field.place()));
    }

    pub(crate) fn owner(&mut self, field: &Field<'_>) {
        self.owner = read_user(field).flatten().map(|owner| (owner, field.place()));
    }

    pub(crate) fn stdin(&mut self, field: &Field<'_>) {
        self.stdin_at = field.flag().filter(|is_stdin| *is_stdin).map(|_| field.place());
    }

    /// The socket. Its file belongs to the program's user unless another owner is given.
    pub(crate) fn spec(&self, user: Option<&UserSpec>) -> Option<SocketSpec> {
        let address = self.address.clone()?;
        let owner = match &address {
            SocketAddress::Tcp(_) => None,
            SocketAddress::Unix(_) => self.owner.as_ref().map(|(owner, _)| owner).or(user).cloned(),
        };
        Some(SocketSpec {
            name: self.name.clone(),
            address,
            backlog: self.backlog.unwrap_or(SocketSpec::BACKLOG),
            mode: self.mode.map_or(SocketSpec::MODE, |(mode, _)| mode),
            owner,
            is_stdin: self.stdin_at.is_some(),
        })
    }
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
        let is_tcp = matches!(socket.address, Some(SocketAddress::Tcp(_)));
        let at = socket.mode.map(|(_, at)| at).or(socket.owner.as_ref().map(|(_, at)| *at));
        if let Some(at) = at.filter(|_| is_tcp) {
            mistake(at, "mode and owner are for Unix sockets", "leave them out for tcp://");
        }
        let earlier = &sockets[..index];
        if socket.address.is_some() && earlier.iter().any(|other| other.address == socket.address) {
            mistake(socket.at, "two of its sockets have the same address", "leave one out");
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

type Problem = (&'static str, &'static str);

fn address(text: &str) -> Result<SocketAddress, Problem> {
    const FORMS: Problem = ("must begin with tcp:// or unix://", "\"tcp://127.0.0.1:9000\", \"unix:///run/app.sock\"");
    if let Some(path) = text.strip_prefix("unix://") {
        return match path {
            path if !path.starts_with('/') => {
                Err(("must be an absolute path", "unix:///run/app.sock, with three slashes"))
            }
            path if path.ends_with('/') => Err(("must name a file", "unix:///run/app.sock")),
            path if path.len() > LONGEST_PATH => {
                Err(("has a path of more than 107 bytes", "a socket in /run has a short path"))
            }
            path => Ok(SocketAddress::Unix(PathBuf::from(path))),
        };
    }
    let place = text.strip_prefix("tcp://").ok_or(FORMS)?;
    if let Some(port) = place.strip_prefix("*:") {
        let any = HostPort::parse(&format!("localhost:{port}"));
        return any
            .map(|any| SocketAddress::Tcp(HostPort { host: "*".to_owned(), ..any }))
            .map_err(|bad| (bad.message, "\"tcp://*:9000\""));
    }
    let parsed = HostPort::parse(place).map_err(|bad| (bad.message, "\"tcp://127.0.0.1:9000\""))?;
    Ok(SocketAddress::Tcp(HostPort { host: parsed.host.to_ascii_lowercase(), ..parsed }))
}
