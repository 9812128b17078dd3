//! Makes machines alike, so that a count is the same on all of them.

use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

const DESCRIPTORS: u64 = 1024;

/// Gives this process, and what it starts, temporary paths of one length, as many descriptors, no ignored signals, and one CPU: the
/// daemon, its programs and strace act in the same order then. To be called before there is a second thread.
pub(crate) fn surroundings() {
    // SAFETY: this process has no other thread yet.
    unsafe { std::env::set_var("TMPDIR", "/tmp") };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("every process has a limit");
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS.min(hard), hard).expect("a limit may be lowered");
    heed_signals();
    use_one_cpu();
}

/// Gives a command the same environment: the daemon copies it for each process.
pub(crate) fn command(command: &mut Command) {
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir("/");
}

/// The daemon resets in each process what it inherited as ignored: SIGINT of a command in the background, or the two signals that glibc
/// keeps for itself and ignores in a process made with posix_spawn(3). sigaction(2) of glibc refuses these two.
fn heed_signals() {
    // The kernel's structure on every architecture has the handler first, and none is larger.
    type Action = [usize; 8];
    let size = 8_usize;
    for signal in (1..=64).filter(|&signal| signal != libc::SIGPIPE) {
        let (default, mut now): (Action, Action) = ([libc::SIG_DFL; 8], [0; 8]);
        // SAFETY: the kernel reads and writes less than these arrays have. The default needs no handler.
        unsafe {
            let is_known = libc::syscall(libc::SYS_rt_sigaction, signal, 0, &raw mut now, size) == 0;
            if is_known && now[0] == libc::SIG_IGN {
                libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, 0, size);
            }
        }
    }
}

fn use_one_cpu() {
    // SAFETY: the size is that of the sets, and any bytes are a valid set.
    unsafe {
        let size = size_of::<libc::cpu_set_t>();
        let (mut allowed, mut last) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sched_getaffinity(0, size, &mut allowed);
        let numbers = 0..libc::CPU_SETSIZE as usize;
        let cpu = numbers.rev().find(|&cpu| libc::CPU_ISSET(cpu, &allowed)).expect("this process runs on one");
        libc::CPU_SET(cpu, &mut last);
        assert_eq!(libc::sched_setaffinity(0, size, &last), 0, "it is one of those allowed");
    }
}
