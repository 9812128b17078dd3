//! Reads what trees need from /proc: existing processes, their parents, sessions and start times.
//!
//! Each file is read whole and at once, since a process may exit at any time; callers treat an unreadable process
//! as gone. Only reads, and never decides anything. Without a usable /proc every query
//! has an empty result.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::signal::Pid;

/// One process may have a hundred thousand children, so their list is read in pieces of this size.
const PIECE_BYTES: usize = 16 * 1024;

/// The default maximum size of a file in /proc: environments and command lines.
const LONGEST_FILE: u64 = 1 << 20;

/// The maximum size of a command line: it may have megabytes, and clients may request thousands of them.
const LONGEST_COMMAND: u64 = 4096;

/// From <linux/sched.h>: a kernel thread. Only a PID 1 outside of any container ever sees one.
const PF_KTHREAD: u32 = 0x0020_0000;

/// The content of /proc/PID/stat: proc_pid_stat(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    pub(crate) comm: String,
    pub(crate) state: u8,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    pub(crate) flags: u32,
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
    pub(crate) threads: u64,
    /// Clock ticks after boot. Together with the pid it identifies a process permanently: a pid is not reused within one tick.
    pub(crate) start: u64,
    pub(crate) resident_pages: u64,
}

impl Stat {
    /// The known data of a child of ours that /proc does not show (mounted with `hidepid`, and of another user).
    pub(crate) fn hidden(pid: i32, parent: i32, group: i32, session: i32) -> Stat {
        Stat {
            pid,
            comm: "?".to_owned(),
            state: b'?',
            parent,
            group,
            session,
            flags: 0,
            user_ticks: 0,
            system_ticks: 0,
            threads: 1,
            start: 0,
            resident_pages: 0,
        }
    }

    /// Whether it can still run. A process looks like a zombie if its main thread exited before the others.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x') || self.threads > 1
    }

    /// Whether it was stopped by a signal, or by a debugger.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    pub(crate) fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }

    /// The text contains the process's own name, which may be anything, so the rest is located from the end.
    fn parse(text: &[u8]) -> Option<Stat> {
        let (open, close) = (text.iter().position(|&byte| byte == b'(')?, text.iter().rposition(|&byte| byte == b')')?);
        let pid = std::str::from_utf8(text.get(..open)?).ok()?.trim().parse().ok()?;
        let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
        let mut fields = std::str::from_utf8(text.get(close + 1..)?).ok()?.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let mut skip_then = |count: usize| fields.nth(count);
        Some(Stat {
            pid,
            comm,
            state,
            parent: skip_then(0)?.parse().ok()?,
            group: skip_then(0)?.parse().ok()?,
            session: skip_then(0)?.parse().ok()?,
            flags: skip_then(2)?.parse().ok()?,
            user_ticks: skip_then(4)?.parse().ok()?,
            system_ticks: skip_then(0)?.parse().ok()?,
            threads: skip_then(4)?.parse().ok()?,
            start: skip_then(1)?.parse().ok()?,
            resident_pages: skip_then(1)?.parse().ok()?,
        })
    }
}

/// A reader of /proc that keeps its buffers and the list of our own children open.
#[derive(Debug)]
pub(crate) struct Proc {
    this: i32,
    usable: bool,
    /// The list of the main thread's children, which adopts orphans: find_new_reaper() in the kernel prefers it.
    own_children: Option<File>,
    path: String,
    bytes: Vec<u8>,
}

impl Proc {
    pub(crate) fn new() -> Proc {
        let this = Pid::this().0;
        // If mounted from another pid namespace, its numbers would mean other processes: worse than none.
        let usable = fs::read_link("/proc/self").is_ok_and(|target| target == Path::new(&this.to_string()));
        let own_children = if usable { File::open(format!("/proc/{this}/task/{this}/children")).ok() } else { None };
        Proc { this, usable, own_children, path: String::new(), bytes: Vec::new() }
    }

    pub(crate) fn restrict(&mut self, usable: bool, with_children_lists: bool) {
        self.usable &= usable;
        if !self.usable || !with_children_lists {
            self.own_children = None;
        }
    }

    /// Whether there is a /proc of our own pid namespace.
    pub(crate) fn is_usable(&self) -> bool {
        self.usable
    }

    /// Whether the kernel lists children (`CONFIG_PROC_CHILDREN`). Without, every query costs a scan of /proc.
    pub(crate) fn lists_children(&self) -> bool {
        self.own_children.is_some()
    }

    pub(crate) fn this(&self) -> i32 {
        self.this
    }

    /// Our own direct children, including zombies. `None` if unknown.
    ///
    /// Only our own reaping removes an entry from this list, so no entry is missed while it is read: the caveat of
    /// proc_pid_task_children(5) is about lists of running foreign processes.
    pub(crate) fn own_children(&mut self, children: &mut Vec<i32>) -> Option<()> {
        children.clear();
        if let Some(file) = &self.own_children {
            self.bytes.resize(PIECE_BYTES, 0);
            let mut offset = 0;
            let mut digits = Digits::default();
            loop {
                let count = file.read_at(&mut self.bytes, offset).ok()?;
                if count == 0 {
                    return Some(());
                }
                offset += count as u64;
                digits.read(&self.bytes[..count], children);
            }
        }
        let this = self.this;
        self.usable.then(|| children.extend(self.scan().iter().filter(|stat| stat.parent == this).map(|stat| stat.pid)))
    }

    /// The children of all threads of one process.
    pub(crate) fn children(&mut self, of: &Stat, children: &mut Vec<i32>) {
        let pid = of.pid;
        if of.threads <= 1 {
            return self.thread_children(pid, pid, children);
        }
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
        for thread in threads.flatten().filter_map(|entry| number_of(&entry)) {
            self.thread_children(pid, thread, children);
        }
    }

    fn thread_children(&mut self, pid: i32, thread: i32, children: &mut Vec<i32>) {
        if self.read(format_args!("/proc/{pid}/task/{thread}/children")) {
            Digits::default().read(&self.bytes, children);
        }
    }

    pub(crate) fn stat(&mut self, pid: i32) -> Option<Stat> {
        if self.read(format_args!("/proc/{pid}/stat")) { Stat::parse(&self.bytes) } else { None }
    }

    /// All visible processes. Not an atomic snapshot: processes may start, exit and move meanwhile.
    pub(crate) fn scan(&mut self) -> Vec<Stat> {
        self.pids().into_iter().filter_map(|pid| self.stat(pid)).collect()
    }

    /// The pids of all visible processes.
    pub(crate) fn pids(&self) -> Vec<i32> {
        if !self.usable {
            return Vec::new();
        }
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| number_of(&entry)).collect()
    }

    /// A variable of the environment that the process was started with. `Unknown` if the kernel does not show it:
    /// another user's process, one that is being executed at this moment, a zombie.
    pub(crate) fn variable(&mut self, pid: i32, name: &str) -> Variable {
        if !self.read(format_args!("/proc/{pid}/environ")) || self.bytes.is_empty() {
            return Variable::Unknown;
        }
        let value = self
            .bytes
            .split(|&byte| byte == 0)
            .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .map(|value| String::from_utf8_lossy(value).into_owned());
        value.map_or(Variable::Unset, Variable::Set)
    }

    /// The command line with its arguments, or its name in brackets if it has none. One that is longer than 4 KiB is truncated
    /// and ends with an ellipsis.
    pub(crate) fn command(&mut self, stat: &Stat) -> String {
        let pid = stat.pid;
        let readable = self.read_up_to(LONGEST_COMMAND + 1, format_args!("/proc/{pid}/cmdline"));
        let is_cut = self.bytes.len() as u64 > LONGEST_COMMAND;
        self.bytes.truncate(LONGEST_COMMAND as usize);
        let line = if readable { self.bytes.trim_ascii_end() } else { &[] };
        let line = line.strip_suffix(&[0]).unwrap_or(line);
        if line.is_empty() {
            return format!("[{}]", stat.comm);
        }
        let mut line = line.split(|&byte| byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
        if is_cut {
            line.push('…');
        }
        line
    }

    /// The hard limit of this name in /proc/PID/limits, which every user may read. `None` if it is unlimited.
    pub(crate) fn hard_limit(&mut self, pid: i32, name: &str) -> Option<u64> {
        if !self.read(format_args!("/proc/{pid}/limits")) {
            return None;
        }
        let text = std::str::from_utf8(&self.bytes).ok()?;
        let limits = text.lines().find_map(|line| line.strip_prefix(name))?;
        limits.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    /// The real user of a process, from /proc/PID/status, which every user may read.
    pub(crate) fn user(&mut self, pid: i32) -> Option<u32> {
        if !self.read(format_args!("/proc/{pid}/status")) {
            return None;
        }
        // The program's name has its own line, with newlines escaped.
        let line = self.bytes.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
        std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse().ok()
    }

    /// The path of a process's cgroup in the unified hierarchy.
    pub(crate) fn cgroup(&mut self, pid: i32) -> Option<String> {
        if !self.read(format_args!("/proc/{pid}/cgroup")) {
            return None;
        }
        let text = std::str::from_utf8(&self.bytes).ok()?;
        text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
    }

    /// Reads a whole file into the buffer; returns whether that succeeded.
    fn read(&mut self, path: std::fmt::Arguments<'_>) -> bool {
        self.read_up_to(LONGEST_FILE, path)
    }

    fn read_up_to(&mut self, most: u64, path: std::fmt::Arguments<'_>) -> bool {
        self.bytes.clear();
        if !self.usable {
            return false;
        }
        self.path.clear();
        self.path.write_fmt(path).is_ok()
            && File::open(&self.path).and_then(|file| file.take(most).read_to_end(&mut self.bytes)).is_ok()
    }
}

/// The value of a variable in the environment of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// It is set to this.
    Set(String),
    /// The environment was readable and does not have it.
    Unset,
    /// The environment could not be read now.
    Unknown,
}

fn number_of(entry: &fs::DirEntry) -> Option<i32> {
    entry.file_name().to_str()?.parse().ok()
}

/// Numbers between spaces, which may arrive in pieces.
#[derive(Default)]
struct Digits {
    unfinished: Option<i32>,
}

impl Digits {
    fn read(&mut self, bytes: &[u8], numbers: &mut Vec<i32>) {
        for &byte in bytes {
            if byte.is_ascii_digit() {
                let digit = i32::from(byte - b'0');
                self.unfinished = Some(self.unfinished.unwrap_or(0).wrapping_mul(10).wrapping_add(digit));
            } else {
                numbers.extend(self.unfinished.take());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_confuse_the_reader() {
        let line =
            b"42 (a) R (b) S 7 40 39 0 -1 4194560 1 0 0 0 11 22 0 0 20 0 3 0 123456 1000 250 18446744073709551615";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.comm.as_str(), stat.state), (42, "a) R (b", b'S'));
        assert_eq!((stat.parent, stat.group, stat.session, stat.flags), (7, 40, 39, 4_194_560));
        assert_eq!((stat.user_ticks, stat.system_ticks, stat.threads), (11, 22, 3));
        assert_eq!((stat.start, stat.resident_pages), (123_456, 250));
    }

    #[test]
    fn garbage_is_no_process() {
        for line in
            ["", "1", "1 (x", "1 (x)", "1 (x) S", "1 (x) S 2 3", "x (x) S 1 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 1 1 1"]
        {
            assert_eq!(Stat::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_dead_main_thread_with_others_left_is_not_dead() {
        let with = |state, threads| {
            Stat::parse(format!("1 (x) {state} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 {threads} 0 1 1 1").as_bytes()).unwrap()
        };
        assert!(with("Z", 2).is_alive() && !with("Z", 1).is_alive() && !with("X", 0).is_alive());
        assert!(with("T", 1).is_stopped() && with("t", 1).is_stopped() && !with("S", 1).is_stopped());
    }

    #[test]
    fn numbers_may_be_cut_between_two_pieces() {
        let (mut digits, mut numbers) = (Digits::default(), Vec::new());
        for piece in ["12 3", "4 ", "56", " "] {
            digits.read(piece.as_bytes(), &mut numbers);
        }
        assert_eq!(numbers, [12, 34, 56]);
    }

    #[test]
    fn this_process_is_read_as_it_is() {
        let mut proc = Proc::new();
        assert!(proc.is_usable());
        let this = proc.this();
        let stat = proc.stat(this).unwrap();
        assert!(stat.is_alive() && stat.start > 0 && stat.resident_pages > 0);
        assert!(proc.scan().iter().any(|seen| seen.pid == this && seen.start == stat.start));
        assert_eq!(proc.variable(this, "MUSTER_SURELY_UNSET"), Variable::Unset);
        assert!(proc.command(&stat).starts_with(&std::env::args().next().unwrap()));
    }
}
