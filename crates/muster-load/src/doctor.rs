//! `musterd doctor`: reports what this machine or container allows the daemon to do, and the consequences.
//!
//! It changes nothing, so it can be run in a container next to the daemon (`docker exec … musterd doctor`); only then
//! it is not PID 1 itself.

use std::fs;
use std::path::Path;

use muster_api::DEFAULT_SOCKET;
use muster_spec::Resource;
use muster_sys::core_dump::{LEAST, Pattern};
use muster_sys::limits::{OriginalLimits, soft};
use muster_sys::rights::Rights;
use muster_sys::tree::{Abilities, Trees};
use serde_json::json;

use crate::surroundings;
use muster_sys::say::say;

/// One check and its result.
struct Finding {
    what: &'static str,
    is_well: bool,
    found: String,
}

/// Prints all findings. The exit code is always 0, since musterd works with any of them.
pub fn doctor(as_json: bool) -> u8 {
    let findings = examine();
    if as_json {
        let all =
            findings.iter().map(|finding| json!({"what": finding.what, "ok": finding.is_well, "found": finding.found}));
        say(&serde_json::Value::from_iter(all).to_string());
        return 0;
    }
    for finding in &findings {
        let mark = if finding.is_well { "ok  " } else { "note" };
        say(&format!("{mark} {:<18} {}", finding.what, finding.found));
    }
    0
}

fn examine() -> Vec<Finding> {
    let abilities = Trees::new().abilities();
    vec![
        process(&abilities),
        user(),
        groups(),
        finding("/proc", abilities.proc, "of this pid namespace", "missing: trees are followed by process groups only"),
        finding("children lists", abilities.children_lists, "in /proc", "missing: /proc is searched instead"),
        finding(
            "pidfds",
            abilities.pidfds,
            "no signal can reach a recycled pid",
            "missing: start times are compared instead",
        ),
        finding(
            "tree tags",
            abilities.tags,
            "every process is attributed to its program",
            "missing: a daemonized process that cleaned its environment may not be found",
        ),
        cgroup(&abilities),
        descriptors(),
        socket(),
        processes(),
        core_dumps(),
        stop_signal(),
    ]
}

fn finding(what: &'static str, is_well: bool, well: &str, not: &str) -> Finding {
    Finding { what, is_well, found: if is_well { well } else { not }.to_owned() }
}

fn process(abilities: &Abilities) -> Finding {
    let found = if abilities.is_pid_1 {
        "PID 1: adopts every orphan, and stops stray processes at shutdown"
    } else {
        "not PID 1: adopts the orphans of its programs; others are left alone"
    };
    Finding { what: "process", is_well: true, found: found.to_owned() }
}

fn user() -> Finding {
    let (is_well, found) = surroundings::user(&Rights::own(), surroundings::mapped_users());
    Finding { what: "user", is_well, found }
}

/// Supplementary groups of the daemon (`docker run --group-add`, `supplementalGroups`) are intended for its programs.
fn groups() -> Finding {
    let own = Rights::own();
    let added: Vec<String> = own.groups.iter().filter(|&&group| group != own.gid).map(u32::to_string).collect();
    let found = if added.is_empty() {
        "none but its own".to_owned()
    } else {
        let added = added.join(", ");
        format!("{added}: programs with a `user` have that user's instead, unless `groups` names them by number")
    };
    Finding { what: "groups", is_well: true, found }
}

fn cgroup(abilities: &Abilities) -> Finding {
    let found = match &abilities.cgroup {
        Some(path) => format!("{} is writable", path.display()),
        None => "no writable cgroup v2; none is needed".to_owned(),
    };
    Finding { what: "cgroup", is_well: true, found }
}

fn descriptors() -> Finding {
    match OriginalLimits::current() {
        Ok(limits) => {
            let programs = surroundings::programs_within(limits.nofile_hard);
            let most = if programs > 1_000_000 { "any number of".to_owned() } else { programs.to_string() };
            Finding {
                what: "descriptors",
                is_well: programs >= 100,
                found: format!("up to {}: enough for {most} programs", limits.nofile_hard),
            }
        }
        Err(error) => Finding { what: "descriptors", is_well: false, found: format!("unknown: {error}") },
    }
}

fn socket() -> Finding {
    let socket = Path::new(DEFAULT_SOCKET);
    let directory = socket.parent().unwrap_or(Path::new("/"));
    let is_writable = nix::unistd::access(directory, nix::unistd::AccessFlags::W_OK).is_ok();
    let found = if is_writable {
        format!("{} can be created", socket.display())
    } else {
        format!("{} is not writable: set another path in [http] socket, or do without musterctl", directory.display())
    };
    Finding { what: "control socket", is_well: is_writable, found }
}

/// The limit of processes in the container, if the kernel reports it.
fn processes() -> Finding {
    let limits = ["/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"];
    let limit = limits.iter().find_map(|path| fs::read_to_string(path).ok());
    let found = match limit.as_deref().map(str::trim) {
        Some("max") => "no limit in this container".to_owned(),
        Some(limit) => format!("at most {limit} in this container"),
        None => "no limit is known".to_owned(),
    };
    Finding { what: "processes", is_well: true, found }
}

/// Where the core of a program that crashes goes. The pattern is the host's.
fn core_dumps() -> Finding {
    let (is_well, found) = match Pattern::current() {
        Err(error) => (false, format!("unknown: kernel.core_pattern: {error}")),
        Ok(Pattern::Handler(handler)) => {
            (true, format!("the host's handler {handler} gets them, outside the container"))
        }
        Ok(Pattern::Socket(socket)) => (true, format!("the host's server on {socket} gets them")),
        Ok(Pattern::Nowhere) => (false, "not written: kernel.core_pattern is empty".to_owned()),
        Ok(Pattern::File(pattern)) => {
            let pattern = String::from_utf8_lossy(&pattern).into_owned();
            let place = if pattern.starts_with('/') { "" } else { " in the program's working directory" };
            match soft(Resource::Core) {
                0..LEAST => (
                    false,
                    format!(
                        "written to {pattern}{place}, but not by default: a program needs rlimits = {{ core = \"unlimited\" }}"
                    ),
                ),
                _ => (true, format!("written to {pattern}{place}")),
            }
        }
    };
    Finding { what: "core dumps", is_well, found }
}

/// The signal that an engine sends depends on the image, which cannot be seen from inside.
fn stop_signal() -> Finding {
    let found = "every signal from the engine is a stop, except HUP, USR1 and USR2: an image with one of those as its \
                 STOPSIGNAL (haproxy has USR1) needs STOPSIGNAL SIGTERM in the Dockerfile";
    Finding { what: "stop signal", is_well: true, found: found.to_owned() }
}
