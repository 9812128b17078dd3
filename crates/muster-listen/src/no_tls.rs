//! The same names for a build without TLS, in which no listener has it.

use muster_spec::{ControlSpec, ListenAddress};

/// The TLS of all listeners: none has it.
#[derive(Debug, Default)]
pub struct Servers;

impl Servers {
    /// Nothing: a configuration with TLS was refused.
    pub fn of(_: &ControlSpec) -> Result<Servers, String> {
        Ok(Servers)
    }

    /// No listener has a certificate.
    pub fn not_after(&self, _: &ListenAddress) -> Option<i64> {
        None
    }
}
