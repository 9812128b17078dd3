//! A web server on this machine that gets notifications, and behaves as a test wants.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

/// A reaction of the server to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Answers with this status line and these headers.
    Answer(&'static str),
    /// Keeps the connection open and says nothing.
    Hang,
    /// Closes the connection with a reset.
    Reset,
}

pub(crate) const OK: Does = Does::Answer("204 No Content");

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let is_it = |line: &&str| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        Some(self.head.lines().find(is_it)?.split_once(": ")?.1)
    }

    pub(crate) fn id(&self) -> u64 {
        self.body["id"].as_u64().expect("each event has a number")
    }
}

#[derive(Default)]
struct Said {
    script: VecDeque<Does>,
    otherwise: Option<Does>,
    requests: Vec<Request>,
    /// Connections that hang.
    held: Vec<TcpStream>,
}

#[derive(Clone)]
pub(crate) struct Server {
    said: Arc<Mutex<Said>>,
    pub(crate) port: u16,
}

impl Server {
    /// Does these things one after another, and then always the last one.
    pub(crate) fn doing(script: &[Does]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let said =
            Said { script: script.iter().cloned().collect(), otherwise: script.last().cloned(), ..Said::default() };
        let server = Server { said: Arc::new(Mutex::new(said)), port };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        server
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().expect("no test panics with it")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// From now on always does this.
    pub(crate) fn does(&self, does: Does) {
        let mut said = self.said();
        (said.otherwise, said.script, said.held) = (Some(does), VecDeque::new(), Vec::new());
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.said().requests.clone()
    }

    fn serve(&self, mut stream: TcpStream) {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("it is open");
        let Some(request) = read(&mut stream) else { return };
        let mut said = self.said();
        said.requests.push(request);
        let does = said.script.pop_front().or_else(|| said.otherwise.clone()).expect("there is a last one");
        match does {
            Does::Answer(status) => {
                drop(said);
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            }
            Does::Hang => said.held.push(stream),
            // With bytes that were never read, closing is a reset; without, it is an end of file, which is as bad.
            Does::Reset => drop(stream),
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let count = stream.read(&mut piece).ok().filter(|&count| count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let is_length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok();
        let length = head.lines().find_map(is_length).unwrap_or(0);
        if body.len() >= length {
            let (head, text) = (head.to_owned(), body.to_owned());
            return Some(Request { head, body: serde_json::from_str(&text).ok()?, text });
        }
    }
}
