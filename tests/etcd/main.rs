//! Configuration from a real etcd: one member, and a cluster of three of which members are killed, stopped and cut off.

#[path = "../harness/mod.rs"]
mod harness;

mod acceptance;
mod cluster;
mod cut;
mod idle;
// That of the tests of HTTP sources; a part of it is used here.
#[allow(dead_code)]
#[path = "../sources/server.rs"]
mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use cluster::{
    Member, applied, ask, base64, cluster, cluster_with, delete, etcd, fleet, program, put, put_as_root, put_request,
    range, running, runs, source, want_logins,
};
use harness::{Setting, free_port, send, wait_until};
use serde_json::{Value, json};

#[test]
fn keys_become_programs_and_a_transaction_is_one_reload() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(members) = cluster(directory.path(), 1) else { return };
    let port = members[0].client;
    put(port, "muster/web/web.toml", &program("web"));
    put(port, "muster/web/README", "not a text");
    put(port, "muster/website/other.toml", &program("other"));
    let mut daemon = Setting::supervising(source(&members, "")).start();
    let web = runs(&daemon, "web");
    put(port, "muster/web/new.toml", &program("new"));
    runs(&daemon, "new");
    let before = applied(&daemon);
    let puts: Vec<Value> = (0..5)
        .map(|number| json!({ "request_put": put_request(&format!("muster/web/t{number}.toml"), &program(&format!("t{number}"))) }))
        .collect();
    ask(port, "/v3/kv/txn", &json!({ "success": puts })).expect("a transaction");
    for number in 0..5 {
        runs(&daemon, &format!("t{number}"));
    }
    assert_eq!(applied(&daemon), before + 1);
    delete(port, "muster/web/new.toml");
    wait_until("it is gone", || !running(&daemon).contains_key("new"));
    // A mistake changes nothing, and says where it is.
    put(port, "muster/web/web.toml", "[program.web]\ncommand = \"x\"\nstopwaitsecs = -1\n");
    wait_until("it is refused", || fleet(&daemon)["state"] == "refused");
    wait_until("the place is in the log", || daemon.log.text().contains("etcd://…/fleet/web.toml:3:16"));
    // Neither do keys that vanish.
    put(port, "muster/web/web.toml", &program("web"));
    wait_until("it is well again", || fleet(&daemon)["state"] == "active");
    let end = json!({ "key": base64(b"muster/web/"), "range_end": base64(b"muster/web0") });
    ask(port, "/v3/kv/deleterange", &end).expect("they are deleted");
    wait_until("it is refused", || fleet(&daemon)["reason"].as_str().is_some_and(|said| said.contains("no programs")));
    assert_eq!(runs(&daemon, "web"), web);
    assert!(!running(&daemon).contains_key("other"));
    daemon.finish();
}

#[test]
fn a_compaction_and_a_member_that_was_away_lose_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mut members) = cluster(directory.path(), 1) else { return };
    let port = members[0].client;
    put(port, "muster/web/web.toml", &program("web"));
    let mut daemon = Setting::supervising(source(&members, "")).start();
    let web = runs(&daemon, "web");
    drop(members.pop());
    wait_until("it is unreachable", || fleet(&daemon)["state"] == "unreachable");
    let (client, peer) = (port, free_port());
    let child = etcd(directory.path(), "m0", client, peer).arg("--force-new-cluster").spawn().expect("it is here");
    let member = Member { child, name: "m0".to_owned(), client, peer };
    // Before the daemon looks again, or after: both must come to the same.
    put(port, "muster/web/a.toml", &program("a"));
    put(port, "muster/web/b.toml", &program("b"));
    let revision = ask(port, "/v3/kv/range", &range("x")).expect("it answers")["header"]["revision"].clone();
    ask(port, "/v3/kv/compaction", &json!({ "revision": revision })).expect("it compacts");
    runs(&daemon, "a");
    runs(&daemon, "b");
    assert_eq!(runs(&daemon, "web"), web);
    assert_eq!((member.name.as_str(), member.peer), ("m0", peer));
    daemon.finish();
}

#[test]
fn members_that_die_hang_or_are_cut_off_are_left_for_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mut members) = cluster(directory.path(), 3) else { return };
    put(members[0].client, "muster/web/web.toml", &program("web"));
    let mut daemon = Setting::supervising(source(&members, "")).start();
    let web = runs(&daemon, "web");
    // Whichever member is in use is among them.
    for number in 0..3 {
        let other = members[(number + 1) % 3].client;
        let pid = i32::try_from(members[number].child.id()).expect("a pid");
        send(pid, 19);
        let name = format!("hung{number}");
        put(other, &format!("muster/web/{name}.toml"), &program(&name));
        let began = Instant::now();
        runs(&daemon, &name);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        send(pid, 18);
    }
    let lost = members.remove(0);
    drop(lost);
    put(members[0].client, "muster/web/killed.toml", &program("killed"));
    runs(&daemon, "killed");
    // Without a quorum nothing can be put; the programs go on, and all is well when it is back.
    let peer = members.remove(1);
    let (name, client, port) = (peer.name.clone(), peer.client, peer.peer);
    drop(peer);
    let child = etcd(directory.path(), &name, client, port).spawn().expect("it is here");
    members.push(Member { child, name, client, peer: port });
    put(members[0].client, "muster/web/back.toml", &program("back"));
    runs(&daemon, "back");
    assert_eq!(runs(&daemon, "web"), web);
    daemon.finish();
}

#[test]
fn a_login_is_needed_and_a_wrong_one_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(members) = cluster(directory.path(), 1) else { return };
    let port = members[0].client;
    put(port, "muster/web/web.toml", &program("web"));
    want_logins(port);
    let password = directory.path().join("password");
    std::fs::write(&password, "secret-password\n").expect("it is ours");
    let login = |path: &Path| format!("username = \"fleet\"\npassword_file = \"{}\"\nwait = \"2s\"", path.display());
    let mut daemon = Setting::supervising(source(&members, &login(&password))).start();
    runs(&daemon, "web");
    put_as_root(port, "muster/web/new.toml", &program("new"));
    runs(&daemon, "new");
    assert!(!daemon.log.text().contains("secret-password"));
    daemon.finish();
    for (text, words) in [("wrong\n", "refuses the user name or the password"), ("", "its first line is empty")] {
        std::fs::write(&password, text).expect("it is ours");
        let mut daemon = Setting::supervising(source(&members, &login(&password))).launch();
        assert_eq!(daemon.wait(), harness::End::Code(2), "{}", daemon.story());
        assert!(daemon.log.text().contains(words), "{}", daemon.log.text());
    }
    let mut daemon = Setting::supervising(source(&members, "wait = \"2s\"")).launch();
    assert_eq!(daemon.wait(), harness::End::Code(2), "{}", daemon.story());
    assert!(daemon.log.text().contains("wants a login"), "{}", daemon.log.text());
}

/// The tokens of etcd are short-lived here: each look of the daemon has to log in again.
#[test]
fn tokens_that_expire_are_renewed() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(members) = cluster_with(directory.path(), 1, &["--auth-token-ttl", "1"], |_, peer| peer) else { return };
    let port = members[0].client;
    put(port, "muster/web/web.toml", &program("web"));
    want_logins(port);
    let password = directory.path().join("password");
    std::fs::write(&password, "secret-password\n").expect("it is ours");
    let login = format!("username = \"fleet\"\npassword_file = \"{}\"", password.display());
    let mut daemon = Setting::supervising(source(&members, &login)).start();
    let web = runs(&daemon, "web");
    let contacted = || {
        let metrics = daemon.client.get("/metrics").body;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("muster_source_last_contact_timestamp_seconds{source=\"fleet\"} "));
        line.and_then(|time| time.parse::<f64>().ok()).unwrap_or(0.0)
    };
    // Looks of `resync`, each with a token that has expired since the last one. Each is a contact.
    let began = contacted();
    for look in 1..=2 {
        wait_until("it looks again", || contacted() > began + 4.0 * f64::from(look));
    }
    put_as_root(port, "muster/web/new.toml", &program("new"));
    runs(&daemon, "new");
    assert_eq!((fleet(&daemon)["state"].as_str(), runs(&daemon, "web")), (Some("active"), web));
    let log = daemon.log.text();
    assert!(!log.contains("unreachable") && !log.contains("secret-password"), "{log}");
    daemon.finish();
}

/// The store is set back to an older backup: its revision is below the one that the daemon has seen.
#[test]
fn a_backup_that_is_restored_becomes_active() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mut members) = cluster(directory.path(), 1) else { return };
    let port = members[0].client;
    put(port, "muster/web/web.toml", &program("web"));
    put(port, "muster/web/old.toml", &program("old"));
    let (data, backup) = (directory.path().join("m0"), directory.path().join("backup"));
    members[0].kill();
    let copy = |from: &Path, to: &Path| {
        let _ = std::fs::remove_dir_all(to);
        let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
        assert!(status.is_ok_and(|status| status.success()));
    };
    copy(&data, &backup);
    members[0].revive(directory.path());
    delete(port, "muster/web/old.toml");
    (0..20).for_each(|number| put(port, "muster/web/web.toml", &format!("{}# {number}\n", program("web"))));
    put(port, "muster/web/new.toml", &program("new"));
    let mut daemon = Setting::supervising(source(&members, "")).start();
    let web = runs(&daemon, "web");
    runs(&daemon, "new");
    members[0].kill();
    copy(&backup, &data);
    members[0].revive(directory.path());
    runs(&daemon, "old");
    wait_until("the program of the lost revision is gone", || !running(&daemon).contains_key("new"));
    assert_eq!(runs(&daemon, "web"), web);
    // And what comes then is seen at once, although its revision was already seen.
    put(port, "muster/web/next.toml", &program("next"));
    runs(&daemon, "next");
    daemon.finish();
}
