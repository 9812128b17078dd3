//! Detects OOM kills: the counters of our own cgroup, v2 or v1.
//!
//! The kernel counts a kill before it sends the signal, so the kill of a reaped process is already counted. A
//! counter shows how many, not which: [`Kills::since_last_look`] returns the number since the last call, and the caller can claim
//! only that. Both files are reread through descriptors that are opened once.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Longer than either file can be.
const LONGEST: usize = 512;

/// The OOM kill counter of our cgroup and those below it.
#[derive(Debug)]
pub struct Kills {
    file: Option<File>,
    seen: u64,
}

impl Kills {
    /// Opens the counter of the cgroup of this process. Earlier kills are not reported.
    pub fn of_own_cgroup() -> Kills {
        Kills::below(Path::new("/"))
    }

    /// The same in another file system, for tests.
    fn below(root: &Path) -> Kills {
        let file = find(root).and_then(|path| File::open(path).ok());
        let mut kills = Kills { file, seen: 0 };
        kills.seen = kills.count().unwrap_or(0);
        kills
    }

    /// The number of kills since the last call; `None` if the kernel does not report them.
    pub fn since_last_look(&mut self) -> Option<u64> {
        let now = self.count()?;
        // The counter of a cgroup never decreases; that of a recreated one starts at zero.
        let before = std::mem::replace(&mut self.seen, now);
        Some(if now >= before { now - before } else { now })
    }

    fn count(&self) -> Option<u64> {
        let mut text = [0; LONGEST];
        let length = self.file.as_ref()?.read_at(&mut text, 0).ok()?;
        parse(std::str::from_utf8(&text[..length]).ok()?)
    }
}

/// The most memory that our cgroup may have, in bytes, if it has a limit of its own.
pub fn limit() -> Option<u64> {
    limit_below(Path::new("/"))
}

fn limit_below(root: &Path) -> Option<u64> {
    let counter = find(root)?;
    let is_second = counter.file_name().is_some_and(|name| name == "memory.events");
    let file = counter.with_file_name(if is_second { "memory.max" } else { "memory.limit_in_bytes" });
    // Version 1 writes a number of about 2^63 for no limit, and version 2 the word `max`.
    std::fs::read_to_string(file).ok()?.trim().parse().ok().filter(|&limit| limit < 1 << 60)
}

/// `oom_kill` in memory.events (cgroup v2, since Linux 4.13) and in memory.oom_control (v1, since 4.13).
fn parse(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// The file with the counter: in the unified hierarchy, or otherwise in the memory controller's own. A hybrid system has
/// the controller in only one of them, and the other has no such file.
fn find(root: &Path) -> Option<PathBuf> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let (groups, mounts) = (read("proc/self/cgroup")?, read("proc/self/mountinfo")?);
    let candidates = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        match controllers {
            "" => Some(("cgroup2", path, "memory.events")),
            _ if controllers.split(',').any(|name| name == "memory") => Some(("cgroup", path, "memory.oom_control")),
            _ => None,
        }
    });
    let in_place = |(kind, path, file): (&str, &str, &str)| {
        let directory = mounts.lines().find_map(|line| below_mount(line, kind, path))?;
        let file = root.join(directory.strip_prefix("/").ok()?).join(file);
        file.exists().then_some(file)
    };
    let found: Vec<PathBuf> = candidates.filter_map(in_place).collect();
    found.into_iter().find(|file| std::fs::read_to_string(file).is_ok_and(|text| parse(&text).is_some()))
}

/// The directory of the cgroup `path` below one line of /proc/PID/mountinfo (proc_pid_mountinfo(5)), if that mounts this kind of
/// hierarchy, with the memory controller in version 1. In a container without its own cgroup namespace the path is the
/// host's, and so is the root of the mount.
fn below_mount(line: &str, kind: &str, path: &str) -> Option<PathBuf> {
    let (mount, system) = line.split_once(" - ")?;
    let mut system = system.split(' ');
    let is_memory = |options: &str| kind == "cgroup2" || options.split(',').any(|option| option == "memory");
    if system.next() != Some(kind) || !system.nth(1).is_some_and(is_memory) {
        return None;
    }
    let (root, point) = (mount.split(' ').nth(3)?, mount.split(' ').nth(4)?);
    Some(Path::new(point).join(Path::new(path).strip_prefix(root).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file system with these files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    const V2_MOUNT: &str = "30 24 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n";
    const EVENTS: &str = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n";
    const V1: &str = "9:pids:/docker/x\n8:cpu,cpuacct:/docker/x\n5:memory:/docker/x\n1:name=systemd:/docker/x\n0::/\n";
    const V1_MOUNTS: &str = "\
        40 30 0:30 /docker/x /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n\
        41 30 0:31 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";

    #[test]
    fn the_counter_of_version_2_is_found_and_counts_what_is_new() {
        let root = tree(&[
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/memory.events", EVENTS),
        ]);
        let mut kills = Kills::below(root.path());
        assert_eq!(kills.since_last_look(), Some(0), "what was before is not news");
        let more = EVENTS.replace("oom_kill 2", "oom_kill 5");
        std::fs::write(root.path().join("sys/fs/cgroup/memory.events"), more).unwrap();
        assert_eq!((kills.since_last_look(), kills.since_last_look()), (Some(3), Some(0)));
    }

    #[test]
    fn a_cgroup_below_the_mount_is_found() {
        let root = tree(&[
            ("proc/self/cgroup", "0::/system.slice/musterd.service\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/system.slice/musterd.service/memory.events", EVENTS),
        ]);
        assert_eq!(Kills::below(root.path()).seen, 2);
    }

    #[test]
    fn the_counter_of_version_1_is_found_where_the_paths_are_the_hosts() {
        let root = tree(&[
            ("proc/self/cgroup", V1),
            ("proc/self/mountinfo", V1_MOUNTS),
            ("sys/fs/cgroup/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"),
        ]);
        assert_eq!(Kills::below(root.path()).seen, 7);
    }

    #[test]
    fn where_the_kernel_does_not_tell_nothing_is_said() {
        let old = "oom_kill_disable 0\nunder_oom 0\n";
        for files in [
            vec![],
            vec![("proc/self/cgroup", "0::/\n"), ("proc/self/mountinfo", V2_MOUNT)],
            vec![
                ("proc/self/cgroup", V1),
                ("proc/self/mountinfo", V1_MOUNTS),
                ("sys/fs/cgroup/memory/memory.oom_control", old),
            ],
            vec![("proc/self/cgroup", "garbage"), ("proc/self/mountinfo", "garbage")],
        ] {
            let root = tree(&files);
            assert_eq!(Kills::below(root.path()).since_last_look(), None, "{files:?}");
        }
    }

    #[test]
    fn the_limit_is_beside_the_counter() {
        let of = |text: &str| {
            let root = tree(&[
                ("proc/self/cgroup", "0::/x\n"),
                ("proc/self/mountinfo", V2_MOUNT),
                ("sys/fs/cgroup/x/memory.events", EVENTS),
                ("sys/fs/cgroup/x/memory.max", text),
            ]);
            limit_below(root.path())
        };
        assert_eq!((of("268435456\n"), of("max\n")), (Some(268_435_456), None));
    }
}
