//! supervisord's servers on TCP and with passwords: real clients talk to musterd and to the original, and must see the
//! same.

#[path = "harness/mod.rs"]
mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::{ended, free_port, is_root, send, skip, wait_until};

const ORIGINAL: &str = "/usr/bin/supervisord";
const SHA: &str = "{SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d";

/// A supervisord, ours or the original; dropping it ends it.
struct Server {
    child: Child,
    place: tempfile::TempDir,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        send(self.child.id() as i32, 15);
        let _ = self.child.wait();
    }
}

fn command(executable: &str, place: &Path) -> Command {
    let mut command = Command::new(executable);
    command.arg0("supervisord").args(["-n", "-c", "s.conf"]).current_dir(place);
    command.stdin(Stdio::null());
    command
}

fn configure(place: &Path, servers: &str) {
    let user = if is_root() { "user=root\n" } else { "" };
    let text = format!(
        "[supervisord]\nlogfile=main.log\npidfile=main.pid\nchildlogdir=.\n{user}{servers}\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [program:cat]\ncommand=cat\n[program:off]\ncommand=cat\nautostart=false\n"
    );
    fs::write(place.join("s.conf"), text).expect("it is ours");
}

impl Server {
    /// With these servers, in which `@` is the port.
    fn start(executable: &str, servers: &str) -> Server {
        let (place, port) = (tempfile::tempdir().expect("a temporary directory"), free_port());
        configure(place.path(), &servers.replace('@', &port.to_string()));
        let mut command = command(executable, place.path());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it can be executed");
        let server = Server { child, place, port };
        wait_until("the main log says so", || server.log().contains("entered RUNNING state"));
        server
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.path().join("main.log")).unwrap_or_default()
    }

    /// Output and exit code of the original's supervisorctl, over TCP.
    fn ctl(&self, login: &[&str], words: &[&str]) -> (String, Option<i32>) {
        let url = format!("http://127.0.0.1:{}", self.port);
        // An empty configuration, so that only the command line counts.
        fs::write(self.place.path().join("c.conf"), "[supervisorctl]\n").expect("it is ours");
        let mut command = Command::new("/usr/bin/supervisorctl");
        command.args(["-c", "c.conf", "-s", &url]).args(login).args(words).current_dir(self.place.path());
        let end = ended(&mut command);
        let text = (end.out + &end.err).replace(&self.port.to_string(), "PORT");
        // The process id, and how long it is up.
        (text.split("pid ").next().unwrap_or_default().to_owned(), end.code)
    }

    /// The answer to a request as it is sent over TCP, without the date and the name of the server.
    fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(harness::PATIENCE)).expect("a socket has it");
        stream.write_all(request.as_bytes()).expect("it reads");
        // The original leaves the connection open for a while.
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            answer.extend_from_slice(&piece[..count]);
            if is_complete(&String::from_utf8_lossy(&answer)) {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn status_of(&self, request: &str) -> Option<u16> {
        self.raw(request).split(' ').nth(1)?.parse().ok()
    }
}

/// Whether an answer has its whole body.
fn is_complete(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

fn ours(servers: &str) -> Server {
    Server::start(harness::musterd(), servers)
}

fn both(servers: &str) -> Option<[Server; 2]> {
    if !Path::new(ORIGINAL).exists() {
        skip("the original supervisord is not installed");
        return None;
    }
    Some([ours(servers), Server::start(ORIGINAL, servers)])
}

#[test]
fn supervisorctl_logs_in_over_tcp() {
    for password in ["thepassword", SHA] {
        let servers = format!("[inet_http_server]\nport=127.0.0.1:@\nusername=u\npassword={password}\n");
        let Some([ours, theirs]) = both(&servers) else { return };
        for login in
            [&["-u", "u", "-p", "thepassword"][..], &["-u", "u", "-p", "wrong"], &["-u", "v", "-p", "thepassword"], &[]]
        {
            // A source may be wrong five times in a row, and each command asks twice.
            let is_right = login.contains(&"u") && login.contains(&"thepassword");
            let commands = [&["status"][..], &["start", "off"], &["stop", "off"], &["pid", "off"]];
            for words in &commands[..if is_right { 4 } else { 1 }] {
                assert_eq!(ours.ctl(login, words), theirs.ctl(login, words), "{login:?} {words:?}");
            }
        }
        let login = ["-u", "u", "-p", "thepassword"];
        assert_eq!(ours.ctl(&login, &["shutdown"]), theirs.ctl(&login, &["shutdown"]));
    }
}

#[test]
fn a_wrong_login_is_answered_as_by_the_original() {
    let Some(servers) = both("[inet_http_server]\nport=127.0.0.1:@\nusername=u\npassword=p\n") else { return };
    let requests = [
        "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "POST /RPC2 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dTpx\r\nContent-Length: 0\r\n\r\n",
        "GET /logtail/cat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer p\r\n\r\n",
        "GET /mainlogtail HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    for request in requests {
        let [ours, theirs] = servers.each_ref().map(|server| {
            let answer = server.raw(request);
            let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
            let mut lines: Vec<String> = head.lines().map(str::to_ascii_lowercase).collect();
            lines.retain(|line| {
                !line.starts_with("date:")
                    && !line.starts_with("server:")
                    && !line.starts_with("x-content-type-options:")
            });
            lines[1..].sort_unstable();
            (lines, body.to_owned())
        });
        assert_eq!(ours, theirs, "{request}");
        assert_eq!(ours.0[0], "http/1.1 401 unauthorized");
    }
}

#[test]
fn pythons_client_logs_in_with_its_url() {
    let server = ours("[inet_http_server]\nport=:@\nusername=u\npassword=p\n");
    if !Path::new("/usr/bin/python3").exists() {
        return skip("python3 is not installed");
    }
    let run = |login: &str| {
        let script = format!(
            "import xmlrpc.client\ns = xmlrpc.client.ServerProxy('http://{login}127.0.0.1:{}/RPC2')\n\
             try: print([p['name'] for p in s.supervisor.getAllProcessInfo()], s.supervisor.startProcess('off'))\n\
             except xmlrpc.client.ProtocolError as error: print(error.errcode, error.errmsg)\n\
             except xmlrpc.client.Fault as fault: print(fault.faultString)",
            server.port
        );
        let end = ended(Command::new("/usr/bin/python3").args(["-c", &script]));
        end.out + &end.err
    };
    assert_eq!(run("u:p@"), "['cat', 'off'] True\n");
    assert_eq!(run("u:p@"), "ALREADY_STARTED: off\n");
    assert_eq!(run("u:q@"), "401 Unauthorized\n");
    assert_eq!(run(""), "401 Unauthorized\n");
}

const GET: &str = " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\n";

#[test]
fn musterds_own_interface_has_the_same_login_and_controls_at_most() {
    let server = ours("[inet_http_server]\nport=127.0.0.1:@\nusername=u\npassword=p\n");
    let status = |request: &str, login: &str| server.status_of(&format!("{request}{GET}{login}\r\n"));
    let right = "Authorization: Basic dTpw\r\n";
    assert_eq!(status("GET /v1/info", right), Some(200));
    for path in ["GET /v1/programs", "GET /metrics", "GET /healthz", "POST /v1/shutdown", "GET /nosuch"] {
        assert_eq!(status(path, ""), Some(401), "{path}");
        assert_eq!(status(path, "Authorization: Basic dTpx\r\n"), Some(401), "{path}");
    }
    assert_eq!(status("GET /v1/programs", right), Some(200));
    assert_eq!(status("POST /v1/programs/off/start", right), Some(202));
    assert_eq!(status("POST /v1/shutdown", right), Some(403), "that needs the role admin");
    let answer = server.raw(&format!("GET /v1/programs/off/why{GET}{right}\r\n"));
    assert!(answer.contains("200 OK"), "{answer}");
    assert_eq!(status("POST /v1/programs/off/stop?wait=5", right), Some(200));
    let answer = server.raw(&format!("GET /v1/programs/off/why{GET}{right}\r\n"));
    assert!(answer.contains("by u") || answer.contains("u asked"), "the name is shown: {answer}");
}

#[test]
fn without_a_password_loopback_is_open_and_other_addresses_are_closed() {
    let server = ours("[inet_http_server]\nport=127.0.0.1:@\n");
    let (text, code) = server.ctl(&[], &["start", "off"]);
    assert_eq!((text.as_str(), code), ("off: started\n", Some(0)));
    assert!(server.log().contains("CRIT Server 'inet_http_server' running without any HTTP authentication checking"));
    assert_eq!(server.status_of(&format!("POST /v1/shutdown{GET}\r\n")), Some(403));
    assert_eq!(server.ctl(&[], &["shutdown"]).1, Some(0), "as the original");

    let closed = ours("[inet_http_server]\nport=*:@\n");
    assert!(TcpStream::connect(("127.0.0.1", closed.port)).is_err(), "nothing listens");
    let open = ours("[inet_http_server]\nport=*:@\n[musterd]\nopen = true\n");
    assert_eq!(open.ctl(&[], &["status", "off"]).1, Some(3));
}

#[test]
fn a_port_that_is_taken_ends_the_start_as_in_the_original() {
    let Some([ours, theirs]) = both("[inet_http_server]\nport=127.0.0.1:@\n") else { return };
    for server in [&ours, &theirs] {
        let place = tempfile::tempdir().expect("a temporary directory");
        configure(place.path(), &format!("[inet_http_server]\nport=127.0.0.1:{}\n", server.port));
        let ends = [harness::musterd(), ORIGINAL].map(|executable| {
            let end = ended(&mut command(executable, place.path()));
            (end.err.lines().next().unwrap_or_default().to_owned(), end.code)
        });
        assert_eq!(ends[0], ends[1]);
        assert_eq!(ends[0].1, Some(2));
    }
}

#[test]
fn a_unix_socket_has_its_mode_and_asks_for_the_password() {
    let servers = "[unix_http_server]\nfile=%(here)s/a\nchmod=0777\nusername=u\npassword=p\n\
                   [unix_http_server:open]\nfile=%(here)s/b\nchmod=0770\n";
    let server = ours(servers);
    let path = |name: &str| server.place.path().join(name);
    let mode = |name: &str| fs::metadata(path(name)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode("a"), mode("b")), (0o777, 0o770));
    let status = |name: &str, request: &str, login: &str| -> Option<u16> {
        let mut stream = UnixStream::connect(path(name)).expect("it listens");
        stream.write_all(format!("{request}{GET}{login}\r\n").as_bytes()).expect("it reads");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.split(' ').nth(1)?.parse().ok()
    };
    let right = "Authorization: Basic dTpw\r\n";
    assert_eq!(status("a", "GET /mainlogtail/", ""), Some(401), "even root has to log in");
    assert_eq!(status("a", "POST /RPC2", ""), Some(401));
    assert_eq!(status("a", "POST /RPC2", right), Some(400), "no XML");
    assert_eq!(status("b", "POST /RPC2", ""), Some(400));
    assert_eq!(status("a", "GET /v1/programs", ""), Some(200), "musterctl goes on working");
    drop(server);
}

#[test]
fn a_flood_on_tcp_leaves_the_unix_socket_alone() {
    let server =
        ours("[inet_http_server]\nport=127.0.0.1:@\nusername=u\npassword=p\n[unix_http_server]\nfile=%(here)s/s\n");
    let mut idle = UnixStream::connect(server.place.path().join("s")).expect("it listens");
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    let mut first = [0; 12];
    idle.read_exact(&mut first).expect("an answer");
    // Each begins a request and never ends it.
    let slow: Vec<TcpStream> = (0..300)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port)).ok()?;
            stream.write_all(b"POST /RPC2 HTTP/1.1\r\n").ok()?;
            Some(stream)
        })
        .collect();
    assert!(slow.len() > 200, "the flood was sent");
    let right = format!("GET /livez{GET}Authorization: Basic dTpw\r\n\r\n");
    assert_eq!(server.status_of(&right), Some(200), "a client with a login is served meanwhile");
    let open = fs::read_dir(format!("/proc/{}/fd", server.child.id())).expect("it runs").count();
    assert!(open < 150, "{open} descriptors");
    let mut rest = Vec::new();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it is still connected");
    idle.read_to_end(&mut rest).expect("an answer");
    assert!(String::from_utf8_lossy(&rest).matches("200 OK").count() >= 1, "the Unix client was not closed");
}
