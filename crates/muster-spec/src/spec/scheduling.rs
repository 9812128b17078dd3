//! How the kernel shares processors and disks between a process and the others.

use std::fmt;
use std::sync::Arc;

/// The share of a process, set before it runs. By default nothing is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// Its I/O priority: ioprio_set(2).
    pub io: Option<IoPriority>,
    /// Its scheduling policy: sched(7).
    pub policy: Option<SchedulingPolicy>,
    /// The only processors that it may run on: sched_setaffinity(2).
    pub cpus: Option<Arc<CpuSet>>,
}

/// An I/O class, and the level in it: 0 is served first, 7 last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoPriority {
    /// Before all others.
    Realtime(u8),
    /// The class of those that ask for none.
    BestEffort(u8),
    /// Only when no other wants the disk.
    Idle,
}

impl IoPriority {
    /// The level of a class that is named without one, as in ionice(1).
    const USUAL_LEVEL: u8 = 4;

    /// Reads it as it is written: `idle`, `best-effort:7`, `realtime:0`.
    pub fn of(text: &str) -> Option<IoPriority> {
        let (class, level) = match text.split_once(':') {
            Some((class, level)) => (class, Some(digits(level).filter(|level| *level <= 7)?)),
            None => (text, None),
        };
        let level_or_usual = level.map_or(Some(IoPriority::USUAL_LEVEL), |level| u8::try_from(level).ok())?;
        match class {
            "realtime" => Some(IoPriority::Realtime(level_or_usual)),
            "best-effort" => Some(IoPriority::BestEffort(level_or_usual)),
            "idle" if level.is_none() => Some(IoPriority::Idle),
            _ => None,
        }
    }
}

impl fmt::Display for IoPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IoPriority::Realtime(level) => write!(f, "realtime:{level}"),
            IoPriority::BestEffort(level) => write!(f, "best-effort:{level}"),
            IoPriority::Idle => f.write_str("idle"),
        }
    }
}

/// A policy of the kernel's scheduler; those with a priority, 1 to 99, run before all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedulingPolicy {
    /// The one for everything that needs none of the others.
    Other,
    /// For work that nothing waits for.
    Batch,
    /// Only when a processor is idle.
    Idle,
    /// Until it waits, or one with a higher priority wants the processor.
    Fifo(u8),
    /// The same, in turns with those of its priority.
    RoundRobin(u8),
}

impl SchedulingPolicy {
    /// Reads it as it is written: `other`, `batch`, `idle`, `fifo:10`, `rr:99`.
    pub fn of(text: &str) -> Option<SchedulingPolicy> {
        let priority = |text| digits(text).and_then(|it| u8::try_from(it).ok()).filter(|it| (1..=99).contains(it));
        match text.split_once(':') {
            None => match text {
                "other" => Some(SchedulingPolicy::Other),
                "batch" => Some(SchedulingPolicy::Batch),
                "idle" => Some(SchedulingPolicy::Idle),
                _ => None,
            },
            Some(("fifo", text)) => priority(text).map(SchedulingPolicy::Fifo),
            Some(("rr", text)) => priority(text).map(SchedulingPolicy::RoundRobin),
            Some(_) => None,
        }
    }

    /// Its priority among those that have one; 0 for the others.
    pub const fn priority(self) -> u8 {
        match self {
            SchedulingPolicy::Fifo(priority) | SchedulingPolicy::RoundRobin(priority) => priority,
            SchedulingPolicy::Other | SchedulingPolicy::Batch | SchedulingPolicy::Idle => 0,
        }
    }
}

impl fmt::Display for SchedulingPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchedulingPolicy::Other => f.write_str("other"),
            SchedulingPolicy::Batch => f.write_str("batch"),
            SchedulingPolicy::Idle => f.write_str("idle"),
            SchedulingPolicy::Fifo(priority) => write!(f, "fifo:{priority}"),
            SchedulingPolicy::RoundRobin(priority) => write!(f, "rr:{priority}"),
        }
    }
}

/// A set of processors, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuSet([u64; CpuSet::WORDS]);

impl CpuSet {
    /// How many words of 64 bits it has.
    pub const WORDS: usize = 16;
    /// The largest number, as in the C library's sets.
    pub const LARGEST: u32 = CpuSet::WORDS as u32 * u64::BITS - 1;

    /// Reads a list as the kernel writes it: `0-3,6`.
    pub fn of(text: &str) -> Option<CpuSet> {
        let mut words = [0; CpuSet::WORDS];
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (digits(first.trim())?, digits(last.trim())?);
            if first > last || last > CpuSet::LARGEST {
                return None;
            }
            for number in first..=last {
                words[(number / u64::BITS) as usize] |= 1 << (number % u64::BITS);
            }
        }
        Some(CpuSet(words))
    }

    /// The set with these bits, the lowest numbers first.
    pub const fn from_words(words: [u64; CpuSet::WORDS]) -> CpuSet {
        CpuSet(words)
    }

    /// The lowest number that the other does not have.
    pub fn first_beyond(&self, other: &CpuSet) -> Option<u32> {
        (0..=CpuSet::LARGEST).find(|&number| self.has(number) && !other.has(number))
    }

    /// A bit for each processor, the lowest numbers first.
    pub fn words(&self) -> &[u64] {
        &self.0
    }

    fn has(&self, number: u32) -> bool {
        self.0.get((number / u64::BITS) as usize).is_some_and(|word| word & (1 << (number % u64::BITS)) != 0)
    }
}

/// As the kernel writes it: `0-3,6`.
impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut next = 0;
        while let Some(first) = (next..=CpuSet::LARGEST).find(|&number| self.has(number)) {
            let after = (first..=CpuSet::LARGEST + 1).find(|&number| !self.has(number)).unwrap_or(first + 1);
            write!(f, "{separator}{first}")?;
            if after - 1 > first {
                write!(f, "-{}", after - 1)?;
            }
            (separator, next) = (",", after);
        }
        Ok(())
    }
}

/// Digits only: no sign.
fn digits(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written_back() {
        for text in ["idle", "best-effort:0", "best-effort:7", "realtime:3"] {
            assert_eq!(IoPriority::of(text).expect(text).to_string(), text);
        }
        for text in ["other", "batch", "idle", "fifo:1", "rr:99"] {
            assert_eq!(SchedulingPolicy::of(text).expect(text).to_string(), text);
        }
        for text in ["0", "0-1023", "3,5-6,63-64,1023"] {
            assert_eq!(CpuSet::of(text).expect(text).to_string(), text);
        }
        assert_eq!(CpuSet::of("6, 0 - 2,3,2-3").expect("a list").to_string(), "0-3,6");
        assert_eq!(IoPriority::of("best-effort"), Some(IoPriority::BestEffort(4)));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "idle:1", "best-effort:8", "best-effort:+1", "realtime:", "rt", "3", "best-effort:256"] {
            assert_eq!(IoPriority::of(text), None, "{text}");
        }
        for text in ["", "fifo", "fifo:0", "rr:100", "rr:-1", "idle:1", "deadline", "fifo:266"] {
            assert_eq!(SchedulingPolicy::of(text), None, "{text}");
        }
        for text in
            ["", ",", "1,", "3-1", "1024", "0-1024", "-1", "a", "1-2-3", "0-", "4294967296", "99999999999999999999"]
        {
            assert_eq!(CpuSet::of(text), None, "{text}");
        }
    }
}
