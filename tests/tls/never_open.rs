//! Configurations that would be open or broken: none is used, and nothing is bound.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::harness::{self, Authority, ended};
use super::{Scene, write};

const KEYS: &str = "tls_cert = \"@/server.crt\"\ntls_key = \"@/server.key\"";

/// Lines of `[http]`, in which `KEYS` are right ones; the line of the mistake in the file; and a part of its message.
const NEVER_OPEN: &[(&str, u32, &str)] = &[
    ("listen = [\"https://127.0.0.1:PORT\"]\ntoken_file = \"@/token\"", 2, "https needs a certificate"),
    ("listen = [\"https://0.0.0.0:PORT\"]\nKEYS", 2, "no user can log in here"),
    ("listen = [\"https://0.0.0.0:PORT\"]\nKEYS\nuser.a.cert = \"a\"", 2, "no user can log in here"),
    (
        "listen = [\"https://127.0.0.1:PORT\"]\ntls_cert = \"@/server.crt\"\ntoken_file = \"@/token\"",
        3,
        "needs tls_key",
    ),
    (
        "listen = [\"https://127.0.0.1:PORT\"]\ntls_key = \"@/server.key\"\ntoken_file = \"@/token\"",
        3,
        "needs tls_cert",
    ),
    ("listen = [\"http://127.0.0.1:PORT\"]\nKEYS\ntoken_file = \"@/token\"", 3, "no listener uses it"),
    ("KEYS\ntoken_file = \"@/token\"", 2, "no listener uses it"),
    (
        "listen = [{ address = \"http://127.0.0.1:PORT\", tls_cert = \"@/server.crt\" }]\ntoken_file = \"@/token\"",
        2,
        "is for https://",
    ),
    ("listen = [{ address = \"unix://@/x\", tls_cert = \"@/server.crt\" }]", 2, "is for https://"),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_cert = \"@/other.crt\"\ntls_key = \"@/server.key\"\ntoken_file = \"@/token\"",
        4,
        "does not belong to the certificate",
    ),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_cert = \"@/old.crt\"\ntls_key = \"@/old.key\"\ntoken_file = \"@/token\"",
        3,
        "expired at",
    ),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_cert = \"@/future.crt\"\ntls_key = \"@/future.key\"\ntoken_file = \"@/token\"",
        3,
        "not valid before",
    ),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_cert = \"@/weak.crt\"\ntls_key = \"@/weak.key\"\ntoken_file = \"@/token\"",
        3,
        "RSA with 1024 bits",
    ),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_cert = \"@/odd.crt\"\ntls_key = \"@/odd.key\"\ntoken_file = \"@/token\"",
        4,
        "kind that is not supported",
    ),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_cert = \"@/nosuch\"\ntls_key = \"@/server.key\"\ntoken_file = \"@/token\"",
        3,
        "cannot be read",
    ),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_cert = \"@/token\"\ntls_key = \"@/server.key\"\ntoken_file = \"@/token\"",
        3,
        "no certificate in PEM",
    ),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_cert = \"@/server.crt\"\ntls_key = \"@/empty.key\"\ntoken_file = \"@/token\"",
        4,
        "no private key in PEM",
    ),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_cert = \"@/server.crt\"\ntls_key = \"@/open.key\"\ntoken_file = \"@/token\"",
        4,
        "every user can read it",
    ),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_client = \"require\"\nKEYS\ntoken_file = \"@/token\"",
        3,
        "tls_client needs tls_client_ca",
    ),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_client_crl = \"@/crl.pem\"\nKEYS\ntoken_file = \"@/token\"",
        3,
        "tls_client_crl needs tls_client_ca",
    ),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_client_ca = \"@/token\"\nKEYS\ntoken_file = \"@/token\"",
        3,
        "no certificate in PEM",
    ),
    (
        "listen = [\"127.0.0.1:PORT\"]\ntls_client_crl = \"@/ca.crt\"\ntls_client_ca = \"@/ca.crt\"\nKEYS\ntoken_file = \"@/token\"",
        3,
        "no revocation list in PEM",
    ),
    ("listen = [\"127.0.0.1:PORT\"]\ntls_min = \"1.1\"\nKEYS\ntoken_file = \"@/token\"", 3, "1.3"),
    ("listen = [\"https://127.0.0.1:PORT\"]\nuser.a.cert_sha256 = \"abc\"\nKEYS", 3, "64 hexadecimal digits"),
];

#[test]
fn nothing_is_open_with_a_wrong_certificate() {
    let Some(scene) = Scene::new() else { return };
    let authority: &Authority = &scene.authority;
    authority.sign("other", "", 90);
    authority.sign("old", "", -1);
    authority.sign("future", "", 1100);
    authority.sign_key("weak", "", 90, "rsa:1024");
    authority.sign_key("odd", "", 90, "ec -pkeyopt ec_paramgen_curve:secp521r1");
    authority.list_revoked();
    fs::copy(authority.path("server.key"), authority.path("open.key")).expect("it is ours");
    fs::set_permissions(authority.path("open.key"), Permissions::from_mode(0o644)).expect("it is ours");
    write(&authority.path("empty.key"), "");
    fs::set_permissions(authority.path("empty.key"), Permissions::from_mode(0o600)).expect("it is ours");
    let key = fs::read_to_string(authority.path("server.key")).expect("it is ours");
    for (lines, line, message) in NEVER_OPEN {
        let lines = scene.http(&lines.replace("KEYS", KEYS));
        let (path, socket) = (authority.path("muster.toml"), authority.path("sock"));
        write(&path, &format!("[http]\n{lines}\nsocket = {socket:?}\n[program.web]\ncommand = \"sleep 1000\"\n"));
        let end = ended(Command::new(crate::harness::musterd()).arg("-c").arg(&path));
        assert_eq!(end.code, Some(2), "{lines}: {}", end.err);
        assert!(end.err.contains(message), "{lines}: {}", end.err);
        assert!(end.err.contains(&format!("muster.toml:{line}:")), "{lines}: {}", end.err);
        let is_open = TcpStream::connect(("127.0.0.1", scene.port)).is_ok();
        assert!(!is_open && !Path::exists(&socket), "{lines}: nothing is bound");
        assert!(
            !key.lines().any(|line| line.len() > 20 && end.err.contains(line)),
            "a key is never quoted: {}",
            end.err
        );
    }
}

#[test]
fn a_certificate_that_expires_soon_is_warned_of() {
    let Some(scene) = Scene::new() else { return };
    scene.authority.sign("server", "", 5);
    let daemon = scene.start(super::TLS);
    harness::wait_until("it is logged", || daemon.log.text().contains("the certificate expires at"));
}
