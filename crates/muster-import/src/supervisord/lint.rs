//! Warnings about settings that the original accepts and that surprise in a container.
//!
//! Looks at a whole configuration without mistakes; warnings about a single value are issued where it is read.

use std::collections::HashMap;
use std::net::IpAddr;

use muster_config::hints;

use super::model::{Address, Autorestart, Group, GroupKind, Process, Server, Settings};
use super::options::{DAEMON_UMASK, DIRECTORY, RESULT_HANDLER};
use super::reader::Reader;
use super::split_command;
use muster_supervisord::python::repr;

/// Programs whose children are meant to outlive them: a stop under the original leaves sessions and containers alone.
const KEEPERS: [&str; 7] = ["sshd", "dockerd", "containerd", "crond", "cron", "tmux", "screen"];

/// The longest command that is looked into, in bytes: Linux takes arguments of 128 KiB.
const LONGEST_COMMAND: usize = 128 << 10;

/// The one handler of results besides the default: that of the package supervisor-stdout.
pub(super) const PRINTS: &str = "supervisor_stdout:event_handler";

pub(super) fn configuration(reader: &mut Reader<'_>, section: usize, settings: &Settings, groups: &[Group]) {
    if settings.nodaemon {
        foreground_keys(reader, section);
    }
    names(reader, groups);
    for group in groups {
        if let GroupKind::Listener { result_handler, .. } = &group.kind
            && Some(result_handler.as_str()) != RESULT_HANDLER.default
            && result_handler != PRINTS
        {
            let quoted = reader.quoted(group.section, RESULT_HANDLER.key, result_handler);
            let message = format!("Python plugins are not available{quoted}");
            let warning = reader.warning(group.section, Some(RESULT_HANDLER.key), message);
            reader.report.warn(warning.hint("the default judges the listener's answers"));
        }
        // Processes of one section differ in numbers and names only.
        let mut last = None;
        for process in &group.processes {
            if last != Some(process.section) {
                process_of(reader, process);
            }
            last = Some(process.section);
        }
    }
}

/// The mask and the directory are for the child that goes into the background.
fn foreground_keys(reader: &mut Reader<'_>, section: usize) {
    for (option, instead) in [(DAEMON_UMASK, "umask"), (DIRECTORY, "directory")] {
        if reader.raw(section, &option).is_some() {
            let message = format!("{} has no effect while nodaemon is true", option.key);
            let warning = reader.warning(section, Some(option.key), message);
            reader.report.warn(warning.hint(format!("write {instead} in the sections of the programs")));
        }
    }
}

fn names(reader: &mut Reader<'_>, groups: &[Group]) {
    let mut known: HashMap<&str, &Group> = HashMap::new();
    for group in groups {
        if let Some(first) = known.insert(&group.name, group) {
            known.insert(&group.name, first);
            let place = reader.section_place(first.section);
            let message = format!("a second group {}: it never starts, the first is at {place}", repr(&group.name));
            let warning = reader.warning(group.section, None, message);
            reader.report.warn(warning.hint("give it another name"));
        }
        let mut members: HashMap<&str, ()> = HashMap::new();
        for process in &group.processes {
            if members.insert(&process.name, ()).is_some() {
                let message = format!("several processes are called {}: only the last is used", repr(&process.name));
                let warning = reader.warning(process.section, Some("process_name"), message);
                reader.report.warn(warning.hint("put %(process_num)d into process_name"));
            }
            if process.name.contains(':') {
                let message =
                    format!("the name has a colon, which breaks the headers of events: {}", repr(&process.name));
                let warning = reader.warning(process.section, Some("process_name"), message);
                reader.report.warn(warning.hint("leave the colon out"));
            }
        }
    }
}

fn process_of(reader: &mut Reader<'_>, process: &Process) {
    let section = process.section;
    let warn = |reader: &mut Reader<'_>, key: &str, message: String, hint: String| {
        let warning = reader.warning(section, Some(key), message);
        reader.report.warn(warning.hint(hint));
    };
    if process.startsecs <= 0 && process.autorestart == Autorestart::Always {
        let message = "with startsecs=0 a program that exits at once is restarted without end".to_owned();
        warn(reader, "startsecs", message, "write startsecs=1, or autorestart=unexpected".to_owned());
    }
    if process.command.len() > LONGEST_COMMAND {
        return;
    }
    let words = match split_command(&process.command) {
        Ok(words) if !words.is_empty() => words,
        read => {
            let reason = read.err().unwrap_or("it is empty");
            let message = format!("command cannot be started: {reason}");
            warn(
                reader,
                "command",
                message,
                "close the quotes; the original accepts it, and fails at every start".to_owned(),
            );
            return;
        }
    };
    if let Some(word) = hints::shell_only(&process.command) {
        let message = match reader.is_quotable(section, "command") {
            true => format!("no shell reads the command, so this is an argument as it stands: {word}"),
            false => "no shell reads the command: its operators and variables are arguments as they stand".to_owned(),
        };
        warn(reader, "command", message, "write command=sh -c '…', or %(ENV_NAME)s for a variable".to_owned());
    }
    if let Some(habit) = hints::leaves_foreground(&words) {
        warn(reader, "command", habit.message(), habit.hint());
    }
    let program = words[0].rsplit('/').next().unwrap_or_default();
    let is_settled = process.own.iter().any(|entry| matches!(entry.key.as_str(), "kill" | "stop_kill"));
    if KEEPERS.contains(&program) && !is_settled {
        let message = format!("a stop of {program} ends its sessions too, which the original leaves alone");
        warn(reader, "command", message, "add muster.kill = \"main\" to keep them".to_owned());
    }
}

/// Servers without a password; the original logs them at every start.
pub(super) fn servers(reader: &mut Reader<'_>, servers: &[Server]) {
    for server in servers {
        if server.login.as_ref().is_some_and(|login| !login.username.is_empty()) {
            continue;
        }
        let name = reader.section_name(server.section).to_owned();
        let (key, message, hint) = match &server.address {
            Address::Unix { .. } => {
                let message = "no username: any user who can open the socket controls every program";
                ("file", message, "set chmod=0700, or username and password")
            }
            Address::Inet { host, .. } if is_loopback(host) => {
                let message = "no username: every process in the container controls every program";
                ("port", message, "set username and password, or use [unix_http_server]")
            }
            Address::Inet { .. } => {
                let message = "no username on an address that others reach: it will not be opened";
                ("port", message, "set username and password, listen on 127.0.0.1, or write open = true in [musterd]")
            }
        };
        let original = format!("Server '{name}' running without any HTTP authentication checking");
        let warning = reader.warning(server.section, Some(key), message);
        reader.report.warn(warning.hint(hint).critical(original));
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
