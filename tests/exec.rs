//! `musterctl exec`: a command in the context of a program, its streams, its end, and clients that mean harm.

#[path = "harness/mod.rs"]
mod harness;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{
    Daemon, Ended, Setting, Terminal, ended, everyone, free_port, in_front_of, is_root, send, wait_for, wait_until,
};
use nix::pty::Winsize;

const PROGRAMS: &str = r#"
[program.web]
command = "sleep 1000"
directory = "/usr"
umask = "0027"
environment = { COLOUR = "blue", SECRET_TOKEN = "s3cr3t-value" }
rlimits = { nofile = 77 }
[program.idle]
command = "sleep 1000"
autostart = false
"#;

fn daemon() -> Daemon {
    let daemon = Setting::supervising(PROGRAMS).start();
    daemon.wait_for_running("web");
    daemon
}

/// The processes whose command line has this word, zombies aside.
fn with_word(word: &str) -> Vec<i32> {
    everyone().values().filter(|it| it.command.contains(word) && !it.is_zombie()).map(|it| it.pid).collect()
}

fn is_gone(word: &str) -> bool {
    with_word(word).is_empty()
}

/// The number of commands that the daemon lists.
fn listed(daemon: &Daemon) -> usize {
    daemon.client.get("/v1/processes").json()["execs"].as_array().map_or(0, Vec::len)
}

/// A `musterctl` that is killed at the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn running(command: &mut Command) -> Running {
    Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("musterctl can be executed"))
}

/// The connection after a request with this body, and the status.
fn upgraded<S: Read + Write>(mut stream: S, headers: &str, name: &str, body: &str) -> (u16, Connection<S>) {
    let head = format!(
        "POST /v1/programs/{name}/exec HTTP/1.1\r\nhost: localhost\r\n{headers}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the daemon reads");
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("the daemon answers") == 1 {
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("it is HTTP");
    (status, Connection { stream, head })
}

struct Connection<S> {
    stream: S,
    head: String,
}

impl<S: Read + Write> Connection<S> {
    fn send(&mut self, kind: u8, content: &[u8]) -> std::io::Result<()> {
        let head = [&[kind][..], &(content.len() as u32).to_be_bytes()].concat();
        self.stream.write_all(&[&head, content].concat())
    }

    /// The next frame, `None` at the end.
    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).ok()?;
        let mut content = vec![0; u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize];
        self.stream.read_exact(&mut content).ok()?;
        Some((head[0], content))
    }
}

const UPGRADE: &str = "connection: Upgrade\r\nupgrade: muster-exec/1\r\n";

fn socket(daemon: &Daemon) -> UnixStream {
    let stream = daemon.client.connect().expect("the daemon listens");
    stream.set_read_timeout(Some(harness::PATIENCE)).expect("a socket has it");
    stream
}

fn shell(script: &str) -> String {
    serde_json::json!({"command": ["sh", "-c", script], "stdin": true}).to_string()
}

#[test]
fn a_command_runs_as_the_program_would_whether_it_runs_or_not() {
    let user = if is_root() { "user = \"daemon\"\n" } else { "" };
    let programs = PROGRAMS.replace("umask =", &format!("{user}umask ="));
    let daemon = Setting::supervising(&programs).env("NOTIFY_SOCKET", "").start();
    let run = daemon.wait_for_running("web");
    let script = "pwd; umask; ulimit -n; echo $COLOUR $SECRET_TOKEN $MUSTER_EXEC $MUSTER_PROGRAM $MORE; \
                  echo [$NOTIFY_SOCKET$LISTEN_FDS]; id -un; ls /proc/self/fd | wc -l";
    let out = daemon.ctl_well(&["exec", "-e", "MORE=a=b", "-e", "COLOUR=red", "web", "--", "sh", "-c", script]);
    let name = if is_root() { "daemon" } else { "" };
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..5], ["/usr", "0027", "77", "red s3cr3t-value 1 web a=b", "[]"], "{out}");
    assert!(lines[5].starts_with(name) && lines[6] == "4", "{out}");
    daemon.ctl_well(&["exec", "idle", "--", "true"]);
    daemon.ctl_well(&["stop", "web"]);
    daemon.ctl_well(&["exec", "web", "--", "true"]);
    assert!(!harness::exists(run));
    // Stopping and starting the program leaves a command alone, and the command keeps no program up.
    let mut command = running(daemon.ctl_command(&["exec", "web", "--", "sleep", "1234.5"]).stdin(Stdio::null()));
    wait_until("the command runs", || !is_gone("1234.5"));
    daemon.ctl_well(&["restart", "web"]);
    assert!(!is_gone("sleep 1234.5"));
    drop(command.0.kill());
    drop(command);
    wait_until("the command is hung up", || is_gone("sleep 1234.5"));
    assert_eq!(daemon.state("web"), "RUNNING");
}

#[test]
fn exit_codes_are_those_of_a_shell_and_streams_stay_apart() {
    let daemon = daemon();
    let exec = |words: &[&str]| daemon.ctl(&[&["exec", "web", "--"], words].concat());
    let Ended { code, out, err } = exec(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(7), "out\n", "err\n"));
    assert_eq!(exec(&["sh", "-c", "kill -9 $$"]).code, Some(137));
    let missing = exec(&["no-such-command"]);
    assert_eq!(missing.code, Some(127), "{missing:?}");
    assert!(missing.err.starts_with("error: ") && missing.err.contains("no-such-command"), "{missing:?}");
    assert_eq!(exec(&["/etc/passwd"]).code, Some(126));
    assert_eq!(daemon.ctl(&["exec", "no-such-program", "--", "true"]).code, Some(4));
    assert_eq!(daemon.ctl(&["exec", "-e", "=x", "web", "--", "true"]).code, Some(2));
    assert_eq!(daemon.ctl(&["exec", "-it", "web", "--", "true"]).code, Some(2));
    // Its input is empty unless it is wanted.
    assert_eq!(exec(&["cat"]).code, Some(0));
    // More than any buffer holds, both ways at once, and not a byte less.
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = daemon.path("input");
    fs::write(&file, &sent).expect("the directory is ours");
    let mut command = daemon.ctl_command(&["exec", "-i", "web", "--", "cat"]);
    let output = command.stdin(File::open(&file).expect("it was written")).output().expect("it can be executed");
    assert!(output.stdout == sent, "{} of {} bytes", output.stdout.len(), sent.len());
    // A command may close its input early.
    let mut command = daemon.ctl_command(&["exec", "-i", "web", "--", "head", "-c1"]);
    let output = command.stdin(File::open(&file).expect("it was written")).output().expect("it can be executed");
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&sent[..1], Some(0)));
    // The reader of the output is gone.
    let mut command =
        running(&mut daemon.ctl_command(&["exec", "web", "--", "sh", "-c", "while echo 987654.1; do :; done"]));
    let mut some = [0; 4096];
    command.0.stdout.take().expect("it is a pipe").read_exact(&mut some).expect("it writes");
    assert_eq!(command.0.wait().expect("it is a child").code(), Some(141));
    wait_until("the command is hung up", || is_gone("echo 987654.1"));
    wait_until("none is listed", || listed(&daemon) == 0);
}

#[test]
fn ps_and_the_log_name_a_command_without_its_arguments() {
    let daemon = daemon();
    let mut command =
        running(&mut daemon.ctl_command(&["exec", "web", "--", "sh", "-c", "sleep 4321.5; true secret-argument"]));
    wait_until("ps shows it", || daemon.ctl(&["ps"]).out.contains("sleep 4321.5"));
    let shown = daemon.ctl_well(&["ps"]);
    assert!(shown.contains(&format!("exec of web by user id {}", harness::own_uid())), "{shown}");
    assert_eq!(daemon.client.get("/v1/programs/idle/processes").json()["execs"].as_array().map(Vec::len), Some(0));
    assert_eq!(daemon.client.get("/v1/programs/web/processes").json()["execs"][0]["command"], "sh");
    let line = daemon.log.wait_for("the audit line", |line| line.says("web", "executing a command"));
    assert_eq!((line.level.as_str(), line.field("command").as_deref()), ("INFO", Some("sh")), "{}", daemon.story());
    // A signal to the client is one to the command; the second one ends the client.
    send(command.0.id() as i32, 15);
    assert_eq!(command.0.wait().expect("it is a child").code(), Some(143));
    daemon.log.wait_for("the end", |line| line.says("web", "an executed command has ended"));
    assert!(!daemon.log.text().contains("secret-argument"));
    assert!(is_gone("sleep 4321.5"));
}

/// A `musterctl` on a terminal of its own.
fn on_terminal(daemon: &Daemon, words: &[&str]) -> (Terminal, File, Running) {
    let size = Winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
    let (terminal, device) = Terminal::open(Some(&size));
    let mut command = in_front_of(&device, &["--wait"], &daemon.ctl_command(words));
    let child = Running(command.env("TERM", "vt220").spawn().expect("setsid is installed"));
    (terminal, device, child)
}

fn exit_of(child: &mut Running) -> i32 {
    let status = wait_for("musterctl ends", || child.0.try_wait().expect("it is a child"));
    status.code().or_else(|| Some(128 + status.signal()?)).expect("it has ended")
}

#[test]
fn a_terminal_has_size_resize_control_keys_and_an_end() {
    let daemon = daemon();
    let script = "stty size; echo $TERM; trap 'stty size' WINCH; echo tty >/dev/tty; \
                  while ! read line; do :; done; echo got $line; exec sleep 765.5";
    let (mut terminal, device, mut child) = on_terminal(&daemon, &["exec", "-it", "web", "--", "sh", "-c", script]);
    terminal.shows("33 101");
    terminal.shows("vt220");
    terminal.shows("tty");
    let resized =
        Command::new("stty").args(["rows", "20", "cols", "50"]).stdin(device.try_clone().expect("it is open")).status();
    assert!(resized.expect("stty is installed").success());
    terminal.type_in("one\r");
    terminal.shows("20 50");
    terminal.type_in("two\r");
    terminal.shows("got ");
    wait_until("it sleeps", || {
        with_word("sleep 765.5").len() > 1 || everyone().values().any(|it| it.command == "sleep 765.5")
    });
    terminal.type_in("\x03");
    assert_eq!(exit_of(&mut child), 130, "{}", terminal.text());
    wait_until("it is gone", || !everyone().values().any(|it| it.command == "sleep 765.5"));
    let flags = nix::sys::termios::tcgetattr(&device).expect("it is a terminal").local_flags;
    assert!(flags.contains(nix::sys::termios::LocalFlags::ECHO | nix::sys::termios::LocalFlags::ICANON));
    // Processes that it leaves behind hold neither the terminal nor the client.
    let script = "(trap '' HUP; setsid sleep 876.5) & (trap '' HUP; exec sleep 876.5) & echo left; exit 3";
    let (terminal, _device, mut child) = on_terminal(&daemon, &["exec", "-t", "web", "--", "sh", "-c", script]);
    terminal.shows("left");
    assert_eq!(exit_of(&mut child), 3);
    wait_until("nothing outlives it", || !everyone().values().any(|it| it.command == "sleep 876.5"));
}

#[test]
fn a_client_that_is_gone_hangs_up_and_what_ignores_that_is_killed() {
    let daemon = daemon();
    let start = |script: &str| running(&mut daemon.ctl_command(&["exec", "-i", "web", "--", "sh", "-c", script]));
    let heeding = start("trap exit HUP; while :; do sleep 0.1; : 55501; done");
    let ignoring = start("trap '' HUP; while :; do sleep 0.1; : 55502; done");
    // A client that dies without a terminal, and a command on a terminal that ignores its hangup.
    let (_terminal, _device, on_tty) = on_terminal(
        &daemon,
        &["exec", "-it", "web", "--", "sh", "-c", "trap '' HUP; while :; do sleep 0.1; : 55503; done"],
    );
    for word in [": 55501", ": 55502", ": 55503"] {
        wait_until("they run", || {
            everyone().values().any(|it| it.command.starts_with("sh") && it.command.contains(word))
        });
    }
    wait_until("all are listed", || listed(&daemon) == 3);
    let began = Instant::now();
    drop((heeding, ignoring, on_tty));
    wait_until("the first is gone", || is_gone(": 55501"));
    assert!(began.elapsed() < Duration::from_secs(4), "it was not asked first: {:?}", began.elapsed());
    assert!(!is_gone(": 55502"), "it was not given its time");
    wait_until("the others are killed", || is_gone(": 55502") && is_gone(": 55503"));
    assert!(began.elapsed() >= Duration::from_secs(4), "{:?}", began.elapsed());
    wait_until("none is listed", || listed(&daemon) == 0);
}

#[test]
fn sixteen_hung_clients_cost_a_bounded_memory_and_delay_no_other() {
    let daemon = daemon();
    let before = daemon.memory("VmRSS");
    // They flood their output, which is not read; a command that does not read gets more input than its pipe holds.
    let mut hung: Vec<_> = (0..16)
        .map(|_| {
            let (status, connection) = upgraded(socket(&daemon), UPGRADE, "web", &shell("yes 66601 & yes 66601 >&2"));
            assert_eq!(status, 101);
            connection
        })
        .collect();
    for connection in &mut hung {
        // The most that may be under way, and the signals behind it.
        connection.send(0, &[b'x'; 65_536]).expect("the daemon takes it");
        connection.send(3, &[0, 24, 0, 80]).expect("the daemon takes it");
    }
    wait_until("all are listed", || listed(&daemon) == 16);
    let refused = daemon.ctl(&["exec", "web", "--", "true"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("16 commands are being executed already"), "{refused:?}");
    let began = Instant::now();
    daemon.ctl_well(&["restart", "web"]);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let grown = daemon.memory("VmRSS").saturating_sub(before);
    assert!(grown < 24_000, "grown by {grown} kB");
    // A signal is not behind the input that is not read.
    hung[0].send(4, &[9]).expect("the daemon takes it");
    let mut last = None;
    while let Some(frame) = hung[0].next() {
        last = Some(frame);
    }
    assert_eq!(last, Some((5, vec![1, 9])));
    drop(hung);
    wait_until("all are hung up", || is_gone("yes 66601") && listed(&daemon) == 0);
    daemon.ctl_well(&["exec", "web", "--", "true"]);
}

#[test]
fn what_is_no_frame_ends_the_connection_and_the_command() {
    let daemon = daemon();
    let window: Vec<u8> = [&[0, 0, 1, 0, 0][..], &[b'x'; 65_536]].concat();
    for (name, bytes) in [
        ("a length beyond all bounds", [0, 255, 255, 255, 255].to_vec()),
        ("an unknown kind", [99, 0, 0, 0, 0].to_vec()),
        ("a kind of the daemon", [5, 0, 0, 0, 2, 0, 0].to_vec()),
        ("no signal", [4, 0, 0, 0, 1, 0].to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("more input than the window", window.repeat(4)),
    ] {
        let (status, mut connection) = upgraded(socket(&daemon), UPGRADE, "web", &shell("sleep 77701"));
        assert_eq!(status, 101, "{name}");
        // The daemon may close before it has read everything.
        let _ = connection.stream.write_all(&bytes);
        while let Some((kind, _)) = connection.next() {
            assert_eq!(kind, 8, "{name}");
        }
        wait_until(name, || is_gone("sleep 77701") && listed(&daemon) == 0);
    }
    // A client that is gone before the answer.
    for _ in 0..20 {
        let body = shell("sleep 77702");
        let mut stream = socket(&daemon);
        let head = format!(
            "POST /v1/programs/web/exec HTTP/1.1\r\nhost: x\r\n{UPGRADE}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("the daemon reads");
    }
    wait_until("nothing is left of those", || is_gone("sleep 77702") && listed(&daemon) == 0);
    // A stopped client stops its command and nothing else.
    let stopped = running(&mut daemon.ctl_command(&["exec", "web", "--", "yes", "77703"]));
    wait_until("it runs", || listed(&daemon) == 1);
    send(stopped.0.id() as i32, 19);
    daemon.ctl_well(&["restart", "web"]);
    daemon.ctl_well(&["exec", "web", "--", "true"]);
    drop(stopped);
    wait_until("it is hung up", || is_gone("yes 77703"));
    assert_eq!(daemon.state("web"), "RUNNING");
}

#[test]
fn a_shutdown_asks_commands_to_end_and_leaves_none() {
    let mut daemon = daemon();
    let mut heeding = running(&mut daemon.ctl_command(&["exec", "web", "--", "sleep", "88801"]));
    let ignoring = running(&mut daemon.ctl_command(&[
        "exec",
        "web",
        "--",
        "sh",
        "-c",
        "trap '' TERM HUP; while :; do sleep 0.1; : 88802; done",
    ]));
    wait_until("both run", || !is_gone(": 88802") && everyone().values().any(|it| it.command == "sleep 88801"));
    daemon.terminate();
    daemon.wait();
    let code = heeding.0.wait().expect("it is a child").code();
    assert!(matches!(code, Some(143 | 125)), "{code:?}");
    drop(ignoring);
    assert!(is_gone("sleep 88801") && is_gone(": 88802"), "{}", daemon.story());
}

/// A daemon with a listener on TCP and a token for each role.
fn on_tcp(exec: &str) -> (Daemon, u16, tempfile::TempDir) {
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::write(place.path().join("admin"), "0123456789abcdefghij").expect("it is ours");
    fs::write(place.path().join("control"), "control-control-control").expect("it is ours");
    let port = free_port();
    let at = place.path().display();
    let http = format!(
        "listen = [\"http://127.0.0.1:{port}\"]\n{exec}\n[http.user.boss]\nrole = \"admin\"\ntoken_file = \"{at}/admin\"\n\
         [http.user.deploy]\nrole = \"control\"\ntoken_file = \"{at}/control\"\n"
    );
    let daemon = Setting::supervising(PROGRAMS).http(&http).start();
    daemon.wait_for_running("web");
    wait_until("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    (daemon, port, place)
}

const BOSS: &str = "authorization: Bearer 0123456789abcdefghij\r\n";
const DEPLOY: &str = "authorization: Bearer control-control-control\r\n";

#[test]
fn only_administrators_may_and_only_where_it_is_allowed() {
    let (daemon, port, place) = on_tcp("");
    let tcp = || {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(harness::PATIENCE)).expect("a socket has it");
        stream
    };
    let body = shell("true");
    let local = |headers: &str, body: &str| upgraded(socket(&daemon), headers, "web", body).0;
    let far = |headers: &str| upgraded(tcp(), headers, "web", &body).0;
    assert_eq!(far(&format!("{UPGRADE}{BOSS}")), 403, "Unix sockets only, by default");
    assert_eq!(far(UPGRADE), 401);
    assert_eq!(local(&format!("{UPGRADE}{DEPLOY}"), &body), 403, "the role control is not enough");
    assert_eq!(local(&format!("{UPGRADE}{BOSS}"), &body), 101);
    for header in ["origin: http://localhost\r\n", "cookie: a=b\r\n", "sec-fetch-mode: cors\r\n"] {
        assert_eq!(local(&format!("{UPGRADE}{header}"), &body), 403, "{header}");
    }
    assert_eq!(local("", &body), 426);
    assert_eq!(local("connection: Upgrade\r\nupgrade: websocket\r\n", &body), 426);
    for bad in ["", "{}", "{\"command\": []}", "{\"command\": [\"\"]}", "{\"command\": [\"true\"], \"more\": 1}"] {
        assert_eq!(local(UPGRADE, bad), 400, "{bad}");
    }
    let with_nul = serde_json::json!({"command": ["true", "a\0b"]}).to_string();
    assert_eq!(local(UPGRADE, &with_nul), 409);
    let marked =
        serde_json::json!({"command": ["sh", "-c", "test $MUSTER_RUN != 1"], "environment": {"MUSTER_RUN": "1"}});
    let (_, mut connection) = upgraded(socket(&daemon), UPGRADE, "web", &marked.to_string());
    assert_eq!(connection.next(), Some((5, vec![0, 0])), "what identifies processes cannot be chosen");
    // Another user: root may, on the Unix socket and as root.
    let body = serde_json::json!({"command": ["true"], "user": "daemon"}).to_string();
    assert_eq!(local(&format!("{UPGRADE}{BOSS}"), &body), 403);
    if is_root() {
        assert_eq!(daemon.ctl_well(&["exec", "-u", "daemon", "web", "--", "id", "-un"]), "daemon\n");
        assert_eq!(daemon.ctl(&["exec", "-u", "no-such-user", "web", "--", "true"]).code, Some(126));
    }
    drop((daemon, place));
    let (_daemon, port, place) = on_tcp("exec = \"everywhere\"");
    let token = place.path().join("admin").display().to_string();
    let url = format!("http://127.0.0.1:{port}");
    let mut command = Command::new(harness::musterctl());
    command
        .args(["-s", &url, "--token-file", &token, "exec", "web", "--", "echo", "from afar"])
        .env_remove("MUSTER_SOCKET");
    assert_eq!(ended(&mut command).out, "from afar\n");
    let (daemon, ..) = on_tcp("exec = \"off\"");
    let (status, refused) = upgraded(socket(&daemon), UPGRADE, "web", &shell("true"));
    assert_eq!(status, 403, "{}", refused.head);
}

#[test]
fn a_command_runs_through_another_one() {
    let daemon = daemon();
    let bin = std::path::Path::new(harness::musterctl()).parent().expect("it is in a directory");
    let script = format!(
        "#!/bin/sh\nPATH='{}':$PATH MUSTER_SOCKET='{}' exec \"$@\"\n",
        bin.display(),
        daemon.socket().display()
    );
    let via = daemon.path("into");
    harness::write_executable(&via, script.as_bytes());
    let ctl = |words: &[&str]| {
        let mut command = Command::new(harness::musterctl());
        command.arg("--via").arg(&via).args(words).env_remove("MUSTER_SOCKET");
        command
    };
    let sent = vec![b'z'; 500_000];
    let file = daemon.path("input");
    fs::write(&file, &sent).expect("the directory is ours");
    let mut command = ctl(&["exec", "-i", "web", "--", "sh", "-c", "cat; exit 9"]);
    let output = command.stdin(File::open(&file).expect("it was written")).output().expect("it can be executed");
    assert_eq!((output.stdout.len(), output.status.code()), (sent.len(), Some(9)), "{output:?}");
    // The way breaks: the command is hung up, and its exit is unknown.
    let mut command = running(ctl(&["exec", "web", "--", "sleep", "99901"]).stdin(Stdio::null()));
    wait_until("it runs", || everyone().values().any(|it| it.command == "sleep 99901"));
    let dial = everyone()
        .values()
        .find(|it| it.command.contains("dial-stdio") && it.ppid == command.0.id() as i32)
        .map(|it| it.pid);
    send(dial.expect("the way is a child of musterctl"), 9);
    assert_eq!(command.0.wait().expect("it is a child").code(), Some(125));
    wait_until("it is hung up", || is_gone("sleep 99901"));
}
