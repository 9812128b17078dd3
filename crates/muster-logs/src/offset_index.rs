//! How much had been written at which time, approximately, however long ago.
//!
//! A bounded list: when it is full, every second entry is removed, and the steps are twice as long from then on. So output
//! since a given time can be located by going back that many bytes in a file whose lines have no timestamps.

/// Maximum number of entries.
const MOST: usize = 512;

/// The first step, in bytes.
const STEP: u64 = 8 * 1024;

#[derive(Debug)]
pub(super) struct Milestones {
    /// The time, and how many bytes of each stream had been written before it.
    passed: Vec<(u64, [u64; 2])>,
    step: u64,
}

impl Default for Milestones {
    fn default() -> Milestones {
        Milestones { passed: Vec::new(), step: STEP }
    }
}

impl Milestones {
    /// Records that this much has been written at this time, and more is about to be.
    pub(super) fn pass(&mut self, at: u64, written: [u64; 2]) {
        let sum = |written: [u64; 2]| written[0] + written[1];
        if self.passed.last().is_some_and(|(_, last)| sum(written) < sum(*last) + self.step) {
            return;
        }
        if self.passed.len() == MOST {
            let mut is_kept = false;
            self.passed.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.step *= 2;
        }
        self.passed.push((at, written));
    }

    /// How much had been written at this time, or a little less.
    pub(super) fn before(&self, at: u64) -> [u64; 2] {
        self.passed.iter().rev().find(|(passed, _)| *passed < at).map_or([0; 2], |(_, written)| *written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_to_a_step_how_much_there_was_at_a_moment() {
        let mut milestones = Milestones::default();
        for second in 0..100_000 {
            milestones.pass(second, [second * 1000, second * 24]);
        }
        assert!(milestones.passed.len() <= MOST && milestones.passed.capacity() <= 2 * MOST);
        assert_eq!(milestones.before(0), [0; 2]);
        for second in (1..100_000).step_by(997) {
            let [stdout, stderr] = milestones.before(second);
            let (then, known) = (second * 1024, stdout + stderr);
            assert!(known <= then && then - known <= 2 * 100_000 * 1024 / (MOST as u64 / 2), "{second}: {known}");
        }
    }
}
