//! Trees of real processes: nothing of a run survives, and nothing else is touched.

mod battery;
mod isolation;
mod namespaces;
mod processes;
mod random;
mod strays;
mod witness;
mod world;
