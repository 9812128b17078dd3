//! What supervisord and its tools say, word for word: what people read on the terminal and what scripts search for.
//!
//! Pure: no input or output. How a supervisord.conf is read is `muster-import`'s subject.

#![forbid(unsafe_code)]

pub mod ends;
pub mod events;
pub mod getopt;
pub mod python;
pub mod search;

/// What `echo_supervisord_conf` prints: a commented sample of a configuration.
pub const SAMPLE: &str = include_str!("sample.conf");

#[cfg(test)]
mod tests {
    use super::SAMPLE;

    #[test]
    fn the_first_line_of_the_sample_is_the_one_that_scripts_look_for() {
        assert!(SAMPLE.lines().next().is_some_and(|line| line.contains("Sample supervisor config file")));
    }
}
