//! Listeners that change between http and https at a reload, or to an address that includes the one before.

use std::fs;
use std::net::TcpStream;

use super::harness::{Daemon, Setting, wait_until};
use super::{Scene, TLS, ask_in_clear, has, in_clear, with_token};

const CLEAR: &str =
    "listen = [\"http://127.0.0.1:PORT\"]\nuser.deploy = { role = \"control\", token_file = \"@/token\" }\n";
const ANYWHERE: &str = "listen = [{ address = \"http://*:PORT\", insecure = true }]\n\
                        user.deploy = { role = \"control\", token_file = \"@/token\" }\n";

/// The inodes of the sockets that listen on this port, in all address families.
fn sockets(port: u16) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let wanted = format!(":{port:04X}");
    let inode = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words.len() > 9 && words[1].ends_with(&wanted) && words[3] == "0A").then(|| words[9].to_owned())
    };
    tables.iter().flat_map(|table| table.lines().filter_map(inode)).collect()
}

fn reload(daemon: &Daemon, setting: &Setting) {
    daemon.rewrite(setting);
    let answer = daemon.client.request("POST", "/v1/config/reload", "");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn a_listener_changes_to_https_and_back_with_its_socket_and_never_serves_both() {
    let Some(scene) = Scene::new() else { return };
    if !has("curl") {
        return;
    }
    let connect = || TcpStream::connect(("127.0.0.1", scene.port)).expect("it listens all the time");
    let is_in_clear = || in_clear(&scene) == Some(200);
    let is_encrypted = || scene.curl("/v1/info", &with_token()) == Ok(200);
    let daemon = scene.start(CLEAR);
    let before = sockets(scene.port);
    assert!(is_in_clear() && !is_encrypted() && before.len() == 1, "{before:?}");
    let (mut idle, mut served) = (connect(), connect());
    assert_eq!(ask_in_clear(&mut served), Some(200));
    reload(&daemon, &scene.setting(TLS));
    wait_until("it is served over TLS", is_encrypted);
    assert!(!is_in_clear());
    assert!(ask_in_clear(&mut idle).is_none() && ask_in_clear(&mut served).is_none(), "earlier connections are closed");
    assert_eq!(sockets(scene.port), before, "it is the same socket");
    reload(&daemon, &scene.setting(CLEAR));
    wait_until("it is served in clear text", is_in_clear);
    assert!(!is_encrypted());
    assert_eq!(sockets(scene.port), before);
    // Every address includes the one before, so the socket cannot be bound while that is open.
    reload(&daemon, &scene.setting(ANYWHERE));
    wait_until("another socket is open", || sockets(scene.port).len() == 1 && sockets(scene.port) != before);
    wait_until("it is served", is_in_clear);
    assert!(!daemon.log.text().contains("cannot listen"), "{}", daemon.log.text());
}

#[test]
fn a_port_of_another_process_stays_an_error_and_changes_nothing() {
    let Some(scene) = Scene::new() else { return };
    let daemon = scene.start(CLEAR);
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = other.local_addr().expect("it is bound").port();
    let before = sockets(scene.port);
    daemon.rewrite(&scene.setting(&TLS.replace("PORT", &port.to_string())));
    let answer = daemon.client.request("POST", "/v1/config/reload", "");
    assert!(answer.status != 200 && answer.body.contains("nothing was changed"), "{}", answer.body);
    assert_eq!(in_clear(&scene), Some(200));
    assert_eq!(sockets(scene.port), before);
}
