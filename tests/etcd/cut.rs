//! A member that is cut off from the others, and goes on answering its clients.
//!
//! Peers reach each other through wires of this test, which know the sender of each connection by the header that etcd itself
//! sends, and so can cut off a single member in both directions.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::cluster::{Member, ask, cluster_with, program, put, put_request, runs, source};
use super::harness::{Setting, free_port, wait_for, wait_until};

/// The wires to all members.
#[derive(Clone, Default)]
struct Wires(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The number and the identifier, in hexadecimal, of the member that is cut off.
    cut: Option<(usize, String)>,
    /// Open connections: the sender, the number of the receiver, and both ends.
    open: Vec<(String, usize, [TcpStream; 2])>,
    /// The peer port of each member.
    peers: BTreeMap<usize, u16>,
}

impl State {
    fn is_cut(&self, sender: &str, receiver: usize) -> bool {
        self.cut.as_ref().is_some_and(|(number, id)| *number == receiver || id == sender)
    }
}

impl Wires {
    /// The port of the wire to a member with this peer port.
    fn to(&self, number: usize, port: u16, peer: u16) {
        self.0.lock().expect("no wire panics").peers.insert(number, peer);
        let (wires, listener) = (self.clone(), TcpListener::bind(("127.0.0.1", port)).expect("it is free"));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let wires = wires.clone();
                std::thread::spawn(move || wires.connect(stream, number));
            }
        });
    }

    fn connect(&self, mut from: TcpStream, number: usize) -> Option<()> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            from.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let sender = text.lines().find_map(|line| line.strip_prefix("x-server-from: ")).unwrap_or_default().to_owned();
        let mut to = {
            let mut state = self.0.lock().expect("no wire panics");
            if state.is_cut(&sender, number) {
                return None;
            }
            let to = TcpStream::connect(("127.0.0.1", state.peers[&number])).ok()?;
            let ends = [from.try_clone().ok()?, to.try_clone().ok()?];
            state.open.push((sender, number, ends));
            to
        };
        to.write_all(&head).ok()?;
        let (mut back_from, mut back_to) = (to.try_clone().ok()?, from.try_clone().ok()?);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut back_from, &mut back_to);
            let _ = back_to.shutdown(Shutdown::Both);
        });
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        Some(())
    }

    /// Cuts a member off, or none.
    fn cut(&self, member: Option<(usize, String)>) {
        let mut state = self.0.lock().expect("no wire panics");
        state.cut = member;
        let open = std::mem::take(&mut state.open);
        let (lost, kept): (Vec<_>, Vec<_>) = open.into_iter().partition(|(from, to, _)| state.is_cut(from, *to));
        state.open = kept;
        for stream in lost.iter().flat_map(|(.., ends)| ends) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The identifier of a member, as it is in headers between peers.
fn id(member: &Member) -> String {
    let status = wait_for("it says its status", || ask(member.client, "/v3/maintenance/status", &json!({})));
    let id = status["header"]["member_id"].as_str().and_then(|id| id.parse::<u64>().ok());
    format!("{:x}", id.expect("a number"))
}

#[test]
fn a_member_that_is_cut_off_from_its_quorum_is_left_within_ten_seconds() {
    let directory = tempfile::tempdir().expect("a directory");
    let wires = Wires::default();
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let reached = |number: usize, peer: u16| {
        let is_new = !wires.0.lock().expect("no wire panics").peers.contains_key(&number);
        if is_new {
            wires.to(number, ports[number], peer);
        }
        ports[number]
    };
    let Some(members) = cluster_with(directory.path(), 3, &[], reached) else { return };
    put(members[0].client, "muster/web/web.toml", &program("web"));
    let mut daemon = Setting::supervising(source(&members, "")).start();
    let web = runs(&daemon, "web");
    // Whichever member is in use is among them.
    let ids: Vec<String> = members.iter().map(id).collect();
    for number in 0..3 {
        wires.cut(Some((number, ids[number].clone())));
        let began = Instant::now();
        let (name, others) = (format!("cut{number}"), [(number + 1) % 3, (number + 2) % 3]);
        // The cut one takes nothing; the others do as soon as they have a leader.
        let (key, text) = (format!("muster/web/{name}.toml"), program(&name));
        wait_until("the others have a leader", || {
            others.iter().any(|other| ask(members[*other].client, "/v3/kv/put", &put_request(&key, &text)).is_some())
        });
        let taken = began.elapsed();
        assert!(ask(members[number].client, "/v3/kv/put", &put_request("muster/x", "")).is_none(), "it is cut off");
        runs(&daemon, &name);
        println!("member {number} cut off: put taken after {taken:?}, its program runs after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(10) + taken, "{:?}", began.elapsed());
        wires.cut(None);
        let (key, text) = (format!("muster/web/back{number}.toml"), program(&format!("back{number}")));
        put(members[number].client, &key, &text);
        runs(&daemon, &format!("back{number}"));
    }
    assert_eq!(runs(&daemon, "web"), web);
    daemon.finish();
}
