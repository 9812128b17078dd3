//! The values all other crates share: names, signals, exits, time spans, policies and the [`Spec`] itself.
//!
//! Nothing here decides anything: `muster-core` has the rules, `muster-config` parses text into these values.

#![forbid(unsafe_code)]

mod address;
pub mod arrange;
mod by_run;
mod exit;
mod listen;
mod name;
mod password;
mod principal;
mod restart;
mod signal;
mod span;
mod spec;
mod state;
mod tls;
mod words;

pub use address::{Authority, BadAddress, HostPort, Url};
pub use by_run::{ByRun, Counted};
pub use exit::*;
pub use listen::*;
pub use name::*;
pub use password::{CryptHash, Password};
pub use principal::{IdentityName, LONGEST_IDENTITY, Principal};
pub use restart::*;
pub use signal::*;
pub use span::{NotASpan, Span, Uptime};
pub use spec::*;
pub use state::{Goal, State};
pub use tls::*;
