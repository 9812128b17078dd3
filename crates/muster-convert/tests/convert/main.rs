//! Conversions, read back by musterd's own reader.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test may stop where it stands, and asks the environment for its data"
)]

mod goldens;
mod loading;
#[allow(dead_code)]
#[path = "../../../muster-import/tests/supervisord/machine.rs"]
mod machine;
mod mutations;
mod procfile;
mod s6;
