//! The reader of supervisord.conf against the original: what it makes of small texts, and of real configurations.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test may stop where it stands, and asks the environment for its data"
)]

mod cases;
mod corpus;
mod deviations;
mod includes;
mod limits;
mod machine;
mod mutations;
mod original;
mod own;
mod problems;
mod pythons;
mod translation;
mod values;
