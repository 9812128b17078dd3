//! How often a daemon wakes up that has listeners, an HTTP source and a watch of etcd, and nothing to do.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::cluster::{cluster, program, put, runs};
use super::harness::{self, Authority, Daemon, Setting, free_port, wait_until};
use super::server::{Server, head};

/// How often each thread of the daemon has given up the processor: it does so once for each time that it waits.
fn switches(daemon: &Daemon) -> BTreeMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("it runs").flatten();
    let of = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("status")).ok()?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let name = format!("{} {}", field("Name:")?, task.file_name().display());
        Some((name, field("voluntary_ctxt_switches:")?.parse().ok()?))
    };
    tasks.filter_map(of).collect()
}

/// With an hour between polls and looks there is nothing to wake up for: neither listeners nor a watch cost anything.
#[test]
fn acceptance_of_no_wake_up_without_clients_and_changes() {
    if !harness::is_acceptance() {
        return;
    }
    let Some(authority) = Authority::new() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let Some(members) = cluster(directory.path(), 1) else { return };
    put(members[0].client, "muster/web/web.toml", &program("web"));
    let text = program("local");
    let server = Server::start(head("200 OK", &format!("ETag: \"1\"\r\nContent-Length: {}\r\n", text.len()), &text));
    authority.sign("server", "IP:127.0.0.1", 90);
    fs::write(authority.path("token"), "0123456789abcdefghij").expect("it is ours");
    // The daemon watches every directory on the way to its secrets, and /tmp is a busy one.
    let quiet = tempfile::tempdir_in("/var/tmp").expect("a directory");
    for name in ["server.crt", "server.key", "token"] {
        fs::copy(authority.path(name), quiet.path().join(name)).expect("it is ours");
    }
    let at = quiet.path().display();
    let http = format!(
        "listen = [\"https://127.0.0.1:{}\", \"http://127.0.0.1:{}\"]\ntls_cert = \"{at}/server.crt\"\n\
         tls_key = \"{at}/server.key\"\nuser.deploy = {{ role = \"control\", token_file = \"{at}/token\" }}",
        free_port(),
        free_port()
    );
    let sources = format!(
        "[source.etcd]\nurl = \"etcd://127.0.0.1:{}/muster/web/\"\nresync = \"1h\"\n\
         [source.http]\nurl = \"{}\"\nperiod = \"1h\"\n",
        members[0].client,
        server.url()
    );
    let mut daemon = Setting::supervising(sources).http(&http).start().listening();
    runs(&daemon, "web");
    runs(&daemon, "local");
    // One more poll, which changes nothing.
    server.say(head("304 Not Modified", "ETag: \"1\"\r\n", ""));
    let asked = server.requests().len();
    daemon.client.post("/v1/sources/http/refresh");
    wait_until("it asked", || server.requests().len() > asked);
    // Until it has been still for a moment.
    let mut before = switches(&daemon);
    wait_until("it is still", || {
        std::thread::sleep(Duration::from_secs(1));
        let now = switches(&daemon);
        std::mem::replace(&mut before, now.clone()) == now
    });
    std::thread::sleep(Duration::from_secs(30));
    let now = switches(&daemon);
    println!("30 s idle: {before:?}, then {now:?}");
    assert_eq!(before, now);
    daemon.finish();
}
