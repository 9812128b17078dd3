//! Sockets that the daemon opens for programs: FastCGI programs as under the original, and LISTEN_FDS.

#[path = "harness/mod.rs"]
mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::{Setting, ended, free_port, is_root, skip, wait_until};

/// Accepts on a descriptor and answers each client with its name, its pid and what it knows of LISTEN_FDS.
const SERVER: &str = "
import os, socket, sys
listener = socket.socket(fileno=int(sys.argv[2]))
told = [os.environ.get(name, '-') for name in ('LISTEN_FDS', 'LISTEN_FDNAMES')]
told.append(str(os.environ.get('LISTEN_PID') == str(os.getpid())))
while True:
    client = listener.accept()[0]
    client.sendall((' '.join([sys.argv[1], str(os.getpid())] + told)).encode())
    client.close()
";

/// A client's stream, on TCP or a Unix socket.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn connect(address: &str) -> std::io::Result<Box<dyn Stream>> {
    let patience = Some(Duration::from_secs(60));
    if let Some(path) = address.strip_prefix("unix://") {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(patience)?;
        return Ok(Box::new(stream));
    }
    let stream = TcpStream::connect(address.trim_start_matches("tcp://"))?;
    stream.set_read_timeout(patience)?;
    Ok(Box::new(stream))
}

fn answer(mut stream: Box<dyn Stream>) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a server answers and closes");
    text
}

fn ask(address: &str) -> String {
    answer(connect(address).expect("the daemon listens"))
}

fn script(directory: &Path) -> PathBuf {
    let path = directory.join("server.py");
    fs::write(&path, SERVER).expect("the test directory is writable");
    path
}

/// The original; dropping it ends it.
struct Original(Child);

impl Drop for Original {
    fn drop(&mut self) {
        harness::send(self.0.id() as i32, 15);
        let _ = self.0.wait();
    }
}

fn original(directory: &Path, sections: &str) -> Original {
    let here = directory.display();
    let user = if is_root() { "user=root\n" } else { "" };
    let path = directory.join("supervisord.conf");
    let text = format!(
        "[supervisord]\nnodaemon=true\nlogfile={here}/log\npidfile={here}/pid\nchildlogdir={here}\n{user}{}",
        sections.replace('@', &here.to_string())
    );
    fs::write(&path, text).expect("the test directory is writable");
    let mut command = Command::new("supervisord");
    command.arg("-c").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Original(command.spawn().expect("it answered a moment ago"))
}

fn is_original_here() -> bool {
    Command::new("supervisord").arg("--version").stdout(Stdio::null()).status().is_ok()
}

/// A TCP program of two processes, and one on a Unix socket that belongs to another user if the daemon is root.
fn sections(script: &Path, port: u16) -> String {
    let server = format!("command=python3 {}", script.display());
    let owner = if is_root() { "socket_owner=daemon:bin\n" } else { "" };
    format!(
        "[fcgi-program:tcp]\n{server} tcp 0\nnumprocs=2\nprocess_name=%(process_num)d\nsocket=tcp://127.0.0.1:{port}\n\
         [fcgi-program:unix]\n{server} unix 0\nsocket=unix://@/app.sock\nsocket_mode=0750\n{owner}"
    )
}

#[test]
fn fastcgi_programs_answer_as_under_the_original() {
    if !is_original_here() {
        return skip("supervisord is not installed");
    }
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let script = script(directory.path());
    let (our_port, their_port) = (free_port(), free_port());
    let daemon = Setting::supervisord(sections(&script, our_port)).start();
    let _original = original(directory.path(), &sections(&script, their_port));
    // And what `musterd convert` makes of it.
    let (elsewhere, third_port) = (tempfile::tempdir().expect("a temporary directory can be created"), free_port());
    let here = elsewhere.path().display().to_string();
    let _converted =
        Setting::supervising(harness::converted(&sections(&script, third_port).replace('@', &here))).start();
    let mut owners = Vec::new();
    for (port, place) in [
        (our_port, daemon.path("")),
        (their_port, directory.path().to_owned()),
        (third_port, elsewhere.path().to_owned()),
    ] {
        let (tcp, file) = (format!("tcp://127.0.0.1:{port}"), place.join("app.sock"));
        wait_until("both listen", || connect(&tcp).is_ok() && file.exists());
        // Both processes accept on the one socket; none of them has variables of systemd.
        let mut pids = std::collections::BTreeSet::new();
        wait_until("both processes answer", || {
            let said = ask(&tcp);
            let words: Vec<&str> = said.split(' ').collect();
            assert_eq!([words[0], words[2], words[3], words[4]], ["tcp", "-", "-", "False"], "{said}");
            pids.insert(words[1].to_owned());
            pids.len() == 2
        });
        assert!(ask(&format!("unix://{}", file.display())).starts_with("unix "));
        let about = fs::metadata(&file).expect("it is there");
        assert!(about.file_type().is_socket());
        owners.push((about.mode() & 0o7777, about.uid(), about.gid()));
    }
    assert_eq!((owners[0], owners[0]), (owners[1], owners[2]));
    assert_eq!(owners[0].0, 0o750);
}

fn named(script: &Path, address: &str, more: &str) -> String {
    format!(
        "[program.web]\ncommand = [\"python3\", \"{}\", \"web\", \"3\"]\nstartsecs = 0\n\
         [program.web.sockets.http]\nlisten = \"{address}\"\n{more}\n",
        script.display()
    )
}

fn named_setting(directory: &Path, address: &str, more: &str) -> Setting {
    Setting::supervising(named(&script(directory), address, more))
}

#[test]
fn clients_wait_while_no_program_runs_and_are_answered_after_the_start() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let address = format!("tcp://127.0.0.1:{}", free_port());
    let go = directory.path().join("go");
    let wait = format!("while ! test -e {}; do sleep 0.05; done", go.display());
    let server = format!("exec python3 {} web 0", script(directory.path()).display());
    let daemon = Setting::supervising(format!(
        "[program.web]\ncommand = [\"sh\", \"-c\", \"{wait}; {server}\"]\nstartsecs = 0\nrestart = \"always\"\n\
         backoff = {{ delay = \"10ms\" }}\n[program.web.sockets.http]\nlisten = \"{address}\"\nstdin = true\n"
    ))
    .start();
    let first = daemon.wait_for_running("web");
    // In the queue of the daemon's socket: the process that has it does not accept, and is killed.
    let waiting = connect(&address).expect("the daemon listens");
    harness::send(first, 9);
    wait_until("it is another process", || daemon.state("web") == "RUNNING" && daemon.pid_of("web") != first);
    daemon.ctl_well(&["restart", "web"]);
    fs::write(&go, "").expect("the test directory is writable");
    assert!(answer(waiting).starts_with("web "));
    // A stop closes the socket, a start opens it again.
    daemon.ctl_well(&["stop", "web"]);
    wait_until("it is closed", || connect(&address).is_err());
    daemon.ctl_well(&["start", "web"]);
    assert!(ask(&address).starts_with("web "));
}

#[test]
fn other_programs_get_their_sockets_as_from_systemd() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = directory.path().join("web.sock");
    let address = format!("unix://{}", path.display());
    let mut daemon = named_setting(directory.path(), &address, "mode = \"0600\"").env("LISTEN_PID", "1").start();
    daemon.wait_for_running("web");
    let said = ask(&address);
    assert!(said.ends_with(" 1 http True"), "{said}");
    assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o7777, 0o600);
    daemon.finish();
    assert!(!path.exists(), "the daemon removes its socket");
}

#[test]
fn a_reload_keeps_a_socket_and_changes_its_mode() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = directory.path().join("web.sock");
    let address = format!("unix://{}", path.display());
    let daemon = named_setting(directory.path(), &address, "mode = \"0600\"").start();
    let first = daemon.wait_for_running("web");
    let inode = || fs::metadata(&path).map(|about| (about.ino(), about.mode() & 0o777)).ok();
    let before = inode();
    // Another environment: the process is another, the socket the same.
    let more = "mode = \"0600\"\n[program.web.environment]\nA = \"1\"";
    daemon.rewrite(&named_setting(directory.path(), &address, more));
    daemon.ctl_well(&["update"]);
    wait_until("it is another process", || daemon.state("web") == "RUNNING" && daemon.pid_of("web") != first);
    assert_eq!(inode(), before);
    daemon.rewrite(&named_setting(directory.path(), &address, "mode = \"0666\""));
    daemon.ctl_well(&["update"]);
    wait_until("the mode is another", || inode().is_some_and(|(_, mode)| mode == 0o666));
    assert!(ask(&address).starts_with("web "));
    // A port that is taken: nothing changes.
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = taken.local_addr().expect("it has an address").port();
    daemon.rewrite(&named_setting(directory.path(), &format!("tcp://127.0.0.1:{port}"), ""));
    let refused = daemon.ctl(&["update"]);
    assert!(refused.code != Some(0), "{refused:?}");
    assert!(refused.err.contains("address in use") || refused.err.contains("already in use"), "{refused:?}");
    assert!(ask(&address).starts_with("web "));
}

#[test]
fn a_socket_that_cannot_be_opened_ends_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = taken.local_addr().expect("it has an address").port();
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = directory.path().join("supervisord.conf");
    let here = directory.path().display();
    let section = format!("[fcgi-program:f]\ncommand=cat\nsocket=tcp://127.0.0.1:{port}\n");
    fs::write(&path, format!("[supervisord]\nnodaemon=true\npidfile={here}/pid\nlogfile={here}/log\n{section}"))
        .expect("the test directory is writable");
    let refused = ended(Command::new(harness::musterd()).arg0("supervisord").arg("-c").arg(&path));
    let expected =
        format!("Error: Could not create FastCGI socket tcp://127.0.0.1:{port}: [Errno 98] Address already in use\n");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains(&expected), "{refused:?}");
}
