//! A server for probes: it gives the answer that the test sets, and records the requests.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A web server on a port of its own that runs as long as the test.
pub struct Server {
    pub port: u16,
    status: Arc<AtomicU16>,
    hits: Arc<AtomicUsize>,
    last: Arc<Mutex<String>>,
}

impl Server {
    /// Answers every request with this status.
    pub fn answering(status: u16) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let server = Server {
            port,
            status: Arc::new(AtomicU16::new(status)),
            hits: Arc::new(AtomicUsize::new(0)),
            last: Arc::new(Mutex::new(String::new())),
        };
        let (status, hits, last) = (Arc::clone(&server.status), Arc::clone(&server.hits), Arc::clone(&server.last));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // Counted before answering, so that a client with the answer finds it counted.
                let request = read_request(&mut stream);
                hits.fetch_add(1, Ordering::SeqCst);
                // A client that only connects, such as a TCP probe, sends no request.
                if let Some(request) = request {
                    *last.lock().expect("no thread panics while holding the lock") = request;
                    let _ = answer(&mut stream, status.load(Ordering::SeqCst));
                }
            }
        });
        server
    }

    /// Sets the answer from now on.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// The number of connections so far.
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    /// The head of the last request.
    pub fn last_request(&self) -> String {
        self.last.lock().expect("no thread panics while holding the lock").clone()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(count @ 1..) => request.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&request).into_owned())
}

fn answer(stream: &mut TcpStream, status: u16) -> io::Result<()> {
    let body = format!("this is {status}\n");
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} Told\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}
