//! `--via COMMAND`: reaches a daemon through a command such as `docker exec -i shop`.
//!
//! `COMMAND musterctl dial-stdio --streams` is started once for each command line. `near.rs` runs it and opens connections
//! through it, `far.rs` is what runs over there, `frame.rs` is the protocol between the two.

pub(crate) mod far;
pub(crate) mod frame;
mod near;
mod words;

pub(crate) use near::Via;
pub(crate) use words::{join, words};

/// Reads frames and a command from memory, for the fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn read_foreign(mut bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(split) = words(text)
    {
        assert_eq!(words(&join(&split)).as_ref(), Ok(&split), "joined words are split again");
    }
    while let Ok(Some(_)) = frame::read(&mut bytes) {}
}
