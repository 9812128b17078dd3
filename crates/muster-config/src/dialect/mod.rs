//! The language a configuration is written in: TOML. Those of other supervisors are read by `muster-import`.

pub(crate) mod toml;
