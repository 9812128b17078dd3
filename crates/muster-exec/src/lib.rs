//! Commands in the context of a program: `musterctl exec`.
//!
//! After an HTTP upgrade the connection carries [`frame`]s in both directions. The client's end is in `musterctl`; the daemon's
//! end is [`relay`], which copies between the frames and the descriptors of the command. Nothing here knows of programs
//! or users: their rights are checked before.

#![forbid(unsafe_code)]

pub mod frame;
#[cfg(feature = "relay")]
pub mod relay;

/// The protocol's name in the `Upgrade` header.
pub const PROTOCOL: &str = "muster-exec/1";

/// Input of a command that may be under way: sent, and not yet reported as taken. The daemon keeps up to this much of a
/// command that does not read, so resizes and signals never queue behind it.
pub const WINDOW: usize = 64 * 1024;
