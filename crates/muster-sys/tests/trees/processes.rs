//! Small operations on processes, and a view of all of them that shares no code with the code under test.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use muster_sys::signal::Pid;

/// Forks, and ends the child after `life` without running anything of the test harness.
pub(crate) fn fork(life: impl FnOnce()) -> Pid {
    // SAFETY: the other threads, if any, wait for this one and hold no lock that the child needs.
    match unsafe { libc::fork() } {
        0 => {
            let code = if catch_unwind(AssertUnwindSafe(life)).is_ok() { 0 } else { 101 };
            // SAFETY: ends the process.
            unsafe { libc::_exit(code) }
        }
        pid => {
            assert!(pid > 0, "fork: {}", std::io::Error::last_os_error());
            Pid(pid)
        }
    }
}

/// Sleeps indefinitely, in small steps, since an ignored SIGCONT still ends a pause(2).
pub(crate) fn sleep_indefinitely() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

pub(crate) fn exec_shell(script: &str) {
    let script = CString::new(script).unwrap();
    let arguments = [c"sh".as_ptr(), c"-c".as_ptr(), script.as_ptr(), std::ptr::null()];
    // SAFETY: the array of strings ends with a null pointer and lives until exec.
    unsafe { libc::execv(c"/bin/sh".as_ptr(), arguments.as_ptr()) };
    panic!("no /bin/sh: {}", std::io::Error::last_os_error());
}

/// Every process: its parent, and its line in /proc for people to read.
pub(crate) fn everyone() -> BTreeMap<i32, (i32, String)> {
    let mut everyone = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        let ppid = rest.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ");
        everyone.insert(pid, (ppid, format!("{name}){} {line}", &rest[..2])));
    }
    everyone
}

/// All descendants of `top`.
pub(crate) fn below(top: i32, everyone: &BTreeMap<i32, (i32, String)>) -> impl Iterator<Item = i32> {
    let mut below: BTreeSet<i32> = [top].into();
    loop {
        let is_new = |(pid, (ppid, _)): &(&i32, &(i32, String))| below.contains(ppid) && !below.contains(pid);
        let more: Vec<i32> = everyone.iter().filter(is_new).map(|(&pid, _)| pid).collect();
        if more.is_empty() {
            return below.into_iter().filter(move |&pid| pid != top);
        }
        below.extend(more);
    }
}
