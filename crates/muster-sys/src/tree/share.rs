//! The memory of a process in which each shared page counts in parts: its proportional set size.

use std::fs;

use crate::signal::Pid;

/// The proportional set size of a process in bytes; `None` if the kernel does not tell it, or the process has ended.
///
/// Walks the page tables under the process's own lock: 12 ms for each GB of small pages, so call it on a thread of its own.
pub fn proportional_bytes(pid: Pid) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.0)).ok()?)
}

fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_all_mappings_is_found() {
        let text = "55d0 ---p 00000000 00:00 0  [rollup]\nRss:  900 kB\nPss:   123 kB\nPss_Dirty:  7 kB\n";
        assert_eq!(parse(text), Some(123 * 1024));
        assert_eq!(parse("Rss: 9 kB\n"), None);
        assert!(proportional_bytes(Pid::this()).is_none_or(|bytes| bytes > 0));
        assert_eq!(proportional_bytes(Pid(-1)), None);
    }
}
