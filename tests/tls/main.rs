//! https listeners: versions, client certificates, rotation, and clients that mean harm.

#[path = "../harness/mod.rs"]
mod harness;

mod acceptance;
mod floods;
mod moves;
mod never_open;
mod rotation;
mod sessions;
mod ways;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::{Authority, Daemon, Setting, ended, free_port, wait_until};

pub(crate) const TOKEN: &str = "0123456789abcdefghij";

/// An authority with a certificate for this machine and one for a client, a token, and a free port.
pub(crate) struct Scene {
    pub(crate) authority: Authority,
    pub(crate) port: u16,
}

impl Scene {
    /// `None`, with a notice, without openssl.
    pub(crate) fn new() -> Option<Scene> {
        let authority = Authority::new()?;
        authority.sign("server", "IP:127.0.0.1,DNS:localhost", 90);
        fs::write(authority.path("token"), TOKEN).expect("it is ours");
        Some(Scene { authority, port: free_port() })
    }

    /// Lines for `[http]`, in which `@` is the directory and `PORT` the port.
    pub(crate) fn http(&self, lines: &str) -> String {
        lines.replace('@', &self.authority.directory().display().to_string()).replace("PORT", &self.port.to_string())
    }

    pub(crate) fn setting(&self, lines: &str) -> Setting {
        Setting::supervising("[program.web]\ncommand = \"sleep 1000\"\n").http(&self.http(lines))
    }

    pub(crate) fn start(&self, lines: &str) -> Daemon {
        self.setting(lines).start().listening()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// The status that curl gets with these options; the error is its own exit code.
    pub(crate) fn curl(&self, path: &str, options: &str) -> Result<u16, i32> {
        let mut command = Command::new("curl");
        command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", "ca.crt", "--max-time", "10"]);
        command.args(options.split_whitespace()).arg(self.url(path)).current_dir(self.authority.directory());
        let output = command.output().expect("curl runs");
        match output.status.code() {
            Some(0) => Ok(String::from_utf8_lossy(&output.stdout).parse().expect("a status")),
            code => Err(code.unwrap_or(-1)),
        }
    }

    /// The status that curl gets with the certificate of this client.
    pub(crate) fn curl_as(&self, name: &str, path: &str) -> Result<u16, i32> {
        self.curl(path, &format!("--cert {name}.crt --key {name}.key"))
    }

    /// Everything that a handshake by `openssl s_client` says.
    pub(crate) fn s_client(&self, options: &str) -> String {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-CAfile", "ca.crt", "-connect"]).arg(format!("127.0.0.1:{}", self.port));
        command.args(options.split_whitespace()).current_dir(self.authority.directory()).stdin(Stdio::null());
        let output = command.output().expect("openssl runs");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}

/// The status of a request in clear text on this connection, if there is one.
pub(crate) fn ask_in_clear(stream: &mut TcpStream) -> Option<u16> {
    stream.set_read_timeout(Some(harness::PATIENCE)).expect("a socket has it");
    let request = format!("GET /v1/info HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    String::from_utf8_lossy(&answer).strip_prefix("HTTP/1.1 ")?.parse().ok()
}

/// The same on a new connection, which is accepted in any case.
pub(crate) fn in_clear(scene: &Scene) -> Option<u16> {
    ask_in_clear(&mut TcpStream::connect(("127.0.0.1", scene.port)).expect("it listens all the time"))
}

pub(crate) fn with_token() -> String {
    format!("--oauth2-bearer {TOKEN}")
}

fn has(command: &str) -> bool {
    let is_there = Command::new("sh").args(["-c", &format!("command -v {command}")]).stdout(Stdio::null()).status();
    let is_there = is_there.is_ok_and(|status| status.success());
    if !is_there {
        harness::skip(&format!("needs {command}"));
    }
    is_there
}

pub(crate) const TLS: &str = "listen = [\"https://127.0.0.1:PORT\"]\ntls_cert = \"@/server.crt\"\ntls_key = \"@/server.key\"\n\
                       user.deploy = { role = \"control\", token_file = \"@/token\" }\n";

#[test]
fn clients_of_every_kind_are_served_over_tls() {
    let Some(scene) = Scene::new() else { return };
    let daemon = scene.start(TLS);
    if has("curl") {
        assert_eq!(scene.curl("/v1/info", &with_token()), Ok(200));
        assert_eq!(scene.curl("/v1/info", ""), Ok(401));
        assert_eq!(scene.curl("/healthz", ""), Ok(200));
        assert_eq!(scene.curl("/v1/info", &format!("--tlsv1.2 --tls-max 1.2 {}", with_token())), Err(35), "only 1.3");
        let origin = format!("-H Origin:https://127.0.0.1:{} {}", scene.port, with_token());
        assert_eq!(scene.curl("/v1/info", &origin), Ok(200), "our own page");
        let origin = format!("-H Origin:http://127.0.0.1:{} {}", scene.port, with_token());
        assert_eq!(scene.curl("/v1/info", &origin), Ok(403), "a page without TLS is another origin");
    }
    let said = scene.s_client("-alpn http/1.1");
    assert!(said.contains("TLSv1.3") && said.contains("ALPN protocol: http/1.1"), "{said}");
    if has("python3") {
        let script = format!(
            "import http.client, ssl\ncontext = ssl.create_default_context(cafile='ca.crt')\n\
             connection = http.client.HTTPSConnection('localhost', {}, context=context)\n\
             for _ in range(3):\n  connection.request('GET', '/v1/info', headers={{'Authorization': 'Bearer {TOKEN}'}})\n  \
             answer = connection.getresponse(); answer.read(); print(answer.status)\n",
            scene.port
        );
        let output = Command::new("python3").args(["-c", &script]).current_dir(scene.authority.directory()).output();
        assert_eq!(String::from_utf8_lossy(&output.expect("it runs").stdout), "200\n200\n200\n");
    }
    let pin = format!("sha256:{}", scene.authority.fingerprint("server"));
    for trust in [["--cacert", "ca.crt"], ["--pin", &pin]] {
        let mut musterctl = Command::new(harness::musterctl());
        musterctl.arg("-s").arg(scene.url("")).args(trust).arg("--token-file").arg(scene.authority.path("token"));
        let end = ended(musterctl.arg("status").current_dir(scene.authority.directory()));
        // 3 while the program is starting.
        assert!(matches!(end.code, Some(0 | 3)) && end.out.contains("web"), "{trust:?}: {end:?}");
    }
    // The hints name only ways that work.
    for (trust, hints) in [(None, "`--cacert` names its issuer; `--pin sha256:"), (Some("sha256:00"), "hint: `--pin ")]
    {
        let mut musterctl = Command::new(harness::musterctl());
        let pinned = trust.map(|start| format!("--pin={start}{}", "0".repeat(62)));
        let end = ended(musterctl.arg("-s").arg(scene.url("")).args(pinned).arg("status"));
        assert!(end.code == Some(7) && end.err.contains(hints), "{end:?}");
    }
    let info = daemon.client.request("GET", "/v1/info", "").json();
    assert_eq!(info["listeners"][0]["address"], format!("https://127.0.0.1:{}", scene.port));
    assert!(info["listeners"][0]["not_after"].as_str().is_some_and(|date| date.ends_with('Z')), "{info}");
    let metrics = daemon.client.request("GET", "/metrics", "").body;
    assert!(metrics.contains("muster_tls_handshakes_total{result=\"ok\"} "), "{metrics}");
    let listener =
        format!("muster_tls_certificate_not_after_seconds{{listener=\"https://127.0.0.1:{}\"}} 1", scene.port);
    assert!(metrics.contains(&listener), "{metrics}");
}

#[test]
fn an_address_without_a_scheme_has_tls_where_there_is_a_certificate() {
    let Some(scene) = Scene::new() else { return };
    let lines =
        TLS.replace("https://127.0.0.1:PORT", "127.0.0.1:PORT").replace("tls_key", "tls_min = \"1.2\"\ntls_key");
    let daemon = scene.start(&lines);
    let info = daemon.client.request("GET", "/v1/info", "").json();
    assert_eq!(info["listeners"][0]["address"], format!("https://127.0.0.1:{}", scene.port));
    for (options, is_served) in [
        ("-tls1_3", true),
        ("-tls1_2 -cipher ECDHE+AESGCM", true),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA", false),
        ("-tls1_2 -cipher AES256-GCM-SHA384", false),
        ("-tls1_1 -cipher ALL:@SECLEVEL=0", false),
    ] {
        let said = scene.s_client(options);
        assert_eq!(
            said.contains("Verify return code: 0 (ok)") && !said.contains("Cipher is (NONE)"),
            is_served,
            "{said}"
        );
    }
    // The order of ciphers is the listener's.
    let said = scene.s_client("-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384");
    assert!(said.contains("Cipher is ECDHE-ECDSA-AES256-GCM-SHA384"), "{said}");
}

#[test]
fn a_client_is_known_by_its_certificate_and_a_wrong_one_is_refused() {
    let Some(scene) = Scene::new() else { return };
    if !has("curl") {
        return;
    }
    let other = Authority::new().expect("openssl is there");
    other.sign("foreign", "URI:spiffe://example.org/deploy", 90);
    for name in ["foreign.crt", "foreign.key"] {
        fs::copy(other.path(name), scene.authority.path(name)).expect("it is ours");
    }
    for (name, names, days) in [
        ("deploy", "URI:spiffe://example.org/deploy", 90),
        ("mail", "email:ops@example.org", 90),
        // A name of another kind, and a common name that does not count.
        ("spiffe", "DNS:ops.example.org", 90),
        ("plain", "", 90),
        ("expired", "URI:spiffe://example.org/deploy", -2),
        ("future", "URI:spiffe://example.org/deploy", 1100),
        ("revoked", "URI:spiffe://example.org/deploy", 90),
    ] {
        scene.authority.sign(name, names, days);
    }
    scene.authority.revoke("revoked");
    let lines = format!(
        "{TLS}tls_client_ca = \"@/ca.crt\"\ntls_client_crl = \"@/crl.pem\"\n\
         user.robot = {{ role = \"control\", cert = \"spiffe://example.org/deploy\" }}\n\
         user.ops = {{ role = \"read\", cert = \"ops\\u0040example.org\" }}\nuser.old = {{ role = \"metrics\", cert = \"plain\" }}\n\
         user.no = {{ role = \"admin\", cert = \"spiffe\" }}\n"
    );
    let daemon = scene.start(&lines);
    let stop =
        |name: &str| scene.curl("/v1/programs/web/stop?wait=5", &format!("-X POST --cert {name}.crt --key {name}.key"));
    assert_eq!((scene.curl_as("deploy", "/v1/info"), stop("deploy")), (Ok(200), Ok(200)));
    assert_eq!((scene.curl_as("mail", "/v1/info"), stop("mail")), (Ok(200), Ok(403)));
    assert_eq!((scene.curl_as("plain", "/metrics"), scene.curl_as("plain", "/v1/info")), (Ok(200), Ok(403)));
    assert_eq!(scene.curl_as("spiffe", "/v1/info"), Ok(401), "a common name beside another name");
    assert_eq!(scene.curl("/v1/info", ""), Ok(401), "none at all");
    let wrong = "--oauth2-bearer wrong-wrong-wrong-wrong --cert mail.crt --key mail.key";
    assert_eq!(scene.curl("/v1/info", wrong), Ok(200), "the certificate comes first");
    let why = daemon.client.request("GET", "/v1/programs/web/why", "").body;
    assert!(why.contains("robot"), "{why}");
    for (name, reason) in [
        ("foreign", "has an issuer that is not trusted"),
        ("expired", "the client certificate expired at"),
        ("future", "the client certificate is not valid before"),
        ("revoked", "the client certificate was revoked"),
    ] {
        assert!(scene.curl_as(name, "/v1/info").is_err(), "{name}");
        wait_until("the reason is logged", || daemon.log.text().contains(reason));
    }
    let metrics = daemon.client.request("GET", "/metrics", "").body;
    assert!(metrics.contains("muster_tls_handshakes_total{result=\"certificate\"} 4"), "{metrics}");
}

#[test]
fn a_client_certificate_can_be_required_or_listed_without_an_authority() {
    let Some(scene) = Scene::new() else { return };
    if !has("curl") {
        return;
    }
    scene.authority.sign("robot", "", 90);
    scene.authority.sign("other", "", 90);
    let listed = format!(
        "{TLS}user.robot = {{ role = \"read\", cert_sha256 = \"{}\" }}\n",
        scene.authority.fingerprint("robot")
    );
    let daemon = scene.start(&listed);
    assert_eq!(scene.curl_as("robot", "/v1/info"), Ok(200));
    assert_eq!(scene.curl_as("other", "/v1/info"), Ok(401), "it means nothing");
    assert_eq!(scene.curl_as("other", "/healthz"), Ok(200));
    drop(daemon);
    let required = format!("{TLS}tls_client_ca = \"@/ca.crt\"\ntls_client = \"require\"\n");
    let _daemon = scene.start(&required);
    assert_eq!(scene.curl_as("robot", "/healthz"), Ok(200));
    assert!(scene.curl("/healthz", "").is_err(), "no handshake without a certificate");
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("it is ours");
}
