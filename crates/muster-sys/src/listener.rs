//! Listening sockets that programs inherit. The daemon binds them and never accepts: clients queue while no program runs.
//!
//! The sockets block, as programs expect. Nothing here waits: names of hosts are looked up in /etc/hosts only. For the
//! threats at the path of a Unix socket see [`crate::trusted`].

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use crate::fd::{check, copy_above_stdio};
use crate::release::Exposed;
use crate::trusted::{Creation, Identity, Inode, Missing, Refusal, Trust, TrustedPlace};

/// Where names of hosts are looked up.
const HOSTS: &str = "/etc/hosts";

/// A listening socket. Dropping it removes its file, if the file is still its own.
#[derive(Debug)]
pub struct Listener {
    socket: Exposed<OwnedFd>,
    file: Option<SocketFile>,
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
    /// Listens on TCP. The host is a number, a name in /etc/hosts, or `*` for every address.
    pub fn tcp(host: &str, port: u16, backlog: u32) -> io::Result<Listener> {
        let bind = |address: IpAddr| TcpListener::bind(SocketAddr::new(address, port));
        let listener = match address_of(host)? {
            Some(address) => bind(address)?,
            None => bind(Ipv6Addr::UNSPECIFIED.into()).or_else(|error| match error.raw_os_error() {
                // Without IPv6.
                Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => bind(Ipv4Addr::UNSPECIFIED.into()),
                _ => Err(error),
            })?,
        };
        let socket = copy_above_stdio(listener.as_fd())?;
        let listener = Listener { socket: Exposed::new(socket), file: None };
        listener.listen(backlog)?;
        Ok(listener)
    }

    /// Listens on a Unix socket, in the place of any socket that has this path. `user` is the program's, whose
    /// directory it may be. The previous socket gets its name back unless [`Listener::keep`] follows.
    pub fn unix(path: &Path, creation: Creation, user: Option<Identity>, backlog: u32) -> io::Result<Listener> {
        let place = resolve(path, user)?;
        // SAFETY: socket touches no memory of ours.
        let socket = check(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: the descriptor was just created and has no other owner.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let socket = copy_above_stdio(socket.as_fd())?;
        let previous = match place.socket()? {
            Some(_) => {
                let suffix = format!(".{:08x}", crate::trusted::random()? >> 32);
                place.rename("", &suffix)?.then_some(suffix)
            }
            None => None,
        };
        let inode = place.bind(socket.as_fd(), creation).inspect_err(|_| {
            let _ = previous.as_deref().map(|previous| place.rename(previous, ""));
        })?;
        let file = Some(SocketFile { place, inode, previous });
        let listener = Listener { socket: Exposed::new(socket), file };
        listener.listen(backlog)?;
        Ok(listener)
    }

    /// Sets the length of the queue of connections, also later.
    pub fn listen(&self, backlog: u32) -> io::Result<()> {
        let backlog = libc::c_int::try_from(backlog).unwrap_or(libc::c_int::MAX);
        // SAFETY: listen touches no memory of ours.
        check(unsafe { libc::listen(self.as_fd().as_raw_fd(), backlog) }).map(drop)
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

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The name may be another daemon's by now.
        if self.place.inode("").is_ok_and(|there| there == Some(self.inode)) {
            let _ = match &self.previous {
                Some(previous) => self.place.rename(previous, ""),
                None => self.place.remove(""),
            };
        }
    }
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

/// The address of a host; `None` for all addresses.
fn address_of(host: &str) -> io::Result<Option<IpAddr>> {
    match host {
        "*" => Ok(None),
        "localhost" => Ok(Some(Ipv4Addr::LOCALHOST.into())),
        _ => match host.parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => in_hosts(&std::fs::read_to_string(HOSTS).unwrap_or_default(), host).map(Some).ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, format!("neither an address nor a name in {HOSTS}: {host}"))
            }),
        },
    }
}

/// The address of this name, the first of IPv4 if there is one.
fn in_hosts(hosts: &str, name: &str) -> Option<IpAddr> {
    let addresses = hosts.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    });
    addresses.min_by_key(IpAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    const USER: u32 = 4_242;

    fn user() -> Option<Identity> {
        Some(Identity { uid: USER, gid: USER, groups: vec![USER] })
    }

    fn private() -> Creation {
        Creation { mode: 0o700, owner: None }
    }

    fn unix(path: &Path) -> io::Result<Listener> {
        Listener::unix(path, private(), user(), 16)
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
        drop(listener);
        let secret = scene.path().join("secret");
        fs::write(&secret, "root's").unwrap();
        symlink(&secret, &path).unwrap();
        assert!(unix(&path).unwrap_err().to_string().contains("symbolic link"));
        fs::remove_file(&path).unwrap();
        symlink(scene.path(), directory.join("away")).unwrap();
        assert!(unix(&directory.join("away/app.sock")).is_err());
        let foreign = Creation { mode: 0o700, owner: Some((0, 0)) };
        let error = Listener::unix(&path, foreign, user(), 16).unwrap_err().to_string();
        assert!(error.contains("cannot be given to uid 0"), "{error}");
        assert!(!path.exists() && fs::metadata(&secret).unwrap().uid() == 0);
    }

    #[test]
    fn hosts_are_numbers_or_names_of_the_file() {
        let hosts = "::1 app # ours\n10.0.0.9\tweb APP\nnonsense app\n";
        assert_eq!(in_hosts(hosts, "app"), Some("10.0.0.9".parse().unwrap()));
        assert_eq!(in_hosts(hosts, "ours"), None);
        assert_eq!(address_of("*").unwrap(), None);
        assert_eq!(address_of("localhost").unwrap(), Some(Ipv4Addr::LOCALHOST.into()));
        assert!(address_of("no.such.host").unwrap_err().to_string().contains("/etc/hosts"));
    }

    #[test]
    fn a_port_in_use_is_an_error() {
        let first = Listener::tcp("127.0.0.1", 0, 4).unwrap();
        let copy = TcpListener::from(first.as_fd().try_clone_to_owned().unwrap());
        let port = copy.local_addr().unwrap().port();
        let error = Listener::tcp("127.0.0.1", port, 4).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
    }
}
