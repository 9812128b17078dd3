//! Reads values into drafts, one file per part of the configuration.
//!
//! A draft begins with the defaults; one reader per key overrides them, and `keys` assigns the readers. Constraints between
//! keys are checked when a draft is complete.

pub(crate) mod backoff;
pub(crate) mod checks;
pub(crate) mod command;
pub(crate) mod control;
pub(crate) mod daemon;
pub(crate) mod depend;
pub(crate) mod environment;
pub(crate) mod exits;
pub(crate) mod hooks;
pub(crate) mod identities;
pub(crate) mod instance;
pub(crate) mod listen;
pub(crate) mod logs;
pub(crate) mod memory;
pub(crate) mod notifier;
pub(crate) mod numprocs;
pub(crate) mod once;
pub(crate) mod own_user;
pub(crate) mod privileges;
pub(crate) mod probes;
pub(crate) mod program;
pub(crate) mod ready;
pub(crate) mod rlimits;
pub(crate) mod rolling;
pub(crate) mod rotation;
pub(crate) mod schedule;
pub(crate) mod scheduling;
pub(crate) mod secrets;
pub(crate) mod shared;
pub(crate) mod sockets;
pub(crate) mod source;
pub(crate) mod start_delay;
pub(crate) mod stdin;
pub(crate) mod syslog;
pub(crate) mod terminal;
pub(crate) mod tls;
pub(crate) mod users;
pub(crate) mod watch;
