//! The new process until it executes its program: only system calls, in a fixed order.
//!
//! This code may run in the daemon's own memory, concurrently with the daemon (see `docs/design/0002-spawn.md`). Therefore it
//! allocates nothing, locks nothing, frees nothing, calls no C function, indexes no slice and cannot panic; it reads
//! [`Orders`], which are complete before it begins, and writes its stack and its report. [`super::explain`] turns the report
//! into a message.
//!
//! The order matters. Limits, the nice value and [`super::scheduling`] need privileges that are dropped with the change of
//! user, and so do the capabilities' own limits; [`super::privileges`] has these. The directory comes after the user, who may have no access to it. Signals stay blocked until the last moment: one that arrives meanwhile stays
//! pending, and kills then.

use std::ffi::{c_char, c_int, c_long};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::Ordering;

use super::privileges::{self, PrivilegeOrders};
use super::raw;
use super::scheduling::{self, SchedulingOrders};
use super::slot::{Evidence, HEAD, Report};
use super::table::{self, TableOrders};
use crate::boot::CLOSE_RANGE_CLOEXEC;
use crate::signal::{KERNEL_SET_BYTES, SignalSet};

/// The current step of a child. The numbers are written to its report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Stage {
    /// Nothing done yet; signals are reset to their default actions.
    Begin = 0,
    /// Leaving the daemon's descriptor table: close_range(2). A later step means that it has been left.
    Table,
    /// setsid(2).
    Session,
    /// dup3(2) to 0, 1 and 2.
    Stdio,
    /// Writing /proc/self/oom_score_adj.
    OomScoreAdj,
    /// prlimit(2); the detail is the index of the limit.
    Rlimit,
    /// setpriority(2).
    Nice,
    /// ioprio_set(2).
    Ioprio,
    /// sched_setscheduler(2).
    Sched,
    /// sched_setaffinity(2); the detail is the number of a processor that cannot be had.
    Affinity,
    /// prctl(2), PR_CAPBSET_DROP; the detail is the number of the capability.
    Bounding,
    /// prctl(2), PR_SET_KEEPCAPS.
    KeepCapabilities,
    /// prctl(2), PR_SET_SECUREBITS.
    Securebits,
    /// setgroups(2).
    Groups,
    /// setresgid(2).
    Gid,
    /// setresuid(2).
    Uid,
    /// capset(2).
    Capabilities,
    /// prctl(2), PR_CAP_AMBIENT_RAISE; the detail is the number of the capability.
    Ambient,
    /// prctl(2), PR_SET_NO_NEW_PRIVS.
    NoNewPrivileges,
    /// chdir(2).
    Chdir,
    /// Unblocking signals: pending ones act now.
    Unblock,
    /// execve(2); the detail is the index of the candidate.
    Exec,
}

impl Stage {
    const ALL: [Stage; 22] = [
        Stage::Begin,
        Stage::Table,
        Stage::Session,
        Stage::Stdio,
        Stage::OomScoreAdj,
        Stage::Rlimit,
        Stage::Nice,
        Stage::Ioprio,
        Stage::Sched,
        Stage::Affinity,
        Stage::Bounding,
        Stage::KeepCapabilities,
        Stage::Securebits,
        Stage::Groups,
        Stage::Gid,
        Stage::Uid,
        Stage::Capabilities,
        Stage::Ambient,
        Stage::NoNewPrivileges,
        Stage::Chdir,
        Stage::Unblock,
        Stage::Exec,
    ];

    pub(super) fn from_number(number: u32) -> Stage {
        Stage::ALL.into_iter().find(|&stage| stage as u32 == number).unwrap_or(Stage::Begin)
    }
}

/// The detail of a failed PATH search that found no file at all.
pub(super) const NO_CANDIDATE: u32 = u32::MAX;

/// A limit in prlimit(2)'s layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Limit {
    pub(super) resource: u32,
    pub(super) values: LimitValues,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct LimitValues {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

/// A descriptor of the daemon's, and its number in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Passed {
    pub(super) source: c_int,
    pub(super) target: c_int,
}

/// The digits of the largest possible pid: an `int`.
pub(super) const PID_DIGITS: usize = 10;

/// An array by its address and length. Not a slice: indexing one could panic.
pub(super) struct Array<T> {
    pub(super) start: *const T,
    pub(super) count: usize,
}

/// Everything the child needs, in the kernel's formats. The pointers refer to memory that lives until the child
/// has executed its program or exited.
pub(super) struct Orders {
    pub(super) report: *const Report,
    pub(super) evidence: *mut Evidence,
    /// Set if the daemon reserves descriptors for children.
    pub(super) table: Option<TableOrders>,
    /// Signals that the daemon handles or ignores.
    pub(super) not_default: SignalSet,
    /// Signals that the program is to ignore.
    pub(super) ignored: SignalSet,
    /// The sources of 0, 1 and 2. Their numbers are 3 or more, so no step overwrites the source of another.
    pub(super) stdio: [c_int; 3],
    /// Whether standard input is a terminal that becomes the controlling one of the new session.
    pub(super) takes_terminal: bool,
    /// Further descriptors. No source is the target of another.
    pub(super) passed: Array<Passed>,
    pub(super) umask: u32,
    /// The digits to write.
    pub(super) oom_score_adj: Option<Array<u8>>,
    pub(super) limits: Array<Limit>,
    pub(super) nice: Option<c_int>,
    pub(super) scheduling: SchedulingOrders,
    pub(super) privileges: PrivilegeOrders,
    pub(super) groups: Option<Array<u32>>,
    pub(super) gid: Option<u32>,
    pub(super) uid: Option<u32>,
    /// Where to write its own pid in the environment, each with room for [`PID_DIGITS`] and a NUL. Null for nowhere.
    pub(super) own_pid: [*mut u8; 2],
    /// Null keeps the current directory.
    pub(super) directory: *const c_char,
    /// The files to try, ended by a null pointer.
    pub(super) candidates: *const *const c_char,
    pub(super) arguments: *const *const c_char,
    pub(super) environment: *const *const c_char,
}

/// The child's main. `orders` is an `*const Orders`.
///
/// # Safety
/// Everything behind `orders` is complete and stays. To be called in a new process only, as its first function.
pub(super) unsafe extern "C" fn main(orders: *const ()) -> ! {
    // SAFETY: the caller's promise, for this and for every call made from here.
    unsafe {
        let orders = &*orders.cast::<Orders>();
        table::leave(orders);
        dispose(orders.not_default, libc::SIG_DFL);
        dispose(orders.ignored, libc::SIG_IGN);
        take_session(orders);
        take_stdio(orders);
        take_limits(orders);
        scheduling::take(orders);
        privileges::limit(orders);
        become_user(orders);
        privileges::settle(orders);
        enter_directory(orders);
        let [first, second] = orders.own_pid;
        write_own_pid(first);
        write_own_pid(second);
        at(orders, Stage::Unblock, 0);
        let nothing_blocked = SignalSet::NONE;
        let set = &raw const nothing_blocked.0 as usize;
        let _ = raw::syscall(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as usize, set, 0, KERNEL_SET_BYTES]);
        execute(orders)
    }
}

#[inline(always)]
pub(super) unsafe fn at(orders: &Orders, stage: Stage, detail: u32) {
    // SAFETY: the report lives as long as the orders.
    let report = unsafe { &*orders.report };
    report.detail.store(detail, Ordering::Relaxed);
    // A thread that sees the step sees that the table was left before it.
    report.stage.store(stage as u32, Ordering::Release);
}

/// Makes a call that must succeed; otherwise the child fails.
#[inline(always)]
pub(super) unsafe fn must<const N: usize>(orders: &Orders, number: c_long, arguments: [usize; N]) {
    // SAFETY: the caller's promise.
    if let Err(errno) = unsafe { raw::syscall(number, arguments) } {
        // SAFETY: as above.
        unsafe { fail(orders, errno) }
    }
}

pub(super) unsafe fn fail(orders: &Orders, errno: c_int) -> ! {
    // SAFETY: the report lives as long as the orders.
    unsafe { (*orders.report).errno.store(errno, Ordering::Relaxed) };
    let status = if errno == libc::ENOENT { 127 } else { 126 };
    loop {
        // SAFETY: ends this process and no other: threads of the daemon are in another thread group.
        let _ = unsafe { raw::syscall(libc::SYS_exit_group, [status]) };
    }
}

/// Gives all of these signals this disposition, SIG_DFL or SIG_IGN. execve(2) resets handlers but keeps ignored signals,
/// and the daemon ignores at least SIGPIPE. Handlers are reset as well: one that ran here would run in the daemon's memory.
unsafe fn dispose(signals: SignalSet, disposition: libc::sighandler_t) {
    // The kernel's structure begins with the disposition; the rest is zero, whatever the order of the fields: no flags.
    // Larger than any kernel's struct sigaction.
    let action = [disposition, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut left = signals.0;
    while left != 0 {
        let signal = left.trailing_zeros() as usize + 1;
        let arguments = [signal, action.as_ptr() as usize, 0, KERNEL_SET_BYTES];
        // SAFETY: the kernel reads `action`.
        let _ = unsafe { raw::syscall(libc::SYS_rt_sigaction, arguments) };
        left &= left - 1;
    }
}

unsafe fn take_session(orders: &Orders) {
    // SAFETY: setsid and umask touch no memory.
    unsafe {
        at(orders, Stage::Session, 0);
        must(orders, libc::SYS_setsid, []);
        let _ = raw::syscall(libc::SYS_umask, [orders.umask as usize]);
    }
}

unsafe fn take_stdio(orders: &Orders) {
    let [stdin, stdout, stderr] = orders.stdio;
    // SAFETY: the child has a descriptor table of its own.
    unsafe {
        at(orders, Stage::Stdio, 0);
        must(orders, libc::SYS_dup3, [stdin as usize, 0, 0]);
        must(orders, libc::SYS_dup3, [stdout as usize, 1, 0]);
        must(orders, libc::SYS_dup3, [stderr as usize, 2, 0]);
        if orders.takes_terminal {
            must(orders, libc::SYS_ioctl, [0, libc::TIOCSCTTY as usize, 0]);
        }
        // All our descriptors are close-on-exec already; this is for those that a library might open. If the kernel
        // does not know the call, nothing is lost.
        let _ = raw::syscall(libc::SYS_close_range, [3, u32::MAX as usize, CLOSE_RANGE_CLOEXEC as usize]);
        let mut index = 0;
        while index < orders.passed.count {
            let passed = orders.passed.start.add(index);
            must(orders, libc::SYS_dup3, [(*passed).source as usize, (*passed).target as usize, 0]);
            index += 1;
        }
    }
}

unsafe fn take_limits(orders: &Orders) {
    // SAFETY: the arrays live as long as the orders.
    unsafe {
        // Before the limits: the file takes the lowest free number, and the daemon may have more descriptors open than
        // the program is allowed to.
        if let Some(digits) = &orders.oom_score_adj {
            at(orders, Stage::OomScoreAdj, 0);
            write_oom_score_adj(orders, digits);
        }
        let mut index = 0;
        while index < orders.limits.count {
            let limit = orders.limits.start.add(index);
            at(orders, Stage::Rlimit, index as u32);
            let values = &raw const (*limit).values as usize;
            must(orders, libc::SYS_prlimit64, [0, (*limit).resource as usize, values, 0]);
            index += 1;
        }
        // After the limits: RLIMIT_NICE may be what allows it.
        if let Some(nice) = orders.nice {
            at(orders, Stage::Nice, 0);
            must(orders, libc::SYS_setpriority, [libc::PRIO_PROCESS as usize, 0, nice as usize]);
        }
    }
}

unsafe fn write_oom_score_adj(orders: &Orders, digits: &Array<u8>) {
    let path = c"/proc/self/oom_score_adj".as_ptr() as usize;
    let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    // SAFETY: path and digits live through the calls. The descriptor is closed by execve.
    unsafe {
        match raw::syscall(libc::SYS_openat, [libc::AT_FDCWD as usize, path, flags, 0]) {
            Ok(file) => must(orders, libc::SYS_write, [file, digits.start as usize, digits.count]),
            Err(errno) => fail(orders, errno),
        }
    }
}

unsafe fn become_user(orders: &Orders) {
    // SAFETY: bare calls change the credentials of this process alone; the C library's would signal every thread of the
    // daemon.
    unsafe {
        if let Some(groups) = &orders.groups {
            at(orders, Stage::Groups, 0);
            must(orders, libc::SYS_setgroups, [groups.count, groups.start as usize]);
        }
        if let Some(gid) = orders.gid {
            at(orders, Stage::Gid, 0);
            must(orders, libc::SYS_setresgid, [gid as usize, gid as usize, gid as usize]);
        }
        if let Some(uid) = orders.uid {
            at(orders, Stage::Uid, 0);
            must(orders, libc::SYS_setresuid, [uid as usize, uid as usize, uid as usize]);
        }
    }
}

unsafe fn enter_directory(orders: &Orders) {
    if !orders.directory.is_null() {
        // SAFETY: the path lives as long as the orders.
        unsafe {
            at(orders, Stage::Chdir, 0);
            must(orders, libc::SYS_chdir, [orders.directory as usize]);
        }
    }
}

/// Only the child knows its pid before it executes.
unsafe fn write_own_pid(mut place: *mut u8) {
    if place.is_null() {
        return;
    }
    // SAFETY: there is room for ten digits and a NUL, and only execve reads it, later.
    unsafe {
        let mut rest = raw::syscall(libc::SYS_getpid, []).unwrap_or(0) as u32;
        let mut digits = [0_u8; PID_DIGITS];
        let mut count = 0;
        let backwards = digits.as_mut_ptr();
        while rest > 0 && count < PID_DIGITS {
            backwards.add(count).write(b'0' | (rest % 10) as u8);
            rest /= 10;
            count += 1;
        }
        while count > 0 {
            count -= 1;
            place.write(backwards.add(count).read());
            place = place.add(1);
        }
        place.write(0);
    }
}

/// Tries one candidate after the other, like execvp(3): a missing one is skipped, a forbidden one is recorded,
/// any other error ends the search.
unsafe fn execute(orders: &Orders) -> ! {
    let (mut index, mut first, mut denied) = (0_u32, 0, None);
    // SAFETY: the arrays end with a null pointer and live as long as the orders.
    unsafe {
        loop {
            let path = *orders.candidates.add(index as usize);
            if path.is_null() {
                break;
            }
            at(orders, Stage::Exec, index);
            let arguments = [path as usize, orders.arguments as usize, orders.environment as usize];
            let Err(errno) = raw::syscall(libc::SYS_execve, arguments) else { break };
            match errno {
                libc::ENOENT | libc::ENOTDIR | libc::ENODEV | libc::ESTALE | libc::ETIMEDOUT => {}
                libc::EACCES if denied.is_some() => {}
                libc::EACCES => denied = Some(index),
                _ => give_up(orders, index, errno),
            }
            if index == 0 {
                first = errno;
            }
            index += 1;
        }
        if let Some(denied) = denied {
            give_up(orders, denied, libc::EACCES);
        }
        // A single candidate keeps its own error; of several missing ones, none is reported in particular,
        // unless a file exists after all: then its interpreter is missing.
        let errno = if index == 1 { first } else { libc::ENOENT };
        let mut candidate = 0;
        while candidate < index {
            if look_at(orders, candidate) {
                give_up(orders, candidate, errno);
            }
            candidate += 1;
        }
        at(orders, Stage::Exec, if index == 1 { 0 } else { NO_CANDIDATE });
        fail(orders, errno)
    }
}

unsafe fn give_up(orders: &Orders, candidate: u32, errno: c_int) -> ! {
    // SAFETY: the candidate is one of those that were tried.
    unsafe {
        at(orders, Stage::Exec, candidate);
        look_at(orders, candidate);
        fail(orders, errno)
    }
}

/// Records what the message needs about the file, here where paths and privileges are the program's. Returns
/// whether the file exists.
unsafe fn look_at(orders: &Orders, candidate: u32) -> bool {
    // SAFETY: the candidate is one of those that were tried; the kernel fills what it is given to fill, and nothing is
    // read that it has not filled.
    unsafe {
        let path = *orders.candidates.add(candidate as usize) as usize;
        let evidence = orders.evidence;
        let here = libc::AT_FDCWD as usize;
        let mut about = MaybeUninit::<libc::stat>::uninit();
        let found = raw::syscall(libc::SYS_newfstatat, [here, path, about.as_mut_ptr() as usize, 0]);
        (*evidence).stat_errno = found.err().unwrap_or(0);
        (*evidence).head_len = 0;
        (*evidence).mount_flags = mount_flags(path);
        if found.is_err() {
            return false;
        }
        (*evidence).mode = about.assume_init_ref().st_mode;
        if (*evidence).mode & libc::S_IFMT == libc::S_IFREG {
            // There may be a limit of descriptors by now. Stdin is no longer read, so its number is free to use.
            let _ = raw::syscall(libc::SYS_close, [0]);
            let flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK) as usize;
            if let Ok(file) = raw::syscall(libc::SYS_openat, [here, path, flags, 0]) {
                let head = &raw mut (*evidence).head as usize;
                (*evidence).head_len = raw::syscall(libc::SYS_read, [file, head, HEAD]).unwrap_or(0);
            }
        }
        true
    }
}

/// The eleventh word of the kernel's `struct statfs` on every 64-bit architecture; libc does not expose it everywhere.
const STATFS_FLAGS: usize = 10;

unsafe fn mount_flags(path: usize) -> u64 {
    let mut about = MaybeUninit::<[u64; 16]>::zeroed();
    // SAFETY: the kernel writes 120 bytes into 128; what it leaves is zero.
    unsafe {
        let start = about.as_mut_ptr().cast::<u64>();
        match raw::syscall(libc::SYS_statfs, [path, start as usize]) {
            Ok(_) => ptr::read(start.wrapping_add(STATFS_FLAGS)),
            Err(_) => 0,
        }
    }
}
