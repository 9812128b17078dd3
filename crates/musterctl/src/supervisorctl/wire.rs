//! The connection to the server: one for each request, over a Unix socket or TCP.
//!
//! There is no timeout: a program may take long to start. The size of an answer is bounded by `client::exchange` and by the
//! reader of XML.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use muster_supervisord::ctl::{Failure, Server, address};
use muster_supervisord::xmlrpc::{Value, parse_response, write_request};

use crate::client::exchange::{ExchangeError, read_answer};

/// Calls a method. `patient` makes the connection's reads wait as the caller wants.
pub(super) fn call<R: Read>(
    server: &Server,
    method: &str,
    params: &[Value],
    patient: impl FnOnce(File) -> R,
) -> Result<Value, Failure> {
    let (mut connection, host) = connect(&server.url)?;
    let body = write_request(method, params);
    let login = server.authorization().map(|login| format!("Authorization: {login}\r\n")).unwrap_or_default();
    let mut request = format!(
        "POST /RPC2 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nUser-Agent: supervisorctl\r\nContent-Type: text/xml\r\n\
         Accept: text/xml\r\n{login}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    match connection.write_all(&request) {
        // A server may refuse and close before it has read everything: its answer says why.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(of_error(&error)),
        _ => {}
    }
    let answer = read_answer(&mut patient(connection)).map_err(no_answer)?;
    if answer.status != 200 {
        return Err(Failure::Protocol { status: answer.status, reason: answer.reason });
    }
    let parsed = parse_response(&answer.body);
    parsed.map_err(|error| Failure::other("xml.parsers.expat.ExpatError", error.to_string()))?.map_err(Failure::Fault)
}

/// Asks for a text that grows; the answer is to be read from the connection.
pub(super) fn get(server: &Server, path: &str) -> Result<File, Failure> {
    let (mut connection, host) = connect(&server.url)?;
    let is_empty = server.password.as_ref().is_none_or(String::is_empty);
    let login = server.authorization().filter(|_| !is_empty);
    let login = login.map(|login| format!("Authorization: {login}\r\n")).unwrap_or_default();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: chunked\r\nAccept: */*\r\n\
         User-agent: Supervisor HTTP Client\r\n{login}\r\n"
    );
    connection.write_all(request.as_bytes()).map_err(|error| of_error(&error))?;
    Ok(connection)
}

/// A connection, and the name of its host.
fn connect(url: &str) -> Result<(File, String), Failure> {
    if let Some(path) = url.strip_prefix("unix://") {
        let stream = UnixStream::connect(path).map_err(|error| of_error(&error))?;
        return Ok((File::from(OwnedFd::from(stream)), "localhost".to_owned()));
    }
    if !url.starts_with("http://") {
        return Err(Failure::other("ValueError", format!("Unknown protocol for serverurl {url}")));
    }
    let (host, port) = address(url)?;
    let addresses = (host.as_str(), port).to_socket_addrs().map_err(|error| {
        let text = error.to_string();
        let reason = text.rsplit(": ").next().unwrap_or(&text);
        let number = if reason.starts_with("Temporary") { -3 } else { -2 };
        Failure::other("socket.gaierror", format!("[Errno {number}] {reason}"))
    })?;
    let stream = TcpStream::connect(addresses.collect::<Vec<_>>().as_slice()).map_err(|error| of_error(&error))?;
    let host = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Ok((File::from(OwnedFd::from(stream)), host))
}

fn no_answer(error: ExchangeError) -> Failure {
    match error {
        ExchangeError::ClosedEarly => {
            let text = "Remote end closed connection without response";
            Failure::other("http.client.RemoteDisconnected", text)
        }
        ExchangeError::Malformed(why) => Failure::other("http.client.BadStatusLine", why),
        ExchangeError::TimedOut => Failure::other("TimeoutError", "[Errno 110] Connection timed out"),
        ExchangeError::Broken(error) if error.kind() == io::ErrorKind::Other => Failure::Interrupted,
        ExchangeError::Broken(error) => of_error(&error),
    }
}

/// An error of the kernel as Python reports it.
fn of_error(error: &io::Error) -> Failure {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::ConnectionRefused, _) => Failure::Refused,
        (io::ErrorKind::NotFound, _) => Failure::Missing,
        (_, None) => Failure::other("OSError", text),
        (kind, Some(number)) => {
            let class = match kind {
                io::ErrorKind::PermissionDenied => "PermissionError",
                io::ErrorKind::TimedOut => "TimeoutError",
                io::ErrorKind::ConnectionReset => "ConnectionResetError",
                io::ErrorKind::BrokenPipe => "BrokenPipeError",
                io::ErrorKind::NotADirectory => "NotADirectoryError",
                _ => "OSError",
            };
            Failure::other(class, format!("[Errno {number}] {text}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_python_s() {
        let of = |number| of_error(&io::Error::from_raw_os_error(number)).to_string();
        assert_eq!(of(2), "<class 'FileNotFoundError'>, [Errno 2] No such file or directory");
        assert_eq!(of(13), "<class 'PermissionError'>, [Errno 13] Permission denied");
        assert_eq!(of(111), "<class 'ConnectionRefusedError'>, [Errno 111] Connection refused");
        assert_eq!(of(113), "<class 'OSError'>, [Errno 113] No route to host");
    }

    #[test]
    fn other_schemes_are_refused() {
        let failure = connect("ftp:///x").unwrap_err().to_string();
        assert_eq!(failure, "<class 'ValueError'>, Unknown protocol for serverurl ftp:///x");
    }
}
