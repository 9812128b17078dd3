//! Values of the configuration, read into drafts: one file per part of the configuration.
//!
//! A draft begins with the defaults and is written over by one reader per key; `keys` says which reader is whose.
//! What several keys must agree on is looked at when a draft is finished.

pub(crate) mod backoff;
pub(crate) mod checks;
pub(crate) mod control;
pub(crate) mod daemon;
pub(crate) mod depend;
pub(crate) mod environment;
pub(crate) mod instance;
pub(crate) mod logs;
pub(crate) mod probes;
pub(crate) mod program;
pub(crate) mod ready;
pub(crate) mod rlimits;
pub(crate) mod rotation;
pub(crate) mod syslog;
pub(crate) mod users;
