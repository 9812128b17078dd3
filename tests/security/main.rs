//! Attacks on the daemon by the parties it does not trust: see `docs/explanation/security.md` for the threat model.
//!
//! Each test plays an attacker who is an ordinary user. Those that need root to set the scene skip loudly without it.

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
mod turns;
