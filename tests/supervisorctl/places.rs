//! Daemons in directories of their own, clients that talk to them, and what may differ in an answer.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::harness::{free_port, is_root, send, wait_until};
use crate::loaded::{DEBIAN, NEWEST};

/// The original's daemon and client. Both clients are called by the latter's path, which is in their messages.
pub(crate) const ORIGINAL: &str = "/usr/bin/supervisord";
pub(crate) const ORIGINAL_CLIENT: &str = "/usr/bin/supervisorctl";

pub(crate) fn is_original_here() -> bool {
    Path::new(ORIGINAL).exists() && Path::new(ORIGINAL_CLIENT).exists()
}

/// The origin of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Original,
    /// A client of the newest release, not Debian's.
    Newest,
    Ours,
}

/// A client's command, without words.
pub(crate) fn client(whose: Whose) -> Command {
    let mut command = Command::new(match whose {
        Whose::Original | Whose::Newest => ORIGINAL_CLIENT,
        Whose::Ours => crate::harness::musterctl(),
    });
    command.arg0(ORIGINAL_CLIENT).env("PYTHONWARNINGS", "ignore").env("LC_ALL", "C.UTF-8").env_remove("TZ");
    command
}

/// A daemon in a directory, and the client that is used with it.
pub(crate) struct Pair {
    directory: tempfile::TempDir,
    port: u16,
    daemon: Option<Child>,
    client: Whose,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.end();
    }
}

impl Pair {
    /// Starts a daemon with these sections: `@` is its directory and `:PORT` a port of its own.
    pub(crate) fn start(daemon: Whose, client: Whose, sections: &str) -> Pair {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let port = free_port();
        let mut pair = Pair { directory, port, daemon: None, client };
        pair.write("s.conf", sections);
        pair.write("plain", "not executable\n");
        let mut command = Command::new(if daemon == Whose::Ours { crate::harness::musterd() } else { ORIGINAL });
        command.arg0(ORIGINAL).args(["-n", "-c", "s.conf"]).current_dir(pair.path()).stdin(Stdio::null());
        command.env("PYTHONWARNINGS", "ignore");
        command.stdout(fs::File::create(pair.path().join("out")).expect("it is ours"));
        command.stderr(fs::File::create(pair.path().join("err")).expect("it is ours"));
        pair.daemon = Some(command.spawn().expect("it can be executed"));
        pair
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Replaces a file; see [`Pair::start`].
    pub(crate) fn write(&self, name: &str, text: &str) {
        let main = "[supervisord]\nnodaemon=true\nlogfile=@/main.log\npidfile=@/main.pid\nchildlogdir=@\n";
        let user = if is_root() { "user=root\n" } else { "" };
        let text = text.replace("[supervisord]\n", &format!("{main}{user}"));
        fs::write(self.path().join(name), self.placed(&text)).expect("it is ours");
    }

    fn placed(&self, text: &str) -> String {
        text.replace('@', &self.path().to_string_lossy()).replace(":PORT", &format!(":{}", self.port))
    }

    /// The origin of its client.
    pub(crate) fn client(&self) -> Whose {
        self.client
    }

    /// The client with the words of a line, to be run.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = client(self.client);
        command.current_dir(self.path()).args(self.words(line));
        command
    }

    fn words(&self, line: &str) -> Vec<String> {
        line.split(' ').map(|word| self.placed(&word.replace('_', " "))).collect()
    }

    /// The client's shell, to be started by its path.
    pub(crate) fn shell(&self) -> Command {
        let mut program = ORIGINAL_CLIENT.into();
        if self.client == Whose::Ours {
            program = self.path().join("supervisorctl");
            // A second shell finds it there.
            let _ = std::os::unix::fs::symlink(crate::harness::musterctl(), &program);
        }
        let mut command = Command::new(program);
        command.args(["-c", "s.conf"]).args(if self.client == Whose::Ours { &["-r", "history"][..] } else { &[] });
        command
    }

    /// Runs a line with this input; `_` in it is a blank within a word.
    pub(crate) fn run(&self, line: &str, input: &str) -> Answer {
        self.run_by(self.client, line, input)
    }

    /// Runs a line with another client.
    pub(crate) fn run_by(&self, client: Whose, line: &str, input: &str) -> Answer {
        let loaded = match client {
            Whose::Ours => None,
            Whose::Original => Some(&*DEBIAN),
            Whose::Newest => Some(NEWEST.as_ref().expect("the caller has looked for it")),
        };
        if let Some(loaded) = loaded {
            let answer = loaded.run(self.path(), self.words(line), &self.placed(input));
            return Answer { code: answer.code, out: self.comparable(&answer.out), err: self.comparable(&answer.err) };
        }
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it can be executed");
        let mut stdin = child.stdin.take().expect("it is piped");
        // A client that does not read has ended.
        let _ = stdin.write_all(self.placed(input).as_bytes());
        drop(stdin);
        self.answer(&child.wait_with_output().expect("it is a child of this process"))
    }

    pub(crate) fn answer(&self, output: &Output) -> Answer {
        Answer {
            code: output.status.code(),
            out: self.comparable(&String::from_utf8_lossy(&output.stdout)),
            err: self.comparable(&String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// A text without its directory, pids, times and places in a program.
    pub(crate) fn comparable(&self, text: &str) -> String {
        let text = text.replace(&*self.path().to_string_lossy(), "@").replace(&format!(":{}", self.port), ":PORT");
        text.split('\n').map(comparable_line).collect::<Vec<_>>().join("\n")
    }

    /// The states of all processes, once the daemon answers.
    fn states(&self) -> Option<String> {
        let output = client(Whose::Ours).current_dir(self.path()).args(["-c", "s.conf", "status"]).output();
        let answer = self.answer(&output.expect("it can be executed"));
        matches!(answer.code, Some(0 | 3)).then_some(answer.out)
    }

    pub(crate) fn end(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        self.write("end", "");
        send(daemon.id() as i32, 15);
        let _ = daemon.wait();
    }

    /// Lets the slow program end, and waits until the daemon has ended by itself.
    pub(crate) fn wait(&mut self) {
        self.write("end", "");
        if let Some(mut daemon) = self.daemon.take() {
            daemon.wait().expect("it is a child of this process");
        }
    }
}

fn comparable_line(line: &str) -> String {
    if let Some((text, _)) = line.split_once(": file: ").filter(|(text, _)| text.contains("error: <class ")) {
        return text.to_owned();
    }
    let is_number = |word: &str| word.parse::<u32>().is_ok_and(|number| number > 0);
    if is_number(line) {
        return "NUMBER".to_owned();
    }
    if let Some((before, after)) = line.split_once("pid ") {
        let (pid, rest) = after.split_once(", uptime ").unwrap_or((after, ""));
        let uptime = if rest.chars().any(|c| c == ':') { ", uptime TIME" } else { rest };
        return if is_number(pid) { format!("{before}pid NUMBER{uptime}") } else { line.to_owned() };
    }
    // `Nov 28 01:13 PM`.
    match line.strip_suffix(" AM").or_else(|| line.strip_suffix(" PM")) {
        Some(rest) if rest.len() > 12 => format!("{}DATE", &rest[..rest.len() - 12]),
        _ => line.to_owned(),
    }
}

/// The answer of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Answer {
    pub(crate) fn disregard_order(&mut self) {
        let mut lines: Vec<&str> = self.out.split('\n').collect();
        lines.sort_unstable();
        self.out = lines.join("\n");
        self.code = self.code.map(|code| code.min(1));
    }
}

/// Waits until all daemons have the same states, none of them about to change.
pub(crate) fn settle(pairs: &[Pair]) {
    wait_until("the states are the same", || {
        let states: Option<Vec<String>> = pairs.iter().map(Pair::states).collect();
        let moves = |text: &String| {
            let is_on_its_way = ["STARTING", "STOPPING", "BACKOFF"].iter().any(|state| text.contains(state));
            is_on_its_way || text.lines().any(|line| line.starts_with("exited ") && line.contains("RUNNING"))
        };
        states.is_some_and(|states| states.iter().all(|text| *text == states[0] && !moves(text)))
    });
}
