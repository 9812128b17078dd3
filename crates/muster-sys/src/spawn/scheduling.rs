//! The new process's share of processors and disks, by system calls alone: the rules of [`super::child`] hold here too.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use muster_spec::{CpuSet, IoPriority, Scheduling, SchedulingPolicy};

use super::child::{Array, Orders, Stage, at, fail, must};
use super::explain::reason;
use super::raw;

/// In the kernel's numbers; `None` changes nothing.
pub(super) struct SchedulingOrders {
    io: Option<c_int>,
    /// A policy and its priority.
    policy: Option<(c_int, c_int)>,
    /// A bit for each processor.
    cpus: Option<Array<u64>>,
}

impl SchedulingOrders {
    /// Points to the processors of `wanted`.
    pub(super) fn new(wanted: &Scheduling) -> SchedulingOrders {
        SchedulingOrders {
            io: wanted.io.map(kernel_io),
            policy: wanted.policy.map(|policy| (kernel_policy(policy), c_int::from(policy.priority()))),
            cpus: wanted.cpus.as_ref().map(|cpus| Array { start: cpus.words().as_ptr(), count: cpus.words().len() }),
        }
    }
}

/// The class and the level, as `IOPRIO_PRIO_VALUE` joins them.
fn kernel_io(priority: IoPriority) -> c_int {
    const CLASS_SHIFT: c_int = 13;
    let (class, level) = match priority {
        IoPriority::Realtime(level) => (1, level),
        IoPriority::BestEffort(level) => (2, level),
        IoPriority::Idle => (3, 0),
    };
    class << CLASS_SHIFT | c_int::from(level)
}

fn kernel_policy(policy: SchedulingPolicy) -> c_int {
    match policy {
        SchedulingPolicy::Other => libc::SCHED_OTHER,
        SchedulingPolicy::Batch => libc::SCHED_BATCH,
        SchedulingPolicy::Idle => libc::SCHED_IDLE,
        SchedulingPolicy::Fifo(_) => libc::SCHED_FIFO,
        SchedulingPolicy::RoundRobin(_) => libc::SCHED_RR,
    }
}

/// Takes the share. After the limits: RLIMIT_RTPRIO may be what allows it.
///
/// # Safety
/// As for [`super::child::main`].
pub(super) unsafe fn take(orders: &Orders) {
    /// `IOPRIO_WHO_PROCESS`.
    const THIS_PROCESS: usize = 1;
    // SAFETY: the kernel reads the priority during the call, and the array lives as long as the orders.
    unsafe {
        if let Some(value) = orders.scheduling.io {
            at(orders, Stage::Ioprio, 0);
            must(orders, libc::SYS_ioprio_set, [THIS_PROCESS, 0, value as usize]);
        }
        if let Some((policy, priority)) = orders.scheduling.policy {
            at(orders, Stage::Sched, 0);
            must(orders, libc::SYS_sched_setscheduler, [0, policy as usize, &raw const priority as usize]);
        }
        if let Some(cpus) = &orders.scheduling.cpus {
            take_cpus(orders, cpus);
        }
    }
}

/// The kernel silently leaves out processors that it does not have, or that the cgroup denies: here that is an error.
unsafe fn take_cpus(orders: &Orders, cpus: &Array<u64>) {
    const WORD: usize = size_of::<u64>();
    let mut had = MaybeUninit::<CpuSet>::uninit();
    // SAFETY: the kernel reads the array, and writes at most the size it is given; only what it wrote is read.
    unsafe {
        at(orders, Stage::Affinity, 0);
        must(orders, libc::SYS_sched_setaffinity, [0, cpus.count * WORD, cpus.start as usize]);
        let place = had.as_mut_ptr().cast::<u64>();
        let arguments = [0, size_of::<CpuSet>(), place as usize];
        // Fails on machines with more processors than fit.
        let Ok(written) = raw::syscall(libc::SYS_sched_getaffinity, arguments) else { return };
        let mut index = 0;
        while index < cpus.count {
            let word = if index < written / WORD { place.add(index).read() } else { 0 };
            let missing = cpus.start.add(index).read() & !word;
            if missing != 0 {
                at(orders, Stage::Affinity, (index * WORD * 8) as u32 + missing.trailing_zeros());
                fail(orders, libc::ENODEV);
            }
            index += 1;
        }
    }
}

/// `ionice realtime:0: …`.
pub(super) fn io_refused(wanted: &Scheduling, errno: c_int) -> String {
    let why = match errno {
        libc::EPERM => {
            "realtime needs CAP_SYS_NICE, or CAP_SYS_ADMIN before Linux 5.14 (docker run --cap-add SYS_NICE)".to_owned()
        }
        errno => reason(errno),
    };
    format!("ionice {}: {why}", wanted.io.map(|io| io.to_string()).unwrap_or_default())
}

/// `sched fifo:10: …`.
pub(super) fn policy_refused(wanted: &Scheduling, errno: c_int) -> String {
    let priority = wanted.policy.map_or(0, SchedulingPolicy::priority);
    let why = match errno {
        libc::EPERM if priority > 0 => format!(
            "needs CAP_SYS_NICE, or RLIMIT_RTPRIO of {priority} (docker run --cap-add SYS_NICE --ulimit rtprio={priority})"
        ),
        libc::EPERM => "leaving the policy idle needs CAP_SYS_NICE or a higher RLIMIT_NICE".to_owned(),
        errno => reason(errno),
    };
    format!("sched {}: {why}", wanted.policy.map(|policy| policy.to_string()).unwrap_or_default())
}

/// `cpus 0-3: …`.
pub(super) fn cpus_refused(wanted: &Scheduling, number: u32, errno: c_int) -> String {
    let why = match errno {
        libc::ENODEV => {
            format!("there is no processor {number} here, or the cgroup denies it (docker run --cpuset-cpus)")
        }
        libc::EINVAL => {
            "none of these processors is here, or the cgroup denies all (docker run --cpuset-cpus)".to_owned()
        }
        errno => reason(errno),
    };
    format!("cpus {}: {why}", wanted.cpus.as_ref().map(|cpus| cpus.to_string()).unwrap_or_default())
}
