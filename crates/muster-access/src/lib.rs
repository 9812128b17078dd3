//! Who may use the API: identities, logins, roles, and what browsers may do. Pure: files are read and users looked up by
//! the caller.
//!
//! [`Access`] has the rules of all listeners. A connection begins as a [`Peer`]; each request of it is made by a
//! [`Client`], since a reload can change what a peer may do and every request can carry another login.

#![forbid(unsafe_code)]

mod access;
mod authorization;
pub mod browser;
mod client;
mod crypt;
mod identity;
mod logins;
mod proof;
mod secret;
pub mod sessions;
mod throttle;

pub use access::{Access, Certificate, Peer, Refusal, Security, Surface, Users};
pub use authorization::{Authorization, parse as parse_authorization};
pub use client::{Client, Rank, role_for};
pub use crypt::{Verification, Verified};
pub use logins::Logins;
pub use proof::Proof;
pub use secret::Secret;
pub use sessions::{SessionNumber, Sessions};
pub use throttle::Source;
