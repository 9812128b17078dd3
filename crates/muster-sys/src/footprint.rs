//! Releases memory that only the start needed: the code that parsed the command line and the configuration.
//!
//! A page of a program's code is resident once something near it was executed, and a static executable contains everything
//! it uses. Releasing it is harmless: pages that are needed again come from the page cache, a few at a time.

use std::ffi::c_void;

/// Releases the resident code; what is executed from now on is paged in again. Without /proc it stays.
pub fn release_startup_code() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    for (start, length) in maps.lines().filter_map(code_of_a_file) {
        // SAFETY: nothing ever writes to these pages, so each comes back from its file as it was: madvise(2). It may be
        // refused, and then they stay.
        unsafe { libc::madvise(start as *mut c_void, length, libc::MADV_DONTNEED) };
    }
}

/// The address and the length of a mapping that is executable, not writable, and backed by a file: proc_pid_maps(5).
fn code_of_a_file(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, permissions, inode) = (fields.next()?, fields.next()?, fields.nth(2)?);
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    (permissions == "r-xp" && inode != "0").then_some((start, end - start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_given_back() {
        let code = "7f0000001000-7f0000003000 r-xp 00001000 fe:00 1234                       /usr/bin/musterd";
        assert_eq!(code_of_a_file(code), Some((0x7f00_0000_1000, 0x2000)));
        for other in [
            "7f0000003000-7f0000004000 r--p 00003000 fe:00 1234                       /usr/bin/musterd",
            "7f0000004000-7f0000005000 rwxp 00004000 fe:00 1234                       /usr/bin/musterd",
            "7ffd0000a000-7ffd0000c000 r-xp 00000000 00:00 0                          [vdso]",
            "",
        ] {
            assert_eq!(code_of_a_file(other), None, "{other}");
        }
    }

    #[test]
    fn what_was_given_back_comes_again() {
        let resident = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(2).and_then(|shared| shared.parse::<u64>().ok()).unwrap()
        };
        let before = resident();
        release_startup_code();
        assert!(resident() < before, "nothing was given back");
    }
}
