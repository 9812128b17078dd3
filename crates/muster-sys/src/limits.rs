//! Resource limits: the kernel's numbers for them, and the daemon's own limit of descriptors and its idle threads.
//!
//! The daemon raises its own soft limit, since every program costs it some pipes. Children get the original back:
//! programs that use select(2) break above 1024.

use std::io;

use muster_spec::Resource;

use crate::fd::check;

/// How many descriptors the daemon asks for at most. Raising to a hard limit of a thousand millions would be allowed,
/// and is needed by nobody.
const ENOUGH_DESCRIPTORS: u64 = 1 << 20;

/// The limits that the daemon was started with and that it hands on to its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginalLimits {
    /// Open descriptors, the limit in force; `u64::MAX` is unlimited.
    pub nofile_soft: u64,
    /// Open descriptors, how far it may be raised.
    pub nofile_hard: u64,
}

impl OriginalLimits {
    /// The limits in force now.
    pub fn current() -> io::Result<OriginalLimits> {
        // SAFETY: all-zero bytes are a valid rlimit, two numbers.
        let mut now: libc::rlimit = unsafe { std::mem::zeroed() };
        // SAFETY: `now` has room for what getrlimit writes.
        check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut now) })?;
        Ok(OriginalLimits { nofile_soft: now.rlim_cur, nofile_hard: now.rlim_max })
    }
}

/// Raises the daemon's own soft limit of descriptors and returns what it was.
pub fn raise_descriptor_limit() -> io::Result<OriginalLimits> {
    let original = OriginalLimits::current()?;
    let wanted = original.nofile_hard.min(ENOUGH_DESCRIPTORS);
    if wanted > original.nofile_soft {
        let raised = libc::rlimit { rlim_cur: wanted, rlim_max: original.nofile_hard };
        // SAFETY: `raised` lives through the call.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) })?;
    }
    Ok(original)
}

/// Lets this thread, and none of the others, work only when nobody else wants to. To Linux a nice value is a thread's own.
pub fn make_thread_idle() -> io::Result<()> {
    // SAFETY: setpriority touches no memory of ours. 0 is the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) }).map(drop)
}

/// The kernel's number of a resource.
pub(crate) fn number(resource: Resource) -> u32 {
    // The type of the C constants differs between the C libraries.
    #[allow(clippy::unnecessary_cast)]
    let number = match resource {
        Resource::As => libc::RLIMIT_AS as u32,
        Resource::Core => libc::RLIMIT_CORE as u32,
        Resource::Cpu => libc::RLIMIT_CPU as u32,
        Resource::Data => libc::RLIMIT_DATA as u32,
        Resource::Fsize => libc::RLIMIT_FSIZE as u32,
        Resource::Locks => libc::RLIMIT_LOCKS as u32,
        Resource::Memlock => libc::RLIMIT_MEMLOCK as u32,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE as u32,
        Resource::Nice => libc::RLIMIT_NICE as u32,
        Resource::Nofile => libc::RLIMIT_NOFILE as u32,
        Resource::Nproc => libc::RLIMIT_NPROC as u32,
        Resource::Rss => libc::RLIMIT_RSS as u32,
        Resource::Rtprio => libc::RLIMIT_RTPRIO as u32,
        Resource::Rttime => libc::RLIMIT_RTTIME as u32,
        Resource::Sigpending => libc::RLIMIT_SIGPENDING as u32,
        Resource::Stack => libc::RLIMIT_STACK as u32,
    };
    number
}
