//! The commands, each with its arguments (`Args`) and its implementation (`run`) in its own file.
//!
//! `report.rs` is shared by the commands that change something.

pub(crate) mod avail;
pub(crate) mod clear;
pub(crate) mod complete;
pub(crate) mod completions;
pub(crate) mod contexts;
pub(crate) mod dial_stdio;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod fg;
pub(crate) mod health;
pub(crate) mod logs;
pub(crate) mod maintail;
pub(crate) mod man;
pub(crate) mod pid;
pub(crate) mod ps;
pub(crate) mod reload;
pub(crate) mod renew;
pub(crate) mod reread;
pub(crate) mod restart;
pub(crate) mod scale;
pub(crate) mod schedule;
pub(crate) mod shell;
pub(crate) mod shutdown;
pub(crate) mod signal;
pub(crate) mod source;
pub(crate) mod sources;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod update;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod web;
pub(crate) mod why;
