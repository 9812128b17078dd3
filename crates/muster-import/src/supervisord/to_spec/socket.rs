//! The socket of a FastCGI program: one for all processes of its section, and standard input of each.

use std::path::PathBuf;

use muster_spec::{HostPort, SocketAddress, SocketSpec, UserSpec};

use super::super::model::{FcgiAddress, FcgiSocket, Group, GroupKind, Owner, Process};
use super::Context;

/// The socket of a process, if its section is an `[fcgi-program:x]`.
pub(super) fn of(context: &Context<'_>, group: &Group, process: &Process) -> Option<SocketSpec> {
    let socket = match &group.kind {
        GroupKind::Fcgi(socket) => socket,
        _ => process.socket.as_ref()?,
    };
    let section = &context.configuration.sections.get(process.section)?.name;
    let name = section.split_once(':').map_or(section.as_str(), |(_, name)| name);
    Some(socket_spec(name, socket))
}

fn socket_spec(name: &str, socket: &FcgiSocket) -> SocketSpec {
    let (address, mode, owner) = match &socket.address {
        FcgiAddress::Tcp { host, port } => {
            (SocketAddress::Tcp(HostPort { host: host.clone(), port: *port }), SocketSpec::MODE, None)
        }
        FcgiAddress::Unix { path, mode, owner } => {
            // The lowest nine bits are permissions.
            let mode = u32::try_from(mode & 0o777).unwrap_or(SocketSpec::MODE);
            (SocketAddress::Unix(PathBuf::from(path)), mode, owner.as_ref().map(user))
        }
    };
    let backlog = socket.backlog.and_then(|backlog| u32::try_from(backlog).ok()).unwrap_or(SocketSpec::BACKLOG);
    SocketSpec { name: name.to_owned(), address, backlog, mode, owner, is_stdin: true }
}

fn user(owner: &Owner) -> UserSpec {
    UserSpec { user: owner.user.name.clone(), group: owner.group.map(|group| group.to_string()) }
}
