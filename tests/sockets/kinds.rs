//! Every kind of socket, its options, and what the process gets.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Daemon, Setting, free_port, is_root, skip, wait_until};
use crate::{SERVER, ask_path, ask_port, script, temporary};

/// A program with these sockets, which reports into `report`.
fn server(directory: &Path, command_end: &str, tables: &str) -> String {
    let (script, report) = (script(directory, "server.py", SERVER), directory.join("report"));
    format!(
        "[program.web]\ncommand = \"python3 {} {}{command_end}\"\nstartsecs = 0\n{tables}\n",
        script.display(),
        report.display()
    )
}

fn report(directory: &Path) -> String {
    let path = directory.join("report");
    wait_until("the program reports", || path.exists());
    fs::read_to_string(&path).expect("it is complete")
}

fn seqpacket_answer(path: &Path) -> String {
    let text = format!(
        "import socket\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\ns.settimeout(60)\n\
         s.connect({:?})\nprint(s.recv(100).decode())",
        path.display().to_string()
    );
    let output = Command::new("python3").args(["-c", &text]).output().expect("python3 is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_program_gets_sockets_of_every_kind_as_from_systemd() {
    let directory = temporary();
    let at = |name: &str| directory.path().join(name);
    let (tcp, udp) = (free_port(), free_port());
    let tables = format!(
        "[program.web.sockets]\nf = {{ listen = \"tcp://127.0.0.1:{tcp}\", nodelay = true }}\ne = \"udp://127.0.0.1:{udp}\"\n\
         d = \"unix://{0}/d\"\nc = \"unix-dgram://{0}/c\"\nb = {{ listen = \"unix-seqpacket://{0}/b\", mode = \"0640\" }}\n",
        directory.path().display()
    );
    let daemon = Setting::supervising(server(directory.path(), " {socket:f} {socket:b}", &tables)).start();
    daemon.wait_for_running("web");
    let expected = "3 b seqpacket listens=1 blocks=True survives=True nodelay=False\n\
                    4 c dgram listens=0 blocks=True survives=True nodelay=False\n\
                    5 d stream listens=1 blocks=True survives=True nodelay=False\n\
                    6 e dgram listens=0 blocks=True survives=True nodelay=False\n\
                    7 f stream listens=1 blocks=True survives=True nodelay=True\n\
                    count=5 own=True arguments=['7', '3']";
    assert_eq!(report(directory.path()), expected);
    assert!(ask_port(tcp).starts_with("f "));
    assert!(ask_path(&at("d")).starts_with("d "));
    assert!(seqpacket_answer(&at("b")).starts_with("b "));
    let patience = Some(Duration::from_secs(60));
    let mut buffer = [0; 100];
    let client = UdpSocket::bind("127.0.0.1:0").expect("there is a free port");
    client.set_read_timeout(patience).expect("a socket takes a timeout");
    client.send_to(b"?", ("127.0.0.1", udp)).expect("the daemon has opened it");
    let length = client.recv(&mut buffer).expect("the program answers");
    assert!(buffer[..length].starts_with(b"e "));
    let client = UnixDatagram::bind(at("client")).expect("the directory is ours");
    client.set_read_timeout(patience).expect("a socket takes a timeout");
    client.send_to(b"?", at("c")).expect("the daemon has opened it");
    let length = client.recv(&mut buffer).expect("the program answers");
    assert!(buffer[..length].starts_with(b"c "));
    assert_eq!(fs::metadata(at("b")).expect("it is there").mode() & 0o7777, 0o640);
}

/// The functions of libsystemd, on what the daemon passes.
#[test]
fn the_functions_of_libsystemd_find_the_sockets() {
    const LIBRARY: &str = "libsystemd.so.0";
    let finds = Command::new("python3").args(["-c", &format!("import ctypes; ctypes.CDLL({LIBRARY:?})")]).output();
    if !finds.is_ok_and(|output| output.status.success()) {
        return skip("libsystemd is not installed");
    }
    let directory = temporary();
    let text = format!(
        "import ctypes, sys, time\nsystemd = ctypes.CDLL({LIBRARY:?})\nnames = ctypes.POINTER(ctypes.c_char_p)()\n\
         count = systemd.sd_listen_fds_with_names(0, ctypes.byref(names))\n\
         said = [str(count)] + [names[i].decode() for i in range(max(count, 0))]\n\
         said += [str(systemd.sd_is_socket_unix(3, 1, 1, None, 0)), str(systemd.sd_is_socket(4, 2, 2, -1))]\n\
         open(sys.argv[1] + '.new', 'w').write(' '.join(said))\nimport os\nos.rename(sys.argv[1] + '.new', sys.argv[1])\n\
         time.sleep(1000)\n"
    );
    let (script, report_path) = (script(directory.path(), "systemd.py", &text), directory.path().join("report"));
    let _daemon = Setting::supervising(format!(
        "[program.web]\ncommand = \"python3 {} {}\"\nstartsecs = 0\n[program.web.sockets]\n\
         admin = \"unix://{}/admin\"\ntime = \"udp://127.0.0.1:{}\"\n",
        script.display(),
        report_path.display(),
        directory.path().display(),
        free_port()
    ))
    .start();
    assert_eq!(report(directory.path()), "2 admin time 1 1");
}

#[test]
fn with_reuse_port_each_instance_has_a_socket_of_its_own() {
    let directory = temporary();
    let port = free_port();
    let script = script(directory.path(), "server.py", SERVER);
    let program = |numprocs: u32| {
        format!(
            "[program.web]\ncommand = \"python3 {} {}/report-{{instance}}\"\nnumprocs = {numprocs}\nstartsecs = 0\n\
             [program.web.sockets.http]\nlisten = \"tcp://127.0.0.1:{port}\"\nreuse_port = true\n",
            script.display(),
            directory.path().display()
        )
    };
    let daemon = Setting::supervising(program(2)).start();
    wait_until("both have reported", || (0..2).all(|n| directory.path().join(format!("report-{n}")).exists()));
    let inodes = |daemon: &Daemon, names: &[&str]| -> BTreeSet<String> {
        let inode = |name: &&str| {
            let link = fs::read_link(format!("/proc/{}/fd/3", daemon.pid_of(name)));
            link.expect("the process has it").display().to_string()
        };
        names.iter().map(inode).collect()
    };
    assert_eq!(inodes(&daemon, &["web:0", "web:1"]).len(), 2);
    let mut pids = BTreeSet::new();
    wait_until("the kernel has spread clients over both", || {
        pids.insert(ask_port(port));
        pids.len() == 2
    });
    daemon.rewrite(&Setting::supervising(program(3)));
    daemon.ctl_well(&["update"]);
    wait_until("the third has reported", || directory.path().join("report-2").exists());
    assert_eq!(inodes(&daemon, &["web:0", "web:1", "web:2"]).len(), 3);
}

/// `fd://` passes on a socket that the daemon has inherited, here from a shell in the place of systemd.
#[test]
fn an_inherited_socket_is_passed_on() {
    let directory = temporary();
    let path = directory.path().join("own");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("the directory is ours");
    let tables = "[program.web.sockets]\nhttp = \"fd://front\"\n[program.other]\ncommand = \"sleep 1000\"\n\
                  [program.other.sockets]\nhttp = \"fd://back\"\n";
    let script = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=front";
    let text = format!("{}/listen.sh", directory.path().display());
    let shell = format!("#!/bin/sh\n{script}\nexec \"$@\"\n");
    fs::write(&text, shell).expect("the directory is ours");
    let own = directory.path().join("muster.toml");
    fs::write(
        &own,
        format!(
            "[musterd]\nexit_when_done = false\n[http]\nsocket = \"{}/sock\"\n{}",
            directory.path().display(),
            server(directory.path(), "", tables)
        ),
    )
    .expect("the directory is ours");
    let mut command = Command::new("sh");
    command.arg(&text).arg(crate::harness::musterd()).arg("-c").arg(&own);
    let log = fs::File::create(directory.path().join("log")).expect("the directory is ours");
    command.stdin(std::os::fd::OwnedFd::from(listener)).stdout(log.try_clone().expect("it is open")).stderr(log);
    command.process_group(0);
    let mut daemon = command.spawn().expect("sh is there");
    let reported = report(directory.path());
    let answered = ask_path(&path);
    let said = || fs::read_to_string(directory.path().join("log")).unwrap_or_default();
    wait_until("the other cannot be started", || said().contains("no socket of this name was inherited"));
    crate::harness::send(daemon.id() as i32, 15);
    daemon.wait().expect("it is our child");
    assert!(reported.starts_with("3 http stream listens=1") && reported.contains("own=True"), "{reported}");
    assert!(answered.starts_with("http "), "{answered}");
    assert!(path.exists(), "the file is not the daemon's");
}

#[test]
fn a_reload_changes_options_in_place_or_opens_another_socket() {
    let directory = temporary();
    let (path, port) = (directory.path().join("sock"), free_port());
    let program = |unix: &str, tcp: &str| {
        let tables = format!(
            "[program.web.sockets]\nadmin = {{ listen = \"unix://{}\"{unix} }}\n\
             http = {{ listen = \"tcp://127.0.0.1:{port}\"{tcp} }}\n",
            path.display()
        );
        Setting::supervising(server(directory.path(), "", &tables))
    };
    let daemon = program("", "").start();
    daemon.wait_for_running("web");
    report(directory.path());
    let link = |number: u32| {
        let target = fs::read_link(format!("/proc/{}/fd/{number}", daemon.pid_of("web")));
        target.map(|target| target.display().to_string()).unwrap_or_default()
    };
    let update = |setting: &Setting| {
        let before = daemon.pid_of("web");
        daemon.rewrite(setting);
        daemon.ctl_well(&["update"]);
        wait_until("it is another process", || daemon.state("web") == "RUNNING" && daemon.pid_of("web") != before);
    };
    let (admin, http) = (link(3), link(4));
    let inode = || fs::metadata(&path).expect("it is there").ino();
    let first = inode();
    let owner = if is_root() { ", owner = \"daemon:bin\"" } else { "" };
    update(&program(&format!(", mode = \"0666\"{owner}"), ", backlog = 7, nodelay = true"));
    assert_eq!((link(3), link(4), inode()), (admin.clone(), http.clone(), first), "both are the same sockets");
    let about = fs::metadata(&path).expect("it is there");
    assert_eq!(about.mode() & 0o7777, 0o666);
    assert!(!is_root() || about.uid() != 0);
    update(&program("", ", reuse_port = true"));
    assert_eq!(link(3), admin);
    assert_ne!(link(4), http, "SO_REUSEPORT cannot be set on a bound socket");
    assert!(ask_port(port).starts_with("http "));
    assert!(!is_root() || fs::metadata(&path).expect("it is there").uid() == 0);
}

#[test]
fn a_socket_that_is_kept_is_open_while_its_program_is_stopped() {
    let directory = temporary();
    let (kept, wanted) = (free_port(), free_port());
    let tables = format!(
        "[program.web.sockets]\nkept = {{ listen = \"tcp://127.0.0.1:{kept}\", keep = \"always\" }}\n\
         wanted = \"tcp://127.0.0.1:{wanted}\"\n"
    );
    let program = server(directory.path(), "", &tables).replace("startsecs", "autostart = false\nstartsecs");
    let daemon = Setting::supervising(program).start();
    let connects = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port));
    let early = connects(kept).expect("it is open before the first start");
    wait_until("the other is closed", || connects(wanted).is_err());
    daemon.ctl_well(&["start", "web"]);
    assert!(crate::answer_of(crate::patient(early)).starts_with("kept "));
    daemon.ctl_well(&["stop", "web"]);
    wait_until("the other is closed again", || connects(wanted).is_err());
    assert!(connects(kept).is_ok());
    daemon.rewrite(&Setting::supervising("[program.other]\ncommand = \"sleep 1000\"\n"));
    daemon.ctl_well(&["update"]);
    wait_until("with the program its socket is gone", || connects(kept).is_err());
}

/// Answers one client, and breaks its listener.
const BREAKS: &str = "
import socket, time
listener = socket.socket(fileno=3)
client = listener.accept()[0]
try:
    client.sendall(b'served')
except OSError:
    pass
client.close()
listener.shutdown(socket.SHUT_RDWR)
time.sleep(1000)
";

#[test]
fn a_listener_that_its_program_has_shut_down_is_opened_again_by_a_start_and_by_a_reload() {
    let directory = temporary();
    let (port, path) = (free_port(), directory.path().join("app.sock"));
    let script = script(directory.path(), "breaks.py", BREAKS);
    let ask = |is_unix: bool| -> std::io::Result<String> {
        let mut text = String::new();
        match is_unix {
            true => UnixStream::connect(&path)?.read_to_string(&mut text)?,
            false => TcpStream::connect(("127.0.0.1", port))?.read_to_string(&mut text)?,
        };
        Ok(text)
    };
    let connects = |is_unix: bool| match is_unix {
        true => UnixStream::connect(&path).is_ok(),
        false => TcpStream::connect(("127.0.0.1", port)).is_ok(),
    };
    for (is_unix, address) in [(false, format!("tcp://127.0.0.1:{port}")), (true, format!("unix://{}", path.display()))]
    {
        let daemon = Setting::supervising(format!(
            "[program.web]\ncommand = [\"python3\", \"{}\"]\nstartsecs = 0\nstopwaitsecs = 1\n\
             [program.web.sockets]\nhttp = {{ listen = \"{address}\", keep = \"always\" }}\n",
            script.display()
        ))
        .start();
        assert_eq!(ask(is_unix).expect("it listens"), "served", "{address}");
        wait_until("it is broken", || !connects(is_unix));
        daemon.ctl_well(&["update"]);
        assert!(connects(is_unix), "{address}: a reload mends it");
        daemon.log.wait_for("a line about it", |line| {
            let is_it = line.message == "a program has shut down its listening socket, which was opened again";
            is_it && line.field("address").as_deref() == Some(&*address)
        });
        // The client that has just connected is the next run's, which breaks it again.
        daemon.ctl_well(&["restart", "web"]);
        wait_until("it is broken again", || !connects(is_unix));
        daemon.ctl_well(&["stop", "web"]);
        daemon.ctl_well(&["start", "web"]);
        assert_eq!(ask(is_unix).expect("a start mends it"), "served", "{address}");
    }
}
