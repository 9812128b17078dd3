//! The processors of this machine that this process may use.

use muster_spec::CpuSet;

/// Those that this thread may run on: sched_getaffinity(2). `None` on a machine with more than fit into a set.
pub fn usable() -> Option<CpuSet> {
    let mut words = [0_u64; CpuSet::WORDS];
    // SAFETY: the kernel writes at most as many bytes as the array has.
    let written = unsafe { libc::sched_getaffinity(0, size_of_val(&words), words.as_mut_ptr().cast()) };
    (written >= 0).then(|| CpuSet::from_words(words))
}
