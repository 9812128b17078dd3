//! The sockets of all programs, one for each address, or for each instance at an address that they share.
//!
//! A reload opens what is new before it changes anything ([`Sockets::prepare`]), so a failed one changes nothing. A start
//! opens what is closed ([`Sockets::open`]). Knows nothing of states: the caller says which sockets are wanted.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use muster_spec::{HostPort, InstanceSpec, ProcessSpec, SocketAddress, SocketSpec, UnixKind, UserSpec};

use crate::fd::change_owner;
use crate::holder;
use crate::listener::{Listener, Protocol, UnixPlace};
use crate::rights::Rights;
use crate::spawn::reason;
use crate::trusted::{Creation, Identity};
use crate::user::{Account, Accounts};

/// All sockets.
#[derive(Debug, Default)]
pub struct Sockets {
    open: HashMap<Key, Open>,
    prepared: Vec<(Key, Prepared)>,
    changes: Vec<Change>,
}

/// Identifies a socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Where it is.
    pub address: SocketAddress,
    /// The instance that does not share it, if so.
    pub instance: Option<String>,
}

/// Something that happened to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was opened.
    Opened(SocketAddress),
    /// It was closed.
    Closed(SocketAddress),
    /// A process had shut it down; it listens again, or was opened again.
    Mended(SocketAddress),
}

#[derive(Debug)]
struct Open {
    spec: SocketSpec,
    /// The user of its program.
    user: Option<UserSpec>,
    listener: Listener,
}

/// The change of a socket when a configuration becomes active.
#[derive(Debug)]
enum Prepared {
    /// It is open already.
    New(Box<Open>),
    /// The open one gets other options.
    Changed(SocketSpec, Option<(u32, u32)>),
    /// All sockets at its address are closed, and opened with what cannot be changed in place.
    Anew(SocketSpec, Option<UserSpec>),
}

/// A socket that could not be opened.
#[derive(Debug)]
pub struct NotOpened {
    /// The address.
    pub address: SocketAddress,
    /// Why.
    pub error: io::Error,
}

impl Key {
    /// The socket of an instance.
    pub fn of(instance: &str, spec: &SocketSpec) -> Key {
        let instance = spec.options.reuse_port.then(|| instance.to_owned());
        Key { address: spec.address.clone(), instance }
    }
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
        let address = &self.address;
        match (self.error.raw_os_error(), address) {
            (Some(libc::EADDRINUSE), SocketAddress::Tcp(place) | SocketAddress::Udp(place)) => {
                let is_udp = matches!(address, SocketAddress::Udp(_));
                let holder = holder::of_port(place.port, is_udp).map(|holder| format!(" ({holder})"));
                write!(f, "cannot listen on {address}: address in use{}", holder.unwrap_or_default())
            }
            (Some(errno), _) => write!(f, "cannot listen on {address}: {}", reason(errno)),
            (None, _) => write!(f, "cannot listen on {address}: {}", self.error),
        }
    }
}

impl Sockets {
    /// Opens the sockets of `new` that `active` does not have, or has with other options. Until [`Sockets::adopt`] they
    /// are not used, and the next call closes them again.
    pub fn prepare<'a>(
        &mut self,
        active: impl Iterator<Item = &'a InstanceSpec>,
        new: impl Iterator<Item = &'a InstanceSpec>,
        accounts: &mut Accounts,
    ) -> Result<(), NotOpened> {
        self.prepared.clear();
        let known: HashMap<Key, &SocketSpec> = active.flat_map(keyed).map(|(key, spec, _)| (key, spec)).collect();
        let mut seen = HashSet::new();
        for (key, spec, process) in new.flat_map(keyed) {
            if seen.insert(key.clone()) && known.get(&key).is_none_or(|known| *known != spec) {
                match self.prepared_as(&key, spec, process, accounts) {
                    Ok(prepared) => self.prepared.push((key, prepared)),
                    Err(error) => {
                        self.discard();
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Closes what was prepared and is not going to be used.
    pub fn discard(&mut self) {
        self.prepared.clear();
    }

    /// Opens all of these, as the first configuration, and returns the first error. Those that could not be opened are opened
    /// by a start.
    pub fn prepare_each<'a>(
        &mut self,
        instances: impl Iterator<Item = &'a InstanceSpec>,
        accounts: &mut Accounts,
    ) -> Option<NotOpened> {
        let mut first = None;
        let mut seen = HashSet::new();
        for (key, spec, process) in instances.flat_map(keyed) {
            if seen.insert(key.clone()) {
                match open(spec, process.user.as_ref(), accounts) {
                    Ok(open) => self.prepared.push((key, Prepared::New(Box::new(open)))),
                    Err(error) => first = first.or(Some(error)),
                }
            }
        }
        first
    }

    fn prepared_as(
        &self,
        key: &Key,
        spec: &SocketSpec,
        process: &ProcessSpec,
        accounts: &mut Accounts,
    ) -> Result<Prepared, NotOpened> {
        let same_place = || self.open.values().filter(|open| open.spec.address.is_same_place(&spec.address));
        if same_place().any(|open| !can_become(&open.spec, spec)) {
            return Ok(Prepared::Anew(spec.clone(), process.user.clone()));
        }
        match self.open.get(key) {
            Some(open) if open.listener.is_in_place() => {
                let owner = owner_of(spec, accounts);
                let owner = owner.map_err(|error| NotOpened { address: spec.address.clone(), error })?;
                Ok(Prepared::Changed(spec.clone(), owner))
            }
            _ => Ok(Prepared::New(Box::new(open(spec, process.user.as_ref(), accounts)?))),
        }
    }

    /// Uses what was prepared, in the place of what has the same address. Returns what could not be done; the next start
    /// of the program tries again to open what is not open.
    pub fn adopt(&mut self, accounts: &mut Accounts) -> Vec<NotOpened> {
        let prepared = std::mem::take(&mut self.prepared);
        let mut failed = Vec::new();
        for (_, prepared) in &prepared {
            if let Prepared::Anew(spec, _) = prepared {
                self.retain(|key| !key.address.is_same_place(&spec.address));
            }
        }
        for (key, prepared) in prepared {
            let address = key.address.clone();
            match prepared {
                Prepared::New(open) => self.put(key, *open),
                Prepared::Anew(spec, user) => match open(&spec, user.as_ref(), accounts) {
                    Ok(open) => self.put(key, open),
                    Err(error) => failed.push(error),
                },
                Prepared::Changed(spec, owner) => {
                    let Some(open) = self.open.get_mut(&key) else { continue };
                    let changed = open.become_like(spec, owner);
                    failed.extend(changed.err().map(|error| NotOpened { address, error }));
                }
            }
        }
        for key in self.open.keys().cloned().collect::<Vec<_>>() {
            failed.extend(self.mend(&key, accounts).err());
        }
        failed
    }

    /// Gives the sockets of which each instance has its own at a port to this user, whom the daemon is about to become: the kernel
    /// lets only sockets of one user share a port, and the next ones will be that user's.
    pub fn give_to(&self, uid: u32, gid: u32) {
        for open in self.open.values().filter(|open| open.spec.options.reuse_port) {
            // Without the right to do that, the next one is an address in use.
            let _ = change_owner(open.listener.as_fd(), uid, gid);
        }
    }

    /// Opens those sockets of an instance that are closed, and again those that a process has shut down.
    pub fn open(&mut self, instance: &InstanceSpec, accounts: &mut Accounts) -> Result<(), NotOpened> {
        for (key, spec, process) in keyed(instance) {
            if self.open.contains_key(&key) {
                self.mend(&key, accounts)?;
            } else {
                let open = open(spec, process.user.as_ref(), accounts)?;
                self.put(key, open);
            }
        }
        Ok(())
    }

    /// Whether a process has shut down one of these sockets. The next [`Sockets::open`] mends it.
    pub fn has_broken(&self, instance: &InstanceSpec) -> bool {
        keyed(instance).any(|(key, ..)| self.open.get(&key).is_some_and(|open| open.listener.is_broken()))
    }

    /// Has a socket that a process has shut down listen again, or opens another one in its place.
    fn mend(&mut self, key: &Key, accounts: &mut Accounts) -> Result<(), NotOpened> {
        let Some(broken) = self.open.get(key).filter(|open| open.listener.is_broken()) else { return Ok(()) };
        if !broken.listener.revive(broken.spec.backlog) {
            let mut another = open(&broken.spec, broken.user.as_ref(), accounts)?;
            another.listener.keep();
            self.open.insert(key.clone(), another);
        }
        self.changes.push(Change::Mended(key.address.clone()));
        Ok(())
    }

    fn put(&mut self, key: Key, mut open: Open) {
        open.listener.keep();
        self.changes.push(Change::Opened(key.address.clone()));
        self.open.insert(key, open);
    }

    /// The open socket of this instance.
    pub fn get(&self, instance: &str, spec: &SocketSpec) -> Option<BorrowedFd<'_>> {
        self.find(&Key::of(instance, spec))
    }

    /// Whether a client has sent something to one of these sockets that no process has taken.
    pub fn has_contact(&self, instance: &InstanceSpec) -> bool {
        keyed(instance).any(|(key, ..)| self.open.get(&key).is_some_and(|open| open.listener.has_contact()))
    }

    /// The open socket with this key.
    pub fn find(&self, key: &Key) -> Option<BorrowedFd<'_>> {
        self.open.get(key).map(|open| open.listener.as_fd())
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Closes those that are not wanted, and removes their files.
    pub fn retain(&mut self, is_wanted: impl Fn(&Key) -> bool) {
        let closed = self.open.extract_if(|key, _| !is_wanted(key));
        self.changes.extend(closed.map(|(key, _)| Change::Closed(key.address)));
    }

    /// The changes since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

impl Open {
    /// Changes what can be changed in place.
    fn become_like(&mut self, spec: SocketSpec, owner: Option<(u32, u32)>) -> io::Result<()> {
        // The kernel refuses no length.
        let _ = self.listener.listen(spec.backlog);
        let (mode, nodelay) = (spec.mode, spec.options.nodelay);
        let keeps_owner = self.spec.owner == spec.owner;
        let was = std::mem::replace(&mut self.spec, spec);
        self.listener.set_nodelay(nodelay)?;
        if keeps_owner && was.mode == mode {
            return Ok(());
        }
        let own = Rights::own();
        let owner = if keeps_owner { None } else { owner.or(Some((own.uid, own.gid))) };
        let dressed = self.listener.dress(Creation { mode, owner });
        if dressed.is_err() {
            // A later change must not take it for done.
            (self.spec.mode, self.spec.owner) = (was.mode, was.owner);
        }
        dressed
    }
}

/// Whether an open socket can get these options in place: those that the kernel takes at any time.
fn can_become(open: &SocketSpec, new: &SocketSpec) -> bool {
    let (was, is) = (open.options, new.options);
    open.address == new.address && was.reuse_port == is.reuse_port && was.v6only == is.v6only
}

/// The sockets of an instance.
fn keyed(instance: &InstanceSpec) -> impl Iterator<Item = (Key, &SocketSpec, &ProcessSpec)> {
    let process = &*instance.process;
    process.sockets.iter().map(move |spec| (Key::of(&instance.name, spec), spec, process))
}

fn open(spec: &SocketSpec, user: Option<&UserSpec>, accounts: &mut Accounts) -> Result<Open, NotOpened> {
    let network =
        |protocol, place: &HostPort| Listener::network(protocol, (&place.host, place.port), spec.options, spec.backlog);
    let opened = match &spec.address {
        SocketAddress::Tcp(place) => network(Protocol::Tcp, place),
        SocketAddress::Udp(place) => network(Protocol::Udp, place),
        SocketAddress::Unix(kind, path) => open_at((*kind, path), spec, user, accounts),
        SocketAddress::Inherited(name) => Listener::inherited(name),
    };
    let opened = opened.map_err(|error| NotOpened { address: spec.address.clone(), error });
    Ok(Open { spec: spec.clone(), user: user.cloned(), listener: opened? })
}

fn open_at(
    (kind, path): (UnixKind, &Path),
    spec: &SocketSpec,
    user: Option<&UserSpec>,
    accounts: &mut Accounts,
) -> io::Result<Listener> {
    let creation = Creation { mode: spec.mode, owner: owner_of(spec, accounts)? };
    let user = user.map(|user| account(user, accounts)).transpose()?;
    let at = UnixPlace { path, kind, creation, replaces: spec.replaces };
    Listener::unix(at, user.as_ref().map(Identity::from), spec.backlog)
}

fn account(user: &UserSpec, accounts: &mut Accounts) -> io::Result<Account> {
    accounts.owner(user, Rights::own().gid).map_err(|error| io::Error::other(error.to_string()))
}

/// The user and group that the file of a socket is given to.
fn owner_of(spec: &SocketSpec, accounts: &mut Accounts) -> io::Result<Option<(u32, u32)>> {
    let own = Rights::own();
    let owner = spec.owner.as_ref().map(|user| account(user, accounts)).transpose()?;
    // Giving it to its creator changes nothing, and may not be allowed.
    Ok(owner.map(|owner| (owner.uid, owner.gid)).filter(|owner| *owner != (own.uid, own.gid)))
}
