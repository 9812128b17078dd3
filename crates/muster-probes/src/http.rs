//! The HTTP probe: a GET request, like the kubelet's.
//!
//! A status from 200 to 399 passes. At most ten redirects are followed, on the same host only; a redirect to another
//! host passes. The configured headers may contain a token: they are sent to the configured origin only, and not again
//! after a redirect has left it. The server is asked to close the connection, so that the TIME_WAIT is on its side,
//! and no more of the response is read than needed. The caller enforces the timeout and passes the deadline.

use std::time::Duration;

use muster_load::secrets;
use muster_spec::{HttpCheck, Url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::connect::{Resolver, words};
use crate::redirect::{Redirect, redirect};

/// The limit of Go's HTTP client, which the kubelet uses.
const MOST_REDIRECTS: usize = 10;
/// Maximum size of the status line and headers, in bytes.
const LONGEST_HEAD: usize = 32 * 1024;
const MOST_HEADERS: usize = 100;
/// The kubelet's limit; a longer body is not read to its end.
const LONGEST_BODY: usize = 10 * 1024;
/// How much of the body a failure shows, in characters.
const TOLD_BODY: usize = 200;
/// How long the server may take to close the connection after its response.
const CLOSING: Duration = Duration::from_millis(100);

/// The parts of a response that matter.
struct Answer {
    status: u16,
    reason: String,
    location: Option<String>,
    body: Vec<u8>,
}

/// Requests the address, and follows redirects on the same host.
pub async fn check(resolver: &Resolver, check: &HttpCheck, deadline: Instant) -> Result<String, String> {
    let mut url = check.url.clone();
    let mut headers = check.headers.as_slice();
    for _ in 0..=MOST_REDIRECTS {
        let answer = get(resolver, &url, headers, deadline).await?;
        let is_redirect = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
        match answer.location.as_deref().filter(|_| is_redirect).map(|location| redirect(&url, location)) {
            Some(Redirect::Here(next)) => {
                // The host is the same and the scheme is always http, so only the port can change the origin.
                if next.port != url.port {
                    headers = &[];
                }
                url = next;
            }
            Some(Redirect::Elsewhere) | None => return judge(&url, &answer),
        }
    }
    Err(format!("{} leads to more than {MOST_REDIRECTS} redirects", check.url))
}

fn judge(url: &Url, answer: &Answer) -> Result<String, String> {
    let told = format!("{} {}", answer.status, answer.reason).trim().to_owned();
    if (200..400).contains(&answer.status) {
        return Ok(told);
    }
    let body = String::from_utf8_lossy(&answer.body);
    let body = match body.trim().char_indices().nth(TOLD_BODY) {
        None => body.trim().to_owned(),
        Some((end, _)) => secrets::mask_beginning(&body.trim()[..end]),
    };
    Err(if body.is_empty() { format!("{url}: {told}") } else { format!("{url}: {told}: {body}") })
}

async fn get(
    resolver: &Resolver,
    url: &Url,
    headers: &[(String, String)],
    deadline: Instant,
) -> Result<Answer, String> {
    let mut stream = resolver.connect(&url.host, url.port).await?;
    let failed = |what: &str, error: &std::io::Error| format!("{url}: cannot {what}: {}", words(error));
    stream.write_all(&request(url, headers)).await.map_err(|error| failed("send the request", &error))?;
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = Head::parse(&bytes).map_err(|error| format!("{url}: {error}"))? {
            return Ok(finish(stream, head, bytes, deadline).await);
        }
        if bytes.len() >= LONGEST_HEAD {
            return Err(format!("{url}: the headers of the response are longer than {LONGEST_HEAD} bytes"));
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) if bytes.is_empty() => return Err(format!("{url}: the connection was closed without a response")),
            Ok(0) => return Err(format!("{url}: the connection was closed in the middle of the response")),
            Ok(_) => {}
            Err(error) => return Err(failed("read the response", &error)),
        }
    }
}

/// The configured headers replace ours.
fn request(url: &Url, headers: &[(String, String)]) -> Vec<u8> {
    let has = |name: &str| headers.iter().any(|(set, _)| set.eq_ignore_ascii_case(name));
    let mut text = format!("GET {} HTTP/1.1\r\n", url.target);
    let authority = url.authority();
    let agent = concat!("musterd/", env!("CARGO_PKG_VERSION"));
    let ours = [("Host", authority.as_str()), ("User-Agent", agent), ("Accept", "*/*"), ("Connection", "close")];
    let theirs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in ours.into_iter().filter(|(name, _)| !has(name)).chain(theirs) {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// The status line and headers of a response.
struct Head {
    status: u16,
    reason: String,
    location: Option<String>,
    length: Option<usize>,
    is_chunked: bool,
    /// The offset of the body.
    end: usize,
}

impl Head {
    /// Returns `None` if the head is incomplete.
    fn parse(bytes: &[u8]) -> Result<Option<Head>, String> {
        let mut begin = 0;
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            let end = match response.parse(&bytes[begin..]) {
                Ok(httparse::Status::Complete(length)) => begin + length,
                Ok(httparse::Status::Partial) => return Ok(None),
                Err(error) => return Err(format!("not an HTTP response: {error}")),
            };
            let status = response.code.unwrap_or(0);
            // An informational response, such as 103 Early Hints.
            if (100..200).contains(&status) && status != 101 {
                begin = end;
                continue;
            }
            let header = |name: &str| {
                let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                found.map(|header| String::from_utf8_lossy(header.value).into_owned())
            };
            let is_empty = matches!(status, 204 | 304);
            let length = header("content-length").and_then(|value| value.trim().parse().ok());
            return Ok(Some(Head {
                status,
                reason: response.reason.unwrap_or("").to_owned(),
                location: header("location"),
                length: if is_empty { Some(0) } else { length },
                is_chunked: header("transfer-encoding").is_some_and(|value| value.contains("chunked")),
                end,
            }));
        }
    }

    fn is_complete(&self, body: &[u8]) -> bool {
        let is_last_chunk = self.is_chunked && body.ends_with(b"0\r\n\r\n");
        body.len() >= LONGEST_BODY || is_last_chunk || self.length.is_some_and(|length| body.len() >= length)
    }
}

/// Reads the body, up to its limits of size and time, and lets the server close the connection first. The verdict is
/// known before, and nothing in the body changes it.
async fn finish(mut stream: TcpStream, head: Head, mut bytes: Vec<u8>, deadline: Instant) -> Answer {
    let mut until = deadline;
    let mut is_closed = false;
    while !is_closed {
        if head.is_complete(&bytes[head.end..]) {
            until = until.min(Instant::now() + CLOSING);
            if bytes.len() - head.end >= LONGEST_BODY {
                break;
            }
        }
        match timeout_at(until, stream.read_buf(&mut bytes)).await {
            Ok(Ok(0) | Err(_)) => is_closed = true,
            Ok(Ok(_)) => {}
            Err(_) => break,
        }
    }
    if !is_closed {
        // A normal close would leave the TIME_WAIT on our side.
        let _ = stream.set_zero_linger();
    }
    Answer { status: head.status, reason: head.reason, location: head.location, body: bytes.split_off(head.end) }
}

/// Parses a response from memory, for the fuzz targets.
#[cfg(fuzzing)]
pub fn read_foreign(bytes: &[u8]) {
    let here = Url::parse("http://127.0.0.1:8080/health").expect("this is an address");
    if let Ok(Some(head)) = Head::parse(bytes) {
        head.is_complete(&bytes[head.end..]);
        if let Some(location) = &head.location {
            redirect(&here, location);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{in_runtime, serve, serve_with};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn check_at(url: &str, headers: &[(&str, &str)]) -> Result<String, String> {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let http = HttpCheck { url: Url::parse(url).expect("an address"), headers };
        in_runtime(async { check(&Resolver::default(), &http, Instant::now() + PATIENCE).await })
    }

    #[test]
    fn statuses_from_200_to_399_pass() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Ok("200 OK")),
            ("HTTP/1.0 200\r\n\r\n", Ok("200")),
            ("HTTP/1.1 399 Odd\r\n\r\n", Ok("399 Odd")),
            ("HTTP/1.1 304 Not Modified\r\n\r\n", Ok("304 Not Modified")),
            ("HTTP/1.1 302 Found\r\nlocation: https://elsewhere/\r\n\r\n", Ok("302 Found")),
            ("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Ok("204 No Content")),
            ("HTTP/1.1 400 Bad Request\r\n\r\n", Err("400 Bad Request")),
            ("HTTP/1.1 503 Away\r\ncontent-length: 8\r\n\r\nno disk\n", Err("503 Away: no disk")),
            ("HTTP/1.1 199 What\r\n\r\n", Err("the connection was closed in the middle of the response")),
            ("", Err("the connection was closed without a response")),
            ("SSH-2.0-OpenSSH_9.2\r\n", Err("not an HTTP response: invalid HTTP version")),
        ] {
            let url = serve(vec![answer.to_owned()]);
            let expected = expected.map(str::to_owned).map_err(|error| format!("{url}: {error}"));
            assert_eq!(check_at(&url, &[]), expected, "{answer:?}");
        }
    }

    #[test]
    fn redirects_are_followed_on_the_same_host_and_limited() {
        let redirect = |to: &str| format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
        let url = serve(vec![redirect("/next"), "HTTP/1.1 500 No\r\n\r\n".to_owned()]);
        assert_eq!(check_at(&url, &[]), Err(format!("{url}next: 500 No")));
        let url = serve(vec![redirect("/again"); 11]);
        assert_eq!(check_at(&url, &[]), Err(format!("{url} leads to more than 10 redirects")));
    }

    #[test]
    fn configured_headers_are_sent_and_win_over_ours() {
        let url = Url::parse("http://[::1]:8000/x?y").unwrap();
        let headers = [("host".to_owned(), "shop".to_owned()), ("X-Probe".to_owned(), "1".to_owned())];
        let text = String::from_utf8(request(&url, &headers)).unwrap();
        let agent = concat!("User-Agent: musterd/", env!("CARGO_PKG_VERSION"));
        let expected =
            ["GET /x?y HTTP/1.1", agent, "Accept: */*", "Connection: close", "host: shop", "X-Probe: 1", "", ""];
        assert_eq!(text.split("\r\n").collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_body_without_end_is_not_waited_for() {
        let body = "x".repeat(LONGEST_BODY);
        let (tell, told) = std::sync::mpsc::channel();
        let url = serve_with(vec![format!("HTTP/1.1 200 OK\r\n\r\n{body}")], move |stream| tell.send(stream).unwrap());
        assert_eq!(check_at(&url, &[]), Ok("200 OK".to_owned()));
        // The server has kept the connection open until now.
        drop(told.recv().unwrap());
    }

    #[test]
    fn endless_headers_are_refused() {
        let url = serve(vec![format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(LONGEST_HEAD))]);
        let expected = format!("{url}: the headers of the response are longer than {LONGEST_HEAD} bytes");
        assert_eq!(check_at(&url, &[]), Err(expected));
    }
}
