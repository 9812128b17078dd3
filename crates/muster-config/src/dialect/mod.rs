//! The languages a configuration may be written in.

pub mod supervisord;
