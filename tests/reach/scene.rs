//! A daemon with a listener on TCP and a user of each role, and bare connections to it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::harness::{Daemon, PATIENCE, Setting, free_port};

/// The roles, in order.
pub(crate) const ROLES: [&str; 5] = ["health", "metrics", "read", "control", "admin"];

/// Files with secrets, and a free port.
pub(crate) struct Scene {
    pub(crate) place: tempfile::TempDir,
    pub(crate) port: u16,
}

/// A stream of either kind.
pub(crate) trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

impl Scene {
    pub(crate) fn new() -> Scene {
        let place = tempfile::tempdir().expect("a temporary directory");
        for role in ROLES {
            fs::write(place.path().join(role), token(role)).expect("it is ours");
        }
        Scene { place, port: free_port() }
    }

    /// A daemon with these lines in `[http]` besides the users, in which `@` is the directory and `PORT` the port.
    pub(crate) fn setting(&self, lines: &str) -> Setting {
        let users: String = ROLES
            .iter()
            .skip(1)
            .map(|role| format!("user.{role} = {{ role = \"{role}\", token_file = \"@/{role}\" }}\n"))
            .collect();
        let http = format!("{lines}\n{users}")
            .replace('@', &self.place.path().display().to_string())
            .replace("PORT", &self.port.to_string());
        Setting::supervising("[program.web]\ncommand = \"sleep 1000\"\nstdin = \"pipe\"\n").http(&http)
    }

    pub(crate) fn start(&self, lines: &str) -> Daemon {
        self.setting(lines).start().listening()
    }

    /// A daemon with the listener on TCP only.
    pub(crate) fn listening(&self) -> Daemon {
        self.start("listen = [\"http://127.0.0.1:PORT\"]")
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has it");
        stream
    }

    pub(crate) fn unix(&self, name: &str) -> UnixStream {
        let stream = UnixStream::connect(self.place.path().join(name)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has it");
        stream
    }

    /// The head of the answer on TCP, in small letters.
    pub(crate) fn head(&self, request: &str, headers: &str, body: &str) -> String {
        head_of(&mut self.tcp(), request, headers, body)
    }
}

pub(crate) fn token(role: &str) -> String {
    format!("the-token-of-{role:-<12}")
}

pub(crate) fn login(role: &str) -> String {
    format!("Authorization: Bearer {}\r\n", token(role))
}

/// Sends a request, and reads the head of the answer only, since some answers have no end.
pub(crate) fn head_of(stream: &mut impl Wire, request: &str, headers: &str, body: &str) -> String {
    let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
    let length = body.len();
    let request = format!("{request} HTTP/1.1\r\n{host}Content-Length: {length}\r\n{headers}\r\n{body}");
    // A daemon that closes the connection may do so before it has read everything.
    let _ = stream.write_all(request.as_bytes());
    read_head(stream)
}

/// The next head, in small letters; what came of it if the connection ends.
pub(crate) fn read_head(stream: &mut impl Read) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).to_ascii_lowercase()
}

pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Whether the daemon has closed this connection, or does so soon.
pub(crate) fn is_closed(stream: &mut impl Read) -> bool {
    !matches!(stream.read(&mut [0]), Ok(1))
}
