//! A mark on every process of a run that survives fork, exec, setsid, a change of user and a cleared environment: a number
//! hidden in a resource limit that has no effect.
//!
//! `RLIMIT_LOCKS` has no effect since Linux 2.4.25 (getrlimit(2)), is inherited by every child, can
//! be lowered by any process but raised only with privileges, and is readable for all processes. So each run gets a
//! unique value, huge and otherwise unused, as soft and hard limit.
//!
//! A value that may be lowered could be lowered to that of another run. So `RLIMIT_RSS`, which has no effect since Linux
//! 2.4.30, holds the counterpart: the smaller the tag, the larger that one. A process that lowers the first would have to raise
//! the second, which takes CAP_SYS_RESOURCE of the initial user namespace. A tag without its counterpart is a hint, not proof.
//! [`super::owner`] attributes processes to runs; docs/design/0003-trees.md has the reasons.

use std::io;

use muster_spec::{Resource, Rlimit, RunId};

use super::proc::Proc;

/// Tags lie between 2^60 and 2^61: no real limit is that large, and they are not "unlimited" either.
const TOP: u64 = 1 << 60;

/// The low bits are reserved for a musterd inside one of our programs: it can only lower the limit that it inherits, so
/// the outer daemon leaves all of them set, and still recognizes its run by the high ones.
const INNER_BITS: u32 = 24;
const INNER_MASK: u64 = (1 << INNER_BITS) - 1;

/// `RLIM_INFINITY`, whose type differs between the C libraries.
const UNLIMITED: u64 = u64::MAX;

/// The limit's name in /proc/PID/limits.
const NAME_IN_PROC: &str = "Max file locks";

/// The same for the limit of the counterpart.
const COUNTERPART_IN_PROC: &str = "Max resident set";

/// The tag of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Worn {
    pub(crate) tag: u64,
    /// Whether the counterpart is present too, so that the process cannot have chosen the tag itself.
    pub(crate) is_proof: bool,
}

/// The limit that accompanies a tag, so that the tag cannot be lowered to another. `None` if the daemon's own limit leaves
/// no room for it: then the tag stays a hint.
pub(crate) fn counterpart(tag: &Rlimit) -> Option<Rlimit> {
    let value = counter(tag.hard?);
    let has_room = hard_limit(0, Resource::Rss).is_ok_and(|limit| limit >= value);
    has_room.then_some(Rlimit { resource: Resource::Rss, soft: Some(value), hard: Some(value) })
}

/// Decreases as tags increase. Below the tag of an outer daemon there is room for those of an inner one, and likewise here.
fn counter(tag: u64) -> u64 {
    let falling = TOP | !tag & (TOP - 1);
    if tag & INNER_MASK == INNER_MASK { falling | INNER_MASK } else { falling }
}

/// The range of this daemon's tags. The first is arbitrary, so that two daemons in one pid namespace do not claim each
/// other's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// The daemon was started without such a limit.
    Outer { seed: u64 },
    /// The daemon itself runs under a musterd, as the run with these high bits.
    Inner { high: u64, seed: u64 },
    /// There is no room below the limit that the daemon was started with.
    Off,
}

impl Tags {
    pub(crate) fn new(proc: &mut Proc) -> Tags {
        match own_hard_limit() {
            Ok(limit) => Tags::below(limit, seed(proc)),
            Err(_) => Tags::Off,
        }
    }

    fn below(limit: u64, seed: u64) -> Tags {
        if limit == UNLIMITED {
            Tags::Outer { seed }
        } else if limit & TOP != 0 && limit < TOP << 1 && limit & INNER_MASK == INNER_MASK {
            Tags::Inner { high: limit & !INNER_MASK, seed }
        } else {
            Tags::Off
        }
    }

    /// The tag of a run.
    pub(crate) fn of(self, run: RunId) -> Option<u64> {
        match self {
            Tags::Outer { seed } => {
                let serial = seed.wrapping_add(run.0) & ((TOP - 1) >> INNER_BITS);
                Some(TOP | serial << INNER_BITS | INNER_MASK)
            }
            // The highest value is the outer daemon's own.
            Tags::Inner { high, seed } => Some(high | (seed.wrapping_add(run.0) % INNER_MASK)),
            Tags::Off => None,
        }
    }

    /// The part of a limit that belongs to this daemon, the same for all processes below one run: compare with that of
    /// [`Tags::of`].
    pub(crate) fn read(self, limit: u64) -> Option<u64> {
        let is_tag = limit & TOP != 0 && limit < TOP << 1;
        match self {
            Tags::Outer { .. } if is_tag => Some(limit | INNER_MASK),
            Tags::Inner { high, .. } if is_tag && limit & !INNER_MASK == high && limit & INNER_MASK != INNER_MASK => {
                Some(limit)
            }
            _ => None,
        }
    }

    /// The limit to set in a new process of this run.
    pub(crate) fn limit(self, run: RunId) -> Option<Rlimit> {
        self.of(run).map(|tag| Rlimit { resource: Resource::Locks, soft: Some(tag), hard: Some(tag) })
    }

    /// The tag that a process has now. One system call if we may query the process, /proc otherwise.
    pub(crate) fn worn_by(self, pid: i32, proc: &mut Proc) -> Option<Worn> {
        if self == Tags::Off {
            return None;
        }
        let limit = hard_limit(pid, Resource::Locks).ok().or_else(|| proc.hard_limit(pid, NAME_IN_PROC))?;
        let tag = self.read(limit)?;
        let beside = hard_limit(pid, Resource::Rss).ok().or_else(|| proc.hard_limit(pid, COUNTERPART_IN_PROC));
        Some(Worn { tag, is_proof: beside.is_some_and(|beside| self.is_counterpart(tag, beside)) })
    }

    /// Inner daemons use the low bits of both.
    fn is_counterpart(self, tag: u64, beside: u64) -> bool {
        let low = if matches!(self, Tags::Outer { .. }) { INNER_MASK } else { 0 };
        beside | low == counter(tag) | low
    }
}

fn own_hard_limit() -> io::Result<u64> {
    hard_limit(0, Resource::Locks)
}

/// prlimit(2): allowed for processes of the same user and group, and with CAP_SYS_RESOURCE for all.
fn hard_limit(pid: i32, resource: Resource) -> io::Result<u64> {
    let mut now = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let unchanged: *const libc::rlimit64 = std::ptr::null();
    // SAFETY: a null pointer as the new limit asks only; `now` has room for the two numbers that are written.
    let result =
        unsafe { libc::syscall(libc::SYS_prlimit64, pid, crate::limits::number(resource), unchanged, &mut now) };
    if result == 0 { Ok(now.rlim_max) } else { Err(io::Error::last_os_error()) }
}

/// A number that no other daemon of this pid namespace has, and that stays the same when this one re-executes itself:
/// pid and start time, mixed so that neighbours are far apart (splitmix64).
fn seed(proc: &mut Proc) -> u64 {
    let this = proc.this();
    let start = proc.stat(this).map_or(0, |stat| stat.start);
    let mut mixed = (start << 24 ^ this as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_has_a_tag_of_its_own_that_is_read_back() {
        for seed in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            let tags = Tags::below(UNLIMITED, seed);
            let (first, second) = (tags.of(RunId(1)).unwrap(), tags.of(RunId(2)).unwrap());
            assert_ne!(first, second);
            assert_eq!(tags.read(first), Some(first));
            assert_eq!(tags.read(second), Some(second));
        }
    }

    #[test]
    fn what_a_user_may_have_set_is_no_tag() {
        let tags = Tags::below(UNLIMITED, 7);
        for limit in [0, 1, 4096, 1 << 40, TOP - 1, TOP << 1, UNLIMITED, i64::MAX as u64] {
            assert_eq!(tags.read(limit), None, "{limit:#x}");
        }
        assert_eq!(Tags::below(4096, 7), Tags::Off);
    }

    #[test]
    fn a_daemon_inside_a_run_tags_its_own_runs_and_stays_in_the_outer_one() {
        let outer = Tags::below(UNLIMITED, 99);
        let worn = outer.of(RunId(5)).unwrap();
        let inner = Tags::below(worn, 3);
        for run in [RunId(1), RunId(2), RunId(INNER_MASK - 4)] {
            let tag = inner.of(run).unwrap();
            assert!(tag < worn, "a limit can only be lowered");
            assert_eq!(inner.read(tag), Some(tag));
            assert_eq!(outer.read(tag), outer.of(RunId(5)));
            assert_eq!(Tags::below(tag, 1), Tags::Off);
        }
        assert_eq!(inner.read(worn), None, "a sibling of the inner daemon is not its own");
        assert_eq!(inner.read(outer.of(RunId(6)).unwrap()), None);
    }

    /// The reason for the counterpart: limits can be lowered, never raised.
    #[test]
    fn nobody_can_lower_both_limits_to_those_of_another_run() {
        for seed in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            let outer = Tags::below(UNLIMITED, seed);
            let inner = Tags::below(outer.of(RunId(5)).unwrap(), seed);
            for tags in [outer, inner] {
                for (one, other) in [(1, 2), (2, 1), (7, 70_000), (70_000, 7)] {
                    let (from, to) = (tags.of(RunId(one)).unwrap(), tags.of(RunId(other)).unwrap());
                    assert!(tags.is_counterpart(from, counter(from)));
                    assert!(!tags.is_counterpart(to, counter(from)), "{from:#x} {to:#x}");
                    assert!(to > from || counter(to) > counter(from), "{from:#x} {to:#x}");
                }
                assert!(outer.is_counterpart(
                    outer.read(tags.of(RunId(5)).unwrap()).unwrap(),
                    counter(tags.of(RunId(5)).unwrap())
                ));
            }
        }
    }

    #[test]
    fn the_limit_of_this_process_is_the_same_by_syscall_and_by_proc() {
        let mut proc = Proc::new();
        let this = proc.this();
        let by_proc = proc.hard_limit(this, NAME_IN_PROC).unwrap_or(UNLIMITED);
        assert_eq!(own_hard_limit().unwrap(), by_proc);
    }
}
