//! Long tests of a cluster that print figures.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::cluster::{Member, applied, ask, base64, cluster, program, put, put_request, range, running, runs, source};
use super::harness::{self, Setting, send, wait_until};

/// The value of a variable, or this one.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// From a put to the state RUNNING of the program that it defines, as an event: $MUSTER_PUTS times.
#[test]
fn acceptance_of_the_time_from_a_put_to_a_running_program() {
    if !harness::is_acceptance() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let Some(members) = cluster(directory.path(), 3) else { return };
    put(members[0].client, "muster/web/web.toml", &program("web"));
    let mut daemon = Setting::supervising(source(&members, "")).start();
    runs(&daemon, "web");
    let mut events = harness::Listener::of(&daemon, None);
    let mut took: Vec<Duration> = (0..number("MUSTER_PUTS", 1000))
        .map(|turn| {
            let name = format!("p{turn}");
            let began = Instant::now();
            put(members[0].client, "muster/web/new.toml", &program(&name));
            events.until(|event| event["kind"] == "state" && event["name"] == *name && event["to"] == "RUNNING");
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    let of = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    println!("{} puts: p50 {:?}, p99 {:?}, max {:?}", took.len(), of(0.5), of(0.99), of(1.0));
    assert!(of(1.0) < Duration::from_secs(10), "{:?}", of(1.0));
    daemon.finish();
}

/// Members are killed, stopped and revived, the leader is killed, and the history is compacted, for $MUSTER_MINUTES. In the end the
/// active text is that of the store.
#[test]
fn acceptance_of_a_cluster_in_chaos() {
    if !harness::is_acceptance() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mut members) = cluster(directory.path(), 3) else { return };
    put(members[0].client, "muster/web/web.toml", &program("web"));
    let mut daemon = Setting::supervising(source(&members, "")).start();
    let web = runs(&daemon, "web");
    let end = Instant::now() + Duration::from_secs(60 * number("MUSTER_MINUTES", 2));
    let (mut puts, mut refused, mut done) = (0_u64, 0_u64, BTreeMap::<&str, u64>::new());
    let mut dice = 7_u64;
    while Instant::now() < end {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (victim, action) = ((dice >> 33) as usize % 3, (dice >> 40) % 4);
        let what = match action {
            0 => "a member killed",
            1 => "a member stopped",
            2 => "the leader killed",
            _ => "a compaction",
        };
        let victim = if action == 2 { members.iter().position(Member::leads).unwrap_or(victim) } else { victim };
        *done.entry(what).or_default() += 1;
        match action {
            0 | 2 => members[victim].kill(),
            1 => send(members[victim].pid(), 19),
            _ => {
                let revision = ask(members[victim].client, "/v3/kv/range", &range("x"))
                    .map(|found| found["header"]["revision"].clone());
                let _ = revision
                    .and_then(|at| ask(members[victim].client, "/v3/kv/compaction", &json!({ "revision": at })));
            }
        }
        // Meanwhile the store changes, through any member that takes it.
        let until = Instant::now() + Duration::from_secs(2 + dice % 4);
        while Instant::now() < until {
            let text = program(&format!("n{puts}"));
            let port = members[(victim + 1 + puts as usize % 2) % 3].client;
            match ask(port, "/v3/kv/put", &put_request(&format!("muster/web/k{}.toml", puts % 5), &text)) {
                Some(_) => puts += 1,
                None => refused += 1,
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        match action {
            0 | 2 => members[victim].revive(directory.path()),
            1 => send(members[victim].pid(), 18),
            _ => {}
        }
    }
    put(members[0].client, "muster/web/k0.toml", &program("last"));
    let end = json!({ "key": base64(b"muster/web/"), "range_end": base64(b"muster/web0"), "serializable": false });
    let found = ask(members[0].client, "/v3/kv/range", &end).expect("the cluster answers");
    let texts: Vec<String> = found["kvs"]
        .as_array()
        .expect("there are keys")
        .iter()
        .filter_map(|one| one["value"].as_str())
        .map(str::to_owned)
        .collect();
    let began = Instant::now();
    runs(&daemon, "last");
    let settled = began.elapsed();
    // Every program of the store runs, and no other.
    let names: std::collections::BTreeSet<String> = (0..puts)
        .map(|number| format!("n{number}"))
        .chain(["web".to_owned(), "last".to_owned()])
        .filter(|name| texts.contains(&base64(program(name).as_bytes())))
        .collect();
    wait_until("the active text is that of the store", || {
        running(&daemon).into_keys().collect::<std::collections::BTreeSet<_>>() == names
    });
    assert_eq!(names.len(), texts.len());
    assert_eq!(runs(&daemon, "web"), web);
    println!("{puts} puts, {refused} not taken, {done:?}; applied {}; the last one took {settled:?}", applied(&daemon));
    daemon.finish();
}

/// $MUSTER_STORE_PUTS changes of a text that is the same configuration: the memory of the daemon does not grow with them.
#[test]
fn acceptance_of_the_memory_after_many_puts() {
    if !harness::is_acceptance() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let Some(members) = cluster(directory.path(), 1) else { return };
    let port = members[0].client;
    put(port, "muster/web/web.toml", &program("web"));
    let mut daemon = Setting::supervising(source(&members, "")).start();
    let web = runs(&daemon, "web");
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).expect("it listens"));
    let mut change = |number: u64| {
        let body = put_request("muster/web/web.toml", &format!("{}# {number}\n", program("web"))).to_string();
        let head = format!("POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all(format!("{head}{body}").as_bytes()).expect("it reads");
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).expect("it answers");
            let field = line.to_ascii_lowercase();
            length =
                field.strip_prefix("content-length:").map_or(length, |text| text.trim().parse().expect("a number"));
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).expect("it answers");
    };
    let all = number("MUSTER_STORE_PUTS", 100_000);
    let began = Instant::now();
    let memory: Vec<u64> = (0..10)
        .map(|tenth| {
            (tenth * all / 10..(tenth + 1) * all / 10).for_each(&mut change);
            daemon.memory("RssAnon")
        })
        .collect();
    let took = began.elapsed();
    put(port, "muster/web/last.toml", &program("last"));
    runs(&daemon, "last");
    println!("{all} puts in {took:?}: {memory:?} kB after each tenth; {} reloads", applied(&daemon));
    // The allocator's pools fill at first.
    assert!(memory[9] <= memory[4] + 256, "{memory:?}");
    assert_eq!(runs(&daemon, "web"), web);
    daemon.finish();
}
