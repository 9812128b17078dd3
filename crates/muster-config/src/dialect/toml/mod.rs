//! TOML, with `{word}` and `${VARIABLE}` in its values.

pub(crate) mod command;
pub(crate) mod interpolate;
