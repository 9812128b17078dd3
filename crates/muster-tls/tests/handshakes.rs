//! Handshakes with servers that are to be trusted and with others, and what the client says of each. The certificates
//! are made by openssl.

#![allow(clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use muster_tls::rustls::pki_types::pem::PemObject;
use muster_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use muster_tls::rustls::server::WebPkiClientVerifier;
use muster_tls::rustls::{
    ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion, version,
};
use muster_tls::{Client, client_config, describe, provider, server_name};

/// Runs openssl, or says that the test is skipped because there is none.
fn openssl(directory: &Path, arguments: &[&str]) -> bool {
    let ran = Command::new("openssl").args(arguments).current_dir(directory).stderr(Stdio::null()).status();
    match ran {
        Ok(status) => {
            assert!(status.success(), "openssl {arguments:?}");
            true
        }
        Err(error) => {
            let _ = io::stderr().write_all(format!("SKIPPED: openssl: {error}\n").as_bytes());
            false
        }
    }
}

const KEY: [&str; 6] = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// Makes `NAME.pem` and `NAME.key`: a root that signs itself.
fn root(at: &Path, name: &str) -> bool {
    let (key, certificate, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/O=Example/CN={name}"));
    let rest = ["-x509", "-days", "2", "-subj", &subject, "-keyout", &key, "-out", &certificate];
    openssl(at, &[&KEY[..], &rest].concat())
}

/// Makes a certificate of a name, issued by `ca`.
fn issue(at: &Path, ca: &str, name: &str, names: &str, days: &str) {
    let (key, request, certificate) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
    let subject = format!("/CN={name}");
    openssl(at, &[&KEY[..], &["-subj", &subject, "-keyout", &key, "-out", &request]].concat());
    std::fs::write(at.join("ext"), format!("subjectAltName={names}\n")).unwrap();
    let (ca, ca_key) = (format!("{ca}.pem"), format!("{ca}.key"));
    let serial = ["-CAcreateserial", "-extfile", "ext", "-days", days, "-in", &request, "-out", &certificate];
    openssl(at, &[&["x509", "-req", "-CA", &ca, "-CAkey", &ca_key][..], &serial].concat());
}

/// Serves one connection with this certificate; `clients` are the roots of client certificates.
fn serve(at: &Path, name: &str, clients: Option<&str>, versions: Versions) -> u16 {
    let chain = CertificateDer::pem_file_iter(at.join(format!("{name}.pem"))).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(at.join(format!("{name}.key"))).unwrap();
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(at.join(format!("{ca}.pem"))).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), tcp);
        let mut question = [0; 4];
        if stream.read_exact(&mut question).is_ok() {
            let _ = stream.write_all(b"pong");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        } else {
            // The alert was queued by the failed read.
            let _ = stream.flush();
        }
    });
    port
}

/// Asks and returns the answer, or the error in words.
fn ask(client: &Client, host: &str, port: u16) -> Result<String, String> {
    let config = client_config(client, &|_| None)?;
    let tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let connection = ClientConnection::new(config, server_name(host)?).unwrap();
    let mut stream = StreamOwned::new(connection, tcp);
    let mut answer = String::new();
    let asked = stream.write_all(b"ping").and_then(|()| stream.read_to_string(&mut answer));
    asked.map(|_| answer).map_err(|error| describe(&error))
}

type Versions = &'static [&'static SupportedProtocolVersion];

static OLD: [&SupportedProtocolVersion; 1] = [&version::TLS12];
static NEW: [&SupportedProtocolVersion; 1] = [&version::TLS13];
static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

#[test]
fn a_server_is_trusted_for_its_roots_its_name_and_its_dates_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    if !root(at, "ca") {
        return;
    }
    root(at, "other");
    issue(at, "ca", "shop", "DNS:shop.example,IP:127.0.0.1", "2");
    issue(at, "ca", "old", "IP:127.0.0.1", "-1");
    let trusting = |ca: &str| Client { cacert: Some(at.join(format!("{ca}.pem"))), ..Client::default() };
    let serve = |name: &str| serve(at, name, None, &BOTH);
    assert_eq!(ask(&trusting("ca"), "127.0.0.1", serve("shop")).unwrap(), "pong");
    assert_eq!(ask(&trusting("ca"), "shop.example", serve("shop")).unwrap(), "pong");
    let refused = |client: &Client, host: &str, name: &str, words: &[&str]| {
        let error = ask(client, host, serve(name)).unwrap_err();
        words.iter().for_each(|word| assert!(error.contains(word), "{word}: {error}"));
    };
    refused(
        &trusting("other"),
        "127.0.0.1",
        "shop",
        &[
            "issuer that is not trusted; it is of CN=shop, issued by O=Example, CN=ca, valid from 20",
            " to 20",
            "sha256:",
        ],
    );
    refused(&trusting("other"), "127.0.0.1", "ca", &["self-signed", "CN=ca", "sha256:"]);
    refused(&trusting("ca"), "127.0.0.1", "ca", &["self-signed", "CA:TRUE", "sha256:"]);
    refused(&trusting("ca"), "db.example", "shop", &["is not for db.example, but for ", "shop.example"]);
    refused(&trusting("ca"), "127.0.0.1", "old", &["the server's certificate expired", "CN=old"]);
}

#[test]
fn a_pin_accepts_one_certificate_whoever_issued_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    if !root(at, "self") {
        return;
    }
    root(at, "another");
    let pinned = |pin: &str| Client { pin: Some(pin.parse().unwrap()), ..Client::default() };
    let wrong = format!("sha256:{}", "00".repeat(32));
    let error = ask(&pinned(&wrong), "127.0.0.1", serve(at, "self", None, &BOTH)).unwrap_err();
    assert!(error.starts_with(&format!("the server's certificate is not the pinned one, {wrong}")), "{error}");
    // The message of an unknown certificate names its fingerprint, so that a person can compare it and pin it.
    let pin = error.rsplit(' ').next().unwrap();
    assert_eq!(ask(&pinned(pin), "anything.example", serve(at, "self", None, &BOTH)).unwrap(), "pong");
    assert!(ask(&pinned(pin), "127.0.0.1", serve(at, "another", None, &BOTH)).is_err());
}

#[test]
fn a_client_proves_who_it_is_over_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    if !root(at, "ca") {
        return;
    }
    root(at, "stranger");
    issue(at, "ca", "shop", "IP:127.0.0.1", "2");
    issue(at, "ca", "me", "DNS:me", "2");
    let files = |name: &str| -> (PathBuf, PathBuf) { (at.join(format!("{name}.pem")), at.join(format!("{name}.key"))) };
    let client = |name: Option<&str>| Client { cacert: Some(at.join("ca.pem")), identity: name.map(files), pin: None };
    for versions in [&OLD, &NEW] {
        let serve = || serve(at, "shop", Some("ca"), versions);
        assert_eq!(ask(&client(Some("me")), "127.0.0.1", serve()).unwrap(), "pong");
        assert!(ask(&client(Some("stranger")), "127.0.0.1", serve()).is_err());
    }
    let error = ask(&client(None), "127.0.0.1", serve(at, "shop", Some("ca"), &NEW)).unwrap_err();
    assert_eq!(error, "the server requires a client certificate");
    let mixed = Client { identity: Some((at.join("me.pem"), at.join("shop.key"))), ..client(None) };
    assert!(client_config(&mixed, &|_| None).unwrap_err().contains("cannot be used together"));
}

#[test]
fn a_server_that_speaks_no_tls_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    if !root(at, "ca") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = io::copy(&mut tcp, &mut io::sink());
    });
    let client = Client { cacert: Some(at.join("ca.pem")), ..Client::default() };
    assert_eq!(ask(&client, "127.0.0.1", port).unwrap_err(), "the server does not speak TLS");
}
