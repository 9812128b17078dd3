//! TLS for connections to and from the daemon, over rustls.
//!
//! [`client`] makes the configuration of a client of roots, a client certificate or a pin, and [`server`] that of a listener. Certificates are always
//! verified; there is no switch that turns it off. [`certificate`] reads the facts of one,
//! and [`describe`] puts a failed handshake into words. Nothing here connects: callers bring their own stream.

#![forbid(unsafe_code)]

pub mod certificate;
pub mod client;
mod client_verifier;
mod date;
mod der;
mod files;
mod names;
mod pin;
pub mod server;
mod verifier;
mod words;

pub use client::{Client, client_config, server_name};
pub use pin::Pin;
pub use rustls;
pub use verifier::Distrust;
pub use words::{describe, describe_client};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The cryptography of all connections. It is never installed for the process, so that no library can depend on it by
/// accident.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
