//! Queries and requests about this process and its descendants.

use std::collections::HashMap;
use std::fs;
use std::io;

use muster_spec::Signal;

use super::{blocked_signals, errno};
use crate::fd::check;
use crate::signal::Pid;

/// The parent of this process, unless it is in another pid namespace.
pub fn parent() -> Option<Pid> {
    // SAFETY: asks only.
    let pid = unsafe { libc::getppid() };
    (pid > 0).then_some(Pid(pid))
}

/// Makes the kernel send `signal` to this process when its parent exits.
pub fn set_parent_death_signal(signal: Signal) -> io::Result<()> {
    // SAFETY: this option takes a number, and touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal.number(), 0, 0, 0) }).map(drop)
}

/// Whether orphaned descendants become children of this process: as subreaper, PID 1 or not.
pub fn is_subreaper() -> io::Result<bool> {
    let mut answer: libc::c_int = 0;
    // SAFETY: this option writes one int to the address it is given.
    check(unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut answer, 0, 0, 0) })?;
    Ok(answer == 1)
}

/// Whether there is any child, own or adopted, including zombies.
pub fn has_children() -> bool {
    let mut about = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: `about` has room for the one record that waitid writes; it is not read.
    let outcome = unsafe { libc::waitid(libc::P_ALL, 0, about.as_mut_ptr(), options) };
    outcome == 0 || errno() != libc::ECHILD
}

/// The signal that stopped this child, reported once per stop and only while it is stopped.
pub fn stopped_by(child: Pid) -> Option<Signal> {
    // SAFETY: all-zero bytes are a valid siginfo_t; si_pid stays 0 when there is nothing to tell.
    let mut about: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let which = libc::id_t::try_from(child.0).ok()?;
    // SAFETY: `about` has room for the one record that waitid writes.
    let outcome = unsafe { libc::waitid(libc::P_PID, which, &mut about, libc::WSTOPPED | libc::WNOHANG) };
    // SAFETY: waitid has filled in the fields of a child's record, or left them zero.
    let (pid, status) = unsafe { (about.si_pid(), about.si_status()) };
    if outcome == 0 && pid == child.0 { Signal::from_number(status) } else { None }
}

/// Stops this process until it is continued. PID 1 keeps running: the kernel protects it from
/// signals from inside.
pub fn stop_this() {
    // SAFETY: memory is not touched.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
}

/// Stops this process, or its whole group, as Ctrl-Z would. SIGTSTP must be blocked.
///
/// An orphaned group, for which no shell waits, does not stop, and neither does PID 1 (setpgid(2)): then this
/// returns at once.
pub fn stop_if_a_shell_waits(whole_group: bool) -> io::Result<()> {
    // SAFETY: memory is not touched; 0 stands for the group of this process.
    check(unsafe { libc::kill(if whole_group { 0 } else { libc::getpid() }, libc::SIGTSTP) })?;
    blocked_signals::let_through(Signal::TSTP)
}

/// Sends `signal` to every process except this one. Does nothing unless this is PID 1: otherwise the
/// other processes are not ours.
pub fn send_to_all(signal: Signal) {
    if Pid::this().0 == 1 {
        // SAFETY: memory is not touched. ESRCH (no process left) counts as success.
        unsafe { libc::kill(-1, signal.number()) };
    }
}

/// Closes every descriptor from 3 on except `kept`: they belong to the command. A pipe that the command closes must
/// really be closed. Nothing else in the process may own one.
pub fn close_stray_descriptors(kept: Option<i32>) {
    const FIRST: i32 = 3;
    match kept.filter(|&kept| kept >= FIRST) {
        None => close_range(FIRST, i32::MAX),
        Some(kept) => {
            close_range(FIRST, kept - 1);
            close_range(kept + 1, i32::MAX);
        }
    }
}

fn close_range(first: i32, last: i32) {
    if first > last {
        return;
    }
    // SAFETY: nothing in this process owns a descriptor of this range, as our caller promised.
    let outcome = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    // Kernels before 5.9 lack the call, and some filters refuse it.
    if outcome != 0 {
        close_one_by_one(first, last);
    }
}

/// The slow way: the descriptors listed in /proc, or otherwise every number up to the usual limit.
fn close_one_by_one(first: i32, last: i32) {
    const WITHOUT_PROC: i32 = 1024;
    let listed =
        fs::read_dir("/proc/self/fd").map(|entries| entries.flatten().filter_map(|entry| number(&entry)).collect());
    let open: Vec<i32> = listed.unwrap_or_else(|_| (first..WITHOUT_PROC).collect());
    for descriptor in open.into_iter().filter(|descriptor| (first..=last).contains(descriptor)) {
        // SAFETY: as above. The directory's own descriptor is closed already: EBADF is harmless.
        unsafe { libc::close(descriptor) };
    }
}

/// All current descendants of this process. Empty without /proc.
///
/// A process may fork during the scan: repeat until nothing is left to find them all.
pub fn descendants() -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<Pid>> = HashMap::new();
    for pid in fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| number(&entry)) {
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(Pid(pid));
        }
    }
    let mut found = Vec::new();
    let mut parents = vec![Pid::this()];
    while let Some(parent) = parents.pop() {
        let below = children.remove(&parent.0).unwrap_or_default();
        found.extend_from_slice(&below);
        parents.extend(below);
    }
    found
}

fn number(entry: &fs::DirEntry) -> Option<i32> {
    entry.file_name().to_str()?.parse().ok()
}

fn parent_of(pid: i32) -> Option<i32> {
    parent_in(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
}

/// The fourth field of /proc/PID/stat. The second is the process's name in parentheses, which may contain anything, including
/// parentheses, so fields are counted from the last closing one.
fn parent_in(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("7 (sh) S 3 7 7 0"), Some(3));
        assert_eq!(parent_in("7 (a) S 9 (b) S 3 7 7 0"), Some(3));
        assert_eq!(parent_in("7 (sh"), None);
    }

    #[test]
    fn a_child_is_a_descendant_until_it_is_reaped() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let pid = Pid(child.id() as i32);
        assert!(has_children());
        assert!(descendants().contains(&pid));
        child.kill().and_then(|()| child.wait()).unwrap();
        assert!(!descendants().contains(&pid));
    }

    #[test]
    fn a_stop_is_told_once_and_by_its_signal() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let pid = Pid(child.id() as i32);
        assert_eq!(stopped_by(pid), None);
        crate::signal::send(pid, Signal::STOP).unwrap();
        let told = std::iter::repeat_with(|| stopped_by(pid)).take(1_000_000).find_map(|told| told);
        assert_eq!(told, Some(Signal::STOP));
        assert_eq!(stopped_by(pid), None);
        child.kill().and_then(|()| child.wait()).unwrap();
    }
}
