//! `echo_supervisord_conf`: a commented sample of a configuration.

use muster_sys::say::say;

const SAMPLE: &str = include_str!("sample.conf");

/// Prints it; returns the exit code.
pub(super) fn print() -> u8 {
    say(SAMPLE.trim_end());
    0
}

#[cfg(test)]
mod tests {
    use super::SAMPLE;

    #[test]
    fn its_first_line_is_the_one_that_scripts_look_for() {
        assert!(SAMPLE.lines().next().is_some_and(|line| line.contains("Sample supervisor config file")));
    }
}
