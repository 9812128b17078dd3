//! Attacks on the daemon by untrusted parties: see `docs/explanation/security.md` for the threat model.
//!
//! In each test an ordinary user is the attacker. Tests whose setup needs root are skipped without it, with a message.

#[path = "../harness/mod.rs"]
mod harness;

mod availability;
mod clients;
mod configuration;
mod descriptors;
mod files;
mod floods;
mod identity;
mod masking;
mod said;
mod stalls;
mod terminals;
mod turns;
