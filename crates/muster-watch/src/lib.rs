//! `watch` of programs: which files they are, and when a change of one has an effect.
//!
//! [`pattern`] is the language of paths. [`look`] walks the directories on a thread that may wait for a disk, with the privileges of
//! the program's user, and asks the kernel for reports about each. [`Followers`] takes the reports on the loop, without
//! any I/O but removing watches, and says when a thread has to look and when a change has its effect. It knows no clock: callers pass
//! the time.
//!
//! A report counts where it is about a name that matters. Everything else is found by looking: files in directories that are new, and
//! what was lost when the kernel's queue overflowed. A look sums up the metadata of all files in one number, so nothing is
//! kept for a file, however many there are.

#![forbid(unsafe_code)]

mod follower;
mod followers;
pub mod look;
pub mod pattern;
mod queue;

pub use follower::Change;
pub use followers::{Followers, MOST_LOOKS, Told};
pub use look::{Look, Looked, Source};
pub use pattern::Patterns;
pub use queue::{Queue, Ready, Report};
