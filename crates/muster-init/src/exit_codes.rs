//! The exit codes that count as success: `-e`.

/// A set of exit codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ExitCodes([u64; 4]);

impl ExitCodes {
    pub(super) fn insert(&mut self, code: u8) {
        self.0[usize::from(code / 64)] |= 1 << (code % 64);
    }

    /// The exit code: 0 if this one counts as success.
    pub(super) fn remap(&self, code: u8) -> u8 {
        if self.0[usize::from(code / 64)] & (1 << (code % 64)) == 0 { code } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_codes_in_the_set_become_0() {
        for chosen in 0..=255 {
            let mut codes = ExitCodes::default();
            codes.insert(chosen);
            for code in 0..=255 {
                assert_eq!(codes.remap(code), if code == chosen { 0 } else { code });
            }
        }
    }
}
