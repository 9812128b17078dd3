//! An HTTP server on this machine whose answer can be exchanged, and the configuration that asks it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::harness::{wait_for, wait_until};

/// The server's answer, and the requests so far.
#[derive(Default)]
struct Said {
    answer: Vec<u8>,
    /// Bytes a second; 0 is all at once.
    pace: u64,
    requests: Vec<String>,
    is_down: bool,
}

/// An HTTP server on this machine whose answer can be exchanged.
#[derive(Clone)]
pub(crate) struct Server {
    said: Arc<Mutex<Said>>,
    port: u16,
}

impl Server {
    pub(crate) fn start(answer: Vec<u8>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let server = Server { said: Arc::new(Mutex::new(Said { answer, ..Said::default() })), port };
        server.listen(listener);
        server
    }

    fn listen(&self, listener: TcpListener) {
        let serving = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.said().is_down {
                    break;
                }
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
    }

    /// Refuses connections from now on.
    pub(crate) fn stop(&self) {
        self.said().is_down = true;
        // The connection that ends the thread is accepted and dropped; the port is free once another one is refused.
        wait_until("nothing listens", || TcpStream::connect(("127.0.0.1", self.port)).is_err());
    }

    /// Listens on the same port again.
    pub(crate) fn resume(&self) {
        self.said().is_down = false;
        self.listen(wait_for("the port is free", || TcpListener::bind(("127.0.0.1", self.port)).ok()));
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().expect("no test panics with it")
    }

    fn serve(&self, mut stream: TcpStream) {
        let (mut request, mut piece) = (Vec::new(), [0; 4096]);
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(count) => request.extend_from_slice(&piece[..count]),
            }
        }
        let (answer, pace) = {
            let mut said = self.said();
            said.requests.push(String::from_utf8_lossy(&request).into_owned());
            (said.answer.clone(), said.pace)
        };
        let Some(gap) = 1000_u64.checked_div(pace) else {
            let _ = stream.write_all(&answer);
            return;
        };
        // Until the client has had enough.
        for byte in answer {
            std::thread::sleep(Duration::from_millis(gap));
            if stream.write_all(&[byte]).is_err() {
                break;
            }
        }
    }

    pub(crate) fn say(&self, answer: Vec<u8>) {
        self.said().answer = answer;
    }

    /// Bytes a second; 0 is all at once.
    pub(crate) fn pace(&self, bytes: u64) {
        self.said().pace = bytes;
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.said().requests.clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/fleet.toml", self.port)
    }
}

pub(crate) fn ok(text: &str) -> Vec<u8> {
    head("200 OK", &format!("Content-Length: {}\r\n", text.len()), text)
}

pub(crate) fn head(status: &str, headers: &str, text: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n{text}").into_bytes()
}

pub(crate) fn program(name: &str) -> String {
    format!("[program.{name}]\ncommand = \"sleep 1000\"\nstartsecs = 0\n")
}

pub(crate) fn source(server: &Server, more: &str) -> String {
    format!("[source.fleet]\nurl = \"{}\"\nperiod = \"1s\"\n{more}\n", server.url())
}
