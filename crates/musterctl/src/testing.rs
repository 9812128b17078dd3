//! For tests: a daemon with scripted responses, and command lines run against it in this process.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use muster_api::{
    ActionReport, ActionResult, ExitInfo, Goal, Info, Outcome, Phase, Problem, Program, State, Timestamp,
};
use serde::Serialize;
use tempfile::TempDir;

use crate::reach::Variables;
use crate::session::{Surroundings, execute};

/// Long enough for any machine, short enough for a test that waits for it to expire.
const PATIENCE: Duration = Duration::from_secs(20);

/// The result of a command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) code: u8,
    /// The output.
    pub(crate) out: String,
    /// The error output.
    pub(crate) err: String,
}

/// How a command line is run.
pub(crate) struct Setting {
    /// Whether both outputs are terminals.
    pub(crate) terminal: bool,
    /// Whether colours are disabled.
    pub(crate) colourless: bool,
    /// `$MUSTER_SOCKET`.
    pub(crate) socket: Option<OsString>,
    /// The other variables.
    pub(crate) variables: Variables,
    /// How long a daemon may take to respond.
    pub(crate) patience: Duration,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting {
            terminal: false,
            colourless: false,
            socket: None,
            variables: Variables::default(),
            patience: PATIENCE,
        }
    }
}

impl Setting {
    /// Runs these arguments, split at blanks.
    pub(crate) fn run(self, line: &str) -> Ended {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = execute(
            std::iter::once("musterctl").chain(line.split_whitespace()).map(OsString::from),
            &mut Surroundings {
                out: &mut out,
                out_is_terminal: self.terminal,
                err: &mut err,
                err_is_terminal: self.terminal,
                colourless: self.colourless,
                can_ask: false,
                variables: Variables { socket: self.socket, ..self.variables },
                patience: self.patience,
            },
        );
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: exit.code(), out: text(out), err: text(err) }
    }
}

/// One request as received by the daemon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `GET /v1/info`.
    pub(crate) line: String,
    /// The body.
    pub(crate) body: String,
}

/// A daemon that sends one of its responses to each connection, in order.
pub(crate) struct Daemon {
    directory: TempDir,
    thread: Option<JoinHandle<Vec<Asked>>>,
}

impl Daemon {
    /// A daemon with these responses, each the bytes of a whole HTTP response.
    pub(crate) fn answering(answers: impl IntoIterator<Item = String>) -> Daemon {
        let answers: Vec<String> = answers.into_iter().collect();
        Daemon::behaving(answers.into_iter().map(|answer| {
            move |mut stream: UnixStream| {
                // A client that does not need the response may have disconnected.
                let _ = stream.write_all(answer.as_bytes());
            }
        }))
    }

    /// A daemon that runs one of these for each connection once it has read the request.
    pub(crate) fn behaving<F: FnOnce(UnixStream) + Send + 'static>(doings: impl IntoIterator<Item = F>) -> Daemon {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        let doings: Vec<F> = doings.into_iter().collect();
        let serve = move || {
            let serve_one = |doing: F| {
                let (stream, _) = listener.accept().unwrap();
                let asked = read_request(&stream);
                doing(stream);
                asked
            };
            doings.into_iter().map(serve_one).collect()
        };
        Daemon { directory, thread: Some(std::thread::spawn(serve)) }
    }

    /// The path of its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    /// Runs these arguments against it.
    pub(crate) fn run(&self, line: &str) -> Ended {
        self.run_in(Setting::default(), line)
    }

    /// Runs these arguments against it in this setting.
    pub(crate) fn run_in(&self, setting: Setting, line: &str) -> Ended {
        Setting { socket: Some(self.socket().into()), ..setting }.run(line)
    }

    /// The requests it received, once all its responses are sent.
    pub(crate) fn asked(mut self) -> Vec<Asked> {
        self.thread.take().expect("only this takes it, once").join().unwrap()
    }

    /// The request lines it received, once all its responses are sent.
    pub(crate) fn asked_lines(self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

fn read_request(stream: &UnixStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let length =
        lines.iter().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |it| it.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let line = lines[0].strip_suffix(" HTTP/1.1").unwrap().to_owned();
    Asked { line, body: String::from_utf8(body).unwrap() }
}

/// A whole HTTP response with this status and JSON body.
pub(crate) fn answer(status: u16, body: &impl Serialize) -> String {
    let body = serde_json::to_string(body).unwrap();
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A whole HTTP response with this problem.
pub(crate) fn problem(problem: &Problem) -> String {
    answer(problem.status, problem)
}

/// A report of these names, outcomes, states and errors, as a response with this status.
pub(crate) fn report(status: u16, results: &[(&str, Outcome, State, Option<&str>)]) -> String {
    answer(status, &ActionReport { results: self::results(results) })
}

/// Results with these names, outcomes, states and errors.
pub(crate) fn results(results: &[(&str, Outcome, State, Option<&str>)]) -> Vec<ActionResult> {
    let result = |&(name, outcome, state, error): &(&str, Outcome, State, Option<&str>)| ActionResult {
        name: name.to_owned(),
        outcome,
        state,
        pid: None,
        error: error.map(str::to_owned),
        note: None,
    };
    results.iter().map(result).collect()
}

/// A program that has been running with pid 12 for five seconds.
pub(crate) fn program(name: &str) -> Program {
    Program {
        name: name.to_owned(),
        program: name.to_owned(),
        group: name.to_owned(),
        goal: Goal::Up,
        state: State::Running,
        code: State::Running.code(),
        ready: None,
        health: None,
        status: None,
        pid: Some(12),
        run: Some(1),
        started_at: Some(Timestamp::from_unix_ms(0)),
        uptime: Some(5.0),
        failures: 0,
        startretries: Some(10),
        next_start_at: None,
        exit: None,
        waiting_for: Vec::new(),
        waits_in_vain: false,
        awaits_client: false,
        autostart: true,
        priority: 999,
        description: "pid 12, uptime 0:00:05".to_owned(),
        phase: None,
        rolling: None,
        old_process: false,
        next_due: None,
        stopped_by: None,
    }
}

/// A program that is not running, in this state and with this description.
pub(crate) fn down(name: &str, state: State, description: &str) -> Program {
    let ended = state == State::Exited;
    let exit = ended.then(|| ExitInfo { code: Some(0), signal: None, success: true, reason: "exit status 0".into() });
    Program {
        state,
        code: state.code(),
        pid: None,
        uptime: None,
        started_at: None,
        exit,
        description: description.to_owned(),
        ..program(name)
    }
}

/// The daemon's description of itself.
pub(crate) fn info() -> Info {
    Info {
        version: "1.2.3".to_owned(),
        api: muster_api::API_VERSION.to_owned(),
        pid: 1,
        is_pid1: true,
        state: Phase::Running,
        started_at: Timestamp::from_unix_ms(0),
        uptime: 5.0,
        config_files: vec!["/etc/muster.toml".to_owned()],
        listeners: Vec::new(),
        goals: muster_api::Goals { up: 1, down: 0 },
    }
}
