//! Reports of an unavailable receiver: when the outage begins, once a minute, and when it is over.

use std::ops::{Add, AddAssign};
use std::time::Instant;

use crate::TELL_AGAIN;

/// Lines that did not arrive, and the bytes of their messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

impl Add for Loss {
    type Output = Loss;

    fn add(self, other: Loss) -> Loss {
        Loss { lines: self.lines + other.lines, bytes: self.bytes + other.bytes }
    }
}

impl AddAssign for Loss {
    fn add_assign(&mut self, other: Loss) {
        *self = *self + other;
    }
}

/// Whether there is an outage, and what has been reported. A receiver that comes and goes is also reported once a minute.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    is_on: bool,
    is_told: bool,
    told_at: Option<Instant>,
    /// Since the last report that it is over.
    loss: Loss,
}

impl Trouble {
    /// Records a failure. Returns true if it must be reported.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        !std::mem::replace(&mut self.is_on, true) && self.is_due(now)
    }

    /// Records a loss. Returns true if it must be reported.
    pub(super) fn lose(&mut self, lost: Loss, now: Instant) -> bool {
        self.is_on = true;
        self.loss += lost;
        self.is_due(now)
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.told_at.is_none_or(|at| now >= at + TELL_AGAIN);
        if is_due {
            self.told_at = Some(now);
            self.is_told = true;
        }
        is_due
    }

    /// The losses of the current outage.
    pub(super) fn loss(&self) -> Loss {
        self.loss
    }

    /// The outage is over. Returns the losses if they must be reported.
    pub(super) fn end(&mut self) -> Option<Loss> {
        self.is_on = false;
        std::mem::take(&mut self.is_told).then(|| std::mem::take(&mut self.loss))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ONE: Loss = Loss { lines: 1, bytes: 10 };

    #[test]
    fn trouble_is_told_when_it_begins_once_a_minute_and_when_it_is_over() {
        let start = Instant::now();
        let mut trouble = Trouble::default();
        assert_eq!(trouble.end(), None, "there was none");
        assert!(trouble.begin(start) && !trouble.begin(start));
        assert!(!trouble.lose(ONE, start) && !trouble.lose(ONE, start + Duration::from_secs(59)));
        assert!(trouble.lose(ONE, start + Duration::from_secs(60)));
        assert_eq!(trouble.end(), Some(Loss { lines: 3, bytes: 30 }));
        assert_eq!(trouble.end(), None, "once");
    }

    #[test]
    fn trouble_that_comes_again_and_again_is_told_once_a_minute() {
        let start = Instant::now();
        let mut trouble = Trouble::default();
        assert!(trouble.lose(ONE, start));
        assert_eq!(trouble.end(), Some(ONE));
        assert!(!trouble.begin(start + Duration::from_secs(1)));
        assert!(!trouble.lose(ONE, start + Duration::from_secs(2)));
        assert_eq!(trouble.end(), None);
        assert!(trouble.begin(start + Duration::from_secs(61)));
        assert_eq!(trouble.end(), Some(ONE), "what was not told is not forgotten");
    }
}
