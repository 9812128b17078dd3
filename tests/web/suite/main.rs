//! The web page, in Debian's chromium: what it shows, how fast, for whom, and what a hostile program cannot do with it.
//!
//! `tests/web/run` builds the executables and runs this. Without chromium every test is skipped, loudly.

#[path = "../../harness/mod.rs"]
mod harness;

mod access;
mod actions;
mod hostile;
mod keyboard;
mod login;
mod paths;
mod pictures;
mod reading;
mod scene;
mod speed;
mod views;
