//! A client of the control socket that makes no assumptions: bytes out, bytes in.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn parse(bytes: &[u8]) -> Option<Answer> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Some(Answer { status, headers, body: body.to_owned() })
    }
}

/// Talks to the daemon on this socket, with one connection per request.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    pub fn of(socket: &Path) -> Client {
        Client { socket: socket.to_owned() }
    }

    pub fn connect(&self) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(super::PATIENCE))?;
        stream.set_write_timeout(Some(super::PATIENCE))?;
        Ok(stream)
    }

    /// Sends these bytes and reads until the daemon closes the connection. `None` if the result is not a valid answer.
    pub fn send_raw(&self, request: &[u8]) -> io::Result<Option<Answer>> {
        let mut stream = self.connect()?;
        stream.write_all(request)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(Answer::parse(&answer))
    }

    /// Sends these bytes and reads the head of the answer, in small letters.
    pub fn head_of(&self, request: &[u8]) -> String {
        let mut stream = self.connect().expect("it listens");
        stream.write_all(request).expect("it reads");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
            head.push(byte[0]);
        }
        String::from_utf8_lossy(&head).to_ascii_lowercase()
    }

    pub fn try_request(&self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut stream = self.connect()?;
        // A daemon that refuses a large body answers before reading it, and then closes.
        let sent = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let received = stream.read_to_end(&mut answer);
        match Answer::parse(&answer) {
            Some(answer) => Ok(answer),
            None => Err(sent.and(received).err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
        }
    }

    pub fn request(&self, method: &str, path: &str, body: &str) -> Answer {
        self.try_request(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "")
    }

    pub fn post(&self, path: &str) -> Answer {
        self.request("POST", path, "")
    }
}
