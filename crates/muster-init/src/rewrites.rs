//! Signals that are passed on as others, or not at all: `-r`.

use muster_spec::Signal;

/// What each signal is passed on as.
#[derive(Clone, Debug)]
pub(super) struct Rewrites([Rewrite; 65]);

/// What one signal is passed on as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rewrite {
    /// Itself.
    None,
    /// Another one (or, by wish, explicitly itself).
    To(Signal),
    /// Nothing.
    Drop,
}

impl Rewrites {
    pub(super) fn new() -> Rewrites {
        Rewrites([Rewrite::None; 65])
    }

    pub(super) fn of(&self, signal: Signal) -> Rewrite {
        self.0[signal.number() as usize]
    }

    pub(super) fn set(&mut self, signal: Signal, rewrite: Rewrite) {
        self.0[signal.number() as usize] = rewrite;
    }

    /// dumb-init's defaults for a command in a session of its own: no shell waits for it there, so SIGTSTP and its
    /// kin would not stop it; SIGSTOP does. A rewrite by wish stays.
    pub(super) fn stop_for_real(&mut self) {
        for signal in [Signal::TSTP, Signal::TTIN, Signal::TTOU] {
            if self.of(signal) == Rewrite::None {
                self.set(signal, Rewrite::To(Signal::STOP));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_beats_the_default() {
        let mut rewrites = Rewrites::new();
        rewrites.set(Signal::TTIN, Rewrite::To(Signal::TERM));
        rewrites.set(Signal::TTOU, Rewrite::Drop);
        rewrites.stop_for_real();
        assert_eq!(rewrites.of(Signal::TSTP), Rewrite::To(Signal::STOP));
        assert_eq!(rewrites.of(Signal::TTIN), Rewrite::To(Signal::TERM));
        assert_eq!(rewrites.of(Signal::TTOU), Rewrite::Drop);
        assert_eq!(rewrites.of(Signal::HUP), Rewrite::None);
    }
}
