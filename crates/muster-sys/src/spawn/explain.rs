//! Messages for failed spawns.
//!
//! The child reports only a step, a number and an error; here they become `/usr/bin/postgre: no such file`. Causes that
//! share one kernel error but differ for users (no such file, no such interpreter, no such directory) are distinguished
//! by what the child found out about the file. No message contains a value of the environment, except PATH when a search in it
//! found nothing.

use std::io;

use muster_spec::{CapabilitySet, Resource, SpawnError, SpawnStep};

use super::child::{NO_CANDIDATE, Stage};
use super::elf;
use super::plan::SpawnPlan;
use super::scheduling;
use super::slot::Evidence;

/// Maximum number of bytes of PATH to show.
const SHOWN_PATH: usize = 200;

/// The error of a child that failed at `stage`.
pub(super) fn failure(plan: &SpawnPlan, stage: Stage, detail: u32, errno: i32, evidence: &Evidence) -> SpawnError {
    let (step, message) = match stage {
        Stage::Begin | Stage::Session | Stage::Unblock => {
            (SpawnStep::Session, format!("cannot make a session: {}", reason(errno)))
        }
        Stage::Table => (SpawnStep::Stdio, format!("cannot make a table of descriptors: {}", reason(errno))),
        Stage::Stdio => (SpawnStep::Stdio, format!("cannot connect stdin, stdout and stderr: {}", reason(errno))),
        Stage::OomScoreAdj => (SpawnStep::OomScoreAdj, oom_score_adj(plan, errno)),
        Stage::Rlimit => (SpawnStep::Rlimit, rlimit(plan, detail, errno)),
        Stage::Nice => (SpawnStep::Nice, format!("nice {}: {}", plan.nice(), privileged(errno))),
        Stage::Ioprio => (SpawnStep::Ioprio, scheduling::io_refused(plan.scheduling(), errno)),
        Stage::Sched => (SpawnStep::Sched, scheduling::policy_refused(plan.scheduling(), errno)),
        Stage::Affinity => (SpawnStep::Affinity, scheduling::cpus_refused(plan.scheduling(), detail, errno)),
        Stage::Bounding
        | Stage::KeepCapabilities
        | Stage::Securebits
        | Stage::Capabilities
        | Stage::Ambient
        | Stage::NoNewPrivileges => (SpawnStep::Capabilities, capabilities(plan, stage, detail, errno)),
        Stage::Groups | Stage::Gid | Stage::Uid => (SpawnStep::User, user(plan, stage, errno)),
        Stage::Chdir => (SpawnStep::Chdir, chdir(plan, errno)),
        Stage::Exec => (SpawnStep::Exec, exec(plan, detail, errno, evidence)),
    };
    SpawnError { step, errno, message }
}

/// The error of a child that was killed at `stage`, before it executed a program.
pub(super) fn killed(plan: &SpawnPlan, stage: Stage) -> SpawnError {
    let (step, meanwhile) = match stage {
        Stage::Begin | Stage::Session => (SpawnStep::Session, String::new()),
        Stage::Table | Stage::Stdio => (SpawnStep::Stdio, String::new()),
        Stage::OomScoreAdj => (SpawnStep::OomScoreAdj, String::new()),
        Stage::Rlimit => (SpawnStep::Rlimit, String::new()),
        Stage::Nice => (SpawnStep::Nice, String::new()),
        Stage::Ioprio => (SpawnStep::Ioprio, String::new()),
        Stage::Sched => (SpawnStep::Sched, String::new()),
        Stage::Affinity => (SpawnStep::Affinity, String::new()),
        Stage::Bounding
        | Stage::KeepCapabilities
        | Stage::Securebits
        | Stage::Capabilities
        | Stage::Ambient
        | Stage::NoNewPrivileges => (SpawnStep::Capabilities, String::new()),
        Stage::Groups | Stage::Gid | Stage::Uid => (SpawnStep::User, String::new()),
        Stage::Chdir => {
            (SpawnStep::Chdir, format!(", while entering directory {}", plan.directory().unwrap_or_default()))
        }
        Stage::Unblock | Stage::Exec => (SpawnStep::Exec, String::new()),
    };
    SpawnError { step, errno: 0, message: format!("killed before {} was executed{meanwhile}", plan.command()) }
}

/// The error of a step in the daemon itself.
pub(super) fn in_daemon(step: SpawnStep, what: &str, error: &io::Error) -> SpawnError {
    let errno = error.raw_os_error().unwrap_or(0);
    SpawnError { step, errno, message: format!("{what}: {}", reason(errno)) }
}

/// clone(2) failed.
pub(super) fn no_process(errno: i32) -> SpawnError {
    let why = match errno {
        libc::EAGAIN => String::from("the limit of processes is reached (pids cgroup, RLIMIT_NPROC or pid_max)"),
        errno => reason(errno),
    };
    SpawnError { step: SpawnStep::Fork, errno, message: format!("cannot make a process: {why}") }
}

fn oom_score_adj(plan: &SpawnPlan, errno: i32) -> String {
    let why = match errno {
        libc::ENOENT => String::from("no /proc is mounted"),
        libc::EACCES | libc::EPERM => String::from("lowering it needs privilege (CAP_SYS_RESOURCE)"),
        libc::EINVAL => String::from("not between -1000 and 1000"),
        errno => reason(errno),
    };
    format!("oom_score_adj {}: {why}", plan.oom_score_adj())
}

fn rlimit(plan: &SpawnPlan, number: u32, errno: i32) -> String {
    let Some((resource, limit)) = plan.limit(number) else { return format!("rlimit: {}", reason(errno)) };
    let (soft, hard) = (limit.values.soft, limit.values.hard);
    let why = match errno {
        libc::EINVAL if soft > hard => String::from("the soft limit is above the hard limit"),
        libc::EPERM if resource == Resource::Nofile => {
            String::from("raising the hard limit needs privilege (CAP_SYS_RESOURCE) and ends at fs.nr_open")
        }
        libc::EPERM => String::from("raising the hard limit needs privilege (CAP_SYS_RESOURCE)"),
        errno => reason(errno),
    };
    format!("rlimit {} = {}: {why}", resource.name(), limit_value(if errno == libc::EPERM { hard } else { soft }))
}

fn limit_value(value: u64) -> String {
    if value == libc::RLIM_INFINITY { String::from("unlimited") } else { value.to_string() }
}

fn privileged(errno: i32) -> String {
    match errno {
        libc::EACCES | libc::EPERM => String::from("needs privilege (CAP_SYS_NICE or a higher RLIMIT_NICE)"),
        errno => reason(errno),
    }
}

fn capabilities(plan: &SpawnPlan, stage: Stage, number: u32, errno: i32) -> String {
    let capability = CapabilitySet::from_bits(1_u64.checked_shl(number).unwrap_or(0));
    let words = || plan.securebits().names().collect::<Vec<_>>().join(", ");
    match (stage, errno) {
        (Stage::Bounding, libc::EPERM) => String::from(
            "capabilities: keeping setuid programs from giving others needs CAP_SETPCAP, which the daemon does not have; \
             no_new_privileges = true needs none",
        ),
        (Stage::KeepCapabilities, libc::EPERM) => {
            String::from("capabilities: the daemon's securebits do not let them outlive the change of user")
        }
        (Stage::Securebits, libc::EPERM) => {
            format!("securebits {}: needs CAP_SETPCAP, which the daemon does not have, or they are locked", words())
        }
        (Stage::Securebits, errno) => format!("securebits {}: {}", words(), reason(errno)),
        (Stage::Ambient, libc::EPERM) => {
            format!("capabilities: the daemon's securebits do not let {capability} be raised for a user")
        }
        (Stage::NoNewPrivileges, errno) => format!("no_new_privileges: {}", reason(errno)),
        (_, errno) => format!("capabilities: {}", reason(errno)),
    }
}

fn user(plan: &SpawnPlan, stage: Stage, errno: i32) -> String {
    let identity = plan.identity();
    let (what, number, capability) = match (stage, identity.uid, identity.gid) {
        (Stage::Uid, Some(uid), _) => ("uid", uid.to_string(), "CAP_SETUID"),
        (Stage::Gid, _, Some(gid)) => ("gid", gid.to_string(), "CAP_SETGID"),
        _ => ("groups", join(identity.groups.as_deref().unwrap_or_default()), "CAP_SETGID"),
    };
    let who = plan.user().map_or_else(String::new, |user| format!("user {user:?}: "));
    let why = match errno {
        libc::EPERM => format!("not permitted: the daemon runs without privilege ({capability})"),
        libc::EINVAL => String::from("does not exist in this user namespace"),
        libc::EAGAIN => String::from("the user's limit of processes is reached (RLIMIT_NPROC)"),
        errno => reason(errno),
    };
    format!("{who}cannot take {what} {number}: {why}")
}

fn join(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

fn chdir(plan: &SpawnPlan, errno: i32) -> String {
    let directory = plan.directory().unwrap_or_default();
    let why = match errno {
        libc::ENOENT => String::from("no such directory"),
        libc::ENOTDIR => String::from("not a directory"),
        libc::EACCES => format!("permission denied{}", to_user(plan)),
        errno => reason(errno),
    };
    format!("directory {directory}: {why}")
}

fn to_user(plan: &SpawnPlan) -> String {
    plan.user().map_or_else(String::new, |user| format!(" to user {user:?}"))
}

fn exec(plan: &SpawnPlan, detail: u32, errno: i32, evidence: &Evidence) -> String {
    if detail == NO_CANDIDATE {
        let path = plan.searched().unwrap_or_default();
        return format!("{}: not found in PATH ({})", plan.command(), shortened(&path));
    }
    let why = match errno {
        libc::ENOENT => missing(plan, evidence),
        libc::EACCES => denied(plan, evidence),
        libc::ENOEXEC => not_executable(evidence),
        libc::E2BIG => format!("argument list and environment too long: {} bytes", plan.argument_bytes()),
        libc::ETXTBSY => String::from("is being written to (text file busy)"),
        libc::EAGAIN => format!("the limit of processes{} is reached (RLIMIT_NPROC)", of_user(plan)),
        libc::ENOTDIR => String::from("a part of the path is not a directory"),
        libc::EPERM => String::from("not permitted (no_new_privs, or file capabilities that the container lacks)"),
        libc::ELIBBAD => String::from("its interpreter is not an executable"),
        libc::ELOOP => String::from("too many symbolic links, or interpreters of interpreters"),
        errno => reason(errno),
    };
    format!("{}: {why}", plan.candidate(detail))
}

fn shortened(path: &str) -> String {
    match path.char_indices().nth(SHOWN_PATH) {
        Some((end, _)) => format!("{}…", &path[..end]),
        None => path.to_owned(),
    }
}

fn missing(plan: &SpawnPlan, evidence: &Evidence) -> String {
    if evidence.stat_errno != 0 {
        // A relative path is resolved in the program's directory, which is easily overlooked.
        return match plan.directory() {
            Some(directory) if !plan.candidate(0).starts_with('/') => format!("no such file in {directory}"),
            _ => String::from("no such file"),
        };
    }
    match interpreter(evidence.head()) {
        Some(Interpreter::Script(path)) => format!("its interpreter {path} does not exist{}", carriage_return(&path)),
        Some(Interpreter::Loader(path)) => {
            format!("its interpreter {path} does not exist: built for another C library?")
        }
        None => String::from("its interpreter does not exist"),
    }
}

fn carriage_return(interpreter: &str) -> &'static str {
    if interpreter.ends_with("\\r") { ": the #! line ends with a carriage return" } else { "" }
}

fn denied(plan: &SpawnPlan, evidence: &Evidence) -> String {
    let kind = evidence.mode & libc::S_IFMT;
    if evidence.stat_errno == libc::EACCES {
        return format!("permission denied: a directory of the path cannot be searched{}", by_user(plan));
    }
    if kind == libc::S_IFDIR {
        return String::from("is a directory");
    }
    if kind != libc::S_IFREG {
        return String::from("permission denied: not a regular file");
    }
    if evidence.mode & 0o111 == 0 {
        return format!("permission denied: not executable (mode {:04o})", evidence.mode & 0o7777);
    }
    if evidence.is_noexec() {
        return String::from("permission denied: its file system is mounted noexec");
    }
    match interpreter(evidence.head()) {
        Some(Interpreter::Script(path) | Interpreter::Loader(path)) => {
            format!("permission denied{}, to the file or its interpreter {path}", to_user(plan))
        }
        None => format!("permission denied{} (mode {:04o})", to_user(plan), evidence.mode & 0o7777),
    }
}

fn of_user(plan: &SpawnPlan) -> String {
    plan.user().map_or_else(String::new, |user| format!(" of user {user:?}"))
}

fn by_user(plan: &SpawnPlan) -> String {
    plan.user().map_or_else(String::new, |user| format!(" by user {user:?}"))
}

fn not_executable(evidence: &Evidence) -> String {
    let head = evidence.head();
    if evidence.mode & libc::S_IFMT == libc::S_IFREG && head.is_empty() {
        String::from("not an executable: the file is empty or cannot be read")
    } else if elf::is_elf(head) {
        String::from("not an executable for this machine: built for another architecture, or damaged")
    } else if head.starts_with(b"#!") {
        String::from("not an executable: its #! line names no interpreter")
    } else {
        String::from("not an executable: no #! line, and no program of this machine")
    }
}

enum Interpreter {
    Script(String),
    Loader(String),
}

/// The interpreter that the kernel would need for this file.
fn interpreter(head: &[u8]) -> Option<Interpreter> {
    match head.strip_prefix(b"#!") {
        Some(line) => script_interpreter(line).map(Interpreter::Script),
        None => elf::loader(head).map(|path| Interpreter::Loader(shown(path))),
    }
}

/// The first word of the `#!` line, as the kernel parses it: blanks and tabs separate, a carriage return does not.
fn script_interpreter(line: &[u8]) -> Option<String> {
    let line = line.split(|&byte| byte == b'\n' || byte == 0).next()?;
    let word = line.split(|byte| b" \t".contains(byte)).find(|word| !word.is_empty())?;
    Some(shown(word))
}

fn shown(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

/// The plain text of an error number, as in all messages of the daemon: `no such file`.
pub fn reason(errno: i32) -> String {
    let known = match errno {
        0 => "unknown error",
        libc::ENOENT => "no such file",
        libc::EACCES => "permission denied",
        libc::EPERM => "not permitted",
        libc::EMFILE => "too many open files in the daemon (RLIMIT_NOFILE)",
        libc::ENFILE => "too many open files in the system",
        libc::ENOMEM => "not enough memory",
        libc::ENAMETOOLONG => "the path is too long",
        libc::EIO => "input/output error",
        errno => return described(errno),
    };
    known.to_owned()
}

/// The C library's text, without the number that std appends, and with a lowercase first letter.
fn described(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_of_a_script_is_read_as_the_kernel_reads_it() {
        for (head, expected) in [
            (&b"#!/bin/sh\necho"[..], Some("/bin/sh")),
            (b"#! \t/usr/bin/env python3 -u\n", Some("/usr/bin/env")),
            (b"#!/bin/sh\r\necho", Some("/bin/sh\\r")),
            (b"#!", None),
            (b"#!   \n", None),
            (b"echo", None),
        ] {
            let found = match interpreter(head) {
                Some(Interpreter::Script(path)) => Some(path),
                Some(Interpreter::Loader(_)) => panic!("{head:?} is no ELF file"),
                None => None,
            };
            assert_eq!(found.as_deref(), expected, "{head:?}");
        }
    }

    #[test]
    fn errors_are_told_in_plain_words() {
        for (errno, expected) in [
            (libc::ENOENT, "no such file"),
            (libc::EMFILE, "too many open files in the daemon (RLIMIT_NOFILE)"),
            (libc::EBUSY, "device or resource busy"),
            (0, "unknown error"),
        ] {
            // musl says "resource busy" where glibc says "device or resource busy".
            assert!(expected.ends_with(&reason(errno)) || reason(errno) == expected, "{}", reason(errno));
        }
    }

    #[test]
    fn a_long_path_is_shortened_between_characters() {
        assert_eq!(shortened("/bin"), "/bin");
        let long = "ü".repeat(300);
        assert_eq!(shortened(&long).chars().count(), SHOWN_PATH + 1);
    }
}
