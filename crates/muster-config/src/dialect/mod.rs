//! The languages a configuration can be written in, one directory each.

pub mod supervisord;
pub(crate) mod toml;
