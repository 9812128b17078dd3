//! Tests of daemons on the network: logins, certificates, and servers that are not to be trusted.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster_tls::rustls::pki_types::pem::PemObject;
use muster_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use muster_tls::rustls::server::WebPkiClientVerifier;
use muster_tls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::reach::Variables;
use crate::testing::{Ended, Setting, answer, info, problem};

/// A server for one connection: its port, and the head of the request once it has answered.
struct Server {
    port: u16,
    thread: JoinHandle<String>,
}

fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

impl Server {
    fn behaving(behave: impl FnOnce(TcpStream) -> String + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Server { port, thread: std::thread::spawn(move || behave(listener.accept().unwrap().0)) }
    }

    fn answering(answer: String) -> Server {
        Server::behaving(move |mut stream| {
            let head = read_head(&mut stream);
            let _ = stream.write_all(answer.as_bytes());
            head
        })
    }

    fn secure(config: ServerConfig) -> Server {
        Server::behaving(move |stream| {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
            let head = read_head(&mut stream);
            let _ = stream.write_all(answer(200, &info()).as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
            head
        })
    }

    /// Runs a command on this server.
    fn run(&self, setting: Setting, line: &str) -> Ended {
        setting.run(&format!("-s http://127.0.0.1:{} {line}", self.port))
    }

    /// The head of its request.
    fn head(self) -> String {
        self.thread.join().unwrap()
    }
}

fn with_variables(variables: Variables) -> Setting {
    Setting { variables, ..Setting::default() }
}

#[test]
fn logins_come_from_files_and_variables() {
    let directory = tempfile::tempdir().unwrap();
    let (token, password) = (directory.path().join("token"), directory.path().join("password"));
    std::fs::write(&token, "a-token-of-a-file\n").unwrap();
    std::fs::write(&password, "secret\n").unwrap();
    let of_variable = || Variables { token: Some("of-a-variable".into()), ..Variables::default() };
    let of_both = || Variables { token_file: Some(token.clone().into()), ..of_variable() };
    let file = format!("--token-file {} version", token.display());
    let user = format!("--user me --password-file {} version", password.display());
    for (variables, line, expected) in [
        (Variables::default(), "version", None),
        (Variables::default(), file.as_str(), Some("Bearer a-token-of-a-file")),
        (of_variable(), "version", Some("Bearer of-a-variable")),
        (of_both(), "version", Some("Bearer a-token-of-a-file")),
        (of_variable(), file.as_str(), Some("Bearer a-token-of-a-file")),
        (of_variable(), user.as_str(), Some("Basic bWU6c2VjcmV0")),
    ] {
        let server = Server::answering(answer(200, &info()));
        let ended = server.run(with_variables(variables), line);
        assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "1.2.3\n", ""), "{line}");
        let port = server.port;
        let head = server.head();
        assert!(head.contains(&format!("\r\nhost: 127.0.0.1:{port}\r\n")), "{head}");
        let sent = head.lines().find_map(|line| line.strip_prefix("authorization: "));
        assert_eq!(sent, expected, "{line}");
    }
}

#[test]
fn a_login_does_not_travel_in_clear_text_unless_permitted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "hunter2-hunter2-hunter2\n").unwrap();
    let line = format!("-s http://shop.invalid:9001 --token-file {} version", path.display());
    let ended = Setting::default().run(&line);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("clear text") && ended.err.contains("--insecure-transport"), "{}", ended.err);
    assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    let ended = Setting::default().run(&format!("{line} --insecure-transport"));
    assert_eq!(ended.code, 7, "{}", ended.err);
    assert!(ended.err.contains("no daemon answers on http://shop.invalid:9001"), "{}", ended.err);
    // Without a login there is nothing to protect.
    assert_eq!(Setting::default().run("-s http://shop.invalid:9001 version").code, 7);
}

#[test]
fn wrong_settings_are_usage() {
    for line in [
        "-s http://127.0.0.1:1 --cacert /x version",
        "-s http://127.0.0.1:1 --pin sha256:00 version",
        "-s https://127.0.0.1:1 --pin md5:00 version",
        "-s https://127.0.0.1:1 --cert /x version",
        "-s https://127.0.0.1:1 --cacert /nonexistent/ca.pem version",
        "-s http://127.0.0.1:1 --user me version",
        "-s http://127.0.0.1:1 --password-file /x version",
        "-s http://127.0.0.1:1 --token-file /nonexistent/t version",
        "-s http://127.0.0.1:1 --token-file /x --user me version",
        "-s /run/x.sock --token-file /x version",
        "-s /run/x.sock --cacert /x version",
        "-s http://me:hunter2@127.0.0.1:1 version",
    ] {
        let ended = Setting::default().run(line);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{line}: {}", ended.err);
        assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    }
    // Variables are for addresses of the network only, so they do not disturb a socket.
    let variables = Variables { token: Some("x".into()), cacert: Some("/nonexistent".into()), ..Variables::default() };
    assert_eq!(with_variables(variables).run("-s /nonexistent/s version").code, 7);
}

#[test]
fn who_is_not_let_in_hears_what_to_do() {
    let refusal =
        |status: u16, body: &str| format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let denied = muster_api::Problem::new(muster_api::ProblemKind::NotAllowed, "needs control, this login has read");
    for (said, login, words) in [
        (refusal(401, ""), false, "hint: log in with `--token-file`"),
        (refusal(401, "<html>"), true, "hint: the daemon does not know this login"),
        (refusal(403, "<html>"), true, "not allowed: HTTP status 403"),
        (problem(&denied), true, "needs control, this login has read"),
    ] {
        let server = Server::answering(said);
        let token = login.then(|| "hunter2-hunter2".into());
        let ended = server.run(with_variables(Variables { token, ..Variables::default() }), "version");
        assert_eq!((ended.code, ended.out.as_str()), (5, ""), "{}", ended.err);
        assert!(ended.err.contains(words) && !ended.err.contains("hunter2"), "{}", ended.err);
    }
}

#[test]
fn a_daemon_that_is_not_there_is_exit_code_7() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ended = Setting::default().run(&format!("-s http://127.0.0.1:{port} status"));
    let expected = format!("error: no daemon answers on http://127.0.0.1:{port}: connection refused\nhint: ");
    assert!(ended.code == 7 && ended.err.starts_with(&expected), "{}", ended.err);
    let server = Server::behaving(|mut stream| read_head(&mut stream));
    assert_eq!(server.run(Setting::default(), "status").code, 7);
}

#[test]
fn a_redirection_is_not_followed() {
    let server =
        Server::answering("HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".into());
    let ended = server.run(Setting::default(), "version");
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("unexpected response: HTTP status 302"), "{}", ended.err);
}

#[test]
fn an_answer_that_never_ends_is_given_up() {
    for (head, rest) in [
        ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "5\r\nxxxxx\r\n"),
        ("HTTP/1.1 200 OK\r\n\r\n", "[[[["),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", "x"),
    ] {
        let server = Server::behaving(move |mut stream| {
            let request = read_head(&mut stream);
            let piece = rest.repeat(4096);
            let mut is_open = stream.write_all(head.as_bytes()).is_ok();
            while is_open {
                is_open = stream.write_all(piece.as_bytes()).is_ok();
            }
            request
        });
        let setting = Setting { patience: Duration::from_secs(2), ..Setting::default() };
        let began = Instant::now();
        let ended = server.run(setting, "status");
        assert!([1, 124].contains(&ended.code), "{head:?}: {ended:?}");
        assert!(began.elapsed() < Duration::from_secs(60));
        drop(server.head());
    }
}

#[test]
fn nothing_that_a_server_says_controls_the_terminal() {
    let said = muster_api::Problem::new(muster_api::ProblemKind::Internal, "a\u{1b}]0;owned\u{7}b\u{202e}c");
    let server = Server::answering(problem(&said));
    let setting = Setting { terminal: true, colourless: true, ..Setting::default() };
    let ended = server.run(setting, "status");
    assert!(!ended.err.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{:?}", ended.err);
    assert!(ended.err.contains("owned"), "{:?}", ended.err);
}

// TLS. The certificates are made by openssl.

/// Runs openssl; returns whether it is installed.
fn openssl(at: &Path, words: &str) -> bool {
    let ran = Command::new("openssl").args(words.split(' ')).current_dir(at).stderr(Stdio::null()).status();
    if let Err(error) = &ran {
        let _ = std::io::stderr().write_all(format!("SKIPPED: openssl: {error}\n").as_bytes());
    }
    ran.is_ok_and(|status| status.success())
}

const NEW_KEY: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";

/// Certificates that sign themselves: `shop` for 127.0.0.1, and `other`.
fn certificates() -> Option<tempfile::TempDir> {
    let directory = tempfile::tempdir().unwrap();
    let made = ["shop", "other"].iter().all(|name| {
        openssl(
            directory.path(),
            &format!(
                "{NEW_KEY} -subj /CN={name} -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE \
                 -keyout {name}.key -out {name}.pem"
            ),
        )
    });
    made.then_some(directory)
}

/// The configuration of a server with the certificate `shop`; `clients` are the roots of client certificates.
fn server_config(at: &Path, clients: Option<&str>) -> ServerConfig {
    let provider = muster_tls::provider();
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(at.join(ca)).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_file(at.join("shop.pem")).unwrap()];
    builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(at.join("shop.key")).unwrap()).unwrap()
}

fn secure(server: &Server, options: &str) -> Ended {
    let variables = Variables { token: Some("hunter2-hunter2".into()), ..Variables::default() };
    with_variables(variables).run(&format!("-s https://127.0.0.1:{} {options} version", server.port))
}

#[test]
fn only_a_certificate_that_is_trusted_gets_the_login() {
    let Some(directory) = certificates() else { return };
    let at = directory.path();
    let ca = |name: &str| format!("--cacert {}", at.join(name).display());

    let server = Server::secure(server_config(at, None));
    let ended = secure(&server, &ca("shop.pem"));
    assert_eq!((ended.code, ended.out.as_str()), (0, "1.2.3\n"), "{}", ended.err);
    assert!(server.head().contains("authorization: Bearer hunter2-hunter2\r\n"));

    let server = Server::secure(server_config(at, None));
    let ended = secure(&server, &ca("other.pem"));
    assert_eq!(ended.code, 7, "{}", ended.err);
    for word in ["not trusted", "CN=shop", "issued by", "valid from", "sha256:", "hint: `--cacert`"] {
        assert!(ended.err.contains(word), "{word}: {}", ended.err);
    }
    assert_eq!(server.head(), "", "nothing was sent");

    // The fingerprint of the message is the pin for the next try.
    let pin = ended.err.split("--pin ").nth(1).and_then(|rest| rest.split('`').next()).unwrap().to_owned();
    let server = Server::secure(server_config(at, None));
    assert_eq!(secure(&server, &format!("--pin {pin}")).code, 0);
    assert!(server.head().contains("authorization: "));
    let server = Server::secure(server_config(at, None));
    let ended = secure(&server, &format!("--pin sha256:{}", "0".repeat(64)));
    assert_eq!((ended.code, server.head().as_str()), (7, ""), "{}", ended.err);
}

#[test]
fn a_client_certificate_is_shown_where_it_is_required() {
    let Some(directory) = certificates() else { return };
    let at = directory.path();
    let trust = format!("--cacert {}", at.join("shop.pem").display());
    let server = Server::secure(server_config(at, Some("other.pem")));
    let identity = format!("--cert {} --key {}", at.join("other.pem").display(), at.join("other.key").display());
    let ended = secure(&server, &format!("{trust} {identity}"));
    assert_eq!((ended.code, ended.out.as_str()), (0, "1.2.3\n"), "{}", ended.err);
    let server = Server::secure(server_config(at, Some("other.pem")));
    let ended = secure(&server, &trust);
    assert_eq!(ended.code, 7, "{}", ended.err);
    assert!(ended.err.contains("client certificate"), "{}", ended.err);
}

#[test]
fn a_server_without_tls_or_that_is_silent_is_told() {
    let server = Server::behaving(|mut stream| {
        let mut piece = [0; 64];
        let _ = stream.read(&mut piece);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        String::new()
    });
    let ended = secure(&server, &format!("--pin sha256:{}", "0".repeat(64)));
    assert_eq!(ended.code, 7, "{}", ended.err);
    assert!(ended.err.contains("does not speak TLS") && ended.err.contains("http://"), "{}", ended.err);

    // One byte at a time, each in time by itself.
    let server = Server::behaving(|mut stream| {
        let header = [22, 3, 3, 0x3f, 0xff];
        let mut bytes = header.iter().copied().chain(std::iter::repeat(0));
        while bytes.next().is_some_and(|byte| stream.write_all(&[byte]).is_ok()) {
            std::thread::sleep(Duration::from_millis(20));
        }
        String::new()
    });
    let setting = Setting { patience: Duration::from_millis(300), ..Setting::default() };
    let began = Instant::now();
    let pin = "0".repeat(64);
    let ended = setting.run(&format!("-s https://127.0.0.1:{} --pin sha256:{pin} version", server.port));
    assert_eq!(ended.code, 7, "{}", ended.err);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
