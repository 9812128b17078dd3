//! The way into the background: a child in a session of its own that outlives the process that the caller waits for.
//!
//! The first process does not exit before the child reports that it is up, so that its exit code tells whether the
//! start succeeded; what the child says until then goes to the caller's stderr.

use std::ffi::c_int;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitStatus;

use crate::fd::{check, input_pipe};

/// The connection to the process that the caller waits for.
#[derive(Debug)]
pub struct Background {
    /// One byte is written when the child is up.
    report: File,
    /// The caller's stderr.
    stderr: File,
}

/// Continues in a child with /dev/null as standard input, output and error. Needs a process with one thread, and is
/// refused otherwise.
///
/// Only the child returns. The first process waits for [`Background::report_up`] and exits with 0, or with the child's
/// exit code.
pub fn enter() -> io::Result<Background> {
    if fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return Err(io::Error::other("a process with several threads cannot be copied"));
    }
    let stderr = io::stderr().as_fd().try_clone_to_owned()?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let (reading, writing) = input_pipe()?;
    let (mut reading, report) = (File::from(reading), File::from(writing));
    // SAFETY: this process has one thread, so the child is a full copy in which anything may be called.
    let child = check(unsafe { libc::fork() })?;
    if child > 0 {
        // Otherwise the end of the child would not be the end of the pipe.
        drop(report);
        crate::boot::give_signals_back();
        exit_as(child, &mut reading);
    }
    // SAFETY: touches no memory. It fails only for the leader of a group, which a new process is not.
    check(unsafe { libc::setsid() })?;
    for standard in 0..=2 {
        // SAFETY: both descriptors are open, or the second becomes so.
        check(unsafe { libc::dup2(null.as_raw_fd(), standard) })?;
    }
    Ok(Background { report, stderr: stderr.into() })
}

impl Background {
    /// Writes a line to the caller's stderr.
    pub fn complain(&mut self, line: &str) {
        let _ = writeln!(self.stderr, "{line}");
    }

    /// Lets the first process exit with 0.
    pub fn report_up(mut self) {
        // It may have been killed meanwhile.
        let _ = self.report.write_all(&[0]);
    }
}

/// Waits for the child's report and exits.
fn exit_as(child: c_int, report: &mut impl Read) -> ! {
    let is_up = report.read_exact(&mut [0]).is_ok();
    let code = if is_up { 0 } else { exit_code_of(child) };
    // SAFETY: ends this process; nothing that it shares with the child is touched.
    unsafe { libc::_exit(code) }
}

fn exit_code_of(child: c_int) -> c_int {
    use std::os::unix::process::ExitStatusExt;
    let mut status = 0;
    loop {
        // SAFETY: `status` has room for the number that waitpid writes.
        if unsafe { libc::waitpid(child, &mut status, 0) } == child {
            return ExitStatus::from_raw(status).code().unwrap_or(1);
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return 1;
        }
    }
}
