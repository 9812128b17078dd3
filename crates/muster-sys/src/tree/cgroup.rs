//! A separate cgroup for a run, if a writable cgroup v2 directory is available: exact, but expensive.
//!
//! No process leaves a cgroup by forking, so `cgroup.kill` and `cgroup.events` are authoritative for a tree. Joining one is
//! slow, see docs/design/0003-trees.md, so a run gets one only on request, and everything works without. No controller
//! is used. Directories are removed with their run; those of a killed daemon, at the next start.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use muster_spec::RunId;

use super::proc::Proc;
use crate::signal::Pid;

const OURS: &str = "musterd.";

/// Where cgroups can be created, and those that exist.
#[derive(Debug)]
pub(crate) struct Cgroups {
    /// The directory of the daemon's own cgroup, if it is writable.
    home: Option<PathBuf>,
    groups: HashMap<RunId, Cgroup>,
}

#[derive(Debug)]
struct Cgroup {
    directory: PathBuf,
    procs: File,
    events: File,
}

impl Cgroups {
    pub(crate) fn new() -> Cgroups {
        let home =
            own_directory().filter(|directory| is_writable(directory) && is_writable(&directory.join("cgroup.procs")));
        if let Some(home) = &home {
            remove_leftovers(home);
        }
        Cgroups { home, groups: HashMap::new() }
    }

    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.home.clone()
    }

    pub(crate) fn make(&mut self, run: RunId) -> io::Result<BorrowedFd<'_>> {
        let home = self.home.as_ref().ok_or_else(|| io::Error::other("no writable cgroup v2 directory of our own"))?;
        let directory = home.join(format!("{OURS}{}", Pid::this())).join(format!("run.{run}"));
        fs::create_dir_all(&directory)?;
        let procs = OpenOptions::new().write(true).open(directory.join("cgroup.procs"))?;
        let events = File::open(directory.join("cgroup.events"))?;
        let made = self.groups.entry(run).insert_entry(Cgroup { directory, procs, events }).into_mut();
        Ok(made.procs.as_fd())
    }

    /// Whether any process is left in a run's cgroup, at any depth.
    pub(crate) fn is_populated(&self, run: RunId) -> bool {
        let Some(group) = self.groups.get(&run) else { return false };
        let mut text = [0; 64];
        let count = group.events.read_at(&mut text, 0).unwrap_or(0);
        String::from_utf8_lossy(&text[..count]).lines().any(|line| line == "populated 1")
    }

    /// SIGKILL to all processes in a run's cgroup, at any depth and at once. The file exists since Linux 5.14: the walk that
    /// follows in any case does the same in more steps.
    pub(crate) fn kill(&self, run: RunId) {
        if let Some(group) = self.groups.get(&run) {
            let _ = fs::write(group.directory.join("cgroup.kill"), "1");
        }
    }

    /// The run whose cgroup a process is in.
    pub(crate) fn run_of(&self, pid: i32, proc: &mut Proc) -> Option<RunId> {
        if self.groups.is_empty() {
            return None;
        }
        let path = proc.cgroup(pid)?;
        let mut parts = path.split('/').skip_while(|part| *part != format!("{OURS}{}", proc.this()));
        let run = RunId(parts.nth(1)?.strip_prefix("run.")?.parse().ok()?);
        self.groups.contains_key(&run).then_some(run)
    }

    pub(crate) fn remove(&mut self, run: RunId) {
        if let Some(group) = self.groups.remove(&run) {
            remove_tree(&group.directory);
        }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for (_, group) in self.groups.drain() {
            remove_tree(&group.directory);
        }
        if let Some(home) = &self.home {
            let _ = fs::remove_dir(home.join(format!("{OURS}{}", Pid::this())));
        }
    }
}

/// A program may have created cgroups below its own. A populated one cannot be removed, as intended.
fn remove_tree(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}

/// Removes directories of daemons that no longer exist.
fn remove_leftovers(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(OURS)?.parse::<i32>().ok());
        // SAFETY: signal 0 only checks.
        if owner.is_some_and(|pid| pid == Pid::this().0 || unsafe { libc::kill(pid, 0) } == -1) {
            remove_tree(&entry.path());
        }
    }
}

fn is_writable(path: &Path) -> bool {
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()) else { return false };
    // SAFETY: the path is a string with a NUL that lives through the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK, libc::AT_EACCESS) == 0 }
}

/// The directory of our own cgroup in the unified hierarchy, wherever it is mounted.
fn own_directory() -> Option<PathBuf> {
    let groups = read_text("/proc/self/cgroup")?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mounts = read_text("/proc/self/mountinfo")?;
    mounts.lines().find_map(|line| below_mount(line, path)).filter(|directory| directory.is_dir())
}

/// One line of /proc/PID/mountinfo, proc_pid_mountinfo(5): `36 35 98:0 /root /mount/point rw … - cgroup2 cgroup2 rw`.
fn below_mount(line: &str, path: &str) -> Option<PathBuf> {
    let (mount, kind) = line.split_once(" - ")?;
    if kind.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let (root, point) = (mount.split(' ').nth(3)?, mount.split(' ').nth(4)?);
    let below = Path::new(path).strip_prefix(root).ok()?;
    Some(Path::new(point).join(below))
}

fn read_text(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(1 << 20).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_directory_is_found_below_the_mount() {
        let check = |line, path, expected: Option<&str>| {
            assert_eq!(below_mount(line, path), expected.map(PathBuf::from), "{path} in {line}");
        };
        let whole = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw";
        check(whole, "/", Some("/sys/fs/cgroup"));
        check(whole, "/user.slice/a", Some("/sys/fs/cgroup/user.slice/a"));
        check(
            "30 24 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw",
            "/docker/x/sub",
            Some("/sys/fs/cgroup/sub"),
        );
        check("30 24 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw", "/docker/y", None);
        check("30 24 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids", "/", None);
        check("garbage", "/", None);
    }
}
