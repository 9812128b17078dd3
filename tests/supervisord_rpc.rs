//! supervisord's XML-RPC interface: real clients talk to musterd and to the original, and must see the same.

#[path = "harness/mod.rs"]
mod harness;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::{ended, is_root, send, skip, wait_until};

const ORIGINAL: &str = "/usr/bin/supervisord";

const PROGRAMS: &str = "\
[program:cat]\ncommand=cat\nstdout_logfile=%(here)s/cat.log\nredirect_stderr=true\n\
[program:off]\ncommand=sleep 1000\nautostart=false\n\
[program:talk]\ncommand=sh -c \"echo hello; echo w\u{f6}rld; exec sleep 1000\"\nstdout_logfile=%(here)s/talk.log\npriority=5\n\
[group:g]\nprograms=x,y\npriority=7\n\
[program:x]\ncommand=sleep 1000\npriority=2\n\
[program:y]\ncommand=sleep 1000\npriority=1\n\
[program:absent]\ncommand=/no/such/command\nautostart=false\n\
[program:fails]\ncommand=false\nautostart=false\nstartretries=0\nstartsecs=9\n";

/// A supervisord, ours or the original, with a directory of its own; dropping it ends it.
struct Server {
    child: Child,
    place: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        send(self.child.id() as i32, 15);
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(executable: &str) -> Server {
        let place = tempfile::tempdir().expect("a temporary directory");
        configure(place.path(), PROGRAMS);
        let mut command = Command::new(executable);
        command.arg0("supervisord").args(["-n", "-c", "s.conf"]).current_dir(place.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Server { child: command.spawn().expect("it can be executed"), place };
        // It is up when all programs are.
        for name in ["cat", "talk", "g:x", "g:y"] {
            wait_until(name, || server.ctl(&["status", name]).0.contains("RUNNING"));
        }
        server
    }

    fn ours() -> Server {
        Server::start(harness::musterd())
    }

    /// Output and exit code of the original's supervisorctl.
    fn ctl(&self, words: &[&str]) -> (String, Option<i32>) {
        let mut command = Command::new("/usr/bin/supervisorctl");
        let end = ended(command.args(["-c", "s.conf"]).args(words).current_dir(self.place.path()));
        (self.normalized(&(end.out + &end.err)), end.code)
    }

    /// The output of a Python script that has a proxy called `s`.
    fn python(&self, script: &str) -> String {
        let socket = self.socket();
        let text = format!(
            "import xmlrpc.client, supervisor.xmlrpc\n\
             transport = supervisor.xmlrpc.SupervisorTransport(None, None, 'unix://{}')\n\
             s = xmlrpc.client.ServerProxy('http://x', transport=transport)\n{script}",
            socket.display()
        );
        let end = ended(Command::new("/usr/bin/python3").args(["-c", &text]));
        self.normalized(&(end.out + &end.err))
    }

    fn socket(&self) -> std::path::PathBuf {
        self.place.path().join("socket")
    }

    /// The answer to a request as it is sent.
    fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    /// Without what differs between two runs: paths, process ids, times and the version.
    fn normalized(&self, text: &str) -> String {
        let text = text.replace(&self.place.path().display().to_string(), "PLACE").replace("4.2.5", "4.3.0");
        let mut out = String::new();
        for line in text.lines() {
            let mut before = "";
            for this in line.split(' ') {
                // A young machine has short ones.
                let digits = this.trim_end_matches(|c: char| !c.is_ascii_digit());
                let is_pid = PID.contains(&before.trim_matches('"')) && digits.parse::<u32>().is_ok_and(|pid| pid > 0);
                out += &if is_pid { this.replace(digits, "N") } else { word(this) };
                out.push(' ');
                before = this;
            }
            out.pop();
            out.push('\n');
        }
        out
    }
}

/// The words before a process id.
const PID: [&str; 3] = ["pid", "pid\":", "s.supervisor.getPID()"];

/// A word without its digits, if it is a number of more than three: a process id, or a time.
fn word(word: &str) -> String {
    let digits = |c: char| c.is_ascii_digit();
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_number = bare.len() > 3 && bare.chars().all(digits);
    let is_time = bare.len() >= 5 && bare.contains(':') && bare.chars().all(|c| digits(c) || c == ':');
    let is_file = bare.contains("---supervisor-");
    if is_number || is_time || is_file { word.replace(bare, "N") } else { word.to_owned() }
}

fn configure(place: &Path, programs: &str) {
    let user = if is_root() { "user=root\n" } else { "" };
    let text = format!(
        "[supervisord]\nlogfile=main.log\npidfile=main.pid\nchildlogdir=.\n{user}\
         [unix_http_server]\nfile=%(here)s/socket\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://%(here)s/socket\n{programs}"
    );
    fs::write(place.join("s.conf"), text).expect("it is ours");
}

fn both() -> Option<[Server; 2]> {
    if !Path::new(ORIGINAL).exists() {
        skip("the original supervisord is not installed");
        return None;
    }
    Some([Server::ours(), Server::start(ORIGINAL)])
}

/// Lines in any order: several processes complete in the order in which they happen to.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

const COMMANDS: &[&str] = &[
    "status",
    "status g:* off nosuch",
    "pid nosuch",
    "start off",
    "start off",
    "stop cat",
    "stop cat",
    "status cat",
    "start cat",
    "restart g:*",
    "start nosuch",
    "start nosuch:*",
    "stop nosuch",
    "start absent",
    "status absent",
    "start fails",
    "status fails",
    "stop fails",
    "signal HUP off",
    "signal NIX cat",
    "signal USR1 nosuch",
    "signal TERM fails",
    "tail talk",
    "tail -3 talk",
    "tail talk stderr",
    "tail nosuch",
    "tail cat stderr",
    "clear talk",
    "tail talk",
    "clear nosuch",
    "avail",
    "reread",
    "update",
    "remove g",
    "stop g:*",
    "remove g",
    "remove g",
    "status",
    "add g",
    "add g",
    "add nosuch",
    "status g:*",
    "version",
    "stop all",
    "stop all",
    "start all",
];

#[test]
fn every_command_of_supervisorctl_prints_the_same() {
    let Some([ours, theirs]) = both() else { return };
    for command in COMMANDS {
        let words: Vec<&str> = command.split(' ').collect();
        // A second after they were added they are RUNNING, and neither daemon is asked at the same time.
        if *command == "status g:*" {
            for server in [&ours, &theirs] {
                wait_until("both of the group run", || server.ctl(&words).0.matches("RUNNING").count() == 2);
            }
        }
        let ((our, our_code), (their, their_code)) = (ours.ctl(&words), theirs.ctl(&words));
        assert_eq!((sorted(&our), our_code), (sorted(&their), their_code), "supervisorctl {command}");
    }
}

#[test]
fn an_update_adds_changes_and_removes_groups() {
    let Some(servers) = both() else { return };
    let new = PROGRAMS.replace("[program:off]", "[program:new]").replace("echo hello", "echo changed");
    let commands = [&["reread"][..], &["avail"], &["update"], &["status"], &["tail", "talk"], &["update"]];
    let said: Vec<Vec<_>> = servers
        .iter()
        .map(|server| {
            configure(server.place.path(), &new);
            let run = |words: &&[&str]| {
                let said = server.ctl(words);
                if *words == ["update"] {
                    wait_until("talk runs", || server.ctl(&["status", "talk"]).0.contains("RUNNING"));
                }
                said
            };
            commands.iter().map(run).collect()
        })
        .collect();
    assert_eq!(said[0], said[1]);
    assert_eq!(said[0][0].0, "new: available\noff: disappeared\ntalk: changed\n");
    for server in &servers {
        configure(server.place.path(), "[program:x]\n");
        let (text, code) = server.ctl(&["reread"]);
        assert!(text.starts_with("ERROR: CANT_REREAD: "), "{text}");
        assert_eq!(code, Some(1));
        assert!(server.ctl(&["status", "cat"]).0.contains("RUNNING"), "the programs run on");
    }
}

#[test]
fn a_shutdown_ends_the_daemon() {
    let Some(servers) = both() else { return };
    for mut server in servers {
        assert_eq!(server.ctl(&["shutdown"]), ("Shut down\n".to_owned(), Some(0)));
        assert_eq!(server.child.wait().expect("it is a child of this process").code(), Some(0));
    }
}

#[test]
fn a_reload_starts_all_programs_again() {
    let server = Server::ours();
    if !Path::new(ORIGINAL).exists() {
        return skip("the original supervisord is not installed");
    }
    assert_eq!(server.ctl(&["stop", "cat"]).1, Some(0));
    configure(server.place.path(), &PROGRAMS.replace("[program:off]", "[program:new]"));
    assert_eq!(server.ctl(&["reload"]), ("Restarted supervisord\n".to_owned(), Some(0)));
    for name in ["cat", "talk", "g:x"] {
        wait_until(name, || server.ctl(&["status", name]).0.contains("RUNNING"));
    }
    assert!(server.ctl(&["status", "new"]).0.contains("STOPPED"));
}

/// Each line is an expression; it prints its value, or its fault.
const CALLS: &str = include_str!("supervisord_rpc.py");

#[test]
fn every_method_answers_python_s_client_the_same() {
    let Some([ours, theirs]) = both() else { return };
    let (our, their) = (ours.python(CALLS), theirs.python(CALLS));
    for (our, their) in our.lines().zip(their.lines()) {
        assert_eq!(our, their);
    }
    assert_eq!(our.lines().count(), their.lines().count(), "{our}\n{their}");
}

#[test]
fn the_configuration_is_listed_as_by_the_original() {
    let Some([ours, theirs]) = both() else { return };
    let script = "for p in s.supervisor.getAllConfigInfo():\n    p.pop('killasgroup')\n    print(sorted(p.items()))\n";
    assert_eq!(ours.python(script), theirs.python(script));
}

#[test]
fn requests_that_are_no_calls_have_the_original_s_status() {
    let Some(servers) = both() else { return };
    let body = "<methodCall><methodName>supervisor.getVersion</methodName></methodCall>";
    let long = "x".repeat(body.len());
    let with = |line: &str, body: &str| format!("{line} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let requests = [
        (with("POST /RPC2", body), "200"),
        (with("POST /RPC2/x?y", body), "200"),
        (with("GET /RPC2", ""), "400"),
        (with("POST /RPC2", &long), "400"),
        (with("POST /RPC2", "<a><methodName></methodName></a>"), "400"),
        ("POST /RPC2 HTTP/1.0\r\n\r\n".to_owned(), "411"),
    ];
    for server in &servers {
        for (request, status) in &requests {
            let answer = server.raw(request);
            assert_eq!(answer.split(' ').nth(1), Some(*status), "{request:?}: {answer:?}");
        }
    }
    let [ours, theirs] = servers.each_ref().map(|server| {
        let answer = server.raw(&requests[0].0);
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    });
    assert_eq!(ours, theirs);
}

#[test]
fn a_request_that_is_too_large_or_too_deep_is_refused() {
    let server = Server::ours();
    let with = |body: &str| format!("POST /RPC2 HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let status = |request: &str| server.raw(request).split(' ').nth(1).map(str::to_owned);
    let deep = format!("<a><methodName>m</methodName><params>{}", "<value>".repeat(100_000));
    assert_eq!(status(&with(&deep).replace("HTTP/1.1", "HTTP/1.0")).as_deref(), Some("400"));
    let entities = "<!DOCTYPE a [<!ENTITY a \"aaaa\">]><a><methodName>&a;</methodName></a>";
    assert_eq!(status(&with(entities).replace("HTTP/1.1", "HTTP/1.0")).as_deref(), Some("400"));
    let mut stream = UnixStream::connect(server.socket()).expect("it listens");
    let head = "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 17825792\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("it answers before the body is sent");
    assert_eq!(&answer, b"HTTP/1.1 413");
}

/// A connection that follows a log, and the text so far.
fn follow(server: &Server, path: &str) -> (UnixStream, String) {
    let mut stream = UnixStream::connect(server.socket()).expect("it listens");
    // As supervisorctl writes it: an empty host, and an empty line too many.
    let request = format!("GET {path} HTTP/1.1\r\nHost: \r\nAccept-Encoding: chunked\r\nAccept: */*\r\n\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        text.push(char::from(byte[0]));
    }
    (stream, text)
}

#[test]
fn a_log_is_followed_from_its_end() {
    let server = Server::ours();
    for (path, status) in [
        ("/logtail/talk", "200 OK"),
        ("/logtail/cat/stdout", "200 OK"),
        ("/logtail/g:x/stderr", "200 OK"),
        ("/mainlogtail", "200 OK"),
        ("/logtail/cat/stderr", "404 Not Found"),
        ("/logtail/cat/other", "404 Not Found"),
        ("/logtail/nosuch", "404 Not Found"),
        ("/logtail", "404 Not Found"),
    ] {
        let (_, head) = follow(&server, path);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{path}: {head}");
    }
    let (mut stream, head) = follow(&server, "/logtail/cat");
    assert!(head.to_lowercase().contains("transfer-encoding: chunked\r\n"), "{head}");
    let script = "s.supervisor.sendProcessStdin('cat', 'gr\u{fc}\u{df}e\\n')\n";
    assert_eq!(server.python(script), "");
    let mut text = Vec::new();
    let mut some = [0; 256];
    while !String::from_utf8_lossy(&text).contains("gr\u{fc}\u{df}e\n") {
        let count = stream.read(&mut some).expect("it goes on");
        assert_ne!(count, 0, "the connection stays open: {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&some[..count]);
    }
    let (mut stream, _) = follow(&server, "/logtail/talk");
    let mut first = [0; 64];
    let count = stream.read(&mut first).expect("it has a beginning");
    assert!(String::from_utf8_lossy(&first[..count]).contains("hello\nw\u{f6}rld\n"));
}

/// What an attacker's documents cost: none may stay in memory, and the daemon goes on answering.
#[test]
fn hostile_documents_are_refused_within_bounded_memory() {
    let server = Server::ours();
    let memory = || -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).expect("it runs");
        let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has memory");
        field.trim().trim_end_matches(" kB").parse().expect("it is in kB")
    };
    let call = |body: &str| format!("<methodCall><methodName>{body}</methodName></methodCall>");
    let mut laughs = "<!DOCTYPE lolz [<!ENTITY lol0 \"lol\">".to_owned();
    for level in 1..10 {
        laughs += &format!("<!ENTITY lol{level} \"{}\">", format!("&lol{};", level - 1).repeat(10));
    }
    laughs += "]><methodCall><methodName>&lol9;</methodName></methodCall>";
    let params = |value: &str| {
        format!(
            "<methodCall><methodName>supervisor.startProcess</methodName><params><param><value>{value}</value></param></params></methodCall>"
        )
    };
    let attacks = [
        (laughs, "400", ""),
        (call(&"<a>".repeat(300_000)), "400", ""),
        (params(&"<array><data><value>".repeat(200)), "400", ""),
        (params(&"<array><data></data></array>".repeat(30_000)), "400", ""),
        (params("<struct><member><name>a</name><value><int>1</int></value></member></struct>"), "200", "faultCode"),
        (params("<int>99999999999999999999999</int>"), "200", "faultCode"),
        (params("<base64>!!!!</base64>"), "200", "faultCode"),
        (params(&format!("<string>{}</string>", "x".repeat(900_000))), "200", "BAD_NAME"),
        (call("supervisor.nosuch"), "200", "UNKNOWN_METHOD"),
        (call("supervisor._private"), "200", "UNKNOWN_METHOD"),
        (call(&"x".repeat(900_000)), "200", "UNKNOWN_METHOD"),
        ("\0".repeat(900_000), "400", ""),
        (String::new(), "400", ""),
    ];
    let before = memory();
    for round in 0..20 {
        for (body, status, part) in &attacks {
            let answer = server.raw(&format!("POST /RPC2 HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
            let begin = &body[..body.len().min(120)];
            assert_eq!(
                answer.split(' ').nth(1),
                Some(*status),
                "{round} {begin:?}: {}",
                &answer[..answer.len().min(300)]
            );
            assert!(answer.contains(part), "{begin:?}: {}", &answer[..answer.len().min(600)]);
        }
    }
    let grown = memory().saturating_sub(before);
    eprintln!("{} hostile documents: {grown} kB more at the peak", 20 * attacks.len());
    assert!(grown < 32 * 1024, "{grown} kB");
    assert!(server.raw("POST /RPC2 HTTP/1.0\r\nContent-Length: 73\r\n\r\n<methodCall><methodName>supervisor.getState</methodName></methodCall>    ").contains("RUNNING"));
}
