//! Processes as /proc shows them, found without the code under test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid as the test sees it.
    pub pid: i32,
    /// Its pid in its own pid namespace, as a daemon in there sees it.
    pub inner: i32,
    pub ppid: i32,
    /// The letter of proc(5): R, S, D, T, Z …
    pub state: char,
    pub session: i32,
    pub comm: String,
    /// Its command line, joined with spaces.
    pub command: String,
}

impl Process {
    /// Whether it has exited and has not been reaped.
    pub fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }

    /// Whether its main thread blocks this signal.
    pub fn blocks(&self, number: u32) -> bool {
        let blocked = self.status("SigBlk").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
        blocked.is_some_and(|mask| mask & (1 << (number - 1)) != 0)
    }

    /// A field of /proc/PID/status, verbatim.
    pub fn status(&self, field: &str) -> Option<String> {
        status(self.pid, field)
    }

    /// The targets of its descriptors, by number.
    pub fn descriptors(&self) -> BTreeMap<i32, String> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid)).into_iter().flatten().flatten();
        let descriptors = entries.filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, target.to_string_lossy().into_owned()))
        });
        descriptors.collect()
    }
}

fn status(pid: i32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
}

/// One process, if it exists.
pub fn find(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (before, after) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let inner = status(pid, "NSpid").and_then(|pids| pids.split_ascii_whitespace().next_back()?.parse().ok());
    Some(Process {
        pid,
        inner: inner.unwrap_or(pid),
        ppid: fields.get(1)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        session: fields.get(3)?.parse().ok()?,
        comm: before.split_once('(')?.1.to_owned(),
        command: String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned(),
    })
}

/// Whether the process exists, even as a zombie.
pub fn exists(pid: i32) -> bool {
    find(pid).is_some()
}

/// All processes, by pid.
pub fn everyone() -> BTreeMap<i32, Process> {
    let entries = fs::read_dir("/proc").expect("these tests need /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, find(pid)?))).collect()
}

/// All processes below this one. That is everything in a pid namespace, and a subreaper loses no descendant either.
pub fn below(root: i32) -> Vec<Process> {
    let everyone = everyone();
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for process in everyone.values() {
        children.entry(process.ppid).or_default().push(process.pid);
    }
    let (mut found, mut next) = (BTreeSet::new(), vec![root]);
    while let Some(pid) = next.pop() {
        for &child in children.get(&pid).into_iter().flatten() {
            if found.insert(child) {
                next.push(child);
            }
        }
    }
    found.iter().filter_map(|pid| everyone.get(pid).cloned()).collect()
}
