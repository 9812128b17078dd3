//! A daemon that is made to do one thing a number of times, one at a time: before the next the daemon has come to rest, so
//! that each costs the same.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use super::equal;
use super::scene::{Fifo, Running, Scene, is_whole, signal, threads};

/// How long no thread of the daemon may run until it counts as resting.
const QUIET: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a program's output goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Captured,
    Inherited,
}

impl Output {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Output::Captured => "captured",
            Output::Inherited => "inherited",
        }
    }

    fn keys(self) -> &'static str {
        match self {
            Output::Captured => "",
            Output::Inherited => "logs = { stdout = \"inherit\", stderr = \"inherit\" }\n",
        }
    }
}

/// One operation of a daemon.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// A program is killed and starts again.
    Restart(Output),
    /// A client stops a program and starts it again.
    StopAndStart,
    /// A client on a kept connection asks for a program.
    Request,
    /// A client connects, asks for a program and disconnects.
    Connection,
    /// A program writes a line, which is captured.
    Line,
}

impl Act {
    pub(crate) const ALL: [Act; 6] = [
        Act::Restart(Output::Captured),
        Act::Restart(Output::Inherited),
        Act::StopAndStart,
        Act::Request,
        Act::Connection,
        Act::Line,
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Act::Restart(output) => format!("restart, output {}", output.name()),
            Act::StopAndStart => self.steps().join(" and "),
            Act::Request => "request".to_owned(),
            Act::Connection => "connection with a request".to_owned(),
            Act::Line => "line of output".to_owned(),
        }
    }

    /// The parts that are counted on their own.
    pub(crate) fn steps(self) -> Vec<String> {
        match self {
            Act::StopAndStart => ["stop by request", "start by request"].map(str::to_owned).to_vec(),
            _ => vec![self.name()],
        }
    }

    pub(crate) fn output(self) -> Output {
        if let Act::Restart(output) = self { output } else { Output::Captured }
    }
}

/// The time of an operation, at rest before and after, and what it cost.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) wake_ups: u64,
}

/// The tool that a daemon runs under.
#[derive(Clone)]
pub(crate) enum Under {
    Nothing,
    /// strace, which writes to this file.
    Strace(PathBuf),
    /// callgrind, which writes to this file. The executable may be another one.
    Callgrind {
        file: PathBuf,
        musterd: PathBuf,
    },
}

pub(crate) struct Daemon<'a> {
    scene: &'a Scene,
    under: Under,
    running: Running,
    /// On which its programs report.
    fifo: Fifo,
    /// Input of the program that copies it to its output.
    lines: File,
    connection: Option<UnixStream>,
    /// The program that ran last.
    program: i64,
}

impl<'a> Daemon<'a> {
    /// Starts it, with `count` programs, and returns when it rests.
    pub(crate) fn start(scene: &'a Scene, under: Under, count: usize, output: Output) -> Daemon<'a> {
        let fifo = scene.fifo();
        let lines = scene.directory.path().join("lines");
        let _ = std::fs::remove_file(&lines);
        nix::unistd::mkfifo(&lines, nix::sys::stat::Mode::S_IRWXU).expect("the test directory is writable");
        let path = fifo.path.display().to_string();
        let sleeper = scene.sleeper.display().to_string();
        // One of them copies lines instead, and does not report.
        let mut defaults = format!(
            "startsecs = 0\nrestart = \"always\"\nstartretries = \"unlimited\"\nbackoff = {{ delay = 0 }}\n{}",
            output.keys()
        );
        if matches!(under, Under::Callgrind { .. }) {
            // Its processes are made with a copy of the daemon's memory: see `callgrind.rs`.
            defaults.push_str("oom_score_adj = 0\n");
        }
        let configuration = scene.configuration(count, &[&sleeper, &path], &defaults);
        let mut text = std::fs::read_to_string(&configuration).expect("it was just written");
        if matches!(under, Under::Callgrind { .. }) {
            text = one_after_the_other(&text, count);
        }
        text.push_str(&format!("[program.lines]\ncommand = [\"cat\", {lines:?}]\n"));
        std::fs::write(&configuration, text).expect("the test directory is writable");

        let mut command = under.command(scene);
        command.arg("-c").arg(&configuration);
        equal::command(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let running = Running(command.spawn().expect("it can be executed"));
        // Open at both ends, so that neither waits for the other.
        let lines = OpenOptions::new().read(true).write(true).open(&lines).expect("it was just created");
        let mut daemon = Daemon { scene, under, running, fifo, lines, connection: None, program: 0 };
        for _ in 0..count {
            daemon.program = daemon.fifo.next().0;
        }
        daemon.settle();
        daemon
    }

    pub(crate) fn pid(&self) -> i64 {
        i64::from(self.running.0.id())
    }

    /// Does this `times` times. Returns a span for each step.
    pub(crate) fn perform(&mut self, act: Act, times: usize) -> Vec<Span> {
        let mut spans = Vec::new();
        for step in (0..times).flat_map(|_| 0..act.steps().len()) {
            let (from, before) = (now(), self.switches());
            self.do_step(act, step);
            self.settle();
            spans.push(Span { from, to: now(), wake_ups: self.switches().saturating_sub(before) });
        }
        spans
    }

    fn do_step(&mut self, act: Act, step: usize) {
        match (act, step) {
            (Act::Restart(_), _) => {
                signal(self.program, libc::SIGKILL);
                self.program = self.fifo.next().0;
            }
            (Act::StopAndStart, 0) => self.ask("POST /v1/programs/p0000/stop?wait=30"),
            (Act::StopAndStart, _) => {
                self.ask("POST /v1/programs/p0000/start?wait=30");
                self.program = self.fifo.next().0;
            }
            (Act::Request, _) => self.ask("GET /v1/programs/p0000"),
            (Act::Connection, _) => {
                self.connection = None;
                self.ask("GET /v1/programs/p0000");
                self.connection = None;
            }
            (Act::Line, _) => {
                let line = [b"0123456789 ".repeat(7).as_slice(), b"\n"].concat();
                let before = self.switches();
                self.lines.write_all(&line).expect("it is open at both ends");
                // The program copies it whenever it gets a turn.
                while self.switches() == before {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    /// A request on the kept connection.
    pub(crate) fn ask(&mut self, request: &str) {
        let socket = self.scene.socket();
        let connection =
            self.connection.get_or_insert_with(|| UnixStream::connect(socket).expect("the daemon listens"));
        write!(connection, "{request} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").expect("the daemon reads");
        let answer = read_answer(connection);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{request}: {answer}");
    }

    /// Waits until every thread rests and has for a while. The daemon does not notice.
    pub(crate) fn settle(&self) {
        let patience = Instant::now() + PATIENCE;
        let (mut before, mut since) = (None, Instant::now());
        while since.elapsed() < QUIET || before.is_none() {
            assert!(Instant::now() < patience, "the daemon does not come to rest");
            let (is_resting, switches) = threads(self.pid());
            let now = is_resting.then_some(switches);
            if now.is_none() || now != before {
                (before, since) = (now, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How often its threads have waited.
    pub(crate) fn switches(&self) -> u64 {
        threads(self.pid()).1
    }

    /// Stops it with its programs.
    pub(crate) fn stop(mut self) {
        self.connection = None;
        signal(self.pid(), libc::SIGTERM);
        let status = self.running.0.wait().expect("it is a child of this process");
        assert!(status.success(), "musterd: {status}");
        // strace is not its parent, and goes on for a moment.
        let Under::Strace(file) = &self.under else { return };
        let patience = Instant::now() + PATIENCE;
        let end = format!("{} ", self.running.0.id());
        let has_ended = |text: String| text.lines().any(|line| line.starts_with(&end) && line.contains("+++ exited"));
        while !has_ended(std::fs::read_to_string(file).unwrap_or_default()) {
            assert!(Instant::now() < patience, "strace does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Each program depends on the one before: they start and stop one at a time. The cost of many at once depends on how many of
/// their exits the daemon sees together.
fn one_after_the_other(text: &str, count: usize) -> String {
    (1..count).fold(text.to_owned(), |text, number| {
        let before = format!("depends_on = [\"p{:04}\"]\n", number - 1);
        let table = format!("[program.p{number:04}]\n");
        text.replacen(&table, &format!("{table}{before}"), 1)
    })
}

impl Under {
    fn command(&self, scene: &Scene) -> Command {
        match self {
            Under::Nothing => Command::new(&scene.musterd),
            Under::Strace(file) => {
                let _ = std::fs::remove_file(file);
                let mut command = Command::new("strace");
                // -D: the daemon is the child of this process, and strace its grandchild.
                command.args(["-D", "-f", "-q", "-ttt", "-a1", "-s4096", "-e", "signal=none", "-o"]);
                command.arg(file).arg(&scene.musterd);
                command
            }
            Under::Callgrind { file, musterd } => {
                let mut command = super::callgrind::command(file);
                command.arg(musterd);
                command
            }
        }
    }
}

fn read_answer(connection: &mut UnixStream) -> String {
    let (mut answer, mut buffer) = (Vec::new(), [0; 65_536]);
    while !is_whole(&answer) {
        let count = connection.read(&mut buffer).expect("the daemon answers");
        assert!(count > 0, "the daemon closed the connection: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Seconds of the clock that strace reads.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_secs_f64()
}

/// The timerfds of a process that will expire.
pub(crate) fn armed_timerfds(pid: i64) -> usize {
    let is_armed = |text: &str| text.lines().any(|line| line.starts_with("it_value: ") && line != "it_value: (0, 0)");
    let entries = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("the process is running");
    let texts = entries.flatten().filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    texts.filter(|text| is_armed(text)).count()
}
