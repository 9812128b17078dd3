//! The languages a configuration can be written in, one directory each.

pub(crate) mod toml;
