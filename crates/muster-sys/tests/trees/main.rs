//! Trees of real processes: nothing of a run survives, and nothing else is touched.

mod battery;
mod harness;
mod namespaces;
mod random;
mod strays;
