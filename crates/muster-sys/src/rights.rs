//! The daemon's identity and privileges: ids, groups, and some capabilities.
//!
//! Root is not always privileged: a container's root may lack capabilities (`docker run --cap-drop ALL`). And other users may
//! have them (`setpriv --ambient-caps`). So capabilities are checked, not the uid.

use std::io;

use muster_spec::CapabilitySet;

use crate::fd::check;

/// A capability that supervising may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Signalling processes of other users.
    Kill,
    /// Changing groups.
    Setgid,
    /// Changing the user.
    Setuid,
    /// Reducing the capabilities that an executed file may give.
    Setpcap,
    /// Raising hard resource limits.
    Resource,
}

impl Capability {
    /// Its name in capabilities(7).
    pub fn name(self) -> &'static str {
        match self {
            Capability::Kill => "CAP_KILL",
            Capability::Setgid => "CAP_SETGID",
            Capability::Setuid => "CAP_SETUID",
            Capability::Setpcap => "CAP_SETPCAP",
            Capability::Resource => "CAP_SYS_RESOURCE",
        }
    }

    /// From <linux/capability.h>.
    fn number(self) -> u32 {
        match self {
            Capability::Kill => 5,
            Capability::Setgid => 6,
            Capability::Setuid => 7,
            Capability::Setpcap => 8,
            Capability::Resource => 24,
        }
    }
}

/// The identity and privileges of the calling thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// The supplementary groups, sorted.
    pub groups: Vec<u32>,
    /// The first 32 effective ones, which include all that are checked here.
    capabilities: u32,
}

impl Rights {
    /// The current ones.
    pub fn own() -> Rights {
        // SAFETY: these cannot fail and touch no memory.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        let mut groups = groups().unwrap_or_default();
        groups.sort_unstable();
        groups.dedup();
        Rights { uid, gid, groups, capabilities: capability_sets()[0][0] }
    }

    /// Whether this capability is effective.
    pub fn has(&self, capability: Capability) -> bool {
        self.capabilities & (1 << capability.number()) != 0
    }

    /// Whether these are the supplementary groups, so that setting them would change nothing.
    pub(crate) fn has_exactly(&self, groups: &[u32]) -> bool {
        let mut groups = groups.to_vec();
        groups.sort_unstable();
        groups.dedup();
        self.groups == groups
    }
}

/// The supplementary groups of this thread.
pub(crate) fn groups() -> io::Result<Vec<u32>> {
    loop {
        // SAFETY: with a length of 0 nothing is written.
        let count = check(unsafe { libc::getgroups(0, std::ptr::null_mut()) })?;
        let mut groups = vec![0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: the kernel writes at most `count` numbers, and there is room for as many.
        match check(unsafe { libc::getgroups(count, groups.as_mut_ptr()) }) {
            Ok(count) => {
                groups.truncate(usize::try_from(count).unwrap_or(0));
                return Ok(groups);
            }
            // There are more groups by now.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            Err(error) => return Err(error),
        }
    }
}

/// `_LINUX_CAPABILITY_VERSION_3`, and 0 for the calling thread.
pub(crate) const CAPABILITY_HEADER: [u32; 2] = [0x2008_0522, 0];

/// The capabilities that this thread may use or give to a program. None if the call is not allowed.
pub(crate) fn permitted() -> CapabilitySet {
    let [[_, low, _], [_, high, _]] = capability_sets();
    CapabilitySet::from_bits(u64::from(high) << 32 | u64::from(low))
}

/// The lower 32 bits of effective, permitted and inheritable, then the upper ones.
fn capability_sets() -> [[u32; 3]; 2] {
    let mut header = CAPABILITY_HEADER;
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: the kernel reads the header, may write its version there, and writes two times three numbers.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) };
    if got == 0 { sets } else { [[0; 3]; 2] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_kernel_tells_in_proc() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let own = Rights::own();
        assert_eq!((own.uid.to_string(), own.gid.to_string()), (field("Uid:")[1].clone(), field("Gid:")[1].clone()));
        let mut groups: Vec<u32> = field("Groups:").iter().map(|group| group.parse().unwrap()).collect();
        assert!(own.has_exactly(&groups));
        groups.push(u32::MAX - 1);
        assert!(!own.has_exactly(&groups));
        let effective = u64::from_str_radix(&field("CapEff:")[0], 16).unwrap();
        for (capability, number) in [(Capability::Kill, 5), (Capability::Setgid, 6), (Capability::Setuid, 7)] {
            assert_eq!(own.has(capability), effective & (1 << number) != 0, "{}", capability.name());
        }
    }
}
