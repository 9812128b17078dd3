//! Members of etcd on this machine, questions to them, and the daemon that reads them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Daemon, free_port, skip, wait_for, wait_until};

/// A member of a cluster, which ends with the test.
pub(crate) struct Member {
    pub(crate) child: Child,
    pub(crate) name: String,
    pub(crate) client: u16,
    pub(crate) peer: u16,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a cluster; `None` without an etcd here.
pub(crate) fn cluster(directory: &Path, size: usize) -> Option<Vec<Member>> {
    cluster_with(directory, size, &[], |_, peer| peer)
}

/// The same with more words for each member. `reached` is the port at which others reach the peer port of a member.
pub(crate) fn cluster_with(
    directory: &Path,
    size: usize,
    words: &[&str],
    reached: impl Fn(usize, u16) -> u16,
) -> Option<Vec<Member>> {
    if Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        skip("no etcd: the package etcd-server has it");
        return None;
    }
    let ports: Vec<(u16, u16)> = (0..size).map(|_| (free_port(), free_port())).collect();
    let url = |number: usize| format!("http://127.0.0.1:{}", reached(number, ports[number].1));
    let urls: Vec<String> = (0..size).map(url).collect();
    let all: Vec<String> = urls.iter().enumerate().map(|(number, url)| format!("m{number}={url}")).collect();
    let start = |(number, (client, peer)): (usize, &(u16, u16))| {
        let name = format!("m{number}");
        let child = etcd(directory, &name, *client, *peer)
            .args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"])
            .args(["--initial-advertise-peer-urls", &urls[number]])
            .args(words)
            .spawn()
            .expect("it was found above");
        Member { child, name, client: *client, peer: *peer }
    };
    let members: Vec<Member> = ports.iter().enumerate().map(start).collect();
    wait_until("the cluster answers", || ask(members[0].client, "/v3/kv/range", &range("x")).is_some());
    Some(members)
}

/// Has the store want a login: `root` with the password `r`, and `fleet`, which reads what begins with `muster/`.
pub(crate) fn want_logins(port: u16) {
    let read = json!({ "permType": "READ", "key": base64(b"muster/"), "range_end": base64(b"muster0") });
    for (path, body) in [
        ("/v3/auth/user/add", json!({ "name": "root", "password": "r" })),
        ("/v3/auth/role/add", json!({ "name": "root" })),
        ("/v3/auth/user/grant", json!({ "user": "root", "role": "root" })),
        ("/v3/auth/user/add", json!({ "name": "fleet", "password": "secret-password" })),
        ("/v3/auth/role/add", json!({ "name": "reader" })),
        ("/v3/auth/role/grant", json!({ "name": "reader", "perm": read })),
        ("/v3/auth/user/grant", json!({ "user": "fleet", "role": "reader" })),
        ("/v3/auth/enable", json!({})),
    ] {
        ask(port, path, &body).unwrap_or_else(|| panic!("{path}"));
    }
}

/// Puts a value as `root`, with a new token.
pub(crate) fn put_as_root(port: u16, key: &str, value: &str) {
    let token = ask(port, "/v3/auth/authenticate", &json!({ "name": "root", "password": "r" })).expect("a login");
    let token = token["token"].as_str().expect("a token").to_owned();
    ask_as(port, "/v3/kv/put", &put_request(key, value), Some(&token)).expect("it is put");
}

pub(crate) fn etcd(directory: &Path, name: &str, client: u16, peer: u16) -> Command {
    let mut command = Command::new("etcd");
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    command.args(["--name", name, "--data-dir"]).arg(directory.join(name));
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer, "--unsafe-no-fsync"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Base64, as the gateway wants it.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for piece in bytes.chunks(3) {
        let number =
            piece.iter().enumerate().fold(0_u32, |number, (place, byte)| number | u32::from(*byte) << (16 - 8 * place));
        for place in 0..4 {
            let digit = (number >> (18 - 6 * place)) & 63;
            text.push(if place <= piece.len() { char::from(DIGITS[digit as usize]) } else { '=' });
        }
    }
    text
}

pub(crate) fn range(key: &str) -> Value {
    json!({ "key": base64(key.as_bytes()) })
}

pub(crate) fn ask_as(port: u16, path: &str, body: &Value, token: Option<&str>) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
    let body = body.to_string();
    let login = token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
    let head = format!("POST {path} HTTP/1.0\r\nHost: x\r\n{login}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|status| *status == "200")?;
    serde_json::from_str(body).ok()
}

pub(crate) fn ask(port: u16, path: &str, body: &Value) -> Option<Value> {
    ask_as(port, path, body, None)
}

pub(crate) fn put_request(key: &str, value: &str) -> Value {
    json!({ "key": base64(key.as_bytes()), "value": base64(value.as_bytes()) })
}

/// Puts a value; a member that just lost its leader is asked again.
pub(crate) fn put(port: u16, key: &str, value: &str) {
    wait_for("the value is put", || ask(port, "/v3/kv/put", &put_request(key, value)));
}

pub(crate) fn delete(port: u16, key: &str) {
    wait_for("the key is deleted", || ask(port, "/v3/kv/deleterange", &range(key)));
}

pub(crate) fn program(name: &str) -> String {
    format!("[program.{name}]\ncommand = \"sleep 1000\"\nstartsecs = 0\n")
}

pub(crate) fn source(members: &[Member], more: &str) -> String {
    let hosts: Vec<String> = members.iter().map(|member| format!("127.0.0.1:{}", member.client)).collect();
    format!("[source.fleet]\nurl = \"etcd://{}/muster/web/\"\nresync = \"5s\"\n{more}\n", hosts.join(","))
}

pub(crate) fn running(daemon: &Daemon) -> BTreeMap<String, u64> {
    let all = daemon.client.get("/v1/programs").json();
    let of = |one: &Value| {
        let is_running = one["state"] == "RUNNING";
        is_running.then_some((one["name"].as_str()?.to_owned(), one["pid"].as_u64()?))
    };
    all.as_array().expect("a list").iter().filter_map(of).collect()
}

pub(crate) fn runs(daemon: &Daemon, name: &str) -> u64 {
    wait_for(&format!("{name} runs"), || running(daemon).get(name).copied())
}

pub(crate) fn fleet(daemon: &Daemon) -> Value {
    daemon.client.get("/v1/sources").json()[0].clone()
}

pub(crate) fn applied(daemon: &Daemon) -> u64 {
    let metrics = daemon.client.get("/metrics").body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("muster_source_applies_total{source=\"fleet\",result=\"applied\"} "));
    line.and_then(|count| count.parse().ok()).expect("there is such a line")
}

impl Member {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again with its data.
    pub(crate) fn revive(&mut self, directory: &Path) {
        self.child = etcd(directory, &self.name, self.client, self.peer).spawn().expect("it is here");
    }

    pub(crate) fn leads(&self) -> bool {
        let Some(status) = ask(self.client, "/v3/maintenance/status", &json!({})) else { return false };
        status["leader"].is_string() && status["leader"] == status["header"]["member_id"]
    }
}
