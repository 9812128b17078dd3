//! Uses the daemon as its users do: through `musterctl`, and through the API where a test needs a value.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::daemon::Daemon;
use super::log::Line;
use super::processes::find;
use super::{wait_for, wait_until};

/// The result of a finished command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Daemon {
    /// A `musterctl` command with these arguments.
    pub fn ctl_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(super::executables::musterctl());
        command.arg("--socket").arg(self.socket()).args(words).stdin(Stdio::null()).env_remove("MUSTER_SOCKET");
        command
    }

    /// Runs `musterctl` with these arguments.
    pub fn ctl(&self, words: &[&str]) -> Ended {
        ended(&mut self.ctl_command(words))
    }

    /// Runs `musterctl`, checks that it succeeds, and returns its output.
    pub fn ctl_well(&self, words: &[&str]) -> String {
        let ended = self.ctl(words);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "musterctl {words:?}: {ended:?}\n{}", self.story());
        ended.out
    }

    /// The log with everything logged before this call. A separate thread writes the lines, possibly after the daemon
    /// has answered; it keeps their order, and USR2 logs a line that marks the end.
    pub fn settled_log(&self) -> Vec<Line> {
        let marks = || self.log.saying("reopened log files").len();
        let before = marks();
        self.signal(12);
        super::wait_until("the log is written", || marks() > before);
        self.log.lines()
    }

    /// The lines of [`Self::settled_log`] with this message.
    pub fn has_said(&self, message: &str) -> Vec<Line> {
        self.settled_log().into_iter().filter(|line| line.message == message).collect()
    }

    /// An instance as the API reports it.
    pub fn program(&self, name: &str) -> Value {
        let answer = self.client.get(&format!("/v1/programs/{name}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub fn state(&self, name: &str) -> String {
        self.program(name)["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an instance is in this state, and returns what the API reports then.
    pub fn wait_for_state(&self, name: &str, state: &str) -> Value {
        let mut last = Value::Null;
        let began = std::time::Instant::now();
        loop {
            last = match self.client.try_request("GET", &format!("/v1/programs/{name}"), "") {
                Ok(answer) if answer.status == 200 => answer.json(),
                _ => last,
            };
            if last["state"] == state {
                return last;
            }
            assert!(began.elapsed() < super::PATIENCE, "{name} did not become {state}: {last}\n{}", self.story());
            std::thread::sleep(super::GLANCE);
        }
    }

    /// The pid of an instance's main process as the test sees it.
    pub fn pid_of(&self, name: &str) -> i32 {
        let daemon = find(self.pid()).map(|daemon| daemon.command);
        wait_for(&format!("{name} has a pid"), || {
            let inner = i32::try_from(self.program(name)["pid"].as_i64()?).ok()?;
            let process = self.process(inner)?;
            // Until the program is executed, the process has the supervisor's command line, and a signal then is no end
            // of the program.
            (daemon.as_ref() != Some(&process.command)).then_some(process.pid)
        })
    }

    /// Waits until all listeners are open: an address that was free a moment ago may be in use, and is tried again.
    pub fn listening(self) -> Daemon {
        wait_until("all listeners are open", || {
            let info = self.client.request("GET", "/v1/info", "").json();
            let listeners = info["listeners"].as_array().map_or(&[][..], Vec::as_slice);
            listeners.iter().all(|listener| listener["is_listening"] == true)
        });
        self
    }

    /// Waits until an instance runs, and returns its pid as the test sees it.
    pub fn wait_for_running(&self, name: &str) -> i32 {
        self.wait_for_state(name, "RUNNING");
        self.pid_of(name)
    }
}

/// Runs a command until it exits.
pub fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("it can be executed");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
