//! Lines sent to syslog: what receivers get, and receivers that are missing, disappear, or do not read.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::harness::{self, Daemon, Setting};
use super::script;

/// Messages that arrived, in order.
#[derive(Clone, Default)]
pub(super) struct Inbox(Arc<Mutex<Vec<String>>>);

impl Inbox {
    fn put(&self, message: &[u8]) {
        self.0
            .lock()
            .expect("no thread panics while holding the lock")
            .push(String::from_utf8_lossy(message).into_owned());
    }

    pub(super) fn messages(&self) -> Vec<Message> {
        self.0
            .lock()
            .expect("no thread panics while holding the lock")
            .iter()
            .map(|text| Message::parse(text))
            .collect()
    }

    fn wait_for(&self, count: usize) -> Vec<Message> {
        harness::wait_for(&format!("{count} messages"), || Some(self.messages()).filter(|all| all.len() >= count))
    }
}

/// A message of RFC 5424.
#[derive(Clone, Debug)]
pub(super) struct Message {
    priority: u8,
    time: String,
    host: String,
    name: String,
    pid: String,
    id: String,
    pub(super) text: String,
    length: usize,
}

impl Message {
    fn parse(message: &str) -> Message {
        let (priority, rest) = message.strip_prefix('<').and_then(|rest| rest.split_once(">1 ")).expect("a header");
        let fields: Vec<&str> = rest.splitn(7, ' ').collect();
        let [time, host, name, pid, id, "-", text] = fields[..] else { panic!("no message of RFC 5424: {message:?}") };
        let priority = priority.parse().expect("a number");
        let [time, host, name, pid, id, text] = [time, host, name, pid, id, text].map(str::to_owned);
        Message { priority, time, host, name, pid, id, text, length: message.len() }
    }
}

/// The four kinds of receivers, which read everything for as long as the test runs.
fn receivers(directory: &Path) -> [(&'static str, String, Inbox); 4] {
    let (datagrams, stream) = (directory.join("datagrams"), directory.join("stream"));
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = |address: std::io::Result<std::net::SocketAddr>| address.expect("it is bound").port();
    let addresses = [
        format!("unix://{}", datagrams.display()),
        format!("unix://{}", stream.display()),
        format!("udp://127.0.0.1:{}", port(udp.local_addr())),
        format!("tcp://localhost:{}", port(tcp.local_addr())),
    ];
    let unix = UnixListener::bind(stream).expect("the test directory is writable");
    let inboxes = [
        take_local(&datagrams),
        take_streams(move || unix.accept().map(|(stream, _)| stream)),
        take_datagrams(move |buffer| udp.recv(buffer)),
        take_streams(move || tcp.accept().map(|(stream, _)| stream)),
    ];
    let [unix, unix_stream, udp, tcp] = addresses;
    let [first, second, third, fourth] = inboxes;
    [("unix", unix, first), ("stream", unix_stream, second), ("udp", udp, third), ("tcp", tcp, fourth)]
}

/// A Unix socket of datagrams.
pub(super) fn take_local(path: &Path) -> Inbox {
    let socket = UnixDatagram::bind(path).expect("the test directory is writable");
    take_datagrams(move |buffer| socket.recv(buffer))
}

fn take_datagrams(receive: impl Fn(&mut [u8]) -> std::io::Result<usize> + Send + 'static) -> Inbox {
    let inbox = Inbox::default();
    let taker = inbox.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        while let Ok(length) = receive(&mut buffer) {
            taker.put(&buffer[..length]);
        }
    });
    inbox
}

fn take_streams<S: Read>(accept: impl Fn() -> std::io::Result<S> + Send + 'static) -> Inbox {
    let inbox = Inbox::default();
    let taker = inbox.clone();
    std::thread::spawn(move || {
        while let Ok(stream) = accept() {
            let mut stream = BufReader::new(stream);
            while let Some(message) = read_counted(&mut stream) {
                taker.put(&message);
            }
        }
    });
    inbox
}

/// Octet counting: a message with its length in front (RFC 6587, section 3.4.1).
fn read_counted(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = Vec::new();
    stream.read_until(b' ', &mut length).ok()?;
    let length = std::str::from_utf8(length.strip_suffix(b" ")?).ok()?.parse().expect("a length");
    let mut message = vec![0; length];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

fn to(address: &str) -> String {
    format!("exit_when_done = false\nsyslog = \"{address}\"")
}

/// A directory for the sockets of a test.
pub(super) fn place() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory can be created")
}

pub(super) fn unix_address(path: &Path) -> String {
    to(&format!("unix://{}", path.display()))
}

#[test]
fn every_receiver_gets_every_line_with_all_that_is_known_of_it() {
    let directory = place();
    for (kind, address, inbox) in receivers(directory.path()) {
        let both = "echo $$$$; echo \" two  words \"; echo; printf last; sleep 0.05; echo oops >&2";
        let program = script("web", both, "stdout = \"syslog\", stderr = \"syslog\"");
        let mut daemon = Setting::supervising(program).musterd(&to(&address)).start();
        let messages = inbox.wait_for(5);
        let texts = |priority, id: &str| -> Vec<String> {
            let of = |message: &&Message| message.priority == priority && message.id == id;
            messages.iter().filter(of).map(|message| message.text.clone()).collect()
        };
        let pid = messages[0].pid.clone();
        assert_eq!(texts(30, "stdout"), [pid.as_str(), " two  words ", "", "last"], "{kind}: daemon.info");
        assert_eq!(texts(27, "stderr"), ["oops"], "{kind}: daemon.err");
        let host = nix::unistd::gethostname().expect("it has a name").to_string_lossy().into_owned();
        for message in &messages {
            let Message { time, host: from, name, .. } = message;
            assert_eq!((from, name.as_str(), &message.pid), (&host, "web", &pid), "{kind}: {message:?}");
            assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{kind}: {time}");
        }
        daemon.finish();
        assert!(daemon.output().is_empty(), "{kind}: nothing goes to the console");
    }
}

#[test]
fn lines_go_to_several_places_at_once_and_instances_have_their_names() {
    let directory = place();
    let path = directory.path().join("log");
    let inbox = take_local(&path);
    let program = "[program.web]\ntype = \"oneshot\"\nnumprocs = 2\ncommand = [\"sh\", \"-c\", \"echo I am {name}\"]\n\
                   logs = { stdout = [\"console\", \"syslog\", \"{here}/{instance}.log\"] }\n";
    let musterd = unix_address(&path) + "\nsyslog_facility = \"local0\"";
    let mut daemon = Setting::supervising(program).musterd(&musterd).start();
    let mut messages: Vec<_> =
        inbox.wait_for(2).into_iter().map(|message| (message.priority, message.name, message.text)).collect();
    messages.sort();
    let expected = |name: &str| (134, name.to_owned(), format!("I am {name}"));
    assert_eq!(messages, [expected("web:0"), expected("web:1")]);
    daemon.finish();
    let output = String::from_utf8(daemon.output()).expect("it is text");
    for number in 0..2 {
        let line = format!("I am web:{number}\n");
        assert_eq!(fs::read_to_string(daemon.path(&format!("{number}.log"))).expect("it exists"), line);
        assert!(output.contains(&format!("web:{number} | {line}")), "{output}");
    }
}

#[test]
fn the_local_format_is_that_of_syslog_3() {
    let directory = place();
    let path = directory.path().join("log");
    let socket = UnixDatagram::bind(&path).expect("the test directory is writable");
    let program = script("web", "echo $$$$", "stdout = \"syslog\"");
    let musterd = unix_address(&path) + "\nsyslog_format = \"local\"";
    let _daemon = Setting::supervising(program).musterd(&musterd).start();
    let mut buffer = [0; 100];
    socket.set_read_timeout(Some(harness::PATIENCE)).expect("it is not zero");
    let length = socket.recv(&mut buffer).expect("it comes");
    let message = String::from_utf8_lossy(&buffer[..length]);
    let pid = message.rsplit(' ').next().expect("there is always one");
    assert_eq!(message, format!("<30>web[{pid}]: {pid}"));
}

#[test]
fn a_long_line_comes_in_marked_parts_that_the_receiver_can_take() {
    let directory = place();
    for (kind, address, inbox) in receivers(directory.path()) {
        let program = script("web", "head -c 20000 /dev/zero | tr '\\0' x; echo; echo short", "stdout = \"syslog\"");
        let _daemon = Setting::supervising(program).musterd(&to(&address)).start();
        harness::wait_until("the end is there", || inbox.messages().iter().any(|message| message.text == "short"));
        let mut messages = inbox.messages();
        assert!(messages.pop().is_some_and(|last| last.id == "stdout"), "{kind}: the next line is a new one");
        let longest = if kind == "udp" { 2048 } else { 8000 };
        assert!(messages.iter().all(|message| message.length <= longest), "{kind}");
        assert!(
            messages.iter().map(|message| message.text.as_str()).collect::<String>() == "x".repeat(20_000),
            "{kind}"
        );
        let marked = messages.iter().map(|message| message.id == "stdout+").collect::<Vec<_>>();
        assert!(!marked[0] && marked[1..].iter().all(|&is_marked| is_marked) && marked.len() > 2, "{kind}: {marked:?}");
    }
}

#[test]
fn lines_wait_for_a_receiver_that_comes_later() {
    let directory = place();
    let path = directory.path().join("log");
    let program = script("web", "echo early", "stdout = \"syslog\"");
    let mut daemon = Setting::supervising(program).musterd(&unix_address(&path)).start();
    daemon.wait_for_state("web", "EXITED");
    let told = daemon.log.wait_for("it is logged", |line| line.message.starts_with("cannot reach the syslog receiver"));
    assert_eq!((told.level.as_str(), told.field("syslog")), ("WARN", Some(format!("unix://{}", path.display()))));
    let inbox = take_local(&path);
    assert_eq!(inbox.wait_for(1)[0].text, "early");
    let over = daemon.log.wait_for("it is over", |line| line.message == "the syslog receiver takes lines again");
    assert_eq!(over.field("lost_lines").as_deref(), Some("0"));
    daemon.finish();
}

/// A program that writes numbered lines for as long as it runs.
const COUNTING: &str = "[program.web]\nstartsecs = 0\nlogs = { stdout = [\"syslog\", \"{here}/web.log\"] }\n\
                        command = [\"sh\", \"-c\", \"i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done\"]\n";

fn numbers(messages: &[Message]) -> Vec<usize> {
    messages.iter().filter_map(|message| message.text.parse().ok()).collect()
}

#[test]
fn a_restarted_receiver_is_found_again() {
    let directory = place();
    let path = directory.path().join("log");
    let bind = || {
        // The previous receiver left its socket file behind.
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("the test directory is writable");
        socket.set_read_timeout(Some(harness::PATIENCE)).expect("it is not zero");
        socket
    };
    let take = |socket: &UnixDatagram| {
        let mut buffer = [0; 200];
        let length = socket.recv(&mut buffer).expect("it comes");
        Message::parse(&String::from_utf8_lossy(&buffer[..length])).text.parse::<usize>().expect("a number")
    };
    let first = bind();
    let mut daemon = Setting::supervising(COUNTING).musterd(&unix_address(&path)).start();
    let before = [(); 5].map(|()| take(&first))[4];
    // Messages in its queue are lost with it.
    drop(first);
    let second = bind();
    let after = take(&second);
    assert!(after > before, "{after} came after {before}");
    let next = take(&second);
    assert_eq!(next, after + 1);
    daemon.finish();
}

#[test]
fn a_closed_connection_is_reestablished() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let mut daemon = Setting::supervising(COUNTING).musterd(&to(&address)).start();
    let mut last = None;
    for _ in 0..3 {
        let mut stream = BufReader::new(listener.accept().expect("it connects").0);
        for _ in 0..5 {
            let message = read_counted(&mut stream).expect("it comes");
            let number = Message::parse(&String::from_utf8_lossy(&message)).text.parse::<usize>().expect("a number");
            assert!(last.is_none_or(|last| number > last), "{number} after {last:?}");
            last = Some(number);
        }
    }
    daemon.finish();
}

/// The value of a metric of `web`.
fn metric(daemon: &Daemon, name: &str) -> usize {
    let metrics = daemon.client.request("GET", "/metrics", "").body;
    let of_web = |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains("\"web\"");
    let line = metrics.lines().find(of_web).unwrap_or_else(|| panic!("no {name} in\n{metrics}")).to_owned();
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn a_stalled_receiver_blocks_no_program_and_every_lost_line_is_counted() {
    const LINES: usize = 100_000;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let spam =
        format!("i=0; while [ $i -lt {LINES} ]; do echo $i 0123456789012345678901234567890123456789; i=$((i+1)); done");
    let program = script("web", &spam, "stdout = [\"syslog\", \"{here}/web.log\"]")
        + "[program.other]\ncommand = \"sleep 1000\"\nstartsecs = 0\n";
    let mut daemon = Setting::supervising(program).musterd(&to(&address)).start();
    let stream = listener.accept().expect("it connects").0;
    let idle = daemon.memory("RssAnon");
    daemon.wait_for_state("web", "EXITED");
    let began = Instant::now();
    assert_eq!(daemon.client.request("POST", "/v1/programs/other/restart", "").status / 100, 2);
    assert!(began.elapsed() < Duration::from_secs(5), "a restart took {:?}", began.elapsed());
    let lines = fs::read_to_string(daemon.path("web.log")).expect("it exists").lines().count();
    assert_eq!(lines, LINES, "the file has everything");
    daemon.log.wait_for("it is logged", |line| line.message.starts_with("the syslog receiver does not take all lines"));
    let full = daemon.memory("RssAnon");
    assert!(full < idle + 4 * 1024, "1 MB may wait: {full} kB after {idle} kB");
    // Reading resumes.
    let mut stream = BufReader::new(stream);
    let mut received = Vec::new();
    while received.last() != Some(&(LINES - 1)) {
        let message = read_counted(&mut stream).expect("it comes");
        let message = Message::parse(&String::from_utf8_lossy(&message));
        received.push(message.text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number"));
    }
    assert!(received.is_sorted(), "lines are out of order");
    let over = daemon.log.wait_for("it is over", |line| line.message == "the syslog receiver takes lines again");
    let lost: usize = over.field("lost_lines").and_then(|lines| lines.parse().ok()).expect("a number");
    assert_eq!(received.len() + lost, LINES);
    assert_eq!(metric(&daemon, "muster_program_log_dropped_lines_total"), lost);
    assert_eq!(metric(&daemon, "muster_program_log_lines_total"), LINES);
    daemon.finish();
}

#[test]
fn undelivered_datagrams_are_counted() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("it is bound");
    drop(socket);
    let mut daemon = Setting::supervising(COUNTING).musterd(&to(&format!("udp://{address}"))).start();
    let is_loss = |line: &harness::Line| line.message == "the syslog receiver does not get all lines";
    assert_eq!(daemon.log.wait_for("it is logged", is_loss).level, "WARN");
    let socket = UdpSocket::bind(address).expect("it was free");
    socket.set_read_timeout(Some(harness::PATIENCE)).expect("it is not zero");
    let mut buffer = [0; 200];
    let length = socket.recv(&mut buffer).expect("it comes");
    let first = numbers(&[Message::parse(&String::from_utf8_lossy(&buffer[..length]))])[0];
    daemon.log.wait_for("it is over", |line| line.message == "the syslog receiver takes lines again");
    assert_eq!(metric(&daemon, "muster_program_log_dropped_lines_total"), first, "all before it");
    daemon.finish();
}

#[test]
fn everything_is_sent_before_the_daemon_ends() {
    let directory = place();
    for (kind, address, inbox) in receivers(directory.path()) {
        // Few enough to fit into the buffer of a UDP socket, which drops the rest.
        let goodbye = "trap 'i=0; while [ $i -lt 100 ]; do echo goodbye $i; i=$((i+1)); done; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
        let program = format!(
            "[program.web]\nstartsecs = 0\ncommand = [\"sh\", \"-c\", '''{goodbye}''']\nlogs = {{ stdout = \"syslog\" }}\n"
        );
        let mut daemon = Setting::supervising(program).musterd(&to(&address)).start();
        inbox.wait_for(1);
        daemon.finish();
        let messages = inbox.wait_for(101);
        assert_eq!(messages[100].text, "goodbye 99", "{kind}");
        assert!(!daemon.log.text().contains("lines for syslog were lost"), "{kind}");
    }
}

#[test]
fn a_receiver_that_is_gone_or_does_not_read_does_not_delay_the_end() {
    let directory = place();
    // One that does not exist, one that does not read, one whose name does not resolve.
    let unread = UnixListener::bind(directory.path().join("unread")).expect("the test directory is writable");
    let unix = |name: &str| format!("unix://{}", directory.path().join(name).display());
    for address in [unix("absent"), unix("unread"), "tcp://no-such-host.invalid".to_owned()] {
        let program = "[program.web]\nstartsecs = 0\nlogs = { stdout = \"syslog\" }\n\
                       command = [\"sh\", \"-c\", \"while :; do echo 0123456789012345678901234567890123456789; done\"]\n";
        let mut daemon = Setting::supervising(program).musterd(&to(&address)).start();
        daemon.log.wait_for("it is logged", |line| line.message.contains("the syslog receiver"));
        let took = daemon.finish();
        assert!(took < Duration::from_secs(4), "{address}: it took {took:?}");
        let told = daemon.log.wait_for("the loss is logged", |line| line.message == "lines for syslog were lost");
        assert!(told.field("lost_lines").and_then(|lines| lines.parse::<u64>().ok()).is_some_and(|lines| lines > 0));
    }
    drop(unread);
}

/// The daemon's threads by name, each with its number of context switches.
fn threads(daemon: &Daemon) -> Vec<(String, u64)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("it runs");
    let of = |task: PathBuf| {
        let status = fs::read_to_string(task.join("status")).ok()?;
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
        Some((field("Name:")?, field("voluntary_ctxt_switches:")?.parse().ok()?))
    };
    tasks.flatten().filter_map(|task| of(task.path())).collect()
}

#[test]
fn the_syslog_thread_exists_only_if_used_and_sleeps_without_a_timer() {
    let directory = place();
    let path = directory.path().join("log");
    let inbox = take_local(&path);
    let program = |logs: &str| {
        format!(
            "[program.web]\nstartsecs = 0\nlogs = {{ stdout = {logs:?} }}\ncommand = [\"sh\", \"-c\", \"echo one; exec sleep 1000\"]\n"
        )
    };
    let without = Setting::supervising(program("console")).musterd(&unix_address(&path)).start();
    super::wait_for_output(&without, "it writes", |output| output == b"web | one\n");
    assert!(threads(&without).iter().all(|(name, _)| name != "syslog"));
    let with = Setting::supervising(program("syslog")).musterd(&unix_address(&path)).start();
    inbox.wait_for(1);
    let slept = || threads(&with).into_iter().find(|(name, _)| name == "syslog").expect("it exists").1;
    // It goes to sleep a moment after the message arrived.
    std::thread::sleep(Duration::from_millis(100));
    let before = slept();
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(slept(), before, "it wakes up without work");
}

#[test]
fn another_address_needs_a_restart() {
    let program = script("web", "echo one", "stdout = \"syslog\"");
    let setting = |address: &str| Setting::supervising(program.clone()).musterd(&to(address));
    let mut daemon = setting("udp://127.0.0.1:9").start();
    daemon.rewrite(&setting("udp://127.0.0.1:10"));
    let report = daemon.client.request("POST", "/v1/config/reload", "");
    assert!(report.body.contains("[musterd] syslog"), "{report:?}");
    daemon.finish();
}
