//! Resource limits: the kernel's numbers for them, the daemon's own descriptor limit and its idle threads.
//!
//! The daemon raises its own soft limit, since every program costs it some pipes. Children get the original back:
//! programs that use select(2) break above 1024.

use std::io;

use muster_spec::Resource;

use crate::fd::check;
use crate::rights::{Capability, Rights};

/// The maximum number of descriptors that the daemon requests. Raising to a hard limit of a billion would be allowed,
/// but is never needed.
const ENOUGH_DESCRIPTORS: u64 = 1 << 20;

/// The limits that the daemon was started with and that it passes on to its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginalLimits {
    /// The soft limit of open descriptors; `u64::MAX` is unlimited.
    pub nofile_soft: u64,
    /// The hard limit of open descriptors.
    pub nofile_hard: u64,
}

impl OriginalLimits {
    /// The current limits.
    pub fn current() -> io::Result<OriginalLimits> {
        // SAFETY: all-zero bytes are a valid rlimit, two numbers.
        let mut now: libc::rlimit = unsafe { std::mem::zeroed() };
        // SAFETY: `now` has room for what getrlimit writes.
        check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut now) })?;
        Ok(OriginalLimits { nofile_soft: now.rlim_cur, nofile_hard: now.rlim_max })
    }
}

/// Raises the soft limit of a resource to at least this, and the hard limit too if that is lower and we may. Children
/// inherit it. Returns whether it was raised; the error's text has the current hard limit.
pub fn ensure(resource: Resource, least: u64) -> io::Result<bool> {
    // SAFETY: all-zero bytes are a valid rlimit, two numbers.
    let mut now: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: `now` has room for what getrlimit writes.
    check(unsafe { libc::getrlimit(number(resource) as _, &mut now) })?;
    // RLIM_INFINITY is the largest number.
    if now.rlim_cur >= least {
        return Ok(false);
    }
    let raised = libc::rlimit { rlim_cur: least, rlim_max: now.rlim_max.max(least) };
    // SAFETY: `raised` lives through the call.
    check(unsafe { libc::setrlimit(number(resource) as _, &raised) }).map_err(|error| {
        let name = resource.name();
        io::Error::new(
            error.kind(),
            format!("cannot raise the limit {name} to {least}, the hard limit is {}: {error}", now.rlim_max),
        )
    })?;
    Ok(true)
}

/// The soft limit that children inherit; `u64::MAX` is unlimited.
pub fn soft(resource: Resource) -> u64 {
    // SAFETY: all-zero bytes are a valid rlimit, two numbers.
    let mut now: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: `now` has room for what getrlimit writes.
    let got = unsafe { libc::getrlimit(number(resource) as _, &mut now) };
    if got == 0 { now.rlim_cur } else { u64::MAX }
}

/// The highest value to which this process may raise a limit of its own.
pub fn most(resource: Resource) -> u64 {
    // SAFETY: all-zero bytes are a valid rlimit, two numbers.
    let mut now: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: `now` has room for what getrlimit writes.
    let hard = match check(unsafe { libc::getrlimit(number(resource) as _, &mut now) }) {
        Ok(_) => now.rlim_max,
        Err(_) => u64::MAX,
    };
    if !Rights::own().has(Capability::Resource) {
        return hard;
    }
    match resource {
        // setrlimit(2): the limit of descriptors ends there for everyone.
        Resource::Nofile => {
            let most = std::fs::read_to_string("/proc/sys/fs/nr_open").ok();
            most.and_then(|most| most.trim().parse().ok()).unwrap_or(u64::MAX).max(hard)
        }
        _ => u64::MAX,
    }
}

/// Raises the daemon's own soft limit of descriptors and returns the previous limits.
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

/// Gives only this thread the lowest priority. On Linux a nice value applies to a thread.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_if_it_is_lower_and_children_inherit_it() {
        let before = OriginalLimits::current().unwrap();
        assert!(!ensure(Resource::Nofile, before.nofile_soft).unwrap());
        assert_eq!(OriginalLimits::current().unwrap(), before);
        if let Some(more) = before.nofile_soft.checked_add(1).filter(|&more| more <= before.nofile_hard) {
            assert!(ensure(Resource::Nofile, more).unwrap());
            let expected = OriginalLimits { nofile_soft: more, ..before };
            assert_eq!(OriginalLimits::current().unwrap(), expected);
        }
    }

    #[test]
    fn a_limit_beyond_the_kernels_is_refused_with_both_numbers() {
        let before = OriginalLimits::current().unwrap();
        if before.nofile_hard == u64::MAX {
            return;
        }
        let error = ensure(Resource::Nofile, u64::MAX - 1).unwrap_err().to_string();
        let expected =
            format!("cannot raise the limit nofile to {}, the hard limit is {}", u64::MAX - 1, before.nofile_hard);
        assert!(error.starts_with(&expected), "{error}");
    }
}
