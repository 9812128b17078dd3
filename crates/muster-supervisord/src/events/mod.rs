//! Events and their listeners, as supervisord has them: the texts, the protocol of a listener, and pools with their buffers.
//!
//! [`Exchange`] is all of it together: it takes [`Announcement`]s and what listeners write, and returns what is to be written
//! to which listener. [`ProcessStates`] makes announcements of the core's states, [`Ticks`] of the time. Without I/O and
//! clock; every buffer here is bounded.

mod announcement;
mod exchange;
mod losses;
mod pool;
mod process_states;
mod protocol;
mod ticks;

pub use announcement::{Announcement, Channel, Speaker};
pub use exchange::{Exchange, Level, Line, Member};
pub use losses::Losses;
pub use process_states::{Change, ProcessStates};
pub use ticks::Ticks;
