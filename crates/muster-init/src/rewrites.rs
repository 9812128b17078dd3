//! Signals that are forwarded as others, or dropped: `-r`.

use muster_spec::Signal;

/// The rewrite of each signal.
#[derive(Clone, Debug)]
pub(super) struct Rewrites([Rewrite; 65]);

/// The rewrite of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rewrite {
    /// Itself.
    None,
    /// Another one (or explicitly itself).
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

    /// dumb-init's defaults for a command in its own session: no shell waits for it there, so SIGTSTP and
    /// similar would not stop it; SIGSTOP does. An explicit rewrite is kept.
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
