//! What supervisord and its tools say, word for word: what people read on the terminal and what scripts search for.
//!
//! `ctl` is supervisorctl; `xmlrpc` has the wire, `faults` and `status` the words on it, `methods` what can be asked, `web`
//! the old page. Pure: no input or output. How a supervisord.conf is read is `muster-import`'s subject.

#![forbid(unsafe_code)]

pub mod ctl;
pub mod ends;
pub mod events;
pub mod expand;
pub mod faults;
pub mod getopt;
pub mod groups;
pub mod ini;
pub mod methods;
pub mod paths;
pub mod python;
pub mod search;
pub mod signals;
pub mod spawn_error;
pub mod status;
pub mod tail;
pub mod web;
pub mod xmlrpc;

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
