//! A supervisord with a configuration of its own: musterd called by that name, or the original, for tests side by side.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::http::Client;
use super::place::is_root;
use super::signals::send;
use super::talk::{Ended, ended};
use super::{skip, wait_until};

/// The original of the distribution.
pub const ORIGINAL: &str = "/usr/bin/supervisord";

/// A running supervisord; dropping it ends it.
pub struct Supervisord {
    pub child: Child,
    directory: TempDir,
    pub client: Client,
}

impl Drop for Supervisord {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            send(self.child.id() as i32, 15);
            let _ = self.child.wait();
        }
    }
}

impl Supervisord {
    /// musterd with these sections, in which `@` stands for its directory. It answers when this returns.
    pub fn ours(sections: &str) -> Supervisord {
        Supervisord::start(super::executables::musterd(), sections)
    }

    /// Both with the same sections; `None`, and a word about it, where the original is not installed.
    pub fn both(sections: &str) -> Option<[Supervisord; 2]> {
        if !Path::new(ORIGINAL).exists() {
            skip("supervisord is not installed");
            return None;
        }
        Some([Supervisord::ours(sections), Supervisord::start(ORIGINAL, sections)])
    }

    fn start(executable: &str, sections: &str) -> Supervisord {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        configure(directory.path(), sections);
        let mut command = Command::new(executable);
        command.arg0("supervisord").args(["-n", "-c", "s.conf"]).current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let client = Client::of(&directory.path().join("socket"));
        let started = Supervisord { child: command.spawn().expect("it can be executed"), directory, client };
        wait_until("it answers", || started.call("getState", "").is_some());
        started
    }

    /// Replaces the sections of the configuration.
    pub fn rewrite(&self, sections: &str) {
        configure(self.directory.path(), sections);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file of its directory, as far as it is text.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// Its own log.
    pub fn log(&self) -> String {
        self.text("log")
    }

    pub fn signal(&self, number: i32) {
        send(self.child.id() as i32, number);
    }

    /// The output of the original's supervisorctl.
    pub fn ctl(&self, words: &[&str]) -> Ended {
        let mut command = Command::new("/usr/bin/supervisorctl");
        ended(command.args(["-c", "s.conf"]).args(words).current_dir(self.directory.path()))
    }

    /// The answer to a call of a method of `supervisor.*` with these parameters as XML; `None` if there is none.
    pub fn call(&self, method: &str, params: &str) -> Option<String> {
        let body = format!("<methodCall><methodName>supervisor.{method}</methodName>{params}</methodCall>");
        let length = body.len();
        let mut stream = self.client.connect().ok()?;
        let head = format!("POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + &body).as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    /// The state that it reports for a process.
    pub fn state(&self, name: &str) -> String {
        let params = format!("<params><param><value>{name}</value></param></params>");
        let answer = self.call("getProcessInfo", &params).unwrap_or_default();
        let after = answer.split_once("<name>statename</name>").map_or("", |(_, after)| after);
        let value = after.split_once("<string>").and_then(|(_, after)| after.split_once("</string>"));
        value.map_or(answer.clone(), |(state, _)| state.to_owned())
    }
}

fn configure(directory: &Path, sections: &str) {
    let user = if is_root() { "user=root\n" } else { "" };
    let text = format!(
        "[unix_http_server]\nfile=@/socket\n[rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://@/socket\n\
         [supervisord]\nlogfile=@/log\npidfile=@/pid\nchildlogdir=@\n{user}{sections}"
    );
    let text = text.replace('@', &directory.display().to_string());
    let new = directory.join("s.conf.new");
    fs::write(&new, text).expect("the test directory is writable");
    fs::rename(&new, directory.join("s.conf")).expect("the test directory is writable");
}
