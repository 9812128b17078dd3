//! Conversions, read back by musterd's own reader.

mod corpus;
mod goldens;
mod loading;
#[allow(dead_code)]
#[path = "../../../muster-import/tests/supervisord/machine.rs"]
mod machine;
mod mutations;
