//! Descriptors sent to the daemon's sockets. The daemon closes them, and closing some of them blocks.

use std::fs;
use std::io::{IoSlice, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt};

use crate::harness::{Daemon, Setting, send_fast, wait_for, wait_until};

/// How long each of them used to block the daemon.
const LINGER: Duration = Duration::from_secs(60);

const PROGRAMS: &str = "[program.web]\ncommand = \"sleep 1000\"\nready = \"notify\"\nstartsecs = 0\nstart_timeout = \"10m\"\n\
                        [program.other]\ncommand = \"sleep 1000\"\nstartsecs = 0\n";

/// A TCP socket with unread bytes. The last close blocks: socket(7), `SO_LINGER`.
fn lingering() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let mut stream = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let (peer, _) = listener.accept().expect("it has connected");
    stream.set_nonblocking(true).expect("it can be set");
    while stream.write(&[0; 65536]).is_ok() {}
    let linger = libc::linger { l_onoff: 1, l_linger: LINGER.as_secs() as i32 };
    setsockopt(&stream, sockopt::Linger, &linger).expect("it can be set");
    (stream.into(), peer)
}

fn send(through: &impl AsRawFd, bytes: &[u8], descriptors: &[&OwnedFd]) -> nix::Result<usize> {
    let numbers: Vec<i32> = descriptors.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    sendmsg::<()>(through.as_raw_fd(), &[IoSlice::new(bytes)], &rights, MsgFlags::MSG_NOSIGNAL, None)
}

/// The same, queued in a Unix socket that is never read.
fn wrapped(inner: OwnedFd) -> (OwnedFd, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("sockets can be made");
    send(&ours, b"x", &[&inner]).expect("there is room");
    (theirs.into(), ours)
}

/// Stops the daemon while this is sent, so that the last close is the daemon's.
fn while_stopped(daemon: &Daemon, send: impl FnOnce()) {
    daemon.signal(19);
    wait_until("it is stopped", || {
        fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).is_ok_and(|stat| stat.contains(") T "))
    });
    send();
    daemon.signal(18);
}

fn goes_on(daemon: &Daemon, what: &str) {
    let began = Instant::now();
    assert_eq!(daemon.client.get("/livez").status, 200);
    daemon.ctl_well(&["restart", "other"]);
    assert!(began.elapsed() < LINGER / 2, "{what}: {:?}", began.elapsed());
}

fn open_descriptors(daemon: &Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("it runs").count()
}

/// The value of `NOTIFY_SOCKET` for this program.
pub(crate) fn notify_address(daemon: &Daemon, program: &str) -> String {
    let pid = daemon.pid_of(program);
    wait_for("the program is executed", || {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        environment.split('\0').find_map(|entry| Some(entry.strip_prefix("NOTIFY_SOCKET=")?.to_owned()))
    })
}

fn notify_socket(daemon: &Daemon) -> UnixDatagram {
    let address = notify_address(daemon, "web");
    let socket = UnixDatagram::unbound().expect("a socket can be created");
    match address.strip_prefix('@') {
        Some(name) => {
            let address = SocketAddr::from_abstract_name(name).expect("it is a name");
            socket.connect_addr(&address).expect("the daemon is bound to it");
        }
        None => socket.connect(&address).expect("the daemon is bound to it"),
    }
    socket
}

/// One message from any process used to block PID 1 for as long as the sender wished.
#[test]
fn descriptors_in_a_message_are_closed_without_blocking() {
    let daemon = Setting::supervising(PROGRAMS).start();
    daemon.wait_for_running("other");
    let socket = notify_socket(&daemon);
    let (lingers, _peer) = lingering();
    let (inner, _inner_peer) = lingering();
    let (nested, keeper) = wrapped(inner);
    drop(keeper);
    for (what, descriptor) in [("a socket that lingers", lingers), ("one inside of another", nested)] {
        while_stopped(&daemon, || {
            send(&socket, b"STATUS=x", &[&descriptor]).expect("there is room");
            drop(descriptor);
        });
        goes_on(&daemon, what);
    }
    // The run ends with these still unread.
    let ((lingers, _peer), web) = (lingering(), daemon.pid_of("web"));
    socket.set_nonblocking(true).expect("it can be set");
    while_stopped(&daemon, || {
        while send(&socket, b"STATUS=x", &[&lingers]).is_ok() {}
        drop(lingers);
        assert!(send_fast(web, Signal::SIGKILL));
    });
    goes_on(&daemon, "the end of a run");
}

#[test]
fn descriptors_from_a_client_are_closed_without_blocking() {
    let daemon = Setting::supervising(PROGRAMS).start();
    daemon.wait_for_running("other");
    for (what, request) in [("a request", "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"), ("a half one", "GET /li")] {
        for is_closed in [false, true] {
            let (lingers, _peer) = lingering();
            let client = daemon.client.connect().expect("it listens");
            assert_eq!(daemon.client.get("/livez").status, 200);
            let mut kept = None;
            while_stopped(&daemon, || {
                match send(&client, request.as_bytes(), &[&lingers]) {
                    Ok(_) => drop(lingers),
                    // The daemon has the kernel refuse it, and its close would not be the last.
                    Err(_) => std::mem::forget(lingers),
                }
                kept = Some(client).filter(|_| !is_closed);
            });
            goes_on(&daemon, what);
        }
    }
}

/// They are never received: one message could carry 253 of them, and the daemon has a limit of 64 here.
#[test]
fn descriptors_that_are_sent_take_none_of_the_daemons() {
    let daemon = Setting::supervising(PROGRAMS).wrapped(&["prlimit", "--nofile=64:64", "--"]).start();
    daemon.wait_for_running("other");
    let socket = notify_socket(&daemon);
    socket.set_nonblocking(true).expect("it can be set");
    let before = open_descriptors(&daemon);
    let (reader, writer) = std::io::pipe().expect("a pipe can be created");
    let writer = OwnedFd::from(writer);
    let most = vec![&writer; 253];
    for _ in 0..200 {
        wait_until("there is room", || send(&socket, b"FDSTORE=1", &most).is_ok());
        assert_eq!(daemon.client.get("/livez").status, 200);
    }
    drop(writer);
    // In the end all are closed.
    assert_eq!(std::io::read_to_string(reader).expect("it can be read"), "");
    wait_until("no more are open than before", || open_descriptors(&daemon) <= before);
    assert!(!daemon.log.text().contains("oo many open files"), "{}", daemon.story());
}
