//! Sessions over TLS: their cookie is for this host over TLS only, and so is the session.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::harness::free_port;
use crate::{Scene, TOKEN};

/// The answer that curl gets with these options.
fn curl(scene: &Scene, url: &str, options: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-s", "-i", "--cacert", "ca.crt", "--max-time", "10", "-H", "Content-Type: application/json"]);
    let output = command.args(options).arg(url).current_dir(scene.authority.directory()).output().expect("curl runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Theft over http: an id of a session that began over TLS opens nothing there, by any name.
#[test]
fn a_session_of_tls_is_worth_nothing_in_clear_text() {
    let Some(scene) = Scene::new() else { return };
    let plain = free_port();
    let daemon = scene.start(&format!(
        "listen = [\"https://127.0.0.1:PORT\", \"http://127.0.0.1:{plain}\"]\ntls_cert = \"@/server.crt\"\ntls_key = \"@/server.key\"\n\
         user.deploy = {{ role = \"control\", token_file = \"@/token\" }}"
    ));
    let login = format!("{{\"token\": \"{TOKEN}\"}}");
    let answer = curl(&scene, &scene.url("/v1/session"), &["-d", &login]);
    let name = format!("__Host-muster-{}", scene.port);
    let set = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_else(|| panic!("{answer}"));
    for part in [&format!("{name}="), "; Path=/", "; HttpOnly", "; SameSite=Strict", "; Secure"] {
        assert!(set.contains(part), "{part}: {set}");
    }
    assert!(!set.contains("Domain") && answer.contains("\"is_encrypted\":true"), "{answer}");
    let id = set.split(['=', ';']).nth(1).expect("it has a value");
    let status = |cookie: &str| curl(&scene, &scene.url("/v1/programs"), &["-H", &format!("Cookie: {cookie}")]);
    assert!(status(&format!("{name}={id}")).starts_with("HTTP/1.1 200"));
    for cookie in [format!("muster-{}={id}", scene.port), format!("__Host-muster={id}"), format!("muster={id}")] {
        assert!(status(&cookie).starts_with("HTTP/1.1 401"), "{cookie}");
    }
    for name in [format!("__Host-muster-{plain}"), format!("muster-{plain}"), name] {
        let mut stream = TcpStream::connect(("127.0.0.1", plain)).expect("it listens");
        let request = format!(
            "GET /v1/programs HTTP/1.1\r\nHost: 127.0.0.1:{plain}\r\nConnection: close\r\nCookie: {name}={id}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 401"), "{name}: {answer}");
    }
    drop(daemon);
}

/// A client with a certificate needs no session and gets none.
#[test]
fn a_client_with_a_certificate_needs_no_session() {
    let Some(scene) = Scene::new() else { return };
    scene.authority.sign("client", "DNS:ci.example.org", 90);
    let daemon = scene.start(
        "listen = [\"https://127.0.0.1:PORT\"]\ntls_cert = \"@/server.crt\"\ntls_key = \"@/server.key\"\n\
         tls_client_ca = \"@/ca.crt\"\nuser.ci = { role = \"read\", cert = \"ci.example.org\" }\n\
         user.deploy = { role = \"control\", token_file = \"@/token\" }",
    );
    let own = ["--cert", "client.crt", "--key", "client.key"];
    let shown = curl(&scene, &scene.url("/v1/session"), &own);
    assert!(shown.contains("\"by\":\"ci\"") && shown.contains("\"may_log_in\":false"), "{shown}");
    let login = format!("{{\"token\": \"{TOKEN}\"}}");
    let begun = curl(&scene, &scene.url("/v1/session"), &[&own[..], &["-d", &login]].concat());
    assert!(begun.starts_with("HTTP/1.1 200") && !begun.contains("set-cookie"), "{begun}");
    drop(daemon);
}
