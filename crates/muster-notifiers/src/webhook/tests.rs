//! Attempts at a server on this machine.

use std::fs;
use std::time::Duration;

use muster_spec::HostPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn in_runtime<F: Future>(test: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_io().enable_time().build_local(tokio::runtime::LocalOptions::default()).unwrap();
    runtime.block_on(test)
}

fn webhook(url: WebhookUrl) -> Webhook {
    Webhook { url, headers: Vec::new(), secret_file: None, cacert: None, insecure: false }
}

fn at(port: u16) -> Webhook {
    let server = HostPort { host: "127.0.0.1".to_owned(), port };
    webhook(WebhookUrl::Given(WebhookAddress { is_tls: false, server, target: "/hook?x=y".to_owned() }))
}

/// Reads a whole request.
async fn request(stream: &mut TcpStream) -> String {
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).await.unwrap();
        text.extend_from_slice(&piece[..count]);
        let read = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = read.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if length.is_none_or(|length: usize| body.len() >= length) {
            return read;
        }
    }
}

/// The outcome of an attempt at a server with this answer, and the request.
async fn attempt(poster: &mut Poster, webhook: impl Fn(u16) -> Webhook, answer: &str) -> (Result<(), Failure>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = webhook(listener.local_addr().unwrap().port());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = request(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        request
    };
    tokio::join!(poster.post(&webhook, 7, b"{\"x\":1}"), serve)
}

#[test]
fn the_request_has_the_event_and_its_number() {
    in_runtime(async {
        let with_header = |port| Webhook { headers: vec![("X-Team".to_owned(), "ops".to_owned())], ..at(port) };
        let (sent, request) = attempt(&mut Poster::default(), with_header, "HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(sent, Ok(()));
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("post /hook?x=y http/1.1"), "{head}");
        for line in ["content-type: application/json", "idempotency-key: 7", "x-team: ops", "connection: close"] {
            assert!(head.lines().any(|header| header == line), "{line}: {head}");
        }
        assert!(!head.contains("x-muster-signature"));
        assert_eq!(body, "{\"x\":1}");
    });
}

#[test]
fn only_a_success_counts_and_some_failures_may_pass() {
    in_runtime(async {
        let mut poster = Poster::default();
        for (status, reason, is_final) in [
            ("500 Oops", "500: Internal Server Error", false),
            ("429 Slow", "429: Too Many Requests", false),
            ("404 None", "404: Not Found", true),
            ("302 Found\r\nLocation: http://169.254.169.254/", "302: Found; redirects are not followed", true),
        ] {
            let (sent, _) = attempt(&mut poster, at, &format!("HTTP/1.1 {status}\r\n\r\n")).await;
            assert_eq!(sent, Err(Failure { reason: reason.to_owned(), is_final }));
        }
        let (sent, _) = attempt(&mut poster, at, "").await;
        assert!(sent.unwrap_err().reason.contains("closed the connection"));
        let (sent, _) = attempt(&mut poster, at, "SSH-2.0-OpenSSH\r\n").await;
        assert!(sent.unwrap_err().reason.contains("not valid HTTP"));
    });
}

#[test]
fn files_are_read_for_each_attempt() {
    in_runtime(async {
        let directory = tempfile::tempdir().unwrap();
        let [key, url] = ["key", "url"].map(|name| directory.path().join(name));
        let mut poster = Poster::default();
        let mut signatures = Vec::new();
        for text in ["first", "second"] {
            fs::write(&key, text).unwrap();
            let of_files = |port| {
                fs::write(&url, format!("http://127.0.0.1:{port}/{text}\n")).unwrap();
                Webhook { secret_file: Some(key.clone()), ..webhook(WebhookUrl::File(url.clone())) }
            };
            let (sent, request) = attempt(&mut poster, of_files, "HTTP/1.1 200 OK\r\n\r\n").await;
            assert_eq!(sent, Ok(()));
            assert!(request.starts_with(&format!("POST /{text} ")), "{request}");
            let expected = signature(text.as_bytes(), b"{\"x\":1}");
            assert!(request.to_ascii_lowercase().contains(&format!("x-muster-signature: {expected}")), "{request}");
            signatures.push(expected);
        }
        assert_ne!(signatures[0], signatures[1]);
    });
}

#[test]
fn a_bad_address_in_a_file_is_not_quoted() {
    in_runtime(async {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, reason) in [
            ("ftp://hunter2", "must begin with https:// or http://"),
            ("http://collector.example.org/hunter2", "http://collector.example.org/… is not encrypted"),
            ("", "its first line is empty"),
        ] {
            fs::write(file.path(), text).unwrap();
            let webhook = webhook(WebhookUrl::File(file.path().to_owned()));
            let failure = Poster::default().post(&webhook, 1, b"").await.unwrap_err();
            assert!(failure.reason.contains(reason) && !failure.reason.contains("hunter2"), "{failure:?}");
            assert!(!failure.is_final, "the file may be replaced");
        }
    });
}

/// A file system that hangs costs one thread, however many attempts there are.
#[test]
fn attempts_share_a_thread_that_hangs() {
    in_runtime(async {
        let webhook = Webhook { secret_file: Some("/no/such".into()), ..at(9) };
        let (_hangs, reading) = oneshot::channel();
        let mut poster = Poster { reading: Some((webhook.clone(), reading)), ..Poster::default() };
        for _ in 0..3 {
            let posted = tokio::time::timeout(Duration::from_millis(20), poster.post(&webhook, 1, b"")).await;
            assert!(posted.is_err() && poster.reading.is_some());
        }
    });
}
