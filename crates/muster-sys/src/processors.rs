//! The processors that this process may use: its affinity, and the quota of its cgroup.

use std::fs;
use std::path::Path;

use muster_spec::CpuSet;

/// Those that this thread may run on: sched_getaffinity(2). `None` on a machine with more than fit into a set.
pub fn usable() -> Option<CpuSet> {
    let mut words = [0_u64; CpuSet::WORDS];
    // SAFETY: the kernel writes at most as many bytes as the array has.
    let written = unsafe { libc::sched_getaffinity(0, size_of_val(&words), words.as_mut_ptr().cast()) };
    (written >= 0).then(|| CpuSet::from_words(words))
}

/// As many as there is time for: those of [`usable`], at most the quota of the cgroup, rounded up. At least 1.
pub fn count() -> u32 {
    let usable = match usable() {
        Some(set) => set.words().iter().map(|word| word.count_ones()).sum(),
        None => std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
    };
    quota(Path::new("/")).map_or(usable, |quota| usable.min(quota)).max(1)
}

/// The least quota of our cgroup and those above it, in processors, rounded up.
fn quota(root: &Path) -> Option<u32> {
    let lines = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = root.join("sys/fs/cgroup");
    lines
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let is_second = controllers.is_empty();
            let mount = match is_second {
                true => mounts.clone(),
                false if controllers.split(',').any(|name| name == "cpu") => {
                    [controllers, "cpu"].iter().map(|name| mounts.join(name)).find(|mount| mount.is_dir())?
                }
                false => return None,
            };
            let read = if is_second { quota_of_second } else { quota_of_first };
            // A container may see the path on its host, while its own cgroup is mounted.
            let own = mount.join(path.trim_start_matches('/'));
            let below = own.ancestors().take_while(|directory| directory.starts_with(&mount));
            below.filter_map(read).min()
        })
        .min()
}

/// `150000 100000`, or `max 100000`.
fn quota_of_second(directory: &Path) -> Option<u32> {
    let text = fs::read_to_string(directory.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    rounded_up(quota, period)
}

/// A quota of -1 is none.
fn quota_of_first(directory: &Path) -> Option<u32> {
    let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
    rounded_up(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?)
}

fn rounded_up(quota: &str, period: &str) -> Option<u32> {
    let quota: u64 = quota.trim().parse().ok()?;
    let period: u64 = period.trim().parse().ok().filter(|&period| period > 0)?;
    u32::try_from(quota.div_ceil(period)).ok().map(|count| count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_may_use_at_least_one() {
        let all = std::thread::available_parallelism().unwrap().get();
        assert!((1..=1024).contains(&count()));
        assert!(usable().is_none_or(|set| set.words().iter().any(|word| *word != 0)), "{all}");
    }

    #[test]
    fn the_least_quota_counts_and_is_rounded_up() {
        for (cgroup, files, expected) in [
            ("0::/a/b", &[("a/cpu.max", "150000 100000"), ("a/b/cpu.max", "max 100000")][..], Some(2)),
            ("0::/a/b", &[("a/cpu.max", "400000 100000"), ("a/b/cpu.max", "50000 100000")], Some(1)),
            ("0::/", &[("cpu.max", "300000 100000")], Some(3)),
            ("0::/on/the/host", &[("cpu.max", "200001 100000")], Some(3)),
            ("0::/", &[("cpu.max", "max 100000")], None),
            ("0::/", &[], None),
            (
                "4:cpu,cpuacct:/a\n0::/",
                &[("cpu,cpuacct/a/cpu.cfs_quota_us", "250000"), ("cpu,cpuacct/a/cpu.cfs_period_us", "100000")],
                Some(3),
            ),
            ("4:cpu,cpuacct:/a", &[("cpu/cpu.cfs_quota_us", "100000"), ("cpu/cpu.cfs_period_us", "100000")], Some(1)),
            ("4:cpu:/", &[("cpu/cpu.cfs_quota_us", "-1"), ("cpu/cpu.cfs_period_us", "100000")], None),
            ("4:memory:/", &[("cpu.max", "100000 0")], None),
            ("nonsense", &[("cpu.max", "100000 100000")], None),
        ] {
            let root = tempfile::tempdir().unwrap();
            let write = |path: std::path::PathBuf, text: &str| {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            };
            write(root.path().join("proc/self/cgroup"), cgroup);
            files.iter().for_each(|(name, text)| write(root.path().join("sys/fs/cgroup").join(name), text));
            assert_eq!(quota(root.path()), expected, "{cgroup} {files:?}");
        }
    }
}
