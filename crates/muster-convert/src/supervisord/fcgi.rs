//! The socket of `[fcgi-program:x]`: one that the daemon opens, and standard input of each process.

use muster_import::supervisord::{Entry, FcgiAddress, FcgiSocket, Group, GroupKind, Process};
use muster_spec::{HostPort, SocketSpec};

use super::draft::Draft;
use super::program::{Apart, Source};
use super::{Conversion, Members};
use crate::template::{self, Expected, valid_name};
use crate::toml;

/// `sockaddr_un` has room for 107 bytes and a zero: unix(7).
const LONGEST_PATH: usize = 107;

/// The socket of a process, if its section is an `[fcgi-program:x]`, alone or in a group.
pub(super) fn socket_of<'g>(group: &'g Group, process: &'g Process) -> Option<&'g FcgiSocket> {
    match &group.kind {
        GroupKind::Fcgi(socket) => Some(socket),
        _ => process.socket.as_ref(),
    }
}

impl<'c> Conversion<'c> {
    /// Whether TOML can have a socket with this address, which no other may have then.
    pub(super) fn check_address(&mut self, address: &FcgiAddress) -> Result<(), &'static str> {
        match address {
            FcgiAddress::Tcp { host, port } if HostPort::parse(&format!("{host}:{port}")).is_err() => {
                Err("which is no address")
            }
            FcgiAddress::Unix { path, .. } if path.len() > LONGEST_PATH || path.ends_with('/') => {
                Err("which cannot be the path of a socket")
            }
            address if !self.addresses.insert(address.url()) => Err("which another program has"),
            _ => Ok(()),
        }
    }

    /// Adds `sockets.NAME`, with the name of the section.
    pub(super) fn socket(
        &mut self,
        source: &Source<'_, 'c>,
        members: &Members<'c>,
        draft: &mut Draft<'_>,
    ) -> Result<(), Apart> {
        let first = source.first();
        let Some(socket) = socket_of(members.group, first) else { return Ok(()) };
        let url = socket.address.url();
        let expected: Vec<Expected<'_>> =
            source.processes.iter().map(|process| Expected { number: process.number, value: &url }).collect();
        let entry = self.entry(source, "socket");
        let settled = self.settle(entry, source.names(), false, &expected, template::settle);
        let listen = self.settled(settled, source, entry)?;
        let mut pairs = vec![("listen".to_owned(), toml::text(&listen))];
        if let Some(backlog) = socket.backlog.filter(|backlog| *backlog != i64::from(SocketSpec::BACKLOG)) {
            pairs.push(("backlog".to_owned(), backlog.to_string()));
        }
        if let FcgiAddress::Unix { mode, owner, .. } = &socket.address {
            let mode = mode & 0o777;
            if mode != i64::from(SocketSpec::MODE) {
                pairs.push(("mode".to_owned(), format!("\"{mode:04o}\"")));
            }
            // Without one it is that of the program's user, as in the original.
            let written = self.configuration.sections[source.section].entry("socket_owner").map(Entry::written);
            if let (Some(owner), Some(written)) = (owner, written) {
                let group = owner.group.map(|group| format!(":{group}")).unwrap_or_default();
                let named = Some(written.trim()).filter(|text| !text.contains('%'));
                let owner = named.map_or(format!("{}{group}", owner.user.name), str::to_owned);
                pairs.push(("owner".to_owned(), toml::text(&owner)));
            }
        }
        pairs.push(("stdin".to_owned(), "true".to_owned()));
        let name = self.configuration.sections[source.section].name.split_once(':').map_or("", |(_, name)| name.trim());
        let key = format!("sockets.{}", toml::key(&valid_name(name)));
        match toml::inline(&pairs) {
            Some(table) => draft.set_from(&key, table, "socket"),
            None => pairs
                .iter()
                .for_each(|(name, value)| draft.set_from(&format!("{key}.{name}"), value.as_str(), "socket")),
        }
        Ok(())
    }
}
