//! Other tools that write program output to files, if they are installed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::scene::Running;

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Starts that many writers whose output goes to files below the directory, rotated at 50 MB, with none removed.
    pub(crate) start: fn(&Path, usize, &[&str]) -> Vec<Running>,
}

pub(crate) fn installed() -> impl Iterator<Item = Peer> {
    let peers = [Peer { name: "supervisord", start: supervisord }, Peer { name: "s6-log", start: s6_log }];
    let is_installed = |peer: &Peer| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(peer.name).is_file())
    };
    peers.into_iter().filter(is_installed)
}

fn supervisord(directory: &Path, count: usize, writer: &[&str]) -> Vec<Running> {
    // Its own log and pid file are not program output.
    let mut text = "[supervisord]\nnodaemon = true\nlogfile = /dev/null\nlogfile_maxbytes = 0\n".to_owned();
    let own = directory.with_extension("supervisord");
    text.push_str(&format!("pidfile = {}.pid\n", own.display()));
    for number in 0..count {
        text.push_str(&format!(
            "[program:p{number}]\ncommand = {}\nautorestart = false\nstartsecs = 0\n\
             stdout_logfile = {}/p{number}.log\nstdout_logfile_maxbytes = 50MB\nstdout_logfile_backups = 100\n",
            writer.join(" "),
            directory.display()
        ));
    }
    fs::write(&own, text).expect("the test directory is writable");
    let mut command = Command::new("supervisord");
    command.arg("-c").arg(own).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    vec![Running(command.spawn().expect("it is installed"))]
}

/// One logger for each writer, as usual with s6.
fn s6_log(directory: &Path, count: usize, writer: &[&str]) -> Vec<Running> {
    let pair = |number: usize| {
        let mut source = Command::new(writer[0]);
        let mut source = source.args(&writer[1..]).stdout(Stdio::piped()).spawn().expect("it was compiled");
        let pipe = source.stdout.take().expect("it is piped");
        let mut log = Command::new("s6-log");
        log.args(["-b", "n100", "s50000000"]).arg(directory.join(number.to_string())).stdin(pipe);
        [Running(source), Running(log.spawn().expect("it is installed"))]
    };
    (0..count).flat_map(pair).collect()
}
