//! The socket of a FastCGI program: one for all processes of its section, and standard input of each.

use std::path::PathBuf;

use muster_spec::{HostPort, SocketAddress, SocketSpec, UnixKind, UserSpec};

use super::super::model::{FcgiAddress, FcgiSocket, Group, GroupKind, Owner, Process};
use super::super::world::Account;
use super::Context;

/// The socket of a process, if its section is an `[fcgi-program:x]`.
pub(super) fn of(context: &Context<'_>, group: &Group, process: &Process) -> Option<SocketSpec> {
    let socket = match &group.kind {
        GroupKind::Fcgi(socket) => socket,
        _ => process.socket.as_ref()?,
    };
    let section = &context.configuration.sections.get(process.section)?.name;
    let name = section.split_once(':').map_or(section.as_str(), |(_, name)| name);
    Some(socket_spec(context, name, socket))
}

fn socket_spec(context: &Context<'_>, name: &str, socket: &FcgiSocket) -> SocketSpec {
    let (address, mode, owner) = match &socket.address {
        FcgiAddress::Tcp { host, port } => {
            (SocketAddress::Tcp(HostPort { host: host.clone(), port: *port }), SocketSpec::MODE, None)
        }
        FcgiAddress::Unix { path, mode, owner } => {
            // The lowest nine bits are permissions.
            let mode = u32::try_from(mode & 0o777).unwrap_or(SocketSpec::MODE);
            (
                SocketAddress::Unix(UnixKind::Stream, PathBuf::from(path)),
                mode,
                owner.as_ref().map(|owner| user(context, owner)),
            )
        }
    };
    let backlog = socket.backlog.and_then(|backlog| u32::try_from(backlog).ok()).unwrap_or(SocketSpec::BACKLOG);
    // The original removes any socket of this path.
    SocketSpec { backlog, mode, owner, is_stdin: true, replaces: true, ..SocketSpec::new(name, address) }
}

/// An owner without a group leaves that of the daemon.
fn user(context: &Context<'_>, owner: &Owner) -> UserSpec {
    let world = context.world;
    let group = owner.group.or_else(|| Some(world.user(Account::Id(world.uid()))?.group));
    UserSpec { user: owner.user.name.clone(), group: group.map(|group| group.to_string()) }
}
