//! The listening sockets of all programs, one for each address.
//!
//! A reload opens what is new before it changes anything ([`Sockets::prepare`]), so a failed one changes nothing. A start
//! opens what is closed ([`Sockets::open`]). Knows nothing of states: the caller says which addresses are wanted.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use muster_spec::{ProcessSpec, SocketAddress, SocketSpec, UserSpec};

use crate::listener::Listener;
use crate::rights::Rights;
use crate::spawn::reason;
use crate::trusted::{Creation, Identity};
use crate::user::Accounts;

/// All sockets.
#[derive(Debug, Default)]
pub struct Sockets {
    open: HashMap<SocketAddress, Open>,
    prepared: Vec<Open>,
    changes: Vec<Change>,
}

/// Something that happened to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was opened.
    Opened(SocketAddress),
    /// It was closed.
    Closed(SocketAddress),
}

#[derive(Debug)]
struct Open {
    spec: SocketSpec,
    /// `None` leaves the open one in place, with another length of its queue.
    listener: Option<Listener>,
}

/// A socket that could not be opened.
#[derive(Debug)]
pub struct NotOpened {
    /// The address.
    pub address: SocketAddress,
    /// Why.
    pub error: io::Error,
}

impl NotOpened {
    /// The reason as Python words it.
    pub fn in_python(&self) -> String {
        match self.error.raw_os_error() {
            // Python has glibc's words, and musl has others for these two.
            Some(errno @ libc::EADDRINUSE) => format!("[Errno {errno}] Address already in use"),
            Some(errno @ libc::EADDRNOTAVAIL) => format!("[Errno {errno}] Cannot assign requested address"),
            Some(errno) => {
                let text = self.error.to_string();
                format!("[Errno {errno}] {}", text.split(" (os error").next().unwrap_or_default())
            }
            None => self.error.to_string(),
        }
    }
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error.raw_os_error() {
            Some(errno) => write!(f, "cannot listen on {}: {}", self.address, reason(errno)),
            None => write!(f, "cannot listen on {}: {}", self.address, self.error),
        }
    }
}

impl Sockets {
    /// Opens the sockets of `new` that `active` does not have, or has with other options. Until [`Sockets::adopt`] they
    /// are not used, and the next call closes them again.
    pub fn prepare<'a>(
        &mut self,
        active: impl Iterator<Item = &'a ProcessSpec>,
        new: impl Iterator<Item = &'a ProcessSpec>,
        accounts: &mut Accounts,
    ) -> Result<(), NotOpened> {
        self.prepared.clear();
        let known: Vec<&SocketSpec> = active.flat_map(|process| process.sockets.iter()).collect();
        let mut seen = HashSet::new();
        for process in new {
            for spec in process.sockets.iter() {
                if seen.insert(&spec.address) && !known.contains(&spec) {
                    let is_open = self.open.contains_key(&spec.address);
                    let keeps = is_open && matches!(spec.address, SocketAddress::Tcp(_));
                    let listener = if keeps { None } else { Some(listen(spec, process, accounts)?) };
                    self.prepared.push(Open { spec: spec.clone(), listener });
                }
            }
        }
        Ok(())
    }

    /// Uses what was prepared, in the place of what has the same address.
    pub fn adopt(&mut self) {
        for mut prepared in std::mem::take(&mut self.prepared) {
            match (&mut prepared.listener, self.open.get_mut(&prepared.spec.address)) {
                (Some(listener), _) => {
                    listener.keep();
                    self.changes.push(Change::Opened(prepared.spec.address.clone()));
                    self.open.insert(prepared.spec.address.clone(), prepared);
                }
                (None, Some(open)) => {
                    // The kernel refuses no length.
                    let _ = open.listener.as_ref().map(|listener| listener.listen(prepared.spec.backlog));
                    open.spec = prepared.spec;
                }
                (None, None) => {}
            }
        }
    }

    /// Opens those sockets of a process that are closed.
    pub fn open(&mut self, process: &ProcessSpec, accounts: &mut Accounts) -> Result<(), NotOpened> {
        for spec in process.sockets.iter() {
            if self.open.contains_key(&spec.address) {
                continue;
            }
            let mut listener = listen(spec, process, accounts)?;
            listener.keep();
            self.changes.push(Change::Opened(spec.address.clone()));
            self.open.insert(spec.address.clone(), Open { spec: spec.clone(), listener: Some(listener) });
        }
        Ok(())
    }

    /// The open socket of this address.
    pub fn get(&self, address: &SocketAddress) -> Option<BorrowedFd<'_>> {
        self.open.get(address)?.listener.as_ref().map(AsFd::as_fd)
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Closes those that are not wanted, and removes their files.
    pub fn retain(&mut self, is_wanted: impl Fn(&SocketAddress) -> bool) {
        let closed = self.open.extract_if(|address, _| !is_wanted(address));
        self.changes.extend(closed.map(|(address, _)| Change::Closed(address)));
    }

    /// The changes since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

fn listen(spec: &SocketSpec, process: &ProcessSpec, accounts: &mut Accounts) -> Result<Listener, NotOpened> {
    let opened = match &spec.address {
        SocketAddress::Tcp(place) => Listener::tcp(&place.host, place.port, spec.backlog),
        SocketAddress::Unix(path) => listen_at(path, spec, process.user.as_ref(), accounts),
    };
    opened.map_err(|error| NotOpened { address: spec.address.clone(), error })
}

fn listen_at(
    path: &std::path::Path,
    spec: &SocketSpec,
    user: Option<&UserSpec>,
    accounts: &mut Accounts,
) -> io::Result<Listener> {
    let own = Rights::own();
    let mut account =
        |user: &UserSpec| accounts.owner(user, own.gid).map_err(|error| io::Error::other(error.to_string()));
    let owner = spec.owner.as_ref().map(&mut account).transpose()?.map(|owner| (owner.uid, owner.gid));
    let user = user.map(&mut account).transpose()?.map(|account| Identity::from(&account));
    // Giving it to its creator changes nothing, and may not be allowed.
    let owner = owner.filter(|owner| *owner != (own.uid, own.gid));
    Listener::unix(path, Creation { mode: spec.mode, owner }, user, spec.backlog)
}
