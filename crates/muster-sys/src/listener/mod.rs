//! Sockets that programs inherit. The daemon binds them and never accepts: clients queue while no program runs.
//!
//! The sockets block, as programs expect. Nothing here waits: names of hosts are looked up in /etc/hosts only. For the
//! threats at the path of a Unix socket see [`crate::trusted`].

mod network;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use muster_spec::{SocketOptions, UnixKind};

use crate::fd::{check, copy_above_stdio};
use crate::inherited;
use crate::release::Exposed;
use crate::trusted::{Creation, Identity, Inode, Missing, Refusal, Trust, TrustedPlace};

pub use network::Protocol;

/// An open socket. Dropping it removes its file, if the file is still its own.
#[derive(Debug)]
pub struct Listener {
    socket: Exposed<OwnedFd>,
    file: Option<SocketFile>,
    /// Whether it has a queue of connections.
    is_listening: bool,
}

/// The path of a Unix socket, and how it is opened there.
#[derive(Clone, Copy, Debug)]
pub struct UnixPlace<'a> {
    /// The path.
    pub path: &'a Path,
    /// The kind of the socket.
    pub kind: UnixKind,
    /// The mode and the owner of the file.
    pub creation: Creation,
    /// Whether it takes the place of a socket on which a process listens.
    pub replaces: bool,
}

/// The name of a Unix socket.
#[derive(Debug)]
struct SocketFile {
    place: TrustedPlace,
    inode: Inode,
    /// The suffix of the socket that had the name before, until it is certain that this one stays.
    previous: Option<String>,
}

impl Listener {
    /// Opens a socket on TCP, which listens, or on UDP. The host is a number, a name in /etc/hosts, or `*` for every address.
    pub fn network(
        protocol: Protocol,
        (host, port): (&str, u16),
        options: SocketOptions,
        backlog: u32,
    ) -> io::Result<Listener> {
        let socket = Exposed::new(network::bind(protocol, host, port, options)?);
        let listener = Listener { socket, file: None, is_listening: protocol == Protocol::Tcp };
        listener.set_nodelay(options.nodelay)?;
        listener.listen(backlog)?;
        Ok(listener)
    }

    /// Opens a Unix socket, in the place of a socket of this path on which no process listens, or of any. `user` is the
    /// program's, whose directory it may be. The previous socket gets its name back unless [`Listener::keep`] follows.
    pub fn unix(at: UnixPlace<'_>, user: Option<Identity>, backlog: u32) -> io::Result<Listener> {
        let place = resolve(at.path, user)?;
        let socket = Exposed::new(unix_socket(at.kind)?);
        let previous = match place.socket()? {
            Some(_) if !at.replaces && place.has_listener(at.kind)? => return Err(place.refuse_taken()),
            Some(_) => {
                let suffix = format!(".{:08x}", crate::trusted::random()? >> 32);
                place.rename("", &suffix)?.then_some(suffix)
            }
            None => None,
        };
        let inode = place.bind(socket.as_fd(), at.creation).inspect_err(|_| {
            let _ = previous.as_deref().map(|previous| place.rename(previous, ""));
        })?;
        let file = Some(SocketFile { place, inode, previous });
        let listener = Listener { socket, file, is_listening: at.kind != UnixKind::Datagram };
        listener.listen(backlog)?;
        Ok(listener)
    }

    /// A copy of the socket that the daemon has inherited under this name. Its options are its creator's.
    pub fn inherited(name: &str) -> io::Result<Listener> {
        let socket = inherited::socket(name).map_err(io::Error::other)?;
        Ok(Listener { socket: Exposed::new(socket), file: None, is_listening: false })
    }

    /// Sets the length of the queue of connections, also later. Without effect where there is none.
    pub fn listen(&self, backlog: u32) -> io::Result<()> {
        if !self.is_listening {
            return Ok(());
        }
        let backlog = libc::c_int::try_from(backlog).unwrap_or(libc::c_int::MAX);
        // SAFETY: listen touches no memory of ours.
        check(unsafe { libc::listen(self.as_fd().as_raw_fd(), backlog) }).map(drop)
    }

    /// Sets whether its connections send small packets at once. Without effect except on TCP.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match self.file.is_none() && self.is_listening {
            true => network::set_nodelay(self.as_fd(), nodelay),
            false => Ok(()),
        }
    }

    /// Changes the mode and the owner of its file, unless another file has that name by now.
    pub fn dress(&self, creation: Creation) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.place.dress_socket(file.inode, creation))
    }

    /// Whether its file, if it has one, has its name still.
    pub fn is_in_place(&self) -> bool {
        self.file.as_ref().is_none_or(SocketFile::is_in_place)
    }

    /// Whether a client has sent something that no process has taken, or the program has broken its socket: then, too, another
    /// run would be asked for at once.
    pub fn has_contact(&self) -> bool {
        let mut wanted = libc::pollfd { fd: self.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the kernel reads and writes one pollfd, and does not wait.
        let count = unsafe { libc::poll(&mut wanted, 1, 0) };
        count == 1 && wanted.revents != 0
    }

    /// Whether it takes no connections, because a process that has a copy of it has shut it down.
    pub fn is_broken(&self) -> bool {
        let mut wanted = libc::pollfd { fd: self.as_fd().as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
        // SAFETY: the kernel reads and writes one pollfd, and does not wait.
        let count = unsafe { libc::poll(&mut wanted, 1, 0) };
        self.is_listening && count == 1 && wanted.revents != 0
    }

    /// Has a broken one listen again, for all processes that have a copy. Returns whether that is possible: a Unix socket that
    /// was shut down stays so.
    pub fn revive(&self, backlog: u32) -> bool {
        self.listen(backlog).is_ok() && !self.is_broken()
    }

    /// Removes the socket whose place it took.
    pub fn keep(&mut self) {
        if let Some(file) = &mut self.file
            && let Some(previous) = file.previous.take()
        {
            let _ = file.place.remove(&previous);
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl SocketFile {
    fn is_in_place(&self) -> bool {
        self.place.inode("").is_ok_and(|there| there == Some(self.inode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The name may be another daemon's by now.
        if self.is_in_place() {
            let _ = match &self.previous {
                Some(previous) => self.place.rename(previous, ""),
                None => self.place.remove(""),
            };
        }
    }
}

/// An unbound Unix socket.
fn unix_socket(kind: UnixKind) -> io::Result<OwnedFd> {
    let kind = match kind {
        UnixKind::Stream => libc::SOCK_STREAM,
        UnixKind::Datagram => libc::SOCK_DGRAM,
        UnixKind::Sequential => libc::SOCK_SEQPACKET,
    };
    // SAFETY: socket touches no memory of ours.
    let socket = check(unsafe { libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was just created and has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    copy_above_stdio(socket.as_fd())
}

/// In a directory of root's or of the daemon's user the daemon acts itself; in one of another user with that user's
/// privileges.
fn resolve(path: &Path, user: Option<Identity>) -> io::Result<TrustedPlace> {
    match TrustedPlace::resolve(path, &Trust::own(), Missing::Fail) {
        Err(error) if Refusal::of(&error).is_some() => {
            TrustedPlace::resolve(path, &Trust::program(user), Missing::Fail)
        }
        place => place,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;

    const USER: u32 = 4_242;

    fn user() -> Option<Identity> {
        Some(Identity { uid: USER, gid: USER, groups: vec![USER] })
    }

    fn at(path: &Path) -> UnixPlace<'_> {
        let creation = Creation { mode: 0o700, owner: None };
        UnixPlace { path, kind: UnixKind::Stream, creation, replaces: false }
    }

    fn unix(path: &Path) -> io::Result<Listener> {
        Listener::unix(at(path), user(), 16)
    }

    #[test]
    fn a_stale_socket_is_replaced_and_comes_back_unless_the_new_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        drop(UnixListener::bind(&path).unwrap());
        let stale = fs::metadata(&path).unwrap().ino();
        let listener = unix(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        drop(listener);
        assert_eq!(fs::metadata(&path).unwrap().ino(), stale);
        let mut listener = unix(&path).unwrap();
        listener.keep();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        drop(listener);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_socket_that_a_process_listens_on_stays_unless_it_is_to_be_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let theirs = UnixListener::bind(&path).unwrap();
        for kind in UnixKind::ALL {
            let error = Listener::unix(UnixPlace { kind, ..at(&path) }, user(), 16).unwrap_err().to_string();
            assert!(error.contains("a process listens on"), "{kind:?}: {error}");
        }
        let mut ours = Listener::unix(UnixPlace { replaces: true, ..at(&path) }, user(), 16).unwrap();
        ours.keep();
        assert!(ours.is_in_place());
        let _client = UnixStream::connect(&path).unwrap();
        assert!(ours.has_contact());
        // Only the question whether a process listens there has reached it.
        theirs.set_nonblocking(true).unwrap();
        assert!(theirs.accept().is_ok());
        assert_eq!(theirs.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn datagrams_wait_in_a_socket_without_a_queue_of_connections() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let place = UnixPlace { kind: UnixKind::Datagram, ..at(&path) };
        let listener = Listener::unix(place, user(), 16).unwrap();
        assert!(!listener.has_contact());
        UnixDatagram::unbound().unwrap().send_to(b"hello", &path).unwrap();
        assert!(listener.has_contact());
        drop(UnixDatagram::from(listener.as_fd().try_clone_to_owned().unwrap()));
        let error = Listener::unix(place, user(), 16).unwrap_err().to_string();
        assert!(error.contains("a process listens on"), "{error}");
    }

    #[test]
    fn a_mode_is_changed_in_place_and_never_that_of_another_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let listener = unix(&path).unwrap();
        let open = Creation { mode: 0o666, owner: None };
        listener.dress(open).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o666);
        fs::remove_file(&path).unwrap();
        let secret = directory.path().join("secret");
        fs::write(&secret, "").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&secret, &path).unwrap();
        assert!(listener.dress(open).is_err());
        assert_eq!(fs::metadata(&secret).unwrap().mode() & 0o7777, 0o600);
        assert!(!listener.is_in_place());
    }

    #[test]
    fn a_listener_that_was_shut_down_listens_again_where_the_kernel_can_do_that() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let tcp = Listener::network(Protocol::Tcp, ("127.0.0.1", 0), SocketOptions::default(), 4).unwrap();
        let copy = TcpListener::from(tcp.as_fd().try_clone_to_owned().unwrap());
        let connects = || std::net::TcpStream::connect(copy.local_addr().unwrap()).is_ok();
        for (listener, revives) in [(&tcp, true), (&unix(&path).unwrap(), false)] {
            assert!(!listener.is_broken());
            // SAFETY: shutdown touches no memory of ours.
            check(unsafe { libc::shutdown(listener.as_fd().as_raw_fd(), libc::SHUT_RD) }).unwrap();
            assert!(listener.is_broken());
            assert_eq!(listener.revive(4), revives);
        }
        assert!(connects() && !tcp.is_broken());
        let udp = Listener::network(Protocol::Udp, ("127.0.0.1", 0), SocketOptions::default(), 4).unwrap();
        assert!(!udp.is_broken());
    }

    #[test]
    fn anything_but_a_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        fs::write(&path, "precious").unwrap();
        assert!(unix(&path).unwrap_err().to_string().contains("is not a socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_socket_of_another_daemon_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let ours = unix(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(UnixStream::connect(&path).is_ok());
    }

    /// A user who owns the directory gets a socket of its own, and nothing of root's by a link or by chown.
    #[test]
    fn the_owner_of_a_directory_gains_nothing() {
        let scene = tempfile::tempdir().unwrap();
        fs::set_permissions(scene.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let directory = scene.path().join("user");
        fs::create_dir(&directory).unwrap();
        if chown(&directory, Some(USER), Some(USER)).is_err() {
            let _ = io::Write::write_all(&mut io::stderr(), b"SKIPPED: needs root\n");
            return;
        }
        let path = directory.join("app.sock");
        let listener = unix(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().uid(), USER);
        // Nor by a change of the open one.
        let foreign = Creation { mode: 0o700, owner: Some((0, 0)) };
        assert!(listener.dress(foreign).is_err());
        assert_eq!(fs::metadata(&path).unwrap().uid(), USER);
        drop(listener);
        let secret = scene.path().join("secret");
        fs::write(&secret, "root's").unwrap();
        symlink(&secret, &path).unwrap();
        assert!(unix(&path).unwrap_err().to_string().contains("symbolic link"));
        fs::remove_file(&path).unwrap();
        symlink(scene.path(), directory.join("away")).unwrap();
        assert!(unix(&directory.join("away/app.sock")).is_err());
        let error = Listener::unix(UnixPlace { creation: foreign, ..at(&path) }, user(), 16).unwrap_err().to_string();
        assert!(error.contains("cannot be given to uid 0"), "{error}");
        assert!(!path.exists() && fs::metadata(&secret).unwrap().uid() == 0);
    }

    #[test]
    fn a_port_in_use_is_an_error() {
        let tcp = |port| Listener::network(Protocol::Tcp, ("127.0.0.1", port), SocketOptions::default(), 4);
        let first = tcp(0).unwrap();
        let copy = TcpListener::from(first.as_fd().try_clone_to_owned().unwrap());
        let port = copy.local_addr().unwrap().port();
        assert_eq!(tcp(port).unwrap_err().raw_os_error(), Some(libc::EADDRINUSE));
    }

    #[test]
    fn small_packets_of_its_connections_are_sent_at_once_where_that_is_wanted() {
        let listener = |nodelay| {
            let options = SocketOptions { nodelay, ..SocketOptions::default() };
            Listener::network(Protocol::Tcp, ("127.0.0.1", 0), options, 4).unwrap()
        };
        for nodelay in [false, true] {
            let listener = listener(nodelay);
            let copy = TcpListener::from(listener.as_fd().try_clone_to_owned().unwrap());
            let _client = std::net::TcpStream::connect(copy.local_addr().unwrap()).unwrap();
            assert_eq!(copy.accept().unwrap().0.nodelay().unwrap(), nodelay);
        }
    }
}
