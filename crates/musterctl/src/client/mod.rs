//! Requests to the daemon: a connection, a request, a response, within a deadline.
//!
//! Each request uses its own connection: most command lines make only one, and idle connections need no handling.
//! `target.rs` is the daemon's address, `transport.rs` the kinds of connections to it. `connect.rs` reports why a daemon does not
//! respond, `exchange.rs` implements HTTP/1.1.

mod connect;
pub(crate) mod exchange;
mod login;
#[cfg(test)]
#[cfg(feature = "tls")]
mod network;
mod stream;
mod target;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(not(feature = "tls"))]
#[path = "without_tls.rs"]
pub(crate) mod tls;
mod transport;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use muster_api::{Problem, ProblemKind, Route};
use muster_spec::Span;
use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure};
use exchange::{ExchangeError, request};
use stream::NoStream;

pub(crate) use exchange::Answer;
pub(crate) use login::Login;
pub(crate) use stream::Stream;
pub(crate) use target::{Place, Target, Url};
pub(crate) use transport::Connection;

/// How long a daemon may take to respond, in addition to the time it was asked to wait. It usually takes a millisecond, so this
/// allows for a loaded machine; it is shorter than the default timeouts of Docker's and Kubernetes' health checks.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to reach a daemon elsewhere, in addition.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Reads a response from memory, for the fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn read_foreign(mut bytes: &[u8]) {
    let _ = exchange::read_answer(&mut bytes);
}

/// A client of the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The daemon's address.
    pub(crate) target: Target,
    patience: Duration,
}

impl Client {
    /// A client of the daemon at this address, which may take this long to respond.
    pub(crate) fn new(target: Target, patience: Duration) -> Client {
        Client { target, patience }
    }

    /// How long the daemon may take to respond.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Sends this request.
    pub(crate) fn ask(&self, route: &Route) -> Result<Answer, Failure> {
        self.send(route, None)
    }

    /// Sends this request with this body.
    pub(crate) fn ask_with(&self, route: &Route, body: &impl Serialize) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(body).expect("our bodies are plain structs, which always make JSON");
        self.send(route, Some((muster_api::JSON, &body)))
    }

    /// Sends this request with these bytes as its body.
    pub(crate) fn ask_with_bytes(&self, route: &Route, body: &[u8]) -> Result<Answer, Failure> {
        self.send(route, Some((muster_api::BYTES, body)))
    }

    /// Sends this request and returns its response as a stream.
    pub(crate) fn follow(&self, route: &Route) -> Result<Stream, Failure> {
        let patience = self.patience + self.distance();
        let stream = self.connect(patience)?;
        let request = request(&self.target, route.method().name(), &route.path(), None);
        stream::open(stream, Instant::now() + self.patience, &request).map_err(|error| match error {
            NoStream::Refused(answer) => self.refusal(&answer),
            NoStream::Failed(error) => self.failure(error, patience),
        })
    }

    /// Sends this request for another protocol. Returns the connection once the daemon has switched to it, with the bytes of that
    /// protocol received so far.
    pub(crate) fn upgrade(
        &self,
        route: &Route,
        protocol: &str,
        body: &impl Serialize,
    ) -> Result<(Connection, Vec<u8>), Failure> {
        let body = serde_json::to_vec(body).expect("our bodies are plain structs, which always make JSON");
        let patience = self.patience + self.distance();
        let stream = self.connect(patience)?;
        let request = exchange::upgrading(&self.target, route.method().name(), &route.path(), protocol, &body);
        stream::switch(stream, Instant::now() + patience, &request).map_err(|error| match error {
            NoStream::Refused(answer) => self.refusal(&answer),
            NoStream::Failed(error) => self.failure(error, patience),
        })
    }

    /// A connection to the daemon's Unix socket.
    pub(crate) fn dial(&self) -> Result<UnixStream, Failure> {
        match self.connect(self.patience)? {
            Connection::Unix(socket) => Ok(socket),
            _ => Err(Failure::new(Exit::Usage, format!("not a Unix socket of this machine: {}", self.target))),
        }
    }

    /// Sends a request of somewhere else, with these further headers, and returns the connection with its answer.
    pub(crate) fn forward(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Connection, Failure> {
        let patience = self.patience + self.distance();
        let stream = self.connect(patience)?;
        let request = exchange::forwarded(&self.target, method, path, headers, body);
        let mut timed = exchange::Timed { stream, deadline: Instant::now() + patience };
        let sent = timed.write_all(&request).and_then(|()| timed.flush());
        sent.map_err(|error| self.failure(error.into(), patience))?;
        Ok(timed.stream)
    }

    /// The failure for a stream that broke off.
    pub(crate) fn broken(&self, error: io::Error) -> Failure {
        self.failure(error.into(), self.patience)
    }

    /// Ends the command of `--via`, if there is one.
    pub(crate) fn close(&self) {
        if let Place::Via(via) = self.target.place() {
            via.close();
        }
    }

    fn send(&self, route: &Route, body: Option<(&str, &[u8])>) -> Result<Answer, Failure> {
        let patience = self.patience + asked_to_wait(route);
        let stream = self.connect(self.patience + self.distance())?;
        let request = request(&self.target, route.method().name(), &route.path(), body);
        // The command of `--via` counts as connected as soon as it runs.
        let patience =
            if matches!(self.target.place(), Place::Via(_)) { patience + CONNECT_PATIENCE } else { patience };
        let exchanged = exchange::exchange(stream, Instant::now() + patience, &request);
        let answer = exchanged.map_err(|error| self.failure(error, patience))?;
        if answer.status == 401 { Err(self.refusal(&answer)) } else { Ok(answer) }
    }

    fn distance(&self) -> Duration {
        if matches!(self.target.place(), Place::Unix(_)) { Duration::ZERO } else { CONNECT_PATIENCE }
    }

    fn connect(&self, patience: Duration) -> Result<Connection, Failure> {
        let deadline = Instant::now() + patience;
        let connected = connect::connect(&self.target, deadline);
        connected.map_err(|error| error.into_failure(&self.target).unwrap_or_else(|| self.silent(patience)))
    }

    fn failure(&self, error: ExchangeError, patience: Duration) -> Failure {
        let of_command = match self.target.place() {
            Place::Via(via) if !matches!(error, ExchangeError::TimedOut) => via.failure(),
            _ => None,
        };
        of_command.or_else(|| error.into_failure(&self.target)).unwrap_or_else(|| self.silent(patience))
    }

    /// The failure for an error response. A missing or wrong login has a hint of its own.
    fn refusal(&self, answer: &Answer) -> Failure {
        let mut failure = Failure::from(answer.problem());
        if answer.status == 401 {
            failure.exit = Exit::NotAllowed;
            let hint = if self.target.login().is_some() {
                "the daemon does not know this login: compare it with `[http.user.*]` of its configuration"
            } else {
                "log in with `--token-file`, $MUSTER_TOKEN_FILE, or `--user` and `--password-file`"
            };
            failure.hint = failure.hint.or_else(|| Some(hint.to_owned()));
        }
        failure
    }

    fn silent(&self, patience: Duration) -> Failure {
        let waited = Span(patience);
        if let Place::Via(via) = self.target.place()
            && let Some(failure) = via.silence(&waited.to_string())
        {
            return failure;
        }
        let message = format!("the daemon on {} does not respond: waited {waited}", self.target);
        Failure::new(Exit::TimedOut, message).with_hint("is it stopped (SIGSTOP, docker pause), or out of CPU time?")
    }
}

/// How long the daemon waits for a program to read its standard input.
const STDIN_PATIENCE: Duration = Duration::from_secs(5);

fn asked_to_wait(route: &Route) -> Duration {
    match route {
        Route::Action { wait, .. } => *wait,
        Route::Wait { timeout, .. } => *timeout,
        Route::Scale { wait, .. } => *wait,
        // The daemon itself waits for a program that does not read.
        Route::Stdin { .. } => STDIN_PATIENCE,
        _ => Duration::ZERO,
    }
}

impl Answer {
    /// The body, if the status is one of these; otherwise the daemon's error.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self, good: &[u16]) -> Result<T, Failure> {
        if !good.contains(&self.status) {
            return Err(self.problem().into());
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            let message = format!("unexpected response: {error}");
            Failure::new(Exit::Failed, message).with_hint("are musterctl and musterd of the same version?")
        })
    }

    /// The daemon's error; or, if the body is not one of our problems, that the response is unexpected. A proxy may
    /// refuse a login in its own words.
    pub(crate) fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            let detail = match self.status {
                401 => "a login is required, or it is wrong: HTTP status 401".to_owned(),
                403 => return Problem::new(ProblemKind::NotAllowed, "not allowed: HTTP status 403"),
                status => format!("unexpected response: HTTP status {status}"),
            };
            let problem = Problem::new(ProblemKind::Unknown, detail);
            if self.status == 401 { problem } else { problem.with_hint("does another program listen there?") }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::{Duration, Instant};

    use crate::testing::{Daemon, Ended, Setting};

    fn run_on(socket: impl AsRef<std::path::Path>, patience: Duration) -> Ended {
        let socket = Some(socket.as_ref().as_os_str().to_owned());
        Setting { socket, patience, ..Setting::default() }.run("status")
    }

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_missing_socket_says_where_to_look() {
        let ended = run_on("/nonexistent/muster.sock", LONG);
        let expected = "\
error: no daemon answers on /nonexistent/muster.sock: there is no such socket
hint: is musterd running? `--socket` or $MUSTER_SOCKET points elsewhere
";
        assert_eq!((ended.err.as_str(), ended.out.as_str(), ended.code), (expected, "", 7));
    }

    #[test]
    fn a_stale_socket_and_a_plain_file_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let (stale, file) = (directory.path().join("stale"), directory.path().join("file"));
        drop(UnixListener::bind(&stale).unwrap());
        std::fs::write(&file, "").unwrap();
        for (path, why) in [(stale, "stale socket"), (file, "it is not a socket")] {
            let ended = run_on(path, LONG);
            assert_eq!(ended.code, 7);
            assert!(ended.err.contains(why) && ended.err.contains("\nhint: "), "{}", ended.err);
        }
    }

    /// Root may connect whatever the mode, so the test drops that capability.
    #[test]
    fn a_socket_of_someone_else_is_not_allowed() {
        const NAME: &str = "client::tests::a_socket_of_someone_else_is_not_allowed";
        const WITHOUT_POWER: &str = "MUSTER_TEST_WITHOUT_POWER";
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
        if UnixStream::connect(&path).is_ok() {
            assert!(std::env::var_os(WITHOUT_POWER).is_none(), "without CAP_DAC_OVERRIDE the mode counts");
            let mut command = std::process::Command::new("setpriv");
            command.args(["--bounding-set=-dac_override", "--inh-caps=-dac_override", "--"]);
            command.arg(std::env::current_exe().unwrap()).args([NAME, "--exact"]).env(WITHOUT_POWER, "1");
            let output = command.output().expect("setpriv of util-linux is there");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{text}");
            return;
        }
        let ended = run_on(&path, LONG);
        assert_eq!(ended.code, 5);
        assert!(ended.err.starts_with("error: permission denied connecting to "), "{}", ended.err);
    }

    #[test]
    fn a_daemon_that_is_silent_is_given_up_in_time() {
        // It reads the request and holds the connection until the client drops it.
        let daemon = Daemon::behaving([|stream: UnixStream| {
            let _ = std::io::copy(&mut &stream, &mut std::io::sink());
        }]);
        let began = Instant::now();
        let ended = run_on(daemon.socket(), SHORT);
        assert!(began.elapsed() >= SHORT && began.elapsed() < LONG);
        assert_eq!(ended.code, 124);
        assert!(ended.err.contains("does not respond: waited 300ms\nhint: is it stopped (SIGSTOP"), "{}", ended.err);
    }

    /// A slow trickle of bytes must not hold a client indefinitely.
    #[test]
    fn a_daemon_that_drips_is_given_up_in_time() {
        let daemon = Daemon::behaving([|mut stream: UnixStream| {
            let mut answer = b"HTTP/1.1 200 OK\r\nx: ".iter().chain(std::iter::repeat(&b'y'));
            while answer.next().is_some_and(|byte| stream.write_all(&[*byte]).is_ok()) {
                std::thread::sleep(SHORT / 20);
            }
        }]);
        assert_eq!(run_on(daemon.socket(), SHORT).code, 124);
    }

    /// A stopped daemon accepts nothing; once its backlog is full, connect(2) itself blocks.
    #[test]
    fn a_full_backlog_is_given_up_in_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let (path, fill) = (path.clone(), path);
        let (sender, filled) = std::sync::mpsc::channel();
        // std's backlog is as large as the kernel allows, so connect until one call blocks.
        std::thread::spawn(move || {
            let mut held = Vec::new();
            while let Ok(stream) = UnixStream::connect(&fill) {
                held.push(stream);
                if sender.send(()).is_err() {
                    return;
                }
            }
        });
        while filled.recv_timeout(SHORT).is_ok() {}
        assert_eq!(run_on(&path, SHORT).code, 124);
    }

    #[test]
    fn a_daemon_that_goes_away_is_told_from_one_that_never_was() {
        for said in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n["] {
            let ended = Daemon::answering([said.to_owned()]).run("status");
            assert_eq!(ended.code, 7);
            assert!(ended.err.contains("closed the connection before it responded"), "{}", ended.err);
        }
    }

    #[test]
    fn what_is_not_musterd_is_told() {
        for (said, why) in [
            ("220 smtp ready\r\n", "it does not speak HTTP/1.1"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "unexpected response"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n<htm>", "unexpected response"),
            ("HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\n<htm>", "HTTP status 404"),
        ] {
            let ended = Daemon::answering([said.to_owned()]).run("status");
            assert_eq!((ended.code, ended.out.as_str()), (1, ""));
            assert!(ended.err.contains(why) && ended.err.contains("\nhint: "), "{}", ended.err);
        }
    }
}
